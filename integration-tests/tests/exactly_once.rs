//! Delivery on a real broker while nodes and brokers are killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Backend, Cluster, Kafka, ProcessNode, Sandbox, Settings, processes, request, wait_until,
};
use rustix::process::Signal;

/// How long everything may take to be answered after the last fault.
const SETTLE: Duration = Duration::from_secs(90);
/// Messages a second.
const RATE: u64 = 100;

/// A node whose group notices after seconds that it is gone. Its engine marks texts: what is tested is delivery.
fn node(kafka: &Kafka, sandbox: &Sandbox) -> Settings {
    kafka
        .node(sandbox.node())
        .set("engine.fake.batch_us", 5_000)
        .set("kafka.session_timeout_ms", 6_000)
        .set("kafka.transaction_timeout_ms", 5_000)
}

/// Publishes at the rate for a while and reads answers meanwhile.
fn flow(backend: &mut Backend, number: &mut u64, during: Duration) {
    let (started, first) = (Instant::now(), *number);
    while started.elapsed() < during {
        let due = first + (started.elapsed().as_secs_f64() * RATE as f64) as u64;
        while *number < due {
            let target = if number.is_multiple_of(2) { "fr" } else { "de" };
            let conversation = format!("c{}", *number % 20);
            let text = format!("text {number}");
            backend.ask(&request(
                &format!("m{number}"),
                &text,
                &[target],
                &conversation,
            ));
            *number += 1;
        }
        backend.read_until(Duration::from_millis(10), |_| false);
    }
}

fn kill(node: &mut ProcessNode) {
    let pid = node.pid();
    node.signal(Signal::KILL);
    node.wait(Duration::from_secs(5));
    assert!(!processes::is_alive(pid), "the node is dead");
}

#[test]
fn nodes_that_are_killed_lose_nothing_and_repeat_nothing() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings: Vec<_> = (0..2).map(|_| node(&kafka, &sandbox)).collect();
    let mut nodes: Vec<_> = settings
        .iter()
        .map(|settings| ProcessNode::start(&sandbox, settings))
        .collect();
    let mut number = 0;
    for round in 0..8 {
        flow(&mut backend, &mut number, Duration::from_millis(1_500));
        let victim = round % nodes.len();
        kill(&mut nodes[victim]);
        nodes[victim] = ProcessNode::start_cold(&sandbox, &settings[victim]);
    }
    backend.read_all(SETTLE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
}

#[test]
fn a_node_that_wakes_up_after_its_partitions_were_given_away_repeats_nothing() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings: Vec<_> = (0..2).map(|_| node(&kafka, &sandbox)).collect();
    let nodes: Vec<_> = settings
        .iter()
        .map(|settings| ProcessNode::start(&sandbox, settings))
        .collect();
    let mut number = 0;
    flow(&mut backend, &mut number, Duration::from_secs(2));
    nodes[0].signal(Signal::STOP);
    wait_until("the node is stopped", Duration::from_secs(5), || {
        processes::state(nodes[0].pid()) == Some('T')
    });
    // Longer than the session: the other node takes over.
    flow(&mut backend, &mut number, Duration::from_secs(12));
    nodes[0].signal(Signal::CONT);
    flow(&mut backend, &mut number, Duration::from_secs(3));
    backend.read_all(SETTLE);
    backend.ids.assert_exactly_once();
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_nothing_but_time() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let nodes = [(); 2].map(|()| ProcessNode::start(&sandbox, &node(&kafka, &sandbox)));
    let mut number = 0;
    flow(&mut backend, &mut number, Duration::from_secs(2));
    let broker = kafka.pid(1).expect("the broker runs");
    kafka.kill(1);
    assert!(!processes::is_alive(broker), "the broker is dead");
    thread::sleep(Duration::from_secs(3));
    kafka.start_broker(1);
    let back = Instant::now();
    let before = backend.ids.answered();
    flow(&mut backend, &mut number, Duration::from_secs(1));
    backend.read_until(SETTLE, |ids| ids.answered() > before);
    println!(
        "answers again {} ms after the broker",
        back.elapsed().as_millis()
    );
    backend.read_all(SETTLE);
    backend.ids.assert_exactly_once();
    drop(nodes);
}
