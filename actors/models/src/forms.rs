//! The forms in which the engines load a model.
//!
//! A model folder holds each number once. What an engine wants beside that is derived at first use, into a
//! cache folder whose name contains a digest of the manifest (and so of every file) and a version of the form: a changed
//! model never meets an old form.

mod ctranslate2;
mod engine_file;
mod rust_bert;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

pub use engine_file::{ENGINE_FILE, EngineFile, EngineFileError, SOURCE_SPM, VOCABULARY, WEIGHTS};

use crate::{
    digest,
    manifest::Role,
    marian::{self, MarianConfig},
    model::{Model, ModelError},
    weights::{Weights, WeightsError},
};

/// Raised with every change of what the forms contain.
const FORM_VERSION: u32 = 1;

/// A native engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// CTranslate2.
    Ctranslate2,
    /// rust-bert, on libtorch.
    RustBert,
}

impl EngineKind {
    /// Every engine, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Ctranslate2, Self::RustBert];

    /// Name of the engine, as configuration and protocol spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ctranslate2 => "ctranslate2",
            Self::RustBert => "rust-bert",
        }
    }

    /// Name of the engine's executable.
    #[must_use]
    pub fn executable(self) -> &'static str {
        match self {
            Self::Ctranslate2 => "babelmesh-engine-ctranslate2",
            Self::RustBert => "babelmesh-engine-rust-bert",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.name() == name)
            .ok_or_else(|| {
                format!("`{name}` is not an engine; there are ctranslate2 and rust-bert")
            })
    }
}

/// Why an engine's form cannot be derived.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The model's files are missing or damaged.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of the model does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine does not have what the model needs.
    #[error("engine {engine} cannot run model {id}: {reason}")]
    Unsupported {
        /// The engine.
        engine: EngineKind,
        /// The model.
        id: String,
        /// What is missing.
        reason: String,
    },
    /// The cache cannot be written.
    #[error("writing the {engine} form of a model to {}: {source}", path.display())]
    Cache {
        /// The engine.
        engine: EngineKind,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Returns the folder with the form of `model` that `engine` loads, deriving it first where the cache does
/// not have it. Several processes may do so at once: each writes a folder of its own and the first to finish wins.
///
/// Only files' lengths are checked when the form is there; their digests are when it is derived.
///
/// # Errors
/// Any [`FormError`].
pub fn prepare(
    model: &Model,
    engine: EngineKind,
    cache_directory: &Path,
) -> Result<PathBuf, FormError> {
    model.check_lengths()?;
    let parent = cache_directory.join(model.id());
    let wanted = parent.join(folder_name(model, engine));
    if wanted.join(ENGINE_FILE).is_file() {
        return Ok(wanted);
    }
    model.verify()?;
    let parts = Parts::read(model)?;
    let in_cache = |path: &Path| {
        let path = path.to_owned();
        move |source| FormError::Cache {
            engine,
            path,
            source,
        }
    };
    fs::create_dir_all(&parent).map_err(in_cache(&parent))?;
    let scratch = tempfile::Builder::new()
        .prefix(".deriving-")
        .tempdir_in(&parent)
        .map_err(in_cache(&parent))?;
    // A folder inside, because only its owner may read the temporary one itself.
    let made = scratch.path().join("form");
    fs::create_dir(&made).map_err(in_cache(&made))?;
    match engine {
        EngineKind::Ctranslate2 => ctranslate2::write(model, &parts, &made)?,
        EngineKind::RustBert => rust_bert::write(model, &parts, &made)?,
    }
    parts.write_common(model, &made).map_err(in_cache(&made))?;
    match fs::rename(&made, &wanted) {
        // Another process was faster, and what it wrote is the same.
        Err(_) if wanted.join(ENGINE_FILE).is_file() => {}
        result => result.map_err(in_cache(&wanted))?,
    }
    Ok(wanted)
}

fn folder_name(model: &Model, engine: EngineKind) -> String {
    let digest = digest::of_bytes(model.manifest().to_toml().as_bytes());
    format!("{engine}-{}-v{FORM_VERSION}", &digest[..16])
}

/// A model's files in memory.
struct Parts {
    config: MarianConfig,
    weights: Weights,
    vocabulary: Vec<String>,
}

impl Parts {
    fn read(model: &Model) -> Result<Self, FormError> {
        let content = |role: Role| {
            let path = model.path(role);
            move |reason: String| FormError::Content { path, reason }
        };
        let config =
            MarianConfig::read(&model.path(Role::Config)).map_err(content(Role::Config))?;
        let vocabulary =
            marian::read_vocabulary(&model.path(Role::Vocab)).map_err(content(Role::Vocab))?;
        if vocabulary.len() != config.vocab_size {
            return Err(content(Role::Vocab)(format!(
                "has {} pieces, the configuration says {}",
                vocabulary.len(),
                config.vocab_size
            )));
        }
        let weights = Weights::read(&model.path(Role::Weights))
            .map_err(|error: WeightsError| content(Role::Weights)(error.to_string()))?;
        config.check(&weights).map_err(content(Role::Weights))?;
        Ok(Self {
            config,
            weights,
            vocabulary,
        })
    }

    /// Writes what both engines read: the tokeniser's files and the engine file.
    fn write_common(&self, model: &Model, into: &Path) -> io::Result<()> {
        fs::copy(model.path(Role::SourceSpm), into.join(SOURCE_SPM))?;
        fs::copy(model.path(Role::Vocab), into.join(VOCABULARY))?;
        let manifest = model.manifest();
        let file = EngineFile {
            model: manifest.id.clone(),
            architecture: manifest.architecture,
            source_languages: manifest.source_languages.clone(),
            target_languages: manifest.target_languages.clone(),
            language_token: manifest.language_token.clone(),
            end_id: self.config.eos_token_id,
            padding_id: self.config.pad_token_id,
            start_id: self.config.decoder_start_token_id,
            suppressed_ids: self.config.suppressed_ids(),
            max_positions: self.config.max_position_embeddings,
        };
        fs::write(into.join(ENGINE_FILE), file.to_toml())
    }
}
