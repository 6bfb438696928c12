//! Lines: which of them are prose, and where the prose of a line starts and ends.

use std::ops::Range;

/// The ranges of `text` that hold prose, at most one a line: without line breaks, the white space
/// around the line, its list markers, code blocks, and lines that hold no letter. A fence that is
/// never closed is prose with the rest: a forgotten fence must not leave half a message untranslated.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    // For the end of each line, the longest fence of each mark that some later line closes.
    let closers: Vec<[usize; 2]> = if text.contains("```") || text.contains("~~~") {
        let lines: Vec<&str> = text.split_inclusive(is_line_break).collect();
        let mut longest = [0; 2];
        let mut closers: Vec<_> = lines
            .iter()
            .rev()
            .map(|line| {
                let before = longest;
                let closer = Fence::split(line).filter(|(_, info)| info.trim().is_empty());
                if let Some((fence, _)) = closer {
                    let mark = usize::from(fence.mark == '~');
                    longest[mark] = longest[mark].max(fence.len);
                }
                before
            })
            .collect();
        closers.reverse();
        closers
    } else {
        Vec::new()
    };
    let is_closed = move |line: usize, fence: Fence| {
        let mark = usize::from(fence.mark == '~');
        closers
            .get(line)
            .is_some_and(|longest| longest[mark] >= fence.len)
    };
    let mut fence: Option<Fence> = None;
    let mut next_start = 0;
    text.split_inclusive(is_line_break)
        .enumerate()
        .filter_map(move |(number, line)| {
            let line_start = next_start;
            next_start += line.len();
            if let Some(open) = fence {
                if open.is_closed_by(line) {
                    fence = None;
                }
                return None;
            }
            let opened = Fence::opened_by(line);
            fence = opened.filter(|&fence| is_closed(number, fence));
            if opened.is_some() || !line.contains(char::is_alphabetic) {
                return None;
            }
            let start = line_start + markers_len(line);
            let end = line_start + line.trim_end().len();
            (start < end).then_some(start..end)
        })
}

/// The characters after which Unicode says that a line ends. All of them are white space.
fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// A code fence as `CommonMark` has it, but with any indentation and inside quotes: lists indent
/// their code, and a quoted message may hold some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fence {
    mark: char,
    /// How many marks opened it; as many or more close it.
    len: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let (fence, info) = Self::split(line)?;
        // "```x``` is code" is inline code that starts a line.
        let is_inline = fence.mark == '`' && info.contains('`');
        (!is_inline).then_some(fence)
    }

    fn is_closed_by(self, line: &str) -> bool {
        Self::split(line).is_some_and(|(fence, info)| {
            fence.mark == self.mark && fence.len >= self.len && info.trim().is_empty()
        })
    }

    /// The fence at the start of a line, and what follows it.
    fn split(line: &str) -> Option<(Self, &str)> {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || c == '>');
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let len = line.len() - info.len();
        (len >= 3).then_some((Self { mark, len }, info))
    }
}

/// Length in bytes of the white space and the list, quote and heading markers that start a line.
fn markers_len(line: &str) -> usize {
    let mut rest = line.trim_start();
    while let Some(after) = strip_marker(rest) {
        rest = after.trim_start();
    }
    line.len() - rest.len()
}

fn strip_marker(line: &str) -> Option<&str> {
    if let Some(after) = line.strip_prefix('>') {
        return Some(after);
    }
    ["-", "*", "+", "•", "[ ]", "[x]", "[X]"]
        .into_iter()
        .find_map(|bullet| line.strip_prefix(bullet))
        .or_else(|| strip_number(line))
        .or_else(|| strip_heading(line))
        .filter(|after| after.starts_with(char::is_whitespace))
}

/// "12. " and "3) "; nine digits at most, so that a long number is not read again and again.
fn strip_number(line: &str) -> Option<&str> {
    let digits = line.bytes().take(10).take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    line[digits..].strip_prefix(['.', ')'])
}

fn strip_heading(line: &str) -> Option<&str> {
    let hashes = line.bytes().take(7).take_while(|&b| b == b'#').count();
    (1..=6).contains(&hashes).then(|| &line[hashes..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose_of(text: &str) -> Vec<&str> {
        prose(text).map(|range| &text[range]).collect()
    }

    #[test]
    fn markers_and_surrounding_white_space_are_not_prose() {
        for (line, prose) in [
            ("  - milk \r\n", "milk"),
            ("* milk", "milk"),
            ("+ milk", "milk"),
            ("• milk", "milk"),
            ("12. milk", "milk"),
            ("3) milk", "milk"),
            ("> milk", "milk"),
            (">> milk", "milk"),
            (">milk", "milk"),
            ("### Milk", "Milk"),
            ("> - [x] 1. milk\t", "milk"),
            ("\u{a0}milk\u{3000}", "milk"),
        ] {
            assert_eq!(prose_of(line), [prose], "{line:?}");
        }
    }

    #[test]
    fn text_that_resembles_a_marker_is_prose() {
        for line in ["-milk", "*milk*", "1.5 litres", "#milk", "1234567890. milk"] {
            assert_eq!(prose_of(line), [line]);
        }
    }

    #[test]
    fn every_unicode_line_break_ends_a_line() {
        assert_eq!(
            prose_of("a\nb\r\nc\rd\u{85}e\u{2028}f\u{2029}g\u{b}h\u{c}i"),
            ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
        );
    }

    #[test]
    fn lines_without_a_letter_are_not_prose() {
        assert_eq!(prose_of("---\n12:30\n\n|---|---|\n- \nyes"), ["yes"]);
    }

    #[test]
    fn a_fenced_block_is_not_prose() {
        assert_eq!(
            prose_of("before\n```rust\nlet a = 1;\n~~~\n``\n  ````  \nafter"),
            ["before", "after"]
        );
        assert_eq!(prose_of("a\n~~~\n```\nb\n~~~\nc"), ["a", "c"]);
        assert_eq!(prose_of("> ```\n> code\n> ```\n> a"), ["a"]);
    }

    #[test]
    fn an_unclosed_fence_is_prose_with_the_rest() {
        assert_eq!(prose_of("a\n````\nb\n```\nc"), ["a", "b", "c"]);
    }

    #[test]
    fn inline_code_at_the_start_of_a_line_opens_no_fence() {
        assert_eq!(prose_of("```x``` is code\nb").len(), 2);
    }
}
