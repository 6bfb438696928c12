//! Downloads that are kept: what was fetched once needs no network again.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use babelmesh_models::remote::unpack::{self, UnpackError};
use sha2::{Digest, Sha256};

use super::download::{Client, DownloadError, Limit};

/// Name of the folder in the cache.
const FOLDER: &str = "downloads";

/// A folder of downloads, named by their checksums.
pub(super) struct Store {
    folder: PathBuf,
    /// Nothing is asked of the network.
    offline: bool,
}

impl Store {
    pub(super) fn open(cache: &Path, offline: bool) -> Result<Self> {
        let folder = cache.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { folder, offline })
    }

    /// A list: the present one, or with a warning the last one that was fetched if the server cannot be reached.
    pub(super) fn list(
        &self,
        client: &Client,
        url: &str,
        limit: Limit,
        warn: &dyn Fn(&str),
    ) -> Result<Vec<u8>> {
        let kept = self.folder.join(format!("{}.list", digest(url)));
        if self.offline {
            return fs::read(&kept)
                .with_context(|| format!("{url} was not fetched before, and --offline is given"));
        }
        match client.list(url, limit) {
            Ok(bytes) => {
                write(&kept, bytes.as_slice())?;
                Ok(bytes)
            }
            Err(error @ DownloadError::Unreachable { .. }) => {
                let bytes = fs::read(&kept).map_err(|_| error_of_network(error))?;
                warn(&format!(
                    "{url} cannot be reached; using the list that was fetched last"
                ));
                Ok(bytes)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A file with this checksum. Where the server gives none, its address names it: it must be one whose content never changes.
    pub(super) fn file(
        &self,
        client: &Client,
        url: &str,
        sha256: Option<&str>,
        limit: Limit,
        progress: &dyn Fn(u64),
    ) -> Result<PathBuf> {
        let name = sha256.map_or_else(|| digest(url), ToOwned::to_owned);
        let at = |end: &str| self.folder.join(format!("{name}{end}"));
        let (kept, part, lock) = (at(""), at(".part"), at(".lock"));
        // Models share files, and other processes fetch them too: the second one finds the file there.
        let lock = File::create(&lock).with_context(|| format!("writing {}", lock.display()))?;
        lock.lock().context("locking a download")?;
        if kept.is_file() {
            match sha256.map_or(Ok(()), |sha256| unpack::check(&kept, sha256)) {
                Ok(()) => {
                    progress(fs::metadata(&kept).map_or(0, |metadata| metadata.len()));
                    return Ok(kept);
                }
                // Damaged since: fetched again.
                Err(UnpackError::Checksum { .. }) => fs::remove_file(&kept)?,
                Err(error) => return Err(error.into()),
            }
        }
        if self.offline {
            bail!("{url} was not fetched before, and --offline is given");
        }
        let was_begun = fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0);
        self.complete(client, url, &part, sha256, limit, progress)
            .or_else(|error| match error.downcast_ref::<UnpackError>() {
                // The beginning may be of something else: once from the start.
                Some(UnpackError::Checksum { .. }) if was_begun => {
                    self.complete(client, url, &part, sha256, limit, progress)
                }
                _ => Err(error),
            })?;
        fs::rename(&part, &kept).with_context(|| format!("writing {}", kept.display()))?;
        Ok(kept)
    }

    fn complete(
        &self,
        client: &Client,
        url: &str,
        part: &Path,
        sha256: Option<&str>,
        limit: Limit,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        client
            .file(url, part, limit, progress)
            .map_err(error_of_network)?;
        let Some(sha256) = sha256 else {
            return Ok(());
        };
        unpack::check(part, sha256).map_err(|error| {
            // It cannot be resumed.
            let _ = fs::remove_file(part);
            anyhow::Error::new(error).context(url.to_owned())
        })
    }
}

/// Says what to do where nothing answers.
fn error_of_network(error: DownloadError) -> anyhow::Error {
    let is_unreachable = matches!(error, DownloadError::Unreachable { .. });
    let error = anyhow::Error::new(error);
    match is_unreachable {
        true => error.context("the network failed; check HTTPS_PROXY and NO_PROXY, or use a mirror with --registry or --hub"),
        false => error,
    }
}

/// Writes a file so that it is complete or absent.
pub(super) fn write(path: &Path, mut bytes: impl io::Read) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut written = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::copy(&mut bytes, &mut file)?;
        // A web server of another user may serve it.
        file.as_file()
            .set_permissions(Permissions::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    written().with_context(|| format!("writing {}", path.display()))
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
