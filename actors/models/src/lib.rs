//! Model directories.
//!
//! A model is a folder with a [`model.toml`](Manifest) and the files that it names. This crate opens and
//! [verifies](Model::verify) such folders, [finds](ModelRegistry) the model for a pair of languages,
//! [imports](import::import) models from Hugging Face's, CTranslate2's, Argos' and Firefox's forms, and derives the [form](forms::prepare)
//! that each engine loads. It links no ML library: weights are arrays of numbers here.
//!
//! ```no_run
//! use babelmesh_models::{EngineKind, ModelRegistry, Tier, forms};
//!
//! // Every manifest that cannot be read is reported, all at once.
//! let registry = ModelRegistry::scan(&["models".as_ref()]).map_err(|errors| format!("{errors:?}"))?;
//! let model = registry.find("en", "fr", Tier::Basic).expect("a model for English to French");
//! let directory = forms::prepare(model, EngineKind::Ctranslate2, "cache".as_ref())?.directory;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod digest;
mod families;
pub mod forms;
pub mod import;
pub mod manifest;
mod memo;
mod model;
pub mod quality;
mod registry;
pub mod remote;
pub mod spm;
mod transformer;
mod weights;

pub use forms::{EngineFile, EngineKind, FormError};
pub use manifest::{
    Architecture, Endpoint, FileEntry, Limits, Manifest, ManifestError, Role, Tier,
};
pub use model::{Defect, FileProblem, Model, ModelError};
pub use registry::{ModelRegistry, RegistryError};
