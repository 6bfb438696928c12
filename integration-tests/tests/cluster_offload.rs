//! Offload from a hot node to idle ones.

use std::time::{Duration, Instant};

use babelmesh_integration_tests::{
    MachineLock, PATIENCE, ProcessNode, Sandbox, Settings, Share, executables, free_addresses,
    measured, meet, wait_until,
};
use rustix::process::Signal;

/// Three nodes with brokers of their own, so that only the first one has work.
fn start(
    sandbox: &Sandbox,
    borrow: bool,
    run: impl Fn(usize, Settings) -> ProcessNode,
) -> Vec<ProcessNode> {
    let listen = free_addresses::<3>();
    let settings = |at| {
        let settings = sandbox.node().clustered(at, listen[0]).actors(1);
        settings
            .set("offload.borrow", borrow)
            .set("offload.sustain_ms", 300)
    };
    let nodes = listen.iter().map(settings).enumerate();
    let mut nodes: Vec<_> = nodes.map(|(number, s)| run(number, s)).collect();
    for node in &mut nodes {
        node.wait_ready();
    }
    meet(&nodes);
    nodes
}

/// Seconds for so many messages to be answered by the demo model, when each node has three tenths of a core.
fn seconds(borrow: bool, messages: usize) -> Option<f64> {
    let sandbox = Sandbox::new();
    let shares: Vec<_> = (0..3).map(|_| Share::of(30)).collect::<Option<_>>()?;
    let nodes = start(&sandbox, borrow, |number, settings| {
        let settings = settings
            .set("engine.kind", "ctranslate2")
            .set("engine.directory", executables::folder().display())
            .set("limits.cores", 1);
        ProcessNode::start_with(&shares[number], &sandbox, &settings)
    });
    assert!(
        shares.iter().all(|share| share.processes() >= 2),
        "nodes and engines are in their shares"
    );
    let mut backend = nodes[0].backend();
    let started = Instant::now();
    backend.ask_many(messages, &["fr"]);
    backend.read_all(Duration::from_secs(120));
    let seconds = started.elapsed().as_secs_f64();
    backend.ids.assert_exactly_once();
    let lent: u64 = nodes[1..]
        .iter()
        .map(|node| node.status().pools[0].loans.batches)
        .sum();
    assert_eq!(lent > 0, borrow, "{lent} batches were lent");
    Some(seconds)
}

#[test]
fn two_idle_peers_make_a_hot_node_faster() {
    let _turn = MachineLock::wait();
    let (Some(alone), Some(helped)) = (seconds(false, 3_000), seconds(true, 3_000)) else {
        return;
    };
    measured(
        "a hot node with three tenths of a core alone, and with two idle peers like it, 3,000 messages",
        format!(
            "{alone:.1} s and {helped:.1} s: {:.2} times",
            alone / helped
        ),
    );
    assert!(
        alone / helped >= 1.3,
        "{alone:.1} s alone, {helped:.1} s with help"
    );
}

#[test]
fn nothing_is_lost_or_repeated_when_a_peer_that_helps_is_killed() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    // Each does 200 segments a second, in batches of at most 8: as if each had one core.
    let mut nodes = start(&sandbox, true, |_, settings| {
        let settings = settings
            .set("engine.fake.segment_us", 5_000)
            .set("pool.batch.segments", 8);
        ProcessNode::start_cold(&sandbox, &settings)
    });
    let mut backend = nodes[0].backend();
    backend.ask_many(3_000, &["fr"]);
    wait_until("both peers help", PATIENCE, || {
        nodes[1..]
            .iter()
            .all(|n| n.status().pools[0].loans.in_flight > 0)
    });
    nodes[1].signal(Signal::KILL);
    nodes[1].wait(PATIENCE);
    assert!(!backend.ids.is_complete(), "it was killed in the middle");
    backend.read_all(Duration::from_secs(120));
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
}
