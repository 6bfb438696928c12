//! Clusters whose network breaks. Needs root and iproute2; `CLUSTER_NETNS_REQUIRED=1` makes their absence a failure.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use babelmesh::cluster::{MemberState, certs};
use babelmesh_integration_tests::{Network, PATIENCE, ProcessNode, Sandbox, wait_until};

/// Networks have names: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three nodes, each in a namespace, with certificates: they listen to more than loopback.
fn start(sandbox: &Sandbox, network: &Network) -> Vec<ProcessNode> {
    let folder = sandbox.folder().join("certs");
    certs::make(&folder, &NAMES.map(str::to_owned), 1).unwrap();
    let file = |file: &str| format!("{:?}", folder.join(file).display().to_string());
    let seed = format!("{}:7700", network.address(1));
    (1..=3)
        .zip(NAMES)
        .map(|(host, name)| {
            let listen = format!("{}:7700", network.address(host));
            let settings = sandbox
                .node()
                .clustered(listen, &seed)
                .set("node.name", name)
                .set("cluster.tls.ca_file", file(certs::CA))
                .set("cluster.tls.certificate_file", file(&format!("{name}.pem")))
                .set("cluster.tls.key_file", file(&format!("{name}.key")));
            ProcessNode::start_in(&network.namespace(host), sandbox, &settings)
        })
        .collect()
}

/// How many of the others a node is connected to and believes alive.
fn neighbours(node: &ProcessNode) -> usize {
    let Some(view) = node.view() else { return 0 };
    let others = view.members.iter();
    others
        .filter(|m| m.state == MemberState::Alive && m.linked)
        .count()
}

fn is_full(nodes: &[ProcessNode]) -> bool {
    nodes.iter().all(|node| {
        let members = node.view().map_or(0, |view| view.members.len());
        neighbours(node) == 2 && members == 3
    })
}

fn pids(nodes: &[ProcessNode]) -> Vec<u32> {
    nodes.iter().map(ProcessNode::pid).collect()
}

#[test]
fn a_node_that_was_cut_off_for_twenty_seconds_is_back_within_five() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(network) = Network::start(3) else {
        return;
    };
    let sandbox = Sandbox::new();
    let nodes = start(&sandbox, &network);
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    network.cut(3);
    let cut = Instant::now();
    wait_until("both sides know", Duration::from_secs(5), || {
        neighbours(&nodes[2]) == 0 && nodes[..2].iter().all(|n| neighbours(n) == 1)
    });
    let before = pids(&nodes);
    thread::sleep(Duration::from_secs(20).saturating_sub(cut.elapsed()));
    assert_eq!(neighbours(&nodes[2]), 0, "it is still cut off");
    network.heal(3);
    let healed = Instant::now();
    wait_until("all see all", Duration::from_secs(5), || is_full(&nodes));
    println!(
        "full mesh {} ms after healing",
        healed.elapsed().as_millis()
    );
    assert_eq!(pids(&nodes), before, "nobody was restarted");
}

#[test]
fn a_link_that_flaps_for_a_minute_leaves_no_stale_member() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(network) = Network::start(3) else {
        return;
    };
    let sandbox = Sandbox::new();
    let nodes = start(&sandbox, &network);
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let started = Instant::now();
    let (mut flaps, mut missed) = (0_u64, 0);
    while started.elapsed() < Duration::from_secs(60) {
        // From a blink to longer than a node is missed.
        let silence = 200 + flaps * 977 % 5_000;
        network.cut(2);
        thread::sleep(Duration::from_millis(silence));
        missed += usize::from(neighbours(&nodes[0]) < 2);
        network.heal(2);
        thread::sleep(Duration::from_millis(100 + flaps * 613 % 1_500));
        flaps += 1;
    }
    println!("{flaps} cuts, {missed} of them were noticed");
    assert!(missed > 0, "the link did flap");
    wait_until("all see all", Duration::from_secs(5), || is_full(&nodes));
    for _ in 0..50 {
        assert!(is_full(&nodes), "it stays so: {:?}", nodes[0].view());
        thread::sleep(Duration::from_millis(100));
    }
}
