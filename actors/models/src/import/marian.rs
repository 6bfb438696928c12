//! Marian models in Hugging Face's form.
//!
//! Each number is kept once: position tables, which follow from the configuration, and copies of the embedding table are dropped, and
//! weights are stored in 16 bits unless asked otherwise.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::{
    ImportError, ImportOptions, PICKLED_WEIGHTS, WEIGHTS, copy, entry, languages, manifest,
    same_content, tensors,
};
use crate::{
    manifest::{Architecture, FileEntry, Limits, Manifest, Role},
    marian::{self, MarianConfig},
    weights::{Weights, Width},
};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const VOCABULARY: &str = "vocab.json";
const SOURCE_SPM: &str = "source.spm";
const TARGET_SPM: &str = "target.spm";

pub(super) fn check_files(directory: &Path) -> Result<(), ImportError> {
    let lacks = |name: &&'static str| !directory.join(name).is_file();
    let missing = [CONFIG, VOCABULARY, SOURCE_SPM, TARGET_SPM, WEIGHTS];
    let missing = missing.into_iter().filter(lacks).collect::<Vec<_>>();
    match missing[..] {
        [] => Ok(()),
        [WEIGHTS] if directory.join(PICKLED_WEIGHTS).is_file() => Err(ImportError::Pickled {
            directory: directory.to_owned(),
        }),
        _ => Err(ImportError::Missing {
            directory: directory.to_owned(),
            missing,
        }),
    }
}

/// A model in Hugging Face's form, in memory.
pub(super) struct Source {
    config: MarianConfig,
    vocabulary: Vec<String>,
    weights: Weights,
}

impl Source {
    pub(super) fn read(from: &Path) -> Result<Self, ImportError> {
        let content = |name: &str| {
            let path = from.join(name);
            move |reason: String| ImportError::Content { path, reason }
        };
        let mut config = MarianConfig::read(&from.join(CONFIG)).map_err(content(CONFIG))?;
        let generation = from.join(GENERATION_CONFIG);
        if generation.is_file() {
            let forbidden = read_bad_words(&generation).map_err(content(GENERATION_CONFIG))?;
            config.bad_words_ids = forbidden.or(config.bad_words_ids);
        }
        let vocabulary =
            marian::read_vocabulary(&from.join(VOCABULARY)).map_err(content(VOCABULARY))?;
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
        let languages = languages::find(from, &self.vocabulary, options)?;
        let positions = u32::try_from(self.config.max_position_embeddings).unwrap_or(u32::MAX);
        let limits = Limits {
            max_input_tokens: positions,
            max_output_tokens: positions,
        };
        manifest(into, options, Architecture::Marian, languages, limits)
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
        // A shared SentencePiece model is kept once.
        let spm_is_shared = same_content(&from.join(SOURCE_SPM), &from.join(TARGET_SPM));
        let target_spm = if spm_is_shared {
            SOURCE_SPM
        } else {
            TARGET_SPM
        };
        for name in [VOCABULARY, SOURCE_SPM, target_spm] {
            copy(&from.join(name), &into.join(name)).map_err(unwritable(name))?;
        }
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
