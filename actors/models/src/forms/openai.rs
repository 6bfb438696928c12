//! The openai engine's form: `engine.toml` alone. It names the file with the API key and does not contain the key.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{ENGINE_FILE, EngineFileError, engine_file::read};
use crate::{manifest::Endpoint, model::Model};

/// The content of an openai model's [`ENGINE_FILE`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenaiFile {
    /// Id of the model.
    pub model: String,
    /// Languages the model reads.
    pub source_languages: Vec<String>,
    /// Languages the model writes.
    pub target_languages: Vec<String>,
    /// The server.
    pub endpoint: Endpoint,
}

impl OpenaiFile {
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
    let missing = || io::Error::other(format!("model {} has no endpoint", model.id()));
    let file = OpenaiFile {
        model: manifest.id.clone(),
        source_languages: manifest.source_languages.clone(),
        target_languages: manifest.target_languages.clone(),
        endpoint: manifest.endpoint.clone().ok_or_else(missing)?,
    };
    let text = toml::to_string_pretty(&file).map_err(io::Error::other)?;
    fs::write(into.join(ENGINE_FILE), text)
}
