use proptest::prelude::*;

use super::*;

fn languages(tags: &[&str]) -> Vec<Language> {
    tags.iter().map(|tag| tag.parse().unwrap()).collect()
}

fn candidate(text: &str, sources: &[Language], target: Language) -> Option<String> {
    let found = detect(text, Format::Text, sources, target)?.candidate()?;
    Some(found.language.to_string())
}

#[test]
fn chat_messages_in_the_target_language_are_recognised_among_all_sources() {
    for (text, language) in [
        ("Bonjour mon ami, comment vas-tu aujourd'hui ?", "fr"),
        ("Bonjour", "fr"),
        ("À demain !", "fr"),
        ("Hello my friend", "en"),
        ("I will be late, sorry", "en"),
        ("Danke schön", "de"),
        ("Wir sehen uns morgen im Büro.", "de"),
    ] {
        let all = languages(&["en", "de", "fr"]);
        for target in &all {
            let found = detect(text, Format::Text, &all, *target).and_then(Finding::candidate);
            let found = found.unwrap();
            assert_eq!(found.language.as_str(), language, "{text} into {target}");
        }
        let found = identify([text], &all).unwrap();
        assert_eq!(found.language.as_str(), language, "{text}");
        assert!(found.confidence >= 0.5, "{text}: {found:?}");
    }
}

#[test]
fn a_text_in_a_language_that_nothing_reads_is_foreign() {
    let english = languages(&["en"]);
    let french = "fr".parse().unwrap();
    for (text, language) in [
        ("Wir sehen uns morgen im Büro.", "de"),
        ("Wo ist bitte der nächste Bahnhof?", "de"),
        ("¿Dónde está la estación de tren?", "es"),
        ("Где находится вокзал?", "ru"),
        ("駅はどこですか。", "ja"),
        (
            "Gdzie jest najbliższy dworzec kolejowy? Muszę zdążyć na pociąg o ósmej.",
            "pl",
        ),
    ] {
        let foreign = Finding::Foreign(language.parse().ok());
        assert_eq!(
            detect(text, Format::Text, &english, french),
            Some(foreign),
            "{text}"
        );
    }
}

#[test]
fn a_language_that_only_trigrams_know_is_found_in_chat_messages() {
    let sources = languages(&["en", "pl", "nl"]);
    let french = "fr".parse().unwrap();
    let text = "Gdzie jest dworzec kolejowy?";
    assert_eq!(candidate(text, &sources, french).as_deref(), Some("pl"));
}

#[test]
fn plain_sentences_are_told_apart() {
    let sources = languages(&["en", "de"]);
    let found = |text| candidate(text, &sources, "fr".parse().unwrap());
    assert_eq!(
        found("Where is the train station, please?").as_deref(),
        Some("en")
    );
    assert_eq!(
        found("Wo ist bitte der nächste Bahnhof?").as_deref(),
        Some("de")
    );
    let french = "Où se trouve la gare, s'il vous plaît ? Je dois prendre le train de huit heures pour Lyon.";
    assert_eq!(found(french).as_deref(), Some("fr"));
}

#[test]
fn a_short_text_is_rather_translated_than_sent_back() {
    let english = languages(&["en"]);
    for target in ["fr", "de"] {
        let target = target.parse().unwrap();
        for text in [
            "Hello, how are you today?",
            "Good night!",
            "Come on, do it.",
        ] {
            assert_eq!(
                candidate(text, &english, target).as_deref(),
                Some("en"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_clear_sentence_is_identified_with_confidence() {
    let Detected {
        language,
        confidence,
    } = identify(
        ["Where is the train station, please? I have to catch the train at eight."],
        &languages(&["en", "de", "fr"]),
    )
    .unwrap();
    assert_eq!(language.as_str(), "en");
    assert!((0.5..=1.0).contains(&confidence), "{confidence}");
    assert_eq!(identify(["12345"], &languages(&["en"])), None);
}

#[test]
fn text_without_language_is_not_guessed() {
    assert_eq!(
        detect(
            "12345",
            Format::Text,
            &languages(&["en"]),
            "fr".parse().unwrap()
        ),
        None
    );
}

#[test]
fn only_prose_is_looked_at() {
    let candidates = languages(&["en", "de", "fr"]);
    let found = |text| identify([text], &candidates).map(|found| found.language.to_string());
    let markup = "<div class=\"main content wrapper\"><span style=\"text-decoration: underline\">Bonjour à tous</span></div>";
    assert_eq!(found(markup).as_deref(), Some("fr"));
    let address = "Guten Tag https://www.example.com/what-is-the-weather-like-today";
    assert_eq!(found(address).as_deref(), Some("de"));
    let code = "```\nlet the = when;\n```\nWo ist der Bahnhof?";
    assert_eq!(found(code).as_deref(), Some("de"));
    let others =
        "@the_weather who.is.there@example.com {what} `where is the` Où est la gare ? 🎉 12:30";
    assert_eq!(found(others).as_deref(), Some("fr"));
    for none in [
        "https://example.com/where-is-it",
        "{what} `where is` 12:30 🎉",
        "<p></p>",
        "",
    ] {
        assert_eq!(found(none), None, "{none}");
    }
    let french = "fr".parse().unwrap();
    let kept = candidate(markup, &languages(&["en"]), french);
    assert_eq!(
        kept.as_deref(),
        Some("fr"),
        "what is in the target language is not translated"
    );
}

#[test]
fn a_text_in_a_language_that_is_no_candidate_has_no_confidence() {
    let spanish = "¿Dónde está la estación de tren, por favor? Tengo que tomar el tren de las ocho de la mañana.";
    let found = identify([spanish], &languages(&["en", "fr"])).unwrap();
    assert!(found.confidence < f64::EPSILON, "{found:?}");
    assert!(
        identify([spanish], &languages(&["en", "es"]))
            .unwrap()
            .confidence
            > 0.5
    );
}

#[test]
fn languages_are_detected_under_whatever_code_they_have() {
    let persian = "ایستگاه قطار کجاست؟ من باید به قطار ساعت هشت برسم.";
    let found = identify([persian], &languages(&["en", "fa"])).unwrap();
    assert_eq!(found.language.as_str(), "fa");
    let norwegian = "Hvor er jernbanestasjonen? Jeg må rekke toget klokka åtte i morgen tidlig.";
    let found = identify([norwegian], &languages(&["en", "no"])).unwrap();
    assert_eq!(found.language.as_str(), "nb");
}

#[test]
fn chinese_in_the_other_characters_is_not_taken_for_the_target() {
    let (simplified, traditional) = (
        "请问火车站在哪里？这里没有车。",
        "請問火車站在哪裡？這裡沒有車。",
    );
    let found = |text, sources: &[&str], target: &str| {
        let target = target.parse().unwrap();
        candidate(text, &languages(sources), target)
    };
    assert_eq!(found(simplified, &["en"], "zh-TW").as_deref(), Some("zh"));
    assert_eq!(
        found(traditional, &["en"], "zh-TW").as_deref(),
        Some("zh-Hant")
    );
    assert_eq!(
        found(traditional, &["en"], "zh").as_deref(),
        Some("zh-Hant")
    );
    assert_eq!(
        found(traditional, &["zh", "zh-Hant"], "en").as_deref(),
        Some("zh-Hant")
    );
    assert_eq!(
        found(simplified, &["zh", "zh-Hant"], "en").as_deref(),
        Some("zh")
    );
    // A model that reads one reads the other too: nobody asked for a script.
    assert_eq!(found(traditional, &["zh"], "en").as_deref(), Some("zh"));
}

#[test]
fn a_long_text_costs_no_more_than_its_beginning() {
    let lines = "Where is the train station, please?\n".repeat(60_000);
    let line = "Where is the train station, please? ".repeat(60_000);
    let without_ends = "where is the train station ".repeat(80_000);
    for text in [lines, line, without_ends] {
        let sample = Sample::of([text.as_str()], Format::Text);
        let length = sample.prose.chars().count();
        assert!(
            (SAMPLE_CHARS..=2 * SAMPLE_CHARS).contains(&length),
            "{length}"
        );
        assert!(sample.parsed <= FIRST_BYTES, "{}", sample.parsed);
    }
}

#[test]
fn the_search_for_prose_is_bounded_over_all_texts() {
    let nothing = [
        "😀 @who https://example.com/a ".repeat(50_000),
        "😀 @who\n".repeat(90_000),
    ];
    let sample = Sample::of(nothing.iter().map(String::as_str), Format::Text);
    assert_eq!(sample.prose, "");
    assert!(sample.parsed <= FIRST_BYTES + SKIMMED_BYTES);
    let short = vec!["@who"; 1_000];
    let texts = short.iter().copied().chain(["Bonjour."]);
    let sample = Sample::of(texts, Format::Text);
    assert_eq!(sample.prose, "Bonjour. ");
}

#[test]
fn the_words_of_a_text_are_found_in_its_format() {
    let candidates = languages(&["en", "fr"]);
    let french = "fr".parse().unwrap();
    let html = "<p title=\"what is the weather like today\">O&ugrave; est la gare&nbsp;?</p><script>where is the station</script>";
    let subtitles =
        "1\n00:00:01,000 --> 00:00:02,000\nOù est la gare,\ns'il vous plaît ?\n\nNOTE the";
    for (text, format) in [(html, Format::Html), (subtitles, Format::Srt)] {
        let found = detect(text, format, &candidates, french).and_then(Finding::candidate);
        assert_eq!(found.unwrap().language.as_str(), "fr", "{text}");
    }
    // There is a lot before the words.
    let style = format!(
        "<style>{}</style><p>Où est la gare ?</p>",
        "a{b:c}".repeat(9_000)
    );
    let sample = Sample::of([style.as_str()], Format::Html);
    assert_eq!(sample.prose, "Où est la gare ? ");
}

proptest! {
    #[test]
    fn a_detected_language_is_a_candidate_or_its_other_script(text in "\\PC{0,200}", target in 0..4_usize) {
        let candidates = languages(&["en", "zh", "ru", "fa"]);
        let target = candidates[target];
        if let Some(found) = detect(&text, Format::Text, &candidates, target).and_then(Finding::candidate) {
            let language = found.language;
            let known = candidates.contains(&language) || target.other_script() == Some(language);
            prop_assert!(known, "{language}");
            prop_assert!((0.0..=1.0).contains(&found.confidence));
        }
    }
}
