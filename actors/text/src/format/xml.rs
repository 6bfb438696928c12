//! XML, with the options of DeepL's API.

use std::borrow::Cow;

use super::{
    XmlOptions,
    builder::Builder,
    html::{Dialect, read_markup},
    tags::{TagKind, Tags},
};

pub(super) fn read(builder: &mut Builder<'_>) {
    let text = builder.text;
    let default = XmlOptions::default();
    let options = builder.options.xml.unwrap_or(&default);
    let outline = match options.no_outline_detection {
        true => Vec::new(),
        false => outline(text),
    };
    read_markup(builder, 0..text.len(), &Xml { options, outline });
}

struct Xml<'a> {
    options: &'a XmlOptions,
    /// For each opening tag, whether the element stands among elements alone.
    outline: Vec<bool>,
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

impl Dialect for Xml<'_> {
    fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        name.into()
    }

    fn is_block(&self, name: &str, number: usize) -> bool {
        if has(&self.options.splitting_tags, name) {
            return true;
        }
        let is_outline = number
            .checked_sub(1)
            .and_then(|at| self.outline.get(at))
            .copied();
        is_outline.unwrap_or(false) && !has(&self.options.non_splitting_tags, name)
    }

    fn is_void(&self, _name: &str) -> bool {
        false
    }

    fn is_untouched(&self, name: &str) -> bool {
        has(&self.options.ignore_tags, name)
    }

    fn is_raw(&self, _name: &str) -> bool {
        false
    }

    fn has_cdata(&self) -> bool {
        true
    }
}

/// For each opening tag, whether the element around it holds no words of its own: then its
/// elements are the structure of a document, not markup within a sentence.
fn outline(text: &str) -> Vec<bool> {
    let tags = Tags::new(text);
    // For each opening tag, the one around it; the document itself is 0.
    let mut parents = Vec::new();
    let mut has_words = vec![false];
    let mut stack = vec![0];
    let mut at = 0;
    let note = |stack: &[usize], has_words: &mut Vec<bool>, words: &str| {
        let parent = stack.last().copied().unwrap_or(0);
        has_words[parent] |= !has_words[parent] && !words.trim().is_empty();
    };
    while let Some(tag) = tags.next(at, text.len()) {
        note(&stack, &mut has_words, &text[at..tag.range.start]);
        at = tag.range.end;
        match tag.kind {
            TagKind::Open | TagKind::SelfClosing => {
                parents.push(stack.last().copied().unwrap_or(0));
                has_words.push(false);
                if tag.kind == TagKind::Open {
                    stack.push(parents.len());
                }
            }
            TagKind::Close => {
                if stack.len() > 1 {
                    stack.pop();
                }
            }
            TagKind::Cdata | TagKind::Other => {}
        }
    }
    note(&stack, &mut has_words, &text[at..]);
    parents
        .into_iter()
        .map(|parent| !has_words[parent])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_among_elements_are_structure() {
        assert_eq!(
            outline("<doc>\n<p>Hello <b>you</b></p><p>Bye<br/></p></doc>"),
            [true, true, false, true, false]
        );
        assert_eq!(outline("Hello <x>you</x>"), [false]);
    }
}
