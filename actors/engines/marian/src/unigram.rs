//! SentencePiece's unigram model: the most probable split of a text into pieces.

use std::collections::HashMap;

use babelmesh_models::spm::{PieceKind, SpmFile};

/// How much less probable than the rarest piece an unknown character is, as SentencePiece has it.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Pieces with their scores.
#[derive(Debug)]
pub(crate) struct Unigram {
    scores: HashMap<Box<str>, f32>,
    longest_piece: usize,
    unknown_score: f32,
}

impl Unigram {
    pub(crate) fn new(file: &SpmFile) -> Self {
        let normal = || {
            file.pieces
                .iter()
                .filter(|piece| piece.kind == PieceKind::Normal)
        };
        let lowest = normal()
            .map(|piece| piece.score)
            .fold(f32::INFINITY, f32::min);
        let highest = normal()
            .map(|piece| piece.score)
            .fold(f32::NEG_INFINITY, f32::max);
        let usable = file
            .pieces
            .iter()
            .filter(|piece| matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined));
        let scores = usable
            .map(|piece| {
                let score = match piece.kind {
                    // Such a piece wins against every other split of its text.
                    PieceKind::UserDefined => piece.text.chars().count() as f32 * highest - 0.1,
                    _ => piece.score,
                };
                (piece.text.as_str().into(), score)
            })
            .collect::<HashMap<Box<str>, f32>>();
        let longest_piece = scores.keys().map(|text| text.len()).max().unwrap_or(0);
        Self {
            scores,
            longest_piece,
            unknown_score: lowest - UNKNOWN_PENALTY,
        }
    }

    /// Splits a normalised text. A run of unknown characters is one part.
    pub(crate) fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let best = self.best_paths(text);
        let mut parts: Vec<&str> = Vec::new();
        let mut end = text.len();
        let mut last_is_unknown = false;
        while let Some(step) = best[end].filter(|_| end > 0) {
            match parts.last_mut() {
                Some(last) if last_is_unknown && !step.known => {
                    // Both are unknown and adjacent: grow the later one to the left.
                    *last = &text[step.start..end + last.len()];
                }
                _ => parts.push(&text[step.start..end]),
            }
            last_is_unknown = !step.known;
            end = step.start;
        }
        parts.reverse();
        parts
    }

    /// The best way to each position.
    fn best_paths(&self, text: &str) -> Vec<Option<Step>> {
        let mut best: Vec<Option<Step>> = vec![None; text.len() + 1];
        best[0] = Some(Step {
            start: 0,
            score: 0.0,
            known: true,
        });
        for (start, first) in text.char_indices() {
            let Some(before) = best[start] else { continue };
            let single_end = start + first.len_utf8();
            let mut single_known = false;
            let longest = (start + self.longest_piece).min(text.len());
            for end in (single_end..=longest).filter(|end| text.is_char_boundary(*end)) {
                if let Some(score) = self.scores.get(&text[start..end]) {
                    single_known |= end == single_end;
                    let step = Step {
                        start,
                        score: before.score + score,
                        known: true,
                    };
                    improve(&mut best[end], step);
                }
            }
            if !single_known {
                let score = before.score + self.unknown_score;
                improve(
                    &mut best[single_end],
                    Step {
                        start,
                        score,
                        known: false,
                    },
                );
            }
        }
        best
    }
}

/// The last part of the best way to a position.
#[derive(Debug, Clone, Copy)]
struct Step {
    start: usize,
    score: f32,
    known: bool,
}

fn improve(place: &mut Option<Step>, step: Step) {
    if place.is_none_or(|known| step.score > known.score) {
        *place = Some(step);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use babelmesh_models::spm::Piece;

    fn model(pieces: &[(&str, f32, PieceKind)]) -> Unigram {
        let pieces = pieces
            .iter()
            .map(|(text, score, kind)| Piece {
                text: (*text).into(),
                score: *score,
                kind: *kind,
            })
            .collect();
        Unigram::new(&SpmFile {
            pieces,
            ..SpmFile::default()
        })
    }

    fn letters() -> Unigram {
        use PieceKind::{Normal, Other};
        model(&[
            ("a", -2.0, Normal),
            ("b", -2.0, Normal),
            ("ab", -3.0, Normal),
            ("</s>", 0.0, Other),
        ])
    }

    #[test]
    fn the_most_probable_split_wins() {
        assert_eq!(letters().split("abb"), ["ab", "b"]);
    }

    #[test]
    fn unknown_characters_are_joined_and_lose_nothing_before_them() {
        assert_eq!(letters().split("ab??ab"), ["ab", "??", "ab"]);
    }

    #[test]
    fn a_control_mark_in_a_text_is_only_text() {
        assert_eq!(letters().split("a</s>"), ["a", "</s>"]);
        let unknown = letters();
        assert!(!unknown.scores.contains_key("</s>"));
    }

    proptest! {
        #[test]
        fn the_parts_make_the_text(text in "[abc¿▁]{0,40}|.*") {
            prop_assert_eq!(letters().split(&text).concat(), text);
        }
    }
}
