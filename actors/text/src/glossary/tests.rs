use proptest::prelude::*;

use super::*;

fn dictionary(pairs: &[(&str, &str)]) -> Dictionary {
    let terms = pairs
        .iter()
        .map(|(source, target)| Term::new(*source, *target));
    Dictionary::new(terms.collect()).unwrap()
}

fn found<'a>(dictionary: &Dictionary, text: &'a str) -> Vec<(&'a str, String)> {
    let found = dictionary.find(text).into_iter();
    found
        .map(|found| (&text[found.range], found.target))
        .collect()
}

#[test]
fn whole_words_are_found_and_the_longest_term_counts() {
    let terms = dictionary(&[
        ("new york", "N"),
        ("new", "n"),
        ("york city", "c"),
        ("a-b", "x"),
    ]);
    for (text, expected) in [
        ("New York City", vec!["New York"]),
        ("new yorker", vec!["new"]),
        ("renew york, news", vec![]),
        ("new\n york's", vec!["new\n york"]),
        ("(new)-york", vec!["new"]),
        ("a-b A\u{2011}B a-bc", vec!["a-b", "A\u{2011}B"]),
        ("my_new new_ new.", vec!["new"]),
    ] {
        let spelled: Vec<_> = found(&terms, text)
            .into_iter()
            .map(|found| found.0)
            .collect();
        assert_eq!(spelled, expected, "{text}");
    }
}

#[test]
fn scripts_without_spaces_have_no_word_boundaries() {
    let terms = dictionary(&[
        ("東京", "Tokyo"),
        ("東京都", "Tokyo Metropolis"),
        ("이사회", "board"),
    ]);
    let text = "私は東京都と東京に住む。이사회는 API東京v2";
    let targets: Vec<_> = found(&terms, text)
        .into_iter()
        .map(|found| found.1)
        .collect();
    assert_eq!(targets, ["Tokyo Metropolis", "Tokyo", "board", "Tokyo"]);
}

#[test]
fn a_spelling_of_its_own_goes_before_others() {
    let terms = dictionary(&[("apple", "pomme"), ("Apple", "Apple"), ("iOS", "iOS")]);
    let text = "Apple sells an apple: APPLE, iOS and ios";
    let targets: Vec<_> = found(&terms, text)
        .into_iter()
        .map(|found| found.1)
        .collect();
    assert_eq!(targets, ["Apple", "pomme", "POMME", "iOS"]);
}

#[test]
fn a_term_whose_case_is_not_met_hides_no_shorter_one() {
    let terms = dictionary(&[("New York", "N"), ("new", "n")]);
    assert_eq!(found(&terms, "new york"), [("new", "n".to_owned())]);
}

#[test]
fn characters_are_never_divided() {
    let terms = dictionary(&[("👍", "x"), ("s", "y"), ("e", "z")]);
    assert_eq!(found(&terms, "👍🏽 ß e\u{301}"), []);
    assert_eq!(found(&terms, "👍!").len(), 1);
}

#[test]
fn any_text_is_searched_in_linear_time() {
    let nested: Vec<Term> = (1..400)
        .map(|n| Term::new("a ".repeat(n) + "b", "x"))
        .collect();
    let cased: Vec<Term> = (1..40)
        .map(|n| Term::new("a ".repeat(n) + "A", "x"))
        .collect();
    let japanese: Vec<Term> = (1..300).map(|n| Term::new("あ".repeat(n), "x")).collect();
    for terms in [nested, cased, japanese] {
        let dictionary = Dictionary::new(terms).unwrap();
        for part in ["a ", "あ", "b", "A", "é", "\u{301}", " "] {
            let text = part.repeat((1 << 15) / part.len());
            let start = crate::cpu_time::CpuTime::start();
            let _ = dictionary.find(&text);
            assert!(start.elapsed().as_secs() < 4, "{part:?}");
        }
    }
}

/// Whether a term stands at a place, by its definition.
fn stands_at(text: &str, at: usize, term: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text[at..].starts_with(term)
        && !is_word(text[..at].chars().next_back())
        && !is_word(text[at + term.len()..].chars().next())
}

proptest! {
    #[test]
    fn the_leftmost_longest_terms_are_found(
        terms in prop::collection::hash_set("[ab]{1,2}( [ab]{1,2}){0,2}", 0..8), text in "[ab ,]{0,40}",
    ) {
        // White space is merged; here there is one space at a time.
        let text = text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let terms: Vec<Term> = terms.into_iter().map(|term| Term::new(term, "x")).collect();
        let dictionary = Dictionary::new(terms.clone()).unwrap();
        let mut expected = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let here = terms.iter().map(|term| term.source.as_str()).filter(|term| stands_at(&text, at, term));
            match here.max_by_key(|term| term.len()) {
                Some(term) => {
                    expected.push(at..at + term.len());
                    at += term.len();
                }
                None => at += 1,
            }
        }
        let found: Vec<_> = dictionary.find(&text).into_iter().map(|found| found.range).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_found_is_in_order_inside_the_text_and_a_term_by_itself(
        terms in prop::collection::vec(("\\PC{1,3}", "\\PC{1,3}"), 0..6), text in "\\PC{0,40}",
    ) {
        let terms = terms.into_iter().map(|(s, t)| Term::new(s.trim(), t.trim()));
        let dictionary = Dictionary::new(terms.collect()).unwrap();
        let mut end = 0;
        for found in dictionary.find(&text) {
            prop_assert!(found.range.start >= end && !found.range.is_empty());
            end = found.range.end;
            let written = text.get(found.range.clone());
            prop_assert!(written.is_some());
            prop_assert_eq!(dictionary.target(written.unwrap_or_default()), Some(found.target));
        }
    }

    #[test]
    fn the_terms_that_a_text_has_are_found_in_it_by_themselves(
        terms in prop::collection::hash_set("[abA]{1,2}( [ab]{1,2}){0,2}", 0..8), text in "[abAB ,]{0,40}",
    ) {
        let terms = terms.into_iter().map(|term| Term::new(&term, format!("({term})")));
        let dictionary = Dictionary::new(terms.collect()).unwrap();
        let found = dictionary.find(&text);
        let used = found.iter().map(|found| Term::new(&text[found.range.clone()], &found.target));
        let used: std::collections::HashSet<_> = used.collect();
        let again = Dictionary::new(used.into_iter().collect()).unwrap().find(&text);
        prop_assert_eq!(again, found);
    }
}
