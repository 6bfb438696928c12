//! Answers and errors have the format of the API that was called: LibreTranslate, DeepL or Meeshy.

use std::convert::identity;

use babelmesh_integration_tests::{Sandbox, http::start};
use serde_json::{Value, json};

use super::error;

/// What the fake engine makes of a sentence.
fn fake(text: &str, target: &str) -> String {
    format!("{target}:{text}")
}

#[test]
fn libretranslate_is_answered_as_its_clients_expect() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    let text = "Where is the train station?";
    let french = fake(text, "fr");
    let json = http.post(
        "/translate",
        &json!({"q": text, "source": "en", "target": "fr"}),
    );
    assert_eq!(json.status, 200, "{json:?}");
    assert_eq!(json.json(), json!({"translatedText": french}));
    let form = http.form(
        "/translate",
        "q=Where+is+the+train+station%3F&source=en&target=fr&format=text&api_key=",
    );
    assert_eq!(form.json(), json!({"translatedText": french}));
    let query = http.send(
        "POST",
        "/translate?q=Where+is+the+train+station%3F&source=en&target=fr",
        "",
        "",
    );
    assert_eq!(query.json(), json!({"translatedText": french}));
    let many = http.post(
        "/translate",
        &json!({"q": [text, "", "Good night!"], "source": "en", "target": "de", "alternatives": 3}),
    );
    let expected = [fake(text, "de"), String::new(), fake("Good night!", "de")];
    let others = |text: &str| ["de'", "de''", "de'''"].map(|tag| fake(text, tag));
    let others = json!([others(text), [], others("Good night!")]);
    let answer = json!({"translatedText": expected, "alternatives": others});
    assert_eq!(many.json(), answer);
    for source in ["auto", "AUTO"] {
        let auto = http.post(
            "/translate",
            &json!({"q": text, "source": source, "target": "fr"}),
        );
        let auto = auto.json();
        assert_eq!(auto["detectedLanguage"]["language"], "en", "{source}");
        assert!(auto["detectedLanguage"]["confidence"].as_f64().unwrap() > 1.0);
    }
    let html = json!({"q": "<p class=\"a\">Good night!</p>", "source": "en", "target": "fr", "format": "html"});
    let html = http.post("/translate", &html).json();
    let html = html["translatedText"].as_str().unwrap();
    assert!(
        html.starts_with("<p class=\"a\">") && html.ends_with("</p>"),
        "{html}"
    );
    let detected = http
        .form("/detect", "q=Wo+ist+bitte+der+n%C3%A4chste+Bahnhof%3F")
        .json();
    assert_eq!(detected[0]["language"], "de");
    let languages = http.get("/languages").json();
    let english = languages
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["code"] == "en")
        .unwrap();
    assert_eq!(english["name"], "English");
    assert_eq!(english["targets"], json!(["de", "fr"]));
    let settings = http.get("/frontend/settings").json();
    assert_eq!(
        (&settings["keyRequired"], &settings["charLimit"]),
        (&json!(false), &json!(100_000))
    );
}

#[test]
fn deepl_and_meeshy_are_answered_as_their_clients_expect() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    let texts = ["Good night!", "Hello, how are you today?"];
    let deepl = http.post(
        "/v2/translate",
        &json!({"text": texts, "target_lang": "FR", "source_lang": "EN"}),
    );
    let expected = texts.map(|text| {
        json!({"detected_source_language": "EN", "text": fake(text, "fr"), "billed_characters": text.len()})
    });
    assert_eq!(deepl.json(), json!({"translations": expected}));
    let form = http.form(
        "/v2/translate",
        "text=Good+night!&text=Hello&target_lang=de",
    );
    assert_eq!(form.json()["translations"].as_array().unwrap().len(), 2);
    let usage = http.get("/v2/usage").json();
    assert_eq!(usage["character_count"], 36 + 16);
    let targets = http.get("/v2/languages?type=target").json();
    assert!(
        targets
            .as_array()
            .unwrap()
            .iter()
            .any(|l| l["language"] == "FR" && l["name"] == "French")
    );
    let refused = http.post(
        "/v2/translate",
        &json!({"text": ["a"], "target_lang": "XX"}),
    );
    assert_eq!(
        (refused.status, &refused.json()["message"]),
        (400, &json!("Value for 'target_lang' not supported."))
    );
    let items = json!([
        {"text": "Good night!", "source_language": "en", "target_language": "fr"},
        {"text": "Good night!", "source_language": "en", "target_language": "xx"},
    ]);
    let batch = http.post("/translate/batch", &items).json();
    assert_eq!(batch[0]["translated_text"], fake("Good night!", "fr"));
    assert_eq!(batch[1]["error"]["code"], "unsupported_language");
    let one = json!({"text": "Good night!", "source_language": "auto", "target_language": "fr", "model_type": "premium"});
    let one = http.post("/translate", &one).json();
    assert_eq!(
        (&one["translated_text"], &one["detected_language"]),
        (&json!(fake("Good night!", "fr")), &json!("en"))
    );
    let models = http.get("/models").json();
    assert_eq!(
        (&models[0]["id"], &models[0]["loaded"]),
        (&json!("demo-en-fr-de"), &json!(true))
    );
}

#[test]
fn answers_tell_which_tier_was_used_and_whether_the_cache_had_it() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("cache.memory_mb", 16));
    let meeshy = |text: &str| {
        let body = json!({"text": text, "source_language": "en", "target_language": "fr", "model_type": "premium"});
        http.post("/translate", &body).json()
    };
    let first = meeshy("Good night!");
    assert_eq!(
        first["model_type_used"], "basic",
        "the node has no other: {first}"
    );
    assert_eq!(first["from_cache"], false);
    assert_eq!(meeshy("Good night!")["from_cache"], true);
    let untouched = meeshy("12:30");
    assert!(untouched.get("model_type_used").is_none(), "{untouched}");
    assert_eq!(untouched["from_cache"], false);
    let deepl = |kind: Option<&str>| {
        let body = json!({"text": ["Hello"], "target_lang": "FR", "model_type": kind});
        http.post("/v2/translate", &body)
    };
    let used = |kind| deepl(kind).json()["translations"][0]["model_type_used"].clone();
    assert_eq!(used(Some("prefer_quality_optimized")), "latency_optimized");
    assert_eq!(used(None), Value::Null);
    assert_eq!(deepl(Some("best")).status, 400);
}

#[test]
fn errors_use_the_format_of_the_api_that_was_called() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("intake.max_text_chars", 50).set("http.max_texts", 3)
    });
    let long = "a".repeat(51);
    for (body, status, message) in [
        (
            json!({"source": "en", "target": "fr"}),
            400,
            "Invalid request: missing q parameter",
        ),
        (
            json!({"q": "", "source": "en", "target": "fr"}),
            400,
            "Invalid request: missing q parameter",
        ),
        (
            json!({"q": "a", "target": "fr"}),
            400,
            "Invalid request: missing source parameter",
        ),
        (
            json!({"q": "a", "source": "en"}),
            400,
            "Invalid request: missing target parameter",
        ),
        (
            json!({"q": "a", "source": "xx", "target": "fr"}),
            400,
            "xx is not supported",
        ),
        (
            json!({"q": "a", "source": "en", "target": "klingon"}),
            400,
            "klingon is not supported",
        ),
        (
            json!({"q": "a", "source": "en", "target": "fr", "format": "pdf"}),
            400,
            "pdf format is not supported; supported: text, html, xml, markdown, srt, vtt",
        ),
        (
            json!({"q": "a", "source": "en", "target": "fr", "alternatives": "x"}),
            400,
            "Invalid request: alternatives parameter is not a number",
        ),
        (
            json!({"q": "a", "source": "en", "target": "fr", "alternatives": 11}),
            400,
            "Invalid request: alternatives must be at most 10",
        ),
        (
            json!({"q": long, "source": "en", "target": "fr"}),
            400,
            "Invalid request: request (51) exceeds text limit (50)",
        ),
        (
            json!({"q": ["a", "b", "c", "d"], "source": "en", "target": "fr"}),
            400,
            "Invalid request: request (4) exceeds text limit (3)",
        ),
        (
            json!({"q": {"a": 1}, "source": "en", "target": "fr"}),
            400,
            "Invalid request: q parameter is not a text",
        ),
        (
            json!({"q": ["a", 1], "source": "en", "target": "fr"}),
            400,
            "Invalid request: q parameter is not a list of texts",
        ),
        (
            json!({"q": "Bonjour", "source": "fr", "target": "de"}),
            400,
            "German (de) is not available as a target language from French (fr)",
        ),
    ] {
        let answer = http.post("/translate", &body);
        assert_eq!(
            (answer.status, error(&answer.json())),
            (status, message),
            "{body}"
        );
    }
    let json = "Content-Type: application/json\r\n";
    for body in [
        "{\"q\": ",
        "\u{0}",
        "[1,2",
        "\"text\"",
        &"[".repeat(100_000),
    ] {
        let answer = http.send("POST", "/translate", json, body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(error(&answer.json()).starts_with("Invalid "));
    }
    assert_eq!(http.get("/nowhere").status, 404);
    assert_eq!(error(&http.get("/nowhere").json()), "Not found");
    assert_eq!(http.get("/translate").status, 405);
}
