//! Folders of Firefox Translations and Bergamot.
//!
//! File names identify role and language pair:
//!
//! ```text
//! model.enpt.intgemm.alphas.bin      weights
//! vocab.enpt.spm                     vocabulary of both languages, or
//! srcvocab.enja.spm trgvocab.enja.spm  one of each
//! lex.50.50.enpt.s2t.bin             shortlist, which may be missing
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{ImportError, ImportOptions, copy, entry, languages::Languages, manifest};
use crate::manifest::{Architecture, FileEntry, Limits, Manifest, Role, is_language};

/// The limits of training: longer sources lose their end, and a translation has up to twice as many tokens.
const LIMITS: Limits = Limits {
    max_input_tokens: 128,
    max_output_tokens: 256,
};
/// How the files are compressed where they are published.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];
/// Name, version and languages of a Bergamot model.
const MODEL_INFO: &str = "model_info.json";

/// Whether a folder has the weights of such a model.
pub(super) fn is_folder(directory: &Path) -> bool {
    names(directory).iter().any(|name| {
        let name = COMPRESSED
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        is_weights(name)
    })
}

fn is_weights(name: &str) -> bool {
    name.starts_with("model.") && name.ends_with(".bin") && name.contains(".intgemm")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect::<Vec<_>>();
    names.sort();
    names
}

/// The files of a model.
pub(super) struct Source {
    directory: PathBuf,
    weights: String,
    source_spm: String,
    target_spm: String,
    shortlist: Option<String>,
}

impl Source {
    /// Identifies the files by their names.
    pub(super) fn find(directory: &Path) -> Result<Self, ImportError> {
        let names = names(directory);
        Self::among(directory, &names).map_err(|reason| ImportError::Firefox {
            directory: directory.to_owned(),
            reason,
        })
    }

    /// The error is a sentence.
    fn among(directory: &Path, names: &[String]) -> Result<Self, String> {
        let is_spm = |name: &str, prefix: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".spm"))
        };
        let shared = at_most_one(names, "vocab.*.spm", |name| is_spm(name, "vocab"))?;
        let source = at_most_one(names, "srcvocab.*.spm", |name| is_spm(name, "srcvocab"))?;
        let target = at_most_one(names, "trgvocab.*.spm", |name| is_spm(name, "trgvocab"))?;
        let weights = at_most_one(names, "model.*.intgemm*.bin", is_weights)?;
        let shortlist = at_most_one(names, "lex.*.s2t.bin", |name| {
            name.starts_with("lex.") && name.ends_with(".s2t.bin")
        })?;
        let (source_spm, target_spm) = match (shared, source, target) {
            (Some(shared), None, None) => (Some(shared.clone()), Some(shared)),
            (None, source, target) => (source, target),
            (Some(_), ..) => {
                return Err("it has a vocabulary of both languages and one of each".into());
            }
        };
        match (weights, source_spm, target_spm) {
            (Some(weights), Some(source_spm), Some(target_spm)) => Ok(Self {
                directory: directory.to_owned(),
                weights,
                source_spm,
                target_spm,
                shortlist,
            }),
            (None, ..) => Err(missing(names, "model.*.intgemm*.bin")),
            _ => Err(missing(
                names,
                "vocab.*.spm, or srcvocab.*.spm with trgvocab.*.spm",
            )),
        }
    }

    pub(super) fn manifest(
        &self,
        into: &Path,
        options: &ImportOptions,
    ) -> Result<Manifest, ImportError> {
        let languages = self.languages(options)?;
        manifest(into, options, Architecture::Firefox, languages, LIMITS)
    }

    fn languages(&self, options: &ImportOptions) -> Result<Languages, ImportError> {
        let told = (&options.source_languages, &options.target_languages);
        let (sources, targets) = match told {
            (sources, targets) if !sources.is_empty() && !targets.is_empty() => {
                (sources.clone(), targets.clone())
            }
            (sources, targets) => {
                let or = |told: &Vec<String>, read: String| match told.is_empty() {
                    true => vec![read],
                    false => told.clone(),
                };
                let (source, target) = self.pair().ok_or_else(|| {
                    ImportError::Languages(format!(
                        "name the source and the target language: {} does not tell them",
                        self.weights
                    ))
                })?;
                (or(sources, source), or(targets, target))
            }
        };
        if let Some(tag) = sources.iter().chain(&targets).find(|tag| !is_language(tag)) {
            let message = format!("`{tag}` is not a language tag such as `en`");
            return Err(ImportError::Languages(message));
        }
        match targets.len() {
            1 => Ok(Languages::new(sources, targets, None)),
            _ => Err(ImportError::Languages(
                "a Firefox model has one target language".into(),
            )),
        }
    }

    /// Source and target from `model_info.json`, else from the names of the files.
    fn pair(&self) -> Option<(String, String)> {
        let info = fs::read(self.directory.join(MODEL_INFO)).ok();
        let info = info.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let short = info.as_ref().and_then(|info| info["shortName"].as_str());
        let named = self.weights.split('.').nth(1).unwrap_or_default();
        short
            .and_then(pair_of_short_name)
            .or_else(|| pair_of(named))
    }

    /// Copies the model's files and describes them.
    pub(super) fn write(&self, into: &Path) -> Result<BTreeMap<Role, FileEntry>, ImportError> {
        let files = [
            (Role::Weights, Some(&self.weights)),
            (Role::SourceSpm, Some(&self.source_spm)),
            (Role::TargetSpm, Some(&self.target_spm)),
            (Role::Shortlist, self.shortlist.as_ref()),
        ];
        let files = files
            .into_iter()
            .filter_map(|(role, name)| Some((role, name?)));
        files
            .map(|(role, name)| {
                let unwritable = |source| ImportError::Unwritable {
                    path: into.join(name),
                    source,
                };
                let content = |source: std::io::Error| ImportError::Content {
                    path: self.directory.join(name),
                    reason: source.to_string(),
                };
                copy(&self.directory.join(name), &into.join(name)).map_err(content)?;
                Ok((role, entry(into, name).map_err(unwritable)?))
            })
            .collect()
    }
}

fn at_most_one(
    names: &[String],
    pattern: &str,
    is_it: impl Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    let found = names.iter().filter(|name| is_it(name)).collect::<Vec<_>>();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, second, ..] => Err(format!(
            "it has several files {pattern}, {first} and {second}"
        )),
    }
}

fn missing(names: &[String], pattern: &str) -> String {
    let is_compressed = |name: &&String| COMPRESSED.iter().any(|end| name.ends_with(end));
    match names.iter().find(is_compressed) {
        Some(name) => format!("there is no {pattern}; decompress {name} and the others first"),
        None => format!("there is no {pattern}"),
    }
}

/// `en-pt-tiny` is from `en` to `pt`.
fn pair_of_short_name(name: &str) -> Option<(String, String)> {
    let mut parts = name.split('-');
    match (parts.next(), parts.next()) {
        (Some(source), Some(target)) if is_language(source) && is_language(target) => {
            Some((source.to_owned(), target.to_owned()))
        }
        _ => None,
    }
}

/// `enpt` is from `en` to `pt`. If one language has more than two letters, the other must be English, as in nearly every model.
fn pair_of(name: &str) -> Option<(String, String)> {
    const ENGLISH: &str = "en";
    let (source, target) = match name.split_at_checked(2)? {
        (source, target) if target.len() == 2 => (source, target),
        (ENGLISH, target) => (ENGLISH, target),
        _ => (name.strip_suffix(ENGLISH)?, ENGLISH),
    };
    let tag = |text: &str| text.replace('_', "-");
    let (source, target) = (tag(source), tag(target));
    (is_language(&source) && is_language(&target)).then_some((source, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(names: &[&str]) -> Result<Source, String> {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Source::among(Path::new("/m"), &names)
    }

    #[test]
    fn pairs_are_read_from_names() {
        let pair = |name| pair_of(name).map(|(source, target)| format!("{source} {target}"));
        assert_eq!(pair("enpt").as_deref(), Some("en pt"));
        assert_eq!(pair("hbsen").as_deref(), Some("hbs en"));
        assert_eq!(pair("enhbs").as_deref(), Some("en hbs"));
        assert_eq!(pair("enzh_hant").as_deref(), Some("en zh-hant"));
        for name in ["", "e", "en", "hbsfr", "ENPT", "é", "intgemm"] {
            assert_eq!(pair(name), None, "{name}");
        }
        let pair = pair_of_short_name("pt-en-tiny").unwrap();
        assert_eq!(pair, ("pt".to_owned(), "en".to_owned()));
        assert_eq!(pair_of_short_name("tiny"), None);
    }

    #[test]
    fn vocabularies_are_shared_or_separate() {
        let weights = "model.enja.intgemm.alphas.bin";
        let shared = among(&[weights, "vocab.enja.spm", "lex.50.50.enja.s2t.bin"]).unwrap();
        assert_eq!(shared.source_spm, shared.target_spm);
        assert_eq!(shared.shortlist.as_deref(), Some("lex.50.50.enja.s2t.bin"));
        let separate = among(&[weights, "srcvocab.enja.spm", "trgvocab.enja.spm"]).unwrap();
        assert_eq!(separate.target_spm, "trgvocab.enja.spm");
        assert_eq!(separate.shortlist, None);
    }

    #[test]
    fn missing_and_duplicate_files_are_named() {
        let weights = "model.enja.intgemm.alphas.bin";
        let error = |names: &[&str]| among(names).err().unwrap();
        assert!(error(&[weights]).contains("there is no vocab.*.spm"));
        assert!(error(&[weights, "srcvocab.enja.spm"]).contains("trgvocab"));
        assert!(error(&["vocab.a.spm", "vocab.b.spm"]).contains("vocab.a.spm and vocab.b.spm"));
        let both = [
            weights,
            "vocab.enja.spm",
            "srcvocab.enja.spm",
            "trgvocab.enja.spm",
        ];
        assert!(error(&both).contains("both languages and one of each"));
        let gzipped = ["model.enja.intgemm.alphas.bin.gz", "vocab.enja.spm.gz"];
        assert!(error(&gzipped).contains("decompress model.enja.intgemm.alphas.bin.gz"));
    }
}
