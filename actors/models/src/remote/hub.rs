//! Models of the Hugging Face Hub, by its documented addresses.

use std::fmt;

use serde::Deserialize;

use super::{is_file_name, is_location};

/// A repository of the Hub: `OWNER/NAME`, optionally `@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    owner: String,
    name: String,
    revision: String,
}

/// The file that tells the type of a model.
pub const CONFIG: &str = "config.json";

/// Files of a model beside its configuration, and whether it can do without them. The weights are last.
#[must_use]
pub fn files(model_type: Option<&str>) -> &'static [(&'static str, bool)] {
    match model_type {
        Some("m2m_100" | "mbart") => &[
            ("sentencepiece.bpe.model", false),
            ("vocab.json", true),
            ("generation_config.json", true),
            ("tokenizer_config.json", true),
            ("special_tokens_map.json", true),
            ("added_tokens.json", true),
            ("tokenizer.json", true),
            ("README.md", true),
            ("model.safetensors", false),
        ],
        _ => &[
            ("vocab.json", false),
            ("source.spm", false),
            ("target.spm", false),
            ("generation_config.json", true),
            ("tokenizer_config.json", true),
            ("README.md", true),
            ("model.safetensors", false),
        ],
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        match self.revision.as_str() {
            "main" => Ok(()),
            revision => write!(f, "@{revision}"),
        }
    }
}

impl Repository {
    /// Reads `OWNER/NAME[@REVISION]`.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
        match path.split_once('/') {
            Some((owner, name))
                if [owner, name].iter().all(|part| is_file_name(part)) && is_location(revision) =>
            {
                Ok(Self {
                    owner: owner.to_owned(),
                    name: name.to_owned(),
                    revision: revision.to_owned(),
                })
            }
            _ => Err(format!("`{text}` is not OWNER/NAME or OWNER/NAME@REVISION")),
        }
    }

    /// Name of the model, and of its folder.
    #[must_use]
    pub fn id(&self) -> String {
        self.name.to_ascii_lowercase().replace('+', "-")
    }

    /// Path of the description below the address of the Hub. A revision such as `refs/pr/4` is one part of it.
    #[must_use]
    pub fn description_path(&self) -> String {
        let revision = self.revision.replace('+', "%2B").replace('/', "%2F");
        format!(
            "api/models/{}/{}/revision/{revision}?blobs=true",
            self.owner, self.name
        )
    }

    /// Path of a file, at the commit of the description.
    #[must_use]
    pub fn file_path(&self, commit: &str, file: &str) -> String {
        format!("{}/{}/resolve/{commit}/{file}", self.owner, self.name)
    }
}

/// What the Hub says about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Commit of the revision.
    pub commit: String,
    /// Licence of the model.
    pub licence: Option<String>,
    /// Files.
    pub files: Vec<File>,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// SHA-256, which the Hub knows of large files only.
    pub sha256: Option<String>,
}

/// Reads a description.
///
/// # Errors
/// A sentence.
pub fn description(bytes: &[u8]) -> Result<Description, String> {
    #[derive(Deserialize)]
    struct Wire {
        sha: String,
        #[serde(default)]
        siblings: Vec<Sibling>,
        #[serde(default, rename = "cardData")]
        card: Option<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct Sibling {
        rfilename: String,
        #[serde(default)]
        lfs: Option<Large>,
    }
    #[derive(Deserialize)]
    struct Large {
        sha256: String,
    }
    let wire: Wire = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let is_commit = wire.sha.len() == 40 && wire.sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit {
        return Err("the commit is not one".into());
    }
    let licence = wire
        .card
        .as_ref()
        .and_then(|card| card.get("license")?.as_str());
    let is_plain = |text: &&str| text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic());
    Ok(Description {
        commit: wire.sha,
        licence: licence.filter(is_plain).map(ToOwned::to_owned),
        files: wire
            .siblings
            .into_iter()
            .map(|file| File {
                name: file.rfilename,
                sha256: file.lfs.map(|large| large.sha256),
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_and_paths_are_not() {
        let repository = Repository::parse("Helsinki-NLP/opus-mt-en-fr").unwrap();
        assert_eq!(repository.id(), "opus-mt-en-fr");
        assert_eq!(
            repository.description_path(),
            "api/models/Helsinki-NLP/opus-mt-en-fr/revision/main?blobs=true"
        );
        assert_eq!(
            repository.file_path("c0", "vocab.json"),
            "Helsinki-NLP/opus-mt-en-fr/resolve/c0/vocab.json"
        );
        let pinned = Repository::parse("a/b@v1.0").unwrap();
        assert_eq!(pinned.to_string(), "a/b@v1.0");
        let proposed = Repository::parse("a/b@refs/pr/4").unwrap();
        assert_eq!(
            proposed.description_path(),
            "api/models/a/b/revision/refs%2Fpr%2F4?blobs=true"
        );
        for bad in [
            "", "a", "a/", "/b", "../b", "a/..", "a/b/c", "a/b@", "a/b@../x", "a/b@/x", "a/b?x",
            "a b/c",
        ] {
            assert!(Repository::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_description_is_read() {
        let text = format!(
            r#"{{"sha": "{}", "cardData": {{"license": "apache-2.0"}}, "siblings": [{{"rfilename": "x", "lfs": {{"sha256": "y"}}}}]}}"#,
            "a".repeat(40)
        );
        let read = description(text.as_bytes()).unwrap();
        assert_eq!(
            (read.licence.as_deref(), read.files.len()),
            (Some("apache-2.0"), 1)
        );
        assert!(description(br#"{"sha": "../../x"}"#).is_err());
        assert!(description(b"<html>").is_err());
    }
}
