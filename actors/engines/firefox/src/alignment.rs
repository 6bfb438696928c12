//! Word alignments, from the decoder's attention to the source.

use std::ops::Range;

use babelmesh_engine_protocol::{Alignment, Link, Span};
use unicode_segmentation::UnicodeSegmentation as _;

/// Least share of a target word's attention for a link beside the strongest one.
const SECOND: f32 = 0.2;
/// Least share for the strongest link of a word. Below, the attention is spread over the sentence.
const FIRST: f32 = 0.1;

/// A text with the place of each of its tokens, the end mark excluded.
pub(crate) struct Placed<'a> {
    pub(crate) text: &'a str,
    pub(crate) places: &'a [Range<usize>],
}

/// Aligns a translation with its source. `attention` has a row for each token of the translation, with a share for each token of the source,
/// the end mark included. Rows without a token are ignored.
pub(crate) fn align(source: &Placed<'_>, target: &Placed<'_>, attention: &[f32]) -> Alignment {
    let tokens = source.places.len() + 1;
    let (source, target) = (Words::of(source), Words::of(target));
    let width = source.words.len();
    let mut shares = vec![0.0; width * target.words.len()];
    if shares.is_empty() {
        return Alignment::default();
    }
    let mut rows = vec![0_u16; target.words.len()];
    for (row, word) in attention.chunks_exact(tokens).zip(&target.of_token) {
        let Some(word) = *word else { continue };
        rows[word] += 1;
        let shares = &mut shares[word * width..][..width];
        for (share, word) in row.iter().zip(&source.of_token) {
            if let Some(word) = *word {
                shares[word] += share;
            }
        }
    }
    for (row, count) in shares.chunks_exact_mut(width).zip(rows) {
        let count = f32::from(count.max(1));
        row.iter_mut().for_each(|share| *share /= count);
    }
    let link = |(target_word, source_word): (usize, usize)| Link {
        source: Span::from(source.words[source_word].clone()),
        target: Span::from(target.words[target_word].clone()),
        weight: (shares[target_word * width + source_word] * 255.0).round() as u8,
    };
    Alignment::new(hard(&shares, width).map(link).collect())
}

/// The places of the shares that become links: those that are large, the largest of each target word, and the largest of each source word.
fn hard(shares: &[f32], width: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut best_of_row = vec![(0, 0.0); shares.len() / width];
    let mut best_of_column = vec![(0, 0.0); width];
    let mut links = Vec::new();
    for (row, shares) in shares.chunks_exact(width).enumerate() {
        for (column, share) in shares.iter().copied().enumerate() {
            if share > best_of_row[row].1 {
                best_of_row[row] = (column, share);
            }
            if share > best_of_column[column].1 {
                best_of_column[column] = (row, share);
            }
            if share >= SECOND {
                links.push((row, column));
            }
        }
    }
    let is_first = |(_, (_, share)): &(usize, (usize, f32))| *share >= FIRST;
    let rows = best_of_row.into_iter().enumerate().filter(is_first);
    let columns = best_of_column.into_iter().enumerate().filter(is_first);
    let rows = rows.map(|(row, (column, _))| (row, column));
    let columns = columns.map(|(column, (row, _))| (row, column));
    links.into_iter().chain(rows).chain(columns)
}

/// The words of a text: the shortest stretches that are whole words of Unicode's rules and whole tokens. Each punctuation mark and each
/// ideograph is one; spaces belong to none.
struct Words {
    words: Vec<Range<usize>>,
    of_token: Vec<Option<usize>>,
}

impl Words {
    fn of(placed: &Placed<'_>) -> Self {
        let text = placed.text;
        let places = placed.places.iter().map(|place| trim(text, place.clone()));
        let places = places.collect::<Vec<_>>();
        // Words do not end inside a token.
        let mut is_inside = vec![false; text.len() + 1];
        let mut last = 0..0;
        for place in &places {
            // Several tokens may have the place of one character.
            if *place != last && !place.is_empty() {
                is_inside[place.start + 1..place.end].fill(true);
                last = place.clone();
            }
        }
        let mut words: Vec<Range<usize>> = Vec::new();
        for (start, word) in text.split_word_bound_indices() {
            let range = trim(text, start..start + word.len());
            match words.last_mut() {
                Some(last) if is_inside[start] => last.end = range.end.max(last.end),
                _ if !range.is_empty() => words.push(range),
                _ => {}
            }
        }
        let word = |place: &Range<usize>| {
            let next = words.partition_point(|word| word.end <= place.start);
            let word = words.get(next).filter(|word| word.start <= place.start);
            word.map(|_| next)
        };
        Self {
            of_token: places.iter().map(word).collect(),
            words,
        }
    }
}

/// A range of a text without the spaces at its ends. Of nothing but spaces, their end stays: the start of the next word.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.end - part.trim_start().len();
    start..start + text[start..range.end].trim_end().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs<'a>(
        source: &'a str,
        target: &'a str,
        alignment: &Alignment,
    ) -> Vec<(&'a str, &'a str, u8)> {
        let links = alignment.links().iter();
        let pair = |link: &Link| {
            let source = &source[link.source.range()];
            (source, &target[link.target.range()], link.weight)
        };
        links.map(pair).collect()
    }

    /// Places of tokens of these lengths, one after the other.
    fn places(lengths: &[usize]) -> Vec<Range<usize>> {
        let mut start = 0;
        let place = |length: &usize| {
            start += length;
            start - length..start
        };
        lengths.iter().map(place).collect()
    }

    fn words(text: &str, lengths: &[usize]) -> Vec<String> {
        let words = Words::of(&Placed {
            text,
            places: &places(lengths),
        });
        words
            .words
            .into_iter()
            .map(|word| text[word].to_owned())
            .collect()
    }

    #[test]
    fn words_are_unicodes_unless_a_token_spans_several() {
        assert_eq!(
            words("The red-ish house.", &[3, 4, 1, 3, 6, 1]),
            ["The", "red", "-", "ish", "house", "."]
        );
        assert_eq!(
            words("The red-ish house.", &[3, 5, 3, 6, 1]),
            ["The", "red-", "ish", "house", "."]
        );
        assert_eq!(words("你好世界", &[6, 6]), ["你好", "世界"]);
        assert_eq!(
            words("don't e\u{301}!", &[3, 2, 1, 1, 2, 1]),
            ["don't", "e\u{301}", "!"]
        );
        assert_eq!(words(" \t ", &[]), [""; 0]);
        assert_eq!(words("👩‍👩‍👧 x", &[]), ["👩‍👩‍👧", "x"]);
    }

    #[test]
    fn each_word_is_linked_by_what_its_tokens_attend_to() {
        let (source, target) = ("The red house", "A casa vermelha");
        // The last word has two tokens; the end mark attends to the end mark.
        let attention = [
            [0.9, 0.05, 0.05, 0.0],
            [0.0, 0.1, 0.8, 0.1],
            [0.0, 0.7, 0.25, 0.05],
            [0.0, 0.5, 0.05, 0.45],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let alignment = align(
            &Placed {
                text: source,
                places: &places(&[3, 4, 6]),
            },
            &Placed {
                text: target,
                places: &places(&[1, 5, 5, 4]),
            },
            attention.as_flattened(),
        );
        let expected = [
            ("The", "A", 230),
            ("house", "casa", 204),
            ("red", "vermelha", 153),
        ];
        assert_eq!(pairs(source, target, &alignment), expected);
    }

    #[test]
    fn a_source_word_that_is_no_ones_first_choice_is_linked_too() {
        let alignment = align(
            &Placed {
                text: "a b",
                places: &places(&[1, 2]),
            },
            &Placed {
                text: "c",
                places: &places(&[1]),
            },
            &[0.85, 0.15, 0.0],
        );
        assert_eq!(
            pairs("a b", "c", &alignment),
            [("a", "c", 217), ("b", "c", 38)]
        );
        let spread = align(
            &Placed {
                text: "a b",
                places: &places(&[1, 2]),
            },
            &Placed {
                text: "c",
                places: &places(&[1]),
            },
            &[0.05, 0.05, 0.9],
        );
        assert_eq!(spread, Alignment::default());
    }

    /// A text and places of tokens in it, in order.
    fn placed() -> impl Strategy<Value = (String, Vec<Range<usize>>)> {
        let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..12);
        ("[ a.é\u{301}你😀\u{200d}]{0,16}|.{0,16}", cuts).prop_map(|(text, cuts)| {
            let ends = text
                .char_indices()
                .map(|(place, _)| place)
                .chain([text.len()]);
            let ends = ends.collect::<Vec<_>>();
            let mut cuts = cuts
                .iter()
                .map(|cut| ends[cut.index(ends.len())])
                .collect::<Vec<_>>();
            cuts.sort_unstable();
            let places = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
            (text, places)
        })
    }

    proptest! {
        #[test]
        fn every_alignment_fits_and_has_a_link_for_each_attentive_word(
            (source, from) in placed(),
            (target, to) in placed(),
            seed in prop::collection::vec(0_u8..5, 200),
        ) {
            let width = from.len() + 1;
            let row = |row: usize| {
                let row = (0..width).map(|column| f32::from(seed[(row * width + column) % seed.len()]));
                let row = row.collect::<Vec<_>>();
                let sum = row.iter().sum::<f32>().max(1.0);
                row.into_iter().map(move |share| share / sum)
            };
            let attention = (0..=to.len()).flat_map(row).collect::<Vec<_>>();
            let source = Placed { text: &source, places: &from };
            let target = Placed { text: &target, places: &to };
            let alignment = align(&source, &target, &attention);
            prop_assert!(alignment.fits(source.text, target.text));
            for words in [Words::of(&source), Words::of(&target)] {
                prop_assert!(words.words.is_sorted_by(|a, b| a.end <= b.start));
            }
        }
    }
}
