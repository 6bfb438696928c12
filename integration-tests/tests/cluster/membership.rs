//! Discovery and failure detection: nodes find each other and notice a killed node.

use std::time::{Duration, Instant};

use babelmesh::cluster::MemberState;
use babelmesh_integration_tests::{PATIENCE, ProcessNode, Sandbox, wait_until};
use rustix::process::Signal;

use super::{answers, cli, is_full, start, state_of};

#[test]
fn five_nodes_see_each_other_within_three_seconds_and_a_killed_one_is_seen_by_all_within_five() {
    let sandbox = Sandbox::new();
    let mut nodes = start(&sandbox, 5);
    wait_until("all nodes answer", PATIENCE, || answers(&nodes));
    let started = Instant::now();
    wait_until("all see all", Duration::from_secs(3), || is_full(&nodes));
    println!(
        "full mesh {} ms after all answer",
        started.elapsed().as_millis()
    );
    let mut killed = nodes.remove(2);
    killed.signal(Signal::KILL);
    killed.wait(PATIENCE);
    let (name, started) = (killed.name(), Instant::now());
    wait_until("all know it", Duration::from_secs(5), || {
        nodes
            .iter()
            .all(|n| state_of(n, &name) == Some(MemberState::Down))
    });
    println!("seen by all after {} ms", started.elapsed().as_millis());
    let (good, text) = cli(&["status", "--cluster"], nodes[3].socket());
    assert!(
        good && text.contains("4 of 5 nodes up") && text.contains("down"),
        "{text}"
    );
    let (good, text) = cli(&["top", "--once"], nodes[0].socket());
    assert!(
        good && text.contains(&name) && text.contains("demo-en-fr-de"),
        "{text}"
    );
    // It comes back under its name, with its old address.
    let back = ProcessNode::start_cold(&sandbox, killed.settings());
    nodes.push(back);
    wait_until("it is back", PATIENCE, || is_full(&nodes));
}
