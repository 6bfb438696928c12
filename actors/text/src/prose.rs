//! Lazy iteration over the prose of a text: a caller that needs only the beginning does not pay for the rest.

use std::iter;

use super::{edges, lines, protect, sentences};

/// Longest stretch between two protected spans that is searched for sentences at once, in bytes.
const CHUNK: usize = 4 << 10;

/// The lines of a text that may hold prose, without their markers; code blocks and lines without a letter are left out.
pub fn prose_lines(text: &str) -> impl Iterator<Item = &str> {
    lines::prose(text).map(|range| &text[range])
}

/// What a model would see of a line, in order. A sentence of more than 4 KiB comes in several parts.
pub fn prose_of(line: &str) -> impl Iterator<Item = &str> {
    gaps(line).flat_map(chunks).flat_map(|chunk| {
        let mut start = 0;
        sentences::ends(chunk).into_iter().filter_map(move |end| {
            let sentence = &chunk[std::mem::replace(&mut start, end)..end];
            edges::core(sentence).map(|core| &sentence[core])
        })
    })
}

/// Whether a model would see anything of a text.
#[must_use]
pub fn has_prose(text: &str) -> bool {
    prose_lines(text).any(|line| prose_of(line).next().is_some())
}

/// The stretches of a line between its protected spans.
fn gaps(line: &str) -> impl Iterator<Item = &str> {
    let mut spans = protect::spans(line);
    let mut next = Some(0);
    iter::from_fn(move || {
        let start = next?;
        let span = spans.next();
        next = span.as_ref().map(|span| span.end);
        Some(&line[start..span.map_or(line.len(), |span| span.start)])
    })
}

/// A stretch in parts of at most [`CHUNK`] bytes.
fn chunks(mut gap: &str) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let (chunk, rest) = gap.split_at(gap.floor_char_boundary(CHUNK));
        gap = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Piece, segment};

    fn segmented(text: &str) -> Vec<&str> {
        let pieces = segment(text, usize::MAX).into_iter();
        let prose = pieces.filter_map(|piece| match piece {
            Piece::Translatable(words) => Some(words),
            Piece::Verbatim(_) => None,
        });
        prose.collect()
    }

    fn prose(text: &str) -> Vec<&str> {
        prose_lines(text).flat_map(prose_of).collect()
    }

    proptest! {
        #[test]
        fn the_prose_of_a_message_is_what_a_model_would_see(text in "([a-zA-Z.!?,é好。 ]|<b>|`x`|\\{a\\}|https://a\\.io/b|\n|```|- ){0,80}") {
            prop_assert_eq!(prose(&text), segmented(&text));
            prop_assert_eq!(has_prose(&text), !segmented(&text).is_empty());
        }

        #[test]
        fn any_text_has_prose_when_a_model_would_see_some(text: String) {
            prop_assert_eq!(has_prose(&text), !segmented(&text).is_empty());
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_loses_no_word() {
        let line = "好，".repeat(10_000);
        let found: usize = prose_of(&line).map(|part| part.matches('好').count()).sum();
        assert_eq!(found, 10_000);
    }
}
