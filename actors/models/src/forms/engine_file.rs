//! `engine.toml`: metadata for the engine process.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::manifest::{Architecture, TARGET_PLACEHOLDER};

/// Name of the engine file in a form's folder.
pub const ENGINE_FILE: &str = "engine.toml";
/// Name of the source language's SentencePiece model in a form's folder.
pub const SOURCE_SPM: &str = "source.spm";
/// Name of the vocabulary in a form's folder.
pub const VOCABULARY: &str = "vocab.json";
/// Name of the weights in the folder of rust-bert's form.
pub const WEIGHTS: &str = "model.safetensors";

/// The content of a Marian model's [`ENGINE_FILE`].
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
    /// Number of the end mark.
    pub end_id: usize,
    /// Number of the padding, which is never generated.
    pub padding_id: usize,
    /// Number of the token that the decoder starts from.
    pub start_id: usize,
    /// Numbers of other tokens that are never generated.
    pub suppressed_ids: Vec<usize>,
    /// Longest source and longest translation that the network has positions for.
    pub max_positions: usize,
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

    /// The source's first token for a target language, if the model wants one.
    #[must_use]
    pub fn language_token(&self, target: &str) -> Option<String> {
        self.language_token
            .as_ref()
            .map(|pattern| pattern.replace(TARGET_PLACEHOLDER, target))
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
