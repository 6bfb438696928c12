//! Inline content: words and elements of a paragraph, as a text with numbered elements, and back.
//!
//! A paragraph is a sequence of [`Item`]s. What lies between tabs and line breaks is a [`Block`]: a text in which each stretch with a format
//! or container of its own is an element `g1`, and everything without words an empty element `e2`. The pipeline restores such elements by word
//! alignment, so that [`Block::render`] finds each of them once in a translation and writes the items where they went.

use std::{collections::HashMap, ops::Range};

use quick_xml::{Reader, events::Event};

use crate::{
    segment::has_words,
    xml::{escape, unescaped},
};

/// A part of a paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) content: Content,
    /// How the characters around it are formatted, by number, where they are in an element of their own.
    pub(crate) style: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Words.
    Words(String),
    /// A stretch of the part, by its bytes.
    Raw(Range<usize>, Role),
    /// Several items that stay together.
    Group(Vec<Item>, Role),
}

/// What an item is to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It goes where the words around it go.
    Keep,
    /// Where the words change, it is left out.
    Drop,
    /// It stays, and divides the paragraph.
    Split,
    /// It opens a container.
    Open,
    /// It closes one.
    Close,
}

impl Item {
    fn role(&self) -> Option<Role> {
        match &self.content {
            Content::Words(_) => None,
            Content::Raw(_, role) | Content::Group(_, role) => Some(*role),
        }
    }

    fn set_role(&mut self, new: Role) {
        match &mut self.content {
            Content::Words(_) => {}
            Content::Raw(_, role) | Content::Group(_, role) => *role = new,
        }
    }
}

/// Writes items and words into a part.
pub(crate) trait Writer {
    /// Writes words in a style.
    fn words(&self, words: &str, style: Option<usize>, written: &mut String);
    /// Writes a stretch of the part in a style, with the paragraphs in it translated.
    fn raw(&self, range: Range<usize>, style: Option<usize>, written: &mut String);

    /// Writes an item as it is.
    fn item(&self, item: &Item, written: &mut String) {
        match &item.content {
            Content::Words(words) => self.words(words, item.style, written),
            Content::Raw(range, _) => self.raw(range.clone(), item.style, written),
            Content::Group(items, _) => items.iter().for_each(|item| self.item(item, written)),
        }
    }
}

/// Items that are translated as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Which items of the paragraph.
    pub(crate) items: Range<usize>,
    /// The style of words outside of elements.
    base: Option<usize>,
    marks: Vec<Mark>,
}

/// An element in the text of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// Words in a style.
    Style(Option<usize>),
    /// A container, its opening and closing item, and the style of its words.
    Container(usize, usize, Option<usize>),
    /// Items without words.
    Empty(Range<usize>),
}

/// Divides a paragraph into blocks with words, each with its text. Containers that hold a divider become dividers themselves.
pub(crate) fn blocks(items: &mut [Item]) -> Vec<(Block, String)> {
    let mut partners = partners(items);
    divide_containers(items, &partners);
    partners.retain(|open, _| items[*open].role() == Some(Role::Open));
    let mut blocks = Vec::new();
    let mut start = 0;
    for at in 0..=items.len() {
        if at < items.len() && items[at].role() != Some(Role::Split) {
            continue;
        }
        let range = trimmed(items, start..at, &partners);
        let mut words = items[range.clone()].iter().map(|item| &item.content);
        if words.any(|content| matches!(content, Content::Words(words) if has_words(words))) {
            let mut text = Text::new(items, &partners, range.clone());
            range.clone().for_each(|at| text.add(at));
            blocks.push(text.finish());
        }
        start = at + 1;
    }
    blocks
}

/// The closing item of each opening one. Items without a partner divide the paragraph.
fn partners(items: &mut [Item]) -> HashMap<usize, usize> {
    let mut partners = HashMap::new();
    let mut open = Vec::new();
    for (at, item) in items.iter_mut().enumerate() {
        match item.role() {
            Some(Role::Open) => open.push(at),
            Some(Role::Close) => match open.pop() {
                Some(opened) => {
                    partners.insert(opened, at);
                }
                None => item.set_role(Role::Split),
            },
            _ => {}
        }
    }
    for at in open {
        items[at].set_role(Role::Split);
    }
    partners
}

fn divide_containers(items: &mut [Item], partners: &HashMap<usize, usize>) {
    let mut open: Vec<(usize, bool)> = Vec::new();
    for at in 0..items.len() {
        match items[at].role() {
            Some(Role::Open) => open.push((at, false)),
            Some(Role::Close) => {
                let Some((opened, divides)) = open.pop() else {
                    continue;
                };
                if !divides {
                    continue;
                }
                items[opened].set_role(Role::Split);
                if let Some(&close) = partners.get(&opened) {
                    items[close].set_role(Role::Split);
                }
                if let Some((_, outer)) = open.last_mut() {
                    *outer = true;
                }
            }
            Some(Role::Split) => {
                if let Some((_, divides)) = open.last_mut() {
                    *divides = true;
                }
            }
            _ => {}
        }
    }
}

/// Without what lies around the words, and without containers around all of them.
fn trimmed(items: &[Item], range: Range<usize>, partners: &HashMap<usize, usize>) -> Range<usize> {
    let is_loose = |at: usize| matches!(items[at].role(), Some(Role::Keep | Role::Drop));
    let (mut start, mut end) = (range.start, range.end);
    loop {
        while start < end && is_loose(start) {
            start += 1;
        }
        while start < end && is_loose(end - 1) {
            end -= 1;
        }
        if start < end && partners.get(&start) == Some(&(end - 1)) {
            start += 1;
            end -= 1;
        } else {
            return start..end.max(start);
        }
    }
}

/// Builds the text of a block.
struct Text<'a> {
    items: &'a [Item],
    partners: &'a HashMap<usize, usize>,
    block: Block,
    text: String,
    /// Open containers, by the number of their elements, and the styles of their words.
    open: Vec<(usize, Option<usize>)>,
    /// The open element with a style of its own, and that style.
    styled: Option<(usize, Option<usize>)>,
    /// White space after the last words. The style of a space is no reason for an element.
    space: String,
}

impl<'a> Text<'a> {
    fn new(items: &'a [Item], partners: &'a HashMap<usize, usize>, range: Range<usize>) -> Self {
        let block = Block {
            base: base(items, range.clone(), partners),
            items: range,
            marks: Vec::new(),
        };
        Self {
            items,
            partners,
            block,
            text: String::new(),
            open: Vec::new(),
            styled: None,
            space: String::new(),
        }
    }

    fn add(&mut self, at: usize) {
        let item = &self.items[at];
        match item.role() {
            None => {
                if let Content::Words(words) = &item.content {
                    self.words(words, item.style);
                }
            }
            Some(Role::Keep | Role::Split) => self.empty(at),
            Some(Role::Drop) => {}
            Some(Role::Open) => {
                self.end_style();
                let close = self.partners.get(&at).copied().unwrap_or(at);
                let style = first_style(self.items, at..close);
                let mark = self.mark(Mark::Container(at, close, style));
                self.open.push((mark, style));
                self.text.push_str(&format!("<g{mark}>"));
            }
            Some(Role::Close) => {
                self.end_style();
                if let Some((mark, _)) = self.open.pop() {
                    self.text.push_str(&format!("</g{mark}>"));
                }
            }
        }
    }

    /// Numbers an element.
    fn mark(&mut self, mark: Mark) -> usize {
        self.block.marks.push(mark);
        self.block.marks.len()
    }

    fn words(&mut self, words: &str, style: Option<usize>) {
        let around = self
            .open
            .last()
            .map_or(self.block.base, |(_, style)| *style);
        let current = self.styled.map_or(around, |(_, style)| style);
        if words.trim().is_empty() {
            return self.space.push_str(words);
        }
        if style != current {
            self.end_style();
            if style != around {
                let mark = self.mark(Mark::Style(style));
                self.styled = Some((mark, style));
                self.text.push_str(&format!("<g{mark}>"));
            }
        }
        self.end_space();
        escape(words, &mut self.text);
    }

    fn end_space(&mut self) {
        escape(&std::mem::take(&mut self.space), &mut self.text);
    }

    /// Closes the element with a style of its own, in front of the white space after its words.
    fn end_style(&mut self) {
        if let Some((mark, _)) = self.styled.take() {
            self.text.push_str(&format!("</g{mark}>"));
        }
        self.end_space();
    }

    fn empty(&mut self, at: usize) {
        if let Some(Mark::Empty(items)) = self.block.marks.last_mut()
            && items.end == at
        {
            items.end += 1;
            return;
        }
        self.end_space();
        let mark = self.mark(Mark::Empty(at..at + 1));
        self.text.push_str(&format!("<e{mark}/>"));
    }

    fn finish(mut self) -> (Block, String) {
        self.end_style();
        (self.block, self.text)
    }
}

/// The style of most stretches of words outside of containers, of equally many the longest, else that of the first words: so there are few
/// elements.
fn base(items: &[Item], range: Range<usize>, partners: &HashMap<usize, usize>) -> Option<usize> {
    // The stretches of each style, and their bytes.
    let mut stretches: HashMap<Option<usize>, (usize, usize)> = HashMap::new();
    let mut last = None;
    let mut at = range.start;
    while at < range.end {
        if let Some(&close) = partners.get(&at) {
            at = close + 1;
            last = None;
            continue;
        }
        if let Content::Words(words) = &items[at].content
            && !words.trim().is_empty()
        {
            let style = items[at].style;
            let (count, bytes) = stretches.entry(style).or_default();
            *count += usize::from(last != Some(style));
            *bytes += words.len();
            last = Some(style);
        }
        at += 1;
    }
    // Of equal ones, the first: not the one that the map has first.
    let most = stretches
        .into_iter()
        .max_by_key(|(style, stretches)| (*stretches, std::cmp::Reverse(*style)));
    match most {
        Some((style, _)) => style,
        None => first_style(items, range),
    }
}

fn first_style(items: &[Item], range: Range<usize>) -> Option<usize> {
    let mut items = items[range].iter();
    items.find_map(|item| match &item.content {
        Content::Words(words) if !words.trim().is_empty() => Some(item.style),
        _ => None,
    })?
}

impl Block {
    /// Writes the items of this block as a translation of its text has them. `None` if an element is missing, repeated, unknown or not
    /// closed.
    pub(crate) fn render(
        &self,
        items: &[Item],
        translation: &str,
        writer: &dyn Writer,
        written: &mut String,
    ) -> Option<()> {
        // The reader passes over byte order marks at the start, and they count in no position: here they are characters.
        let fragment = translation.trim_start_matches('\u{feff}');
        let leading = &translation[..translation.len() - fragment.len()];
        let mut rendering = Rendering {
            block: self,
            items,
            writer,
            written,
            words: leading.to_owned(),
            open: Vec::new(),
            seen: vec![false; self.marks.len()],
        };
        let mut reader = Reader::from_str(fragment);
        reader.config_mut().allow_dangling_amp = true;
        let mut from = 0;
        loop {
            let event = reader.read_event().ok()?;
            let to = usize::try_from(reader.buffer_position()).ok()?;
            match event {
                Event::Text(_) | Event::GeneralRef(_) => {
                    rendering.words.push_str(&unescaped(&fragment[from..to]));
                }
                Event::Start(tag) => rendering.open(tag.name().as_ref())?,
                Event::End(_) => rendering.close()?,
                Event::Empty(tag) => rendering.empty(tag.name().as_ref())?,
                Event::Eof => break,
                _ => return None,
            }
            from = to;
        }
        rendering.flush();
        let is_whole = rendering.open.is_empty() && rendering.seen.iter().all(|seen| *seen);
        is_whole.then_some(())
    }
}

struct Rendering<'a> {
    block: &'a Block,
    items: &'a [Item],
    writer: &'a dyn Writer,
    written: &'a mut String,
    /// Words that are not written yet.
    words: String,
    /// Open elements, by number from 0.
    open: Vec<usize>,
    seen: Vec<bool>,
}

impl Rendering<'_> {
    /// The element of a name: its number from 0. `None` if it is unknown or there already.
    fn mark(&mut self, name: &str, letter: char) -> Option<usize> {
        let number: usize = name.strip_prefix(letter)?.parse().ok()?;
        let mark = number.checked_sub(1)?;
        let seen = self.seen.get_mut(mark)?;
        (!std::mem::replace(seen, true)).then_some(mark)
    }

    fn open(&mut self, name: &str) -> Option<()> {
        let mark = self.mark(name, 'g')?;
        self.flush();
        match self.block.marks[mark] {
            Mark::Style(_) => {}
            Mark::Container(open, ..) => self.writer.item(&self.items[open], self.written),
            Mark::Empty(_) => return None,
        }
        self.open.push(mark);
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        self.flush();
        let mark = self.open.pop()?;
        if let Mark::Container(_, close, _) = self.block.marks[mark] {
            self.writer.item(&self.items[close], self.written);
        }
        Some(())
    }

    fn empty(&mut self, name: &str) -> Option<()> {
        let mark = self.mark(name, 'e')?;
        self.flush();
        let Mark::Empty(items) = &self.block.marks[mark] else {
            return None;
        };
        for item in &self.items[items.clone()] {
            self.writer.item(item, self.written);
        }
        Some(())
    }

    /// Writes the words since the last element in the style of the elements around them.
    fn flush(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let style = match self.open.last().map(|mark| &self.block.marks[*mark]) {
            Some(Mark::Style(style) | Mark::Container(.., style)) => *style,
            Some(Mark::Empty(_)) | None => self.block.base,
        };
        self.writer.words(&self.words, style, self.written);
        self.words.clear();
    }
}

#[cfg(test)]
mod tests;
