//! Languages under whatever codes clients and models have for them.

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, Settings, executables, http::HttpClient, request,
};
use serde_json::{Value, json};

fn start(settings: Settings) -> (LocalNode, HttpClient) {
    let node = LocalNode::start(&settings.set("http.listen", "\"127.0.0.1:0\""));
    let http = node.http();
    (node, http)
}

/// What LibreTranslate's API answers: the translation, else the error.
fn translate(http: HttpClient, source: &str, target: &str) -> Result<String, (u16, String)> {
    let body = json!({"q": "Good morning", "source": source, "target": target});
    let answer = http.post("/translate", &body);
    let json = answer.json();
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    text("translatedText").ok_or_else(|| (answer.status, text("error").unwrap_or_default()))
}

#[test]
fn every_code_of_a_language_reaches_its_models() {
    let sandbox = Sandbox::new();
    let models: [(&str, &[&str], &[&str]); 3] = [
        ("west", &["eng"], &["fra", "ger", "pt"]),
        ("north", &["en"], &["no", "nn"]),
        ("old", &["en"], &["iw", "in"]),
    ];
    let (_node, http) = start(sandbox.node_with_models(&models));
    for (language, tags) in [
        ("fr", &["fr", "fr-FR", "fr_CA", "FR", "fra", "fre"][..]),
        ("de", &["de", "deu", "ger"]),
        ("pt", &["pt", "pb", "pt-BR", "por"]),
        ("nb", &["nb", "no", "nob"]),
        ("nn", &["nn", "nno"]),
        ("he", &["he", "iw", "heb"]),
        ("id", &["id", "in", "ind"]),
    ] {
        for tag in tags {
            let expected = format!("{language}:Good morning");
            assert_eq!(translate(http, "en", tag), Ok(expected), "{tag}");
        }
    }
    for source in ["en-GB", "en_US.UTF-8", "eng"] {
        assert!(translate(http, source, "fr").is_ok(), "{source}");
    }
    let deepl = json!({"text": ["Good morning"], "source_lang": "ENG", "target_lang": "PT-BR"});
    let answer = http.post("/v2/translate", &deepl).json();
    assert_eq!(answer["translations"][0]["text"], "pt:Good morning");
    let meeshy =
        json!({"text": "Good morning", "source_language": "eng", "target_language": "fre"});
    let answer = http.post("/translate", &meeshy).json();
    assert_eq!(answer["translated_text"], "fr:Good morning");
    assert_eq!(
        answer["target_language"], "fre",
        "it is named as the client does"
    );
    let languages = http.get("/languages").json();
    let codes: Vec<_> = languages
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["code"].clone())
        .collect();
    assert_eq!(codes, ["de", "en", "fr", "he", "id", "nb", "nn", "pt"]);
}

#[test]
fn kafka_answers_under_the_code_that_was_asked_for() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let mut body = request("m1", "Good morning", &["fra", "ger"], "c");
    body["sourceLanguage"] = json!("eng");
    backend.ask(&body);
    backend.ask(&request("m2", "Good morning", &["zh-TW"], "c"));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.of("m1", "fra").text(), "fr:Good morning");
    let german = &backend.ids.of("m1", "ger").result;
    assert_eq!(german.translated_text.as_deref(), Some("de:Good morning"));
    assert_eq!(
        (&*german.source_language, &*german.target_language),
        ("eng", "ger")
    );
    assert_eq!(
        backend.ids.of("m2", "zh-TW").error(),
        "unsupported_language"
    );
}

#[test]
fn traditional_chinese_is_never_answered_in_simplified() {
    let sandbox = Sandbox::new();
    let simplified: [(&str, &[&str], &[&str]); 1] = [("simplified", &["en"], &["zh"])];
    let (_node, http) = start(sandbox.node_with_models(&simplified));
    for tag in ["zh", "zh-Hans", "zh_CN", "zh-SG", "zho", "chi", "cmn"] {
        assert_eq!(
            translate(http, "en", tag),
            Ok("zh:Good morning".to_owned()),
            "{tag}"
        );
    }
    for tag in ["zt", "zh-Hant", "zh-TW", "zh_HK", "zh-MO", "cmn-Hant"] {
        let refused = (400, format!("{tag} is not supported"));
        assert_eq!(translate(http, "en", tag), Err(refused));
        let deepl = http.post("/v2/translate", &json!({"text": ["a"], "target_lang": tag}));
        assert_eq!(deepl.status, 400, "{tag}");
        let meeshy =
            json!({"text": "Good morning", "source_language": "en", "target_language": tag});
        let meeshy = http.post("/translate", &meeshy);
        assert_eq!(meeshy.status, 400, "{meeshy:?}");
    }
    let both: [(&str, &[&str], &[&str]); 1] = [("both", &["en"], &["cmn_Hans", "cmn_Hant"])];
    let sandbox = Sandbox::new();
    let (_node, http) = start(sandbox.node_with_models(&both));
    assert_eq!(
        translate(http, "en", "zh"),
        Ok("zh:Good morning".to_owned())
    );
    assert_eq!(
        translate(http, "en", "zt"),
        Ok("zh-Hant:Good morning".to_owned())
    );
    let languages = http.get("/languages").json();
    let chinese = languages
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["code"] == "zh-Hant")
        .unwrap();
    assert_eq!(chinese["name"], "Chinese (traditional)");
}

#[test]
fn text_in_the_other_characters_is_not_sent_back_as_if_it_were_translated() {
    let sandbox = Sandbox::new();
    let models: [(&str, &[&str], &[&str]); 1] = [("traditional", &["en"], &["zh-Hant"])];
    let (_node, http) = start(sandbox.node_with_models(&models));
    let ask = |text: &str| {
        let body = json!({"q": text, "source": "auto", "target": "zh-TW"});
        http.post("/translate", &body)
    };
    let traditional = "請問火車站在哪裡?這裡沒有車。";
    assert_eq!(
        ask(traditional).json()["translatedText"],
        json!(traditional)
    );
    assert_eq!(ask("请问火车站在哪里?这里没有车。").status, 400);
}

#[test]
fn a_real_engine_gets_languages_in_the_spelling_of_its_model() {
    assert!(executables::engine("ctranslate2").is_file());
    let sandbox = Sandbox::new();
    let models: [(&str, &[&str], &[&str]); 1] = [("demo", &["eng"], &["fr", "de"])];
    let settings = sandbox.node_with_models(&models);
    let settings = settings.set("engine.kind", "ctranslate2");
    let engines = executables::folder().display().to_string();
    let (_node, http) = start(settings.set("engine.directory", engines));
    let body = json!({"q": "Where is the train station?", "source": "en", "target": "fra"});
    let answer = http.post("/translate", &body).json();
    let text = answer["translatedText"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    assert!(text.to_lowercase().contains("gare"), "{text}");
}

#[test]
fn prose_alone_tells_the_language_and_only_what_is_sure_has_confidence() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(sandbox.node());
    let detect = |text: &str| -> (Value, f64) {
        let found = http.post("/detect", &json!({"q": text})).json();
        let confidence = found[0]["confidence"].as_f64().unwrap();
        (found[0]["language"].clone(), confidence)
    };
    let markup = "<div class=\"main content wrapper\"><span style=\"text-decoration: underline\">Bonjour à tous</span></div>";
    assert_eq!(detect(markup).0, "fr");
    assert_eq!(
        detect("Guten Tag https://www.example.com/what-is-the-weather-like-today").0,
        "de"
    );
    assert_eq!(
        detect("```\nlet the = when;\n```\nWo ist der Bahnhof?").0,
        "de"
    );
    let clear = detect("Where is the train station, please? I have to catch the train at eight.");
    assert!(
        clear.0 == "en" && clear.1 > 50.0 && clear.1 <= 100.0,
        "{clear:?}"
    );
    assert_eq!(detect("https://example.com 12:30 🎉"), (json!("en"), 0.0));
    let spanish = "¿Dónde está la estación de tren, por favor? Tengo que tomar el tren de las ocho de la mañana.";
    assert!(detect(spanish).1 < 1.0);
    // The same confidence wherever it is asked for.
    let body =
        json!({"q": "Where is the train station, please?", "source": "auto", "target": "de"});
    let translated = http.post("/translate", &body).json();
    let alone = http
        .post(
            "/detect",
            &json!({"q": "Where is the train station, please?"}),
        )
        .json();
    assert_eq!(
        translated["detectedLanguage"]["language"],
        alone[0]["language"]
    );
    let kept = http.post(
        "/translate",
        &json!({"q": markup, "source": "auto", "target": "fr"}),
    );
    assert_eq!(kept.json()["translatedText"], markup);
}

#[test]
fn texts_to_detect_are_bounded_as_texts_to_translate_are() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("intake.max_text_chars", 50);
    let (_node, http) = start(settings.set("http.max_texts", 2));
    for q in [
        json!("a".repeat(51)),
        json!(["Hello", "a".repeat(51)]),
        json!(["a", "b", "c"]),
    ] {
        let answer = http.post("/detect", &json!({"q": q}));
        assert_eq!(answer.status, 400);
        assert!(
            answer.body.contains("exceeds text limit"),
            "{}",
            answer.body
        );
    }
    assert_eq!(
        http.post("/detect", &json!({"q": ["Hello", "b"]})).status,
        200
    );
}
