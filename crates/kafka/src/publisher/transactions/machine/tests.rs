//! All orders of events: short ones exhaustively, long ones at random.

mod choices;
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::{
    choices::Choices,
    world::{TOPICS, World},
};

/// Number of choices in a row that are tried in every combination.
const DEPTH: usize = 4;
/// How many choices may be good before them: enough for two transactions.
const BEFORE: usize = 12;

/// Runs a script, until there were `most` choices; after that everything must be answered exactly once, but what waits for topics that are still denied. Returns the choices that were made,
/// and what happened.
fn run(
    sources: &[Vec<Vec<usize>>],
    script: Vec<u8>,
    most: usize,
) -> (Choices, BTreeSet<&'static str>) {
    let mut world = World::new(sources, Choices::of(script));
    while world.choices.count() < most {
        world.round();
    }
    let choices = std::mem::take(&mut world.choices);
    world.recover();
    for id in 0..world.sources.len() as u32 {
        let is_parked = world.waits_for_denied(id);
        assert!(
            world.is_drained(id) || is_parked,
            "partition {id} is stuck: {:?}, denied: {:?}",
            world.sources[id as usize],
            world.denied
        );
    }
    (choices, world.seen)
}

fn sources() -> impl Strategy<Value = Vec<Vec<Vec<usize>>>> {
    let answers = prop::collection::vec(0..TOPICS.len(), 0..3);
    prop::collection::vec(prop::collection::vec(answers, 0..4), 1..4)
}

proptest! {
    #[test]
    fn in_any_order_of_events_every_record_is_answered_once_together_with_its_offset(
        sources in sources(),
        script in prop::collection::vec(any::<u8>(), 0..150),
    ) {
        let most = script.len();
        run(&sources, script, most);
    }
}

#[test]
fn every_short_order_of_events_keeps_answers_and_offsets_together_and_ends() {
    let sources = [vec![vec![0], vec![2, 3]], vec![vec![3]]];
    let (mut seen, mut orders) = (BTreeSet::new(), 0);
    for first in 0..=BEFORE {
        let mut script = Some(Vec::new());
        while let Some(now) = script {
            let (choices, happened) = run(&sources, now, first + DEPTH);
            seen.extend(happened);
            orders += 1;
            script = choices.following(first, DEPTH);
        }
    }
    assert!(orders > 5_000, "{orders} orders are not all");
    let expected = [
        "aborted",
        "committed",
        "committed late",
        "heard nothing",
        "left an id",
        "made no producer",
        "replaced a refused answer",
        "settled as committed",
        "settled as not committed",
    ];
    for event in expected {
        assert!(seen.contains(event), "{event}: it never was so");
    }
}

#[test]
fn after_a_commit_without_an_answer_any_two_further_events_make_nothing_visible_twice() {
    let sources = [vec![vec![0], vec![2, 3]], vec![vec![3]]];
    // The first commit is the sixth choice. It is not decided, and the call is to be repeated or the producer fails.
    const COMMIT: usize = 5;
    const AFTER: usize = 12;
    const OPTIONS: u8 = 14;
    let mut seen = BTreeSet::new();
    for commit in [1, 4] {
        for (one, other) in (0..AFTER).flat_map(|one| (0..one).map(move |other| (one, other))) {
            for (a, b) in (0..OPTIONS).flat_map(|a| (0..OPTIONS).map(move |b| (a, b))) {
                let mut script = vec![0; COMMIT + 1 + AFTER];
                script[COMMIT] = commit;
                script[COMMIT + 1 + one] = a;
                script[COMMIT + 1 + other] = b;
                let most = script.len();
                seen.extend(run(&sources, script, most).1);
            }
        }
    }
    assert!(seen.contains("committed late") && seen.contains("settled as committed"));
}
