//! Finds the texts that stand for tokens in a text.

use std::ops::Range;

/// Where the texts occur, in order and without overlap; at the same place the longest counts.
/// Each is given by its index among the texts.
pub(super) fn find(text: &str, wanted: &[&str]) -> Vec<(Range<usize>, usize)> {
    let mut by_length: Vec<usize> = (0..wanted.len())
        .filter(|&at| !wanted[at].is_empty())
        .collect();
    by_length.sort_by_key(|&at| std::cmp::Reverse(wanted[at].len()));
    let mut starts = [false; 256];
    for &at in &by_length {
        starts[usize::from(wanted[at].as_bytes()[0])] = true;
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = text.as_bytes()[at..]
        .iter()
        .position(|&b| starts[usize::from(b)])
    {
        at += offset;
        let rest = &text.as_bytes()[at..];
        match by_length
            .iter()
            .find(|&&index| rest.starts_with(wanted[index].as_bytes()))
        {
            Some(&index) => {
                found.push((at..at + wanted[index].len(), index));
                at += wanted[index].len();
            }
            None => at += 1,
        }
    }
    found
}

/// How often each of the texts occurs.
pub(super) fn count(text: &str, wanted: &[&str]) -> Vec<usize> {
    let mut counts = vec![0; wanted.len()];
    for (_, index) in find(text, wanted) {
        counts[index] += 1;
    }
    counts
}

/// Whether a word of an alphabet runs into the stretch on either side.
pub(super) fn is_joined(text: &str, range: &Range<usize>) -> bool {
    let joins = |inside: Option<char>, outside: Option<char>| {
        inside.is_some_and(char::is_alphanumeric)
            && outside.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c))
    };
    let inside = &text[range.clone()];
    joins(
        inside.chars().next(),
        text[..range.start].chars().next_back(),
    ) || joins(inside.chars().next_back(), text[range.end..].chars().next())
}

/// Scripts that write no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_counts() {
        assert_eq!(count("@a @ab @a", &["@a", "@ab"]), [2, 1]);
        assert_eq!(count("aaa", &["aa", ""]), [1, 0]);
    }

    #[test]
    fn joined_words_are_told() {
        assert!(is_joined("@anab", &(0..4)));
        assert!(!is_joined("@ana的", &(0..4)));
        assert!(!is_joined("(@ana)", &(1..5)));
    }
}
