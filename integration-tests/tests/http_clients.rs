//! HTTP as clients, proxies, probes and browsers speak it.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{Sandbox, http::start};
use serde_json::json;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn methods_and_paths_are_answered_as_http_has_them() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    for path in ["/live", "/health", "/languages", "/metrics", "/", "/models"] {
        let head = http.send("HEAD", path, "", "");
        assert_eq!(
            (head.status, head.body.as_str()),
            (http.get(path).status, ""),
            "{path}"
        );
    }
    let wrong = http.get("/translate");
    assert_eq!(
        (wrong.status, wrong.header("allow")),
        (405, Some("post, options"))
    );
    assert!(wrong.json()["error"].is_string());
    let wrong = http.get("/v2/translate");
    assert_eq!(wrong.status, 405);
    assert!(wrong.json()["message"].is_string());
    assert!(http.get("/v3/nowhere").json()["message"].is_string());
    assert_eq!(http.send("OPTIONS", "/languages", "", "").status, 204);
    let preflight = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n";
    let refused = http.send("OPTIONS", "/v2/translate", preflight, "");
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("http.cors_origins"),
        "{}",
        refused.body
    );
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    for path in ["//translate", "/translate/", "/translate//"] {
        assert_eq!(http.post(path, &body).status, 200, "{path}");
    }
    for path in ["/languages/", "//languages", "/docs", "/spec"] {
        assert_eq!(http.get(path).status, 200, "{path}");
    }
    let answer = http.post("/translate", &body);
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
}

#[test]
fn bodies_are_read_as_clients_send_them() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    let expected = json!({"translatedText": "fr:Hello"});
    let marked = format!("\u{feff}{body}");
    assert_eq!(
        http.send("POST", "/translate", JSON, &marked).json(),
        expected
    );
    assert_eq!(
        http.send("POST", "/translate", "", &body.to_string())
            .json(),
        expected
    );
    let charset = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n";
    let form = http.send("POST", "/translate", charset, "q=Hello&source=en&target=fr");
    assert_eq!(form.json(), expected);
    let list = http.form("/translate", "q[]=Hello&q[]=Bye&source=en&target=fr");
    assert_eq!(
        list.json(),
        json!({"translatedText": ["fr:Hello", "fr:Bye"]})
    );
    let latin = http.form("/translate", "q=caf%E9&source=en&target=fr");
    assert_eq!(latin.status, 400, "{latin:?}");
    let part = |(name, value)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = [("q", "Hello"), ("source", "en"), ("target", "fr")]
        .map(part)
        .concat();
    let multipart = "Content-Type: multipart/form-data; boundary=x\r\n";
    let sent = http.send(
        "POST",
        "/translate",
        multipart,
        &format!("{parts}--x--\r\n"),
    );
    assert_eq!(sent.json(), expected);
    for malformed in ["", "--x", "--x\r\n\r\n", "--y--"] {
        let answer = http.send("POST", "/translate", multipart, malformed);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

#[test]
fn one_text_without_a_language_does_not_spoil_a_batch() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let georgian = "\u{10d2}\u{10d0}\u{10db}\u{10d0}\u{10e0}\u{10ef}\u{10dd}\u{10d1}\u{10d0}";
    let texts = ["Where is the train station?", georgian, "12:30", ""];
    let answer = http.post(
        "/translate",
        &json!({"q": texts, "source": "auto", "target": "fr"}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let expected = ["fr:Where is the train station?", georgian, "12:30", ""];
    assert_eq!(answer["translatedText"], json!(expected));
    let detected = answer["detectedLanguage"].as_array().unwrap();
    assert_eq!(detected.len(), 4);
    assert_eq!(detected[1]["confidence"], 0.0);
    let deepl = http.post(
        "/v2/translate",
        &json!({"text": texts, "target_lang": "FR"}),
    );
    let deepl = deepl.json();
    let translations = deepl["translations"].as_array().unwrap();
    assert_eq!(translations.len(), 4, "{deepl}");
    for translation in translations {
        assert_ne!(translation["detected_source_language"], "AUTO");
    }
}

#[test]
fn deepl_parameters_without_a_value_are_absent_and_lists_are_empty() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s);
    let ask = |name: &str, value: serde_json::Value| {
        let mut body = json!({"text": ["Hello"], "source_lang": "EN", "target_lang": "FR"});
        body[name] = value;
        http.post("/v2/translate", &body)
    };
    // Values that mean absent; all others are in the tables of `api_parity.rs`.
    for (name, value) in [
        ("ignore_tags", json!([])),
        ("ignore_tags", json!("")),
        ("tag_handling", json!("")),
        ("glossary_id", json!(null)),
        ("split_sentences", json!(null)),
    ] {
        let answer = ask(name, value);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    let answer = ask("show_billed_characters", json!(false));
    let translation = &answer.json()["translations"][0];
    assert!(translation["billed_characters"].is_null(), "{answer:?}");
    let answer = ask("show_billed_characters", json!(true));
    let translation = &answer.json()["translations"][0];
    assert_eq!(translation["billed_characters"], 5, "{answer:?}");
    assert_eq!(http.get("/v2/glossaries").json(), json!({"glossaries": []}));
    assert!(http.form("/v2/document", "").json()["message"].is_string());
    assert_eq!(http.form("/suggest", "q=a").status, 403);
    assert_eq!(http.form("/translate_file", "").status, 415);
}

#[test]
fn names_that_are_not_allowed_get_nothing_from_a_node_on_loopback() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.allowed_hosts", "[\"translate.example.org\"]")
    });
    let ask = |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        http.raw(request.as_bytes()).status
    };
    for path in ["/languages", "/live/feed", "/", "/metrics"] {
        assert_eq!(ask("rebound.example.net:8080", path), 403, "{path}");
    }
    assert_eq!(ask("translate.example.org", "/languages"), 200);
    assert_eq!(ask("127.0.0.1:1", "/languages"), 200);
}

#[test]
fn clients_behind_a_trusted_proxy_have_a_rate_limit_each() {
    let statuses = |proxies: &str| {
        let sandbox = Sandbox::new();
        let (_node, http) = start(&sandbox, |s| {
            s.set("http.requests_per_minute", 2)
                .set("http.trusted_proxies", proxies)
        });
        ["1.1.1.1", "2.2.2.2", "3.3.3.3"].map(|client| {
            let headers = format!("X-Forwarded-For: {client}\r\n{FORM}");
            let body = "q=Hello&source=en&target=fr";
            http.send("POST", "/translate", &headers, body).status
        })
    };
    assert_eq!(statuses("[\"127.0.0.0/8\"]"), [200, 200, 200]);
    assert_eq!(statuses("[]"), [200, 200, 429]);
}

#[test]
fn a_client_over_its_rate_is_refused_before_its_body_is_read() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("http.requests_per_minute", 1));
    let _ = http.form("/translate", "q=Hello&source=en&target=fr");
    let mut stream = http.connect();
    let head = "POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nq=";
    stream.write_all(head.as_bytes()).unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 429");
}

#[test]
fn an_endless_body_is_cut_and_its_connection_closed() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, |s| s.set("http.max_body_bytes", 10_000));
    let mut stream = http.connect();
    let head = "POST /translate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(4_096));
    let started = Instant::now();
    while stream.write_all(chunk.as_bytes()).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "the node reads on"
        );
    }
}
