//! Overloaded and starting nodes, and unauthenticated connections.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, ProcessNode, Sandbox, Settings,
    http::{HttpClient, read_answer, request},
    processes, wait_until,
};
use serde_json::json;

/// How long what operators ask for may take, on a machine that does much else.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn six_hundred_requests_at_once_are_all_answered_or_refused_while_probes_are_answered() {
    const REQUESTS: usize = 600;
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let node = LocalNode::start(&settings.actors(1).set("engine.fake.batch_us", 300_000));
    let http = node.http();
    let before = processes::own_memory();
    let body = json!({"q": "Hello", "source": "en", "target": "fr"}).to_string();
    let bytes = request(
        "POST",
        "/translate",
        "Content-Type: application/json\r\n",
        &body,
    );
    let mut streams: Vec<_> = (0..REQUESTS).map(|_| http.connect()).collect();
    for stream in &mut streams {
        stream.write_all(&bytes).unwrap();
    }
    let reading = thread::spawn(move || {
        let answers = streams.iter_mut().map(read_answer);
        answers.collect::<Vec<_>>()
    });
    let mut probes = 0;
    while !reading.is_finished() || probes < 3 {
        for path in ["/live", "/ready", "/metrics", "/languages", "/health"] {
            let started = Instant::now();
            assert_eq!(http.get(path).status, 200, "{path}");
            assert!(started.elapsed() < SOON, "{path}: {:?}", started.elapsed());
        }
        probes += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let mut statuses = BTreeMap::new();
    for answer in reading.join().unwrap() {
        *statuses.entry(answer.status).or_insert(0_usize) += 1;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            let error = answer.json()["error"].clone();
            assert!(!error.as_str().unwrap().contains("Slowdown"), "{error}");
        }
    }
    let count = |status| statuses.get(&status).copied().unwrap_or(0);
    assert_eq!(count(200) + count(429), REQUESTS, "{statuses:?}");
    assert!(count(200) >= 512, "{statuses:?}");
    let grown = processes::own_memory().saturating_sub(before);
    assert!(grown < 150 << 20, "{} MiB more", grown >> 20);
    println!(
        "measured: {statuses:?}, {probes} rounds of probes, {} MiB more",
        grown >> 20
    );
    assert_eq!(
        http.post(
            "/translate",
            &json!({"q": "Hello", "source": "en", "target": "fr"})
        )
        .status,
        200
    );
}

#[test]
fn a_connection_that_was_refused_is_used_again() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let settings = settings.set("http.max_concurrent", 1);
    let node = LocalNode::start(&settings.actors(1).set("engine.fake.batch_us", 1_000_000));
    let http = node.http();
    let body = json!({"q": "Hello", "source": "en", "target": "fr"});
    let slow = thread::spawn(move || http.post("/translate", &body).status);
    wait_until("the first request is at work", PATIENCE, || {
        node.pool().jobs == 1
    });
    let text = "q=Hello&source=en&target=fr";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let last = request("POST", "/detect", form, text);
    let first = request("POST", "/translate", form, text);
    let first = String::from_utf8(first)
        .unwrap()
        .replace("Connection: close\r\n", "");
    let mut stream = http.connect();
    stream
        .write_all(&[first.as_bytes(), &last].concat())
        .unwrap();
    let both = read_answer(&mut stream);
    assert_eq!(both.status, 429, "{both:?}");
    assert!(
        both.body.contains("HTTP/1.1 "),
        "the second is answered too: {both:?}"
    );
    assert_eq!(slow.join().unwrap(), 200);
}

#[test]
fn bodies_take_no_more_memory_together_than_is_configured() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let settings = settings.set("http.max_body_bytes", 100_000);
    let node = LocalNode::start(&settings.set("http.max_buffered_bytes", 150_000));
    let http = node.http();
    let head = "POST /translate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 90000\r\n\r\n";
    let begin = format!("{head}q={}", "a".repeat(80_000));
    let mut first = http.connect();
    first.write_all(begin.as_bytes()).unwrap();
    thread::sleep(Duration::from_secs(1));
    wait_until("the first body takes its room", PATIENCE, || {
        let refused = http.raw(begin.as_bytes());
        refused.status == 429 && refused.header("retry-after").is_some()
    });
    drop(first);
    let text = json!({"q": "Hello", "source": "en", "target": "fr"});
    wait_until("there is room again", PATIENCE, || {
        http.post("/translate", &text).status == 200
    });
}

#[test]
fn a_node_that_still_loads_its_models_lives_and_says_what_is_missing() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let settings = settings.set("engine.fake.load_ms", 4_000);
    let node = LocalNode::start_cold(&settings.set("http.timeout_ms", 500));
    let http = node.http();
    let started = Instant::now();
    assert_eq!(http.get("/live").status, 200);
    assert!(started.elapsed() < SOON);
    assert_eq!(http.get("/health").json(), json!({"status": "ok"}));
    let ready = http.get("/ready");
    assert_eq!(ready.status, 503);
    let missing = ready.json()["missing"].to_string();
    assert!(missing.contains("no model has answered yet"), "{missing}");
    assert!(
        missing.contains("model demo-en-fr-de is not warm"),
        "{missing}"
    );
    let languages = http.get("/languages").json();
    assert_eq!(
        languages.as_array().unwrap().len(),
        3,
        "clients keep this list"
    );
    let text = json!({"q": "Hello", "source": "en", "target": "fr"});
    let early = http.post("/translate", &text);
    assert!(matches!(early.status, 503 | 504), "{early:?}");
    assert!(early.header("retry-after").is_some(), "{early:?}");
    node.wait_ready(PATIENCE);
    wait_until("it is ready", PATIENCE, || http.get("/ready").status == 200);
    assert_eq!(http.post("/translate", &text).status, 200);
}

/// A node in a process that listens at a port that is free.
fn start_process(sandbox: &Sandbox, settings: Settings) -> (ProcessNode, HttpClient) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = settings.set("http.listen", format_args!("\"{address}\""));
    (
        ProcessNode::start_cold(sandbox, &settings),
        HttpClient(address),
    )
}

fn wait_until_it_listens(http: HttpClient) {
    wait_until("the node listens", PATIENCE, || {
        TcpStream::connect(http.0).is_ok()
    });
}

#[test]
fn a_node_without_brokers_lives_and_refuses_requests_in_the_form_of_their_api() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node_without_broker();
    let (_node, http) = start_process(&sandbox, settings);
    wait_until_it_listens(http);
    assert_eq!(http.get("/live").json(), json!({"status": "alive"}));
    assert_eq!(http.get("/health").json(), json!({"status": "ok"}));
    let ready = http.get("/ready");
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json(),
        json!({"ready": false, "missing": ["the node is starting"]})
    );
    for (path, name) in [
        ("/translate", "error"),
        ("/v2/translate", "message"),
        ("/translate/batch", "detail"),
    ] {
        let answer = http.post(path, &json!({}));
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(answer.json()[name], "The node is starting");
    }
    assert_eq!(http.send("HEAD", "/live", "", "").status, 200);
}

#[test]
fn no_probe_is_left_without_an_answer_from_the_first_until_the_node_is_ready() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("engine.fake.load_ms", 2_000);
    let (node, http) = start_process(&sandbox, settings);
    wait_until_it_listens(http);
    let started = Instant::now();
    let mut probes = 0;
    loop {
        assert_eq!(http.get("/live").status, 200, "probe {probes}");
        let ready = http.get("/ready");
        assert!(
            matches!(ready.status, 200 | 503),
            "probe {probes}: {ready:?}"
        );
        probes += 1;
        if ready.status == 200 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{ready:?}");
    }
    let text = json!({"q": "Hello", "source": "en", "target": "fr"});
    assert_eq!(http.post("/translate", &text).status, 200);
    drop(node);
}

#[test]
fn no_client_is_told_a_path_of_the_server() {
    let sandbox = Sandbox::new();
    let settings = sandbox.faulty_node().set("http.listen", "\"127.0.0.1:0\"");
    std::fs::write(sandbox.faulty_engines().join("fail-load"), "").unwrap();
    let settings = settings.set("pool.unavailable_after_ms", 300);
    let node = LocalNode::start_cold(&settings.set("retry.attempts", 0));
    let http = node.http();
    wait_until("loading failed", PATIENCE, || node.pool().failing.is_some());
    let folder = sandbox.folder().display().to_string();
    let text = json!({"q": "Hello", "source": "en", "target": "fr"});
    let answer = http.post("/translate", &text);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(
        answer.json()["error"],
        "model demo-en-fr-de is not available: model load failed"
    );
    for path in ["/status", "/ready", "/models", "/metrics"] {
        let body = http.get(path).body;
        assert!(!body.contains(&folder), "{path}: {body}");
    }
}

#[test]
fn malformed_heads_do_not_fill_the_log() {
    let sandbox = Sandbox::new();
    let (node, http) = start_process(&sandbox, sandbox.node());
    wait_until_it_listens(http);
    wait_until("the node is ready", PATIENCE, || {
        http.get("/ready").status == 200
    });
    for _ in 0..50 {
        let _ = http.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
        let _ = http.raw(b"GET / HTTP/9.9\r\n\r\n");
    }
    assert_eq!(http.get("/live").status, 200);
    let log = node.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(lines.is_empty(), "{lines:?}");
}
