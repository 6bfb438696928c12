//! Effect of one client's large requests on another client's short sentences: their latency while the node is quiet,
//! and while ten requests of 2 MB each are being translated.
//!
//! `cargo bench -p babelmesh-integration-tests --bench fairness` after `make build`.
#![allow(clippy::print_stdout, reason = "a benchmark's report")]

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use babelmesh_integration_tests::{
    ProcessNode, Sandbox,
    http::{Answer, HttpClient},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// Requests of the client with much work; texts of each, and bytes of each text.
const LARGE: usize = 10;
const TEXTS: usize = 20;
const TEXT_BYTES: usize = 95_000;
/// Short sentences in each measurement.
const SHORT: usize = 400;
const ROUNDS: u64 = 3;
/// Between two short sentences.
const PAUSE: Duration = Duration::from_millis(20);
const WORDS: [&str; 24] = [
    "we", "will", "see", "the", "garden", "and", "old", "house", "tomorrow", "my", "friend", "has",
    "a", "new", "car", "for", "you", "today", "in", "small", "town", "with", "good", "food",
];

fn main() -> Result<()> {
    // `cargo test` runs benchmarks too, to see that they still build.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    for round in 1..=ROUNDS {
        measure(round)?;
    }
    Ok(())
}

/// One round, on a node of its own: it is killed when the short sentences are measured, the large requests with it.
fn measure(round: u64) -> Result<()> {
    let sandbox = Sandbox::new();
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = sandbox
        .node()
        .of_the_machine()
        // The large requests are meant to be translated, not to be refused.
        .set("pool.sharing.refuse_above", 0)
        .set("http.timeout_ms", 600_000)
        .set("http.requests_per_minute", 0)
        .set("http.trusted_proxies", "[\"127.0.0.0/8\"]")
        .set("http.listen", format_args!("\"{at}\""));
    let mut node = ProcessNode::start(&sandbox, &settings);
    short(at, 0)?;
    let quiet = short(at, round)?;
    let ended = Arc::new(AtomicUsize::new(0));
    for number in 0..LARGE as u64 {
        let (body, ended) = (large(round * 100 + number), Arc::clone(&ended));
        thread::spawn(move || {
            let _ = post(at, "192.0.2.1", &body);
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    let busy = short(at, round + 50)?;
    let left = LARGE - ended.load(Ordering::Relaxed);
    node.kill();
    ensure!(left > 0, "the large requests ended too early");
    println!(
        "round {round}: quiet {quiet}; with {LARGE} large requests, {left} to the end, {busy}; p99 {:.1} times, p50 {:.1} times",
        busy.p99 / quiet.p99,
        busy.p50 / quiet.p50,
    );
    Ok(())
}

/// Latencies in milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
    most: f64,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p99, most } = self;
        write!(f, "p50 {p50:.1}, p99 {p99:.1}, longest {most:.1} ms")
    }
}

fn sentence(random: &mut StdRng, words: usize) -> String {
    let words: Vec<&str> = (0..words)
        .filter_map(|_| WORDS.choose(random).copied())
        .collect();
    // A sentence ends only where the next word has a capital.
    format!("Then {}. ", words.join(" "))
}

/// Short sentences, one after the other.
fn short(at: SocketAddr, seed: u64) -> Result<Latency> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut latencies = Vec::with_capacity(SHORT);
    for _ in 0..SHORT {
        let words = random.random_range(4..9);
        let text = json!(sentence(&mut random, words));
        thread::sleep(PAUSE);
        let started = Instant::now();
        let answer = post(at, "192.0.2.2", &text);
        latencies.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.status == 200, "{answer:?}");
    }
    latencies.sort_by(f64::total_cmp);
    Ok(Latency {
        p50: latencies[SHORT / 2],
        p99: latencies[SHORT * 99 / 100],
        most: latencies[SHORT - 1],
    })
}

fn large(seed: u64) -> Value {
    let mut random = StdRng::seed_from_u64(seed);
    let texts = (0..TEXTS).map(|_| {
        let mut text = String::with_capacity(TEXT_BYTES + 100);
        while text.len() < TEXT_BYTES {
            text.push_str(&sentence(&mut random, 9));
        }
        text
    });
    json!(texts.collect::<Vec<_>>())
}

fn post(at: SocketAddr, client: &str, q: &Value) -> Answer {
    let headers = format!("Content-Type: application/json\r\nX-Forwarded-For: {client}\r\n");
    let body = json!({"q": q, "source": "en", "target": "fr"});
    HttpClient(at).send("POST", "/translate", &headers, &body.to_string())
}
