//! What LibreTranslate's own tests of its API ask of a server, asked of a node. Left out is what a node does not have: LibreTranslate's web page,
//! files, suggestions, translation memory, and keys by origin or secret.

use babelmesh::api::keys;
use babelmesh_integration_tests::{
    LocalNode, Sandbox, Settings,
    http::{Answer, HttpClient},
};
use serde_json::{Value, json};

/// A node that translates between English and Spanish.
fn start(sandbox: &Sandbox, change: impl FnOnce(Settings) -> Settings) -> (LocalNode, HttpClient) {
    let models: [(&str, &[&str], &[&str]); 2] =
        [("en-es", &["en"], &["es"]), ("es-en", &["es"], &["en"])];
    let settings = sandbox.node_with_models(&models);
    let settings = settings.set("http.listen", "\"127.0.0.1:0\"");
    let node = LocalNode::start(&change(settings));
    let http = node.http();
    (node, http)
}

fn is_refused(answer: &Answer, status: u16, error: &str) {
    let told = answer.json()["error"].clone();
    assert_eq!((answer.status, told), (status, json!(error)));
}

/// The answer to a form, which must be a success.
fn form(http: HttpClient, body: &str) -> Value {
    let answer = http.form("/translate", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The answer to JSON into Spanish, which must be a success.
fn json_body(http: HttpClient, mut body: Value) -> Value {
    body["target"] = json!("es");
    let answer = http.post("/translate", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn items(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn single_texts_are_translated() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let plain = form(http, "q=Good+evening&source=en&target=es&format=text");
    assert!(plain["translatedText"].is_string());
    let back = form(http, "q=Buenas+tardes&source=es&target=en");
    assert_ne!(back["translatedText"], "Buenas tardes");
    let markup = form(
        http,
        "q=%3Cp%3EGood+evening%3C%2Fp%3E&source=en&target=es&format=html",
    );
    let text = markup["translatedText"].as_str().unwrap();
    assert!(text.starts_with("<p>") && text.ends_with("</p>"), "{text}");
    let emoji = form(http, "q=%F0%9F%98%80&source=en&target=es");
    assert_eq!(emoji["translatedText"], "\u{1f600}");
    let english = "q=The+weather+was+fine+and+we+walked+along+the+river&source=auto&target=es";
    let found = &form(http, english)["detectedLanguage"];
    assert_eq!(found["language"], "en");
    assert!(found["confidence"].as_f64().unwrap() > 0.0, "{found}");
    let several = json!({"q": "The weather is fine", "source": "en", "alternatives": 3});
    let several = json_body(http, several);
    assert!(several["translatedText"].is_string() && several["alternatives"].is_array());
}

#[test]
fn a_detected_language_is_read_by_a_model_of_its_variant() {
    for (model, text) in [
        ("pb", "Bom dia"),
        ("pt", "Bom dia"),
        ("zh", "早上好"),
        ("zt", "早上好"),
    ] {
        let sandbox = Sandbox::new();
        let settings = sandbox.node_with_models(&[("a-model", &[model], &["en"])]);
        let node = LocalNode::start(&settings.set("http.listen", "\"127.0.0.1:0\""));
        let body = json!({"q": text, "source": "auto", "target": "en", "format": "text"});
        let answer = node.http().post("/translate", &body);
        assert_eq!(answer.status, 200, "{model}: {answer:?}");
        assert_eq!(
            answer.json()["translatedText"],
            format!("en:{text}"),
            "{model}"
        );
    }
}

#[test]
fn lists_of_texts_are_translated() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let two = json_body(
        http,
        json!({"q": ["Bread", "Water"], "source": "en", "format": "text"}),
    );
    assert_eq!(items(&two["translatedText"]).len(), 2);
    let markup = json!({"q": ["<p>Bread</p>", "<p>Water</p>"], "source": "en", "format": "html"});
    let markup = json_body(http, markup);
    let texts = items(&markup["translatedText"]);
    assert!(
        texts
            .iter()
            .all(|text| text.as_str().unwrap().contains("<p>")),
        "{texts:?}"
    );
    let emoji = ["\u{1f600}", "\u{1f601}"];
    let kept = json_body(http, json!({"q": emoji, "source": "en"}));
    assert_eq!(kept["translatedText"], json!(emoji));
    let several = json!({"q": ["Bread", "Water"], "source": "en", "alternatives": 2});
    assert_eq!(items(&json_body(http, several)["alternatives"]).len(), 2);
    let found = json_body(
        http,
        json!({"q": ["Hello there", "Good evening"], "source": "auto"}),
    );
    let languages: Vec<_> = items(&found["detectedLanguage"])
        .iter()
        .map(|d| &d["language"])
        .collect();
    assert_eq!(languages, ["en", "en"]);
    let none = http.post(
        "/translate",
        &json!({"q": [], "source": "en", "target": "es"}),
    );
    is_refused(&none, 400, "Invalid request: missing q parameter");
}

#[test]
fn wrong_requests_are_refused_in_its_words() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    for (body, error) in [
        ("q=Bread&source=en&target=zz", "zz is not supported"),
        ("q=Bread&source=zz&target=es", "zz is not supported"),
        (
            "source=en&target=es",
            "Invalid request: missing q parameter",
        ),
        (
            "q=Bread&target=es",
            "Invalid request: missing source parameter",
        ),
        (
            "q=Bread&source=en",
            "Invalid request: missing target parameter",
        ),
        (
            "q=Bread&source=en&target=es&format=pdf",
            "pdf format is not supported; supported: text, html, xml, markdown, srt, vtt",
        ),
        (
            "q=Bread&source=en&target=es&alternatives=few",
            "Invalid request: alternatives parameter is not a number",
        ),
    ] {
        is_refused(&http.form("/translate", body), 400, error);
    }
    for list in [json!(["a", "list"]), json!("a text"), json!(5)] {
        is_refused(&http.post("/translate", &list), 400, "Invalid JSON format");
        is_refused(&http.post("/detect", &list), 400, "Invalid JSON format");
    }
}

#[test]
fn languages_are_detected() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let word = http.form("/detect", "q=Bread").json();
    assert!(word[0]["confidence"].is_number() && word[0]["language"].is_string());
    let sentence = json!({"q": "We walked along the river until the evening"});
    assert_eq!(http.post("/detect", &sentence).json()[0]["language"], "en");
    let list = json!({"q": ["We walked along the river", "Caminamos junto al río"]});
    let list = http.post("/detect", &list);
    assert!(
        list.status == 200 && !items(&list.json()).is_empty(),
        "{list:?}"
    );
    let nothing = http.form("/detect", "");
    assert!(nothing.status == 400 && nothing.json()["error"].is_string());
    assert_eq!(http.get("/detect").status, 405);
}

#[test]
fn health_settings_and_what_is_turned_off_are_told() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("intake.max_text_chars", 42));
    let health = http.get("/health");
    assert_eq!(
        (health.status, health.json()),
        (200, json!({"status": "ok"}))
    );
    assert_eq!(http.post("/health", &json!({})).status, 405);
    let settings = http.get("/frontend/settings").json();
    for (name, value) in [
        ("apiKeys", json!(false)),
        ("keyRequired", json!(false)),
        ("suggestions", json!(false)),
        ("filesTranslation", json!(true)),
        ("charLimit", json!(42)),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
    assert_eq!(settings["language"]["source"]["code"], "auto");
    assert_eq!(
        http.form("/suggest", "q=Bread&s=Pan&source=en&target=es")
            .status,
        403
    );
    let answer = http.get("/download_file/anything.txt");
    assert!(
        answer.status == 400 && answer.json()["error"].is_string(),
        "{answer:?}"
    );
    for path in ["/download_file/..", "/download_file/a.b.txt"] {
        let answer = http.get(path);
        assert!(
            answer.status == 404 && answer.json()["error"].is_string(),
            "{answer:?}"
        );
    }
}

#[test]
fn limits_are_kept() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("intake.max_text_chars", 5)
            .set("http.max_texts", 1)
            .set("http.requests_per_minute", 4)
    });
    let too_long = http.form(
        "/translate",
        "q=A+text+that+is+too+long&source=en&target=es",
    );
    assert_eq!(too_long.status, 400);
    assert!(
        too_long.json()["error"]
            .as_str()
            .unwrap()
            .contains("exceeds text limit")
    );
    let too_many = json!({"q": ["Bread", "Water"], "source": "en", "target": "es"});
    let too_many = http.post("/translate", &too_many);
    assert_eq!(too_many.status, 400);
    assert!(
        too_many.json()["error"]
            .as_str()
            .unwrap()
            .contains("exceeds text limit")
    );
    let forwarded = "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let short = "q=Bread&source=en&target=es";
    assert_eq!(
        http.send("POST", "/translate", forwarded, short).status,
        200
    );
    assert_eq!(http.form("/translate", short).status, 200);
    let slow = http.form("/translate", short);
    assert_eq!(slow.status, 429);
    assert!(slow.json()["error"].as_str().unwrap().contains("Slowdown"));
}

#[test]
fn keys_are_asked_for_in_its_words() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "client").unwrap();
    let (_node, http) = start(&sandbox, |s| s.set("http.keys_file", file.display()));
    let ask = |key: &str| http.form("/translate", &format!("q=Bread&source=en&target=es{key}"));
    is_refused(
        &ask(""),
        400,
        "Please contact the server operator to get an API key",
    );
    is_refused(&ask("&api_key=another"), 403, "Invalid API key");
    assert_eq!(ask(&format!("&api_key={key}")).status, 200);
    let settings = http.get("/frontend/settings").json();
    assert_eq!(
        (&settings["apiKeys"], &settings["keyRequired"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn metrics_name_neither_keys_nor_addresses() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let _ = http.form("/translate", "q=Bread&source=en&target=es&api_key=mine");
    let page = http.get("/metrics");
    assert_eq!(page.status, 200);
    for label in ["api_key", "request_ip", "mine", "127.0.0.1"] {
        assert!(!page.body.contains(label), "{label}");
    }
}

#[test]
fn a_text_that_makes_the_engine_fail_is_an_error_in_json() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("engine.fake.refuse_on", "\"Bread\""));
    let answer = http.form("/translate", "q=Bread&source=en&target=es");
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.json()["error"].is_string());
}

#[test]
fn a_text_is_translated_the_same_from_the_cache() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("cache.memory_mb", 16));
    let ask = || form(http, "q=Bread&source=en&target=es")["translatedText"].clone();
    assert_eq!(ask(), ask());
}
