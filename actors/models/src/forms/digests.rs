//! `SHA256SUMS`: the digests of a form's files, as `sha256sum --check` reads them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::ENGINE_FILE;
use crate::{digest, memo::VerificationMemo};

/// Name of the list in a form's folder.
pub(super) const DIGESTS: &str = "SHA256SUMS";

/// How a form differs from what was derived.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A file cannot be read; most often because it is missing.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The list of digests is not complete.
    #[error("{} is not a complete list of digests", .0.display())]
    List(PathBuf),
    /// A file has another content.
    #[error("{} does not match its digest", .0.display())]
    Content(PathBuf),
}

/// Writes the list of digests of everything in a form's folder.
pub(super) fn write(form: &Path) -> io::Result<()> {
    let entries = fs::read_dir(form)?.collect::<io::Result<Vec<_>>>()?;
    let mut lines = Vec::with_capacity(entries.len());
    for entry in entries {
        let digest = digest::of_file(&entry.path())?;
        lines.push(format!("{digest}  {}\n", entry.file_name().display()));
    }
    fs::write(form.join(DIGESTS), lines.concat())
}

/// Compares a form's files with their digests. Files that the memo knows are not read.
pub(super) fn check(form: &Path, memo: &mut VerificationMemo) -> Result<(), Damage> {
    let list = form.join(DIGESTS);
    let text = fs::read_to_string(&list).map_err(|source| Damage::Unreadable {
        path: list.clone(),
        source,
    })?;
    let mut has_engine_file = false;
    for line in text.lines() {
        let (sha256, name) = line
            .split_once("  ")
            .ok_or_else(|| Damage::List(list.clone()))?;
        has_engine_file |= name == ENGINE_FILE;
        let path = form.join(name);
        match memo.verify(&path, sha256) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Damage::Content(path)),
            Err(source) => return Err(Damage::Unreadable { path, source }),
        }
    }
    match has_engine_file {
        true => Ok(()),
        false => Err(Damage::List(list)),
    }
}
