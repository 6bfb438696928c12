//! A text of a document.

use babelmesh_domain::{Format, XmlOptions};
use babelmesh_text::format::{Options, parse};

/// A text of a document, which is translated on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Its format. XML is a paragraph with inline elements; see [`xml`](Self::xml).
    pub format: Format,
}

impl Segment {
    /// How elements divide the text, if it is XML: not at all.
    #[must_use]
    pub fn xml(&self) -> Option<XmlOptions> {
        (self.format == Format::Xml).then(|| XmlOptions {
            no_outline_detection: true,
            ..XmlOptions::default()
        })
    }

    /// Its words, without markup and tokens.
    #[must_use]
    pub fn prose(&self) -> String {
        let xml = self.xml();
        let options = Options {
            xml: xml.as_ref(),
            ..Options::default()
        };
        let document = parse(self.text.as_str(), self.format, &options);
        let units = document.units().iter();
        let words: Vec<&str> = units.flat_map(|unit| document.prose(unit)).collect();
        words.join(" ")
    }

    /// Number of characters.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

/// Whether there is anything to translate in a text.
pub(crate) fn has_words(text: &str) -> bool {
    text.contains(char::is_alphabetic)
}
