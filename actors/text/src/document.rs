//! A parsed message: the units to translate, and everything else as it stands.

use std::{ops::Range, sync::Arc};

use babelmesh_domain::Term;

use crate::{escape::Escape, recognise::TokenKind};

/// A message with the places of its units. Everything outside of a unit leaves as it came.
///
/// ```
/// use babelmesh_text::format::{Format, Options, parse};
///
/// let document = parse("<p>Hello <b>world</b>.</p><p>42</p>", Format::Html, &Options::default());
/// assert_eq!(document.units().len(), 1);
/// assert_eq!(document.source(&document.units()[0]), "Hello <b>world</b>.");
/// assert_eq!(document.join(&document.untranslated()), document.text());
/// ```
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) text: Arc<str>,
    /// In the order of their ends; a unit inside of another one's markup comes before it.
    pub(crate) units: Vec<Arc<Unit>>,
}

/// A sentence with its inline markup and tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub(crate) range: Range<usize>,
    pub(crate) parts: Vec<Part>,
    pub(crate) escape: Escape,
}

/// A stretch of a unit. The parts of a unit follow each other without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) range: Range<usize>,
    pub(crate) kind: PartKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// Words; `decoded` where they differ from the source.
    Text { decoded: Option<Box<str>> },
    /// Must survive; `visible` is what a model may see, where it differs from the source. Of a term, that is its target, which stands in its
    /// place in the translation.
    Token {
        kind: TokenKind,
        visible: Option<Box<str>>,
        /// Of a term, how it is written, decoded.
        written: Option<Box<str>>,
    },
    /// Opens an element.
    Open(Partner),
    /// Closes an element.
    Close(Partner),
    /// Markup without words in it. Without a partner, tags are of this kind as well.
    Empty,
    /// Markup or a line break that separates words as a space does.
    Break,
}

/// Where the other end of an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partner {
    /// In the same unit, by the index of its part.
    At(usize),
    /// In an earlier or a later sentence.
    Outside,
}

/// The translation of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Translation {
    pub(crate) fragments: Vec<Fragment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fragment {
    /// New text, escaped as the format needs it.
    Text(String),
    /// A stretch of the message.
    Source(Range<usize>),
}

impl Part {
    /// What stands in its place in the translation, where that is not the part itself: the target of a term.
    pub(crate) fn target(&self) -> Option<&str> {
        match &self.kind {
            PartKind::Token {
                visible: Some(target),
                written: Some(_),
                ..
            } => Some(target),
            _ => None,
        }
    }
}

/// A translation that has nothing of its source.
impl From<&str> for Translation {
    fn from(text: &str) -> Self {
        let mut translation = Self::default();
        translation.push_str(text);
        translation
    }
}

impl Translation {
    pub(crate) fn push_str(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.fragments.last_mut() {
            Some(Fragment::Text(last)) => last.push_str(text),
            _ => self.fragments.push(Fragment::Text(text.to_owned())),
        }
    }

    pub(crate) fn push_source(&mut self, range: Range<usize>) {
        match self.fragments.last_mut() {
            Some(Fragment::Source(last)) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => self.fragments.push(Fragment::Source(range)),
        }
    }

    /// The translation as a text of its own, in the format of the message.
    #[must_use]
    pub fn to_text(&self, message: &str) -> String {
        self.fragments
            .iter()
            .map(|fragment| match fragment {
                Fragment::Text(text) => text.as_str(),
                Fragment::Source(range) => &message[range.clone()],
            })
            .collect()
    }
}

impl Document {
    /// The message itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The units, in the order of their ends.
    #[must_use]
    pub fn units(&self) -> &[Arc<Unit>] {
        &self.units
    }

    /// A unit as it stands in the message, with its markup.
    #[must_use]
    pub fn source(&self, unit: &Unit) -> &str {
        &self.text[unit.range.clone()]
    }

    /// The words of a unit, without markup and tokens: what a language is detected from.
    pub fn prose<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = &'a str> {
        unit.parts.iter().filter_map(|part| match &part.kind {
            PartKind::Text { decoded } => {
                Some(decoded.as_deref().unwrap_or(&self.text[part.range.clone()]))
            }
            _ => None,
        })
    }

    /// The terms of a glossary in it, as they are written and with their targets, in the order of the units.
    pub fn terms(&self) -> impl Iterator<Item = Term> {
        self.units.iter().flat_map(|unit| unit.terms())
    }

    /// Whether there are words in any unit.
    #[must_use]
    pub fn has_prose(&self) -> bool {
        let mut units = self.units.iter();
        units.any(|unit| {
            self.prose(unit)
                .any(|words| words.contains(char::is_alphabetic))
        })
    }

    /// Translations that leave every unit as it is.
    #[must_use]
    pub fn untranslated(&self) -> Vec<Translation> {
        self.units
            .iter()
            .map(|unit| Translation {
                fragments: vec![Fragment::Source(unit.range.clone())],
            })
            .collect()
    }

    /// Puts the message together, with a translation for each unit.
    ///
    /// # Panics
    /// If there is not one translation per unit: sentences would carry the translations of others.
    #[must_use]
    pub fn join(&self, translations: &[Translation]) -> String {
        assert_eq!(
            translations.len(),
            self.units.len(),
            "a translation per unit is needed"
        );
        let mut joined = String::with_capacity(self.text.len());
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        order.sort_by_key(|&at| {
            let range = &self.units[at].range;
            (range.start, std::cmp::Reverse(range.end))
        });
        self.write(0..self.text.len(), &order, translations, None, &mut joined);
        joined
    }

    /// Writes a stretch of the message with the units in it translated. Units nest one level deep:
    /// the value of an attribute inside of a sentence.
    fn write(
        &self,
        range: Range<usize>,
        order: &[usize],
        translations: &[Translation],
        within: Option<usize>,
        joined: &mut String,
    ) {
        let mut from = range.start;
        let first = order.partition_point(|&at| self.units[at].range.start < range.start);
        for &at in &order[first..] {
            let unit = &self.units[at];
            if unit.range.start >= range.end {
                break;
            }
            if unit.range.start < from || unit.range.end > range.end || within == Some(at) {
                continue;
            }
            joined.push_str(&self.text[from..unit.range.start]);
            for fragment in &translations[at].fragments {
                match fragment {
                    Fragment::Text(text) => joined.push_str(text),
                    Fragment::Source(source) if within.is_none() => {
                        self.write(source.clone(), order, translations, Some(at), joined);
                    }
                    Fragment::Source(source) => joined.push_str(&self.text[source.clone()]),
                }
            }
            from = unit.range.end;
        }
        joined.push_str(&self.text[from..range.end]);
    }
}

impl Unit {
    /// Where it is in the message.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// How many parts of it are markup.
    #[must_use]
    pub fn marks(&self) -> usize {
        let is_mark =
            |part: &&Part| !matches!(part.kind, PartKind::Text { .. } | PartKind::Token { .. });
        self.parts.iter().filter(is_mark).count()
    }

    /// The terms of a glossary in it, as they are written and with their targets.
    pub fn terms(&self) -> impl Iterator<Item = Term> + '_ {
        self.parts.iter().filter_map(|part| match &part.kind {
            PartKind::Token {
                visible: Some(target),
                written: Some(written),
                ..
            } => Some(Term::new(written.as_ref(), target.as_ref())),
            _ => None,
        })
    }

    /// The kinds of its tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = TokenKind> + '_ {
        self.parts.iter().filter_map(|part| match part.kind {
            PartKind::Token { kind, .. } => Some(kind),
            _ => None,
        })
    }
}
