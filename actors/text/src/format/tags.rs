//! Tags, comments and declarations of markup, with the places of their parts.

use std::{collections::HashMap, ops::Range};

use super::builder::Opened;
use crate::protect::markup;

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// The whole tag.
    pub(crate) range: Range<usize>,
    /// Name of the element; empty for comments and declarations.
    pub(crate) name: &'a str,
    pub(crate) kind: TagKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagKind {
    Open,
    Close,
    /// `<name/>`
    SelfClosing,
    /// Comment, declaration, processing instruction.
    Other,
    /// `<![CDATA[…]]>`
    Cdata,
}

/// Finds the tags of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tags<'a> {
    text: &'a str,
    last_comment_end: Option<usize>,
    last_cdata_end: Option<usize>,
}

impl<'a> Tags<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            last_comment_end: text.rfind("-->"),
            last_cdata_end: text.rfind("]]>"),
        }
    }

    /// The next tag at or after `at`, and before `end`.
    pub(crate) fn next(&self, mut at: usize, end: usize) -> Option<Tag<'a>> {
        while let Some(offset) = self.text[at..end].find('<') {
            at += offset;
            if let Some(tag) = self.at(at).filter(|tag| tag.range.end <= end) {
                return Some(tag);
            }
            at += 1;
        }
        None
    }

    /// The tag that starts with the "<" at `at`.
    pub(crate) fn at(&self, at: usize) -> Option<Tag<'a>> {
        let rest = &self.text[at + 1..];
        let tag = |end, name, kind| Tag {
            range: at..end,
            name,
            kind,
        };
        match rest.bytes().next()? {
            b'!' if rest.starts_with("![CDATA[") => {
                let content = at + "<![CDATA[".len();
                self.last_cdata_end.filter(|&last| last >= content)?;
                let end = content + self.text[content..].find("]]>")? + "]]>".len();
                Some(tag(end, "", TagKind::Cdata))
            }
            b'!' | b'?' => {
                let end = markup::tag_end(self.text, at, self.last_comment_end)?;
                Some(tag(end, "", TagKind::Other))
            }
            b'0'..=b'9' => numbered(rest).map(|(name, kind, len)| tag(at + 1 + len, name, kind)),
            b'/' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => numbered(&rest[1..])
                .filter(|(_, kind, _)| *kind == TagKind::Open)
                .map(|(name, _, len)| tag(at + 2 + len, name, TagKind::Close)),
            first => {
                let end = markup::tag_end(self.text, at, None)?;
                let closes = first == b'/';
                let name = &rest[usize::from(closes)..];
                let len = name
                    .bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(b))
                    .count();
                let kind = match closes {
                    true => TagKind::Close,
                    false if self.text[..end].ends_with("/>") => TagKind::SelfClosing,
                    false => TagKind::Open,
                };
                Some(tag(end, &name[..len], kind))
            }
        }
    }
}

/// The "0>" or "0/>" of a numbered tag, as react-i18next has them.
fn numbered(rest: &str) -> Option<(&str, TagKind, usize)> {
    let len = rest.bytes().take(6).take_while(u8::is_ascii_digit).count();
    let (name, after) = rest.split_at(len);
    if after.starts_with('>') {
        return Some((name, TagKind::Open, len + 1));
    }
    let space = after.len() - after.trim_start_matches(' ').len();
    (space < 2 && after[space..].starts_with("/>")).then_some((
        name,
        TagKind::SelfClosing,
        len + space + 2,
    ))
}

/// An attribute of a tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(crate) name: &'a str,
    /// Where its value is in the tag, without quotes.
    pub(super) value: Range<usize>,
    pub(super) quote: Option<char>,
}

/// The attributes of a tag.
pub(super) fn attributes(tag: &str) -> impl Iterator<Item = Attribute<'_>> {
    let is_space = |c: char| c.is_whitespace();
    let name_end = tag
        .find(|c: char| c.is_whitespace() || c == '>')
        .unwrap_or(tag.len());
    let mut at = name_end;
    std::iter::from_fn(move || {
        let rest = &tag[at..];
        at += rest.len() - rest.trim_start_matches(|c| is_space(c) || c == '/').len();
        let rest = &tag[at..];
        let len = rest.find(|c: char| is_space(c) || matches!(c, '=' | '>' | '/'))?;
        if len == 0 && !rest.starts_with('=') {
            return None;
        }
        let name = &rest[..len.max(1).min(rest.len())];
        at += name.len();
        let after = &tag[at..];
        let Some(value) = after.trim_start().strip_prefix('=') else {
            return Some(Attribute {
                name,
                value: at..at,
                quote: None,
            });
        };
        let value = value.trim_start();
        let start = tag.len() - value.len();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let range = match quote {
            Some(quote) => {
                let len = value[1..].find(quote).unwrap_or(value.len() - 1);
                at = (start + 1 + len + 1).min(tag.len());
                start + 1..start + 1 + len
            }
            None => {
                let len = value
                    .find(|c| is_space(c) || c == '>')
                    .unwrap_or(value.len());
                at = start + len;
                start..at
            }
        };
        Some(Attribute {
            name,
            value: range,
            quote,
        })
    })
}

/// Pairs closing tags with opening ones. An element that is not closed when one around it is has
/// no partner.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    stack: Vec<(String, Opened)>,
    open: HashMap<String, usize>,
}

impl Nesting {
    pub(super) fn open(&mut self, name: &str, opened: Opened) {
        *self.open.entry(name.to_owned()).or_default() += 1;
        self.stack.push((name.to_owned(), opened));
    }

    pub(super) fn close(&mut self, name: &str) -> Option<Opened> {
        self.open.get(name).filter(|&&count| count > 0)?;
        while let Some((popped, opened)) = self.stack.pop() {
            if let Some(count) = self.open.get_mut(&popped) {
                *count -= 1;
            }
            if popped == name {
                return Some(opened);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(&str, TagKind)> {
        let tags = Tags::new(text);
        let mut at = 0;
        std::iter::from_fn(|| {
            let tag = tags.next(at, text.len())?;
            at = tag.range.end;
            Some((tag.name, tag.kind))
        })
        .collect()
    }

    #[test]
    fn tags_of_all_kinds_are_found() {
        use TagKind::{Cdata, Close, Open, Other, SelfClosing};
        assert_eq!(
            kinds(
                "a <b\nid='>'>x</b > <br/> <0>y</0><1 /> <!-- <i> --> <?pi?> <![CDATA[<u>]]> 1 < 2 <3 <@x>"
            ),
            [
                ("b", Open),
                ("b", Close),
                ("br", SelfClosing),
                ("0", Open),
                ("0", Close),
                ("1", SelfClosing),
                ("", Other),
                ("", Other),
                ("", Cdata)
            ]
        );
    }

    #[test]
    fn attributes_are_found_with_and_without_quotes() {
        let tag = "<a href=x title = \"a > b\" disabled class='c'/>";
        let found: Vec<_> = attributes(tag)
            .map(|a| (a.name, &tag[a.value], a.quote))
            .collect();
        assert_eq!(
            found,
            [
                ("href", "x", None),
                ("title", "a > b", Some('"')),
                ("disabled", "", None),
                ("class", "c", Some('\''))
            ]
        );
    }
}
