//! API keys, their request rates, and what clients with and without a key or from other origins may do.

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh::api::keys;
use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, free_address,
    http::{Answer, HttpClient, start},
    wait_until,
};
use serde_json::{Value, json};

use super::error;

#[test]
fn wrong_keys_count_for_their_address_and_keep_nobody_out_who_has_one() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "first").unwrap();
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.keys_file", file.display())
            .set("http.requests_per_minute", 3)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
    let ask = |number: usize, key: &str| {
        if number.is_multiple_of(2) {
            let mut body: Value = serde_json::from_str(&body).unwrap();
            body["api_key"] = json!(key);
            return http.post("/translate", &body).status;
        }
        let head = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
        http.send("POST", "/translate", &head, &body).status
    };
    let guesses: Vec<_> = (0..6).map(|n| ask(n, &format!("bm_wrong{n}"))).collect();
    assert_eq!(guesses, [403, 403, 403, 429, 429, 429]);
    assert_eq!((ask(0, &key), ask(1, &key)), (200, 200));
}

#[test]
fn a_traceparent_decides_only_for_clients_that_are_let_in() {
    let spans = |http: HttpClient| {
        let page = http.get("/metrics").body;
        let lines = page.lines().filter(|l| {
            l.starts_with("babelmesh_spans_dropped_total")
                || l.starts_with("babelmesh_spans_exported_total")
        });
        lines
            .map(|l| l.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum::<f64>()
    };
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "first").unwrap();
    // Spans are made for a collector that is not there, and counted as dropped.
    let edge = free_address();
    let settings = sandbox
        .node()
        .set("http.listen", format_args!("\"{edge}\""))
        .set("http.keys_file", file.display())
        .set("telemetry.traces.endpoint", "http://127.0.0.1:9")
        .set("telemetry.traces.sampling_ratio", 0)
        .set("telemetry.traces.export_timeout_ms", 200)
        .set("telemetry.traces.queue_spans", 16)
        .set("telemetry.traces.batch_spans", 8);
    // Only a whole process has spans of requests.
    let _node = ProcessNode::start(&sandbox, &settings);
    let http = HttpClient(edge);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ask = |key: &str| {
        let head = format!(
            "Authorization: Bearer {key}\r\ntraceparent: {parent}\r\nContent-Type: application/json\r\n"
        );
        let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
        http.send("POST", "/translate", &head, &body).status
    };
    let before = spans(http);
    assert!((0..200).all(|_| ask("bm_wrong") == 403));
    thread::sleep(Duration::from_secs(2));
    assert!(spans(http) - before < 50.0, "wrong keys make no spans");
    assert!((0..200).all(|_| ask(&key) == 200));
    wait_until("spans are counted", PATIENCE, || {
        spans(http) - before >= 200.0
    });
}

#[test]
fn keys_open_the_translation_and_their_rate_is_limited_each_for_itself() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let (first, second) = (
        keys::create(&file, "first").unwrap(),
        keys::create(&file, "second").unwrap(),
    );
    let (_node, http) = start(&sandbox, |s| {
        s.set("http.keys_file", file.display())
            .set("http.requests_per_minute", 5)
    });
    let ask = |key: &str| {
        http.post(
            "/translate",
            &json!({"q": "Hello", "source": "en", "target": "fr", "api_key": key}),
        )
    };
    let refused = ask("");
    assert_eq!(
        (refused.status, error(&refused.json())),
        (400, "Please contact the server operator to get an API key")
    );
    let refused = ask("bm_wrong");
    assert_eq!(
        (refused.status, error(&refused.json())),
        (403, "Invalid API key")
    );
    for number in 0..5 {
        assert_eq!(ask(&first).status, 200, "request {number}");
    }
    let slow = ask(&first);
    assert_eq!(slow.status, 429);
    assert!(error(&slow.json()).starts_with("Slowdown: "));
    let wait: u64 = slow.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let header =
        format!("Authorization: DeepL-Auth-Key {second}\r\nContent-Type: application/json\r\n");
    let body = json!({"text": ["Hello"], "target_lang": "FR"}).to_string();
    assert_eq!(
        http.send("POST", "/v2/translate", &header, &body).status,
        200
    );
    let refused = http.post(
        "/v2/translate",
        &json!({"text": ["Hello"], "target_lang": "FR"}),
    );
    assert_eq!(refused.status, 403);
    assert!(refused.json()["message"].is_string());
    let page = http.get("/metrics").body;
    assert!(
        !page.contains(&first[3..])
            && page.contains("babelmesh_http_requests_total{route=\"translate\",status=\"429\"} 1"),
        "{page}"
    );
}

#[test]
fn a_key_opens_and_is_revoked_while_the_node_runs() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    keys::create(&file, "first").unwrap();
    let (_node, http) = start(&sandbox, |s| s.set("http.keys_file", file.display()));
    let ask = |key: &str| {
        let body = json!({"q": "Hello", "source": "en", "target": "fr", "api_key": key});
        http.post("/translate", &body).status
    };
    let key = keys::create(&file, "second").unwrap();
    wait_until("the new key opens", PATIENCE, || ask(&key) == 200);
    keys::revoke(&file, "second").unwrap();
    let started = Instant::now();
    wait_until("it opens no more", PATIENCE, || ask(&key) == 403);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn pages_of_other_origins_may_use_the_api_where_the_configuration_says_so() {
    let allowed = |origins: &str, origin: &str| {
        let sandbox = Sandbox::new();
        let (_node, http) = start(&sandbox, |s| s.set("http.cors_origins", origins));
        let preflight = format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
        );
        let asked = http.send("OPTIONS", "/translate", &preflight, "");
        let headers = format!("Origin: {origin}\r\nContent-Type: application/json\r\n");
        let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
        let answer = http.send("POST", "/translate", &headers, &body);
        assert_eq!(answer.status, 200, "browsers keep answers, nodes do not");
        let told = |answer: &Answer| {
            let origin = answer.header("access-control-allow-origin");
            origin.map(str::to_owned)
        };
        let (asked, answered) = (told(&asked), told(&answer));
        assert_eq!(asked, answered);
        answered
    };
    let chat = "https://chat.example.org";
    assert_eq!(allowed("[]", chat), None);
    let two = "[\"https://chat.example.org\", \"http://127.0.0.1:3000\"]";
    assert_eq!(allowed(two, chat).as_deref(), Some(chat));
    assert_eq!(allowed(two, "https://elsewhere.example.org"), None);
    assert_eq!(allowed("[\"*\"]", chat).as_deref(), Some("*"));
}
