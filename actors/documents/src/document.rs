//! A document as a whole.

use std::{collections::HashMap, ops::Range};

use babelmesh_domain::Format;

use crate::{
    DocumentError, Kind, Limits, Segment, docx, epub, json,
    layout::Layout,
    marked::MarkedPart,
    odt,
    package::{MIMETYPE, Package},
    po, texts,
    xml::{Xml, XmlError},
};

/// The list of the entries of an odt document.
const MANIFEST: &str = "META-INF/manifest.xml";

const BOM: &str = "\u{feff}";

/// A document, and the segments in it.
#[derive(Debug)]
pub struct Document {
    kind: Kind,
    segments: Vec<Segment>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text { has_bom: bool, layout: Layout },
    Package { package: Package, parts: Vec<Part> },
}

/// An entry of a package.
#[derive(Debug)]
struct Part {
    name: String,
    content: Content,
    /// Which segments of the document are in it.
    segments: Range<usize>,
}

#[derive(Debug)]
enum Content {
    Page(Layout),
    Marked(MarkedPart),
}

impl Document {
    /// Reads a file of this name.
    ///
    /// # Errors
    /// When the file is of no supported kind, encrypted, not what its name says, or beyond a limit.
    pub fn parse(name: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Self, DocumentError> {
        let kind = Kind::of_name(name).ok_or(DocumentError::UnsupportedKind)?;
        let document = match kind {
            Kind::Docx | Kind::Odt | Kind::Epub => {
                let package = Package::open(bytes, kind, limits)?;
                Self::of_package(package, kind, limits)?
            }
            _ => Self::of_text(bytes, kind, limits)?,
        };
        document.check(limits)?;
        Ok(document)
    }

    fn of_text(bytes: Vec<u8>, kind: Kind, limits: &Limits) -> Result<Self, DocumentError> {
        let text = String::from_utf8(bytes).ok().filter(|t| !t.contains('\0'));
        let mut text = text.ok_or_else(|| DocumentError::NotUtf8 {
            part: "the document".to_owned(),
        })?;
        let has_bom = text.starts_with(BOM);
        if has_bom {
            text.drain(..BOM.len());
        }
        if kind == Kind::Html && texts::declares_other_encoding(&text) {
            return Err(DocumentError::NotUtf8 {
                part: "the document".to_owned(),
            });
        }
        let broken = |reason| DocumentError::Broken { kind, reason };
        let (layout, segments) = match kind.format() {
            Some(format) => texts::read(text, format, limits),
            None if kind == Kind::Json => json::read(text).map_err(broken)?,
            None => po::read(text, limits.retranslate).map_err(broken)?,
        };
        Ok(Self {
            kind,
            segments,
            body: Body::Text { has_bom, layout },
        })
    }

    fn of_package(
        mut package: Package,
        kind: Kind,
        limits: &Limits,
    ) -> Result<Self, DocumentError> {
        let mut parts = Vec::new();
        let mut segments = Vec::new();
        for name in names(&mut package, kind, limits)? {
            let text = package.read(&name)?;
            if texts::declares_other_encoding(&text) {
                return Err(DocumentError::NotUtf8 { part: name });
            }
            let unreadable = |error| unreadable(&package, &name, error, limits);
            let (content, found) = match kind {
                Kind::Docx => {
                    let read = docx::read(text, limits.max_depth).map_err(unreadable)?;
                    (Content::Marked(read.0), read.1)
                }
                Kind::Odt => {
                    let read = odt::read(text, limits.max_depth).map_err(unreadable)?;
                    (Content::Marked(read.0), read.1)
                }
                _ => {
                    Xml::read(&text, limits.max_depth).map_err(unreadable)?;
                    let (layout, found) = texts::read(text, Format::Html, limits);
                    (Content::Page(layout), found)
                }
            };
            let start = segments.len();
            segments.extend(found);
            check_count(segments.len(), limits)?;
            parts.push(Part {
                name,
                content,
                segments: start..segments.len(),
            });
        }
        Ok(Self {
            kind,
            segments,
            body: Body::Package { package, parts },
        })
    }

    fn check(&self, limits: &Limits) -> Result<(), DocumentError> {
        check_count(self.segments.len(), limits)?;
        let limit = limits.max_segment_chars;
        let is_long = |segment: &Segment| segment.text.len() > limit && segment.chars() > limit;
        match self.segments.iter().any(is_long) {
            true => Err(DocumentError::TooLarge {
                what: "characters in one paragraph or value",
                limit,
                key: "intake.max_text_chars",
            }),
            false => Ok(()),
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The texts to translate, in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Number of characters to translate.
    #[must_use]
    pub fn chars(&self) -> u64 {
        self.segments.iter().map(|s| s.chars() as u64).sum()
    }

    /// Words from the start of the document, of about so many bytes: what its language is detected from.
    #[must_use]
    pub fn sample(&self, bytes: usize) -> Vec<String> {
        let mut sample = Vec::new();
        let mut held = 0;
        for segment in &self.segments {
            if held >= bytes {
                break;
            }
            let prose = segment.prose();
            held += prose.len();
            sample.push(prose);
        }
        sample
    }

    /// The document with a translation for each segment.
    ///
    /// # Errors
    /// When a translation has not the inline elements of its segment, or a page is not well-formed XML with its translations.
    ///
    /// # Panics
    /// If there is not one translation for each segment: paragraphs would carry the translations of others.
    pub fn write(self, translations: &[String]) -> Result<Vec<u8>, DocumentError> {
        assert_eq!(
            translations.len(),
            self.segments.len(),
            "a translation for each segment is needed"
        );
        match self.body {
            Body::Text { has_bom, layout } => {
                let text = layout.write(&self.segments, translations);
                let bom = if has_bom { BOM } else { "" };
                Ok(format!("{bom}{text}").into_bytes())
            }
            Body::Package { package, parts } => {
                let mut replaced = HashMap::new();
                for part in parts {
                    let range = part.segments.clone();
                    let segments = &self.segments[range.clone()];
                    if let Some(text) = part.write(segments, &translations[range])? {
                        replaced.insert(part.name, text);
                    }
                }
                package.write(&replaced)
            }
        }
    }
}

impl Part {
    /// The text of the entry; `None` if nothing changes.
    fn write(
        &self,
        segments: &[Segment],
        translations: &[String],
    ) -> Result<Option<String>, DocumentError> {
        let mut both = segments.iter().zip(translations);
        if both.all(|(segment, translation)| segment.text == *translation) {
            return Ok(None);
        }
        let text = match &self.content {
            Content::Page(layout) => layout.write(segments, translations),
            Content::Marked(part) => {
                let lost = |at| DocumentError::LostMarkup {
                    segment: self.segments.start + at + 1,
                };
                part.write(segments, translations).map_err(lost)?
            }
        };
        // The nesting was within its limit when the document was read.
        match Xml::read(&text, usize::MAX) {
            Ok(_) => Ok(Some(text)),
            Err(_) => Err(DocumentError::Malformed {
                part: self.name.chars().take(100).collect(),
            }),
        }
    }
}

fn check_count(segments: usize, limits: &Limits) -> Result<(), DocumentError> {
    match segments > limits.max_segments {
        true => Err(DocumentError::TooLarge {
            what: "segments",
            limit: limits.max_segments,
            key: "documents.max_segments",
        }),
        false => Ok(()),
    }
}

fn unreadable(package: &Package, name: &str, error: XmlError, limits: &Limits) -> DocumentError {
    match error {
        XmlError::TooDeep => DocumentError::TooLarge {
            what: "levels of nested elements",
            limit: limits.max_depth,
            key: "documents.max_depth",
        },
        XmlError::Malformed(byte) => {
            let name: String = name.chars().take(100).collect();
            package.broken(format!("{name:?} is not well-formed XML (byte {byte})"))
        }
    }
}

/// Names of the entries with text.
fn names(package: &mut Package, kind: Kind, limits: &Limits) -> Result<Vec<String>, DocumentError> {
    match kind {
        Kind::Docx => {
            let types = package.read(docx::CONTENT_TYPES)?;
            docx::parts(&types, limits.max_depth).map_err(|reason| package.broken(reason))
        }
        Kind::Odt => {
            check_media_type(package, &odt::MEDIA_TYPES)?;
            // Encrypted entries are listed with what is needed to decrypt them.
            if package.has(MANIFEST) && package.read(MANIFEST)?.contains("encryption-data") {
                return Err(DocumentError::Encrypted);
            }
            let parts = odt::PARTS.iter().filter(|part| package.has(part));
            let parts: Vec<String> = parts.map(|part| (*part).to_owned()).collect();
            match parts.first().map(String::as_str) == Some(odt::PARTS[0]) {
                true => Ok(parts),
                false => Err(package.broken("it has no entry \"content.xml\"")),
            }
        }
        _ => {
            check_media_type(package, &[epub::MEDIA_TYPE])?;
            epub::pages(package, limits.max_depth)
        }
    }
}

fn check_media_type(package: &mut Package, expected: &[&str]) -> Result<(), DocumentError> {
    let found = package.read(MIMETYPE)?;
    match expected.contains(&found.trim()) {
        true => Ok(()),
        false => Err(package.broken("its media type is another one")),
    }
}

#[cfg(test)]
mod tests;
