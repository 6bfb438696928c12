//! SentencePiece's byte-pair encoding: of all pairs of neighbours, the one that makes the best piece is merged first.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
};

use babelmesh_models::spm::{PieceKind, SpmFile};

/// Pieces with their scores.
#[derive(Debug)]
pub(crate) struct Bpe {
    scores: HashMap<Box<str>, f32>,
    /// Pieces that are never split or merged, the longest first.
    user_defined: Vec<Box<str>>,
}

impl Bpe {
    pub(crate) fn new(file: &SpmFile) -> Self {
        let of_kind = |kind: PieceKind| file.pieces.iter().filter(move |piece| piece.kind == kind);
        let scores = of_kind(PieceKind::Normal)
            .map(|piece| (piece.text.as_str().into(), piece.score))
            .collect();
        let mut user_defined = of_kind(PieceKind::UserDefined)
            .filter(|piece| !piece.text.is_empty())
            .map(|piece| piece.text.as_str().into())
            .collect::<Vec<Box<str>>>();
        user_defined.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        Self {
            scores,
            user_defined,
        }
    }

    /// Splits a normalised text. A run of unknown characters is one part.
    pub(crate) fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut symbols = self.symbols(text);
        let mut pairs = BinaryHeap::new();
        for right in 1..symbols.len() {
            pairs.extend(self.pair(text, &symbols, right - 1, right));
        }
        while let Some(pair) = pairs.pop() {
            if !symbols[pair.left].is_at(pair.start, pair.middle)
                || !symbols[pair.right].is_at(pair.middle, pair.end)
            {
                // One of the two was merged with another one since.
                continue;
            }
            symbols[pair.left].end = pair.end;
            symbols[pair.right].start = pair.end;
            let (before, after) = (symbols[pair.left].previous, symbols[pair.right].next);
            symbols[pair.left].next = after;
            if let Some(after) = after {
                symbols[after].previous = Some(pair.left);
                pairs.extend(self.pair(text, &symbols, pair.left, after));
            }
            if let Some(before) = before {
                pairs.extend(self.pair(text, &symbols, before, pair.left));
            }
        }
        self.joined(text, &symbols)
    }

    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        let mut start = 0;
        while let Some(first) = text[start..].chars().next() {
            let whole = self
                .user_defined
                .iter()
                .find(|piece| text[start..].starts_with(&***piece));
            let end = start + whole.map_or(first.len_utf8(), |piece| piece.len());
            let place = symbols.len();
            if let Some(last) = symbols.last_mut() {
                last.next = Some(place);
            }
            symbols.push(Symbol {
                start,
                end,
                previous: place.checked_sub(1),
                next: None,
                is_user_defined: whole.is_some(),
            });
            start = end;
        }
        symbols
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let (first, second) = (&symbols[left], &symbols[right]);
        if first.is_user_defined || second.is_user_defined {
            return None;
        }
        let score = *self.scores.get(&text[first.start..second.end])?;
        Some(Pair {
            score,
            left,
            right,
            start: first.start,
            middle: first.end,
            end: second.end,
        })
    }

    /// The symbols that are left, neighbours without a piece joined.
    fn joined<'a>(&self, text: &'a str, symbols: &[Symbol]) -> Vec<&'a str> {
        let mut parts: Vec<&str> = Vec::new();
        let (mut unknown_start, mut place) = (None, (!symbols.is_empty()).then_some(0));
        while let Some(symbol) = place.map(|place| &symbols[place]) {
            let part = &text[symbol.start..symbol.end];
            let is_known = symbol.is_user_defined || self.scores.contains_key(part);
            match (is_known, unknown_start) {
                (false, Some(start)) => {
                    parts.pop();
                    parts.push(&text[start..symbol.end]);
                }
                _ => parts.push(part),
            }
            unknown_start = (!is_known).then(|| unknown_start.unwrap_or(symbol.start));
            place = symbol.next;
        }
        parts
    }
}

/// A part of the text; empty if it was merged into the one before it.
struct Symbol {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
    is_user_defined: bool,
}

impl Symbol {
    fn is_at(&self, start: usize, end: usize) -> bool {
        (self.start, self.end) == (start, end)
    }
}

/// Two neighbours that make a piece.
#[derive(Debug, Clone, Copy)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    start: usize,
    middle: usize,
    end: usize,
}

impl Ord for Pair {
    /// The better score wins, then the place further to the left.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then(other.start.cmp(&self.start))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

#[cfg(test)]
mod tests {
    use babelmesh_models::spm::Piece;
    use proptest::prelude::*;

    use super::*;

    fn model() -> Bpe {
        use PieceKind::{Normal, Other, UserDefined};
        let pieces = [
            ("ab", -1.0, Normal),
            ("bc", -0.5, Normal),
            ("abc", -2.0, Normal),
            ("aa", -3.0, Normal),
            ("a", -10.0, Normal),
            ("b", -11.0, Normal),
            ("c", -12.0, Normal),
            ("<x>", 0.0, UserDefined),
            ("</s>", 0.0, Other),
        ];
        let pieces = pieces.map(|(text, score, kind)| Piece {
            text: text.into(),
            score,
            kind,
        });
        Bpe::new(&SpmFile {
            pieces: pieces.into(),
            ..SpmFile::default()
        })
    }

    #[test]
    fn the_best_pair_is_merged_first() {
        assert_eq!(model().split("abc"), ["abc"]);
        assert_eq!(model().split("abbc"), ["ab", "bc"]);
        assert_eq!(model().split("aaa"), ["aa", "a"]);
        assert_eq!(model().split("caab"), ["c", "a", "ab"]);
    }

    #[test]
    fn a_user_defined_piece_is_neither_split_nor_merged() {
        assert_eq!(model().split("a<x>b"), ["a", "<x>", "b"]);
    }

    #[test]
    fn unknown_characters_are_joined_and_a_control_mark_is_only_text() {
        assert_eq!(model().split("ab??ab"), ["ab", "??", "ab"]);
        assert_eq!(model().split("a</s>"), ["a", "</s>"]);
    }

    proptest! {
        #[test]
        fn the_parts_make_the_text(text in "[abc<x>¿▁]{0,40}|.*") {
            prop_assert_eq!(model().split(&text).concat(), text);
        }
    }
}
