//! Import of Marian models from Hugging Face's form.
//!
//! The imported folder holds each number once: position tables, which follow from the configuration, and copies of the
//! embedding table are dropped, and weights are stored in 16 bits unless asked otherwise. The folder is written
//! beside its final place and moved there when it is complete.

mod languages;
mod tensors;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    digest,
    manifest::{Architecture, FILE_NAME, FileEntry, Limits, Manifest, Role, Tier},
    marian::{self, MarianConfig},
    model::Model,
    weights::{Weights, Width},
};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const VOCABULARY: &str = "vocab.json";
const SOURCE_SPM: &str = "source.spm";
const TARGET_SPM: &str = "target.spm";
const WEIGHTS: &str = "model.safetensors";
const PICKLED_WEIGHTS: &str = "pytorch_model.bin";

/// What an import cannot read from the model itself, or should not.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Id of the model; the name of its new folder if not given.
    pub id: Option<String>,
    /// Name for people; the id if not given.
    pub name: Option<String>,
    /// What the model is good for.
    pub description: Option<String>,
    /// Quality tier.
    pub tier: Tier,
    /// Source languages; from the tokeniser's configuration or the folder's name if empty.
    pub source_languages: Vec<String>,
    /// Target languages; from the vocabulary's language tokens, the tokeniser's configuration or the folder's
    /// name if empty.
    pub target_languages: Vec<String>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Whom the licence wants named.
    pub attribution: Option<String>,
    /// Keeps the weights in 32 bits.
    pub float32: bool,
    /// Replaces a folder that is there already.
    pub force: bool,
}

/// Why a model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder lacks files.
    #[error("{} is not a Hugging Face Marian model: there is no {}", directory.display(), missing.join(", no "))]
    Missing {
        /// The folder.
        directory: PathBuf,
        /// Names of the missing files.
        missing: Vec<&'static str>,
    },
    /// The weights are there only as a Python pickle, which can run code when it is read.
    #[error(
        "{} has its weights in {PICKLED_WEIGHTS} only, which is not read because it can run code; save the model \
         again with transformers (safe_serialization=True) to get {WEIGHTS}",
        directory.display()
    )]
    Pickled {
        /// The folder.
        directory: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The languages are neither in the model nor in the options.
    #[error("{0}")]
    Languages(String),
    /// The id cannot be one.
    #[error("`{0}` cannot be a model's id: lower-case letters, digits, `-`, `_` and `.` only")]
    Id(String),
    /// The new folder is there already.
    #[error("{} is there already; force replaces it", .0.display())]
    Exists(PathBuf),
    /// The new folder cannot be written.
    #[error("writing {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Imports the Marian model in `from`, as `save_pretrained` writes it, into the new folder `into`.
///
/// # Errors
/// Any [`ImportError`]; nothing half-written stays.
pub fn import(from: &Path, into: &Path, options: &ImportOptions) -> Result<Model, ImportError> {
    check_files(from)?;
    if into.exists() && !options.force {
        return Err(ImportError::Exists(into.to_owned()));
    }
    let source = Source::read(from)?;
    let mut manifest = source.manifest(from, into, options)?;

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
    manifest.files = source.write(from, &made, options)?;
    fs::write(made.join(FILE_NAME), manifest.to_toml()).map_err(unwritable(&made))?;
    if into.exists() {
        // It goes when the scratch folder goes.
        fs::rename(into, scratch.path().join("old")).map_err(unwritable(into))?;
    }
    fs::rename(&made, into).map_err(unwritable(into))?;
    Ok(Model::new(into.to_owned(), manifest))
}

fn check_files(directory: &Path) -> Result<(), ImportError> {
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
struct Source {
    config: MarianConfig,
    vocabulary: Vec<String>,
    weights: Weights,
}

impl Source {
    fn read(from: &Path) -> Result<Self, ImportError> {
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

    fn manifest(
        &self,
        from: &Path,
        into: &Path,
        options: &ImportOptions,
    ) -> Result<Manifest, ImportError> {
        let folder = into
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let id = options.id.clone().or(folder).unwrap_or_default();
        if !crate::manifest::is_id(&id) {
            return Err(ImportError::Id(id));
        }
        let languages = languages::find(from, &self.vocabulary, options)?;
        let positions = u32::try_from(self.config.max_position_embeddings).unwrap_or(u32::MAX);
        let or = |text: &Option<String>, default: &str| {
            text.clone()
                .filter(|text| !text.trim().is_empty())
                .unwrap_or_else(|| default.into())
        };
        let description = format!(
            "{} to {}",
            languages.sources.join(", "),
            languages.targets.join(", ")
        );
        Ok(Manifest {
            name: or(&options.name, &id),
            description: or(&options.description, &description),
            architecture: Architecture::Marian,
            source_languages: languages.sources,
            target_languages: languages.targets,
            tier: options.tier,
            licence: or(&options.licence, "unspecified"),
            attribution: or(&options.attribution, "unspecified"),
            language_token: languages.token,
            limits: Limits {
                max_input_tokens: positions,
                max_output_tokens: positions,
            },
            files: BTreeMap::new(),
            id,
        })
    }

    /// Writes the model's files and says what they are.
    fn write(
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
            // Not `copy`, which would pass a read-only source's permissions on.
            fs::read(from.join(name))
                .and_then(|bytes| fs::write(into.join(name), bytes))
                .map_err(unwritable(name))?;
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
