//! Sentence ends, by Unicode's rules (UAX #29) and some rules of our own.

use icu_segmenter::{SentenceSegmenter, options::SentenceBreakInvariantOptions};

/// Abbreviations that stand before what they belong to, so that a full stop and a capital after
/// them seldom mean a new sentence. Short on purpose: "etc." or "No." end sentences too often.
const TITLES: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "mme", "mlle", "vs", "e.g", "i.e", "z.b", "fig", "cf",
    "capt", "rev", "gen", "sr", "sra", "dra", "hr", "nr", "bzw", "ca", "p.ej",
];

/// The offsets at which the sentences of `text` end, ascending; the last is its length.
pub(super) fn ends(text: &str) -> Vec<usize> {
    // It only refers to tables, and looks at each character once, whatever the text.
    let segmenter = SentenceSegmenter::new(SentenceBreakInvariantOptions::default());
    let mut ends = Vec::new();
    let mut start = 0;
    for end in segmenter.segment_str(text).filter(|end| *end > 0) {
        let (sentence, rest) = (&text[start..end], &text[end..]);
        let goes_on = ends_with_title(sentence) || ends_with_speech(sentence, rest);
        if !goes_on || rest.is_empty() {
            ends.push(end);
        }
        start = end;
    }
    if ends.is_empty() {
        ends.push(text.len());
    }
    ends
}

/// Whether a sentence ends with what somebody says, and goes on with who says it: `"Stop!" he said.` Unicode's rules also end a sentence before the
/// space and the quote that close it in French.
fn ends_with_speech(sentence: &str, rest: &str) -> bool {
    if rest.starts_with('\u{bb}') {
        return true;
    }
    let is_closing = |c: char| matches!(c, '"' | '\u{201d}' | '\u{2019}' | '\'' | '\u{bb}');
    let said = sentence.trim_end();
    let before = said.trim_end_matches(|c: char| is_closing(c) || c == '\u{a0}');
    said.ends_with(is_closing)
        && before.ends_with(['!', '?', '\u{2026}'])
        && rest.starts_with(char::is_lowercase)
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
    fn speech_goes_on_with_who_says_it() {
        for text in [
            "\"Stop!\" he said.",
            "\u{201c}Are you there?\u{201d} asked Mary.",
            "\u{ab}\u{a0}Viens\u{a0}!\u{a0}\u{bb} dit-il.",
        ] {
            assert_eq!(sentences(text), [text]);
        }
        assert_eq!(sentences("\"Stop!\" He ran."), ["\"Stop!\" ", "He ran."]);
        assert_eq!(sentences("lol! that was fun"), ["lol! ", "that was fun"]);
    }

    #[test]
    fn any_text_takes_linear_time() {
        for unit in [
            ")",
            ". ) ",
            ".)",
            ".\u{301}",
            ". ",
            "a.",
            "\"",
            ".\" ",
            ".\u{ad}",
            "\u{3002}\u{300d}",
        ] {
            let text = "A.".to_owned() + &unit.repeat(2_000_000 / unit.len());
            let start = std::time::Instant::now();
            assert_eq!(ends(&text).last(), Some(&text.len()));
            // A quadratic search would take hours.
            assert!(start.elapsed().as_secs() < 20, "{unit:?}");
        }
        assert_eq!(ends(""), [0]);
    }
}
