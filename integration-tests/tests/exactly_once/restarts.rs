//! Nodes that are restarted one after another, as for an upgrade.

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Cluster, Kafka, MachineLock, PATIENCE, ProcessNode, Sandbox, Traffic, measured,
    rebalances::held, wait_until,
};

use super::{RATE, SETTLE, fake, seconds, start};

/// Topics of jobs and requests, four partitions each.
const PARTITIONS: usize = 5 * 4;

/// Restarts a node; returns how long its partitions rested. No other node may notice.
fn restart(
    nodes: &mut [ProcessNode],
    victim: usize,
    end: impl Fn(&mut ProcessNode),
    traffic: &babelmesh_integration_tests::Running,
) -> Duration {
    let others = |nodes: &[ProcessNode]| -> Vec<_> {
        let others = nodes.iter().enumerate().filter(|(i, _)| *i != victim);
        others.map(|(_, node)| node.rebalances()).collect()
    };
    let (before, own) = (others(nodes), held(&nodes[victim].rebalances()));
    assert!(!own.is_empty(), "the node has partitions");
    let (began, pid) = (Instant::now(), nodes[victim].pid());
    end(&mut nodes[victim]);
    nodes[victim].start_again();
    nodes[victim].wait_ready();
    assert_ne!(nodes[victim].pid(), pid, "it is another process");
    let resumed = traffic.wait_until_resumed(began, SETTLE);
    assert_eq!(
        held(&nodes[victim].rebalances()),
        own,
        "it has its partitions again"
    );
    assert_eq!(others(nodes), before, "the other nodes noticed nothing");
    resumed
}

#[test]
fn nodes_that_are_restarted_one_after_another_move_no_partition() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let backend = kafka.backend();
    let mut nodes = start(&sandbox, [(); 3].map(|()| fake(&kafka, &sandbox)));
    wait_until("all partitions are given", PATIENCE, || {
        let of = |node: &ProcessNode| held(&node.rebalances()).len();
        nodes.iter().map(of).sum::<usize>() == PARTITIONS
    });
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(3), SETTLE);
    let stop = |node: &mut ProcessNode| node.stop(PATIENCE);
    let mut longest = Duration::ZERO;
    for victim in 0..nodes.len() {
        longest = longest.max(restart(&mut nodes, victim, stop, &traffic));
        thread::sleep(Duration::from_secs(1));
    }
    let killed = restart(&mut nodes, 0, ProcessNode::kill, &traffic);
    let _ = traffic.settle(SETTLE);
    measured(
        "rolling restart of three nodes, flow resumes after each stop within",
        seconds(longest),
    );
    measured(
        "node killed and started again at once, flow resumes after the kill",
        seconds(killed),
    );
}
