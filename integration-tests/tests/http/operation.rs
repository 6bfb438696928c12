//! What operators use: readiness, health, metrics, the dashboard, and draining.

use std::{
    convert::identity,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox,
    http::{HttpClient, start},
    wait_for, wait_until,
};
use serde_json::json;

#[test]
fn readiness_health_and_metrics_tell_how_the_node_is() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, identity);
    wait_for("the node is ready", PATIENCE, || {
        (http.get("/ready").status == 200).then_some(())
    });
    assert_eq!(http.get("/live").status, 200);
    assert_eq!(http.get("/health").json(), json!({"status": "ok"}));
    let mut backend = node.backend();
    for number in 0..20 {
        let request =
            babelmesh_integration_tests::request(&format!("m{number}"), "hello", &["fr"], "c1");
        backend.ask(&request);
    }
    backend.ask(&babelmesh_integration_tests::request(
        "bad",
        "hello",
        &["klingon"],
        "c1",
    ));
    backend.read_all(PATIENCE);
    let _ = http.post(
        "/translate",
        &json!({"q": "Hello", "source": "en", "target": "fr"}),
    );
    for sample in [
        "babelmesh_jobs_total{model=\"demo-en-fr-de\",lane=\"normal\",language=\"fr\",outcome=\"translated\"} 20",
        "babelmesh_jobs_total{model=\"demo-en-fr-de\",lane=\"interactive\",language=\"fr\",outcome=\"translated\"}",
        "babelmesh_published_records_total{source=\"jobs\"} 20",
        "babelmesh_dead_letters_total{source=\"requests\",code=\"invalid_language\"} 1",
        "babelmesh_source_paused{source=\"jobs\"} 0.0",
        "babelmesh_node_ready 1.0",
    ] {
        wait_until(sample, PATIENCE, || {
            http.get("/metrics").body.contains(sample)
        });
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let open = http.send("GET", "/metrics", accept, "");
    assert!(
        open.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(open.body.ends_with("# EOF\n"));
    let document = http.get("/openapi.json").json();
    for path in [
        "/translate",
        "/detect",
        "/v2/translate",
        "/translate/batch",
        "/ready",
        "/metrics",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let page = http.get("/docs/");
    assert!(
        page.status == 200 && page.body.contains("swagger"),
        "{page:?}"
    );
    // Every script is in a file of its own, so that the policy stops none of them.
    assert!(!page.body.contains("<script>"), "{page:?}");
    for path in ["/docs/", "/docs/swagger-ui.css", "/docs/nothing"] {
        let answer = http.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("script-src"), "{path}: {policy}");
    }
    assert_eq!(
        http.get("/languages").header("content-security-policy"),
        None
    );
}

#[test]
fn a_node_without_a_warm_model_is_not_ready_and_says_why() {
    let sandbox = Sandbox::new();
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("engine.fake.fail_load", true);
    let node = LocalNode::start_cold(&settings);
    let http = node.http();
    wait_until("the brokers answer", PATIENCE, || {
        let missing = http.get("/ready").json()["missing"].to_string();
        !missing.contains("Kafka")
    });
    let answer = http.get("/ready");
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.contains("model demo-en-fr-de is not warm"),
        "{}",
        answer.body
    );
    assert_eq!(http.get("/live").status, 200, "it lives all the same");
    assert_eq!(http.get("/status").json()["status"], "degraded");
}

/// Asks for the dashboard's feed as a page of this origin does, and reads until something is told or the connection ends.
fn watch(http: HttpClient, origin: &str, until: &str) -> (TcpStream, String) {
    let mut stream = http.connect();
    let upgrade = format!(
        "GET /live/feed HTTP/1.1\r\nHost: localhost:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).unwrap();
    let (mut told, mut buffer) = (String::new(), [0; 4_096]);
    while !told.contains(until) {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            bytes => told.push_str(&String::from_utf8_lossy(&buffer[..bytes])),
        }
    }
    (stream, told)
}

#[test]
fn the_dashboard_is_fed_live_and_pages_of_other_sites_are_not() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, identity);
    let page = http.get("/");
    assert!(page.status == 200 && page.body.contains("dashboard.js"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    for path in ["/dashboard.js", "/dashboard.css"] {
        assert_eq!(http.get(path).status, 200, "{path}");
    }
    let (mut stream, told) = watch(http, "http://localhost:80", "\"modelId\":\"demo-en-fr-de\"");
    assert!(told.starts_with("HTTP/1.1 101"), "{told}");
    assert!(told.contains("\"samples\":["), "{told}");
    let (_, refused) = watch(http, "http://elsewhere.example", "\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let started = Instant::now();
    node.drain();
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "a watcher holds no drain up: {:?}",
        started.elapsed()
    );
    // What is left comes, then the end.
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_drain_answers_pending_requests() {
    let sandbox = Sandbox::new();
    let (node, http) = start(&sandbox, |s| {
        s.actors(1).set("engine.fake.batch_us", 1_000_000)
    });
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    let asking = thread::spawn(move || http.post("/translate", &body));
    wait_until("the request has arrived", PATIENCE, || {
        node.pool().jobs == 1
    });
    node.drain();
    assert_eq!(asking.join().unwrap().status, 200);
    assert!(
        TcpStream::connect(http.0).is_err(),
        "nobody listens any more"
    );
}
