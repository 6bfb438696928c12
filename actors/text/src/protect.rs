//! Scanners of the stretches of a line that are no words.

pub(crate) mod address;
pub(crate) mod emoji;
pub(crate) mod markup;
pub(crate) mod pairs;

use unicode_segmentation::UnicodeSegmentation as _;

/// End of the run of letters, digits and underscores that starts at `start`, with the marks that
/// combine with them: the vowel signs of many scripts are not letters.
pub(crate) fn word_end(line: &str, start: usize) -> usize {
    let mut end = start;
    for c in line[start..].chars() {
        if !(is_word(c) || end > start && combines(c)) {
            break;
        }
        end += c.len_utf8();
    }
    end
}

/// Whether the text before `at` ends within a word.
pub(crate) fn is_after_word(line: &str, at: usize) -> bool {
    line[..at].chars().next_back().is_some_and(is_word)
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `c` forms one grapheme cluster with a letter before it.
fn combines(c: char) -> bool {
    !c.is_ascii() && String::from_iter(['a', c]).graphemes(true).count() == 1
}
