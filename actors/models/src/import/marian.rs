//! Models of the types marian, m2m_100 and mbart in Hugging Face's form.
//!
//! Each number is kept once: position tables, which follow from the configuration, and copies of the embedding table are dropped, and
//! weights are stored in 16 bits unless asked otherwise.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::{
    ImportError, ImportOptions, PICKLED_WEIGHTS, SHARDED_WEIGHTS, WEIGHTS, copy, entry, languages,
    manifest,
    pieces::{self, SHARED_SPM},
    same_content, tensors,
};
use crate::{
    families::Family,
    manifest::{Architecture, FileEntry, Limits, Manifest, Role},
    transformer::{self, Layout, NetworkConfig},
    weights::{Weights, Width},
};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const VOCABULARY: &str = "vocab.json";
const SOURCE_SPM: &str = "source.spm";
const TARGET_SPM: &str = "target.spm";

/// Checks that the files of a `model_type` are there.
pub(super) fn check_files(directory: &Path, model_type: &str) -> Result<(), ImportError> {
    let lacks = |name: &&'static str| !directory.join(name).is_file();
    let (what, files): (_, &[&'static str]) = match Layout::of(model_type) {
        Some(Layout::M2m100 | Layout::Mbart) => (
            "Hugging Face M2M100, NLLB or mBART model",
            // The vocabulary is a part of the SentencePiece model, but for M2M100.
            &[CONFIG, SHARED_SPM, WEIGHTS],
        ),
        Some(Layout::Marian) | None => (
            "Hugging Face Marian model",
            &[CONFIG, VOCABULARY, SOURCE_SPM, TARGET_SPM, WEIGHTS],
        ),
    };
    let missing = files.iter().copied().filter(lacks).collect::<Vec<_>>();
    let directory = directory.to_owned();
    match missing[..] {
        [] => Ok(()),
        [WEIGHTS] if directory.join(SHARDED_WEIGHTS).is_file() => {
            Err(ImportError::Sharded { directory })
        }
        [WEIGHTS] if directory.join(PICKLED_WEIGHTS).is_file() => {
            Err(ImportError::Pickled { directory })
        }
        _ => Err(ImportError::Missing {
            directory,
            what,
            missing,
        }),
    }
}

/// A model in Hugging Face's form, in memory.
pub(super) struct Source {
    config: NetworkConfig,
    vocabulary: Vec<String>,
    weights: Weights,
}

impl Source {
    pub(super) fn read(from: &Path) -> Result<Self, ImportError> {
        let content = |name: &str| {
            let path = from.join(name);
            move |reason: String| ImportError::Content { path, reason }
        };
        let mut config = NetworkConfig::read(&from.join(CONFIG)).map_err(content(CONFIG))?;
        let generation = from.join(GENERATION_CONFIG);
        if generation.is_file() {
            let forbidden = read_bad_words(&generation).map_err(content(GENERATION_CONFIG))?;
            config.bad_words_ids = forbidden.or(config.bad_words_ids);
        }
        let vocabulary = match config.layout() {
            Layout::Marian => transformer::read_vocabulary(&from.join(VOCABULARY)),
            Layout::M2m100 | Layout::Mbart => pieces::of_folder(from, config.vocab_size),
        };
        let vocabulary = vocabulary.map_err(content(VOCABULARY))?;
        if vocabulary.len() != config.vocab_size {
            return Err(content(VOCABULARY)(format!(
                "has {} pieces, the configuration says {}",
                vocabulary.len(),
                config.vocab_size
            )));
        }
        let weights = Weights::read(&from.join(WEIGHTS))
            .map_err(|error| content(WEIGHTS)(error.to_string()))?;
        let weights = tensors::reduced(weights, &config).map_err(content(WEIGHTS))?;
        config.check(&weights).map_err(content(WEIGHTS))?;
        Ok(Self {
            config,
            vocabulary,
            weights,
        })
    }

    pub(super) fn manifest(
        &self,
        from: &Path,
        into: &Path,
        options: &ImportOptions,
    ) -> Result<Manifest, ImportError> {
        let (architecture, languages) = match self.family(from)? {
            None => {
                let languages = languages::find(from, &self.vocabulary, options)?;
                (Architecture::Marian, languages)
            }
            Some((architecture, family)) => {
                let languages = languages::of_family(family, &self.vocabulary, options)?;
                (architecture, languages)
            }
        };
        let positions = u32::try_from(self.config.max_position_embeddings).unwrap_or(u32::MAX);
        let limits = Limits {
            max_input_tokens: positions,
            max_output_tokens: positions,
        };
        manifest(into, options, architecture, languages, limits)
    }

    /// Architecture and family of a many-to-many model.
    fn family(&self, from: &Path) -> Result<Option<(Architecture, Family)>, ImportError> {
        let layout = self.config.layout();
        if layout == Layout::Marian {
            return Ok(None);
        }
        match (layout, Family::of_vocabulary(&self.vocabulary)) {
            (Layout::M2m100, Some(family @ Family::M2m100)) => {
                Ok(Some((Architecture::M2m100, family)))
            }
            (Layout::M2m100, Some(family @ Family::Nllb)) => Ok(Some((Architecture::Nllb, family))),
            (Layout::Mbart, Some(family @ Family::Mbart)) => {
                Ok(Some((Architecture::Mbart, family)))
            }
            _ => Err(ImportError::Languages(format!(
                "{} has no language tokens such as __en__, eng_Latn or en_XX in tokenizer.json, tokenizer_config.json, added_tokens.json or special_tokens_map.json",
                from.display()
            ))),
        }
    }

    /// Writes the model's files and describes them.
    pub(super) fn write(
        &self,
        from: &Path,
        into: &Path,
        options: &ImportOptions,
    ) -> Result<BTreeMap<Role, FileEntry>, ImportError> {
        let unwritable = |name: &str| {
            let path = into.join(name);
            move |source| ImportError::Unwritable { path, source }
        };
        let width = if options.float32 {
            Width::Single
        } else {
            Width::Half
        };
        self.weights
            .write(&into.join(WEIGHTS), width)
            .map_err(|error| ImportError::Content {
                path: from.join(WEIGHTS),
                reason: error.to_string(),
            })?;
        let config = serde_json::to_string_pretty(&self.config).map_err(io::Error::other);
        config
            .and_then(|text| fs::write(into.join(CONFIG), text + "\n"))
            .map_err(unwritable(CONFIG))?;
        let target_spm = self
            .write_tokeniser(from, into)
            .map_err(|(name, source)| unwritable(name)(source))?;
        let files = [
            (Role::Weights, WEIGHTS),
            (Role::Config, CONFIG),
            (Role::SourceSpm, SOURCE_SPM),
            (Role::TargetSpm, target_spm),
            (Role::Vocab, VOCABULARY),
        ];
        files
            .into_iter()
            .map(|(role, name)| Ok((role, entry(into, name).map_err(unwritable(name))?)))
            .collect()
    }

    /// Writes vocabulary and SentencePiece models, and returns the name of the target's. The error names the file.
    fn write_tokeniser(
        &self,
        from: &Path,
        into: &Path,
    ) -> Result<&'static str, (&'static str, io::Error)> {
        let copied =
            |from: &Path, name| copy(from, &into.join(name)).map_err(|error| (name, error));
        if self.config.layout() != Layout::Marian {
            let numbers = self.vocabulary.iter().cloned().zip(0_u32..);
            let numbers = numbers.collect::<BTreeMap<_, _>>();
            let text = serde_json::json!(numbers).to_string();
            fs::write(into.join(VOCABULARY), text).map_err(|error| (VOCABULARY, error))?;
            copied(&from.join(SHARED_SPM), SOURCE_SPM)?;
            return Ok(SOURCE_SPM);
        }
        copied(&from.join(VOCABULARY), VOCABULARY)?;
        copied(&from.join(SOURCE_SPM), SOURCE_SPM)?;
        // A shared SentencePiece model is kept once.
        if same_content(&from.join(SOURCE_SPM), &from.join(TARGET_SPM)) {
            return Ok(SOURCE_SPM);
        }
        copied(&from.join(TARGET_SPM), TARGET_SPM)?;
        Ok(TARGET_SPM)
    }
}

/// Reads the forbidden tokens of a `generation_config.json`; the error is a sentence.
fn read_bad_words(path: &Path) -> Result<Option<Vec<Vec<usize>>>, String> {
    #[derive(serde::Deserialize)]
    struct GenerationConfig {
        bad_words_ids: Option<Vec<Vec<usize>>>,
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let config = serde_json::from_str::<GenerationConfig>(&text);
    config
        .map(|config| config.bad_words_ids)
        .map_err(|error| error.to_string())
}
