//! Argos packages: a CTranslate2 model with a SentencePiece model and a description, in one folder of a zip file.
//!
//! ```text
//! translate-en_es-1_0/metadata.json
//! translate-en_es-1_0/sentencepiece.model
//! translate-en_es-1_0/model/model.bin     and the other files of a CTranslate2 folder
//! ```
//!
//! Only these files are unpacked; the sentence splitter (`stanza/`) is not used.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tempfile::TempDir;
use zip::{ZipArchive, result::ZipError};

use super::{ImportError, kind::kind};

/// Most files of a package.
const MAX_ENTRIES: usize = 10_000;
/// Largest description.
const MAX_METADATA: u64 = 1 << 20;
const METADATA: &str = "metadata.json";
const MODEL: &str = "model";
pub(super) const SPM: &str = "sentencepiece.model";
/// Files that are unpacked in addition to the description.
const WANTED: [&str; 3] = [METADATA, SPM, BPE];
/// The units of subword-nmt, which some packages have instead.
const BPE: &str = "bpe.model";

/// The used part of `metadata.json`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) from_code: Option<String>,
    #[serde(default)]
    pub(super) to_code: Option<String>,
    /// The token that translations begin with; empty or missing in most packages.
    #[serde(default)]
    pub(super) target_prefix: Option<String>,
}

/// Whether a file is a package.
pub(super) fn is_package(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|end| end == "argosmodel")
}

/// Whether a folder is an unpacked package.
pub(super) fn is_folder(directory: &Path) -> bool {
    directory.join(METADATA).is_file() && model_folder(directory).join("model.bin").is_file()
}

/// The CTranslate2 folder in an unpacked package.
pub(super) fn model_folder(directory: &Path) -> PathBuf {
    directory.join(MODEL)
}

/// Reads the description of an unpacked package.
pub(super) fn metadata(directory: &Path) -> Result<Metadata, ImportError> {
    let path = directory.join(METADATA);
    if directory.join(BPE).is_file() && !directory.join(SPM).is_file() {
        let advice = "its subword-nmt units (bpe.model) are not supported; only packages with sentencepiece.model are";
        return Err(ImportError::Kind {
            path: directory.to_owned(),
            kind: kind("an Argos package", advice),
        });
    }
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_METADATA).read_to_end(&mut bytes));
    let parsed = read
        .map_err(|error| error.to_string())
        .and_then(|_| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
    parsed.map_err(|reason| ImportError::Content { path, reason })
}

/// Unpacks the used files of a package, at most `limit` bytes. Returns the folder with the description, which is in the temporary one.
pub(super) fn unpack(package: &Path, limit: u64) -> Result<(TempDir, PathBuf), ImportError> {
    let content = |reason: String| ImportError::Content {
        path: package.to_owned(),
        reason,
    };
    let damaged = |error: ZipError| content(format!("damaged zip file: {error}"));
    let file = File::open(package).map_err(|error| content(error.to_string()))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(damaged)?;
    if archive.len() > MAX_ENTRIES {
        return Err(content(format!("it has more than {MAX_ENTRIES} files")));
    }
    let scratch = tempfile::tempdir().map_err(|error| content(error.to_string()))?;
    let (mut root, mut left) = (None, limit);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let Some(name) = entry.enclosed_name().filter(|_| !entry.is_symlink()) else {
            let name = String::from_utf8_lossy(entry.name_raw());
            let name = name.escape_debug();
            return Err(content(format!(
                "its entry {name} leads outside the package"
            )));
        };
        let Some(inside) = wanted(&name).filter(|_| entry.is_file()) else {
            continue;
        };
        let folder = name
            .components()
            .next()
            .map(|first| first.as_os_str().to_owned());
        if root.get_or_insert_with(|| folder.clone()) != &folder {
            return Err(content("it has several packages".into()));
        }
        let to = scratch.path().join(inside);
        left -= write(&mut entry, &to, left).map_err(|error| match error {
            Some(error) => content(format!("unpacking {}: {error}", shown_name(&name))),
            None => content(format!("it unpacks to more than {limit} bytes")),
        })?;
    }
    match root {
        Some(_) => {
            let folder = scratch.path().to_owned();
            Ok((scratch, folder))
        }
        None => Err(content(format!("it has no {METADATA}"))),
    }
}

fn shown_name(name: &Path) -> String {
    name.display().to_string().escape_debug().to_string()
}

/// The path of an entry below the package's own folder, if it is used.
fn wanted(name: &Path) -> Option<PathBuf> {
    let mut parts = name.iter();
    parts.next()?;
    let inside = parts.as_path().to_owned();
    let parts = inside
        .iter()
        .map(|part| part.to_str())
        .collect::<Option<Vec<_>>>()?;
    let is_wanted = match parts[..] {
        [file] => WANTED.contains(&file),
        [folder, _] => folder == MODEL,
        _ => false,
    };
    is_wanted.then_some(inside)
}

/// Writes an entry. The error is `None` if it is longer than `limit`, whatever its header says.
fn write(entry: &mut impl Read, to: &Path, limit: u64) -> Result<u64, Option<io::Error>> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(to)?;
    let written = io::copy(&mut entry.take(limit.saturating_add(1)), &mut file)?;
    match written > limit {
        true => Err(None),
        false => Ok(written),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn unpacked(entries: &[(&str, &[u8])], limit: u64) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.argosmodel");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in entries {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        let (_kept, root) = unpack(&path, limit).map_err(|error| error.to_string())?;
        let mut names = Vec::new();
        for directory in [root.clone(), root.join(MODEL)] {
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let files = entries.filter(|entry| entry.path().is_file());
            names.extend(files.map(|entry| entry.file_name().into_string().unwrap()));
        }
        names.sort();
        Ok(names)
    }

    #[test]
    fn only_the_files_that_are_used_are_unpacked() {
        let entries: [(&str, &[u8]); 6] = [
            ("p/metadata.json", b"{}"),
            ("p/README.md", b""),
            ("p/sentencepiece.model", b"x"),
            ("p/model/model.bin", b"x"),
            ("p/stanza/en/tokenize.pt", b"x"),
            ("p/model/a/b", b"x"),
        ];
        let names = unpacked(&entries, 100).unwrap();
        assert_eq!(names, ["metadata.json", "model.bin", "sentencepiece.model"]);
    }

    #[test]
    fn entries_that_lead_outside_are_refused() {
        for name in [
            "../metadata.json",
            "p/../../metadata.json",
            "/p/metadata.json",
        ] {
            let result = unpacked(&[("p/metadata.json", b"{}"), (name, b"{}")], 100);
            let is_inside = result
                .as_ref()
                .is_ok_and(|names| names == &["metadata.json"]);
            let is_refused = result
                .as_ref()
                .is_err_and(|error| error.contains("leads outside"));
            assert!(
                is_refused || (is_inside && name.starts_with('/')),
                "{name}: {result:?}"
            );
        }
    }

    #[test]
    fn a_package_that_unpacks_to_too_much_is_refused() {
        let zeros = vec![0; 1 << 20];
        let entries: [(&str, &[u8]); 2] =
            [("p/metadata.json", b"{}"), ("p/model/model.bin", &zeros)];
        let error = unpacked(&entries, 1 << 20).unwrap_err();
        assert!(
            error.ends_with("it unpacks to more than 1048576 bytes"),
            "{error}"
        );
        assert!(unpacked(&entries, (1 << 20) + 2).is_ok());
    }

    #[test]
    fn a_zip_without_a_package_and_one_with_two_are_refused() {
        let error = unpacked(&[("a", b"")], 100).unwrap_err();
        assert!(error.ends_with("it has no metadata.json"), "{error}");
        let error =
            unpacked(&[("a/metadata.json", b""), ("b/metadata.json", b"")], 100).unwrap_err();
        assert!(error.ends_with("it has several packages"), "{error}");
    }
}
