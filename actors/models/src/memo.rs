//! Files whose digest was verified and that have not changed since.
//!
//! Reading sixty models at each start of a node takes long. A file is read again only when its size, its times, its inode or
//! its expected digest differ from those at the last verification.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::digest;

/// The verified files of one model, kept in a file.
#[derive(Debug)]
pub(crate) struct VerificationMemo {
    file: PathBuf,
    verified: BTreeMap<PathBuf, Verified>,
    changed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Verified {
    stamp: Stamp,
    sha256: String,
}

/// What changes with the content of a file. The time of the last status change is included because, unlike the time
/// of the last modification, no program can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    status_changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            status_changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl VerificationMemo {
    /// Reads a memo. One that is missing or damaged knows no file, so every file is read.
    pub(crate) fn open(file: &Path) -> Self {
        let text = fs::read(file).unwrap_or_default();
        Self {
            verified: serde_json::from_slice(&text).unwrap_or_default(),
            ..Self::empty(file)
        }
    }

    /// A memo that knows no file.
    pub(crate) fn empty(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            verified: BTreeMap::new(),
            changed: false,
        }
    }

    /// Compares a file with its SHA-256. The answer is the digest found, when it is another one.
    pub(crate) fn verify(&mut self, path: &Path, sha256: &str) -> io::Result<Result<(), String>> {
        let stamp = Stamp::of(path)?;
        let known = |known: &Verified| known.stamp == stamp && known.sha256 == sha256;
        if self.verified.get(path).is_some_and(known) {
            return Ok(Ok(()));
        }
        let found = digest::of_file(path)?;
        if found != sha256 {
            return Ok(Err(found));
        }
        // A file that is written to meanwhile is read again next time.
        if Stamp::of(path)? == stamp {
            let sha256 = found;
            self.verified
                .insert(path.to_owned(), Verified { stamp, sha256 });
            self.changed = true;
        }
        Ok(Ok(()))
    }

    /// Keeps what was verified since the memo was opened. If the memo cannot be written, the next start is slower.
    pub(crate) fn save(&mut self) {
        if !self.changed {
            return;
        }
        self.verified.retain(|path, _| path.exists());
        self.changed = self.write().is_err();
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let text = serde_json::to_vec(&self.verified)?;
        let new = tempfile::NamedTempFile::new_in(folder)?;
        fs::write(new.path(), text)?;
        new.persist(&self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, memo) = (folder.path().join("a"), folder.path().join("memo"));
        fs::write(&path, "abc").unwrap();
        let abc = digest::of_bytes(b"abc");
        let mut first = VerificationMemo::open(&memo);
        assert_eq!(first.verify(&path, &abc).unwrap(), Ok(()));
        assert!(first.changed);
        first.save();

        let mut second = VerificationMemo::open(&memo);
        assert_eq!(second.verify(&path, &abc).unwrap(), Ok(()));
        assert!(!second.changed, "it was read again");
        let other = digest::of_bytes(b"xyz");
        assert_eq!(second.verify(&path, &other).unwrap(), Err(abc.clone()));

        // The same length, and the old time of modification.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "xyz").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        let mut third = VerificationMemo::open(&memo);
        assert_eq!(third.verify(&path, &abc).unwrap(), Err(other));
    }

    #[test]
    fn a_damaged_memo_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, memo) = (folder.path().join("a"), folder.path().join("memo"));
        fs::write(&path, "abc").unwrap();
        for content in [&b""[..], b"\0\0\0\0", b"{\"a\": 1}"] {
            fs::write(&memo, content).unwrap();
            let mut memo = VerificationMemo::open(&memo);
            let abc = digest::of_bytes(b"abc");
            assert_eq!(memo.verify(&path, &abc).unwrap(), Ok(()));
            assert!(memo.changed);
        }
    }
}
