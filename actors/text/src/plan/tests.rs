//! Plans as a whole: what holds for every sentence and every answer, and the three ways.

use std::sync::Arc;

use proptest::prelude::*;

use super::{fake::*, *};
use crate::{
    document::Part,
    format::{Format, Options, parse, tests::any_text},
};

fn aligned() -> Profile {
    Profile {
        alignments: true,
        stand_ins: vec!["XQA".into(), "XQB".into()],
        ..Profile::default()
    }
}

/// The tokens and marks of a unit, as they stand in the message.
fn kept<'a>(document: &'a Document, unit: &Unit) -> Vec<&'a str> {
    let is_kept = |part: &&Part| match &part.kind {
        PartKind::Text { .. } => false,
        PartKind::Token { kind, .. } => kind.is_exact(),
        PartKind::Break => true,
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
    for kind in [true, false] {
        let mut wanted: Vec<&str> = kept(document, unit);
        wanted.retain(|text| {
            (text.starts_with('<') && text.ends_with('>')) == kind && !text.trim().is_empty()
        });
        wanted.sort_unstable();
        wanted.dedup();
        if kind {
            for tag in wanted {
                assert_eq!(
                    output.matches(tag).count(),
                    source.matches(tag).count(),
                    "{tag:?} of {source:?} in {output:?}"
                );
            }
            continue;
        }
        let tokens: Vec<&str> = unit
            .parts
            .iter()
            .filter(|part| matches!(part.kind, PartKind::Token { kind, .. } if kind.is_exact()))
            .map(|part| &document.text()[part.range.clone()])
            .collect();
        let mut tokens = tokens;
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(
            slots::count(&output, &tokens),
            slots::count(source, &tokens),
            "{tokens:?} of {source:?} in {output:?}"
        );
    }
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

/// A message in HTML, a model's words for it, links by the numbers of words, and what must come out.
#[track_caller]
fn check_marks(source: &str, answer: &str, links: &[(usize, usize)], expected: &str) {
    let places = |text: &str| -> Vec<Range<usize>> {
        text.split_whitespace()
            .map(|word| {
                let start = word.as_ptr() as usize - text.as_ptr() as usize;
                start..start + word.len()
            })
            .collect()
    };
    let (output, checks) = translate(source, Format::Html, &aligned(), |text| {
        let (from, to) = (places(text), places(answer));
        let link = |&(source, target): &(usize, usize)| Link {
            source: from[source].clone(),
            target: to[target].clone(),
            weight: 1.0,
        };
        Answer {
            text: answer.to_owned(),
            truncated: false,
            alignment: Some(Alignment {
                links: links.iter().map(link).collect(),
            }),
        }
    });
    assert_eq!(output, expected);
    assert!(
        checks.iter().all(|checks| checks.way == Way::Whole),
        "{checks:?}"
    );
}

#[test]
fn marks_go_where_their_words_go() {
    check_marks(
        "I love <b>you</b>.",
        "Je t'aime.",
        &[(0, 0), (2, 1)],
        "Je <b>t'aime</b>.",
    );
    check_marks(
        "The <b>red</b> car",
        "La voiture rouge",
        &[(0, 0), (1, 2), (2, 1)],
        "La voiture <b>rouge</b>",
    );
    check_marks(
        "<b>Red</b> <i>car</i> here",
        "voiture rouge ici",
        &[(0, 1), (1, 0), (2, 2)],
        "<i>voiture</i> <b>rouge</b> ici",
    );
    check_marks(
        "See <a href=\"x\">the <b>big</b> house</a> now",
        "Vois la maison grande maintenant",
        &[(0, 0), (1, 1), (2, 3), (3, 2), (4, 4)],
        "Vois <a href=\"x\">la maison <b>grande</b></a> maintenant",
    );
    check_marks(
        "He <u>gave up</u> early",
        "Il abandonna tôt",
        &[(0, 0), (1, 1), (2, 1), (3, 2)],
        "Il <u>abandonna</u> tôt",
    );
}

#[test]
fn empty_elements_and_spaces_are_placed() {
    check_marks(
        "Look <img src=x> here now",
        "Regarde ici maintenant",
        &[(0, 0), (1, 1), (2, 2)],
        "Regarde <img src=x> ici maintenant",
    );
    check_marks(
        "one<img>two three",
        "eins drei",
        &[(0, 0), (1, 1)],
        "eins<img> drei",
    );
    check_marks(
        "a <i>b</i><!-- x --> c",
        "A B C",
        &[(0, 0), (1, 1), (2, 2)],
        "A <i>B</i><!-- x --> C",
    );
    check_marks("a <b></b> c", "A C", &[(0, 0), (1, 1)], "A <b></b> C");
}

#[test]
fn an_element_that_goes_on_in_the_next_sentence_reaches_to_the_end() {
    check_marks(
        "Hello <b>you. Bye</b> now.",
        "A B",
        &[(0, 0), (1, 1)],
        "A <b>B A</b> B",
    );
}

#[test]
fn an_element_whose_words_are_gone_leads_to_the_cut() {
    let (output, checks) = translate("I saw <b>the</b> dog", Format::Html, &aligned(), |text| {
        let mut answer = Fake::Upper.answer(text, true);
        if text.contains(" the ") {
            answer = "VI CHIEN".into();
            answer.alignment = Some(Alignment {
                links: vec![
                    Link {
                        source: 0..1,
                        target: 0..2,
                        weight: 1.0,
                    },
                    Link {
                        source: 10..13,
                        target: 3..8,
                        weight: 1.0,
                    },
                ],
            });
        }
        answer
    });
    assert_eq!(output, "I SAW <b>THE</b> DOG");
    assert_eq!(checks[0].way, Way::Cut);
    assert!(checks[0].has(Flag::Tag));
}

#[test]
fn a_model_that_copies_tokens_is_asked_once() {
    let (output, checks) = translate(
        "Ask @ana about %s now!",
        Format::Text,
        &Profile::default(),
        |text| Fake::Upper.answer(text, false),
    );
    assert_eq!(output, "ASK @ana ABOUT %s NOW!");
    assert_eq!((checks[0].way, checks[0].attempts), (Way::Whole, 1));
}

#[test]
fn a_token_that_is_lost_gets_a_stand_in_and_then_a_cut() {
    let lossy = |text: &str| Answer::from(text.to_uppercase().replace("@ANA", "").as_str());
    let (output, checks) = translate("Ask @ana now!", Format::Text, &aligned(), lossy);
    assert_eq!(output, "ASK @ana NOW!");
    assert_eq!((checks[0].way, checks[0].attempts), (Way::StandIn, 2));
    let lossier = |text: &str| {
        Answer::from(
            text.to_uppercase()
                .replace("@ANA", "")
                .replace("XQA", "")
                .as_str(),
        )
    };
    let (output, checks) = translate("Ask @ana now!", Format::Text, &aligned(), lossier);
    assert_eq!(output, "ASK @ana NOW!");
    assert_eq!((checks[0].way, checks[0].attempts), (Way::Cut, 3));
    assert!(checks[0].kinds.contains(TokenKind::Mention));
}

#[test]
fn a_number_must_keep_its_digits_but_not_its_form() {
    let (output, checks) = translate("It costs $1,000.50 today", Format::Text, &aligned(), |_| {
        "Custa 1.000,50 $ hoje".into()
    });
    assert_eq!(output, "Custa 1.000,50 $ hoje");
    assert_eq!(checks[0].attempts, 1);
    let (output, checks) = translate("It costs $100 today", Format::Text, &aligned(), |text| {
        if text.contains("100") {
            "Custa $10 hoje".into()
        } else {
            Answer::from("Custa XQA hoje")
        }
    });
    assert_eq!(output, "Custa $100 hoje");
    assert!(checks[0].has(Flag::Number));
}

#[test]
fn capitals_are_sent_in_lower_case() {
    let mut seen = Vec::new();
    let (output, _) = translate(
        "WHERE IS THE STATION, @Ana?",
        Format::Text,
        &aligned(),
        |text| {
            seen.push(text.to_owned());
            "Où est la gare, @Ana ?".into()
        },
    );
    assert_eq!(seen, ["Where is the station, @Ana?"]);
    assert_eq!(output, "OÙ EST LA GARE, @Ana ?");
}

#[test]
fn loops_and_truncated_answers_lead_to_smaller_texts_and_then_to_the_source() {
    let (output, checks) = translate(
        "I think, therefore I am",
        Format::Text,
        &aligned(),
        |text| {
            if text.contains(',') && text.contains("am") {
                Fake::Looping.answer(text, true)
            } else {
                Fake::Upper.answer(text, true)
            }
        },
    );
    assert_eq!(output, "I THINK, THEREFORE I AM");
    assert!(
        checks[0].has(Flag::Repetition) && checks[0].way == Way::Cut && checks[0].is_cacheable()
    );
    let (output, checks) = translate(
        "I think, therefore I am",
        Format::Text,
        &aligned(),
        |text| Fake::Looping.answer(text, true),
    );
    assert_eq!(output, "I think, therefore I am");
    assert_eq!(checks[0].way, Way::Source);
    assert!(!checks[0].is_cacheable());
}

#[test]
fn copies_are_flagged() {
    let (_, checks) = translate(
        "This is a long sentence here.",
        Format::Text,
        &aligned(),
        |text| text.into(),
    );
    assert!(checks[0].has(Flag::Untranslated));
}
