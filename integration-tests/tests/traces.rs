//! Traces, as a real OpenTelemetry collector receives them.

mod http_requests;
mod messages;
mod peers;
mod pools;
mod unavailable_collector;

use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Record, Span, http::HttpClient, request, wait_for,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The producer's header of a trace of this number.
fn sampled(number: u64) -> (String, String) {
    let trace = format!("{number:08x}{}", &TRACE[8..]);
    (format!("00-{trace}-{PARENT}-01"), trace)
}

fn record(topic: &str, id: &str, targets: &[&str], parent: &str) -> Record {
    let body = request(id, "Good morning.", targets, "c1");
    let mut record = Record::to(topic, "", body.to_string());
    let headers = [("traceparent", parent), ("tracestate", "vendor=1")];
    let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned()));
    record.headers.extend(headers);
    record
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("{name} is missing"));
    assert!(found.next().is_none(), "{name} is there twice");
    span
}

/// Whether so many spans have a name.
fn has(spans: &[Span], name: &str, count: usize) -> bool {
    spans.iter().filter(|span| span.name == name).count() >= count
}

fn below(spans: &[Span], parent: &Span) -> Vec<Span> {
    let children = spans.iter().filter(|span| span.is_below(parent));
    children.cloned().collect()
}

/// The HTTP edge that a node tells of in its log.
fn http_of(node: &ProcessNode) -> HttpClient {
    wait_for("the node tells where it listens", PATIENCE, || {
        let log = node.log();
        let (_, rest) = log.split_once("http=\"http://")?;
        rest.split_once('/')?.0.parse().ok().map(HttpClient)
    })
}
