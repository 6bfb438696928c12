//! Properties of offloading that must hold in every simulation: what it gains, when it is not used, and that nothing is lost.

use super::{Scenario, capacity, run};

#[test]
fn a_hot_node_with_two_idle_peers_does_nearly_three_times_as_much() {
    for seed in 0..10 {
        let hot = Scenario {
            seed,
            ..Scenario::new(&[4.0 * capacity(), 0.1, 0.1])
        };
        let alone = run(Scenario {
            borrow: false,
            ..hot.clone()
        });
        let helped = run(hot);
        assert_eq!(alone.workers, 0);
        let gain = helped.done[0] as f64 / alone.done[0] as f64;
        assert!((1.8..3.1).contains(&gain), "{gain}: {helped:?}");
    }
}

#[test]
fn nodes_with_the_same_load_never_ask_each_other() {
    for share in [0.3, 0.6, 0.8, 0.95, 1.5] {
        for seed in 0..10 {
            let outcome = run(Scenario {
                seed,
                ..Scenario::new(&[share * capacity(); 3])
            });
            assert_eq!(
                outcome.workers, 0,
                "at {share} of the capacity: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_slow_link_is_not_used() {
    let hot = Scenario {
        round_trip: 20.0,
        ..Scenario::new(&[1.3 * capacity(), 0.1])
    };
    let outcome = run(hot);
    assert_eq!(outcome.workers, 0, "{outcome:?}");
}

#[test]
fn a_peer_slower_than_announced_enters_cooldown() {
    let hot = Scenario {
        lending_speed: 0.1,
        seconds: 300.0,
        ..Scenario::new(&[3.0 * capacity(), 0.1])
    };
    let alone = run(Scenario {
        borrow: false,
        ..hot.clone()
    });
    let outcome = run(hot);
    assert!(outcome.workers >= 1, "it was tried");
    assert!(outcome.workers <= 12, "{} times in 300 s", outcome.workers);
    assert!(
        outcome.done[0] as f64 >= 0.98 * alone.done[0] as f64,
        "{outcome:?} against {alone:?}"
    );
}

#[test]
fn a_peer_that_is_cut_off_takes_nothing_with_it() {
    let outcome = run(Scenario {
        cut_at: 40.3,
        ..Scenario::new(&[4.0 * capacity(), 0.1, 0.1])
    });
    assert!(outcome.requeued > 0, "nothing was lent out: {outcome:?}");
    assert!(outcome.helped > 0);
}

#[test]
fn help_ends_when_the_load_does_and_makes_a_moderate_overload_bearable() {
    let load = [1.2 * capacity(), 0.1, 0.1];
    let alone = run(Scenario {
        borrow: false,
        ..Scenario::new(&load)
    });
    let outcome = run(Scenario::new(&load));
    assert!(
        outcome.mean_delay < alone.mean_delay / 3.0,
        "{} s against {} s",
        outcome.mean_delay,
        alone.mean_delay
    );
    // A remote worker is kept as long as it is needed, without flapping.
    assert!(outcome.workers <= 20, "{outcome:?}");
}
