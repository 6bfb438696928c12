//! Model actors are really spawned when work comes, and really stopped when it is gone.

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_actors::events::{Event, StopReason};
use babelmesh_integration_tests::{
    Backend, LocalNode, PATIENCE, Sandbox, Settings, faults::SLOW, processes, request, wait_until,
};

/// One to eight actors; what takes minutes in production takes seconds.
fn settings(settings: Settings) -> Settings {
    let policy = "scaling.delay_target.";
    settings
        .set("pool.max_actors", 8)
        .set(&format!("{policy}slow_window_ms"), 4_000)
        .set(&format!("{policy}shrink_window_ms"), 2_000)
        .set(&format!("{policy}shrink_period_ms"), 200)
        .set(&format!("{policy}growth_period_ms"), 3_000)
}

fn spawned(event: &Event) -> Option<()> {
    matches!(event, Event::ActorSpawned { .. }).then_some(())
}

fn stopped(event: &Event) -> bool {
    matches!(
        event,
        Event::ActorStopped {
            reason: StopReason::ScaledDown,
            ..
        }
    )
}

/// Sends at a rate for a while.
fn send(backend: &mut Backend, name: &str, text: &str, rate: u32, seconds: u32) {
    let started = Instant::now();
    for number in 0..rate * seconds {
        let due = started + Duration::from_secs(1) * number / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        backend.ask(&request(
            &format!("{name}-{number}"),
            text,
            &["fr"],
            &format!("c{}", number % 40),
        ));
    }
}

#[test]
fn the_first_further_actor_is_spawned_within_two_seconds_of_a_step() {
    let sandbox = Sandbox::new();
    // One actor manages some 60 messages a second.
    let node = LocalNode::start(&settings(sandbox.node()).set("engine.fake.segment_us", 16_000));
    let mut backend = node.backend();
    send(&mut backend, "before", "How are you?", 1, 4);
    assert_eq!(
        node.events().all(spawned).len(),
        1,
        "one is enough before the step"
    );
    let step = Instant::now();
    send(&mut backend, "after", "How are you?", 200, 6);
    let spawns = node.events().all(spawned);
    let first = spawns.get(1).map(|(at, ())| *at - step);
    let most = node.pool().actors.len();
    println!("first further actor after {first:?}, {most} actors at the end of the load");
    assert!(
        first.is_some_and(|after| after < Duration::from_secs(4)),
        "{first:?}"
    );
    assert!(
        most >= 3,
        "200 a second need more than three actors of 60, not {most}"
    );
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    wait_until("the pool shrinks to one actor", PATIENCE, || {
        node.pool().actors.len() == 1
    });
    let stops = node.events().count(stopped);
    assert_eq!(
        stops,
        node.events().all(spawned).len() - 1,
        "every further one was stopped"
    );
}

#[test]
fn engine_processes_come_and_go_with_the_load() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&settings(sandbox.faulty_node()).set("pool.batch.segments", 4));
    let engines = || {
        let mut found = processes::started_from(sandbox.folder());
        found.sort_unstable();
        found
    };
    assert_eq!(engines().len(), 1);
    let mut backend = node.backend();
    // 5 a second and actor.
    let text = format!("This sentence is {SLOW} for the engine.");
    send(&mut backend, "m", &text, 30, 4);
    let mut most = Vec::new();
    wait_until("at least four engines are at work", PATIENCE, || {
        let mut told: Vec<_> = node
            .pool()
            .actors
            .iter()
            .filter_map(|actor| actor.pid)
            .collect();
        told.sort_unstable();
        // The two are looked at one after the other; an actor may come between.
        let agree = told == engines();
        if agree {
            most = told;
        }
        agree && most.len() >= 4
    });
    println!("{} engines at work", most.len());
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    wait_until("one engine is left", PATIENCE, || {
        engines().len() == 1 && node.pool().actors.len() == 1
    });
    let left = engines();
    for pid in most.iter().filter(|pid| !left.contains(pid)) {
        assert!(
            processes::is_gone(*pid),
            "engine {pid} ended and was waited for"
        );
    }
    assert!(node.events().count(stopped) >= 3);
    assert_eq!(node.events().failures(), []);
}
