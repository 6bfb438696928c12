//! Networks that are cut between nodes and their broker. Sessions last 30 s, as by default.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Cluster, Kafka, MachineLock, Sandbox, Settings, Traffic, measured, rebalances::held,
};

use super::{RATE, SETTLE, fake, seconds, start};

/// A cut that nobody's session minds.
const SHORT: Duration = Duration::from_secs(5);
/// One after which the partitions are somebody else's.
const LONG: Duration = Duration::from_secs(60);

fn proxied(sandbox: &Sandbox) -> Option<Kafka> {
    let cluster = Cluster {
        proxied: true,
        ..Cluster::default()
    };
    Kafka::start(sandbox, cluster)
}

/// A node whose network is not cut.
fn direct(kafka: &Kafka, sandbox: &Sandbox) -> Settings {
    let address = format!("{:?}", kafka.bootstrap());
    fake(kafka, sandbox).set("kafka.bootstrap_servers", address)
}

/// Cuts the network for a while; makes sure that it is cut.
fn cut(kafka: &Kafka, during: Duration) {
    assert!(kafka.forwarded() > 0, "nodes reach the broker through it");
    kafka.cut();
    thread::sleep(Duration::from_millis(100));
    let passed = kafka.forwarded();
    thread::sleep(during - Duration::from_millis(100));
    assert_eq!(kafka.forwarded(), passed, "nothing passes");
    kafka.heal();
}

#[test]
fn a_short_cut_holds_up_what_it_cuts_and_moves_no_partition() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = proxied(&sandbox) else {
        return;
    };
    let backend = kafka.backend();
    let settings = [fake(&kafka, &sandbox), direct(&kafka, &sandbox)];
    let nodes = start(&sandbox, settings);
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(4), SETTLE);
    let before = nodes.each_ref().map(|node| node.rebalances());
    let began = Instant::now();
    cut(&kafka, SHORT);
    let healed = Instant::now();
    let resumed = traffic.wait_until_resumed(healed, SETTLE);
    let whole = traffic.look(|ids| {
        // What it had answered before may be read late.
        let cut = began + Duration::from_secs(2);
        ids.of_node_between(&nodes[0].name(), cut, healed)
    });
    assert_eq!(whole, 0, "the node that was cut off answered nothing");
    traffic.flow(Duration::from_secs(4), SETTLE);
    let after = nodes.each_ref().map(|node| node.rebalances());
    assert_eq!(after, before, "no partition moved");
    let _ = traffic.settle(SETTLE);
    measured(
        "network of one of two nodes cut for 5 s, flow resumes after it is healed",
        seconds(resumed),
    );
}

#[test]
fn a_long_cut_of_one_node_has_the_other_take_over_and_nothing_is_repeated() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = proxied(&sandbox) else {
        return;
    };
    let backend = kafka.backend();
    let settings = [fake(&kafka, &sandbox), direct(&kafka, &sandbox)];
    let nodes = start(&sandbox, settings);
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(4), SETTLE);
    let mut all: BTreeSet<_> = held(&nodes[0].rebalances());
    all.extend(held(&nodes[1].rebalances()));
    let began = Instant::now();
    cut(&kafka, LONG);
    let healed = Instant::now();
    let resumed =
        traffic.look(|ids| ids.resumed(began, babelmesh_integration_tests::Running::streams()));
    // Some of them may have gone back by now.
    let rebalances = nodes[1].rebalances();
    let came = rebalances.iter().filter(|rebalance| rebalance.assigned);
    let came: BTreeSet<_> = came.flat_map(|r| r.partitions.clone()).collect();
    assert_eq!(came, all, "the other one had them all");
    let back = traffic.wait_until_works(&nodes[0].name(), healed, SETTLE);
    traffic.flow(Duration::from_secs(4), SETTLE);
    let _ = traffic.settle(SETTLE);
    measured(
        "network of one of two nodes cut for 60 s, the node works again after it is healed",
        seconds(back),
    );
    let resumed = resumed.expect("answers came while it was cut off");
    measured(
        "network of one of two nodes cut for 60 s, flow resumes after the cut (session 30 s)",
        seconds(resumed),
    );
}

#[test]
fn a_long_cut_of_all_nodes_loses_nothing_and_repeats_nothing() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = proxied(&sandbox) else {
        return;
    };
    let backend = kafka.backend();
    let _nodes = start(&sandbox, [(); 2].map(|()| fake(&kafka, &sandbox)));
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(4), SETTLE);
    let began = Instant::now();
    cut(&kafka, LONG);
    let healed = Instant::now();
    let came = traffic.look(|ids| ids.resumed(began + Duration::from_secs(1), 1));
    assert_eq!(came, None, "nothing came meanwhile");
    let resumed = traffic.wait_until_resumed(healed, SETTLE);
    traffic.flow(Duration::from_secs(4), SETTLE);
    let _ = traffic.settle(SETTLE);
    measured(
        "network of all nodes cut for 60 s, flow resumes after it is healed",
        seconds(resumed),
    );
}
