//! Tests of what becomes of answers.

use proptest::prelude::*;

use super::*;

fn to_french(source: &str, answer: &str) -> Result<String, Rejection> {
    let target = Target {
        tag: "fr",
        name: "French",
    };
    translation(source, answer, target)
}

fn to_english(source: &str, answer: &str) -> Result<String, Rejection> {
    let target = Target {
        tag: "en",
        name: "English",
    };
    translation(source, answer, target)
}

fn accepted(source: &str, answer: &str) -> String {
    to_french(source, answer).unwrap_or_else(|rejection| panic!("{answer}: {rejection}"))
}

#[test]
fn what_is_not_part_of_the_translation_is_removed() {
    for answer in [
        "Bonjour !",
        "  Bonjour !\n",
        "\"Bonjour !\"",
        "« Bonjour ! »",
        "“Bonjour !”",
        "**Bonjour !**",
        "`Bonjour !`",
        "```\nBonjour !\n```",
        "```text\nBonjour !\n```",
        "<think>The user wants French.</think>\n\nBonjour !",
        "<think></think>Bonjour !",
        "The user wants French.\n</think>\nBonjour !",
        "Sure, here is the translation: Bonjour !",
        "Sure! Here's the French translation:\n\n\"Bonjour !\"",
        "Here is the translation of your text into French:\nBonjour !",
        "Translation: Bonjour !",
        "**Translation:** Bonjour !",
        "French: Bonjour !",
        "French translation: Bonjour !",
        "Voici la traduction : Bonjour !",
        "Bonjour !\n\nNote: I used the formal greeting.",
        "Bonjour !\n\n*(Note: this is informal.)*",
        "<think>x</think>Sure, here is the translation:\n\n« Bonjour ! »\n\nLet me know if you need more.",
    ] {
        assert_eq!(accepted("Hello!", answer), "Bonjour !", "{answer}");
    }
}

#[test]
fn what_the_source_has_too_stays() {
    for (source, answer) in [
        ("\"Hello!\"", "« Bonjour ! »"),
        (
            "\"Go\" is what \"he\" said.",
            "« Allez » est ce qu'« il » a dit.",
        ),
        ("He said \"go\".", "« Il a dit d'y aller »"),
        ("Sure: yes", "Bien sûr : oui"),
        ("Here is the translation: yes", "Voici la traduction : oui"),
        ("Note: go\nNote: stop", "Remarque : allez\nNote: arrêtez"),
        ("Use <think> and </think>.", "Utilisez <think> et </think>."),
        ("```ls``` lists", "```ls``` énumère"),
        ("*Hello*", "*Bonjour*"),
        ("French: yes", "French: oui"),
        ("l'été 'a' et", "'a' et l''été'"),
    ] {
        assert_eq!(accepted(source, answer), answer);
    }
    assert_eq!(
        to_english("Voici la traduction : oui", "Here is the translation: yes").as_deref(),
        Ok("Here is the translation: yes")
    );
    assert_eq!(
        to_english("Englisch: ja", "English: yes").as_deref(),
        Ok("English: yes")
    );
}

#[test]
fn what_cannot_be_told_from_a_translation_is_rejected() {
    for (answer, rejection) in [
        ("", Rejection::Empty),
        (" \n ", Rejection::Empty),
        ("<think>Only thoughts.</think>", Rejection::Empty),
        ("Sure, here is the translation:", Rejection::Empty),
        ("<think>Not done", Rejection::Thoughts),
        ("Bonjour <think> !", Rejection::Thoughts),
        ("Bonjour !\nSalut !", Rejection::Chatter),
        ("Sure, I can do that.\n\nBonjour !", Rejection::Chatter),
        ("In French: ```Bonjour !```", Rejection::Chatter),
        (
            "I'm sorry, but I can't translate this text.",
            Rejection::Refusal,
        ),
        (
            "I’m sorry, but I can’t assist with that.",
            Rejection::Refusal,
        ),
        (
            "As an AI language model, I cannot do this.",
            Rejection::Refusal,
        ),
        (
            "Je suis désolé, je ne peux pas traduire ce texte.",
            Rejection::Refusal,
        ),
        (
            "Lo siento, no puedo traducir este contenido.",
            Rejection::Refusal,
        ),
        ("很抱歉，我无法翻译这个请求。", Rejection::Refusal),
    ] {
        assert_eq!(to_french("Hello!", answer), Err(rejection), "{answer}");
    }
    let ambiguous = to_french("Note: go", "Here is the translation: Allez");
    assert_eq!(ambiguous, Err(Rejection::Chatter));
}

#[test]
fn an_apology_is_translated_and_not_taken_for_a_refusal() {
    for (source, answer) in [
        (
            "Je suis désolé, je ne peux pas traduire ce texte.",
            "I'm sorry, I can't translate this text.",
        ),
        ("Désolé, je ne peux pas venir.", "Sorry, I can't come."),
        (
            "申し訳ありませんが、このご要望にはお応えできません。",
            "I am sorry, but I cannot fulfil this request.",
        ),
    ] {
        assert_eq!(to_english(source, answer).as_deref(), Ok(answer));
    }
    // In a language that is not asked for it is a refusal, whatever the source says.
    assert_eq!(
        to_french("Sorry, no.", "I'm sorry, I can't translate this."),
        Err(Rejection::Refusal)
    );
}

/// Words in which nothing is to be recognised.
fn plain() -> impl Strategy<Value = String> {
    "[b-df-hj-np-tv-xz]{1,6}( [b-df-hj-np-tv-xz]{1,6}){0,5}[.!]?"
}

fn layer() -> impl Strategy<Value = (String, String)> {
    let layers = [
        ("", ""),
        ("<think>one\n\ntwo: \"three\"</think>\n", ""),
        ("Sure, here is the translation:\n\n", ""),
        ("Translation: ", ""),
        ("", "\n\nNote: this is literal."),
        ("\"", "\""),
        ("« ", " »"),
        ("```\n", "\n```"),
    ];
    let layers = layers.map(|(before, after)| (before.to_owned(), after.to_owned()));
    prop::sample::select(layers.to_vec())
}

proptest! {
    #[test]
    fn a_plain_translation_is_unchanged_in_any_layer(source in plain(), text in plain(), (before, after) in layer()) {
        let answer = format!("{before}{text}{after}");
        prop_assert_eq!(to_french(&source, &answer), Ok(text));
    }

    #[test]
    fn any_answer_is_a_part_of_what_was_said_or_rejected(source in "\\PC{0,40}", answer in "[\"“«»*`\n:a-zA-Z<>/ ’]{0,60}") {
        if let Ok(text) = to_french(&source, &answer) {
            prop_assert!(answer.contains(&text));
            prop_assert!(!text.trim().is_empty());
        }
    }

    #[test]
    fn what_was_accepted_is_accepted_as_it_is(source in plain(), parts in prop::collection::vec((layer(), plain()), 0..3)) {
        let answer: String = parts.iter().map(|((before, after), text)| format!("{before}{text}{after}")).collect();
        if let Ok(text) = to_french(&source, &answer) {
            prop_assert_eq!(to_french(&source, &text), Ok(text));
        }
    }

    #[test]
    fn arbitrary_texts_never_panic(source in any::<String>(), answer in any::<String>()) {
        let _ = to_french(&source, &answer);
    }
}
