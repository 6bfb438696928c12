//! Emoji sequences: with skin tones, joiners, flags and keycaps, whole.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Asks for the emoji look of the character before it, as in "❤️" and "1️⃣".
const EMOJI_SELECTOR: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';

/// The emoji sequence that the character at `at` belongs to. It starts there, or one character
/// before it, not before `floor`, where the character at `at` is what makes it an emoji.
pub(crate) fn span(line: &str, floor: usize, at: usize) -> Option<Range<usize>> {
    let first = line[at..].chars().next()?;
    let start = if is_pictograph(first) {
        at
    } else if matches!(first, EMOJI_SELECTOR | KEYCAP) {
        line[floor..at]
            .char_indices()
            .next_back()
            .filter(|(_, base)| !base.is_alphabetic() && !base.is_whitespace())
            .map_or(at, |(offset, _)| floor + offset)
    } else {
        return None;
    };
    // The library's clusters hold a whole sequence.
    let cluster = line[start..].graphemes(true).next()?;
    Some(start..(start + cluster.len()).max(at + first.len_utf8()))
}

/// Characters that are shown as emoji or pictographs. Wider than Unicode's
/// `Extended_Pictographic` where a whole block is symbols without a meaning to a translator, and
/// without the few (©, ®, ™, ↔ …) that are text unless an emoji selector follows.
fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{203c}' | '\u{2049}'
        | '\u{231a}'..='\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23fa}'
        | '\u{25b6}' | '\u{25c0}' | '\u{25fb}'..='\u{25fe}'
        | '\u{2600}'..='\u{27bf}'
        | '\u{2934}'..='\u{2935}' | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}'..='\u{2b1c}'
        | '\u{2b50}' | '\u{2b55}'
        | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1f0ff}'
        // Flags; the enclosed letters around them are text.
        | '\u{1f18e}' | '\u{1f191}'..='\u{1f19a}' | '\u{1f1e6}'..='\u{1f1ff}'
        | '\u{1f201}' | '\u{1f21a}' | '\u{1f22f}' | '\u{1f232}'..='\u{1f23a}'
        | '\u{1f250}'..='\u{1f251}'
        | '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f7ff}'
        | '\u{1f900}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_one_span() {
        for emoji in ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "⭐", "👩🏿‍🚀"]
        {
            let line = format!("a {emoji}b");
            assert_eq!(span(&line, 0, 2), Some(2..2 + emoji.len()), "{emoji}");
        }
    }

    #[test]
    fn a_selector_makes_an_emoji_of_the_character_before_it() {
        for emoji in ["1️⃣", "#️⃣", "©️", "↔️", "8⃣"] {
            let line = format!("a {emoji}b");
            let base = emoji.chars().next().map_or(0, char::len_utf8);
            assert_eq!(
                span(&line, 0, 2 + base),
                Some(2..2 + emoji.len()),
                "{emoji}"
            );
        }
        assert_eq!(
            span("a\u{fe0f}b", 0, 1),
            Some(1..4),
            "a letter is not taken in"
        );
    }

    #[test]
    fn text_symbols_and_letters_are_no_emoji() {
        for text in ["©", "™", "…", "“", "字", "€", "→"] {
            assert_eq!(span(text, 0, 0), None, "{text}");
        }
    }
}
