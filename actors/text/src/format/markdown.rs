//! Markdown, on the events of pulldown-cmark and their places.

use std::ops::Range;

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use super::{
    builder::{AtomKind, Builder, Opened},
    elements, html,
    tags::{Nesting, TagKind, Tags},
};
use crate::escape::Escape;
use crate::recognise::TokenKind;

/// What is read besides `CommonMark`.
pub(super) const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_MATH)
    .union(Options::ENABLE_HEADING_ATTRIBUTES)
    .union(Options::ENABLE_YAML_STYLE_METADATA_BLOCKS);

pub(super) fn read(builder: &mut Builder<'_>) {
    let text = builder.text;
    builder.set_escape(Escape::Markdown);
    let tags = Tags::new(text);
    let mut reader = Reader {
        builder,
        tags,
        spans: Vec::new(),
        nesting: Nesting::default(),
        done: 0,
        skipping: None,
    };
    for (event, range) in Parser::new_ext(text, OPTIONS).into_offset_iter() {
        reader.event(event, range);
    }
    reader.builder.end_run();
}

/// An element within a sentence.
struct Span {
    start: usize,
    /// Its opening mark, once it is known where that ends.
    opened: Option<Opened>,
}

struct Reader<'b, 'a> {
    builder: &'b mut Builder<'a>,
    tags: Tags<'a>,
    spans: Vec<Span>,
    nesting: Nesting,
    /// End of the last thing that was read.
    done: usize,
    /// What ends a block whose content is left as it is, and where the block is.
    skipping: Option<(TagEnd, Range<usize>)>,
}

impl Reader<'_, '_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        if let Some((end, _)) = &self.skipping {
            if matches!(&event, Event::End(tag) if tag == end) {
                self.skipped();
            }
            return;
        }
        match event {
            Event::Start(tag) => self.start(&tag, range),
            Event::End(tag) => self.end(tag, range),
            Event::Text(_) => self.text(range),
            Event::Code(code) => self.opaque(range, &code, TokenKind::Code),
            Event::InlineMath(_) if self.has_placeholder_dollar(&range) => self.text(range),
            Event::InlineMath(math) | Event::DisplayMath(math) => {
                self.opaque(range, &math, TokenKind::Math);
            }
            Event::InlineHtml(_) => self.inline_html(range),
            Event::FootnoteReference(_) => {
                if self.advance(&range) {
                    self.builder.mark(range, AtomKind::Empty);
                }
            }
            Event::SoftBreak => {
                if self.advance(&range) {
                    self.builder.space(range);
                }
            }
            Event::HardBreak | Event::Rule | Event::TaskListMarker(_) | Event::Html(_) => {
                self.end_block(range.end);
            }
        }
    }

    /// Opens what waits for its first content, which starts here. False if this place was read
    /// already: the parser may report a stretch twice, and no byte may leave twice.
    fn advance(&mut self, range: &Range<usize>) -> bool {
        if range.start < self.done {
            return false;
        }
        if let Some(span) = self.spans.last_mut().filter(|span| span.opened.is_none()) {
            span.opened = Some(self.builder.open(span.start..range.start));
        }
        self.done = range.end;
        true
    }

    fn text(&mut self, mut range: Range<usize>) {
        let text = self.builder.text;
        // The parser leaves the backslash of an escaped character out.
        let is_escaped = text[..range.start].ends_with('\\')
            && range.start > self.done
            && text[range.clone()].starts_with(|c: char| c.is_ascii_punctuation());
        if is_escaped {
            range.start -= 1;
        }
        if self.advance(&range) {
            self.builder.escaped(range);
        }
    }

    /// Whether one of the dollar signs at the ends of a stretch belongs to a placeholder such as `%1$s` or `${name}`: then it is no formula.
    fn has_placeholder_dollar(&self, range: &Range<usize>) -> bool {
        self.builder.text[range.clone()].starts_with("${")
            || self.is_in_placeholder(range.start)
            || self.is_in_placeholder(range.end - 1)
    }

    /// Whether a dollar sign belongs to a placeholder such as `%1$s`.
    fn is_in_placeholder(&self, dollar: usize) -> bool {
        let before = &self.builder.text[..dollar];
        let rest = before.trim_end_matches(|c: char| c.is_ascii_digit());
        rest.len() < before.len() && rest.ends_with('%')
    }

    fn opaque(&mut self, range: Range<usize>, visible: &str, kind: TokenKind) {
        if self.advance(&range) {
            self.builder.opaque(range, visible, kind);
        }
    }

    fn inline_html(&mut self, range: Range<usize>) {
        if !self.advance(&range) {
            return;
        }
        let tag = self.tags.at(range.start).filter(|tag| tag.range == range);
        let Some(tag) = tag.filter(|tag| !tag.name.is_empty()) else {
            return self.builder.mark(range, AtomKind::Empty);
        };
        let name = tag.name.to_ascii_lowercase();
        match tag.kind {
            _ if name == "br" => self.end_block(range.end),
            TagKind::Open if !elements::is_void(&name) => {
                let opened = self.builder.open(range);
                self.nesting.open(&name, opened);
            }
            TagKind::Close => {
                let opened = self.nesting.close(&name);
                self.builder.close(range, opened);
            }
            _ => self.builder.mark(range, AtomKind::Empty),
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript => {
                self.open(range);
            }
            Tag::Link { link_type, .. } | Tag::Image { link_type, .. } => match link_type {
                LinkType::Autolink | LinkType::Email => {
                    let visible = &self.builder.text[range.clone()];
                    self.opaque(range.clone(), visible, TokenKind::Url);
                    self.skipping = Some((tag.to_end(), range));
                }
                _ => self.open(range),
            },
            Tag::CodeBlock(_) | Tag::MetadataBlock(_) | Tag::HtmlBlock => {
                self.end_block(range.start);
                self.skipping = Some((tag.to_end(), range));
            }
            _ => self.end_block(range.start),
        }
    }

    fn open(&mut self, range: Range<usize>) {
        let inner = range.start..range.start;
        self.advance(&inner);
        self.spans.push(Span {
            start: range.start.max(self.done),
            opened: None,
        });
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::Link
            | TagEnd::Image => {
                let Some(span) = self.spans.pop() else { return };
                let start = self.done.max(span.start);
                if start >= range.end {
                    return;
                }
                match span.opened {
                    Some(opened) => self.builder.close(start..range.end, Some(opened)),
                    None => self.builder.mark(start..range.end, AtomKind::Empty),
                }
                self.done = range.end;
            }
            _ => self.end_block(range.end),
        }
    }

    fn end_block(&mut self, at: usize) {
        self.builder.end_run();
        self.nesting = Nesting::default();
        self.done = self.done.max(at.min(self.builder.text.len()));
    }

    /// Ends a block whose content was left as it is. HTML in it is read as HTML.
    fn skipped(&mut self) {
        let Some((end, range)) = self.skipping.take() else {
            return;
        };
        if end == TagEnd::HtmlBlock {
            html::read(self.builder, range.start.max(self.done)..range.end);
            self.builder.set_escape(Escape::Markdown);
        }
        if !matches!(end, TagEnd::Link | TagEnd::Image) {
            self.done = self.done.max(range.end);
        }
    }
}
