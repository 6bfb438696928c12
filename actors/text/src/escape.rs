//! How a format writes characters that mean something in it.

use std::{collections::HashMap, ops::Range};

use crate::entities;

/// Rules of escaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Every character stands for itself.
    None,
    /// Character references, in the text of HTML, XML and `WebVTT`.
    Html,
    /// The same in the value of an attribute, within this quote.
    Attribute(char),
    /// Backslashes and character references.
    Markdown,
}

/// A character that is written in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) range: Range<usize>,
    /// `None` where the meaning is unknown.
    pub(crate) decoded: Option<char>,
}

impl Escape {
    /// The escaped characters of a text, and its soft hyphens.
    pub(crate) fn references(self, text: &str) -> impl Iterator<Item = Reference> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let bytes = text.as_bytes();
            while let Some(offset) = bytes[at..]
                .iter()
                .position(|&b| matches!(b, b'&' | b'\\' | 0xc2))
            {
                let start = at + offset;
                at = start + 1;
                if let Some((len, decoded)) = self.reference(bytes[start], text, start) {
                    at = start + len;
                    return Some(Reference {
                        range: start..at,
                        decoded,
                    });
                }
            }
            None
        })
    }

    fn reference(self, byte: u8, text: &str, at: usize) -> Option<(usize, Option<char>)> {
        match byte {
            0xc2 => text.as_bytes()[at + 1..]
                .starts_with(&[0xad])
                .then_some((2, Some('\u{ad}'))),
            b'&' if self != Self::None => entities::reference(&text[at..]),
            b'\\' if self == Self::Markdown => text[at + 1..]
                .chars()
                .next()
                .filter(char::is_ascii_punctuation)
                .map(|c| (2, Some(c))),
            _ => None,
        }
    }

    /// How a character is written if the source does not say, where it cannot stand for itself.
    fn default_spelling(self, c: char) -> Option<&'static str> {
        match (self, c) {
            (Self::None, _) => None,
            (_, '&') => Some("&amp;"),
            (_, '<') => Some("&lt;"),
            (Self::Html, '>') => Some("&gt;"),
            (Self::Attribute('"'), '"') => Some("&quot;"),
            (Self::Attribute('\''), '\'') => Some("&#39;"),
            (Self::Markdown, '*') => Some("\\*"),
            (Self::Markdown, '_') => Some("\\_"),
            (Self::Markdown, '`') => Some("\\`"),
            (Self::Markdown, '[') => Some("\\["),
            (Self::Markdown, ']') => Some("\\]"),
            (Self::Markdown, '\\') => Some("\\\\"),
            (Self::Markdown, '~') => Some("\\~"),
            (Self::Markdown, '|') => Some("\\|"),
            _ => None,
        }
    }
}

/// Writes translated words as their format needs it, with the spellings of the source.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    escape: Escape,
    /// How each occurrence of a character was written, for those that were not always themselves.
    spellings: HashMap<char, Spellings<'a>>,
}

#[derive(Debug, Default)]
struct Spellings<'a> {
    in_order: Vec<&'a str>,
    used: usize,
}

impl<'a> Encoder<'a> {
    /// For the words of a unit, as they stand in the message.
    pub(crate) fn new<'b>(escape: Escape, words: impl Iterator<Item = &'a str> + Clone + 'b) -> Self
    where
        'a: 'b,
    {
        let mut encoder = Self {
            escape,
            spellings: HashMap::new(),
        };
        if escape == Escape::None {
            return encoder;
        }
        for text in words.clone() {
            let found = escape.references(text).filter_map(|found| found.decoded);
            for c in found.chain(
                text.chars()
                    .filter(|&c| escape.default_spelling(c).is_some()),
            ) {
                encoder.spellings.entry(c).or_default();
            }
        }
        if encoder.spellings.is_empty() {
            return encoder;
        }
        for text in words {
            let mut references = escape.references(text).peekable();
            let mut at = 0;
            while let Some(c) = text[at..].chars().next() {
                let (c, end) = match references.next_if(|found| found.range.start == at) {
                    Some(found) => (found.decoded.unwrap_or('\0'), found.range.end),
                    None => (c, at + c.len_utf8()),
                };
                if let Some(spellings) = encoder.spellings.get_mut(&c) {
                    spellings.in_order.push(&text[at..end]);
                }
                at = end;
            }
        }
        encoder
    }

    /// Writes words. What follows them in the message begins a tag, a token or nothing.
    pub(crate) fn write(&mut self, words: &str, out: &mut String) {
        if self.escape == Escape::None {
            out.push_str(words);
            return;
        }
        for (at, c) in words.char_indices() {
            let rest = &words[at..];
            let default = self.escape.default_spelling(c);
            let spelling = match self.spellings.get_mut(&c) {
                None => default,
                Some(spellings) => {
                    let last = spellings.in_order.last().copied();
                    let next = spellings.in_order.get(spellings.used).copied().or(last);
                    spellings.used += 1;
                    // Stood for itself, and may again where it means nothing.
                    // A "<" behind a backslash still looks like a tag to what reads no Markdown.
                    let next = next.map(|next| if next == "\\<" { "&lt;" } else { next });
                    next.filter(|next| !next.starts_with(c) || next.len() > c.len_utf8())
                        .or_else(|| default.filter(|_| !self.escape.is_harmless(rest)))
                }
            };
            match spelling {
                Some(spelling) => out.push_str(spelling),
                None => out.push(c),
            }
        }
    }
}

impl Escape {
    /// Whether the character at the start of `rest` stands for itself there.
    fn is_harmless(self, rest: &str) -> bool {
        let mut chars = rest.chars();
        let (first, second) = (chars.next(), chars.next());
        match first {
            Some('&') => {
                entities::reference(rest).is_none() && second.is_some_and(|c| c.is_whitespace())
                    || second.is_some_and(|c| c.is_ascii_uppercase()) && !rest.contains(';')
            }
            Some('<') => second.is_some_and(|c| c.is_whitespace() || c.is_ascii_digit()),
            Some('"' | '\'') => !matches!(self, Self::Attribute(_)),
            Some('|') => false,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(escape: Escape, source: &str, translation: &str, expected: &str) {
        let mut out = String::new();
        Encoder::new(escape, std::iter::once(source)).write(translation, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn characters_are_written_as_the_source_wrote_them() {
        check(
            Escape::Html,
            "Tom &amp; Jerry",
            "Tom & Jerry",
            "Tom &amp; Jerry",
        );
        check(Escape::Html, "Tom & Jerry", "Tom & Jerry", "Tom & Jerry");
        check(
            Escape::Html,
            "I don&#39;t",
            "n'est 'pas'",
            "n&#39;est &#39;pas&#39;",
        );
        check(Escape::Html, "ten&nbsp;o", "dix\u{a0}h", "dix&nbsp;h");
        check(Escape::Html, "5 &gt; 3 > 2", "5 > 3 > 2", "5 &gt; 3 > 2");
        check(Escape::Html, "AT&T", "AT&T", "AT&T");
        check(Escape::Markdown, "2 \\* 3", "2 * 3", "2 \\* 3");
    }

    #[test]
    fn what_a_model_adds_is_escaped() {
        check(Escape::Html, "a", "<b> & &lt;", "&lt;b&gt; &amp; &amp;lt;");
        check(Escape::Html, "a & b", "a &lt; b", "a &amp;lt; b");
        check(Escape::Html, "a < b", "a <b", "a &lt;b");
        check(
            Escape::Attribute('"'),
            "a",
            "\"x\" 'y'",
            "&quot;x&quot; 'y'",
        );
        check(Escape::Markdown, "a", "*x* [y]", "\\*x\\* \\[y\\]");
        check(Escape::None, "a", "<b> & *", "<b> & *");
    }
}
