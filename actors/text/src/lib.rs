//! Cutting a message into what a model translates and what must come out as it went in.
//!
//! [`segment`] marks the stretches of a text that a model should see, sentence by sentence; all
//! the rest is [`Piece::Verbatim`]. The pieces are slices of the text in order, so putting them
//! together again gives the text itself, whatever it holds:
//!
//! ```
//! use babelmesh_text::{Piece, join, segment};
//!
//! let text = "- Hello @ana! See https://example.com 🎉\n";
//! let pieces = segment(text, 128);
//! assert_eq!(
//!     pieces,
//!     [
//!         Piece::Verbatim("- "),
//!         Piece::Translatable("Hello"),
//!         Piece::Verbatim(" @ana! "),
//!         Piece::Translatable("See"),
//!         Piece::Verbatim(" https://example.com 🎉\n"),
//!     ],
//! );
//! assert_eq!(
//!     join(&pieces, ["Bonjour", "Voir"]),
//!     "- Bonjour @ana! Voir https://example.com 🎉\n",
//! );
//! ```
//!
//! # What is kept
//! Line breaks, the white space around a line, list and quote markers, fenced code blocks, lines
//! without a letter, the white space between sentences; and within a line the *protected spans*:
//! URLs, e-mail addresses, `@mentions`, `#hashtags`, inline code, emoji sequences,
//! `{placeholders}`, HTML and XML tags, tabs and other control characters, columns of spaces.
//!
//! A protected span inside a sentence cuts it in two, and the two sides are translated apart.
//! This is less fluent, but the only way that preserves the span reliably: a model may drop, translate or misspell any
//! placeholder.
//!
//! # Limits
//! Markup is read line by line: a tag or a comment that spans lines is not recognised. A code
//! fence that is never closed reaches to the end of the text, as in `CommonMark`.
//!
//! # Cost
//! Linear in the length of the text, for any text. Each scanner says in its own comment why an
//! attempt that fails cannot be repeated from every later position.

#[cfg(test)]
mod cpu_time;
pub mod detect;
mod document;
mod edges;
mod entities;
mod escape;
pub mod format;
mod lines;
mod oversize;
pub mod plan;
mod prose;
mod protect;
pub mod recognise;
mod sentences;
mod tokens;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use document::{Document, Translation, Unit};
pub use edges::core;
pub use oversize::split;
pub use prose::{has_prose, prose_lines, prose_of};
pub use tokens::estimate_tokens;

/// A stretch of a text, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Piece<'a> {
    /// Goes out as it came in.
    Verbatim(&'a str),
    /// For a model: at most a sentence, holding at least one letter, and without white space at
    /// either end.
    Translatable(&'a str),
}

impl<'a> Piece<'a> {
    /// The piece as it stands in the text.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Verbatim(text) | Self::Translatable(text) => text,
        }
    }

    /// Whether a model should see this piece.
    #[must_use]
    pub fn is_translatable(&self) -> bool {
        matches!(self, Self::Translatable(_))
    }
}

/// Cuts `text` into pieces whose concatenation is `text`.
///
/// `max_tokens` bounds the [estimated tokens](estimate_tokens) of a translatable piece; zero
/// counts as one. A longer sentence is cut at clause punctuation, else between words, else between
/// grapheme clusters; a single cluster is never cut, even where it exceeds the bound.
#[must_use]
pub fn segment(text: &str, max_tokens: usize) -> Vec<Piece<'_>> {
    let max_tokens = u32::try_from(max_tokens).unwrap_or(u32::MAX).max(1);
    let mut pieces = Pieces::new(text);
    for prose in lines::prose(text) {
        let line = &text[prose.clone()];
        let mut gap_start = 0;
        for span in protect::spans(line) {
            push_gap(
                &mut pieces,
                prose.start,
                line,
                gap_start..span.start,
                max_tokens,
            );
            gap_start = span.end;
        }
        push_gap(
            &mut pieces,
            prose.start,
            line,
            gap_start..line.len(),
            max_tokens,
        );
    }
    pieces.finish()
}

/// The pieces of a text whose translatable ranges are known, in order and not empty.
///
/// # Panics
/// If the ranges overlap, are not in order, or do not lie between characters of the text.
#[must_use]
pub fn pieces(text: &str, translatable: impl IntoIterator<Item = Range<usize>>) -> Vec<Piece<'_>> {
    let mut pieces = Pieces::new(text);
    for range in translatable {
        pieces.translate(range);
    }
    pieces.finish()
}

/// Puts a text together again, each translatable piece replaced by the next translation.
///
/// # Panics
/// If there are fewer or more translations than translatable pieces: every sentence after the
/// missing one would carry the translation of another, which must not be published.
#[must_use]
pub fn join<I>(pieces: &[Piece<'_>], translations: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut translations = translations.into_iter();
    // Translations are of about the length of what they translate.
    let mut joined = String::with_capacity(pieces.iter().map(|piece| piece.as_str().len()).sum());
    for piece in pieces {
        match piece {
            Piece::Verbatim(text) => joined.push_str(text),
            Piece::Translatable(text) => match translations.next() {
                Some(translation) => joined.push_str(translation.as_ref()),
                None => panic!("no translation for a piece of {} bytes", text.len()),
            },
        }
    }
    assert!(
        translations.next().is_none(),
        "more translations than translatable pieces"
    );
    joined
}

/// Marks the sentences of `line[gap]`, a stretch between two protected spans.
fn push_gap(
    pieces: &mut Pieces<'_>,
    line_start: usize,
    line: &str,
    gap: Range<usize>,
    max_tokens: u32,
) {
    let gap_text = &line[gap.clone()];
    let gap_start = line_start + gap.start;
    let mut sentence_start = 0;
    for sentence_end in sentences::ends(gap_text) {
        let sentence = &gap_text[sentence_start..sentence_end];
        let start = gap_start + sentence_start;
        sentence_start = sentence_end;
        let Some(core) = edges::core(sentence) else {
            continue;
        };
        let core_text = &sentence[core.clone()];
        let core_start = start + core.start;
        if estimate_tokens(core_text) <= max_tokens {
            pieces.translate(core_start..core_start + core_text.len());
            continue;
        }
        for part in oversize::parts(core_text, max_tokens) {
            if let Some(part_core) = edges::core(&core_text[part.clone()]) {
                let part_start = core_start + part.start;
                pieces.translate(part_start + part_core.start..part_start + part_core.end);
            }
        }
    }
}

/// Collects the translatable ranges of a text. What lies between them becomes verbatim, so no
/// rule can lose a byte, whatever it does.
struct Pieces<'a> {
    text: &'a str,
    pieces: Vec<Piece<'a>>,
    /// End of the last piece.
    done: usize,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            pieces: Vec::new(),
            done: 0,
        }
    }

    fn translate(&mut self, range: Range<usize>) {
        assert!(
            range.start >= self.done,
            "translatable ranges must be in order"
        );
        self.keep_until(range.start);
        if !range.is_empty() {
            self.done = range.end;
            self.pieces.push(Piece::Translatable(&self.text[range]));
        }
    }

    fn keep_until(&mut self, end: usize) {
        if end > self.done {
            self.pieces
                .push(Piece::Verbatim(&self.text[self.done..end]));
            self.done = end;
        }
    }

    fn finish(mut self) -> Vec<Piece<'a>> {
        self.keep_until(self.text.len());
        self.pieces
    }
}
