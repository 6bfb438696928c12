//! Kinds of documents.

use std::fmt;

use babelmesh_domain::Format;

/// Kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Plain text.
    Text,
    /// Markdown.
    Markdown,
    /// HTML.
    Html,
    /// `SubRip` subtitles.
    Srt,
    /// `WebVTT` subtitles.
    Vtt,
    /// Messages of gettext.
    Po,
    /// JSON: the strings that are values.
    Json,
    /// Office Open XML text.
    Docx,
    /// `OpenDocument` text.
    Odt,
    /// EPUB.
    Epub,
}

/// Endings of file names, and the kind and media type of each. The first one of a kind is its usual one.
const ENDINGS: [(&str, Kind, &str); 14] = [
    ("txt", Kind::Text, "text/plain; charset=utf-8"),
    ("text", Kind::Text, "text/plain; charset=utf-8"),
    ("md", Kind::Markdown, "text/markdown; charset=utf-8"),
    ("markdown", Kind::Markdown, "text/markdown; charset=utf-8"),
    ("html", Kind::Html, "text/html; charset=utf-8"),
    ("htm", Kind::Html, "text/html; charset=utf-8"),
    ("srt", Kind::Srt, "application/x-subrip"),
    ("vtt", Kind::Vtt, "text/vtt; charset=utf-8"),
    ("po", Kind::Po, "text/x-gettext-translation; charset=utf-8"),
    ("pot", Kind::Po, "text/x-gettext-translation; charset=utf-8"),
    ("json", Kind::Json, "application/json"),
    (
        "docx",
        Kind::Docx,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("odt", Kind::Odt, "application/vnd.oasis.opendocument.text"),
    ("epub", Kind::Epub, "application/epub+zip"),
];

impl Kind {
    /// The endings of file names of all kinds, without the dot.
    #[must_use]
    pub fn extensions() -> [&'static str; ENDINGS.len()] {
        ENDINGS.map(|(ending, ..)| ending)
    }

    /// The kind of a file of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        let known = ENDINGS
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(ending));
        known.map(|(_, kind, _)| *kind)
    }

    /// Its usual ending, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        self.row().0
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, Self, &'static str) {
        let row = ENDINGS.iter().find(|(_, kind, _)| *kind == self);
        // Every kind has an ending; a test looks.
        row.copied().unwrap_or(ENDINGS[0])
    }

    /// The format of the whole document, if that is a text in one.
    pub(crate) const fn format(self) -> Option<Format> {
        match self {
            Self::Text => Some(Format::Text),
            Self::Markdown => Some(Format::Markdown),
            Self::Html => Some(Format::Html),
            Self::Srt => Some(Format::Srt),
            Self::Vtt => Some(Format::Vtt),
            Self::Po | Self::Json | Self::Docx | Self::Odt | Self::Epub => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_name_tells_the_kind() {
        for (name, kind) in [
            ("a.docx", Some(Kind::Docx)),
            ("a.b.PO", Some(Kind::Po)),
            (".md", Some(Kind::Markdown)),
            ("docx", None),
            ("a.doc", None),
            ("", None),
            ("a.", None),
        ] {
            assert_eq!(Kind::of_name(name), kind, "{name}");
        }
        for (ending, kind, media_type) in ENDINGS {
            assert_eq!(Kind::of_name(&format!("x.{ending}")), Some(kind));
            assert_eq!(kind.media_type(), media_type);
        }
    }
}
