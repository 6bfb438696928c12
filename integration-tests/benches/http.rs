//! Latency of the HTTP edge: single sentences to a node with the demo model, at a fixed rate, each on a connection of its own. Latency counts
//! from the moment a request was due, so a stall of this program is not hidden.
//!
//! `cargo bench -p babelmesh-integration-tests --bench http` after `make build`; `-- RATE SECONDS` for others than 100 a second and 30 s.
#![allow(clippy::print_stdout, reason = "a benchmark's report")]

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use babelmesh::load::everyday;
use babelmesh_integration_tests::{ProcessNode, Sandbox, http::HttpClient};
use serde_json::json;

/// Requests that can be under way at once.
const CLIENTS: usize = 64;
/// Seconds at the same rate before anything counts.
const WARM_UP: f64 = 5.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs benchmarks too, to see that they still build.
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<f64>().ok());
    let (rate, seconds) = (
        numbers.next().unwrap_or(100.0),
        numbers.next().unwrap_or(30.0),
    );
    let sandbox = Sandbox::new();
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = sandbox
        .node()
        .of_the_machine()
        .set("http.requests_per_minute", 0)
        .set("http.listen", format_args!("\"{at}\""));
    let node = ProcessNode::start(&sandbox, &settings);
    run(at, rate, WARM_UP);
    let (mut latencies, failed) = run(at, rate, seconds);
    latencies.sort_unstable();
    ensure!(!latencies.is_empty(), "no request was answered");
    let quantile = |q: f64| {
        let index = (latencies.len() as f64 * q) as usize;
        latencies[index.min(latencies.len() - 1)].as_secs_f64() * 1e3
    };
    println!(
        "{rate:.0} requests/s for {seconds:.0} s: {} answered, {failed} failed; p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, most {:.0} ms",
        latencies.len(),
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        quantile(1.0),
    );
    drop(node);
    Ok(())
}

/// Latencies of the requests that were answered, and the number of those that were not.
fn run(at: std::net::SocketAddr, rate: f64, seconds: f64) -> (Vec<Duration>, usize) {
    let texts = everyday();
    let (next, count) = (AtomicUsize::new(0), (rate * seconds) as usize);
    let started = Instant::now();
    let client = || {
        let (mut latencies, mut failed) = (Vec::new(), 0);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return (latencies, failed);
            }
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let target = ["fr", "de"][number % 2];
            let text = &texts[number % texts.len()];
            let body = json!({"q": text, "source": "en", "target": target});
            match HttpClient(at).post("/translate", &body).status {
                200 => latencies.push(due.elapsed()),
                _ => failed += 1,
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let mut all = (Vec::with_capacity(count), 0);
        for client in clients {
            let (latencies, failed) = client.join().unwrap_or_default();
            all.0.extend(latencies);
            all.1 += failed;
        }
        all
    })
}
