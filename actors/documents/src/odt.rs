//! `OpenDocument` text: paragraphs and headings.

use crate::{
    Segment,
    block::{Content, Item, Role},
    marked::{MarkedPart, Paragraph, Wrapping},
    xml::{TokenKind, Xml, XmlError},
};

/// The media type in the entry `mimetype`.
pub(crate) const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.text-template",
];
/// The entries with text: the document, and its headers and footers.
pub(crate) const PARTS: [&str; 2] = ["content.xml", "styles.xml"];

const NAMESPACE: &str = "urn:oasis:names:tc:opendocument:xmlns:text:1.0";

/// Finds the segments of an entry.
pub(crate) fn read(text: String, max_depth: usize) -> Result<(MarkedPart, Vec<Segment>), XmlError> {
    let xml = Xml::read(&text, max_depth)?;
    let mut paragraphs = Vec::new();
    if let Some(prefix) = xml.prefix(&[NAMESPACE]) {
        let mut at = 0;
        while at < xml.tokens.len() {
            let kind = xml.tokens[at].kind;
            match (xml.name(at).strip_prefix(prefix.as_str()), kind) {
                // Deleted text is kept for those who review it.
                (Some("tracked-changes"), _) => {
                    at = xml.after(at);
                    continue;
                }
                (Some("p" | "h"), TokenKind::Start(end)) => {
                    let items = items(&xml, &prefix, at + 1, end as usize);
                    let range = xml.range(at).end..xml.range(end as usize).start;
                    paragraphs.push(Paragraph::new(range, items));
                }
                _ => {}
            }
            at += 1;
        }
    }
    drop(xml);
    Ok(MarkedPart::new(text, paragraphs, Wrapping::default()))
}

/// The items between two tokens.
fn items(xml: &Xml<'_>, prefix: &str, from: usize, to: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = from;
    while at < to {
        let name = xml.name(at).strip_prefix(prefix).unwrap_or_default();
        let (content, next) = match xml.tokens[at].kind {
            TokenKind::Text | TokenKind::Cdata => {
                let is_text = |token: &usize| {
                    matches!(xml.tokens[*token].kind, TokenKind::Text | TokenKind::Cdata)
                };
                let end = (at..to).find(|token| !is_text(token)).unwrap_or(to);
                let words = collapsed(&xml.characters(at..end));
                (Content::Words(words), end)
            }
            TokenKind::Start(_) if matches!(name, "span" | "a" | "meta") => {
                (Content::Raw(xml.range(at), Role::Open), at + 1)
            }
            TokenKind::End => (Content::Raw(xml.range(at), Role::Close), at + 1),
            _ => {
                let role = match name {
                    "tab" | "line-break" => Role::Split,
                    "soft-page-break" => Role::Drop,
                    _ => Role::Keep,
                };
                (Content::Raw(xml.element(at), role), xml.after(at))
            }
        };
        items.push(Item {
            content,
            style: None,
        });
        at = next;
    }
    items
}

/// White space as `OpenDocument` reads it: several characters are one space.
fn collapsed(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' if words.ends_with(' ') => {}
            '\t' | '\n' | '\r' => words.push(' '),
            c => words.push(c),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(body: &str) -> String {
        format!("<?xml version=\"1.0\"?><d xmlns:text=\"{NAMESPACE}\">{body}</d>")
    }

    fn texts(body: &str) -> Vec<String> {
        let (_, segments) = read(wrapped(body), 100).unwrap();
        segments.into_iter().map(|segment| segment.text).collect()
    }

    fn written(body: &str, translations: &[&str]) -> String {
        let (part, segments) = read(wrapped(body), 100).unwrap();
        let translations: Vec<_> = translations.iter().map(|&text| text.to_owned()).collect();
        let text = part.write(&segments, &translations).unwrap();
        let text = text.strip_suffix("</d>").unwrap();
        text[wrapped("").len() - "</d>".len()..].to_owned()
    }

    #[test]
    fn spans_and_links_are_elements_and_tabs_divide() {
        let body = "<text:h>One</text:h><text:p>A <text:span text:style-name=\"T1\">bold</text:span>\n word<text:tab/>two <text:s/>x</text:p>";
        assert_eq!(texts(body), ["One", "A <g1>bold</g1> word", "two <e1/>x"]);
        let expected = "<text:h>Un</text:h><text:p>X &amp; <text:span text:style-name=\"T1\">y</text:span><text:tab/>z<text:s/></text:p>";
        assert_eq!(
            written(body, &["Un", "X &amp; <g1>y</g1>", "z<e1/>"]),
            expected
        );
    }

    #[test]
    fn notes_are_segments_of_their_own_and_deleted_text_is_none() {
        let body = "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes><text:p>Text<text:note><text:note-body><text:p>A note</text:p></text:note-body></text:note> more</text:p>";
        assert_eq!(texts(body), ["Text<e1/> more", "A note"]);
        let text = written(body, &["Un <e1/>deux", "Une note"]);
        assert!(text.ends_with("<text:p>Un <text:note><text:note-body><text:p>Une note</text:p></text:note-body></text:note>deux</text:p>"), "{text}");
        // The outer paragraph is unchanged, the inner one is not.
        let text = written(body, &["Text<e1/> more", "Une note"]);
        assert!(
            text.contains("<text:p>Text<text:note><text:note-body><text:p>Une note<"),
            "{text}"
        );
    }
}
