//! The firefox engine's form: the model's own files under fixed names, and `engine.toml`.
//!
//! The files are copied and not linked: the engine maps them into its memory, and a change of the original in its place must not change
//! them under a running process.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{ENGINE_FILE, EngineFileError, SOURCE_SPM, engine_file::read, required};
use crate::{manifest::Role, model::Model};

/// Name of the weights in a form's folder.
pub const WEIGHTS: &str = "model.bin";
/// Name of the target language's SentencePiece model in a form's folder. Without it both languages share that of the source.
pub const TARGET_SPM: &str = "target.spm";
/// Name of the lexical shortlist in a form's folder. Without it the output is not restricted.
pub const SHORTLIST: &str = "shortlist.bin";

/// The content of a firefox model's [`ENGINE_FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirefoxFile {
    /// Id of the model.
    pub model: String,
    /// Languages the model reads.
    pub source_languages: Vec<String>,
    /// Languages the model writes.
    pub target_languages: Vec<String>,
}

impl FirefoxFile {
    /// Reads the engine file of a form's folder.
    ///
    /// # Errors
    /// Any [`EngineFileError`].
    pub fn read(directory: &Path) -> Result<Self, EngineFileError> {
        read(directory)
    }
}

pub(super) fn write(model: &Model, into: &Path) -> io::Result<()> {
    let manifest = model.manifest();
    fs::copy(required(model, Role::Weights)?, into.join(WEIGHTS))?;
    fs::copy(required(model, Role::SourceSpm)?, into.join(SOURCE_SPM))?;
    let digest = |role: Role| manifest.file(role).map(|file| &file.sha256);
    if digest(Role::TargetSpm) != digest(Role::SourceSpm) {
        fs::copy(required(model, Role::TargetSpm)?, into.join(TARGET_SPM))?;
    }
    if let Some(shortlist) = model.path(Role::Shortlist) {
        fs::copy(shortlist, into.join(SHORTLIST))?;
    }
    let file = FirefoxFile {
        model: manifest.id.clone(),
        source_languages: manifest.source_languages.clone(),
        target_languages: manifest.target_languages.clone(),
    };
    let text = toml::to_string_pretty(&file).map_err(io::Error::other)?;
    fs::write(into.join(ENGINE_FILE), text)
}
