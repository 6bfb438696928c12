//! The delay-target policy, one behaviour a test. A small pool is told what to be, tick by tick.

use std::time::Duration;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A pool and its policy. Actors do 100 tokens per second (the prior, which nothing contradicts:
/// the tests complete nothing unless they say so).
struct Pool {
    policy: DelayTarget,
    snapshot: PoolSnapshot,
    second: u64,
}

impl Pool {
    fn new(owned: u32, min: u32, max: u32) -> Self {
        let config = DelayTargetConfig {
            prior_tokens_per_second: 100.0,
            ..Default::default()
        };
        Self {
            policy: DelayTarget::new(config),
            snapshot: PoolSnapshot {
                actors: ActorCounts {
                    busy: owned,
                    ..Default::default()
                },
                bounds: Bounds { min, max },
                cold_start: s(2),
                ..Default::default()
            },
            second: 0,
        }
    }

    fn queue(&mut self, tokens: u64) {
        self.snapshot.queued.normal = LaneBacklog {
            jobs: tokens / 10,
            tokens,
        };
    }

    /// One tick; the pool becomes what was decided (new actors are warm at once).
    fn tick(&mut self) -> Decision {
        let decision = self.policy.decide(&self.snapshot, s(self.second));
        self.snapshot.actors = ActorCounts {
            busy: decision.target,
            ..Default::default()
        };
        self.second += 1;
        decision
    }

    /// Ticks until the size changes, at most for `seconds`.
    fn next_change(&mut self, seconds: u64) -> Option<(u64, Decision)> {
        let owned = self.snapshot.actors.owned();
        (0..seconds).find_map(|_| {
            let decision = self.tick();
            (decision.target != owned).then(|| (self.second - 1, decision))
        })
    }
}

#[test]
fn a_pool_without_work_stays_as_small_as_it_is() {
    let mut pool = Pool::new(1, 1, 8);
    assert!(pool.next_change(3_600).is_none());
}

#[test]
fn a_delay_above_twice_its_target_grows_the_pool_at_once() {
    let mut pool = Pool::new(1, 1, 8);
    pool.tick();
    pool.queue(101);
    pool.snapshot.totals.arrived_tokens = 101;
    let decision = pool.tick();
    assert!(
        matches!(decision.reason, Reason::DelayExcessive { .. }),
        "{decision:?}"
    );
    assert!(decision.target > 1);
}

#[test]
fn a_delay_above_its_target_grows_the_pool_after_two_seconds() {
    let mut pool = Pool::new(1, 1, 8);
    for _ in 0..10 {
        pool.tick();
    }
    // 80 tokens: 0.8 s, above the target and below twice the target. As much arrives as is done.
    pool.queue(80);
    let mut changes = Vec::new();
    for _ in 0..4 {
        pool.snapshot.totals.arrived_tokens += 110;
        changes.push(pool.tick().target);
    }
    assert_eq!(changes[..2], [1, 1], "late for less than two seconds");
    assert!(changes[2] > 1);
}

#[test]
fn a_short_delay_grows_nothing() {
    let mut pool = Pool::new(2, 1, 8);
    pool.queue(90);
    for _ in 0..600 {
        // 210 tokens/s would need three actors; but nobody waits too long.
        pool.snapshot.totals.arrived_tokens += 210;
        assert_eq!(pool.tick().target, 2, "0.45 s is below the target");
    }
}

#[test]
fn a_backlog_that_is_gone_before_a_new_actor_is_warm_grows_nothing() {
    let mut pool = Pool::new(4, 1, 8);
    pool.snapshot.cold_start = s(20);
    pool.tick();
    // 2 400 tokens without further arrivals: 6 s for 4 actors.
    pool.snapshot.totals.arrived_tokens = 800;
    pool.queue(2_400);
    pool.second = 60;
    let decision = pool.tick();
    assert!(
        matches!(decision.reason, Reason::BacklogDrains { .. }),
        "{decision:?}"
    );
    assert_eq!(decision.target, 4);
}

#[test]
fn a_wrong_prediction_is_dropped_after_a_while() {
    let mut pool = Pool::new(4, 1, 8);
    pool.snapshot.cold_start = s(20);
    pool.queue(2_400);
    // The backlog should be gone after 6 s, and stays: the speed must have been wrong.
    let (second, decision) = pool.next_change(120).expect("help is needed after all");
    assert!(
        (20..30).contains(&second),
        "after the time a cold start takes, not {second} s"
    );
    assert_eq!(
        decision.target, 5,
        "one more, since the formulas see enough"
    );
}

#[test]
fn growth_is_limited_to_four_more_or_double_in_fifteen_seconds() {
    let mut pool = Pool::new(1, 1, 100);
    pool.queue(1_000_000);
    let mut sizes = Vec::new();
    for _ in 0..=16 {
        pool.snapshot.totals.completed_tokens += u64::from(pool.snapshot.actors.busy) * 100;
        sizes.push(pool.tick().target);
    }
    assert!(sizes[..16].iter().all(|&size| size == 5), "{sizes:?}");
    assert_eq!(sizes[16], 10);
}

#[test]
fn a_pool_shrinks_by_one_after_two_minutes_and_then_every_thirty_seconds() {
    let mut pool = Pool::new(4, 1, 8);
    let mut changes = Vec::new();
    while let Some((second, decision)) = pool.next_change(600) {
        assert!(
            matches!(decision.reason, Reason::Oversized { .. }),
            "{decision:?}"
        );
        changes.push((second, decision.target));
    }
    assert_eq!(changes, [(120, 3), (150, 2), (180, 1)]);
}

#[test]
fn a_need_within_the_last_two_minutes_keeps_the_pool() {
    let mut pool = Pool::new(4, 1, 8);
    for _ in 0..600 {
        // 290 tokens/s need 290 / 75 = 3.9 actors for one minute in every three.
        if pool.second % 180 < 60 {
            pool.snapshot.totals.arrived_tokens += 290;
        }
        assert_eq!(pool.tick().target, 4, "at {} s", pool.second);
    }
}

#[test]
fn a_pool_with_a_noticeable_delay_does_not_shrink() {
    let mut pool = Pool::new(4, 1, 8);
    pool.snapshot.oldest_wait.prompt = Duration::from_millis(125);
    assert!(pool.next_change(600).is_none());
    pool.snapshot.oldest_wait.prompt = Duration::from_millis(124);
    assert!(pool.next_change(2).is_some());
}

#[test]
fn a_draining_actor_is_gone_before_the_next_one_goes() {
    let mut pool = Pool::new(4, 1, 8);
    for _ in 0..600 {
        pool.snapshot.actors.draining = 1;
        assert_eq!(pool.tick().target, 4);
    }
}

#[test]
fn the_last_actor_stops_after_a_long_idle_time_only_if_the_minimum_is_zero() {
    let mut pool = Pool::new(1, 0, 8);
    pool.snapshot.idle_since = Some(s(100));
    let (second, decision) = pool.next_change(3_600).expect("a long rest");
    assert_eq!((second, decision.target), (700, 0));
    assert!(
        matches!(decision.reason, Reason::Idle { .. }),
        "{decision:?}"
    );

    let mut pool = Pool::new(1, 1, 8);
    pool.snapshot.idle_since = Some(s(100));
    assert!(pool.next_change(3_600).is_none());
    assert_eq!(pool.tick().reason, Reason::Steady);
}

#[test]
fn an_empty_pool_starts_as_soon_as_anything_waits() {
    let mut pool = Pool::new(0, 0, 8);
    assert!(pool.next_change(60).is_none());
    pool.queue(10);
    let decision = pool.tick();
    assert_eq!(decision.target, 1);
    assert!(
        matches!(decision.reason, Reason::EmptyPool { waiting_tokens: 10 }),
        "{decision:?}"
    );
}

#[test]
fn an_empty_pool_starts_for_lag_alone() {
    let mut pool = Pool::new(0, 0, 8);
    pool.snapshot.lag_tokens = 1;
    assert_eq!(pool.tick().target, 1);
}

#[test]
fn actors_beyond_the_ceilings_are_unmet() {
    let mut pool = Pool::new(2, 1, 100);
    pool.snapshot.ceilings = Ceilings {
        cores: 9,
        memory: 1,
    };
    pool.queue(100_000);
    let decision = pool.tick();
    assert_eq!(decision.target, 3);
    assert!(decision.unmet_actors >= 100, "{decision:?}");
}

/// A pool of two, always behind, whose throughput does not depend on its size.
fn crowded_pool() -> Pool {
    let mut pool = Pool::new(2, 1, 8);
    pool.queue(100_000);
    pool
}

fn crowded_tick(pool: &mut Pool) -> Decision {
    pool.snapshot.totals.completed_tokens += 200;
    pool.snapshot.totals.arrived_tokens += 200;
    pool.tick()
}

#[test]
fn an_addition_that_brings_no_throughput_is_undone_and_the_size_is_held() {
    let mut pool = crowded_pool();
    // Let the throughput be known before the first addition.
    pool.queue(0);
    (0..15).for_each(|_| {
        crowded_tick(&mut pool);
    });
    pool.queue(100_000);
    assert_eq!(crowded_tick(&mut pool).target, 6);
    let (undone, decision) = loop {
        let decision = crowded_tick(&mut pool);
        if decision.target < 6 {
            break (pool.second, decision);
        }
        assert!(pool.second < 60, "never undone");
    };
    assert_eq!(decision.target, 2, "{decision:?}");
    assert!(matches!(decision.reason, Reason::AdditionUndone { .. }));
    while pool.second < undone + 59 {
        let decision = crowded_tick(&mut pool);
        assert!(
            matches!(decision.reason, Reason::Frozen { .. }),
            "{decision:?}"
        );
        assert_eq!(decision.target, 2);
    }
}

#[test]
fn bounds_are_obeyed_even_while_the_size_is_held() {
    let mut pool = crowded_pool();
    pool.queue(0);
    (0..15).for_each(|_| {
        crowded_tick(&mut pool);
    });
    pool.queue(100_000);
    while !matches!(crowded_tick(&mut pool).reason, Reason::Frozen { .. }) {
        assert!(pool.second < 60, "never frozen");
    }
    pool.snapshot.bounds = Bounds { min: 5, max: 8 };
    assert_eq!(crowded_tick(&mut pool).target, 5);
    pool.snapshot.bounds = Bounds { min: 1, max: 1 };
    assert_eq!(crowded_tick(&mut pool).target, 1);
}

#[test]
fn the_policy_names_itself_and_its_interval() {
    let policy = DelayTarget::new(DelayTargetConfig::default());
    assert_eq!((policy.name(), policy.interval()), ("delay-target", s(1)));
}
