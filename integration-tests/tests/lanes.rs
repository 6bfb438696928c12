//! Bulk work does not delay conversations.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{Backend, LocalNode, PATIENCE, Sandbox, request};

/// Conversations' messages a second.
const RATE: u32 = 25;
/// Messages of each phase.
const TRICKLE: u32 = 100;
/// Bulk messages; two actors take 6 s for them alone.
const FLOOD: u32 = 6_000;
/// Below this, latencies are noise of the machine.
const NOISE: f64 = 0.06;

/// Sends messages of conversations, one after the other at the rate, and reads meanwhile.
fn trickle(backend: &mut Backend, name: &str) {
    let started = Instant::now();
    for number in 0..TRICKLE {
        let due = started + Duration::from_secs(1) * number / RATE;
        backend.read_until(due.saturating_duration_since(Instant::now()), |_| false);
        backend.ask(&request(
            &format!("{name}-{number}"),
            "How are you?",
            &["fr"],
            &format!("c{}", number % 5),
        ));
    }
    let expected = TRICKLE as usize;
    let answered = backend.read_until(PATIENCE, |ids| {
        ids.latencies(|message| message.starts_with(name)).len() == expected
    });
    assert!(answered, "conversations are answered: {name}");
}

fn p99(backend: &Backend, name: &str) -> f64 {
    let latencies = backend.ids.latencies(|message| message.starts_with(name));
    latencies[latencies.len() * 99 / 100]
}

#[test]
fn conversations_are_answered_soon_while_bulk_work_floods_the_node() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(
        &sandbox
            .node()
            .actors(2)
            .set("engine.fake.segment_us", 2_000),
    );
    node.wait_for_strength(2);
    let mut backend = node.backend();
    trickle(&mut backend, "quiet");
    for number in 0..FLOOD {
        backend.ask(&request(
            &format!("bulk-{number}"),
            "Bulk work is here.",
            &["fr"],
            "any",
        ));
    }
    backend.flush();
    trickle(&mut backend, "flooded");
    let bulk = backend.ids.latencies(|message| message.starts_with("bulk"));
    let (quiet, flooded) = (p99(&backend, "quiet"), p99(&backend, "flooded"));
    println!(
        "p99 of conversations: {:.0} ms quiet, {:.0} ms flooded",
        quiet * 1e3,
        flooded * 1e3
    );
    assert!(
        flooded < 10.0 * quiet.max(NOISE),
        "{flooded} s against {quiet} s"
    );
    assert!(
        bulk.len() < FLOOD as usize,
        "the flood was there as long as the conversations"
    );
    assert!(!bulk.is_empty(), "bulk work is not starved either");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let mut newest: BTreeMap<(String, u32), u32> = BTreeMap::new();
    for (message, _) in backend
        .ids
        .in_order()
        .iter()
        .filter(|(id, _)| !id.starts_with("bulk"))
    {
        let (phase, number) = message.split_once('-').unwrap();
        let number: u32 = number.parse().unwrap();
        let before = newest.insert((phase.to_owned(), number % 5), number);
        assert!(
            before.is_none_or(|before| before < number),
            "{message} came after {before:?}"
        );
    }
    for answer in backend.ids.all() {
        let is_bulk = answer.result.message_id.starts_with("bulk");
        assert_eq!(
            format!("{:?}", answer.result.pool_type),
            if is_bulk { "Any" } else { "Normal" }
        );
    }
}
