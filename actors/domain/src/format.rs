//! Formats of texts, and how they are divided into sentences.

mod xml;

use std::{error::Error, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

pub use xml::{InvalidElements, XmlOptions};

/// Characters of an unknown name that its error repeats.
const SHOWN_CHARS: usize = 40;

/// Format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Plain text, such as chat messages. Tags in it are treated as markup.
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

/// A name that is none of those that exist. Its message repeats the beginning of the name and lists the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What has the name.
    of: &'static str,
    name: String,
    supported: String,
}

impl UnknownName {
    fn new(of: &'static str, name: &str, supported: &[&str]) -> Self {
        Self {
            of,
            name: name.chars().take(SHOWN_CHARS).collect(),
            supported: supported.join(", "),
        }
    }

    /// The beginning of the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that exist, separated by commas.
    #[must_use]
    pub fn supported(&self) -> &str {
        &self.supported
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of,
            name,
            supported,
        } = self;
        write!(f, "unknown {of} {name:?}; supported: {supported}")
    }
}

impl Error for UnknownName {}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownName::new("format", name, &Self::ALL.map(Self::as_str)))
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// How a text is split into sentences, as in DeepL's `split_sentences`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Splitting {
    /// At sentence ends, and in plain text at line breaks.
    #[default]
    Sentences,
    /// At sentence ends; a single line break is a space.
    IgnoreLineBreaks,
    /// Not at all: blocks of markup and lines of plain text stay whole.
    Off,
}

impl Splitting {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Sentences, Self::IgnoreLineBreaks, Self::Off];

    /// Name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sentences => "sentences",
            Self::IgnoreLineBreaks => "ignoreLineBreaks",
            Self::Off => "off",
        }
    }
}

impl FromStr for Splitting {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|splitting| splitting.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownName::new("splitting", name, &Self::ALL.map(Self::as_str)))
    }
}

impl<'de> Deserialize<'de> for Splitting {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        name.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_written_in_one() {
        for format in Format::ALL {
            let upper = format.as_str().to_uppercase();
            assert_eq!(upper.parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        }
        for splitting in Splitting::ALL {
            let upper = splitting.as_str().to_uppercase();
            assert_eq!(upper.parse(), Ok(splitting));
            assert_eq!(serde_json::to_value(splitting).unwrap(), splitting.as_str());
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_exist_and_cut() {
        let long = "d".repeat(1_000);
        let error = long.parse::<Format>().unwrap_err().to_string();
        assert!(error.len() < 120, "{error}");
        for format in Format::ALL {
            assert!(error.contains(format.as_str()), "{error}");
        }
        let error = "lines".parse::<Splitting>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown splitting \"lines\"; supported: sentences, ignoreLineBreaks, off"
        );
    }
}
