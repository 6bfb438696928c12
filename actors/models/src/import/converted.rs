//! Folders of models that were converted for CTranslate2, and Argos packages, which hold one.

mod binary;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ImportError, ImportOptions, argos, copy, entry,
    languages::{self, Languages},
    manifest, same_content,
};
use crate::{
    families::Family,
    manifest::{Architecture, FileEntry, Limits, Manifest, Role},
    spm::SpmFile,
    transformer::{END_PIECE, UNKNOWN_PIECE},
};
use binary::Binary;

const WEIGHTS: &str = "model.bin";
const CONFIG: &str = "config.json";
const SOURCE_SPM: &str = "source.spm";
const TARGET_SPM: &str = "target.spm";
/// Names of a SentencePiece model of both languages.
const SHARED_SPM: [&str; 3] = [argos::SPM, "sentencepiece.bpe.model", "spm.model"];
/// Names of vocabularies, the ending aside.
const VOCABULARIES: [(Role, &str); 3] = [
    (Role::Vocab, "shared_vocabulary"),
    (Role::SourceVocab, "source_vocabulary"),
    (Role::TargetVocab, "target_vocabulary"),
];
/// Longest source and translation where the network has no table of positions: it was trained on sentences.
const DEFAULT_LIMIT: usize = 256;
/// Longest source and translation, whatever the table of positions has room for.
const MAX_LIMIT: usize = 1_024;

/// Whether a folder has the files of such a model.
pub(super) fn is_folder(directory: &Path) -> bool {
    directory.join(WEIGHTS).is_file()
        && VOCABULARIES
            .iter()
            .any(|(_, stem)| vocabulary_path(directory, stem).is_some())
}

/// The files of a model.
pub(super) struct Source {
    directory: PathBuf,
    source_spm: PathBuf,
    target_spm: PathBuf,
    /// Shared, or of source and translation.
    vocabularies: BTreeMap<Role, Vec<String>>,
    config: Config,
    limit: usize,
    argos: Option<argos::Metadata>,
}

/// The used part of CTranslate2's `config.json`, which older models do not have.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    add_source_eos: bool,
    #[serde(default)]
    eos_token: Option<String>,
    #[serde(default)]
    unk_token: Option<String>,
}

impl Source {
    /// Reads an unpacked Argos package.
    pub(super) fn of_argos(directory: &Path) -> Result<Self, ImportError> {
        let metadata = argos::metadata(directory)?;
        let source = Self::read(&argos::model_folder(directory), directory)?;
        let argos = Some(metadata);
        Ok(Self { argos, ..source })
    }

    /// Reads a folder, with the SentencePiece models in another one or the same.
    pub(super) fn read(directory: &Path, spm_directory: &Path) -> Result<Self, ImportError> {
        let content = |path: &Path| {
            let path = path.to_owned();
            move |reason: String| ImportError::Content { path, reason }
        };
        let (source_spm, target_spm) = spm_files(spm_directory)?;
        for path in [&source_spm, &target_spm] {
            let bytes = fs::read(path).map_err(|error| content(path)(error.to_string()))?;
            SpmFile::parse(&bytes).map_err(|error| content(path)(error.to_string()))?;
        }
        let mut vocabularies = BTreeMap::new();
        for (role, stem) in VOCABULARIES {
            if let Some(path) = vocabulary_path(directory, stem) {
                let pieces = read_vocabulary(&path).map_err(content(&path))?;
                vocabularies.insert(role, pieces);
            }
        }
        check_roles(directory, &vocabularies)?;
        let path = directory.join(CONFIG);
        let config = match path.is_file() {
            true => read_config(&path).map_err(content(&path))?,
            false => Config::default(),
        };
        let path = directory.join(WEIGHTS);
        let binary = Binary::read(&path).map_err(content(&path))?;
        let target = target_of(&vocabularies);
        if binary
            .target_tokens()
            .is_some_and(|tokens| tokens != target.len())
        {
            return Err(content(&path)(format!(
                "translates to {} tokens, the vocabulary has {}",
                binary.target_tokens().unwrap_or_default(),
                target.len()
            )));
        }
        Ok(Self {
            directory: directory.to_owned(),
            source_spm,
            target_spm,
            vocabularies,
            config,
            limit: binary.positions().unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT),
            argos: None,
        })
    }

    pub(super) fn manifest(
        &self,
        named: &Path,
        into: &Path,
        options: &ImportOptions,
    ) -> Result<Manifest, ImportError> {
        let languages = self.languages(named, options)?;
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let limits = Limits {
            max_input_tokens: limit,
            max_output_tokens: limit,
        };
        manifest(into, options, Architecture::Ctranslate2, languages, limits)
    }

    fn languages(&self, named: &Path, options: &ImportOptions) -> Result<Languages, ImportError> {
        let source = source_of(&self.vocabularies);
        if let Some(family) = Family::of_vocabulary(source).filter(|_| self.argos.is_none()) {
            return languages::of_family(family, source, options);
        }
        let mut options = options.clone();
        if let Some(argos) = &self.argos {
            let or = |told: &mut Vec<String>, code: &Option<String>| {
                if told.is_empty() {
                    told.extend(code.clone());
                }
            };
            or(&mut options.source_languages, &argos.from_code);
            or(&mut options.target_languages, &argos.to_code);
        }
        let found = languages::find(named, source, &options)?;
        let prefix = self
            .argos
            .as_ref()
            .and_then(|argos| argos.target_prefix.clone());
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let target = target_of(&self.vocabularies);
        if let Some(prefix) = prefix.as_ref().filter(|prefix| !target.contains(prefix)) {
            return Err(ImportError::Languages(format!(
                "the vocabulary has no token {prefix}, with which its translations begin"
            )));
        }
        // Marian's vocabularies begin with the end mark, and its sources end with it. OpenNMT's do neither. Where the library adds one, none
        // is added here.
        let is_marian = source.first().is_some_and(|first| first == END_PIECE);
        Ok(Languages {
            target_token: prefix,
            source_end: is_marian && !self.config.add_source_eos,
            ..found
        })
    }

    /// Copies the model's files and describes them.
    pub(super) fn write(&self, into: &Path) -> Result<BTreeMap<Role, FileEntry>, ImportError> {
        let unwritable = |name: &str| {
            let path = into.join(name);
            move |source| ImportError::Unwritable { path, source }
        };
        let target_spm = match same_content(&self.source_spm, &self.target_spm) {
            true => SOURCE_SPM,
            false => TARGET_SPM,
        };
        let mut files = BTreeMap::from([
            (Role::Weights, WEIGHTS.to_owned()),
            (Role::SourceSpm, SOURCE_SPM.to_owned()),
            (Role::TargetSpm, target_spm.to_owned()),
        ]);
        // Not `copy`, which has the whole file in memory.
        let weights = into.join(WEIGHTS);
        fs::File::open(self.directory.join(WEIGHTS))
            .and_then(|mut from| std::io::copy(&mut from, &mut fs::File::create(&weights)?))
            .map_err(unwritable(WEIGHTS))?;
        copy(&self.source_spm, &into.join(SOURCE_SPM)).map_err(unwritable(SOURCE_SPM))?;
        if target_spm == TARGET_SPM {
            copy(&self.target_spm, &into.join(TARGET_SPM)).map_err(unwritable(TARGET_SPM))?;
        }
        let config = self.directory.join(CONFIG);
        if config.is_file() {
            copy(&config, &into.join(CONFIG)).map_err(unwritable(CONFIG))?;
            files.insert(Role::Config, CONFIG.to_owned());
        }
        for (role, stem) in VOCABULARIES {
            let Some(pieces) = self.vocabularies.get(&role) else {
                continue;
            };
            let name = format!("{stem}.json");
            let text = serde_json::json!(pieces).to_string();
            fs::write(into.join(&name), text).map_err(unwritable(&name))?;
            files.insert(role, name);
        }
        files
            .into_iter()
            .map(|(role, name)| Ok((role, entry(into, &name).map_err(unwritable(&name))?)))
            .collect()
    }
}

fn source_of(vocabularies: &BTreeMap<Role, Vec<String>>) -> &[String] {
    vocabulary(vocabularies, Role::SourceVocab)
}

fn target_of(vocabularies: &BTreeMap<Role, Vec<String>>) -> &[String] {
    vocabulary(vocabularies, Role::TargetVocab)
}

fn vocabulary(vocabularies: &BTreeMap<Role, Vec<String>>, role: Role) -> &[String] {
    let own = vocabularies
        .get(&Role::Vocab)
        .or_else(|| vocabularies.get(&role));
    own.map(Vec::as_slice).unwrap_or_default()
}

fn check_roles(
    directory: &Path,
    vocabularies: &BTreeMap<Role, Vec<String>>,
) -> Result<(), ImportError> {
    let has = |role| vocabularies.contains_key(&role);
    let missing = match (
        has(Role::Vocab),
        has(Role::SourceVocab),
        has(Role::TargetVocab),
    ) {
        (true, ..) | (false, true, true) => return Ok(()),
        (false, true, false) => "target_vocabulary.json",
        (false, false, _) => "source_vocabulary.json",
    };
    Err(ImportError::Missing {
        directory: directory.to_owned(),
        what: "CTranslate2 model",
        missing: vec![missing],
    })
}

/// The SentencePiece models of source and target.
fn spm_files(directory: &Path) -> Result<(PathBuf, PathBuf), ImportError> {
    let found = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
    let shared = SHARED_SPM.iter().find_map(|name| found(name));
    match (found(SOURCE_SPM), found(TARGET_SPM), shared) {
        (Some(source), Some(target), _) => Ok((source, target)),
        (Some(shared), None, _) | (None, None, Some(shared)) => Ok((shared.clone(), shared)),
        _ => Err(ImportError::Missing {
            directory: directory.to_owned(),
            what: "CTranslate2 model with its SentencePiece model",
            missing: vec![
                "sentencepiece.model or source.spm with target.spm (copy it there from the model that was converted)",
            ],
        }),
    }
}

fn vocabulary_path(directory: &Path, stem: &str) -> Option<PathBuf> {
    ["json", "txt"]
        .iter()
        .map(|end| directory.join(format!("{stem}.{end}")))
        .find(|path| path.is_file())
}

/// Reads a vocabulary, a JSON list or one piece a line; the error is a sentence.
fn read_vocabulary(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let pieces = match path.extension().is_some_and(|end| end == "json") {
        true => serde_json::from_str(&text).map_err(|error| error.to_string())?,
        false => text
            .split_terminator('\n')
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>(),
    };
    let mut known = HashSet::with_capacity(pieces.len());
    if let Some(twice) = pieces.iter().find(|piece| !known.insert(piece.as_str())) {
        return Err(format!("has the piece {} twice", twice.escape_debug()));
    }
    match [END_PIECE, UNKNOWN_PIECE]
        .iter()
        .find(|mark| !known.contains(**mark))
    {
        Some(mark) => Err(format!("has no piece {mark}")),
        None => Ok(pieces),
    }
}

/// Reads a configuration; the error is a sentence.
fn read_config(path: &Path) -> Result<Config, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let config = serde_json::from_str::<Config>(&text).map_err(|error| error.to_string())?;
    for (name, token, expected) in [
        ("eos_token", &config.eos_token, END_PIECE),
        ("unk_token", &config.unk_token, UNKNOWN_PIECE),
    ] {
        if token.as_ref().is_some_and(|token| token != expected) {
            return Err(format!("{name} must be {expected}"));
        }
    }
    Ok(config)
}
