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
mod divide;
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

pub use babelmesh_domain::{Format, Splitting, XmlOptions};

pub use divide::divide;

use crate::{Document, glossary::Dictionary, recognise::Patterns};
use builder::Builder;

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
    /// Terms of a glossary.
    pub glossary: Option<&'a Dictionary>,
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
            glossary: None,
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
            .field("glossary", &self.glossary)
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
