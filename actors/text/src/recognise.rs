//! Recognition of tokens: stretches of a text that a translation must contain unchanged.
//!
//! One [table] lists every kind with its scanner, examples and counter-examples; the examples are
//! tests. The pass goes from left to right and asks the scanners only at bytes that can start or
//! reveal a token. The first scanner that matches wins, and the pass continues behind the match.
//!
//! ```
//! use babelmesh_text::recognise::{Options, TokenKind, tokens};
//!
//! let text = "Ask @ana about %1$d files";
//! let found: Vec<_> =
//!     tokens(text, &Options::default()).into_iter().map(|t| (t.kind, &text[t.range])).collect();
//! assert_eq!(found, [(TokenKind::Mention, "@ana"), (TokenKind::Placeholder, "%1$d")]);
//! ```
//!
//! The cost is linear in the length of the text: a scanner either looks at a bounded number of
//! bytes, or never reads again what a failed attempt has read.

mod chat;
mod custom;
mod kind;
mod numbers;
mod paths;
mod placeholders;
pub mod table;

use std::ops::Range;

pub(crate) use chat::entity_end;
pub use custom::{Patterns, PatternsError};
pub use kind::{KindSet, TokenKind};
pub(crate) use numbers::UNITS;

use crate::{glossary::Dictionary, protect::pairs::Pairs};

/// A stretch of a text that must survive translation unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// What it is.
    pub kind: TokenKind,
}

/// What to recognise besides the table.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Patterns of the operator.
    pub patterns: Option<&'a Patterns>,
    /// Whether the model's vocabulary has a character. Absent: it has all of them.
    pub known: Option<&'a (dyn Fn(char) -> bool + Send + Sync)>,
    /// Terms of a glossary.
    pub glossary: Option<&'a Dictionary>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("patterns", &self.patterns)
            .field("known", &self.known.is_some())
            .field("glossary", &self.glossary)
            .finish()
    }
}

/// The tokens of `text`, in order and without overlap.
#[must_use]
pub fn tokens(text: &str, options: &Options<'_>) -> Vec<Token> {
    let custom = options
        .patterns
        .map_or_else(Vec::new, |patterns| patterns.find(text));
    let mut found = Vec::new();
    let mut scan = Scan::new(text);
    let mut custom = custom.into_iter().peekable();
    while let Some(token) = scan.next_token() {
        // A pattern of the operator wins over the table.
        while let Some(own) = custom.next_if(|own| own.start < token.range.end) {
            push(&mut found, own, TokenKind::Custom);
        }
        push(&mut found, token.range, token.kind);
    }
    for own in custom {
        push(&mut found, own, TokenKind::Custom);
    }
    if let Some(glossary) = options.glossary {
        found = with_terms(text, found, glossary);
    }
    match options.known {
        Some(known) => with_unknown(text, found, known),
        None => found,
    }
}

/// Adds the terms of a glossary. A term takes the place of tokens that are parts of it; other tokens that it overlaps stay, and the term
/// is left out.
fn with_terms(text: &str, tokens: Vec<Token>, glossary: &Dictionary) -> Vec<Token> {
    let mut all: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    for term in glossary.find(text) {
        let range = term.range;
        while let Some(before) = tokens.next_if(|token| token.range.end <= range.start) {
            all.push(before);
        }
        let is_part =
            |token: &Token| range.start <= token.range.start && token.range.end <= range.end;
        let mut parts = Vec::new();
        while let Some(part) = tokens.next_if(is_part) {
            parts.push(part);
        }
        let is_covered = all.last().is_some_and(|last| last.range.end > range.start);
        let is_cut = tokens
            .peek()
            .is_some_and(|next| next.range.start < range.end);
        match is_covered || is_cut {
            true => all.extend(parts),
            false => all.push(Token {
                range,
                kind: TokenKind::Term,
            }),
        }
    }
    all.extend(tokens);
    all
}

/// Adds a token unless it overlaps the last one.
fn push(found: &mut Vec<Token>, range: Range<usize>, kind: TokenKind) {
    if found
        .last()
        .is_none_or(|last| last.range.end <= range.start)
    {
        found.push(Token { range, kind });
    }
}

/// Adds the characters between the tokens that the vocabulary lacks. A letter takes its word along,
/// because a part of a word means nothing to a model. A number that holds such a character, as `£4`
/// may, is kept as it is: its digits alone would be checked otherwise.
fn with_unknown(text: &str, tokens: Vec<Token>, known: &dyn Fn(char) -> bool) -> Vec<Token> {
    let mut all = Vec::with_capacity(tokens.len());
    let mut from = 0;
    for mut token in tokens {
        unknown_between(text, from..token.range.start, known, &mut all);
        from = token.range.end;
        let is_known = |c: char| c.is_whitespace() || known(c);
        if !token.kind.is_exact() && !text[token.range.clone()].chars().all(is_known) {
            token.kind = TokenKind::Unknown;
        }
        all.push(token);
    }
    unknown_between(text, from..text.len(), known, &mut all);
    all
}

fn unknown_between(
    text: &str,
    gap: Range<usize>,
    known: &dyn Fn(char) -> bool,
    all: &mut Vec<Token>,
) {
    let mut word_start = None;
    let mut chars = text[gap.clone()].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        let at = gap.start + offset;
        word_start = if c.is_alphanumeric() {
            word_start.or(Some(at))
        } else {
            None
        };
        if c.is_whitespace() || known(c) {
            continue;
        }
        let start = word_start.unwrap_or(at);
        let mut end = at + c.len_utf8();
        while let Some((_, next)) = chars.next_if(|&(_, next)| {
            word_start.is_some() && next.is_alphanumeric() || !next.is_whitespace() && !known(next)
        }) {
            end += next.len_utf8();
        }
        word_start = None;
        match all.last_mut() {
            Some(last) if last.kind == TokenKind::Unknown && last.range.end >= start => {
                last.range.end = end;
            }
            _ => all.push(Token {
                range: start..end,
                kind: TokenKind::Unknown,
            }),
        }
    }
}

/// The state of one pass over a text, shared by the scanners.
pub(crate) struct Scan<'a> {
    text: &'a str,
    /// Next byte to look at.
    at: usize,
    /// End of the last token: no other may start before.
    floor: usize,
    code: Option<Pairs>,
    braces: Option<Pairs>,
    /// End of the last run of letters and dots that was examined as a domain.
    domains_seen: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        let has = |byte| text.as_bytes().contains(&byte);
        Self {
            text,
            at: 0,
            floor: 0,
            code: has(b'`').then(|| Pairs::of_backticks(text)),
            braces: has(b'{').then(|| Pairs::of_braces(text)),
            domains_seen: 0,
        }
    }

    fn next_token(&mut self) -> Option<Token> {
        let bytes = self.text.as_bytes();
        while let Some(offset) = bytes[self.at..]
            .iter()
            .position(|&byte| table::STARTS[usize::from(byte)] != 0)
        {
            let at = self.at + offset;
            let mut rows = table::STARTS[usize::from(bytes[at])];
            while rows != 0 {
                let row = &table::TABLE[rows.trailing_zeros() as usize];
                rows &= rows - 1;
                let Some(range) = (row.scan)(self, at) else {
                    continue;
                };
                if range.start < self.floor || range.end <= at {
                    continue;
                }
                self.at = range.end;
                self.floor = range.end;
                return Some(Token {
                    range,
                    kind: row.kind,
                });
            }
            self.at = at + 1;
        }
        None
    }

    /// The text from `at` on, at most `len` bytes of it.
    fn ahead(&self, at: usize, len: usize) -> &'a str {
        let rest = &self.text[at..];
        &rest[..rest.floor_char_boundary(len)]
    }

    /// The last character before `at`.
    fn before(&self, at: usize) -> Option<char> {
        self.text[..at].chars().next_back()
    }

    /// The first character at or after `at`.
    fn after(&self, at: usize) -> Option<char> {
        self.text[at..].chars().next()
    }

    /// Whether a word ends right before `at`.
    fn is_after_word(&self, at: usize) -> bool {
        self.before(at).is_some_and(crate::protect::is_word)
    }

    /// Whether a word goes on at `at`.
    fn is_before_word(&self, at: usize) -> bool {
        self.after(at).is_some_and(crate::protect::is_word)
    }
}

/// How many bytes at the start of `text` satisfy `is_part`.
fn run(text: &str, is_part: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&byte| is_part(byte)).count()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use babelmesh_domain::Term;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_are_in_order_and_inside_the_text(text in "(\\PC|[-a-z0-9:/@#%${}<>_.\\[\\]\\\\`]){0,80}") {
            let mut end = 0;
            for token in tokens(&text, &Options { known: Some(&|c| c.is_ascii()), ..Options::default() }) {
                prop_assert!(token.range.start >= end && !token.range.is_empty());
                prop_assert!(text.get(token.range.clone()).is_some());
                end = token.range.end;
            }
        }
    }

    #[test]
    fn characters_that_the_vocabulary_lacks_are_tokens_with_their_words() {
        let known = |c: char| c.is_ascii() && c != '~';
        let options = Options {
            known: Some(&known),
            ..Options::default()
        };
        let text = "a naïve dog ~~ said ★ 東京 now";
        let found: Vec<_> = tokens(text, &options)
            .into_iter()
            .map(|token| &text[token.range])
            .collect();
        assert_eq!(found, ["naïve", "~~", "★", "東京"]);
        let kinds = tokens("It costs £4 or $5 now", &options);
        let kinds: Vec<_> = kinds.into_iter().map(|token| token.kind).collect();
        assert_eq!(kinds, [TokenKind::Unknown, TokenKind::Number]);
    }

    #[test]
    fn terms_take_the_place_of_their_parts_and_leave_other_tokens() {
        let terms = ["Node.js", "bank", "5 GB of data", "naïve"].map(|term| Term::new(term, "x"));
        let dictionary = Dictionary::new(terms.to_vec()).unwrap();
        let options = Options {
            known: Some(&|c: char| c.is_ascii()),
            glossary: Some(&dictionary),
            ..Options::default()
        };
        let text = "Node.js at https://bank.io/bank for 5 GB of data: naïve bank é";
        let found: Vec<_> = tokens(text, &options)
            .into_iter()
            .map(|token| (token.kind, &text[token.range]))
            .collect();
        let expected = [
            (TokenKind::Term, "Node.js"),
            (TokenKind::Url, "https://bank.io/bank"),
            (TokenKind::Term, "5 GB of data"),
            (TokenKind::Term, "naïve"),
            (TokenKind::Term, "bank"),
            (TokenKind::Unknown, "é"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn any_text_is_read_in_linear_time() {
        for part in [
            "<", "&", "{", "}", "%", "$", ":", "_", "[", "#", "@", "1", "1.", "a.", "/", "a/", "`",
            "``", "<a:", "<%", "[[", "__", ":a", "a_", "aA", "+1 ", "data:", "\\", "@a:", "🎉",
            "0x", "(", "%(", "v1", "1-", "-->",
        ] {
            let text = part.repeat((1 << 18) / part.len());
            let start = crate::cpu_time::CpuTime::start();
            let _ = tokens(&text, &Options::default());
            assert!(start.elapsed().as_secs() < 4, "{part:?}");
        }
    }
}
