//! The form in which terms and texts are compared: case folded, with white space merged and the ends of words marked.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Marks around each word. A pattern with them matches whole words only.
const WORD_START: u8 = 1;
const WORD_END: u8 = 2;
/// Stands for any control character, which no term holds.
const CONTROL: u8 = 3;

/// A folded text.
#[derive(Debug, Default)]
pub(super) struct Folded {
    bytes: Vec<u8>,
    /// For each byte, the character that it comes from: where it starts and ends in the text.
    starts: Vec<usize>,
    ends: Vec<usize>,
}

/// What a character is for the division into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word that others of its kind continue.
    Word,
    /// A word of its own: scripts that write no spaces, and Hangul, which joins particles to nouns.
    Alone,
    Space,
    Other,
    Control,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            _ if c.is_whitespace() => Self::Space,
            _ if c.is_control() => Self::Control,
            '_' => Self::Word,
            _ if !c.is_alphanumeric() => Self::Other,
            '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7af}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}' => Self::Alone,
            _ => Self::Word,
        }
    }
}

impl Folded {
    pub(super) fn new(text: &str) -> Self {
        let mut folded = Self::default();
        // The last character of the word that goes on.
        let mut word: Option<Range<usize>> = None;
        for (start, grapheme) in text.grapheme_indices(true) {
            let range = start..start + grapheme.len();
            let class = grapheme.chars().next().map_or(Class::Control, Class::of);
            if class != Class::Word
                && let Some(last) = word.take()
            {
                folded.push(&[WORD_END], &last);
            }
            match class {
                Class::Word => {
                    if word.is_none() {
                        folded.push(&[WORD_START], &range);
                    }
                    folded.push_folded(grapheme, &range);
                    word = Some(range);
                }
                Class::Alone => {
                    folded.push(&[WORD_START], &range);
                    folded.push_folded(grapheme, &range);
                    folded.push(&[WORD_END], &range);
                }
                Class::Space if folded.bytes.last() != Some(&b' ') => folded.push(b" ", &range),
                Class::Space => {}
                Class::Control => folded.push(&[CONTROL], &range),
                Class::Other => folded.push_folded(grapheme, &range),
            }
        }
        if let Some(last) = word {
            folded.push(&[WORD_END], &last);
        }
        folded
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where a stretch comes from; `None` if it begins or ends within a character.
    pub(super) fn origin(&self, range: Range<usize>) -> Option<Range<usize>> {
        let is_inside = |at: usize| {
            let before = at.checked_sub(1).map(|before| self.starts[before]);
            before.is_some() && before == self.starts.get(at).copied()
        };
        if range.is_empty() || is_inside(range.start) || is_inside(range.end) {
            return None;
        }
        Some(self.starts[range.start]..self.ends[range.end - 1])
    }

    fn push(&mut self, bytes: &[u8], origin: &Range<usize>) {
        self.bytes.extend_from_slice(bytes);
        self.starts.resize(self.bytes.len(), origin.start);
        self.ends.resize(self.bytes.len(), origin.end);
    }

    fn push_folded(&mut self, grapheme: &str, origin: &Range<usize>) {
        for c in grapheme.chars() {
            fold(c, |c| {
                self.push(c.encode_utf8(&mut [0; 4]).as_bytes(), origin);
            });
        }
    }
}

/// The folded form of a term.
pub(super) fn folded(term: &str) -> Vec<u8> {
    Folded::new(term).bytes
}

/// Folds the case of a character, and some punctuation of which there are two forms.
fn fold(c: char, mut push: impl FnMut(char)) {
    match c {
        _ if c.is_ascii() => push(c.to_ascii_lowercase()),
        '\u{2019}' => push('\''),
        '\u{2010}' | '\u{2011}' => push('-'),
        // Its capital is the one of another letter.
        'ı' => push(c),
        // A capital may stand for several letters: "ß" is "SS", and so "ss".
        _ => c.to_uppercase().flat_map(char::to_lowercase).for_each(push),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_differ_in_case_and_white_space_are_the_same() {
        for (one, other) in [
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("a  b", "A\u{a0}b"),
            ("l\u{2019}été", "L'ÉTÉ"),
        ] {
            assert_eq!(folded(one), folded(other), "{one}");
        }
        for (one, other) in [("ab", "a b"), ("a", "ab"), ("ı", "i"), ("東京", "京東")] {
            assert_ne!(folded(one), folded(other), "{one}");
        }
    }

    proptest! {
        #[test]
        fn each_byte_comes_from_a_character_of_the_text(text in "(\\PC|[ \\t\\n]){0,40}") {
            let folded = Folded::new(&text);
            for at in 0..folded.bytes.len() {
                prop_assert!(text.get(folded.starts[at]..folded.ends[at]).is_some());
            }
            prop_assert!(folded.starts.is_sorted() && folded.ends.is_sorted());
        }
    }
}
