//! The forms in which the engines load a model.
//!
//! A model folder holds each number once. Engine-specific files are derived at first use, into a cache folder whose
//! name contains a digest of the manifest (and so of every file) and a version of the form: a changed model never uses
//! an outdated form. A form has a list of its files' digests, and one that is damaged is derived again.

mod converted;
mod ctranslate2;
mod digests;
mod engine_file;
pub mod firefox;
pub mod openai;
mod parts;
mod rust_bert;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

pub use digests::Damage;
pub use engine_file::{
    ENGINE_FILE, EngineFile, EngineFileError, SOURCE_SPM, TARGET_VOCABULARY, VOCABULARY, WEIGHTS,
};

use crate::{
    digest,
    manifest::{Architecture, Manifest, Role},
    memo::VerificationMemo,
    model::{Model, ModelError},
};
use parts::Parts;

/// Raised with every change of what the forms contain.
const FORM_VERSION: u32 = 1;
/// Name of the memo of verified files, beside a model's forms.
const MEMO: &str = ".verified.json";
/// How the names of folders begin in which forms are derived.
const SCRATCH: &str = ".deriving-";
/// A scratch folder of this age was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A native engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// The engine of Firefox Translations, in Rust.
    Firefox,
    /// CTranslate2.
    Ctranslate2,
    /// rust-bert, on libtorch.
    RustBert,
    /// A client of OpenAI-compatible endpoints.
    Openai,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 4] = [
        Self::Firefox,
        Self::Ctranslate2,
        Self::RustBert,
        Self::Openai,
    ];

    /// The engines that run models of an architecture, the preferred one first.
    #[must_use]
    pub const fn for_architecture(architecture: Architecture) -> &'static [Self] {
        match architecture {
            Architecture::Marian
            | Architecture::M2m100
            | Architecture::Nllb
            | Architecture::Mbart => &[Self::Ctranslate2, Self::RustBert],
            Architecture::Ctranslate2 => &[Self::Ctranslate2],
            Architecture::Firefox => &[Self::Firefox],
            Architecture::Openai => &[Self::Openai],
        }
    }

    /// Name of the engine, as configuration and protocol spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Firefox => "firefox",
            Self::Ctranslate2 => "ctranslate2",
            Self::RustBert => "rust-bert",
            Self::Openai => "openai",
        }
    }

    /// Name of the engine's executable.
    #[must_use]
    pub fn executable(self) -> &'static str {
        match self {
            Self::Firefox => "babelmesh-engine-firefox",
            Self::Ctranslate2 => "babelmesh-engine-ctranslate2",
            Self::RustBert => "babelmesh-engine-rust-bert",
            Self::Openai => "babelmesh-engine-openai",
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
                format!(
                    "unknown engine `{name}`; available: firefox, ctranslate2, rust-bert, openai"
                )
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
        /// The error.
        reason: String,
    },
    /// The engine does not have what the model needs.
    #[error("engine {engine} cannot run model {id}: {reason}")]
    Unsupported {
        /// The engine.
        engine: EngineKind,
        /// The model.
        id: String,
        /// The missing items.
        reason: String,
    },
    /// The cache cannot be written.
    #[error("writing the {engine} form of a model to {}: {source}", path.display())]
    Cache {
        /// The engine.
        engine: EngineKind,
        /// The file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
}

/// A model form that an engine can load.
#[derive(Debug)]
pub struct Form {
    /// Its folder.
    pub directory: PathBuf,
    /// Damage of the previous form, which this one replaces.
    pub repaired: Option<Damage>,
}

/// Returns the form of `model` that `engine` loads, deriving it first where the cache does not have it or it is damaged.
/// Several processes may do so at once: each writes a folder of its own and the first to finish wins.
///
/// The files of model and form are compared with their digests, unless they are as they were at the last comparison.
///
/// # Errors
/// Any [`FormError`].
pub fn prepare(
    model: &Model,
    engine: EngineKind,
    cache_directory: &Path,
) -> Result<Form, FormError> {
    prepare_with(model, engine, cache_directory, VerificationMemo::open)
}

/// The same, but every file is read, whatever earlier comparisons said: for a form that the engine failed to load.
///
/// # Errors
/// Any [`FormError`].
pub fn prepare_without_memo(
    model: &Model,
    engine: EngineKind,
    cache_directory: &Path,
) -> Result<Form, FormError> {
    prepare_with(model, engine, cache_directory, VerificationMemo::empty)
}

fn prepare_with(
    model: &Model,
    engine: EngineKind,
    cache_directory: &Path,
    memo: impl FnOnce(&Path) -> VerificationMemo,
) -> Result<Form, FormError> {
    let architecture = model.manifest().architecture;
    if !EngineKind::for_architecture(architecture).contains(&engine) {
        return Err(FormError::Unsupported {
            engine,
            id: model.id().to_owned(),
            reason: format!("it does not run {architecture} models"),
        });
    }
    let parent = cache_directory.join(model.id());
    let directory = parent.join(folder_name(model, engine));
    let mut memo = memo(&parent.join(MEMO));
    model.verify_with(&mut memo)?;
    let repaired = match digests::check(&directory, &mut memo) {
        Ok(()) => {
            memo.save();
            return Ok(Form {
                directory,
                repaired: None,
            });
        }
        Err(damage) => directory.exists().then_some(damage),
    };
    derive(model, engine, &parent, &directory)?;
    if digests::check(&directory, &mut memo).is_ok() {
        memo.save();
    }
    Ok(Form {
        directory,
        repaired,
    })
}

/// Derives a form into a scratch folder and then puts it into its place, instead of whatever is there.
fn derive(
    model: &Model,
    engine: EngineKind,
    parent: &Path,
    directory: &Path,
) -> Result<(), FormError> {
    let in_cache = |path: &Path| {
        let path = path.to_owned();
        move |source| FormError::Cache {
            engine,
            path,
            source,
        }
    };
    fs::create_dir_all(parent).map_err(in_cache(parent))?;
    remove_abandoned(parent);
    let scratch = tempfile::Builder::new()
        .prefix(SCRATCH)
        .tempdir_in(parent)
        .map_err(in_cache(parent))?;
    // A folder inside, because only its owner may read the temporary one itself.
    let made = scratch.path().join("form");
    fs::create_dir(&made).map_err(in_cache(&made))?;
    write(model, engine, &made)?;
    digests::write(&made).map_err(in_cache(&made))?;
    // The damaged one goes with the scratch folder. Engines that have it open keep it.
    match fs::rename(directory, scratch.path().join("damaged")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(in_cache(directory)(error));
        }
        _ => {}
    }
    match fs::rename(&made, directory) {
        // Another process was faster, and what it wrote is the same.
        Err(_) if directory.join(digests::DIGESTS).is_file() => Ok(()),
        result => result.map_err(in_cache(directory)),
    }
}

/// Removes scratch folders that killed processes left. What cannot be removed only takes space.
fn remove_abandoned(parent: &Path) {
    let is_abandoned = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let age = entry
            .metadata()
            .and_then(|found| found.modified())
            .map(|modified| SystemTime::now().duration_since(modified));
        name.to_string_lossy().starts_with(SCRATCH)
            && age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED))
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(is_abandoned) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn folder_name(model: &Model, engine: EngineKind) -> String {
    // A form does not depend on how its confidence is calibrated.
    let manifest = Manifest {
        confidence: None,
        ..model.manifest().clone()
    };
    let digest = digest::of_bytes(manifest.to_toml().as_bytes());
    format!("{engine}-{}-v{FORM_VERSION}", &digest[..16])
}

/// Writes the files of a form, the list of digests aside.
fn write(model: &Model, engine: EngineKind, into: &Path) -> Result<(), FormError> {
    let written = match engine {
        EngineKind::Firefox => firefox::write(model, into),
        EngineKind::Openai => openai::write(model, into),
        EngineKind::Ctranslate2 if model.manifest().architecture == Architecture::Ctranslate2 => {
            return converted::write(model, into);
        }
        EngineKind::Ctranslate2 => {
            let parts = Parts::read(model)?;
            ctranslate2::write(model, &parts, into)?;
            parts.write_common(model, into)
        }
        EngineKind::RustBert => {
            let parts = Parts::read(model)?;
            rust_bert::write(model, &parts, into)?;
            parts.write_common(model, into)
        }
    };
    written.map_err(|source| FormError::Cache {
        engine,
        path: into.to_owned(),
        source,
    })
}

/// The path of a file that every model of the architecture has.
fn required(model: &Model, role: Role) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("model {} has no {role}", model.id()));
    model.path(role).ok_or_else(missing)
}

/// The engine file of a model, but for its numbers.
fn engine_file(manifest: &Manifest, silent_ids: Vec<u32>) -> EngineFile {
    EngineFile {
        model: manifest.id.clone(),
        architecture: manifest.architecture,
        source_languages: manifest.source_languages.clone(),
        target_languages: manifest.target_languages.clone(),
        language_token: manifest.language_token.clone(),
        target_token: manifest.target_token.clone(),
        source_end: manifest.source_end,
        end_id: 0,
        padding_id: None,
        start_id: None,
        suppressed_ids: Vec::new(),
        silent_ids,
        max_positions: 0,
        language_codes: manifest.language_codes.clone(),
    }
}
