//! Nodes that join and leave.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant, SystemTime},
};

use babelmesh_integration_tests::{
    Answer, Cluster, Ids, Kafka, MachineLock, PATIENCE, ProcessNode, Sandbox, SeededRng, Traffic,
    is_long, measured,
    rebalances::{Partition, Rebalance, moved_and_returned, touched},
};

use super::{RATE, SETTLE, fake, seconds, start};

/// How long nodes come and go.
fn during() -> Duration {
    Duration::from_secs(if is_long() { 120 } else { 60 })
}

/// Longest time without an answer in a partition that has one every 20 ms on average and stays where it is: far below the seconds that a
/// partition would rest if every rebalance stopped everything.
const STEADY: Duration = Duration::from_secs(3);

/// Longest time for a partition that moves: far below the session of 30 s that it would wait for if a node that leaves did not get to tell the group.
const MOVING: Duration = Duration::from_secs(15);

/// A node that is there or not.
struct Visitor {
    node: ProcessNode,
    here: bool,
    next: Instant,
}

/// Longest time without an answer in partitions that moved meanwhile and in those that did not, of times while `within`.
fn longest_gaps(
    ids: &Ids,
    jobs: &str,
    rebalances: &[Rebalance],
    within: (Instant, Instant),
) -> (Duration, Duration) {
    let (now, clock) = (Instant::now(), SystemTime::now());
    let time = |at: Instant| clock - now.saturating_duration_since(at);
    // A result is in the partition of the same number as its job: they have the same key.
    let mut answers: HashMap<Partition, Vec<&Answer>> = HashMap::new();
    for answer in ids.all() {
        let topic = format!("{jobs}.{}", answer.result.target_language);
        let partition = (topic, answer.record.partition);
        answers.entry(partition).or_default().push(answer);
    }
    assert_eq!(answers.len(), 8, "answers come in all partitions");
    let (mut moved, mut stayed) = (Duration::ZERO, Duration::ZERO);
    for (partition, answers) in &mut answers {
        answers.sort_by_key(|answer| answer.at);
        for pair in answers.windows(2) {
            let (from, until) = (pair[0].at, pair[1].at);
            if from < within.0 || until > within.1 {
                continue;
            }
            let gap = until - from;
            let longest = match touched(rebalances, partition, time(from), time(until)) {
                true => &mut moved,
                false => &mut stayed,
            };
            if gap > *longest {
                *longest = gap;
            }
        }
    }
    (moved, stayed)
}

#[test]
fn only_partitions_that_move_pause_when_nodes_join_and_leave() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::wait();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let backend = kafka.backend();
    let jobs = backend.topics.jobs.clone();
    let dynamic = || fake(&kafka, &sandbox).set("kafka.static_membership", false);
    let [steady, first, second] = start(&sandbox, [(); 3].map(|()| dynamic()));
    let visitor = |node| Visitor {
        node,
        here: true,
        next: Instant::now(),
    };
    let mut visitors = [first, second].map(visitor);
    // Past the splitter: a partition of requests that moves would hold up those of jobs.
    let traffic = Traffic::of(RATE).straight_to_jobs().start(backend);
    traffic.flow(Duration::from_secs(3), SETTLE);
    let mut chance = SeededRng::of("nodes that join and leave");
    let (began, mut rebalances, mut changes) = (Instant::now(), Vec::new(), 0);
    for visitor in &mut visitors {
        visitor.next = began + chance.millis(0..4_000);
    }
    while began.elapsed() < during() {
        for visitor in &mut visitors {
            if visitor.next > Instant::now() {
                continue;
            }
            if visitor.here {
                visitor.node.stop(PATIENCE);
                rebalances.extend(visitor.node.rebalances());
            } else {
                visitor.node.start_again();
            }
            visitor.here = !visitor.here;
            changes += 1;
            visitor.next = Instant::now() + chance.millis(1_500..7_000);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let ended = Instant::now();
    rebalances.extend(steady.rebalances());
    let here = visitors.iter().filter(|visitor| visitor.here);
    rebalances.extend(here.flat_map(|visitor| visitor.node.rebalances()));
    let ids = traffic.settle(SETTLE);
    let (moved, returned) = moved_and_returned(&rebalances);
    let (moving, staying) = longest_gaps(&ids, &jobs, &rebalances, (began, ended));
    println!("{changes} changes, {moved} partitions moved, {returned} were taken for nothing");
    assert!(changes >= 10 && moved >= 20, "hardly anything happened");
    // A node that leaves in the middle of a rebalance leaves others with what they had just given up for it.
    assert!(
        returned * 10 <= moved,
        "{returned} partitions were taken for nothing, {moved} moved"
    );
    assert!(
        staying < STEADY,
        "a partition that did not move rested for {staying:?}"
    );
    assert!(
        moving < MOVING,
        "a partition that moved rested for {moving:?}"
    );
    measured(
        "two nodes join and leave at random, joins and departures",
        changes,
    );
    measured(
        "two nodes join and leave at random, partitions moved",
        moved,
    );
    measured(
        "two nodes join and leave at random, longest pause of a partition that stayed",
        seconds(staying),
    );
    measured(
        "two nodes join and leave at random, longest pause of a partition that moved",
        seconds(moving),
    );
}
