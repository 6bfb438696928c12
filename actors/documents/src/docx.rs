//! Office Open XML text: paragraphs made of runs.

mod fields;

use std::{collections::HashMap, ops::Range};

use crate::{
    Segment,
    block::{Content, Item, Role},
    marked::{MarkedPart, Paragraph, Wrapping},
    xml::{TokenKind, Xml, XmlError},
};
use fields::{FieldMark, join_fields};

/// The entry that names the content types of all others.
pub(crate) const CONTENT_TYPES: &str = "[Content_Types].xml";
/// Ends of the content types of parts with text, the main document first.
const PARTS: [&str; 6] = [
    ".document.main+xml",
    ".header+xml",
    ".footer+xml",
    ".footnotes+xml",
    ".endnotes+xml",
    ".comments+xml",
];
/// The main part of a template or of a document with macros.
const MAIN_PARTS: [&str; 3] = [
    ".template.main+xml",
    ".document.macroEnabled.main+xml",
    ".template.macroEnabledTemplate.main+xml",
];

const NAMESPACES: [&str; 2] = [
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
];

/// Names of the parts with text, in the order of the file. The error is what is wrong with it.
pub(crate) fn parts(content_types: &str, max_depth: usize) -> Result<Vec<String>, &'static str> {
    let xml = Xml::read(content_types, max_depth)
        .map_err(|_| "its list of content types is not well-formed XML")?;
    let mut parts = Vec::new();
    let mut has_main = false;
    for token in 0..xml.tokens.len() {
        let is_override = xml.name(token).rsplit(':').next() == Some("Override");
        let Some(kind) = xml.attribute(token, "ContentType").filter(|_| is_override) else {
            continue;
        };
        let is_word = kind.contains("wordprocessingml") || kind.contains("ms-word");
        let is_main = is_word
            && (kind.ends_with(PARTS[0]) || MAIN_PARTS.iter().any(|end| kind.ends_with(end)));
        let is_part = is_word && PARTS.iter().any(|end| kind.ends_with(end));
        has_main |= is_main;
        if let Some(name) = xml
            .attribute(token, "PartName")
            .filter(|_| is_main || is_part)
        {
            parts.push(name.trim_start_matches('/').to_owned());
        }
    }
    match has_main {
        true => Ok(parts),
        false => Err("it has no main part of a Word document"),
    }
}

/// Finds the segments of a part.
pub(crate) fn read(text: String, max_depth: usize) -> Result<(MarkedPart, Vec<Segment>), XmlError> {
    let xml = Xml::read(&text, max_depth)?;
    let mut paragraphs = Vec::new();
    let mut styles = Styles::default();
    let prefix = xml.prefix(&NAMESPACES);
    if let Some(prefix) = &prefix {
        let mut reader = Reader {
            xml: &xml,
            prefix,
            styles: &mut styles,
        };
        for at in 0..xml.tokens.len() {
            if let TokenKind::Start(end) = xml.tokens[at].kind
                && reader.name(at) == "p"
            {
                paragraphs.extend(reader.paragraph(at, end as usize));
            }
        }
    }
    drop(xml);
    let wrapping = Wrapping {
        prefix,
        styles: styles.list,
    };
    Ok(MarkedPart::new(text, paragraphs, wrapping))
}

/// The properties of runs, each once.
#[derive(Debug, Default)]
struct Styles {
    list: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Styles {
    fn number(&mut self, properties: String) -> usize {
        if let Some(number) = self.numbers.get(&properties) {
            return *number;
        }
        self.list.push(properties.clone());
        self.numbers.insert(properties, self.list.len() - 1);
        self.list.len() - 1
    }
}

/// The parts of an element around runs.
struct Container {
    /// Its opening tag, with its properties.
    opening: Range<usize>,
    /// The first token of its content, the one after its content, and the one after it.
    first: usize,
    end: usize,
    next: usize,
    /// What is between the last two.
    closing: Range<usize>,
}

struct Reader<'a> {
    xml: &'a Xml<'a>,
    prefix: &'a str,
    styles: &'a mut Styles,
}

/// An item, and what it is to a field.
type Marked = (Item, Option<FieldMark>);

impl<'a> Reader<'a> {
    /// The name of a tag in the namespace of text; empty for others.
    fn name(&self, token: usize) -> &'a str {
        let name = self.xml.name(token).strip_prefix(self.prefix);
        name.filter(|name| !name.contains(':')).unwrap_or_default()
    }

    fn is_blank(&self, token: usize) -> bool {
        self.xml.tokens[token].kind == TokenKind::Text && self.xml.source(token).trim().is_empty()
    }

    /// Reads a paragraph; `None` if there is nothing in it.
    fn paragraph(&mut self, start: usize, end: usize) -> Option<Paragraph> {
        let mut at = start + 1;
        while at < end && (self.is_blank(at) || self.name(at) == "pPr") {
            at = self.xml.after(at);
        }
        if at >= end {
            return None;
        }
        let range = self.xml.range(at).start..self.xml.range(end).start;
        let items = self.items(at, end);
        Some(Paragraph::new(range, join_fields(items)))
    }

    fn items(&mut self, from: usize, to: usize) -> Vec<Marked> {
        let mut items: Vec<Marked> = Vec::new();
        let mut open: Vec<Container> = Vec::new();
        let raw = |items: &mut Vec<Marked>, range, role| {
            let content = Content::Raw(range, role);
            let style = None;
            items.push((Item { content, style }, None));
        };
        let mut at = from;
        while at < to {
            if let Some(container) = open.pop_if(|container| container.end == at) {
                raw(&mut items, container.closing, Role::Close);
                at = container.next;
                continue;
            }
            let is_start = matches!(self.xml.tokens[at].kind, TokenKind::Start(_));
            match self.name(at) {
                "r" if is_start => self.run(at, &mut items),
                "r" | "proofErr" => raw(&mut items, self.xml.element(at), Role::Drop),
                "hyperlink" | "ins" | "moveTo" | "smartTag" | "customXml" | "sdt" | "dir"
                | "bdo"
                    if is_start =>
                {
                    if let Some(container) = self.container(at) {
                        raw(&mut items, container.opening.clone(), Role::Open);
                        at = container.first;
                        open.push(container);
                        continue;
                    }
                    raw(&mut items, self.xml.element(at), Role::Keep);
                }
                _ if self.is_blank(at) => raw(&mut items, self.xml.range(at), Role::Drop),
                _ => raw(&mut items, self.xml.element(at), Role::Keep),
            }
            at = self.xml.after(at);
        }
        items
    }

    /// The parts of a container; `None` if it has no content.
    fn container(&self, start: usize) -> Option<Container> {
        let xml = self.xml;
        let end = xml.after(start) - 1;
        let mut first = start + 1;
        while first < end && (self.is_blank(first) || self.name(first).ends_with("Pr")) {
            first = xml.after(first);
        }
        let from = xml.range(start).start;
        if self.name(start) != "sdt" {
            return Some(Container {
                opening: from..xml.range(first).start,
                first,
                end,
                closing: xml.range(end),
                next: end + 1,
            });
        }
        // The content of a control is in an element of its own.
        let TokenKind::Start(content_end) = xml.tokens[first].kind else {
            return None;
        };
        let content_end = content_end as usize;
        (self.name(first) == "sdtContent").then(|| Container {
            opening: from..xml.range(first).end,
            first: first + 1,
            end: content_end,
            closing: xml.range(content_end).start..xml.range(end).end,
            next: end + 1,
        })
    }

    /// Reads a run.
    fn run(&mut self, start: usize, items: &mut Vec<Marked>) {
        let xml = self.xml;
        let end = xml.after(start) - 1;
        let mut style = None;
        let mut at = start + 1;
        while at < end {
            let next = xml.after(at);
            let element = xml.element(at);
            if self.name(at) == "rPr" {
                style = Some(self.properties(at));
                at = next;
                continue;
            }
            let style = *style.get_or_insert_with(|| self.styles.number(String::new()));
            let raw = |role| Content::Raw(element.clone(), role);
            let (content, field) = match self.name(at) {
                "t" => (Content::Words(self.words(at)), None),
                "noBreakHyphen" => (Content::Words("\u{2011}".to_owned()), None),
                "tab" | "ptab" | "br" | "cr" => (raw(Role::Split), None),
                "softHyphen" | "lastRenderedPageBreak" => (raw(Role::Drop), None),
                "fldChar" => (raw(Role::Keep), self.field_mark(at)),
                "instrText" => {
                    let code = FieldMark::Code(xml.characters(at..next));
                    (raw(Role::Keep), Some(code))
                }
                _ if self.is_blank(at) => (raw(Role::Drop), None),
                _ => (raw(Role::Keep), None),
            };
            let style = Some(style);
            items.push((Item { content, style }, field));
            at = next;
        }
    }

    fn field_mark(&self, token: usize) -> Option<FieldMark> {
        let name = format!("{}fldCharType", self.prefix);
        match self.xml.attribute(token, &name)?.as_str() {
            "begin" => Some(FieldMark::Begin),
            "separate" => Some(FieldMark::Separate),
            "end" => Some(FieldMark::End),
            _ => None,
        }
    }

    /// The number of a run's style. The language of the text and marks of the spelling checker are none.
    fn properties(&mut self, start: usize) -> usize {
        let xml = self.xml;
        let end = xml.after(start) - 1;
        let mut properties = String::new();
        let mut at = start + 1;
        while at < end {
            if !matches!(self.name(at), "lang" | "noProof") && !self.is_blank(at) {
                properties.push_str(&xml.text[xml.element(at)]);
            }
            at = xml.after(at);
        }
        let prefix = self.prefix;
        let properties = match properties.as_str() {
            "" => String::new(),
            properties => format!("<{prefix}rPr>{properties}</{prefix}rPr>"),
        };
        self.styles.number(properties)
    }

    /// The words of a text element. White space around them counts only where it is to be preserved.
    fn words(&self, token: usize) -> String {
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\t');
        let words = self.xml.characters(token..self.xml.after(token));
        let words = words.replace(is_break, " ");
        match self.xml.attribute(token, "xml:space").as_deref() {
            Some("preserve") => words,
            _ => words.trim_matches(' ').to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
