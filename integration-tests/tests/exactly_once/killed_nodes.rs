//! Nodes that are killed, or sleep through their session.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use babelmesh::load::everyday;
use babelmesh_integration_tests::{
    Cluster, Kafka, MachineLock, Sandbox, SeededRng, Traffic, executables, is_long, measured,
    processes, wait_until,
};
use rustix::process::Signal;

use super::{RATE, SETTLE, fake, seconds, short_lived, start};

/// How often a node is killed.
fn kills_wanted() -> usize {
    if is_long() { 50 } else { 25 }
}

const NODES: usize = 3;

#[test]
fn nodes_that_are_killed_at_random_lose_nothing_and_repeat_nothing() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::wait();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let backend = kafka.backend();
    let settings = [(); NODES].map(|()| {
        short_lived(kafka.node(sandbox.node()))
            .set("engine.kind", "ctranslate2")
            .set("engine.directory", executables::folder().display())
            .actors(1)
    });
    let mut nodes = start(&sandbox, settings);
    let wanted = kills_wanted();
    let mut chance = SeededRng::of("kill -9 of nodes");
    let traffic = Traffic::of(RATE).texts(everyday()).start(backend);
    traffic.flow(Duration::from_secs(2), SETTLE);
    let started = Instant::now();
    // When a node that was killed comes back.
    let mut back: [Option<Instant>; NODES] = [None; NODES];
    let (mut kills, mut at_work, mut engines) = (0, 0, Vec::new());
    let mut next = Instant::now();
    while kills < wanted || back.iter().any(Option::is_some) {
        let now = Instant::now();
        for (node, back) in nodes.iter_mut().zip(&mut back) {
            if back.is_some_and(|at| at <= now) {
                node.start_again();
                *back = None;
            }
        }
        let victim = chance.number(0..NODES);
        if kills < wanted && next <= now && back[victim].is_none() {
            let node = &mut nodes[victim];
            let reads = node.try_status().is_some_and(|s| s.jobs.partitions > 0);
            at_work += usize::from(reads);
            engines.extend(node.engines());
            node.kill();
            kills += 1;
            // Some stay away for longer than their session: the others take over.
            let away = match chance.one_in(10) {
                true => chance.millis(7_000..9_000),
                false => chance.millis(0..800),
            };
            back[victim] = Some(now + away);
            next = now + chance.millis(300..3_000);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let (last, during) = (Instant::now(), started.elapsed());
    let (asked, answered) = traffic.look(|ids| (ids.asked(), ids.answered()));
    let resumed = traffic.wait_until_resumed(last, SETTLE);
    let ids = traffic.settle(SETTLE);
    println!(
        "{at_work} of {kills} nodes were at work when killed; {answered} of {asked} answered at the last kill"
    );
    assert_eq!(kills, wanted);
    assert!(at_work * 3 > kills, "only {at_work} nodes were at work");
    assert!(
        answered * 5 > asked,
        "hardly anything flowed while nodes were killed"
    );
    assert!(engines.iter().all(|pid| !processes::is_alive(*pid)));
    let workers: BTreeSet<_> = ids.all().map(|answer| &answer.result.node).collect();
    assert_eq!(workers.len(), NODES, "all nodes have worked");
    assert!(
        ids.all()
            .all(|answer| answer.result.model_id == "demo-en-fr-de")
    );
    measured(
        &format!("{wanted} random kill -9 of nodes, kills within"),
        seconds(during),
    );
    measured(
        &format!("{wanted} random kill -9 of nodes, answers (lost 0, repeated 0, in order)"),
        ids.answered(),
    );
    measured(
        &format!("{wanted} random kill -9 of nodes, flow resumes after the last return"),
        seconds(resumed),
    );
}

#[test]
fn a_node_that_wakes_up_after_its_partitions_were_given_away_repeats_nothing() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let backend = kafka.backend();
    let nodes = start(
        &sandbox,
        [(); 2].map(|()| short_lived(fake(&kafka, &sandbox))),
    );
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(2), SETTLE);
    let before = nodes[1].rebalances().len();
    nodes[0].signal(Signal::STOP);
    let stopped = Instant::now();
    wait_until("the node is stopped", Duration::from_secs(5), || {
        processes::state(nodes[0].pid()) == Some('T')
    });
    measured(
        "node stopped (SIGSTOP) past its session of 6 s, flow resumes",
        seconds(traffic.wait_until_resumed(stopped, SETTLE)),
    );
    assert!(
        nodes[1].rebalances().len() > before,
        "the other node took over"
    );
    thread::sleep(Duration::from_secs(3));
    nodes[0].signal(Signal::CONT);
    traffic.flow(Duration::from_secs(4), SETTLE);
    let _ = traffic.settle(SETTLE);
}
