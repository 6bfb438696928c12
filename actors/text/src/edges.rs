//! The core of a sentence: what is left for the model once its edges are taken off.

use std::ops::Range;

/// The part of `sentence` that a model should see; `None` if it holds no letter.
///
/// Taken off are white space, control and invisible characters at both ends; at the start the
/// punctuation that closes something before it, and at the end the punctuation that opens
/// something after it. Both are left behind where a protected span was cut out, as in
/// "Hi @ana, are you (`here`)?", and a model would drop them.
#[must_use]
pub fn core(sentence: &str) -> Option<Range<usize>> {
    if !sentence.contains(char::is_alphabetic) {
        return None;
    }
    let start = sentence.len() - trim_leading(sentence).len();
    let end = start + trim_trailing(&sentence[start..]).len();
    Some(start..end)
}

fn trim_leading(mut sentence: &str) -> &str {
    loop {
        sentence = sentence.trim_start_matches(|c| is_blank(c) || is_closing(c));
        // A quote followed by white space closes: "`x` " and so on".
        match sentence.strip_prefix(is_quote) {
            Some(rest) if rest.starts_with(char::is_whitespace) => sentence = rest,
            _ => return sentence,
        }
    }
}

fn trim_trailing(mut sentence: &str) -> &str {
    loop {
        sentence = sentence.trim_end_matches(|c| is_blank(c) || is_opening(c));
        match sentence.strip_suffix(is_quote) {
            Some(rest) if rest.ends_with(char::is_whitespace) => sentence = rest,
            _ => return sentence,
        }
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

fn is_closing(c: char) -> bool {
    matches!(
        c,
        ',' | ';'
            | ':'
            | '.'
            | '!'
            | '?'
            | ')'
            | ']'
            | '}'
            | '…'
            | '、'
            | '。'
            | '，'
            | '！'
            | '？'
            | '；'
            | '：'
            | '）'
    )
}

fn is_opening(c: char) -> bool {
    matches!(c, '(' | '[' | '{' | '（' | '¿' | '¡')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’' | '«' | '»')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core_of(sentence: &str) -> Option<&str> {
        core(sentence).map(|range| &sentence[range])
    }

    #[test]
    fn white_space_and_invisible_characters_are_taken_off() {
        assert_eq!(
            core_of("\u{feff} \tHello!\u{200b}\u{0} \r\n"),
            Some("Hello!")
        );
    }

    #[test]
    fn punctuation_that_belongs_to_a_neighbour_is_taken_off() {
        assert_eq!(core_of("), are you ("), Some("are you"));
        assert_eq!(core_of("\" and he said \""), Some("and he said"));
    }

    #[test]
    fn punctuation_of_the_sentence_itself_stays() {
        for sentence in ["“Hello”, he said.", "(yes)", "¿Qué?", "'s car", "«Oui !»"] {
            assert_eq!(core_of(sentence), Some(sentence));
        }
    }

    #[test]
    fn a_sentence_without_a_letter_has_no_core() {
        for sentence in ["", " ", "12:30!", "…", "👍"] {
            assert_eq!(core_of(sentence), None);
        }
    }
}
