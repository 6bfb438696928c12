//! Import of models: Marian, M2M100, NLLB and mBART models in Hugging Face's form, folders of CTranslate2, Argos packages, and folders of
//! Firefox Translations or Bergamot.
//!
//! The new folder is written beside its final place and moved there when it is complete.

mod argos;
mod converted;
mod firefox;
mod kind;
mod languages;
mod marian;
mod pieces;
mod tensors;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    digest,
    manifest::{Architecture, FILE_NAME, FileEntry, Limits, Manifest, Role, Tier},
    model::Model,
};
use languages::Languages;

use kind::SINGLE;
pub use kind::{CONVERT, Kind, model_type, recognise};

const WEIGHTS: &str = "model.safetensors";
const PICKLED_WEIGHTS: &str = "pytorch_model.bin";
const SHARDED_WEIGHTS: &str = "model.safetensors.index.json";
/// Bytes that a package may unpack to, where [`ImportOptions::max_unpacked_bytes`] is not set.
pub const DEFAULT_MAX_UNPACKED_BYTES: u64 = 2 << 30;

/// Options of an import that are not read from the model.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Id of the model; the name of its new folder in lower case if not given.
    pub id: Option<String>,
    /// Name for people; the id if not given.
    pub name: Option<String>,
    /// Description of the model.
    pub description: Option<String>,
    /// Quality tier.
    pub tier: Tier,
    /// Source languages; from the vocabulary's languages, the tokeniser's configuration, an Argos package's description, the folder's name
    /// or, of a Firefox model, the files' names if empty.
    pub source_languages: Vec<String>,
    /// Target languages; likewise if empty.
    pub target_languages: Vec<String>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Attribution required by the licence.
    pub attribution: Option<String>,
    /// Keeps the weights of a model in Hugging Face's form in 32 bits.
    pub float32: bool,
    /// Bytes that a package may unpack to.
    pub max_unpacked_bytes: Option<u64>,
    /// Replaces an existing folder.
    pub force: bool,
}

/// Why a model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder lacks files.
    #[error("{} is not a {what}: there is no {}", directory.display(), missing.join(", no "))]
    Missing {
        /// The folder.
        directory: PathBuf,
        /// Name of the form.
        what: &'static str,
        /// Names of the missing files.
        missing: Vec<&'static str>,
    },
    /// The folder is one of Firefox Translations or Bergamot, and its files are not those of one model.
    #[error("{} is not a Firefox Translations or Bergamot model: {reason}", directory.display())]
    Firefox {
        /// The folder.
        directory: PathBuf,
        /// The error.
        reason: String,
    },
    /// The weights are there only as a Python pickle, which can run code when it is read.
    #[error(
        "{} has its weights in {PICKLED_WEIGHTS} only, which is not read because it can run code; save the model \
         again with transformers to get {WEIGHTS}: {CONVERT}",
        directory.display()
    )]
    Pickled {
        /// The folder.
        directory: PathBuf,
    },
    /// The weights are in several files.
    #[error(
        "{} has its weights in several files, which is not supported; save the model again in one: {SINGLE}",
        directory.display()
    )]
    Sharded {
        /// The folder.
        directory: PathBuf,
    },
    /// It is a model of another kind.
    #[error("{}: {kind}", path.display())]
    Kind {
        /// The folder or file.
        path: PathBuf,
        /// The kind.
        kind: Kind,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The error.
        reason: String,
    },
    /// The languages are neither in the model nor in the options.
    #[error("{0}")]
    Languages(String),
    /// The id cannot be one.
    #[error("invalid model id `{0}`: use lower-case letters, digits, `-`, `_` and `.`")]
    Id(String),
    /// The new folder already exists.
    #[error("{} already exists; use --force to replace it", .0.display())]
    Exists(PathBuf),
    /// The new folder cannot be written.
    #[error("writing {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
}

/// Imports the model in `from` into the new folder `into`: a Marian, M2M100, NLLB or mBART model as `save_pretrained` writes it, a CTranslate2
/// folder, an Argos package, or a folder of Firefox Translations or Bergamot.
///
/// # Errors
/// Any [`ImportError`]; nothing half-written stays.
pub fn import(from: &Path, into: &Path, options: &ImportOptions) -> Result<Model, ImportError> {
    if firefox::is_folder(from) {
        let source = firefox::Source::find(from)?;
        refuse_existing(into, options)?;
        let manifest = source.manifest(into, options)?;
        return place(into, manifest, |made| source.write(made));
    }
    if argos::is_package(from) {
        refuse_existing(into, options)?;
        let limit = options.max_unpacked_bytes;
        let (_scratch, folder) = argos::unpack(from, limit.unwrap_or(DEFAULT_MAX_UNPACKED_BYTES))?;
        return import_converted(&folder, from, into, options);
    }
    if argos::is_folder(from) || converted::is_folder(from) {
        refuse_existing(into, options)?;
        return import_converted(from, from, into, options);
    }
    if let Some(kind) = recognise(from) {
        let path = from.to_owned();
        return Err(ImportError::Kind { path, kind });
    }
    marian::check_files(from, &model_type(from).unwrap_or_default())?;
    refuse_existing(into, options)?;
    let source = marian::Source::read(from)?;
    let manifest = source.manifest(from, into, options)?;
    place(into, manifest, |made| source.write(from, made, options))
}

/// Imports a folder of CTranslate2 or an unpacked Argos package. Its name may tell the languages.
fn import_converted(
    folder: &Path,
    named: &Path,
    into: &Path,
    options: &ImportOptions,
) -> Result<Model, ImportError> {
    let source = match argos::is_folder(folder) {
        true => converted::Source::of_argos(folder)?,
        false => converted::Source::read(folder, folder)?,
    };
    let manifest = source.manifest(named, into, options)?;
    place(into, manifest, |made| source.write(made))
}

fn refuse_existing(into: &Path, options: &ImportOptions) -> Result<(), ImportError> {
    match into.exists() && !options.force {
        true => Err(ImportError::Exists(into.to_owned())),
        false => Ok(()),
    }
}

/// Has the files written, and puts the complete folder into its place.
fn place(
    into: &Path,
    mut manifest: Manifest,
    write: impl FnOnce(&Path) -> Result<BTreeMap<Role, FileEntry>, ImportError>,
) -> Result<Model, ImportError> {
    // Beside the final place, so that the move there is a rename.
    let parent = into
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| ImportError::Unwritable { path, source }
    };
    fs::create_dir_all(parent).map_err(unwritable(parent))?;
    let scratch = tempfile::Builder::new()
        .prefix(".importing-")
        .tempdir_in(parent)
        .map_err(unwritable(parent))?;
    let made = scratch.path().join("model");
    fs::create_dir(&made).map_err(unwritable(&made))?;
    manifest.files = write(&made)?;
    fs::write(made.join(FILE_NAME), manifest.to_toml()).map_err(unwritable(&made))?;
    if into.exists() {
        // It goes when the scratch folder goes.
        fs::rename(into, scratch.path().join("old")).map_err(unwritable(into))?;
    }
    fs::rename(&made, into).map_err(unwritable(into))?;
    Ok(Model::new(into.to_owned(), manifest))
}

/// The manifest of a new folder, without its files.
fn manifest(
    into: &Path,
    options: &ImportOptions,
    architecture: Architecture,
    languages: Languages,
    limits: Limits,
) -> Result<Manifest, ImportError> {
    let folder = into
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase());
    let id = options.id.clone().or(folder).unwrap_or_default();
    if !crate::manifest::is_id(&id) {
        return Err(ImportError::Id(id));
    }
    let or = |text: &Option<String>, default: &str| {
        text.clone()
            .filter(|text| !text.trim().is_empty())
            .unwrap_or_else(|| default.into())
    };
    let description = format!(
        "{} to {}",
        listed(&languages.sources),
        listed(&languages.targets)
    );
    Ok(Manifest {
        name: or(&options.name, &id),
        description: or(&options.description, &description),
        architecture,
        source_languages: languages.sources,
        target_languages: languages.targets,
        tier: options.tier,
        licence: or(&options.licence, "unspecified"),
        attribution: or(&options.attribution, "unspecified"),
        language_token: languages.token,
        target_token: languages.target_token,
        source_end: languages.source_end,
        language_codes: languages.codes,
        limits,
        confidence: None,
        endpoint: None,
        files: BTreeMap::new(),
        id,
    })
}

/// Languages, or their number where they are many.
fn listed(languages: &[String]) -> String {
    const MOST: usize = 10;
    match languages.len() {
        0..=MOST => languages.join(", "),
        count => format!("{count} languages"),
    }
}

/// Copies a file. `fs::copy` would pass a read-only source's permissions on.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::write(to, fs::read(from)?)
}

fn entry(directory: &Path, name: &str) -> io::Result<FileEntry> {
    let path = directory.join(name);
    let (sha256, bytes) = (digest::of_file(&path)?, fs::metadata(&path)?.len());
    Ok(FileEntry {
        name: name.to_owned(),
        sha256,
        bytes,
    })
}

fn same_content(a: &Path, b: &Path) -> bool {
    matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}
