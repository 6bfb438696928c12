//! The list of Firefox Translations models: JSON of Remote Settings, one record for each file.

use serde::Deserialize;
use serde_json::Value;

use super::is_location;
use crate::manifest::is_language;

/// Path of the list below the address of a registry.
pub const RECORDS: &str = "v1/buckets/main/collections/translations-models-v2/records";
/// Path of the description of a registry, which names the address of its files.
pub const SERVER: &str = "v1/";

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Weights.
    Model,
    /// Shortlist.
    Lex,
    /// Vocabulary of both languages.
    Vocab,
    /// Vocabulary of the source language.
    SrcVocab,
    /// Vocabulary of the target language.
    TrgVocab,
}

/// Size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// The smallest.
    Tiny,
    /// Of the size of `base`, made to use less memory.
    BaseMemory,
    /// The largest and best.
    Base,
}

impl Size {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Base, Self::BaseMemory, Self::Tiny];

    /// The name in records and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::BaseMemory => "base-memory",
            Self::Base => "base",
        }
    }

    /// The size with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.name() == name)
    }
}

/// The version of a model: `3.1`, or `3.0a1` before its release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    numbers: Vec<u64>,
    /// Sorts above every pre-release of the same numbers.
    released: bool,
    text: String,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (numbers, rest) = text.split_at(end.unwrap_or(text.len()));
        let numbers = numbers.split('.').map(|part| part.parse().ok());
        let numbers = numbers.collect::<Option<Vec<_>>>()?;
        let is_text = text.len() <= 32 && text.chars().all(|c| c.is_ascii_graphic());
        is_text.then(|| Self {
            numbers,
            released: rest.is_empty(),
            text: text.to_owned(),
        })
    }

    /// Whether it is a release.
    #[must_use]
    pub const fn is_released(&self) -> bool {
        self.released
    }

    /// Whether the engine `firefox` reads models of this version: those up to 3; a later major number stands for another form.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        matches!(self.numbers.first(), Some(1..=3))
    }

    /// As the record has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A file of a registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its purpose.
    pub kind: FileKind,
    /// Source language.
    pub source: String,
    /// Target language.
    pub target: String,
    /// Version of the model.
    pub version: Version,
    /// Size of the network.
    pub size: Size,
    /// Name of the unpacked file; used to tell kinds of weights apart, never as a path.
    pub name: String,
    /// Path of the download below the address of the files.
    pub location: String,
    /// Bytes of the download.
    pub bytes: u64,
    /// SHA-256 of the download.
    pub sha256: String,
    /// SHA-256 of the unpacked file, if it is compressed.
    pub unpacked_sha256: Option<String>,
    /// Whether it is for versions of Firefox before their release only.
    pub is_restricted: bool,
    /// The record as it was received, for a mirror.
    pub raw: Value,
}

/// Records, and how many were not understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Records {
    /// Those that are files of models.
    pub records: Vec<Record>,
    /// Number of others.
    pub skipped: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    name: String,
    file_type: FileKind,
    source_language: String,
    target_language: String,
    version: String,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    decompressed_hash: Option<String>,
    #[serde(default, rename = "filter_expression")]
    filter: Option<String>,
    attachment: Attachment,
}

#[derive(Deserialize)]
struct Attachment {
    location: String,
    hash: String,
    size: u64,
}

/// The parts of a list, as a server gives them out page by page, as one list.
///
/// # Errors
/// A sentence, if one of them is not a list.
pub fn join<'p>(pages: impl IntoIterator<Item = &'p [u8]>) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    for page in pages {
        let list: List = serde_json::from_slice(page).map_err(|error| error.to_string())?;
        data.extend(list.data);
    }
    Ok(serde_json::json!({ "data": data }).to_string().into_bytes())
}

#[derive(Deserialize)]
struct List {
    data: Vec<Value>,
}

/// Reads a list. Records that are not files of models are skipped, for other kinds are added over time.
///
/// # Errors
/// A sentence, if the text is not a list at all.
pub fn parse(bytes: &[u8]) -> Result<Records, String> {
    let list: List = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let all = list.data.len();
    let records: Vec<_> = list.data.into_iter().filter_map(record).collect();
    let skipped = all - records.len();
    Ok(Records { records, skipped })
}

fn record(raw: Value) -> Option<Record> {
    let wire = Wire::deserialize(&raw).ok()?;
    let is_tag = |tag: &str| tag.len() <= 32 && is_language(tag);
    let hashes = [Some(&wire.attachment.hash), wire.decompressed_hash.as_ref()];
    let is_sound = is_tag(&wire.source_language)
        && is_tag(&wire.target_language)
        && is_location(&wire.attachment.location)
        && hashes.into_iter().flatten().all(|hash| is_sha256(hash));
    if !is_sound {
        return None;
    }
    let size = match wire.architecture.as_deref() {
        None | Some("") => Size::Tiny,
        Some(name) => Size::parse(name)?,
    };
    // Filters also name operating systems, which do not matter here.
    let filter = wire.filter.unwrap_or_default();
    let is_restricted = filter.contains("channel") || filter.contains("versionCompare");
    Some(Record {
        kind: wire.file_type,
        source: wire.source_language,
        target: wire.target_language,
        version: Version::parse(&wire.version)?,
        size,
        name: wire.name,
        location: wire.attachment.location,
        bytes: wire.attachment.size,
        sha256: wire.attachment.hash,
        unpacked_sha256: wire.decompressed_hash,
        is_restricted,
        raw,
    })
}

fn is_sha256(hash: &str) -> bool {
    hash.len() == 64
        && hash
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The address of the files, if the description of a registry has it.
#[must_use]
pub fn files_address(server: &[u8]) -> Option<String> {
    let server: Value = serde_json::from_slice(server).ok()?;
    let address = server.pointer("/capabilities/attachments/base_url")?;
    address.as_str().map(ToOwned::to_owned)
}

/// The list of a mirror.
#[must_use]
pub fn list(records: &[&Record]) -> Vec<u8> {
    let data: Vec<_> = records.iter().map(|record| &record.raw).collect();
    serde_json::json!({ "data": data }).to_string().into_bytes()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::remote) fn raw(
        kind: &str,
        pair: (&str, &str),
        version: &str,
        size: &str,
    ) -> Value {
        json!({
            "name": format!("{kind}.{}{}.x", pair.0, pair.1), "fileType": kind, "sourceLanguage": pair.0, "targetLanguage": pair.1,
            "version": version, "architecture": size, "decompressedHash": "b".repeat(64), "filter_expression": "",
            "attachment": {"location": format!("w/c/{kind}-{version}.zst"), "hash": "a".repeat(64), "size": 5, "filename": "../x"},
        })
    }

    fn parsed(data: Value) -> Records {
        parse(json!({ "data": data }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_record_is_read() {
        let records = parsed(json!([raw("srcvocab", ("en", "zh-Hans"), "3.1", "base")]));
        let [record] = &records.records[..] else {
            panic!("{records:?}")
        };
        assert_eq!((record.kind, record.size), (FileKind::SrcVocab, Size::Base));
        assert_eq!(record.target, "zh-Hans");
        assert!(record.version.is_released() && !record.is_restricted);
    }

    #[test]
    fn hostile_and_unknown_records_are_skipped() {
        let with = |pointer: &str, value: Value| {
            let mut record = raw("model", ("en", "fr"), "3.0", "tiny");
            *record.pointer_mut(pointer).unwrap() = value;
            record
        };
        let bad = json!([
            with("/attachment/location", json!("../../etc/passwd")),
            with("/attachment/location", json!("/etc/passwd")),
            with("/attachment/hash", json!("short")),
            with("/attachment/size", json!(-1)),
            with("/decompressedHash", json!("../")),
            with("/sourceLanguage", json!("../../x")),
            with("/fileType", json!("executable")),
            with("/architecture", json!("huge")),
            with("/version", json!("latest")),
            with("/version", json!("99999999999999999999.0")),
            7,
        ]);
        assert_eq!(parsed(bad).skipped, 11);
    }

    #[test]
    fn what_is_not_a_list_is_an_error() {
        for text in ["", "[]", "{}", "<html>", r#"{"data": 3}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_and_releases_follow_their_drafts() {
        let texts = ["1.0", "2.9", "2.10", "3.0a1", "3.0", "3.1"];
        let versions: Vec<_> = texts.map(|text| Version::parse(text).unwrap()).into();
        assert!(versions.is_sorted());
        assert!(versions.iter().all(Version::is_supported));
        assert!(!Version::parse("4.0").unwrap().is_supported());
    }

    #[test]
    fn the_address_of_files_is_read_and_a_list_is_read_again() {
        let server =
            br#"{"capabilities": {"attachments": {"base_url": "https://files.example/"}}}"#;
        assert_eq!(
            files_address(server).as_deref(),
            Some("https://files.example/")
        );
        assert_eq!(files_address(b"<html>"), None);
        let records = parsed(json!([raw("model", ("en", "fr"), "3.0", "tiny")])).records;
        let again = parse(&list(&records.iter().collect::<Vec<_>>())).unwrap();
        assert_eq!(again.records, records);
    }
}
