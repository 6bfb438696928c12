//! Sentences with terms of a glossary.

use babelmesh_domain::Term;
use proptest::prelude::*;

use super::{fake::*, *};
use crate::{
    format::{Format, Options, parse},
    glossary::Dictionary,
};

fn dictionary() -> Dictionary {
    let terms = [
        ("board", "conseil"),
        ("board of directors", "conseil d'administration"),
        ("babelmesh", "babelmesh"),
        ("at&t", "A<T>"),
        ("station", "gare"),
    ];
    let terms = terms.map(|(source, target)| Term::new(source, target));
    Dictionary::new(terms.to_vec()).unwrap()
}

fn read(text: &str, format: Format) -> Document {
    let dictionary = dictionary();
    let options = Options {
        glossary: Some(&dictionary),
        ..Options::default()
    };
    parse(text, format, &options)
}

fn with_terms(
    text: &str,
    format: Format,
    model: impl FnMut(&str) -> Answer,
) -> (String, Vec<Checks>) {
    translate_document(&read(text, format), &aligned(), model)
}

#[test]
fn a_term_that_the_model_copies_stays_where_the_model_puts_it() {
    let mut asked = Vec::new();
    let (output, checks) = with_terms("Ask the Board today.", Format::Text, |text| {
        asked.push(text.to_owned());
        "Aujourd'hui, demandez au Conseil.".into()
    });
    assert_eq!(asked, ["Ask the Conseil today."]);
    assert_eq!(output, "Aujourd'hui, demandez au Conseil.");
    assert_eq!((checks[0].way, checks[0].attempts), (Way::Whole, 1));
}

#[test]
fn a_term_that_is_lost_gets_a_stand_in_and_then_a_cut() {
    let lossy = |text: &str| Answer::from(text.to_uppercase().replace("CONSEIL", "").as_str());
    let (output, checks) = with_terms("Ask the board now!", Format::Text, lossy);
    assert_eq!(output, "ASK THE conseil NOW!");
    assert_eq!((checks[0].way, checks[0].attempts), (Way::StandIn, 2));
    assert!(checks[0].kinds.contains(TokenKind::Term));
    let lossier = |text: &str| {
        let answer = text
            .to_uppercase()
            .replace("CONSEIL", "")
            .replace("XQA", "");
        Answer::from(answer.as_str())
    };
    let (output, checks) = with_terms("Ask the board now!", Format::Text, lossier);
    assert_eq!(output, "ASK THE conseil NOW!");
    assert_eq!((checks[0].way, checks[0].attempts), (Way::Cut, 3));
}

#[test]
fn a_target_that_also_translates_another_word_is_no_mistake() {
    let (output, checks) = with_terms("The board has a council.", Format::Text, |text| {
        let answer = text.replace("The", "Le").replace("has a", "a un");
        Answer::from(answer.replace("council", "conseil").as_str())
    });
    assert_eq!(output, "Le conseil a un conseil.");
    assert_eq!(checks[0].way, Way::StandIn);
}

#[test]
fn texts_that_are_only_terms_need_no_model() {
    for (text, expected) in [
        ("board", "conseil"),
        ("BOARD", "CONSEIL"),
        (
            "- Board of directors\n- Board!",
            "- Conseil d'administration\n- Conseil!",
        ),
        ("BabelMesh", "BabelMesh"),
        ("Board @ana board", "Conseil @ana conseil"),
    ] {
        let (output, checks) = with_terms(text, Format::Text, |text| panic!("{text}"));
        assert_eq!(output, expected);
        assert!(
            checks.iter().all(|checks| checks.way != Way::Source),
            "{text}"
        );
    }
}

#[test]
fn targets_are_escaped_as_the_format_needs_it() {
    let echo = |text: &str| Answer::from(text.replace("Call", "Appelle").as_str());
    let html = "<p>Call AT&amp;T &amp; co</p>";
    let (output, _) = with_terms(html, Format::Html, echo);
    assert_eq!(output, "<p>Appelle A&lt;T&gt; &amp; co</p>");
}

#[test]
fn markup_around_a_term_stays_and_a_term_with_markup_inside_is_none() {
    let upper = |text: &str| Fake::Echo.answer(text, true);
    let html = "See the <b>board</b> and a <i>board</i> of directors, or the board\n of directors";
    let (output, _) = with_terms(html, Format::Html, upper);
    let expected =
        "See the <b>conseil</b> and a <i>board</i> of directors, or the conseil d'administration";
    assert_eq!(output, expected);
}

#[test]
fn capitals_are_kept_where_a_sentence_is_sent_in_lower_case() {
    let (output, _) = with_terms("WHERE IS THE STATION NOW?", Format::Text, |text| {
        assert_eq!(text, "Where is the GARE now?");
        "Où est la GARE maintenant ?".into()
    });
    assert_eq!(output, "OÙ EST LA GARE MAINTENANT ?");
}

proptest! {
    #[test]
    fn every_term_is_replaced_exactly_once_whatever_the_model_answers(
        words in prop::collection::vec("(board|Board|board of directors|STATION|babelmesh|the|@ana|<b>x</b>|meets[.!])", 1..12),
        fake in 0..Fake::ALL.len(), html: bool, aligns: bool,
    ) {
        let text = words.join(" ");
        let format = if html { Format::Html } else { Format::Text };
        let document = read(&text, format);
        let profile = Arc::new(Profile { alignments: aligns, ..aligned() });
        for (number, unit) in document.units().iter().enumerate() {
            let fake = Fake::ALL[fake];
            let (translation, checks) = run(&document, number, &profile, |text| fake.answer(text, aligns));
            let output = translation.to_text(document.text());
            if checks.way == Way::Source && output == document.source(unit) {
                continue;
            }
            let mut expected: Vec<String> = unit.terms().map(|term| term.target.to_lowercase()).collect();
            expected.sort_by_key(|target| std::cmp::Reverse(target.len()));
            let mut rest = output.to_lowercase();
            for target in expected {
                let at = rest.find(&target);
                prop_assert!(at.is_some(), "{target} of {text:?} in {output:?}");
                let at = at.unwrap_or_default();
                rest.replace_range(at..at + target.len(), "_");
            }
            prop_assert!(!rest.contains("conseil") && !rest.contains("gare"), "{text:?}: {output:?}");
        }
    }
}
