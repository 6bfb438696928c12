//! XML with the places of its parts.

use std::ops::Range;

use quick_xml::{Reader, events::Event};

/// A part of an XML text. The tokens of a text follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    start: u32,
    end: u32,
    pub(crate) kind: TokenKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An opening tag, with the index of its closing tag.
    Start(u32),
    /// A closing tag.
    End,
    /// A tag without content.
    Empty,
    /// Characters; entities are tokens of their own.
    Text,
    /// A CDATA section.
    Cdata,
    /// A comment, declaration, or processing instruction.
    Other,
}

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XmlError {
    /// It is not well-formed at this byte.
    Malformed(usize),
    /// Its elements are nested deeper than they may be.
    TooDeep,
}

/// A text and its tokens.
#[derive(Debug)]
pub(crate) struct Xml<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Token>,
}

impl<'a> Xml<'a> {
    /// Reads a text. Document type definitions are not: entities stay as they are.
    pub(crate) fn read(text: &'a str, max_depth: usize) -> Result<Self, XmlError> {
        let bom = text.len() - text.trim_start_matches('\u{feff}').len();
        let place = |at: usize| u32::try_from(at).map_err(|_| XmlError::Malformed(at));
        let mut reader = Reader::from_str(&text[bom..]);
        let mut tokens = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut start = place(bom)?;
        if bom > 0 {
            tokens.push(Token {
                start: 0,
                end: start,
                kind: TokenKind::Other,
            });
        }
        loop {
            let event = reader.read_event();
            let at = bom + usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let event = event.map_err(|_| XmlError::Malformed(at))?;
            let kind = match event {
                Event::Start(_) => {
                    if open.len() >= max_depth {
                        return Err(XmlError::TooDeep);
                    }
                    open.push(tokens.len());
                    TokenKind::Start(0)
                }
                Event::End(_) => {
                    let opened = open.pop().ok_or(XmlError::Malformed(at))?;
                    let partner = u32::try_from(tokens.len());
                    let partner = partner.map_err(|_| XmlError::Malformed(at))?;
                    tokens[opened].kind = TokenKind::Start(partner);
                    TokenKind::End
                }
                Event::Empty(_) => TokenKind::Empty,
                Event::Text(_) | Event::GeneralRef(_) => TokenKind::Text,
                Event::CData(_) => TokenKind::Cdata,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                    TokenKind::Other
                }
                Event::Eof => break,
            };
            let end = place(at)?;
            tokens.push(Token { start, end, kind });
            start = end;
        }
        match open.is_empty() && start as usize == text.len() {
            true => Ok(Self { text, tokens }),
            false => Err(XmlError::Malformed(text.len())),
        }
    }

    /// Where a token is.
    pub(crate) fn range(&self, token: usize) -> Range<usize> {
        let token = &self.tokens[token];
        token.start as usize..token.end as usize
    }

    /// A token as it stands.
    pub(crate) fn source(&self, token: usize) -> &'a str {
        &self.text[self.range(token)]
    }

    /// The name of a tag's element, with its prefix; empty for other tokens.
    pub(crate) fn name(&self, token: usize) -> &'a str {
        let source = self.source(token);
        let name = match self.tokens[token].kind {
            TokenKind::Start(_) | TokenKind::Empty => &source[1..],
            TokenKind::End => &source[2..],
            TokenKind::Text | TokenKind::Cdata | TokenKind::Other => return "",
        };
        let end = name.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        &name[..end.unwrap_or(name.len())]
    }

    /// The token after an element, or after a single token.
    pub(crate) fn after(&self, token: usize) -> usize {
        match self.tokens[token].kind {
            TokenKind::Start(partner) => partner as usize + 1,
            _ => token + 1,
        }
    }

    /// Where an element is with its content.
    pub(crate) fn element(&self, token: usize) -> Range<usize> {
        self.range(token).start..self.range(self.after(token) - 1).end
    }

    /// The value of an attribute of a tag, with its prefix.
    pub(crate) fn attribute(&self, token: usize, name: &str) -> Option<String> {
        let source = self.source(token);
        let found = attributes(source).find(|(key, _)| *key == name);
        found.map(|(_, value)| unescaped(value))
    }

    /// The prefix, with its colon, that the first element binds to one of these namespaces; empty for the default namespace.
    pub(crate) fn prefix(&self, namespaces: &[&str]) -> Option<String> {
        let root = (0..self.tokens.len())
            .find(|&token| matches!(self.tokens[token].kind, TokenKind::Start(_)))?;
        attributes(self.source(root)).find_map(|(key, value)| {
            if !namespaces.contains(&value) {
                return None;
            }
            match key.strip_prefix("xmlns") {
                Some("") => Some(String::new()),
                Some(prefix) => prefix.strip_prefix(':').map(|prefix| format!("{prefix}:")),
                None => None,
            }
        })
    }

    /// The characters in an element, or in a range of tokens.
    pub(crate) fn characters(&self, tokens: Range<usize>) -> String {
        let mut text = String::new();
        for token in tokens {
            let source = self.source(token);
            match self.tokens[token].kind {
                TokenKind::Text => text.push_str(&unescaped(source)),
                TokenKind::Cdata => {
                    text.push_str(&source["<![CDATA[".len()..source.len() - "]]>".len()]);
                }
                _ => {}
            }
        }
        text
    }
}

/// Names and values of the attributes of a tag. Values are as they stand.
fn attributes(tag: &str) -> impl Iterator<Item = (&str, &str)> {
    let name_end = tag.find(|c: char| c.is_ascii_whitespace());
    let mut rest = name_end.map_or("", |end| &tag[end..]);
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        rest = after;
        Some((name.trim(), value))
    })
}

/// Characters with the entities that XML itself has replaced. Others stay.
pub(crate) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest is that of a character: "&#x10FFFF;", with some zeros.
        let end = rest.bytes().take(16).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((c, end)) => {
                plain.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?).filter(|c| is_allowed(*c))
        }
    }
}

/// Whether XML may hold a character at all.
const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Writes characters. Those that XML cannot hold are left out.
pub(crate) fn escape(text: &str, written: &mut String) {
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            c if is_allowed(c) => written.push(c),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_have_places_and_partners() {
        let text = "\u{feff}<?xml version=\"1.0\"?><a b='1' w:c=\"x &amp; y\">t&lt;<d/><!-- c --><![CDATA[<]]></a>";
        let xml = Xml::read(text, 10).unwrap();
        let all: String = (0..xml.tokens.len()).map(|at| xml.source(at)).collect();
        assert_eq!(all, text);
        let a = (0..xml.tokens.len())
            .find(|&at| xml.name(at) == "a")
            .unwrap();
        assert_eq!(xml.attribute(a, "w:c").as_deref(), Some("x & y"));
        assert_eq!(xml.attribute(a, "b").as_deref(), Some("1"));
        assert_eq!(xml.after(a), xml.tokens.len());
        assert_eq!(xml.characters(a..xml.after(a)), "t<<");
    }

    #[test]
    fn what_is_not_well_formed_or_too_deep_is_refused() {
        for text in [
            "<a>",
            "</a>",
            "<a></b>",
            "<a",
            "<a>&",
            "<a><b></a></b>",
            "<!-- ",
        ] {
            let refused = matches!(Xml::read(text, 10), Err(XmlError::Malformed(_)));
            assert!(refused, "{text}");
        }
        let deep = format!("{}{}", "<a>".repeat(11), "</a>".repeat(11));
        assert_eq!(Xml::read(&deep, 10).unwrap_err(), XmlError::TooDeep);
        assert!(Xml::read(&deep, 11).is_ok());
    }

    #[test]
    fn the_prefix_of_a_namespace_is_found() {
        let text = "<?xml version='1.0'?><w:a xmlns:w=\"urn:w\" xmlns=\"urn:x\"/>";
        let text = text.replace("/>", "></w:a>");
        let xml = Xml::read(&text, 10).unwrap();
        assert_eq!(xml.prefix(&["urn:w"]).as_deref(), Some("w:"));
        assert_eq!(xml.prefix(&["urn:x"]).as_deref(), Some(""));
        assert_eq!(xml.prefix(&["urn:y"]), None);
    }

    proptest! {
        #[test]
        fn characters_that_are_written_are_read_again(text in "(?s).*") {
            let mut written = String::new();
            escape(&text, &mut written);
            let allowed: String = text.chars().filter(|c| is_allowed(*c)).collect();
            prop_assert_eq!(unescaped(&written), allowed);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(<a>|</a>|<a/>|<|>|&|;|#|x|<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|\u{e9}){0,20}") {
            if let Ok(xml) = Xml::read(&text, 5) {
                for token in 0..xml.tokens.len() {
                    let _ = (xml.name(token), xml.characters(token..xml.after(token)));
                }
            }
        }
    }
}
