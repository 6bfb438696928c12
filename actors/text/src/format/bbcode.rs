//! BBCode and shortcodes in square brackets.

/// Longest tag, in bytes.
const MAX_LEN: usize = 512;

/// Elements that need no attribute to be recognised.
const NAMES: &[&str] = &[
    "b", "i", "u", "s", "url", "quote", "code", "img", "list", "size", "color", "spoiler",
    "center", "left", "right", "table", "tr", "td", "th", "email", "font", "sub", "sup", "video",
    "youtube",
];

/// A tag in square brackets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BbTag<'a> {
    pub(super) name: &'a str,
    pub(super) closes: bool,
    pub(super) end: usize,
}

/// The tag that starts with the "[" at `at`.
pub(super) fn tag(text: &str, at: usize) -> Option<BbTag<'_>> {
    let inside = &text[at + 1..];
    let inside = &inside[..inside.floor_char_boundary(MAX_LEN)];
    let closes = inside.starts_with('/');
    let name = &inside[usize::from(closes)..];
    let len = name
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        .count();
    let (name, after) = name.split_at(len);
    let close = after
        .find([']', '[', '\n'])
        .filter(|&at| after[at..].starts_with(']'))?;
    let attributes = &after[..close];
    let is_known = NAMES.iter().any(|known| name.eq_ignore_ascii_case(known));
    let is_tag = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && if closes {
            attributes.is_empty()
        } else {
            attributes.is_empty() && is_known
                || attributes.starts_with('=')
                || attributes.starts_with(' ') && attributes.contains('=')
        };
    // "[text](target)" is a link of Markdown.
    let end = at + 1 + usize::from(closes) + len + close + 1;
    (is_tag && !text[end..].starts_with('(')).then_some(BbTag { name, closes, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_brackets_in_prose() {
        for text in [
            "[b]",
            "[/b]",
            "[quote=\"rose, post:1, topic:2\"]",
            "[url=https://example.com]",
            "[gallery ids=\"1,2\" type=\"circle\"]",
            "[/custom]",
        ] {
            assert_eq!(tag(text, 0).map(|tag| tag.end), Some(text.len()), "{text}");
        }
        for text in [
            "[note]",
            "[1]",
            "[see the page]",
            "[]",
            "[b](x)",
            "[b",
            "[a [b]",
        ] {
            assert_eq!(tag(text, 0), None, "{text}");
        }
    }
}
