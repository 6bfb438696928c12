//! Sentence ends, by Unicode's rules (UAX #29).

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Abbreviations that stand before what they belong to, so that a full stop and a capital after
/// them seldom mean a new sentence. Short on purpose: "etc." or "No." end sentences too often.
const TITLES: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "mme", "mlle", "vs", "e.g", "i.e", "z.b", "fig", "cf",
    "capt", "rev", "sr", "sra", "dra", "hr", "nr", "bzw", "ca", "p.ej",
];

/// How many characters may follow a full stop, and still be taken for what closes its sentence,
/// before the sentence is ended without asking the library. See [`long_tails`].
const MAX_TAIL: usize = 16;

/// The offsets at which the sentences of `text` end, ascending; the last is its length.
pub(super) fn ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut start = 0;
    for tail in long_tails(text) {
        push_ends(&text[start..tail.start], start, &mut ends);
        // The tail closes the sentence before it.
        if let Some(end) = ends.last_mut() {
            *end = tail.end;
        }
        start = tail.end;
    }
    push_ends(&text[start..], start, &mut ends);
    ends
}

fn push_ends(text: &str, offset: usize, ends: &mut Vec<usize>) {
    let mut goes_on = false;
    for (start, sentence) in text.split_sentence_bound_indices() {
        let end = offset + start + sentence.len();
        match ends.last_mut() {
            Some(last) if goes_on => *last = end,
            _ => ends.push(end),
        }
        goes_on = ends_with_title(sentence);
    }
}

/// Whether a sentence ends with "Mr. " or an initial, as in "J. Smith".
fn ends_with_title(sentence: &str) -> bool {
    let Some(sentence) = sentence.trim_end().strip_suffix('.') else {
        return false;
    };
    let word = sentence
        .rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“' | '«' | '\''))
        .next()
        .unwrap_or(sentence);
    let mut chars = word.chars();
    match (chars.next(), chars.next()) {
        // "So do I."
        (Some(initial), None) => initial.is_uppercase() && initial != 'I',
        _ => TITLES.iter().any(|title| word.eq_ignore_ascii_case(title)),
    }
}

/// Runs of more than [`MAX_TAIL`] characters after a full stop that leave open, in the library's
/// eyes, whether the sentence ends there: closing brackets, quotes, spaces, combining marks.
///
/// At each such character the library (as of 1.13) looks ahead for the next letter, which makes a
/// full stop and a megabyte of brackets take hours. With the run cut out, at most [`MAX_TAIL`]
/// looks ahead are left for a full stop, each no further than the next one: linear in all. The
/// price is that a small letter after such a run starts a sentence.
fn long_tails(text: &str) -> Vec<Range<usize>> {
    let mut tails: Vec<Range<usize>> = Vec::new();
    for (at, stop) in text.match_indices(['.', '\u{2024}', '\u{fe52}', '\u{ff0e}']) {
        let start = at + stop.len();
        if text.len() - start <= MAX_TAIL {
            break;
        }
        // A tail may hold further stops; it is read once.
        if tails.last().is_some_and(|tail| start < tail.end) {
            continue;
        }
        let open: usize = text[start..]
            .chars()
            .take_while(|&c| leaves_open(c))
            .map(char::len_utf8)
            .sum();
        let tail = &text[start..start + open];
        if tail.chars().nth(MAX_TAIL).is_some() {
            tails.push(start..start + open);
        }
    }
    tails
}

/// Whether a sentence that had its full stop may go on after `c`.
fn leaves_open(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_alphanumeric();
    }
    // The library keeps its character classes to itself, so ask it: an open sentence takes up such
    // a character and ends at the capital after it.
    let probe = String::from_iter(['!', c, 'A']);
    probe
        .split_sentence_bounds()
        .next()
        .is_some_and(|first| first.len() == 1 + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut start = 0;
        ends(text)
            .into_iter()
            .map(|end| &text[std::mem::replace(&mut start, end)..end])
            .collect()
    }

    #[test]
    fn sentences_end_where_unicode_says() {
        assert_eq!(
            sentences("Hi! Are you there?  I am (I think). Yes... no. 好的。是的。"),
            [
                "Hi! ",
                "Are you there?  ",
                "I am (I think). ",
                "Yes... no. ",
                "好的。",
                "是的。"
            ]
        );
        assert_eq!(
            sentences("It costs 3.50 at example.com now."),
            ["It costs 3.50 at example.com now."]
        );
    }

    #[test]
    fn titles_and_initials_do_not_end_a_sentence() {
        for text in [
            "Mr. Smith met Dr. Who.",
            "I like fruit, e.g. Apples.",
            "J. R. Smith is (Mrs. Doe).",
            "Mr. Mr. Mr.",
        ] {
            assert_eq!(sentences(text), [text]);
        }
        assert_eq!(sentences("So do I. You know."), ["So do I. ", "You know."]);
    }

    #[test]
    fn closing_quotes_stay_with_their_sentence() {
        assert_eq!(
            sentences("本当？はい！」と言った。次の日。"),
            ["本当？", "はい！」", "と言った。", "次の日。"]
        );
        assert_eq!(
            sentences("「行こう。」彼は言った。"),
            ["「行こう。」", "彼は言った。"]
        );
        assert_eq!(sentences("مرحبا؟ نعم."), ["مرحبا؟ ", "نعم."]);
        assert_eq!(sentences("See Fig. A and No. 5, e.g. Apples.").len(), 1);
        assert_eq!(
            sentences("Wait... What?! Yes!!"),
            ["Wait... ", "What?! ", "Yes!!"]
        );
    }

    #[test]
    fn a_long_tail_closes_its_sentence() {
        let tail = ") ".repeat(MAX_TAIL);
        let text = format!("One.{tail}two. Three.{tail}");
        assert_eq!(
            sentences(&text),
            [
                format!("One.{tail}"),
                "two. ".into(),
                format!("Three.{tail}")
            ]
        );
    }

    #[test]
    fn characters_that_leave_a_sentence_open_are_found_as_the_library_sees_them() {
        for c in [
            ')', '”', ' ', '\u{a0}', '\u{301}', '\u{102b}', '\u{ad}', '»',
        ] {
            assert!(leaves_open(c), "{c:?}");
        }
        for c in ['a', '1', 'é', '字', 'д', 'ب'] {
            assert!(!leaves_open(c), "{c:?}");
        }
    }
}
