//! Collects what a format finds in a message, run by run. A run is the content of a block:
//! sentences never reach beyond it.

use std::{ops::Range, sync::Arc};

use super::{Options, tags::Tags, units};
use crate::escape::Escape;
use crate::{document::Unit, recognise::TokenKind};

/// A stretch of a run.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    /// Where it is in the message.
    pub(super) source: Range<usize>,
    /// Where it is in the run's plain text; empty for marks.
    pub(super) plain: Range<usize>,
    pub(super) kind: AtomKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtomKind {
    /// The plain text is the source.
    Text,
    /// The plain text stands for the source as a whole.
    Decoded,
    /// Opens an element; the atom that closes it, if there is one in the run.
    Open(Option<usize>),
    /// Closes an element; the atom that opens it, if there is one in the run.
    Close(Option<usize>),
    /// Markup without words in it.
    Empty,
    /// Markup or a line break, a space in the plain text.
    Break,
    /// Content to be left as it is.
    Opaque(TokenKind),
}

impl AtomKind {
    /// Whether it is markup, which the model never sees.
    pub(super) fn is_mark(self) -> bool {
        matches!(self, Self::Open(_) | Self::Close(_) | Self::Empty)
    }
}

/// A run that is being collected.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) plain: String,
    pub(super) atoms: Vec<Atom>,
}

/// Builds the units of a message.
pub(super) struct Builder<'a> {
    pub(super) text: &'a str,
    pub(super) options: &'a Options<'a>,
    run: Run,
    escape: Escape,
    /// How many runs have ended.
    runs: usize,
    units: Vec<Arc<Unit>>,
    /// Made once: that reads the whole text.
    tags: Option<Tags<'a>>,
}

/// An opening mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    run: usize,
    atom: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(text: &'a str, options: &'a Options<'a>) -> Self {
        Self {
            text,
            options,
            run: Run::default(),
            escape: Escape::None,
            runs: 0,
            units: Vec::new(),
            tags: None,
        }
    }

    /// The tags of the message.
    pub(super) fn tags(&mut self) -> Tags<'a> {
        *self.tags.get_or_insert_with(|| Tags::new(self.text))
    }

    /// How the words of the message are escaped from here on.
    pub(super) fn set_escape(&mut self, escape: Escape) {
        self.escape = escape;
    }

    /// Index of the next atom.
    pub(super) fn next_atom(&self) -> usize {
        self.run.atoms.len()
    }

    fn push(&mut self, source: Range<usize>, plain: &str, kind: AtomKind) {
        let start = self.run.plain.len();
        self.run.plain.push_str(plain);
        let plain = start..self.run.plain.len();
        if let (AtomKind::Text, Some(last)) = (kind, self.run.atoms.last_mut())
            && last.kind == AtomKind::Text
            && last.source.end == source.start
        {
            last.source.end = source.end;
            last.plain.end = plain.end;
            return;
        }
        self.run.atoms.push(Atom {
            source,
            plain,
            kind,
        });
    }

    /// Words that stand in the message as they are.
    pub(super) fn words(&mut self, source: Range<usize>) {
        if !source.is_empty() {
            self.push(source.clone(), &self.text[source], AtomKind::Text);
        }
    }

    /// Words with escapes, decoded by the rules of the format.
    pub(super) fn escaped(&mut self, source: Range<usize>) {
        let mut from = source.start;
        for found in self.escape.references(&self.text[source.clone()]) {
            let range = source.start + found.range.start..source.start + found.range.end;
            self.words(from..range.start);
            from = range.end;
            match found.decoded {
                // A soft hyphen only says where a word may be broken.
                Some('\u{ad}') => self.mark(range, AtomKind::Empty),
                Some(c) => self.push(range, c.encode_utf8(&mut [0; 4]), AtomKind::Decoded),
                None => self.opaque(range.clone(), &self.text[range], TokenKind::Keep),
            }
        }
        self.words(from..source.end);
    }

    /// A mark.
    pub(super) fn mark(&mut self, source: Range<usize>, kind: AtomKind) {
        self.push(source, "", kind);
    }

    /// An opening mark; the result is for [`Builder::close`].
    pub(super) fn open(&mut self, source: Range<usize>) -> Opened {
        self.push(source, "", AtomKind::Open(None));
        Opened {
            run: self.runs,
            atom: self.run.atoms.len() - 1,
        }
    }

    /// A closing mark, and the opening one, which counts if it is in the same run.
    pub(super) fn close(&mut self, source: Range<usize>, opened: Option<Opened>) {
        let close = self.run.atoms.len();
        let open = opened
            .filter(|opened| opened.run == self.runs)
            .map(|opened| opened.atom)
            .filter(|&open| {
                let atom = self.run.atoms.get(open);
                atom.is_some_and(|atom| atom.kind == AtomKind::Open(None))
            });
        if let Some(open) = open {
            self.run.atoms[open].kind = AtomKind::Open(Some(close));
        }
        self.push(source, "", AtomKind::Close(open));
    }

    /// Markup or a line break that stands for a space.
    pub(super) fn space(&mut self, source: Range<usize>) {
        self.push(source, " ", AtomKind::Break);
    }

    /// Content to be left as it is. `visible` is what a model may see of it.
    pub(super) fn opaque(&mut self, source: Range<usize>, visible: &str, kind: TokenKind) {
        if visible.trim().is_empty() {
            self.push(source, "", AtomKind::Empty);
        } else {
            self.push(source, visible, AtomKind::Opaque(kind));
        }
    }

    /// Replaces all atoms since `first` by one that leaves the stretch as it is.
    pub(super) fn collapse(&mut self, first: usize, source: Range<usize>, kind: TokenKind) {
        let first = first.min(self.run.atoms.len());
        let start = self
            .run
            .atoms
            .get(first)
            .map_or(self.run.plain.len(), |atom| atom.plain.start);
        let visible = self.run.plain.split_off(start);
        self.run.atoms.truncate(first);
        self.opaque(source, &visible, kind);
    }

    /// Drops all atoms since `first`: they belong to no run.
    pub(super) fn discard(&mut self, first: usize) {
        let first = first.min(self.run.atoms.len());
        if let Some(atom) = self.run.atoms.get(first) {
            self.run.plain.truncate(atom.plain.start);
        }
        self.run.atoms.truncate(first);
    }

    /// Ends the run.
    pub(super) fn end_run(&mut self) {
        if self.run.plain.contains(char::is_alphabetic) {
            units::divide(
                self.text,
                &self.run,
                self.escape,
                self.options,
                &mut self.units,
            );
        }
        self.run.plain.clear();
        self.run.atoms.clear();
        self.runs += 1;
    }

    /// A value of its own, such as that of an attribute, without ending the run.
    pub(super) fn aside(&mut self, source: Range<usize>, escape: Escape) {
        let (run, runs) = (std::mem::take(&mut self.run), self.runs);
        let outer = std::mem::replace(&mut self.escape, escape);
        self.escaped(source);
        self.end_run();
        self.escape = outer;
        self.run = run;
        self.runs = runs;
    }

    pub(super) fn finish(mut self) -> Vec<Arc<Unit>> {
        self.end_run();
        self.units
    }
}
