//! What holds for every sentence and every answer.

use std::sync::Arc;

use proptest::prelude::*;

use super::{fake::*, *};
use crate::{
    document::Part,
    format::{Format, Options, parse, tests::any_text},
};

/// The tokens and marks of a unit, as they stand in the message.
fn kept<'a>(document: &'a Document, unit: &Unit) -> Vec<&'a str> {
    let is_kept = |part: &&Part| match &part.kind {
        PartKind::Text { .. } => false,
        PartKind::Token { kind, .. } => kind.is_exact(),
        _ => true,
    };
    let text = document.text();
    unit.parts
        .iter()
        .filter(is_kept)
        .map(|part| &text[part.range.clone()])
        .collect()
}

#[track_caller]
fn assert_kept(document: &Document, unit: &Unit, translation: &Translation) {
    let output = translation.to_text(document.text());
    let source = document.source(unit);
    let all = kept(document, unit);
    for tag in all
        .iter()
        .filter(|text| text.starts_with('<') && text.ends_with('>'))
    {
        // Where words of the source look like the tag, its marks cannot be counted in the text.
        let marks = all.iter().filter(|text| *text == tag).count();
        if source.matches(tag).count() == marks {
            assert_eq!(
                output.matches(tag).count(),
                marks,
                "{tag:?} of {source:?} in {output:?}"
            );
        }
    }
    let mut tokens: Vec<&str> = unit
        .parts
        .iter()
        .filter(|part| matches!(part.kind, PartKind::Token { kind, .. } if kind.is_exact()))
        .map(|part| &document.text()[part.range.clone()])
        .collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(
        slots::count(&output, &tokens),
        slots::count(source, &tokens),
        "{tokens:?} of {source:?} in {output:?}"
    );
    // Marks leave as stretches of the message, each once.
    let marks = unit
        .parts
        .iter()
        .filter(|part| !matches!(part.kind, PartKind::Text { .. } | PartKind::Token { .. }));
    for mark in marks {
        let covering = translation.fragments.iter().filter(|fragment| {
            matches!(fragment, crate::document::Fragment::Source(range) if range.start <= mark.range.start && mark.range.end <= range.end)
        });
        assert_eq!(
            covering.count(),
            1,
            "{:?} of {source:?} in {output:?}",
            &document.text()[mark.range.clone()]
        );
    }
}

/// Whether the tags of a text are balanced, for a source that is.
fn is_balanced(text: &str) -> bool {
    let mut stack = Vec::new();
    let tags = crate::format::tags::Tags::new(text);
    let mut at = 0;
    while let Some(tag) = tags.next(at, text.len()) {
        at = tag.range.end;
        match tag.kind {
            crate::format::tags::TagKind::Open => stack.push(tag.name),
            crate::format::tags::TagKind::Close if stack.pop() != Some(tag.name) => return false,
            _ => {}
        }
    }
    stack.is_empty()
}

/// An answer made of pieces of the text and of others, with links from anywhere to anywhere.
fn adversarial() -> impl Strategy<Value = Vec<(u8, u8, u8, u8)>> {
    proptest::collection::vec(any::<(u8, u8, u8, u8)>(), 0..30)
}

fn answer_from(script: &[(u8, u8, u8, u8)], text: &str, round: usize) -> Answer {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let mut answer = Answer::default();
    let mut links = Vec::new();
    for (at, &(what, word, from, to)) in script.iter().enumerate() {
        let start = answer.text.len();
        match usize::from(what).wrapping_add(round * 7) % 10 {
            0 => answer.text.push_str("<b>"),
            1 => answer.text.push_str("XQA "),
            2 => answer.text.push_str("foo bar "),
            3 => answer.text.push_str("@ana "),
            4 => answer.text.push_str("&lt;* _"),
            _ => answer.text.push_str(
                words
                    .get((usize::from(word) + at) % words.len().max(1))
                    .unwrap_or(&""),
            ),
        }
        links.push(Link {
            source: usize::from(from)..usize::from(from) + usize::from(to % 16),
            target: start..answer.text.len(),
            weight: f32::from(to) - 20.0,
        });
    }
    answer.truncated = script.first().is_some_and(|first| first.0 > 240);
    answer.alignment = script
        .get(1)
        .is_none_or(|second| second.0 > 30)
        .then_some(Alignment { links });
    answer
}

/// Sentences whose tags are balanced.
fn balanced() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[a-z]{1,6}",
        1 => Just("<br-x/>".to_owned()),
        1 => Just("@ana".to_owned()),
        1 => Just("https://a.io/b".to_owned()),
        1 => Just("{name}".to_owned()),
        1 => Just("42".to_owned()),
    ];
    let inner = leaf.prop_recursive(4, 24, 4, |inner| {
        (
            proptest::sample::select(&["b", "i", "u"][..]),
            proptest::collection::vec(inner, 0..4),
        )
            .prop_map(|(name, content)| format!("<{name}>{}</{name}>", content.join(" ")))
    });
    proptest::collection::vec(inner, 1..8).prop_map(|parts| parts.join(" ") + ".")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn whatever_a_model_answers_tokens_and_marks_survive(
        text in any_text(), format in proptest::sample::select(&Format::ALL[..]), script in adversarial(),
        with_alignments: bool, with_stand_ins: bool
    ) {
        let document = parse(text, format, &Options::default());
        let profile = Arc::new(Profile {
            alignments: with_alignments,
            stand_ins: if with_stand_ins { aligned().stand_ins } else { Vec::new() },
            ..Profile::default()
        });
        for (at, unit) in document.units().iter().enumerate() {
            let mut round = 0;
            let (translation, checks) = run(&document, at, &profile, |text| {
                round += 1;
                answer_from(&script, text, round)
            });
            prop_assert!(checks.attempts <= MAX_ATTEMPTS);
            assert_kept(&document, unit, &translation);
        }
    }

    #[test]
    fn balanced_markup_stays_balanced(
        text in balanced(), format in proptest::sample::select(&[Format::Html, Format::Text, Format::Xml][..]),
        script in adversarial(), fake in proptest::sample::select(&Fake::ALL[..]), honest: bool
    ) {
        let document = parse(text.as_str(), format, &Options::default());
        let mut round = 0;
        let (output, _) = translate_document(&document, &aligned(), |text| {
            round += 1;
            if honest { fake.answer(text, true) } else { answer_from(&script, text, round) }
        });
        prop_assert!(is_balanced(&text));
        prop_assert!(is_balanced(&output), "{:?} became {:?}", text, output);
    }

    #[test]
    fn a_model_that_answers_what_it_got_changes_nothing(text in any_text(), format in proptest::sample::select(&Format::ALL[..])) {
        let (output, _) = translate(&text, format, &aligned(), |text| Answer {
            text: text.to_owned(),
            ..Fake::Echo.answer(text, true)
        });
        // Capitals come back as capitals; nothing else is ever changed.
        prop_assert_eq!(output.to_uppercase(), text.to_uppercase());
    }
}
