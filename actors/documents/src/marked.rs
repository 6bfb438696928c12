//! A part of a package: XML with paragraphs.

use std::ops::Range;

use babelmesh_domain::Format;

use crate::{
    Segment,
    block::{Block, Item, Writer, blocks},
    xml,
};

/// A part whose paragraphs are translated.
#[derive(Debug)]
pub(crate) struct MarkedPart {
    text: String,
    /// In the order of their starts; one within another one comes after it.
    paragraphs: Vec<Paragraph>,
    wrapping: Wrapping,
}

/// The content of a paragraph.
#[derive(Debug)]
pub(crate) struct Paragraph {
    /// Where it is in the part.
    pub(crate) range: Range<usize>,
    pub(crate) items: Vec<Item>,
    /// Its blocks with words, each with the number of its segment in the part.
    blocks: Vec<(Block, usize)>,
}

/// The elements around words.
#[derive(Debug, Default)]
pub(crate) struct Wrapping {
    /// Prefix of the names, if words are in elements of their own.
    pub(crate) prefix: Option<String>,
    /// The properties of each style.
    pub(crate) styles: Vec<String>,
}

impl Paragraph {
    /// A paragraph of these items, whose blocks are not known yet.
    pub(crate) const fn new(range: Range<usize>, items: Vec<Item>) -> Self {
        Self {
            range,
            items,
            blocks: Vec::new(),
        }
    }
}

impl MarkedPart {
    /// Finds the segments of paragraphs.
    pub(crate) fn new(
        text: String,
        mut paragraphs: Vec<Paragraph>,
        wrapping: Wrapping,
    ) -> (Self, Vec<Segment>) {
        let mut segments = Vec::new();
        for paragraph in &mut paragraphs {
            for (block, text) in blocks(&mut paragraph.items) {
                paragraph.blocks.push((block, segments.len()));
                segments.push(Segment {
                    text,
                    format: Format::Xml,
                });
            }
        }
        paragraphs.retain(|paragraph| !paragraph.blocks.is_empty());
        let part = Self {
            text,
            paragraphs,
            wrapping,
        };
        (part, segments)
    }

    /// The part with translations. The error is the number of the segment in the part whose translation lost an element.
    pub(crate) fn write(
        &self,
        segments: &[Segment],
        translations: &[String],
    ) -> Result<String, usize> {
        let writing = Writing {
            part: self,
            segments,
            translations,
            lost: std::cell::Cell::new(None),
        };
        let mut written = String::with_capacity(self.text.len());
        writing.stretch(0..self.text.len(), 0, &mut written);
        match writing.lost.get() {
            Some(segment) => Err(segment),
            None => Ok(written),
        }
    }
}

struct Writing<'a> {
    part: &'a MarkedPart,
    segments: &'a [Segment],
    translations: &'a [String],
    /// The segment whose translation lost an element.
    lost: std::cell::Cell<Option<usize>>,
}

impl Writing<'_> {
    /// Writes a stretch of the part with its paragraphs translated. None of those before number `first` is in it.
    fn stretch(&self, range: Range<usize>, first: usize, written: &mut String) {
        let paragraphs = &self.part.paragraphs;
        let mut from = range.start;
        let mut number = first
            + paragraphs[first..].partition_point(|paragraph| paragraph.range.start < range.start);
        while let Some(paragraph) = paragraphs.get(number) {
            if paragraph.range.start >= range.end {
                break;
            }
            // One within the paragraph that was just written starts before its end.
            if paragraph.range.start >= from && paragraph.range.end <= range.end {
                written.push_str(&self.part.text[from..paragraph.range.start]);
                self.paragraph(number, written);
                from = paragraph.range.end;
                number += 1;
                number += paragraphs[number..].partition_point(|inner| inner.range.start < from);
            } else {
                number += 1;
            }
        }
        written.push_str(&self.part.text[from..range.end]);
    }

    fn paragraph(&self, number: usize, written: &mut String) {
        let paragraph = &self.part.paragraphs[number];
        let is_unchanged = paragraph
            .blocks
            .iter()
            .all(|(_, segment)| self.segments[*segment].text == self.translations[*segment]);
        if is_unchanged {
            return self.stretch(paragraph.range.clone(), number + 1, written);
        }
        let writer = Inside {
            writing: self,
            first: number + 1,
        };
        let mut at = 0;
        for (block, segment) in &paragraph.blocks {
            for item in &paragraph.items[at..block.items.start] {
                writer.item(item, written);
            }
            let translation = &self.translations[*segment];
            let rendered = block.render(&paragraph.items, translation, &writer, written);
            if rendered.is_none() {
                self.lost.set(self.lost.get().or(Some(*segment)));
            }
            at = block.items.end;
        }
        for item in &paragraph.items[at..] {
            writer.item(item, written);
        }
    }
}

/// Writes the items of a paragraph.
struct Inside<'a> {
    writing: &'a Writing<'a>,
    /// Number of the first paragraph that may be inside of it.
    first: usize,
}

impl Inside<'_> {
    /// Writes something in a run of a style, if words are in runs.
    fn wrapped(
        &self,
        style: Option<usize>,
        written: &mut String,
        content: impl FnOnce(&mut String),
    ) {
        let wrapping = &self.writing.part.wrapping;
        let run = wrapping.prefix.as_ref().zip(style);
        let Some((prefix, style)) = run else {
            return content(written);
        };
        let properties = wrapping.styles.get(style).map_or("", String::as_str);
        written.push_str(&format!("<{prefix}r>{properties}"));
        content(written);
        written.push_str(&format!("</{prefix}r>"));
    }
}

impl Writer for Inside<'_> {
    fn words(&self, words: &str, style: Option<usize>, written: &mut String) {
        self.wrapped(style, written, |written| {
            match &self.writing.part.wrapping.prefix {
                Some(prefix) => {
                    written.push_str(&format!("<{prefix}t xml:space=\"preserve\">"));
                    xml::escape(words, written);
                    written.push_str(&format!("</{prefix}t>"));
                }
                None => xml::escape(words, written),
            }
        });
    }

    fn raw(&self, range: Range<usize>, style: Option<usize>, written: &mut String) {
        self.wrapped(style, written, |written| {
            self.writing.stretch(range, self.first, written);
        });
    }
}
