//! Protected spans: what inside a line must come out as it went in.

pub(crate) mod address;
pub(crate) mod emoji;
pub(crate) mod markup;
pub(crate) mod pairs;

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use pairs::Pairs;

/// The protected spans of a line, in order and without overlap.
///
/// One pass from left to right. It stops at the bytes that can betray a span; the first rule that
/// recognises one there wins, and the pass goes on behind it.
pub(super) fn spans(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut scanner = Scanner::new(line);
    std::iter::from_fn(move || scanner.next_span())
}

struct Scanner<'a> {
    line: &'a str,
    /// The next byte to look at.
    at: usize,
    /// End of the last span: nothing before it may belong to another.
    floor: usize,
    code: Pairs,
    braces: Pairs,
    /// Start of the line's last "-->", so that an unclosed comment is not searched for one.
    last_comment_end: Option<usize>,
    /// End of the last run of letters and dots that was examined as a domain.
    domains_seen: usize,
}

impl<'a> Scanner<'a> {
    fn new(line: &'a str) -> Self {
        Self {
            line,
            at: 0,
            floor: 0,
            code: Pairs::of_backticks(line),
            braces: Pairs::of_braces(line),
            last_comment_end: line.rfind("-->"),
            domains_seen: 0,
        }
    }

    fn next_span(&mut self) -> Option<Range<usize>> {
        let bytes = self.line.as_bytes();
        while let Some(offset) = bytes[self.at..].iter().position(|&b| betrays(b)) {
            let at = self.at + offset;
            if let Some(span) = self.span_around(at, bytes[at]) {
                assert!(
                    self.floor <= span.start && at < span.end,
                    "spans must be in order"
                );
                self.at = span.end;
                self.floor = span.end;
                return Some(span);
            }
            self.at = at + 1;
        }
        None
    }

    /// The span that the byte at `at` betrays, if it is one; it may start before `at`.
    fn span_around(&mut self, at: usize, byte: u8) -> Option<Range<usize>> {
        let line = self.line;
        let rest = line.as_bytes().get(at + 1..).unwrap_or_default();
        let ahead = |end| at..end;
        match byte {
            b'`' => self.code.end_of(at).map(ahead),
            b'{' => self.braces.end_of(at).map(ahead),
            // Shell, Ruby and printf styles: ${x}, #{x}, %{x}.
            b'$' | b'%' | b'#' if rest.first() == Some(&b'{') => {
                self.braces.end_of(at + 1).map(ahead)
            }
            b'#' => address::hashtag_end(line, at).map(ahead),
            b'<' => markup::tag_end(line, at, self.last_comment_end).map(ahead),
            b'@' => address::email(line, self.floor, at)
                .or_else(|| address::mention_end(line, at).map(ahead)),
            b':' => address::url_with_scheme(line, self.floor, at),
            b'w' | b'W' => address::www_end(line, at).map(ahead),
            b'.' if at >= self.domains_seen => {
                let (run, domain) = address::bare_domain(line, self.floor, at);
                self.domains_seen = run.end;
                domain
            }
            b' ' => spaces_end(line, at).map(ahead),
            0..b' ' | 0x7f => Some(ahead(controls_end(line, at))),
            0xc2.. => emoji::span(line, self.floor, at),
            _ => None,
        }
    }
}

/// Whether a span may be recognised by this byte. Of the bytes outside ASCII, those that start an
/// emoji or one of its modifiers.
fn betrays(byte: u8) -> bool {
    const BETRAYS: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 0x100 {
            table[byte] = matches!(
                byte as u8,
                0..=b' '
                    | b'`'
                    | b'{'
                    | b'$'
                    | b'%'
                    | b'#'
                    | b'<'
                    | b'@'
                    | b':'
                    | b'w'
                    | b'W'
                    | b'.'
                    | 0x7f
                    | 0xe2
                    | 0xe3
                    | 0xef
                    | 0xf0
            );
            byte += 1;
        }
        table
    };
    BETRAYS[usize::from(byte)]
}

/// Three spaces or more are a column of a table; fewer are typing.
fn spaces_end(line: &str, at: usize) -> Option<usize> {
    let rest = &line.as_bytes()[at..];
    let count = rest.iter().take_while(|&&b| b == b' ').count();
    (count >= 3).then_some(at + count)
}

/// Tabs and other control characters, which a tokenizer would turn into spaces or drop.
fn controls_end(line: &str, at: usize) -> usize {
    let rest = &line.as_bytes()[at..];
    at + rest.iter().take_while(|b| b.is_ascii_control()).count()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A line and its protected spans, which stand in «» in `marked`.
    #[track_caller]
    fn check(marked: &str) {
        let line = marked.replace(['«', '»'], "");
        let mut result = line.clone();
        let all: Vec<_> = spans(&line).collect();
        for span in all.into_iter().rev() {
            result.insert(span.end, '»');
            result.insert(span.start, '«');
        }
        assert_eq!(result, marked);
    }

    #[test]
    fn spans_of_every_kind_are_found_in_one_line() {
        check(
            "Ask «@ana» or «bob@x.org» about «#rust», «`a b`», «{name}», «<b>»it«</b>» at «https://a.io/b?c» «👍»!",
        );
    }

    #[test]
    fn the_first_span_wins_where_two_overlap() {
        check("«`<b> {x} @a`» «<a href=\"https://a.b/{x}\">» «https://a.b/@c#d»");
    }

    #[test]
    fn placeholders_are_protected_in_many_dialects() {
        check("«{}» «{0}» «{{ name }}» «${x}» «%{x}» «#{x}» «{n, plural, one {# a} other {# b}}»");
        check("} «{a}» and {b «{c}»");
    }

    #[test]
    fn control_characters_and_columns_of_spaces_are_protected() {
        check("a«\t»b«\0\u{1b}»c  d«   »e");
    }

    #[test]
    fn plain_text_has_no_spans() {
        check(
            "I owe you $5, 50% of 10: a < b > c, #, @ home... well; what? «naïve» 東京、Привет"
                .replace(['«', '»'], "")
                .as_str(),
        );
    }
}
