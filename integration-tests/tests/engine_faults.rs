//! Engines that die, hang, grow or cannot load lose no message, and a text that makes them do so is found out.

use std::{fs, time::Duration};

use babelmesh_actors::events::{Event, StopReason};
use babelmesh_integration_tests::{
    Backend, LocalNode, PATIENCE, Sandbox, Settings,
    faults::{BLOAT, CRASH, FAIL_LOAD, GROW, HANG, SLOW},
    processes, request, wait_for, wait_until,
};
use rustix::process::Signal;

/// Two actors that are replaced quickly.
fn settings(sandbox: &Sandbox) -> Settings {
    let settings = sandbox.faulty_node().actors(2);
    settings
        .set("pool.restart_initial_backoff_ms", 20)
        .set("pool.restart_max_backoff_ms", 200)
}

/// Messages of which every fourth is slow, in batches of four.
fn ask_slowly(backend: &mut Backend, messages: usize) {
    for number in 0..messages {
        let text = if number % 4 == 0 {
            format!("{SLOW} {number}")
        } else {
            format!("plain {number}")
        };
        backend.ask(&request(
            &format!("m{number}"),
            &text,
            &["fr"],
            &format!("c{}", number % 10),
        ));
    }
    backend.flush();
}

/// The process of an actor that has a batch at this moment.
fn busy_engine(node: &LocalNode) -> u32 {
    wait_for("an actor is busy", PATIENCE, || {
        let busy = |phase| format!("{phase:?}") == "Busy";
        node.pool()
            .actors
            .iter()
            .find(|actor| busy(actor.phase))?
            .pid
    })
}

/// Ends the node: no process that was ever an engine of it is left, not even as one that nobody waited for.
fn assert_no_engine_is_left(sandbox: &Sandbox, node: LocalNode) {
    let events = node.drain();
    assert!(!events.pids().is_empty());
    for pid in events.pids() {
        wait_until("the engine is gone", PATIENCE, || processes::is_gone(pid));
    }
    let left = processes::started_from(sandbox.folder());
    assert!(left.is_empty(), "engines are left: {left:?}");
}

/// The messages whose text is poison, and nothing else, are in the dead letters; all others are translated.
fn assert_only_poison_is_dead(backend: &Backend, poison: &[&str], reason: &str) {
    let letters = backend.letters(poison.len(), PATIENCE);
    let mut dead: Vec<_> = letters
        .iter()
        .map(|letter| {
            assert_eq!(letter.header("babelmesh-error-code"), "poison_text");
            let message = letter.header("babelmesh-error-message");
            assert!(message.contains(reason), "{message} says {reason}");
            assert_eq!(
                letter.header("babelmesh-origin-topic"),
                "translation.jobs.fr"
            );
            let payload = letter.payload.as_deref().unwrap();
            let body: serde_json::Value = serde_json::from_slice(payload).unwrap();
            body["messageId"].as_str().unwrap().to_owned()
        })
        .collect();
    dead.sort_unstable();
    assert_eq!(dead, poison);
    for answer in backend.ids.all() {
        let expected = if poison.contains(&answer.result.message_id.as_str()) {
            "poison_text"
        } else {
            ""
        };
        assert_eq!(answer.error(), expected, "{:?}", answer.result);
    }
}

#[test]
fn an_engine_that_is_killed_in_the_middle_of_a_batch_loses_nothing() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&settings(&sandbox).set("pool.batch.segments", 4));
    node.wait_for_strength(2);
    let mut backend = node.backend();
    ask_slowly(&mut backend, 80);
    let victim = busy_engine(&node);
    processes::signal(victim, Signal::KILL);
    wait_until("the killed engine is gone", PATIENCE, || {
        processes::is_gone(victim)
    });
    wait_until("its actor failed", PATIENCE, || {
        node.events().count(is_failure) == 1
    });
    backend.read_all(PATIENCE);
    let failures = node.events().failures();
    let (error, requeued) = &failures[0];
    assert!(error.contains("signal: 9"), "{error}");
    assert!(*requeued > 0, "it was in the middle of a batch");
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    let engines = node.wait_for_strength(2);
    assert!(!engines.contains(&victim) && engines.iter().all(|pid| processes::is_alive(*pid)));
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn an_engine_that_is_killed_while_idle_is_replaced_at_once_and_leaves_no_zombie() {
    let sandbox = Sandbox::new();
    // Nobody asks for anything; probes come too late to notice.
    let node = LocalNode::start(&settings(&sandbox));
    let engines = node.wait_for_strength(2);
    for victim in &engines {
        processes::signal(*victim, Signal::KILL);
    }
    wait_until("their actors failed", Duration::from_secs(5), || {
        node.events().count(is_failure) == 2
    });
    for victim in &engines {
        wait_until("it is no zombie", Duration::from_secs(5), || {
            processes::is_gone(*victim)
        });
    }
    let now = node.wait_for_strength(2);
    assert!(now.iter().all(|pid| !engines.contains(pid)));
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn engines_that_are_killed_again_and_again_make_no_text_poison() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&settings(&sandbox).set("pool.batch.segments", 4));
    let mut backend = node.backend();
    ask_slowly(&mut backend, 160);
    for kill in 1..=6 {
        let victim = busy_engine(&node);
        processes::signal(victim, Signal::KILL);
        wait_until("its actor failed", PATIENCE, || {
            node.events().count(is_failure) >= kill
        });
        // Some work is done between two kills: a batch is not hit three times in a row.
        let answered = backend.ids.answered();
        backend.read_until(Duration::from_secs(5), |ids| ids.answered() > answered + 8);
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    node.wait_for_strength(2);
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn an_engine_that_hangs_is_replaced_and_its_batch_is_tried_again() {
    let sandbox = Sandbox::new();
    let quick = settings(&sandbox)
        .set("engine.batch_timeout_ms", 1_500)
        .set("engine.timeout_per_token_ms", 0);
    let node = LocalNode::start(&quick.set("pool.batch.segments", 4));
    node.wait_for_strength(2);
    let mut backend = node.backend();
    ask_slowly(&mut backend, 60);
    let victim = busy_engine(&node);
    processes::signal(victim, Signal::STOP);
    wait_until("the engine is stopped", PATIENCE, || {
        processes::state(victim) == Some('T')
    });
    wait_until("its actor failed", PATIENCE, || {
        node.events().count(is_failure) > 0
    });
    backend.read_all(PATIENCE);
    let (error, requeued) = &node.events().failures()[0];
    assert!(
        error.contains("no answer from the engine within 1500 ms"),
        "{error}"
    );
    assert!(*requeued > 0, "it was in the middle of a batch");
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    wait_until("the engine that hung is gone", PATIENCE, || {
        processes::is_gone(victim)
    });
    assert!(!node.wait_for_strength(2).contains(&victim));
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn an_engine_that_has_grown_past_its_limit_is_replaced_between_batches() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(
        &settings(&sandbox)
            .actors(1)
            .set("engine.memory_limit_mb", 100),
    );
    let before = node.wait_for_strength(1);
    let mut backend = node.backend();
    for number in 0..6 {
        backend.ask(&request(
            &format!("m{number}"),
            &format!("{GROW} {number}"),
            &["fr"],
            "c",
        ));
        // Alone in its batch: what grows in one batch past twice the limit is killed at once.
        backend.read_all(PATIENCE);
    }
    backend.ids.assert_exactly_once();
    let recycled = |event: &Event| {
        matches!(
            event,
            Event::ActorStopped {
                reason: StopReason::MemoryLimit,
                ..
            }
        )
    };
    assert!(
        node.events().count(recycled) >= 2,
        "two batches of 64 MiB are past 100 MiB"
    );
    assert_eq!(node.events().failures(), []);
    let after = node.wait_for_strength(1);
    assert!(after != before && processes::is_gone(before[0]));
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn a_text_that_makes_the_engine_grow_without_end_is_alone_in_the_dead_letters() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&settings(&sandbox).set("engine.memory_limit_mb", 100));
    let mut backend = node.backend();
    for number in 0..20 {
        let text = if number == 7 {
            BLOAT.to_owned()
        } else {
            format!("plain {number}")
        };
        backend.ask(&request(&format!("m{number}"), &text, &["fr"], "c"));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(
        node.events().failures().len() >= 3,
        "it is tried three times"
    );
    assert_only_poison_is_dead(&backend, &["m7"], "bytes of memory, the limit is");
    node.wait_for_strength(2);
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn a_text_that_crashes_the_engine_is_alone_in_the_dead_letters() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&settings(&sandbox));
    let mut backend = node.backend();
    // The first message keeps an actor busy while the others gather to one batch.
    for number in 0..64 {
        let text = match number {
            0 | 1 => SLOW.to_owned(),
            20 | 41 => format!("{CRASH} {number}"),
            _ => format!("plain {number}"),
        };
        backend.ask(&request(
            &format!("m{number:02}"),
            &text,
            &["fr"],
            &format!("c{}", number % 8),
        ));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let failures = node.events().failures();
    assert!(
        failures.len() >= 3 && failures[0].0.contains("signal: 6"),
        "{failures:?}"
    );
    assert!(
        failures.iter().any(|(_, requeued)| *requeued > 2),
        "it had batch mates: {failures:?}"
    );
    assert_only_poison_is_dead(&backend, &["m20", "m41"], "signal: 6");
    let poisoned = |event: &Event| matches!(event, Event::TextPoisoned { .. });
    assert_eq!(node.events().count(poisoned), 2);
    node.wait_for_strength(2);
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn a_text_that_makes_the_engine_hang_is_alone_in_the_dead_letters() {
    let sandbox = Sandbox::new();
    let quick = settings(&sandbox)
        .set("engine.batch_timeout_ms", 1_000)
        .set("engine.timeout_per_token_ms", 0);
    let node = LocalNode::start(&quick);
    let mut backend = node.backend();
    for number in 0..20 {
        let text = if number == 3 {
            HANG.to_owned()
        } else {
            format!("plain {number}")
        };
        backend.ask(&request(&format!("m{number}"), &text, &["fr"], "c"));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_only_poison_is_dead(&backend, &["m3"], "no answer from the engine");
    node.wait_for_strength(2);
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn messages_wait_for_a_model_that_cannot_be_loaded_at_first() {
    let sandbox = Sandbox::new();
    let fail = sandbox.faulty_engines().join(FAIL_LOAD);
    fs::write(&fail, "").unwrap();
    let node = LocalNode::start_cold(&settings(&sandbox));
    let mut backend = node.backend();
    for number in 0..50 {
        backend.ask(&request(&format!("m{number}"), "hello", &["fr", "de"], "c"));
    }
    backend.flush();
    wait_until("loading failed several times", PATIENCE, || {
        node.events().count(is_failure) >= 4
    });
    assert!(node.events().failures()[0].0.contains("told to fail"));
    assert!(
        node.pool()
            .failing
            .is_some_and(|error| error.contains("told to fail"))
    );
    assert_eq!(backend.ids.answered(), 0);
    fs::remove_file(&fail).unwrap();
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    node.wait_for_strength(2);
    assert_eq!(node.pool().failing, None, "the pool is whole again");
    assert_no_engine_is_left(&sandbox, node);
}

#[test]
fn a_model_that_cannot_be_loaded_for_too_long_is_answered_with_a_retriable_error() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.faulty_engines().join(FAIL_LOAD), "").unwrap();
    let node = LocalNode::start_cold(&settings(&sandbox).set("pool.unavailable_after_ms", 500));
    let mut backend = node.backend();
    for number in 0..50 {
        backend.ask(&request(&format!("m{number}"), "hello", &["fr"], "c"));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        assert_eq!(answer.error(), "model_unavailable");
        let error = answer.result.error.as_ref().unwrap();
        assert!(
            error.retriable && error.message.contains("model load failed"),
            "{error:?}"
        );
    }
    assert!(
        backend.letters(0, PATIENCE).is_empty(),
        "what may succeed later is no dead letter"
    );
}

fn is_failure(event: &Event) -> bool {
    matches!(event, Event::ActorFailed { .. })
}
