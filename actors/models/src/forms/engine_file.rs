//! `engine.toml`: metadata for the engine process.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::manifest::{Architecture, SOURCE_PLACEHOLDER, TARGET_PLACEHOLDER};

/// Name of the engine file in a form's folder.
pub const ENGINE_FILE: &str = "engine.toml";
/// Name of the source language's SentencePiece model in a form's folder.
pub const SOURCE_SPM: &str = "source.spm";
/// Name of the vocabulary in a form's folder.
pub const VOCABULARY: &str = "vocab.json";
/// Name of the translation's vocabulary in a form's folder, if it is another one.
pub const TARGET_VOCABULARY: &str = "target_vocab.json";
/// Name of the weights in the folder of rust-bert's form.
pub const WEIGHTS: &str = "model.safetensors";

/// The content of the [`ENGINE_FILE`] of every model but firefox ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFile {
    /// Id of the model.
    pub model: String,
    /// Network architecture.
    pub architecture: Architecture,
    /// Languages the model reads.
    pub source_languages: Vec<String>,
    /// Languages the model writes.
    pub target_languages: Vec<String>,
    /// Pattern of the source's first token, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_token: Option<String>,
    /// Pattern of the token that a translation must begin with, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_token: Option<String>,
    /// Whether a source ends with an end mark.
    #[serde(default = "yes")]
    pub source_end: bool,
    /// Number of the end mark.
    pub end_id: usize,
    /// Number of the padding, which is never generated, where the network has one.
    pub padding_id: Option<usize>,
    /// Number of the token that the decoder starts from, where the network does not tell it.
    pub start_id: Option<usize>,
    /// Numbers of other tokens that are never generated.
    pub suppressed_ids: Vec<usize>,
    /// Numbers of tokens that are not text, such as those of languages.
    #[serde(default)]
    pub silent_ids: Vec<u32>,
    /// Longest source and longest translation that the network has positions for.
    pub max_positions: usize,
    /// How the model spells languages in its tokens, where that is not their tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub language_codes: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// Why an engine file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineFileError {
    /// It cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The error.
        reason: String,
    },
}

impl EngineFile {
    /// Reads the engine file of a form's folder.
    ///
    /// # Errors
    /// Any [`EngineFileError`].
    pub fn read(directory: &Path) -> Result<Self, EngineFileError> {
        read(directory)
    }

    pub(super) fn to_toml(&self) -> String {
        // Only maps with keys that are not text cannot be written as TOML, and there is none here.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The source's first token for a pair of languages, if the model wants one.
    #[must_use]
    pub fn language_token(&self, source: &str, target: &str) -> Option<String> {
        self.filled(self.language_token.as_ref(), source, target)
    }

    /// The translation's first token for a pair of languages, if the model wants one.
    #[must_use]
    pub fn target_token(&self, source: &str, target: &str) -> Option<String> {
        self.filled(self.target_token.as_ref(), source, target)
    }

    fn filled(&self, pattern: Option<&String>, source: &str, target: &str) -> Option<String> {
        let code = |tag: &str| {
            self.language_codes
                .get(tag)
                .map_or(tag, String::as_str)
                .to_owned()
        };
        let filled = pattern?.replace(SOURCE_PLACEHOLDER, &code(source));
        Some(filled.replace(TARGET_PLACEHOLDER, &code(target)))
    }
}

/// Reads the engine file of a form's folder.
pub(super) fn read<T: DeserializeOwned>(directory: &Path) -> Result<T, EngineFileError> {
    let path = directory.join(ENGINE_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).map_err(|error| EngineFileError::Content {
            path,
            reason: error.message().to_owned(),
        }),
        Err(source) => Err(EngineFileError::Unreadable { path, source }),
    }
}
