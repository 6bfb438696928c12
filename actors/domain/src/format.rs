//! Formats of texts, and how they are divided into sentences.

use std::{error::Error, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Plain text, as people write it in a chat. Tags in it are markup all the same.
    #[default]
    Text,
    /// HTML, whole documents and fragments.
    Html,
    /// XML.
    Xml,
    /// `CommonMark` with tables, strikethrough, footnotes, task lists and mathematics.
    Markdown,
    /// `SubRip` subtitles.
    Srt,
    /// `WebVTT` subtitles.
    Vtt,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Html,
        Self::Xml,
        Self::Markdown,
        Self::Srt,
        Self::Vtt,
    ];

    /// Name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::Xml => "xml",
            Self::Markdown => "markdown",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A format that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Format::ALL.map(Format::as_str).join(", ");
        write!(f, "unknown format {:?}; supported: {known}", self.0)
    }
}

impl Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// How XML elements divide a text, as in DeepL's API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct XmlOptions {
    /// Elements whose content stays as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_tags: Vec<String>,
    /// Elements that end a sentence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splitting_tags: Vec<String>,
    /// Elements that never end a sentence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub non_splitting_tags: Vec<String>,
    /// Only `splittingTags` end sentences; otherwise elements that stand among elements alone do as well.
    pub no_outline_detection: bool,
}

/// How sentences are told apart, as in DeepL's `split_sentences`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Splitting {
    /// At sentence ends, and in plain text at line breaks.
    #[default]
    Sentences,
    /// At sentence ends; a single line break is a space.
    IgnoreLineBreaks,
    /// Not at all: blocks, and in plain text lines, stay whole.
    Off,
}
