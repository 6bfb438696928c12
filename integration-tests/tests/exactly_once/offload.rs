//! Batches that one node works on for another, when either of them dies. Offsets and answers stay with the node that lent them.

use std::time::Duration;

use babelmesh_integration_tests::{
    Cluster, Kafka, MachineLock, PATIENCE, ProcessNode, Sandbox, free_addresses, measured, meet,
    rebalances::held, wait_for, wait_until,
};

use super::{SETTLE, fake, short_lived};

const MESSAGES: usize = 4_000;

fn reads_french(node: &ProcessNode) -> bool {
    let held = held(&node.rebalances());
    held.iter().any(|(topic, _)| topic.ends_with(".jobs.fr"))
}

/// Whether it works on a batch of another node at this moment.
fn helps(node: &ProcessNode) -> bool {
    let status = node.try_status();
    status.is_some_and(|s| s.pools.iter().any(|pool| pool.loans.in_flight > 0))
}

#[test]
fn a_helper_and_then_the_owner_are_killed_during_offload() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    // One node reads all that is hot, the others have nothing to do.
    kafka.create_topics(1);
    let listen = free_addresses::<3>();
    let mut nodes = listen.map(|at| {
        let settings = short_lived(fake(&kafka, &sandbox)).clustered(at, listen[0]);
        // As if each had one core: 200 segments a second, in small batches.
        let settings = settings
            .actors(1)
            .set("engine.fake.segment_us", 5_000)
            .set("pool.batch.segments", 8)
            .set("offload.sustain_ms", 300);
        ProcessNode::start_cold(&sandbox, &settings)
    });
    meet(&nodes);
    wait_until("somebody reads", PATIENCE, || {
        nodes.iter().any(reads_french)
    });
    let mut backend = kafka.backend();
    backend.ask_many(MESSAGES, &["fr"]);
    let helper = wait_for("both others help", PATIENCE, || {
        let owner = nodes.iter().position(reads_french)?;
        let others = (0..3).filter(|number| *number != owner);
        let helping: Vec<_> = others.filter(|number| helps(&nodes[*number])).collect();
        (helping.len() == 2).then(|| helping[0])
    });
    nodes[helper].kill();
    let owner = nodes.iter().position(reads_french);
    let owner = owner.expect("the helper that was killed was not the owner");
    let other = 3 - owner - helper;
    wait_until("the other one helps", PATIENCE, || helps(&nodes[other]));
    nodes[owner].kill();
    backend.read_until(Duration::from_millis(100), |_| false);
    assert!(!backend.ids.is_complete(), "they died in the middle");
    backend.read_all(SETTLE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    measured(
        "a helper and then the owner are killed while batches are lent, answers (lost 0, repeated 0)",
        backend.ids.answered(),
    );
}
