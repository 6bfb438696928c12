//! Sentences that are too long for a model.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::tokens;

/// Cuts `sentence` into consecutive parts of at most `max_tokens` estimated tokens each.
///
/// Cuts after clause punctuation; inside a clause only if it is too long by itself, and then between
/// words; inside a word likewise, between grapheme clusters. Only a single cluster may exceed the
/// bound. The parts are of about equal size, since a model does poorly on a leftover word.
pub(super) fn parts(sentence: &str, max_tokens: u32) -> Vec<Range<usize>> {
    pack(sentence, tokens::weight_of(max_tokens))
}

/// Cuts a text that a model could not take into at least two consecutive parts, `parts` of about equal size where there are places to
/// cut, by the rules for long sentences: after clauses, else between words, else inside of words. A single grapheme cluster is cut between
/// characters; a single character is not cut, and the result is `None`.
///
/// No part but a single cluster is heavier than half of the text, so texts that are cut again and again are single characters after a
/// number of rounds that grows with the logarithm of their length.
///
/// ```
/// use babelmesh_text::split;
///
/// let text = "one two three four";
/// let parts: Vec<_> = split(text, 2).into_iter().flatten().map(|part| &text[part]).collect();
/// assert!(parts.len() >= 2);
/// assert_eq!(parts.concat(), text);
/// assert_eq!(split("a", 2), None);
/// ```
#[must_use]
pub fn split(text: &str, parts: u32) -> Option<Vec<Range<usize>>> {
    let most = tokens::weight(text).div_ceil(u64::from(parts.max(2)));
    let ranges = pack(text, most.max(1));
    if ranges.len() > 1 {
        return Some(ranges);
    }
    let middle = text.char_indices().nth(text.chars().count() / 2);
    let (middle, _) = middle.filter(|(at, _)| *at > 0)?;
    Some(vec![0..middle, middle..text.len()])
}

/// Packs a text into parts of at most this weight.
fn pack(sentence: &str, max: u64) -> Vec<Range<usize>> {
    let mut packer = Packer::new(tokens::weight(sentence), max);
    for clause in clauses(sentence) {
        if packer.add(clause) {
            continue;
        }
        for word in clause.split_word_bounds() {
            if packer.add(word) {
                continue;
            }
            for cluster in word.graphemes(true) {
                packer.add_uncut(cluster);
            }
        }
    }
    packer.finish()
}

/// The clauses of a sentence, each with its closing punctuation and the white space after it.
fn clauses(sentence: &str) -> impl Iterator<Item = &str> {
    let mut rest = sentence;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (clause, after) = rest.split_at(clause_len(rest));
        rest = after;
        Some(clause)
    })
}

fn clause_len(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let ends = match c {
            '、' | '，' | '；' | '：' | '،' | '؛' => true,
            // "1,000" and "12:30" stay whole.
            ',' | ';' | ':' | '—' | '–' => {
                chars.peek().is_some_and(|(_, next)| next.is_whitespace())
            }
            _ => false,
        };
        if ends {
            let after = &text[at + c.len_utf8()..];
            return text.len() - after.trim_start().len();
        }
    }
    text.len()
}

/// Packs consecutive units into parts, greedily.
struct Packer {
    max: u64,
    /// A part this heavy is closed, though more would fit: it keeps the parts even.
    enough: u64,
    parts: Vec<Range<usize>>,
    part: Range<usize>,
    weight: u64,
}

impl Packer {
    fn new(total: u64, max: u64) -> Self {
        Self {
            max,
            enough: total / total.div_ceil(max).max(1),
            parts: Vec::new(),
            part: 0..0,
            weight: 0,
        }
    }

    /// Adds the next unit whole, or returns false if it is too heavy for any part.
    fn add(&mut self, unit: &str) -> bool {
        let weight = tokens::weight(unit);
        if weight > self.max {
            return false;
        }
        self.push(unit.len(), weight);
        true
    }

    /// Adds the next unit, however heavy.
    fn add_uncut(&mut self, unit: &str) {
        self.push(unit.len(), tokens::weight(unit));
    }

    fn push(&mut self, len: usize, weight: u64) {
        if self.weight >= self.enough || self.weight + weight > self.max {
            self.close();
        }
        self.part.end += len;
        self.weight += weight;
    }

    fn close(&mut self) {
        if !self.part.is_empty() {
            self.parts.push(self.part.clone());
        }
        self.part = self.part.end..self.part.end;
        self.weight = 0;
    }

    fn finish(mut self) -> Vec<Range<usize>> {
        self.close();
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate_tokens;
    use proptest::prelude::*;

    fn parts_of(sentence: &str, max_tokens: u32) -> Vec<&str> {
        parts(sentence, max_tokens)
            .into_iter()
            .map(|range| &sentence[range])
            .collect()
    }

    #[test]
    fn clause_punctuation_is_the_first_choice() {
        assert_eq!(
            parts_of(
                "When it rains, we stay at home; when it does not, we go out.",
                12
            ),
            [
                "When it rains, we stay at home; ",
                "when it does not, we go out."
            ]
        );
    }

    #[test]
    fn a_comma_inside_a_number_ends_no_clause() {
        assert_eq!(
            clauses("1,000 at 12:30, or").collect::<Vec<_>>(),
            ["1,000 at 12:30, ", "or"]
        );
        assert_eq!(clauses("雨が降れば、家にいる").count(), 2);
    }

    #[test]
    fn a_long_clause_is_cut_between_words_into_even_parts() {
        let parts = parts_of("one two three four five six seven eight nine ten", 8);
        assert!(
            parts
                .iter()
                .all(|part| part.trim_end().ends_with(char::is_alphabetic))
        );
        assert_eq!(
            parts.concat(),
            "one two three four five six seven eight nine ten"
        );
        assert_eq!(parts.len(), 2, "{parts:?}");
        assert!(parts[0].len().abs_diff(parts[1].len()) <= 8, "{parts:?}");
    }

    #[test]
    fn a_long_word_is_cut_between_grapheme_clusters() {
        let word = "e\u{301}".repeat(40);
        let parts = parts_of(&word, 4);
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.starts_with('e')));
    }

    proptest! {
        #[test]
        fn a_split_loses_nothing_and_halves(
            text in "([a-zé ,;\u{301}]|\\PC){0,200}", count in 0_u32..40
        ) {
            let Some(parts) = split(&text, count) else {
                prop_assert!(text.chars().count() <= 1, "{:?} can be cut", text);
                return Ok(());
            };
            prop_assert!(parts.len() >= 2);
            let mut end = 0;
            for part in parts {
                prop_assert_eq!(part.start, end);
                prop_assert!(!part.is_empty());
                end = part.end;
                let part = &text[part];
                let is_half = tokens::weight(part) <= tokens::weight(&text).div_ceil(2);
                prop_assert!(is_half || part.graphemes(true).count() <= 1 || text.graphemes(true).count() <= 1);
            }
            prop_assert_eq!(end, text.len());
        }

        #[test]
        fn splitting_again_and_again_ends_soon(text in "([a-z \u{301}]|\\PC){1,300}", count in 0_u32..4) {
            let (mut texts, mut rounds) = (vec![text.as_str()], 0);
            let whole = text.chars().count();
            while texts.iter().any(|text| text.chars().count() > 1) {
                texts = texts
                    .into_iter()
                    .flat_map(|text| match split(text, count) {
                        Some(parts) => parts.into_iter().map(|part| &text[part]).collect(),
                        None => vec![text],
                    })
                    .collect();
                rounds += 1;
            }
            prop_assert_eq!(texts.len(), whole);
            // A character weighs up to eight times as much as another; a cluster is halved by its characters.
            let log = usize::BITS - whole.leading_zeros();
            prop_assert!(rounds <= 2 * log + 6, "{rounds} rounds for {whole} characters");
        }

        #[test]
        fn every_part_fits_or_is_one_cluster(
            sentence in "([a-zé ,;]|\\PC){0,200}", max_tokens in 1_u32..20
        ) {
            let parts = parts_of(&sentence, max_tokens);
            prop_assert_eq!(parts.concat(), sentence.as_str());
            for part in parts {
                prop_assert!(
                    estimate_tokens(part) <= max_tokens || part.graphemes(true).count() == 1,
                    "{:?} is {} tokens", part, estimate_tokens(part)
                );
            }
        }
    }
}
