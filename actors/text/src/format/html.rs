//! HTML, and what XML has in common with it.

use std::{collections::HashMap, ops::Range};

use super::{
    builder::{AtomKind, Builder, Opened},
    elements::{self, BLOCKS, RAW, READ_ATTRIBUTES, UNTOUCHED},
    tags::{Tag, TagKind, attributes},
};
use crate::escape::Escape;
use crate::recognise::TokenKind;

/// What tells HTML from XML.
pub(super) trait Dialect {
    /// Names are compared in this form.
    fn name<'a>(&self, name: &'a str) -> std::borrow::Cow<'a, str>;
    /// Whether the element ends a sentence. `number` counts the opening tags of the message.
    fn is_block(&self, name: &str, number: usize) -> bool;
    fn is_void(&self, name: &str) -> bool;
    /// Whether the content of the element stays as it is.
    fn is_untouched(&self, name: &str) -> bool;
    /// Whether the content of the element holds no tags.
    fn is_raw(&self, name: &str) -> bool;
    /// Whether the content of CDATA sections is text. To HTML a section is a malformed comment.
    fn has_cdata(&self) -> bool;
}

pub(super) struct Html;

impl Dialect for Html {
    fn name<'a>(&self, name: &'a str) -> std::borrow::Cow<'a, str> {
        match name.bytes().any(|b| b.is_ascii_uppercase()) {
            true => name.to_ascii_lowercase().into(),
            false => name.into(),
        }
    }

    fn is_block(&self, name: &str, _number: usize) -> bool {
        BLOCKS.binary_search(&name).is_ok()
    }

    fn is_void(&self, name: &str) -> bool {
        elements::is_void(name)
    }

    fn is_untouched(&self, name: &str) -> bool {
        UNTOUCHED.contains(&name)
    }

    fn is_raw(&self, name: &str) -> bool {
        RAW.contains(&name)
    }

    fn has_cdata(&self) -> bool {
        false
    }
}

/// Reads a stretch of HTML.
pub(super) fn read(builder: &mut Builder<'_>, range: Range<usize>) {
    read_markup(builder, range, &Html);
}

/// Reads a stretch of markup.
pub(super) fn read_markup(builder: &mut Builder<'_>, range: Range<usize>, dialect: &dyn Dialect) {
    builder.set_escape(Escape::Html);
    builder.end_run();
    let tags = builder.tags();
    let mut reader = Reader {
        builder,
        dialect,
        stack: Vec::new(),
        open: HashMap::new(),
        translate: true,
        off: None,
        number: 0,
    };
    let mut at = range.start;
    while let Some(tag) = tags.next(at, range.end) {
        reader.words(at..tag.range.start);
        at = tag.range.end;
        if let Some(raw) = reader.tag(tag) {
            at = raw_end(reader.builder.text, at..range.end, &raw);
        }
    }
    reader.words(at..range.end);
    reader.finish(range.end);
}

/// Where the closing tag of an element without tags in it starts.
pub(super) fn raw_end(text: &str, range: Range<usize>, name: &str) -> usize {
    let mut at = range.start;
    while let Some(offset) = text[at..range.end].find("</") {
        at += offset + 2;
        let is_closing = text.as_bytes()[at..range.end]
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()));
        if is_closing {
            return at - 2;
        }
    }
    range.end
}

struct Element {
    name: String,
    opened: Option<Opened>,
    is_block: bool,
    /// Whether its parent's content is translated.
    outer_translate: bool,
    /// Whether the stretch that is left as it is began with it.
    starts_off: bool,
}

/// A stretch that is left as it is.
struct Off {
    start: usize,
    first_atom: usize,
    kind: TokenKind,
    /// Whether it ends the sentence around it.
    is_block: bool,
}

struct Reader<'b, 'a, 'd> {
    builder: &'b mut Builder<'a>,
    dialect: &'d dyn Dialect,
    stack: Vec<Element>,
    /// How many elements of a name are open.
    open: HashMap<String, usize>,
    translate: bool,
    off: Option<Off>,
    number: usize,
}

impl Reader<'_, '_, '_> {
    fn words(&mut self, range: Range<usize>) {
        self.builder.escaped(range);
    }

    /// Reads a tag. Returns the name of an element that holds no tags, if it opens one.
    fn tag(&mut self, tag: Tag<'_>) -> Option<String> {
        let name = self.dialect.name(tag.name).into_owned();
        match tag.kind {
            TagKind::Other => self.builder.mark(tag.range, AtomKind::Empty),
            TagKind::Cdata => self.cdata(tag.range),
            TagKind::Close => self.close(tag.range, &name),
            TagKind::SelfClosing | TagKind::Open => {
                self.number += 1;
                let is_empty = self.dialect.is_void(&name) || tag.kind == TagKind::SelfClosing;
                return self.start(tag.range, name, is_empty);
            }
        }
        None
    }

    /// The content of a CDATA section is words of their own, in which nothing is escaped.
    fn cdata(&mut self, range: Range<usize>) {
        if !self.translate || !self.dialect.has_cdata() {
            return self.builder.mark(range, AtomKind::Empty);
        }
        self.builder.end_run();
        self.builder.set_escape(Escape::None);
        let content = range.start + "<![CDATA[".len()..range.end - "]]>".len();
        if !self.builder.text[content.clone()].contains('<') {
            self.builder.escaped(content);
        }
        self.builder.end_run();
        self.builder.set_escape(Escape::Html);
    }

    fn start(&mut self, range: Range<usize>, name: String, is_empty: bool) -> Option<String> {
        let text = self.builder.text;
        let wish = translate_wish(&text[range.clone()]);
        let untouched = self.dialect.is_untouched(&name);
        let translate = match wish {
            Some(wish) => wish && !(untouched && self.dialect.is_raw(&name)),
            None => self.translate && !untouched,
        };
        let is_block = self.dialect.is_block(&name, self.number);
        if is_block || translate && !self.translate {
            self.end_sentence(self.translate);
        }
        if self.translate && self.builder.options.attributes {
            self.attributes(range.clone());
        }
        if is_empty {
            if !is_block {
                self.builder.mark(range, AtomKind::Empty);
            }
            return None;
        }
        let is_raw = self.dialect.is_raw(&name);
        let starts_off = self.translate && !translate && self.off.is_none();
        let mut opened = None;
        if starts_off {
            let is_keep = wish.is_some() || !untouched;
            self.off = Some(Off {
                start: range.start,
                first_atom: self.builder.next_atom(),
                kind: if is_keep {
                    TokenKind::Keep
                } else {
                    TokenKind::Code
                },
                is_block,
            });
        } else if translate && !is_block {
            opened = Some(self.builder.open(range));
        }
        *self.open.entry(name.clone()).or_default() += 1;
        let raw = is_raw.then(|| name.clone());
        self.stack.push(Element {
            name,
            opened,
            is_block,
            outer_translate: self.translate,
            starts_off,
        });
        self.translate = translate;
        raw
    }

    fn close(&mut self, range: Range<usize>, name: &str) {
        if self.open.get(name).is_none_or(|&count| count == 0) {
            if self.dialect.is_block(name, usize::MAX) {
                self.end_sentence(self.translate);
            } else {
                self.builder.mark(range, AtomKind::Empty);
            }
            return;
        }
        while let Some(element) = self.stack.pop() {
            if let Some(count) = self.open.get_mut(&element.name) {
                *count -= 1;
            }
            let is_it = element.name == name;
            // What is not closed itself ends where the closing tag starts.
            let end = if is_it { range.end } else { range.start };
            let was_on = self.translate;
            self.translate = element.outer_translate;
            if element.starts_off {
                self.end_off(end);
            } else if element.is_block || was_on && !self.translate {
                self.end_sentence(was_on);
            } else if is_it && element.opened.is_some() {
                self.builder.close(range.clone(), element.opened);
            }
            if is_it {
                return;
            }
        }
    }

    /// Ends the sentence. A stretch that is left as it is then belongs to none. `is_on` says whether
    /// what came last is translated.
    fn end_sentence(&mut self, is_on: bool) {
        if let Some(off) = &mut self.off {
            if !is_on {
                self.builder.discard(off.first_atom);
            }
            off.first_atom = 0;
            off.is_block = true;
        }
        self.builder.end_run();
    }

    fn end_off(&mut self, end: usize) {
        let Some(off) = self.off.take() else { return };
        if off.is_block {
            self.builder.discard(off.first_atom);
            self.builder.end_run();
        } else {
            self.builder
                .collapse(off.first_atom, off.start..end, off.kind);
        }
    }

    fn attributes(&mut self, tag: Range<usize>) {
        let text = &self.builder.text[tag.clone()];
        for attribute in attributes(text) {
            let is_read = READ_ATTRIBUTES
                .iter()
                .any(|read| attribute.name.eq_ignore_ascii_case(read));
            if let Some(quote) = attribute.quote.filter(|_| is_read) {
                let value = tag.start + attribute.value.start..tag.start + attribute.value.end;
                self.builder.aside(value, Escape::Attribute(quote));
            }
        }
    }

    fn finish(mut self, end: usize) {
        self.end_off(end);
        self.builder.end_run();
    }
}

/// Whether a tag asks for its content to be translated, or not to be.
pub(super) fn translate_wish(tag: &str) -> Option<bool> {
    // Most tags do not.
    if !tag.contains("ranslate") && !tag.contains("RANSLATE") {
        return None;
    }
    attributes(tag).find_map(|attribute| {
        let value = &tag[attribute.value];
        if attribute.name.eq_ignore_ascii_case("translate") {
            return Some(!value.trim().eq_ignore_ascii_case("no"));
        }
        let is_class = attribute.name.eq_ignore_ascii_case("class");
        (is_class && value.split_whitespace().any(|class| class == "notranslate")).then_some(false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        for (tag, wish) in [
            ("<b>", None),
            ("<b translate=\"no\">", Some(false)),
            ("<b translate='NO'>", Some(false)),
            ("<b translate=yes>", Some(true)),
            ("<i class=notranslate>", Some(false)),
            ("<i class=\"x notranslate y\">", Some(false)),
            ("<i class=\"notranslated\">", None),
            ("<i title=\"translate\">", None),
        ] {
            assert_eq!(translate_wish(tag), wish, "{tag}");
        }
    }
}
