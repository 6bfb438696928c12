//! A collector that is unavailable or never answers costs a node neither service nor memory.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, free_address, http::HttpClient, request, wait_until,
};
use rustix::process::Signal;

use super::http_of;

/// Bytes of memory that a process has resident.
fn resident(node: &ProcessNode) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn dropped(http: HttpClient) -> f64 {
    let page = http.get("/metrics").body;
    let lines = page
        .lines()
        .filter(|l| l.starts_with("babelmesh_spans_dropped_total{"));
    lines
        .map(|l| l.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

/// A node that traces everything for a collector that is of no use.
fn serve_without(endpoint: &str, protocol: &str) {
    let sandbox = Sandbox::new();
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("telemetry.traces.endpoint", endpoint)
        .set("telemetry.traces.protocol", protocol)
        .set("telemetry.traces.sampling_ratio", 1)
        .set("telemetry.traces.export_timeout_ms", 1_000)
        .set("telemetry.traces.queue_spans", 1_024)
        .set("telemetry.traces.batch_spans", 128);
    let mut node = ProcessNode::start(&sandbox, &settings);
    let http = http_of(&node);
    let mut backend = node.backend();
    let (started, mut sizes) = (Instant::now(), Vec::new());
    for round in 0..5 {
        for number in 0..2_000 {
            let id = format!("{round}-{number}");
            backend.ask(&request(
                &id,
                "Good morning.",
                &["fr"],
                &format!("c{number}"),
            ));
        }
        backend.read_all(PATIENCE);
        sizes.push(resident(&node));
    }
    backend.ids.assert_exactly_once();
    let page = http.get("/metrics").body;
    assert!(
        page.contains("babelmesh_spans_exported_total 0\n"),
        "{page}"
    );
    // Each message has ten spans or so.
    wait_until("drops are counted", PATIENCE, || dropped(http) > 50_000.0);
    let grown = sizes[4].saturating_sub(sizes[1]);
    assert!(grown < 64 << 20, "it grew by {grown} bytes: {sizes:?}");
    let told = node.log().matches("dropping spans").count();
    let most = usize::try_from(started.elapsed().as_secs() / 30).unwrap() + 2;
    assert!(
        (1..=most).contains(&told),
        "told {told} times: {}",
        node.log()
    );
    let stopping = Instant::now();
    node.signal(Signal::TERM);
    assert!(node.wait(PATIENCE).success());
    let took = stopping.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?} to stop");
}

#[test]
fn a_collector_that_is_away_costs_neither_service_nor_memory() {
    let endpoint = format!("http://{}", free_address());
    serve_without(&endpoint, "grpc");
    serve_without(&endpoint, "http");
}

#[test]
fn a_collector_that_never_answers_costs_neither_service_nor_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // It reads, and says nothing.
            thread::spawn(move || stream.unwrap().read_to_end(&mut Vec::new()));
        }
    });
    serve_without(&endpoint, "grpc");
}
