//! Plans as a whole: marks by hand-made alignments, and the three ways.

use super::{fake::*, *};
use crate::format::{Format, Options, parse};

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
            alignment: Some(Alignment {
                links: links.iter().map(link).collect(),
            }),
            ..Answer::default()
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
fn an_element_over_a_line_break_reaches_to_both_ends() {
    check_marks(
        "<p>one <b>two<br>two</b> three</p>",
        "A B",
        &[(0, 0), (1, 1)],
        "<p>A <b>B<br>A</b> B</p>",
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
        checks[0].has(Flag::Repetition)
            && checks[0].way == Way::Cut
            && !checks[0].has(Flag::SourceKept)
    );
    let (output, checks) = translate(
        "I think, therefore I am",
        Format::Text,
        &aligned(),
        |text| Fake::Looping.answer(text, true),
    );
    assert_eq!(output, "I think, therefore I am");
    assert_eq!(checks[0].way, Way::Source);
    assert!(checks[0].has(Flag::SourceKept));
}

#[test]
fn only_answers_that_passed_and_stand_in_the_translation_count_as_such() {
    let document = parse(
        "Ask @ana about the dinner of today.",
        Format::Text,
        &Options::default(),
    );
    let plan = || SentencePlan::new(&document, 0, &Arc::new(Profile::default()));
    let uses = |plan: &SentencePlan| [0, 1, 2, 3].map(|text| plan.usage(text));

    let mut whole = plan();
    assert_eq!(whole.usage(0), Use::None);
    whole.next(vec!["Demande à @ana le dîner.".into()]);
    assert_eq!(uses(&whole), [Use::Passed, Use::None, Use::None, Use::None]);

    let mut cut = plan();
    cut.next(vec!["Demande le dîner.".into()]);
    assert_eq!(cut.asked().len(), 2);
    cut.next(vec!["Demande".into(), "about the dinner of today.".into()]);
    assert_eq!(
        uses(&cut),
        [Use::None, Use::Passed, Use::Doubtful, Use::None]
    );

    let mut kept = plan();
    kept.next(vec![Answer::default()]);
    while let Step::Retry = kept.next(Vec::new()) {}
    assert_eq!(uses(&kept), [Use::None; 4]);
}

#[test]
fn an_answer_in_parts_is_a_cut_and_says_so() {
    let (output, checks) = translate("one two", Format::Text, &aligned(), |text| Answer {
        in_parts: true,
        ..Fake::Upper.answer(text, true)
    });
    assert_eq!(output, "ONE TWO");
    assert_eq!(checks[0].way, Way::Cut);
    assert!(checks[0].has(Flag::Truncated) && checks[0].attempts == 1);
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

#[test]
fn alternatives_pass_the_same_checks_as_the_best_translation() {
    let text = "Hello @ana, you have 3 messages. Good night.";
    let document = parse(text, Format::Text, &Options::default());
    let mut plan = SentencePlan::new(&document, 0, &Arc::new(Profile::default()));
    let others = [
        // The name is lost, and a number is changed.
        "Salut, vous avez 3 messages.",
        "Bonjour @ana, tu as 3 messages.",
        "Bonjour @ana, tu as 4 messages.",
        "Salut @ana, 3 messages vous attendent.",
        "Bonjour @ana, tu as 3 messages.",
        "Bonjour @ana, vous avez 3 messages.",
    ];
    let answer = Answer {
        alternatives: others.map(str::to_owned).to_vec(),
        ..Answer::from("Bonjour @ana, vous avez 3 messages.")
    };
    let Step::Done {
        alternatives,
        checks,
        ..
    } = plan.next(vec![answer])
    else {
        panic!("the best one passes")
    };
    assert_eq!(checks.attempts, 1);
    let texts: Vec<_> = alternatives
        .iter()
        .map(|other| other.to_text(text))
        .collect();
    assert_eq!(texts, [others[1], others[3]]);
    // What is put together from parts has alternatives of parts.
    let mut plan = SentencePlan::new(&document, 0, &Arc::new(Profile::default()));
    assert!(matches!(
        plan.next(vec!["Bonjour, 3 messages.".into()]),
        Step::Retry
    ));
    let part = |best: &str, other: &str| Answer {
        alternatives: vec![other.to_owned()],
        ..Answer::from(best)
    };
    let answers = vec![
        part("Bonjour", "Salut"),
        part("vous avez 3 messages.", "vous avez."),
    ];
    let Step::Done { alternatives, .. } = plan.next(answers) else {
        panic!("the parts pass")
    };
    let texts: Vec<_> = alternatives
        .iter()
        .map(|other| other.to_text(text))
        .collect();
    assert_eq!(texts, ["Salut @ana, vous avez 3 messages."]);
}

#[test]
fn a_rather_short_answer_is_used_where_no_other_passes() {
    let text = "When the train had arrived, the passengers took their bags, said goodbye and went home through the snow.";
    let short = "Quand le train arriva.";
    let run = |later: &str| {
        let document = parse(text, Format::Text, &Options::default());
        let mut plan = SentencePlan::new(&document, 0, &Arc::new(Profile::default()));
        assert_eq!(plan.asked().len(), 1);
        let mut step = plan.next(vec![short.into()]);
        while matches!(step, Step::Retry) {
            let answers = plan.asked().iter().map(|asked| match later {
                "" => Answer::from(asked.text.to_uppercase().as_str()),
                later => later.into(),
            });
            step = plan.next(answers.collect());
        }
        let Step::Done {
            translation,
            checks,
            ..
        } = step
        else {
            panic!()
        };
        (translation.to_text(text), checks)
    };
    // Later answers say nothing but the same again and again.
    let (translation, checks) = run(&"oui non ".repeat(40));
    assert_eq!(translation, short);
    assert!(
        checks.has(Flag::Length) && !checks.has(Flag::SourceKept),
        "{checks:?}"
    );
    // Later ones are complete.
    let (translation, checks) = run("");
    assert_eq!(translation.to_lowercase(), text.to_lowercase());
    assert!(
        checks.has(Flag::Length) && checks.way == Way::Cut,
        "{checks:?}"
    );
}
