//! Documents that are ZIP archives.

use std::{
    collections::HashMap,
    io::{Cursor, Read, Write},
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

use crate::{DocumentError, Kind, Limits};

/// The entry that is first, and not compressed, where it is there at all.
pub(crate) const MIMETYPE: &str = "mimetype";

/// How OLE compound files begin: encrypted Office documents, and those in the format before 2007.
const COMPOUND: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
/// How ZIP archives begin.
const ZIP: &[u8] = b"PK\x03\x04";

/// A ZIP archive.
#[derive(Debug)]
pub(crate) struct Package {
    archive: ZipArchive<Cursor<Vec<u8>>>,
    kind: Kind,
    limits: Limits,
    /// Bytes that may still be unpacked.
    left: usize,
}

impl Package {
    /// Opens an archive.
    pub(crate) fn open(bytes: Vec<u8>, kind: Kind, limits: &Limits) -> Result<Self, DocumentError> {
        if bytes.starts_with(COMPOUND) {
            return Err(DocumentError::Compound);
        }
        let broken = |reason: &str| DocumentError::Broken {
            kind,
            reason: reason.to_owned(),
        };
        if !bytes.starts_with(ZIP) {
            return Err(broken("it is not a ZIP archive"));
        }
        let archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|_| broken("its ZIP archive is damaged or incomplete"))?;
        if archive.len() > limits.max_entries {
            return Err(DocumentError::TooLarge {
                what: "entries",
                limit: limits.max_entries,
                key: "documents.max_entries",
            });
        }
        if archive.has_duplicate_names() {
            return Err(broken("two entries have the same name"));
        }
        let mut package = Self {
            archive,
            kind,
            limits: *limits,
            left: limits.max_uncompressed_bytes,
        };
        package.check_entries()?;
        Ok(package)
    }

    /// Refuses archives with encrypted entries.
    fn check_entries(&mut self) -> Result<(), DocumentError> {
        let unreadable = self.broken("the name of an entry is not readable");
        for number in 0..self.archive.len() {
            let entry = self.archive.by_index_raw(number);
            let entry = entry.map_err(|error| damaged(self.kind, &error))?;
            if entry.encrypted() {
                return Err(DocumentError::Encrypted);
            }
            if entry.name().is_err() {
                return Err(unreadable);
            }
        }
        Ok(())
    }

    pub(crate) fn broken(&self, reason: impl Into<String>) -> DocumentError {
        DocumentError::Broken {
            kind: self.kind,
            reason: reason.into(),
        }
    }

    /// Whether there is an entry of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// The text of an entry.
    pub(crate) fn read(&mut self, name: &str) -> Result<String, DocumentError> {
        let too_large = DocumentError::TooLarge {
            what: "bytes when it is unpacked",
            limit: self.limits.max_uncompressed_bytes,
            key: "documents.max_uncompressed_bytes",
        };
        if !self.has(name) {
            let name: String = name.chars().take(100).collect();
            return Err(self.broken(format!("it has no entry {name:?}")));
        }
        let kind = self.kind;
        let unreadable = self.broken("an entry is damaged");
        let entry = self.archive.by_name(name);
        let entry = entry.map_err(|error| damaged(kind, &error))?;
        let mut bytes = Vec::new();
        // Whatever the entry says of its size.
        let limit = u64::try_from(self.left).unwrap_or(u64::MAX);
        entry
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|_| unreadable)?;
        self.left = self.left.checked_sub(bytes.len()).ok_or(too_large)?;
        String::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8 {
            part: name.chars().take(100).collect(),
        })
    }

    /// The archive with other texts for some entries. All others are copied as they are, without being unpacked.
    pub(crate) fn write(
        mut self,
        replaced: &HashMap<String, String>,
    ) -> Result<Vec<u8>, DocumentError> {
        let kind = self.kind;
        let written = self.write_entries(replaced);
        written.map_err(|error| damaged(kind, &error))
    }

    fn write_entries(&mut self, replaced: &HashMap<String, String>) -> Result<Vec<u8>, ZipError> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let first = match self.kind {
            Kind::Odt | Kind::Epub => self.archive.index_for_name(MIMETYPE),
            _ => None,
        };
        if let Some(first) = first {
            let mut text = String::new();
            let entry = self.archive.by_index(first)?;
            // The media type was read when the document was opened.
            entry.take(1 << 10).read_to_string(&mut text)?;
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            writer.start_file(MIMETYPE, options)?;
            writer.write_all(text.as_bytes())?;
        }
        for number in 0..self.archive.len() {
            if Some(number) == first {
                continue;
            }
            let entry = self.archive.by_index_raw(number)?;
            let name = entry.name()?.into_owned();
            let Some(text) = replaced.get(&name) else {
                writer.raw_copy_file(entry)?;
                continue;
            };
            let mut options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            if let Some(time) = entry.last_modified() {
                options = options.last_modified_time(time);
            }
            drop(entry);
            writer.start_file(name, options)?;
            writer.write_all(text.as_bytes())?;
        }
        Ok(writer.finish()?.into_inner())
    }
}

/// An error of the archive, without names or content of entries.
fn damaged(kind: Kind, error: &ZipError) -> DocumentError {
    let reason = match error {
        ZipError::UnsupportedArchive(_) => "its ZIP archive has a feature that is not supported",
        _ => "its ZIP archive is damaged or incomplete",
    };
    DocumentError::Broken {
        kind,
        reason: reason.to_owned(),
    }
}
