//! Requests that the HTTP edge refuses before a handler of the API sees them, and how it says so.

use std::convert::identity;

use babelmesh_integration_tests::{Sandbox, http::start};
use serde_json::json;

#[test]
fn bodies_that_cannot_be_read_are_unsupported_media() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
    let json = "Content-Type: application/json\r\n";
    for encoding in ["gzip", "br", "identity, gzip"] {
        let headers = format!("{json}Content-Encoding: {encoding}\r\n");
        let answer = http.send("POST", "/translate", &headers, &body);
        assert_eq!(answer.status, 415, "{answer:?}");
        assert!(answer.body.contains("uncompressed"), "{answer:?}");
    }
    for kind in ["application/xml", "text/html", "image/png"] {
        let headers = format!("Content-Type: {kind}\r\n");
        let answer = http.send("POST", "/translate", &headers, "<q>Hello</q>");
        assert_eq!(answer.status, 415, "{answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    let plain = format!("{json}Content-Encoding: identity\r\n");
    for headers in [json, &plain, "", "Content-Type: text/plain\r\n"] {
        let answer = http.send("POST", "/translate", headers, &body);
        assert_eq!(answer.status, 200, "{headers} {answer:?}");
    }
}

#[test]
fn a_host_in_the_target_is_checked_like_the_header() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    for (target, status) in [
        ("http://evil.example.com/languages", 403),
        ("http://evil.example.com//languages/", 403),
        ("http://localhost@evil.example.com/languages", 403),
        ("http://localhost/languages", 200),
        ("http://[::1]:80/languages", 200),
        ("/languages", 200),
    ] {
        let answer = http.get(target);
        assert_eq!(answer.status, status, "{target} {answer:?}");
    }
}

#[test]
fn errors_have_a_body_in_the_form_of_the_api() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    for (path, status) in [
        ("/nowhere".to_owned(), 404),
        ("/docs/nowhere.js".to_owned(), 404),
        (format!("/{}", "a".repeat(40_000)), 414),
        (format!("/languages?x={}", "a".repeat(40_000)), 414),
    ] {
        let answer = http.get(&path);
        assert_eq!(answer.status, status, "{:.200}", format!("{answer:?}"));
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
}

#[test]
fn a_text_in_a_language_that_no_model_reads_is_an_error_and_one_in_the_target_comes_back() {
    let sandbox = Sandbox::new();
    let (_node, http) = start(&sandbox, identity);
    let ask = |text: &str| {
        let body = json!({"q": text, "source": "auto", "target": "fr"});
        http.post("/translate", &body)
    };
    let spanish = ask("¿Dónde está la estación de tren, por favor?");
    assert_eq!(spanish.status, 400, "{spanish:?}");
    assert!(spanish.body.contains("Spanish (es)"), "{spanish:?}");
    let text = "Bonjour mon ami, comment vas-tu aujourd'hui ?";
    let french = ask(text);
    assert_eq!(french.json()["translatedText"], text, "{french:?}");
    assert_eq!(french.json()["detectedLanguage"]["language"], "fr");
}
