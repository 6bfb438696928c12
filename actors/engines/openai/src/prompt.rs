//! Prompts: the template of a model, filled in for a segment.

use std::collections::BTreeMap;

use babelmesh_domain::Language;
use babelmesh_engine_protocol::Segment;
use babelmesh_models::manifest::{Piece, pieces};

/// Fills in a template. What the text itself has in braces stays as it is.
pub(crate) fn fill(template: &str, segment: &Segment, names: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(template.len() + segment.text.len() + 32);
    for piece in pieces(template) {
        match piece {
            Piece::Literal(text) => filled.push_str(text),
            Piece::Placeholder("source") => filled.push_str(&name(&segment.source, names)),
            Piece::Placeholder("target") => filled.push_str(&name(&segment.target, names)),
            Piece::Placeholder("source_code") => filled.push_str(&segment.source),
            Piece::Placeholder("target_code") => filled.push_str(&segment.target),
            Piece::Placeholder("text") => filled.push_str(&segment.text),
            // The manifest has no others.
            Piece::Placeholder(_) => {}
        }
    }
    filled
}

/// Name of a language: the one in the manifest, or its English name.
pub(crate) fn name(tag: &str, names: &BTreeMap<String, String>) -> String {
    if let Some(name) = names.get(tag) {
        return name.clone();
    }
    let Ok(language) = tag.parse::<Language>() else {
        return tag.to_owned();
    };
    match language.as_str() {
        "zh" => "Simplified Chinese".to_owned(),
        "zh-Hant" => "Traditional Chinese".to_owned(),
        "el" => "Greek".to_owned(),
        // ISO 639 adds what only librarians need: "Swahili (macrolanguage)".
        _ => match language.english_name().split_once(" (") {
            Some((name, _)) => name.to_owned(),
            None => language.english_name().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(text: &str) -> Segment {
        Segment {
            text: text.to_owned(),
            source: "en".to_owned(),
            target: "pt".to_owned(),
            align: false,
            alternatives: 0,
        }
    }

    #[test]
    fn languages_have_their_full_names() {
        let names = BTreeMap::from([("pt-BR".to_owned(), "Brazilian Portuguese".to_owned())]);
        for (tag, expected) in [
            ("pt", "Portuguese"),
            ("pt-BR", "Brazilian Portuguese"),
            ("pt-PT", "Portuguese"),
            ("sw", "Swahili"),
            ("el", "Greek"),
            ("zh", "Simplified Chinese"),
            ("zh-Hant", "Traditional Chinese"),
            ("fra_Latn", "French"),
            ("?", "?"),
        ] {
            assert_eq!(name(tag, &names), expected);
        }
    }

    #[test]
    fn a_prompt_is_filled_in_once() {
        let filled = fill(
            "{source} ({source_code}) to {target} ({target_code}): {text}",
            &segment("Use {target} and {text}."),
            &BTreeMap::new(),
        );
        assert_eq!(
            filled,
            "English (en) to Portuguese (pt): Use {target} and {text}."
        );
    }

    proptest! {
        #[test]
        fn the_text_is_in_the_prompt_as_it_is(text in "\\PC{0,60}") {
            let filled = fill("A {target} b\n{text}", &segment(&text), &BTreeMap::new());
            prop_assert_eq!(filled, format!("A Portuguese b\n{text}"));
        }

        #[test]
        fn every_tag_has_a_name_without_additions(tag in "[a-z]{2,3}") {
            let name = name(&tag, &BTreeMap::new());
            prop_assert!(!name.is_empty() && !name.contains('('), "{}", name);
        }
    }
}
