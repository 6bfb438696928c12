//! Nodes that are killed, told to stop, or cannot start.

use std::time::{Duration, Instant};

use babelmesh_integration_tests::{
    Backend, Broker, Ids, PATIENCE, ProcessNode, Sandbox,
    faults::{HANG, SLOW},
    processes, request, wait_until,
};
use rustix::process::Signal;

fn ask_slowly(backend: &mut Backend, messages: usize) {
    for number in 0..messages {
        let text = if number % 8 == 0 {
            format!("{SLOW} {number}")
        } else {
            format!("plain {number}")
        };
        backend.ask(&request(
            &format!("m{number}"),
            &text,
            &["fr"],
            &format!("c{}", number % 10),
        ));
    }
    backend.flush();
}

fn assert_dead_within(pids: &[u32], within: Duration) {
    let started = Instant::now();
    for pid in pids {
        let left = within.saturating_sub(started.elapsed());
        wait_until("the engine is dead", left, || !processes::is_alive(*pid));
    }
}

#[test]
fn engines_die_with_a_node_that_is_killed() {
    let sandbox = Sandbox::new();
    let slow = sandbox
        .faulty_node()
        .actors(3)
        .set("engine.batch_timeout_ms", 600_000);
    let mut node = ProcessNode::start(&sandbox, &slow);
    let engines = node.engines();
    assert_eq!(engines.len(), 3, "one process an actor");
    let mut told: Vec<_> = node.status().pools[0]
        .actors
        .iter()
        .filter_map(|actor| actor.pid)
        .collect();
    told.sort_unstable();
    assert_eq!(told, engines, "status and system agree");
    // One is busy for ever, one of the others is stopped, the third has nothing to do.
    let mut backend = node.backend();
    backend.ask(&request("m", HANG, &["fr"], "c"));
    backend.flush();
    let mut busy = None;
    wait_until("an actor is busy", PATIENCE, || {
        let status = node.status();
        let actor = status.pools[0]
            .actors
            .iter()
            .find(|actor| format!("{:?}", actor.phase) == "Busy");
        busy = actor.and_then(|actor| actor.pid);
        busy.is_some()
    });
    let stopped = *engines.iter().find(|pid| Some(**pid) != busy).unwrap();
    processes::signal(stopped, Signal::STOP);
    wait_until("an engine is stopped", PATIENCE, || {
        processes::state(stopped) == Some('T')
    });
    node.signal(Signal::KILL);
    node.wait(PATIENCE);
    assert_dead_within(&engines, Duration::from_secs(3));
    assert!(node.engines().is_empty());
}

#[test]
fn work_of_a_killed_node_is_translated_by_another_one() {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    let mut first = ProcessNode::start(&sandbox, &broker.node(sandbox.faulty_node().actors(2)));
    let mut backend = broker.backend();
    ask_slowly(&mut backend, 240);
    assert!(backend.read_until(PATIENCE, |ids| ids.answered() > 40));
    let engines = first.engines();
    first.signal(Signal::KILL);
    first.wait(PATIENCE);
    assert_dead_within(&engines, Duration::from_secs(3));
    backend.read_until(Duration::from_secs(1), |_| false);
    let answered = backend.ids.answered();
    assert!(answered < 240, "it was killed in the middle of its work");
    let second = ProcessNode::start_cold(&sandbox, &broker.node(sandbox.faulty_node().actors(2)));
    backend.read_all(PATIENCE);
    backend.ids.assert_nothing_lost();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    drop(second);
}

/// A node that is told to stop finishes what it has read; the next one does the rest, and nothing twice.
fn stop_under_load(signal: Signal) {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    // Little is read at a time, so that something is left for the next node.
    let settings = || {
        let settings = broker
            .node(sandbox.faulty_node().actors(2))
            .set("node.drain_timeout_ms", 30_000);
        settings
            .set("intake.high_water_tokens", 4_000)
            .set("intake.low_water_tokens", 2_000)
    };
    let mut first = ProcessNode::start(&sandbox, &settings());
    let mut backend = broker.backend();
    ask_slowly(&mut backend, 480);
    assert!(backend.read_until(PATIENCE, |ids| ids.answered() > 40));
    let engines = first.engines();
    assert_eq!(engines.len(), 2);
    first.signal(signal);
    let status = first.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", first.log());
    assert_dead_within(&engines, Duration::from_secs(1));
    backend.read_until(Duration::from_secs(1), Ids::is_complete);
    assert!(
        !backend.ids.is_complete(),
        "it was stopped in the middle of the work"
    );
    let second = ProcessNode::start_cold(&sandbox, &settings());
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    drop(second);
}

#[test]
fn a_node_that_is_terminated_publishes_what_it_has_read_and_commits_it() {
    stop_under_load(Signal::TERM);
}

#[test]
fn a_node_that_is_interrupted_publishes_what_it_has_read_and_commits_it() {
    stop_under_load(Signal::INT);
}

#[test]
fn a_second_signal_ends_a_node_at_once_unless_it_comes_with_the_first() {
    let sandbox = Sandbox::new();
    let slow = sandbox
        .faulty_node()
        .actors(2)
        .set("engine.batch_timeout_ms", 600_000);
    let mut node = ProcessNode::start(&sandbox, &slow.set("node.drain_timeout_ms", 60_000));
    let mut backend = node.backend();
    backend.ask(&request("m", HANG, &["fr"], "c"));
    backend.flush();
    wait_until("an actor is busy", PATIENCE, || {
        node.status().pools[0].jobs > 0
    });
    let engines = node.engines();
    node.signal(Signal::TERM);
    wait_until("the node is draining", PATIENCE, || {
        node.log().contains("draining")
    });
    // A supervisor may signal the process and its group: that is one order.
    node.signal(Signal::TERM);
    node.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(processes::is_alive(node.pid()), "it waits for the batch");
    let told = Instant::now();
    node.signal(Signal::TERM);
    let status = node.wait(Duration::from_secs(5));
    println!(
        "ended {} ms after the second signal",
        told.elapsed().as_millis()
    );
    assert_eq!(status.code(), Some(1));
    assert!(node.log().contains("second stop signal"), "{}", node.log());
    assert_dead_within(&engines, Duration::from_secs(3));
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node_without_broker();
    let mut node =
        ProcessNode::start_cold(&sandbox, &settings.set("kafka.startup_timeout_ms", 1_500));
    let started = Instant::now();
    let status = node.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1));
    assert!(
        started.elapsed() > Duration::from_secs(1),
        "it waits for the broker for a while"
    );
    let log = node.log();
    assert!(
        log.contains("no Kafka broker answers at 127.0.0.1:1 within 1500 ms"),
        "{log}"
    );
}
