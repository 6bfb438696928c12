//! A client with much work does not delay those with little, and what cannot be done in time is refused at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_actors::events::Event;
use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, Settings, http::Answer, http::HttpClient, request, wait_until,
};
use serde_json::{Value, json};

/// Requests of the client with much work, texts of each, and sentences of each text.
const LARGE: usize = 10;
const TEXTS: usize = 22;
const SENTENCES: usize = 50;
/// Messages that come at once.
const FLOOD: usize = 6_000;
/// Short requests that are sent meanwhile.
const SHORT: usize = 10;

fn start(sandbox: &Sandbox, change: impl FnOnce(Settings) -> Settings) -> (LocalNode, HttpClient) {
    let settings = sandbox
        .node()
        .actors(1)
        .set("engine.fake.segment_us", 1_000)
        .set("cache.memory_mb", 0)
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("http.trusted_proxies", "[\"127.0.0.0/8\"]");
    let node = LocalNode::start(&change(settings));
    node.wait_for_strength(1);
    let http = node.http();
    (node, http)
}

/// Posts as the client of an address.
fn post(http: HttpClient, address: &str, q: &Value) -> Answer {
    let headers = format!("Content-Type: application/json\r\nX-Forwarded-For: {address}\r\n");
    let body = json!({"q": q, "source": "en", "target": "fr"});
    http.send("POST", "/translate", &headers, &body.to_string())
}

fn texts(texts: usize, sentences: usize) -> Value {
    let text = |_| "We will see the garden and the old house tomorrow. ".repeat(sentences);
    json!((0..texts).map(text).collect::<Vec<_>>())
}

/// Segments that wait in the lane of those who are waiting.
fn waiting(node: &LocalNode) -> usize {
    node.pool().lanes.interactive.segments
}

#[test]
fn short_requests_pass_a_client_with_ten_large_ones() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |settings| {
        settings
            .set("http.timeout_ms", 60_000)
            .set("pool.sharing.refuse_above", 0)
    });
    let mut backend = node.backend();
    let large: Vec<_> = (0..LARGE)
        .map(|_| thread::spawn(move || post(http, "192.0.2.1", &texts(TEXTS, SENTENCES))))
        .collect();
    let all = LARGE * TEXTS * SENTENCES;
    wait_until("the large requests wait", PATIENCE, || {
        waiting(&node) >= all / 2
    });
    let before = waiting(&node);
    for _ in 0..SHORT {
        let answer = post(http, "192.0.2.2", &json!("Good morning to you all."));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let meanwhile = before - waiting(&node);
    for priority in ["high", "normal"] {
        let mut message = request(priority, "How are you?", &["fr"], priority);
        message["priority"] = json!(priority);
        backend.ask(&message);
    }
    backend.read_all(PATIENCE);
    let with_messages = before - waiting(&node);
    println!(
        "{meanwhile} segments while {SHORT} short requests were answered, {with_messages} with two messages"
    );
    assert!(
        meanwhile < all / 10,
        "{meanwhile} of {all} segments were translated before"
    );
    assert!(
        with_messages < all / 2,
        "messages of either priority do not wait for the large requests"
    );
    let statuses = large.into_iter().map(|large| large.join().unwrap().status);
    assert!(
        statuses.into_iter().all(|status| status == 200),
        "the large ones are not starved"
    );
}

#[test]
fn thousands_of_urgent_messages_with_keys_of_their_own_delay_http_by_little() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |settings| settings);
    let mut backend = node.backend();
    for number in 0..FLOOD {
        let id = format!("m{number}");
        let mut message = request(&id, "We will see the garden tomorrow.", &["fr"], &id);
        message["priority"] = json!("high");
        backend.ask(&message);
    }
    backend.flush();
    wait_until("most of the messages wait", PATIENCE, || {
        waiting(&node) >= FLOOD * 3 / 4
    });
    let before = waiting(&node);
    for _ in 0..SHORT {
        let answer = post(http, "192.0.2.2", &json!("Good morning to you all."));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let meanwhile = before.saturating_sub(waiting(&node));
    println!("{meanwhile} messages while {SHORT} requests were answered");
    // About a batch for each.
    assert!(meanwhile < FLOOD / 3, "{meanwhile} of {FLOOD} went before");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.answered(), FLOOD);
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
}

#[test]
fn a_request_that_cannot_be_done_in_time_is_refused_at_once_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |settings| settings.set("http.timeout_ms", 5_000));
    // The speed of the pool is known after some large batches.
    let answer = post(http, "192.0.2.1", &texts(1, 1_500));
    assert_eq!(answer.status, 200, "{answer:?}");
    let started = Instant::now();
    // Half a minute of work.
    let answer = post(http, "192.0.2.1", &texts(TEXTS, 1_500));
    let took = started.elapsed();
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(answer.body.contains("exceeds the deadline"), "{answer:?}");
    assert!(took < Duration::from_secs(4), "refused after {took:?}");
    let is_refusal = |event: &Event| matches!(event, Event::JobsRefused { .. });
    assert!(node.events().count(is_refusal) > 0);
    wait_until("what was abandoned is gone", PATIENCE, || {
        node.pool().jobs == 0
    });
    assert_eq!(waiting(&node), 0);
    let answer = post(http, "192.0.2.1", &json!("Good morning to you all."));
    assert_eq!(answer.status, 200, "{answer:?}");
}
