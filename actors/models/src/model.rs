//! One model folder.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use babelmesh_domain::ConfidenceCurve;

use crate::{
    digest,
    manifest::{self, Manifest, ManifestError, Role, Tier},
    memo::VerificationMemo,
};

/// A model folder whose manifest has been read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    directory: PathBuf,
    manifest: Manifest,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no manifest, or it cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The manifest was refused.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The error.
        source: ManifestError,
    },
    /// Files are missing or are not those that the manifest describes.
    #[error("model {id}: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Files {
        /// The model.
        id: String,
        /// What is wrong with which file.
        problems: Vec<FileProblem>,
    },
}

/// What is wrong with a file of a model.
#[derive(Debug)]
pub struct FileProblem {
    /// The file.
    pub path: PathBuf,
    /// The error.
    pub defect: Defect,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.defect)
    }
}

/// How a file differs from its entry in the manifest.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It has another length.
    #[error("has {found} bytes, the manifest says {expected}")]
    Length {
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// It has another content.
    #[error("has SHA-256 {found}, the manifest says {expected}")]
    Digest {
        /// SHA-256 in the manifest.
        expected: String,
        /// SHA-256 of the file.
        found: String,
    },
}

impl Model {
    /// Reads the manifest of a model folder. Its files are not touched yet: see [`Self::verify`].
    ///
    /// # Errors
    /// [`ModelError::Unreadable`] and [`ModelError::Manifest`].
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        let path = directory.join(manifest::FILE_NAME);
        let text = fs::read_to_string(&path).map_err(|source| ModelError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let manifest =
            Manifest::parse(&text).map_err(|source| ModelError::Manifest { path, source })?;
        Ok(Self {
            directory: directory.to_owned(),
            manifest,
        })
    }

    pub(crate) fn new(directory: PathBuf, manifest: Manifest) -> Self {
        Self {
            directory,
            manifest,
        }
    }

    /// Unique name of the model.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// Quality tier of the model.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.manifest.tier
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same model with another calibration of its confidence, or none.
    #[must_use]
    pub fn with_confidence(&self, confidence: Option<ConfidenceCurve>) -> Self {
        let mut model = self.clone();
        model.manifest.confidence = confidence;
        model
    }

    /// Writes the manifest into the folder. A node that reads it meanwhile sees the old one or the new one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_manifest(&self) -> io::Result<()> {
        let path = self.directory.join(manifest::FILE_NAME);
        let new = path.with_extension("toml.new");
        fs::write(&new, self.manifest.to_toml())?;
        fs::rename(&new, &path)
    }

    /// The folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of the file of a role, if the model has one.
    #[must_use]
    pub fn path(&self, role: Role) -> Option<PathBuf> {
        let file = self.manifest.file(role)?;
        Some(self.directory.join(&file.name))
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        // Two roles may share a file.
        let files = self
            .manifest
            .files
            .values()
            .map(|file| (&file.name, file.bytes));
        files.collect::<BTreeMap<_, _>>().values().sum()
    }

    /// Checks that every file is there with the length and SHA-256 of the manifest.
    ///
    /// # Errors
    /// [`ModelError::Files`] with every problem at once.
    pub fn verify(&self) -> Result<(), ModelError> {
        self.check_each(|path, entry| {
            let found = digest::of_file(path)?;
            let same = found == entry.sha256;
            Ok(if same { Ok(()) } else { Err(found) })
        })
    }

    /// The same, without reading files that the memo knows.
    pub(crate) fn verify_with(&self, memo: &mut VerificationMemo) -> Result<(), ModelError> {
        self.check_each(|path, entry| memo.verify(path, &entry.sha256))
    }

    fn check_each(
        &self,
        mut check: impl FnMut(&Path, &manifest::FileEntry) -> io::Result<Result<(), String>>,
    ) -> Result<(), ModelError> {
        let problems = self
            .manifest
            .files
            .values()
            .filter_map(|entry| {
                let path = self.directory.join(&entry.name);
                let defect = match same_length(&path, entry.bytes) {
                    Ok(()) => defect(check(&path, entry), entry),
                    Err(defect) => Some(defect),
                };
                defect.map(|defect| FileProblem { path, defect })
            })
            .collect::<Vec<_>>();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ModelError::Files {
                id: self.id().to_owned(),
                problems,
            })
        }
    }
}

/// Result of a digest comparison.
fn defect(compared: io::Result<Result<(), String>>, entry: &manifest::FileEntry) -> Option<Defect> {
    match compared {
        Ok(Ok(())) => None,
        Ok(Err(found)) => Some(Defect::Digest {
            expected: entry.sha256.clone(),
            found,
        }),
        Err(error) => Some(error.into()),
    }
}

fn same_length(path: &Path, expected: u64) -> Result<(), Defect> {
    let found = fs::metadata(path)?.len();
    if found == expected {
        Ok(())
    } else {
        Err(Defect::Length { expected, found })
    }
}
