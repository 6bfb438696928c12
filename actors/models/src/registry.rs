//! The models of a node.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    manifest::{FILE_NAME, Tier},
    model::{Model, ModelError},
};

/// Models by their id.
#[derive(Debug, Clone, Default)]
pub struct ModelRegistry {
    models: BTreeMap<String, Model>,
}

/// Why folders of models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A folder cannot be listed.
    #[error("listing models in {}: {source}", directory.display())]
    Unreadable {
        /// The folder.
        directory: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// A model was refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Two folders hold a model of the same id.
    #[error("model id {id} is used twice, in {} and in {}", first.display(), second.display())]
    DuplicateId {
        /// The id.
        id: String,
        /// One folder.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
}

impl RegistryError {
    /// What the problem is with: the id of a model where it is known, else the name of its folder.
    #[must_use]
    pub fn subject(&self) -> String {
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or(path.as_os_str());
            name.to_string_lossy().into_owned()
        };
        match self {
            Self::Unreadable { directory, .. } => name(directory),
            Self::DuplicateId { id, .. } | Self::Model(ModelError::Files { id, .. }) => id.clone(),
            Self::Model(
                ModelError::Unreadable { path, .. } | ModelError::Manifest { path, .. },
            ) => name(path.parent().unwrap_or(path)),
        }
    }
}

impl ModelRegistry {
    /// Opens every model in these folders. A folder is a model itself (it has a `model.toml`), or
    /// holds one model in each subfolder that has one.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn scan(directories: &[&Path]) -> Result<Self, Vec<RegistryError>> {
        match Self::scan_usable(directories) {
            (registry, errors) if errors.is_empty() => Ok(registry),
            (_, errors) => Err(errors),
        }
    }

    /// The same, but what cannot be used does not hinder the rest: the models that can be used, and every problem. Of two models with the same
    /// id, the first one counts: in the order of the folders, then of the names of their subfolders.
    #[must_use]
    pub fn scan_usable(directories: &[&Path]) -> (Self, Vec<RegistryError>) {
        let mut registry = Self::default();
        let mut errors = Vec::new();
        for directory in directories {
            match model_directories(directory) {
                Ok(found) => {
                    let added = found.iter().map(|path| registry.add(path));
                    errors.extend(added.filter_map(Result::err));
                }
                Err(source) => {
                    let directory = directory.to_path_buf();
                    errors.push(RegistryError::Unreadable { directory, source });
                }
            }
        }
        (registry, errors)
    }

    fn add(&mut self, directory: &Path) -> Result<(), RegistryError> {
        let model = Model::open(directory)?;
        // The same folder may be named twice, by a link or by configuration.
        let same = |a: &Path, b: &Path| fs::canonicalize(a).ok() == fs::canonicalize(b).ok();
        match self.models.get(model.id()) {
            Some(known) if !same(known.directory(), directory) => Err(RegistryError::DuplicateId {
                id: model.id().to_owned(),
                first: known.directory().to_owned(),
                second: directory.to_owned(),
            }),
            _ => {
                self.models.insert(model.id().to_owned(), model);
                Ok(())
            }
        }
    }

    /// Number of models.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether there is no model.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Every model, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    /// The model of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.models.get(id)
    }

    /// Models that translate from `source` to `target`, lower tiers first, then by id.
    #[must_use]
    pub fn candidates(&self, source: &str, target: &str) -> Vec<&Model> {
        let mut found = self
            .iter()
            .filter(|m| m.manifest().translates(source, target))
            .collect::<Vec<_>>();
        found.sort_by_key(|model| model.tier());
        found
    }

    /// The model that translates from `source` to `target` in this very tier.
    #[must_use]
    pub fn find(&self, source: &str, target: &str, tier: Tier) -> Option<&Model> {
        self.candidates(source, target)
            .into_iter()
            .find(|model| model.tier() == tier)
    }
}

fn model_directories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    if directory.join(FILE_NAME).is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let mut found = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    found.retain(|path| path.join(FILE_NAME).is_file());
    found.sort();
    Ok(found)
}
