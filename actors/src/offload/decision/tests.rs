//! Properties of every decision.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const NOW: Duration = Duration::from_secs(1_000);

fn ago() -> impl Strategy<Value = Duration> {
    (0u64..60_000).prop_map(|millis| NOW - ms(millis))
}

fn peers() -> impl Strategy<Value = Vec<PeerView>> {
    let peer = (
        0u32..4,
        1.0f64..2_000.0,
        0u64..5_000,
        prop::option::of((1.0f64..2_000.0, 1u32..9)),
        prop::option::of(0u64..2_000),
    );
    prop::collection::vec(peer, 0..5).prop_map(|peers| {
        let named = peers.into_iter().enumerate();
        named
            .map(
                |(index, (credits, speed, trip, measured, cooldown))| PeerView {
                    node: Arc::from(format!("node-{index}")),
                    offer: Offer {
                        credits,
                        tokens_per_second: speed,
                        ..Offer::default()
                    },
                    round_trip: ms(trip),
                    measured,
                    cooldown_until: cooldown.map(Duration::from_secs),
                },
            )
            .collect()
    })
}

fn workers() -> impl Strategy<Value = Vec<RemoteWorkerView>> {
    let doing = prop_oneof![
        Just(RemoteWorkerState::Starting),
        Just(RemoteWorkerState::Idle),
        (1u32..3_000).prop_map(RemoteWorkerState::Busy),
    ];
    let worker = (0usize..6, doing, ago(), any::<bool>());
    prop::collection::vec(worker, 0..8).prop_map(|workers| {
        let numbered = (0u64..).zip(workers);
        numbered
            .map(|(number, (node, doing, since, leaving))| RemoteWorkerView {
                number,
                node: Arc::from(format!("node-{node}")),
                doing,
                since,
                leaving,
            })
            .collect()
    })
}

prop_compose! {
    fn snapshots()(
        warm in 0u32..5,
        may_grow: bool,
        speed in 1.0f64..2_000.0,
        arrivals in 0.0f64..10_000.0,
        waiting in 0u64..100_000,
        pressure in 0.0f64..20.0,
        since in ago(),
        calm in prop::option::of(ago()),
        peers in peers(),
        workers in workers(),
    ) -> OffloadSnapshot {
        OffloadSnapshot {
            warm,
            may_grow,
            cold_start: ms(2_000),
            tokens_per_second: speed,
            arrivals,
            waiting_tokens: waiting,
            batch_tokens: 512,
            pressure,
            pressed_since: (pressure > 1.0).then_some(since),
            self_sufficient_since: calm,
            peers,
            workers,
        }
    }
}

proptest! {
    #[test]
    fn no_peer_is_asked_beyond_its_offer_or_during_its_cooldown(snapshot in snapshots()) {
        let decision = decide_offload(&snapshot, &OffloadConfig::default(), NOW);
        for node in &decision.start {
            let peer = snapshot.peer(node).expect("a peer that was there");
            let started = decision.start.iter().filter(|n| *n == node).count();
            let used = snapshot.workers_at(node).count();
            prop_assert!(started + used <= peer.offer.credits as usize);
            prop_assert!(peer.cooldown_until.is_none_or(|until| until <= NOW));
        }
    }

    #[test]
    fn help_is_asked_only_when_jobs_are_late_and_the_peer_would_be_sooner(snapshot in snapshots()) {
        let config = OffloadConfig::default();
        let decision = decide_offload(&snapshot, &config, NOW);
        for node in &decision.start {
            prop_assert!(snapshot.pressure > 1.0);
            let peer = snapshot.peer(node).expect("a peer that was there");
            prop_assert!(trip(peer, snapshot.batch_tokens) < snapshot.own_wait());
        }
        if snapshot.may_grow && !decision.start.is_empty() {
            let pressed = NOW - snapshot.pressed_since.expect("it is pressed");
            prop_assert!(pressed >= snapshot.cold_start + GROWTH_GRACE);
        }
    }

    #[test]
    fn what_a_peer_that_is_gone_has_is_taken_back_and_no_worker_is_treated_twice(
        snapshot in snapshots(),
    ) {
        let decision = decide_offload(&snapshot, &OffloadConfig::default(), NOW);
        for worker in &snapshot.workers {
            if snapshot.peer(&worker.node).is_none() {
                prop_assert!(decision.recall.contains(&(worker.number, Recall::PeerGone)));
            }
        }
        let recalled = decision.recall.iter().map(|(number, _)| number);
        let touched: Vec<_> = recalled.chain(decision.stop.iter().map(|(n, _)| n)).collect();
        prop_assert_eq!(touched.iter().collect::<HashSet<_>>().len(), touched.len());
    }

    #[test]
    fn a_pool_that_must_not_borrow_stops_all_remote_workers(snapshot in snapshots()) {
        let config = OffloadConfig { borrow: false, ..OffloadConfig::default() };
        let decision = decide_offload(&snapshot, &config, NOW);
        prop_assert!(decision.start.is_empty());
        prop_assert_eq!(decision.reason, OffloadReason::Disabled);
        let going = decision.recall.len() + decision.stop.len();
        let leaving = snapshot.workers.iter().filter(|worker| worker.leaving);
        prop_assert!(going + leaving.count() >= snapshot.workers.len());
    }

    #[test]
    fn no_remote_worker_is_started_and_stopped_in_one_decision(snapshot in snapshots()) {
        let decision = decide_offload(&snapshot, &OffloadConfig::default(), NOW);
        for (number, why) in &decision.stop {
            let worker = &snapshot.workers[*number as usize];
            if *why == RemoteWorkerStop::TooSlow {
                prop_assert!(!decision.start.contains(&worker.node), "{} is too slow", worker.node);
            }
        }
    }
}

/// Two warm actors with a queue that lasts for ten seconds, and one peer as fast as they are.
fn hot() -> OffloadSnapshot {
    OffloadSnapshot {
        warm: 2,
        tokens_per_second: 500.0,
        arrivals: 2_000.0,
        waiting_tokens: 10_000,
        batch_tokens: 500,
        pressure: 20.0,
        pressed_since: Some(NOW - ms(100)),
        peers: vec![PeerView {
            node: Arc::from("b"),
            offer: Offer {
                credits: 2,
                tokens_per_second: 500.0,
                ..Offer::default()
            },
            round_trip: ms(5),
            measured: None,
            cooldown_until: None,
        }],
        ..OffloadSnapshot::default()
    }
}

fn reason(snapshot: &OffloadSnapshot) -> OffloadReason {
    decide_offload(snapshot, &OffloadConfig::default(), NOW).reason
}

#[test]
fn a_hot_pool_takes_what_is_offered_and_says_why_it_does_not() {
    let decision = decide_offload(&hot(), &OffloadConfig::default(), NOW);
    assert_eq!(decision.start, [Arc::from("b"), Arc::from("b")]);
    assert_eq!(decision.reason, OffloadReason::Helped);

    let mut snapshot = hot();
    snapshot.pressure = 1.5;
    assert_eq!(reason(&snapshot), OffloadReason::Observing);
    snapshot.may_grow = true;
    assert_eq!(reason(&snapshot), OffloadReason::Growing);
    let mut snapshot = hot();
    snapshot.peers[0].offer.credits = 0;
    assert_eq!(reason(&snapshot), OffloadReason::NoOffers);
    let mut snapshot = hot();
    snapshot.peers[0].cooldown_until = Some(NOW + ms(1));
    assert_eq!(reason(&snapshot), OffloadReason::HeldOff);
    let mut snapshot = hot();
    snapshot.peers[0].round_trip = ms(11_000);
    assert_eq!(reason(&snapshot), OffloadReason::NoGain);
    let mut snapshot = hot();
    snapshot.pressure = 0.9;
    assert_eq!(reason(&snapshot), OffloadReason::NotNeeded);
}

#[test]
fn a_small_lack_takes_one_worker_and_not_all_that_are_offered() {
    let mut snapshot = hot();
    snapshot.arrivals = 1_000.0;
    snapshot.waiting_tokens = 1_200;
    snapshot.batch_tokens = 300;
    // Missing: 1,000 + (1,200 - 500) / 2 - 0.85 · 1,000 = 500, less than one more actor does.
    let decision = decide_offload(&snapshot, &OffloadConfig::default(), NOW);
    assert_eq!(decision.start.len(), 2, "one does 490 with its trips");
    snapshot.waiting_tokens = 1_100;
    let decision = decide_offload(&snapshot, &OffloadConfig::default(), NOW);
    assert_eq!(decision.start.len(), 1);
}

#[test]
fn a_worker_that_has_a_batch_for_too_long_loses_it() {
    let mut snapshot = hot();
    snapshot.workers = vec![RemoteWorkerView {
        number: 1,
        node: Arc::from("b"),
        doing: RemoteWorkerState::Busy(500),
        since: NOW - ms(5_000),
        leaving: false,
    }];
    let config = OffloadConfig::default();
    // A second and four times the second that it should take.
    assert!(
        decide_offload(&snapshot, &config, NOW).recall.is_empty(),
        "its trip is 1.005 s"
    );
    snapshot.workers[0].since = NOW - ms(5_100);
    let decision = decide_offload(&snapshot, &config, NOW);
    assert_eq!(decision.recall, [(1, Recall::Overdue)]);
}
