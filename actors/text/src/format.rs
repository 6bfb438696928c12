//! Formats of messages, and their division into units.
//!
//! [`parse`] finds the sentences of a message in its format. All of the message outside of them,
//! and their markup and tokens, leave byte for byte:
//!
//! ```
//! use babelmesh_text::format::{Format, Options, parse};
//!
//! let text = "1\n00:00:01,000 --> 00:00:04,000\nThe old man who lives\nhere is <i>kind</i>.\n";
//! let document = parse(text, Format::Srt, &Options::default());
//! let unit = &document.units()[0];
//! assert_eq!(document.source(unit), "The old man who lives\nhere is <i>kind</i>.");
//! assert_eq!(document.join(&document.untranslated()), text);
//! ```
//!
//! HTML, XML and the tags in texts and subtitles are read by a tokenizer of this crate: the
//! tokenizer of html5ever gives no byte ranges, and quick-xml and lol_html end with an error where
//! a fragment is not well-formed, while a message must be translated whatever it holds. The tests
//! compare it with quick-xml on well-formed input.

mod bbcode;
mod bits;
mod builder;
mod elements;
mod html;
mod markdown;
mod plain;
mod subtitles;
pub(crate) mod tags;
mod units;
mod xml;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use crate::{Document, recognise::Patterns};
use builder::Builder;

/// Format of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
    pub fn as_str(self) -> &'static str {
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

/// A format that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl std::fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = Format::ALL.map(Format::as_str).join(", ");
        write!(f, "unknown format {:?}; known are {known}", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// How XML elements divide a text, as in DeepL's API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XmlOptions {
    /// Elements whose content stays as it is.
    pub ignore_tags: Vec<String>,
    /// Elements that end a sentence.
    pub splitting_tags: Vec<String>,
    /// Elements that never end a sentence.
    pub non_splitting_tags: Vec<String>,
    /// Only `splitting_tags` end sentences; otherwise elements that stand among elements alone do
    /// as well.
    pub no_outline_detection: bool,
}

/// How sentences are told apart, as in DeepL's `split_sentences`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Splitting {
    /// At sentence ends, and in plain text at line breaks.
    #[default]
    Sentences,
    /// At sentence ends; a single line break is a space.
    IgnoreLineBreaks,
    /// Not at all: blocks, and in plain text lines, stay whole.
    Off,
}

/// How to parse.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Bounds the estimated tokens of a sentence; a longer one is cut at clauses or words.
    pub max_tokens: u32,
    /// Whether the attributes `alt`, `title`, `placeholder` and `aria-label` are translated.
    pub attributes: bool,
    /// How to tell sentences apart.
    pub splitting: Splitting,
    /// For XML.
    pub xml: Option<&'a XmlOptions>,
    /// Patterns of the operator.
    pub patterns: Option<&'a Patterns>,
    /// Whether the model's vocabulary has a character. Absent: it has all of them.
    pub known: Option<&'a (dyn Fn(char) -> bool + Send + Sync)>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            attributes: false,
            splitting: Splitting::Sentences,
            xml: None,
            patterns: None,
            known: None,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("max_tokens", &self.max_tokens)
            .field("attributes", &self.attributes)
            .field("splitting", &self.splitting)
            .field("xml", &self.xml)
            .field("patterns", &self.patterns)
            .field("known", &self.known.is_some())
            .finish()
    }
}

/// Finds the units of a message. Linear in its length, for any message.
#[must_use]
pub fn parse(text: impl Into<Arc<str>>, format: Format, options: &Options<'_>) -> Document {
    let text = text.into();
    let units = {
        let mut builder = Builder::new(&text, options);
        match format {
            Format::Text => plain::read(&mut builder),
            Format::Html => html::read(&mut builder, 0..text.len()),
            Format::Xml => xml::read(&mut builder),
            Format::Markdown => markdown::read(&mut builder),
            Format::Srt | Format::Vtt => subtitles::read(&mut builder, format),
        }
        builder.finish()
    };
    Document { text, units }
}
