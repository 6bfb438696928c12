//! URLs, e-mail addresses, mentions and hashtags.
//!
//! Each rule starts at the character that betrays it and looks to both sides. What it may pass on
//! either side never holds that character, so no two attempts read the same byte twice.

use std::ops::Range;

use super::{is_after_word, is_word, word_end};

/// Top-level domains by which a domain without "https://" or "www." is recognised. Only such as
/// are no common word, since a forgotten space gives "see it.is that so".
const TOP_LEVEL_DOMAINS: &[&str] = &[
    "com", "org", "net", "edu", "gov", "info", "io", "dev", "app", "fr", "eu", "uk", "ch",
];

/// Schemes that are followed by an address without "//".
const BARE_SCHEMES: &[&str] = &["mailto", "tel"];

/// End of the "#word" that starts at `at`.
pub(crate) fn hashtag_end(line: &str, at: usize) -> Option<usize> {
    let end = word_end(line, at + 1);
    (end > at + 1 && !is_after_word(line, at)).then_some(end)
}

/// End of the "@name" or "@name@server.org" that starts at `at`.
pub(crate) fn mention_end(line: &str, at: usize) -> Option<usize> {
    let end = dotted_end(line, at + 1);
    if end == at + 1 || is_after_word(line, at) {
        return None;
    }
    let server = line[end..]
        .strip_prefix('@')
        .and_then(|_| domain_end(line, end + 1));
    Some(server.unwrap_or(end))
}

/// The e-mail address around the "@" at `at`.
pub(crate) fn email(line: &str, floor: usize, at: usize) -> Option<Range<usize>> {
    let local = line[floor..at]
        .trim_end_matches(|c: char| is_word(c) || matches!(c, '.' | '+' | '-' | '%'))
        .len()
        + floor;
    let start = at
        - line[local..at]
            .trim_start_matches(['.', '+', '-', '%'])
            .len();
    if start == at {
        return None;
    }
    Some(start..domain_end(line, at + 1)?)
}

/// The URL whose scheme ends with the ":" at `at`.
pub(crate) fn url_with_scheme(line: &str, floor: usize, at: usize) -> Option<Range<usize>> {
    let before = line[floor..at]
        .trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        .len()
        + floor;
    let start = at
        - line[before..at]
            .trim_start_matches(|c: char| !c.is_ascii_alphabetic())
            .len();
    let scheme = &line[start..at];
    let is_bare = BARE_SCHEMES
        .iter()
        .any(|bare| scheme.eq_ignore_ascii_case(bare));
    let address = if line[at..].starts_with("://") && scheme.len() > 1 {
        at + "://".len()
    } else if is_bare {
        at + 1
    } else {
        return None;
    };
    let end = url_end(line, address);
    (end > address).then_some(start..end)
}

/// End of the URL that starts with "www." at `at`.
pub(crate) fn www_end(line: &str, at: usize) -> Option<usize> {
    let prefix = line.as_bytes().get(at..at + 4)?;
    if !prefix.eq_ignore_ascii_case(b"www.") || is_after_word(line, at) {
        return None;
    }
    line[at + 4..]
        .starts_with(is_word)
        .then(|| url_end(line, at))
}

/// The run of domain characters around the "." at `at`, and the URL "example.com/path" that starts
/// within it. The run needs no second look.
pub(crate) fn bare_domain(
    line: &str,
    floor: usize,
    at: usize,
) -> (Range<usize>, Option<Range<usize>>) {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let bytes = line.as_bytes();
    let left = bytes[floor..at]
        .iter()
        .rev()
        .take_while(|b| is_part(b))
        .count();
    let right = bytes[at..].iter().take_while(|b| is_part(b)).count();
    let run = at - left..at + right;
    // A letter such as "é" before it means that the run is not whole.
    if is_after_word(line, run.start) {
        return (run, None);
    }
    let domain = line[run.clone()].trim_end_matches(['.', '-']);
    let has_labels = domain.split('.').all(|label| !label.is_empty());
    let is_known = domain.rsplit_once('.').is_some_and(|(_, top)| {
        TOP_LEVEL_DOMAINS
            .iter()
            .any(|known| top.eq_ignore_ascii_case(known))
    });
    let end = run.start + domain.len();
    if !has_labels || !is_known || line[end..].starts_with(is_word) {
        return (run, None);
    }
    let end = if line[end..].starts_with(['/', ':', '?', '#']) {
        url_end(line, end).max(end)
    } else {
        end
    };
    (run.clone(), Some(run.start..end))
}

/// End of a domain with at least one dot: "example.com", "müller.example".
pub(crate) fn domain_end(line: &str, start: usize) -> Option<usize> {
    let end = dotted_end(line, start);
    line[start..end].contains('.').then_some(end)
}

/// End of words that are joined by single dots or hyphens.
fn dotted_end(line: &str, start: usize) -> usize {
    let mut end = word_end(line, start);
    while end > start && line[end..].starts_with(['.', '-']) {
        let next = word_end(line, end + 1);
        if next == end + 1 {
            break;
        }
        end = next;
    }
    end
}

/// End of the URL whose address part starts at `start`: up to white space, quotes, angle brackets
/// or the punctuation of Chinese and Japanese, without the punctuation that closes the sentence or
/// the bracket around the URL.
pub(crate) fn url_end(line: &str, start: usize) -> usize {
    let rest = &line[start..];
    let len = rest.find(ends_url).unwrap_or(rest.len());
    let mut url = &rest[..len];
    let mut unopened = Brackets::unopened(url);
    while let Some(last) = url.chars().next_back() {
        let goes = match last {
            ')' => take_one(&mut unopened.round),
            ']' => take_one(&mut unopened.square),
            '}' => take_one(&mut unopened.curly),
            _ => matches!(
                last,
                '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '~' | '(' | '[' | '{' | '|'
            ),
        };
        if !goes {
            break;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
    start + url.len()
}

fn ends_url(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '<' | '>' | '"' | '`' | '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '…'
                | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}'
        )
}

/// How many closing brackets of a text have no opening one; counted once, since a URL may end in
/// thousands of them.
struct Brackets {
    round: usize,
    square: usize,
    curly: usize,
}

impl Brackets {
    fn unopened(text: &str) -> Self {
        let count = |bracket: u8| text.bytes().filter(|&b| b == bracket).count();
        Self {
            round: count(b')').saturating_sub(count(b'(')),
            square: count(b']').saturating_sub(count(b'[')),
            curly: count(b'}').saturating_sub(count(b'{')),
        }
    }
}

fn take_one(count: &mut usize) -> bool {
    let had_one = *count > 0;
    *count = count.saturating_sub(1);
    had_one
}

#[cfg(test)]
mod tests {
    use crate::recognise::{Options, TokenKind, tokens};

    fn protected(line: &str) -> Vec<&str> {
        let is_address = |kind| {
            matches!(
                kind,
                TokenKind::Url | TokenKind::Email | TokenKind::Mention | TokenKind::Hashtag
            )
        };
        let found = tokens(line, &Options::default()).into_iter();
        let addresses = found.filter(|token| is_address(token.kind));
        addresses.map(|token| &line[token.range]).collect()
    }

    #[test]
    fn urls_are_taken_whole_and_without_the_punctuation_around_them() {
        for url in [
            "https://example.com",
            "http://a.b/c?d=e&f=%20g#h",
            "ftp://host/file.txt",
            "https://en.wikipedia.org/wiki/Mars_(planet)",
            "https://example.com/é/東京",
            "www.example.com/a",
            "WWW.Example.COM",
            "example.com",
            "docs.rs.example.io/a/b?c",
            "mailto:ana@example.com",
            "tel:+33-1-23",
        ] {
            for (before, after) in [
                ("", ""),
                ("see ", " now"),
                ("(", ")"),
                ("\"", "\"?!"),
                ("*", "*."),
                ("«", "»、"),
            ] {
                let line = format!("{before}{url}{after}");
                assert_eq!(protected(&line), [url], "{line}");
            }
        }
    }

    #[test]
    fn addresses_and_handles_are_taken_whole() {
        for span in [
            "ana.b+c@example.co.uk",
            "jörg@müller.de",
            "@ana",
            "@ana.b-c",
            "@ana@example.social",
            "@محمد",
            "#rust_lang",
            "#हिन्दी",
            "#2024",
        ] {
            for (before, after) in [("", ""), ("ask ", ", now"), ("(", ")"), ("", ".")] {
                let line = format!("{before}{span}{after}");
                assert_eq!(protected(&line), [span], "{line}");
            }
        }
    }

    #[test]
    fn text_that_resembles_an_address_is_prose() {
        for line in [
            "a@b",
            "C# is old",
            "x @ y",
            "well...yes.no",
            "say:hello",
            "://x",
            "e.g. it.is",
            "http:// x",
            "a.com_b",
            "9:30",
            "wwwhat",
            "éa.com",
            "..com",
        ] {
            assert_eq!(protected(line), Vec::<&str>::new(), "{line}");
        }
    }
}
