//! Transient failures are retried within the deadline; late requests are answered and not translated.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use babelmesh_actors::events::Event;
use babelmesh_integration_tests::{
    Backend, Broker, LocalNode, PATIENCE, Sandbox, Settings, faults::FAIL_LOAD, request, wait_until,
};

/// A node whose engines cannot load while the file is there, which it notices soon.
fn broken_node(
    sandbox: &Sandbox,
    change: impl FnOnce(Settings) -> Settings,
) -> (LocalNode, PathBuf) {
    let fail = sandbox.faulty_engines().join(FAIL_LOAD);
    fs::write(&fail, "").unwrap();
    let settings = sandbox
        .faulty_node()
        .actors(2)
        .set("pool.restart_initial_backoff_ms", 20)
        .set("pool.restart_max_backoff_ms", 200)
        .set("pool.unavailable_after_ms", 300)
        .set("retry.initial_backoff_ms", 100)
        .set("retry.max_backoff_ms", 400);
    let node = LocalNode::start_cold(&change(settings));
    wait_until("the node reads", PATIENCE, || {
        let status = node.status();
        status.requests.partitions > 0 && status.jobs.partitions > 0
    });
    (node, fail)
}

fn ask(backend: &mut Backend, ids: std::ops::Range<u32>, deadline_ms: Option<u64>) {
    for number in ids {
        let conversation = format!("c{}", number % 5);
        let mut request = request(&format!("m{number}"), "hello", &["fr"], &conversation);
        if let Some(deadline) = deadline_ms {
            request["deadlineMs"] = deadline.into();
        }
        backend.ask(&request);
    }
    backend.flush();
}

const fn is_retry(event: &Event) -> bool {
    matches!(event, Event::JobsRetried { .. })
}

#[test]
fn failures_of_an_unavailable_model_are_translated_once_it_is_back() {
    let sandbox = Sandbox::new();
    let (node, fail) = broken_node(&sandbox, |settings| settings.set("retry.attempts", 100));
    let mut backend = node.backend();
    ask(&mut backend, 0..50, None);
    ask(&mut backend, 50..100, Some(60_000));
    wait_until("jobs are tried again", PATIENCE, || {
        node.events().count(is_retry) >= 4
    });
    assert!(node.events().failures()[0].0.contains("told to fail"));
    backend.read_until(Duration::from_millis(100), |_| false);
    assert_eq!(backend.ids.answered(), 0, "nobody is told of a failure yet");
    fs::remove_file(&fail).unwrap();
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.answered(), 100);
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    for conversation in 0..5 {
        let order = backend.ids.in_order().iter();
        let numbers = order.map(|(id, _)| id[1..].parse::<u32>().unwrap());
        let numbers: Vec<_> = numbers.filter(|n| n % 5 == conversation).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[test]
fn a_deadline_that_is_shorter_than_the_outage_is_answered_in_time() {
    const DEADLINE: u64 = 1_500;
    let sandbox = Sandbox::new();
    let (node, fail) = broken_node(&sandbox, |settings| settings);
    let mut backend = node.backend();
    ask(&mut backend, 0..40, Some(DEADLINE));
    backend.read_all(PATIENCE);
    assert!(node.events().count(is_retry) >= 1, "they were tried again");
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        let error = answer.error();
        assert!(
            ["deadline_exceeded", "model_unavailable"].contains(&error),
            "{error}"
        );
    }
    let slowest = *backend.ids.latencies(|_| true).last().unwrap();
    // The pool looks at deadlines ten times a second; the rest is the way to the results and a busy machine.
    assert!(slowest < 10.0, "answered after {slowest:.1} s");
    // Nothing is left that the engines would be given when they are back.
    fs::remove_file(&fail).unwrap();
    node.wait_for_strength(2);
    assert_eq!(node.pool().jobs, 0);
    ask(&mut backend, 40..41, None);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.of("m40", "fr").text(), "fr:hello");
    assert_eq!(node.pool().translated, 1, "of all, only the last one");
}

#[test]
fn a_node_that_stops_does_not_wait_for_the_next_try() {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    let (node, _fail) = broken_node(&sandbox, |settings| {
        broker
            .node(settings)
            .set("retry.initial_backoff_ms", 600_000)
            .set("retry.max_backoff_ms", 600_000)
            .set("node.drain_timeout_ms", 30_000)
    });
    let mut backend = broker.backend();
    ask(&mut backend, 0..20, None);
    wait_until("all jobs wait to be tried again", PATIENCE, || {
        let retried = |event: &Event| match event {
            Event::JobsRetried { jobs, .. } => Some(*jobs),
            _ => None,
        };
        let waiting = node.events().all(retried).into_iter();
        waiting.map(|(_, jobs)| jobs).sum::<usize>() == 20
    });
    let told = Instant::now();
    node.drain();
    let took = told.elapsed();
    assert!(took < Duration::from_secs(10), "the drain took {took:?}");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(
        backend
            .ids
            .all()
            .all(|answer| answer.error() == "model_unavailable")
    );
}
