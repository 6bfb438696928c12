//! Properties of every policy under every load.

use std::time::Duration;

use proptest::prelude::*;

use super::simulation::{Load, Report, SimulationConfig, Trace, simulate};
use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One tick of an arbitrary, even absurd history: what changed since the tick before.
#[derive(Debug, Clone)]
struct Tick {
    millis: u64,
    arrived: u64,
    completed: u64,
    busy_millis: u64,
    queued: [u64; 3],
    lag: u64,
    wait_millis: u64,
    ready: u32,
    crashed: u32,
    warm: bool,
    draining: u32,
    bounds: (u32, u32),
    room: (u32, u32),
    idle: bool,
}

fn tick() -> impl Strategy<Value = Tick> {
    let load = (
        0..50_000_u64,
        0..20_000_u64,
        0..8_000_u64,
        [0..30_000_u64, 0..30_000, 0..30_000],
    );
    let pool = (
        0..4_u32,
        0..2_u32,
        any::<bool>(),
        0..2_u32,
        (0..6_u32, 0..20_u32),
    );
    let rest = (
        500..2_000_u64,
        0..100_000_u64,
        0..30_000_u64,
        (0..8_u32, 0..8_u32),
    );
    (load, pool, rest, any::<bool>()).prop_map(|(load, pool, rest, idle)| {
        let (min, more) = pool.4;
        let quiet = |tokens| if idle { 0 } else { tokens };
        Tick {
            millis: rest.0,
            arrived: quiet(load.0),
            completed: quiet(load.1),
            busy_millis: load.2,
            queued: load.3.map(quiet),
            lag: quiet(rest.1),
            wait_millis: quiet(rest.2),
            ready: pool.0,
            crashed: pool.1,
            warm: pool.2,
            draining: pool.3,
            bounds: (min, min + more),
            room: rest.3,
            idle,
        }
    })
}

/// Histories in which a state may last, since some decisions need minutes of the same to be made.
fn lasting_ticks() -> impl Strategy<Value = Vec<Tick>> {
    let phase = (tick(), 1..300_usize).prop_map(|(tick, length)| {
        let lasting = Tick {
            crashed: 0,
            draining: 0,
            ..tick.clone()
        };
        std::iter::once(tick)
            .chain(std::iter::repeat_n(lasting, length))
            .collect::<Vec<_>>()
    });
    prop::collection::vec(phase, 1..8).prop_map(|phases| phases.concat())
}

/// A pool that does what the policy says while everything around it is arbitrary.
struct Pool {
    snapshot: PoolSnapshot,
    now: Duration,
    owned: u32,
}

impl Pool {
    fn new() -> Self {
        Self {
            snapshot: PoolSnapshot::default(),
            now: Duration::ZERO,
            owned: 1,
        }
    }

    fn advance(&mut self, tick: &Tick) -> (&PoolSnapshot, Duration) {
        self.now += Duration::from_millis(tick.millis);
        self.owned = self.owned.saturating_sub(tick.crashed);
        let starting = if tick.warm { 0 } else { self.owned / 2 };
        let ready = tick.ready.min(self.owned - starting);
        let lane = |tokens| LaneBacklog {
            jobs: tokens / 10,
            tokens,
        };
        let [interactive, normal, any] = tick.queued;
        let wait = Duration::from_millis(tick.wait_millis);
        let totals = &mut self.snapshot.totals;
        totals.arrived_tokens += tick.arrived;
        totals.arrived_jobs += tick.arrived / 10;
        totals.completed_tokens += tick.completed;
        totals.completed_jobs += tick.completed / 10;
        totals.busy += Duration::from_millis(tick.busy_millis);
        self.snapshot = PoolSnapshot {
            actors: ActorCounts {
                ready,
                busy: self.owned - starting - ready,
                starting,
                draining: tick.draining,
            },
            bounds: Bounds {
                min: tick.bounds.0,
                max: tick.bounds.1,
            },
            ceilings: Ceilings {
                cores: tick.room.0,
                memory: tick.room.1,
            },
            queued: LaneBacklogs {
                interactive: lane(interactive),
                normal: lane(normal),
                any: lane(any),
            },
            lag_tokens: tick.lag,
            oldest_wait: OldestWaits {
                prompt: wait,
                any: wait,
            },
            totals: self.snapshot.totals,
            cold_start: s(2),
            idle_since: tick.idle.then_some(Duration::ZERO),
            ..PoolSnapshot::default()
        };
        (&self.snapshot, self.now)
    }
}

fn policies() -> Vec<Box<dyn ScalingPolicy>> {
    vec![
        Box::new(DelayTarget::new(DelayTargetConfig::default())),
        Box::new(Threshold::new(ThresholdConfig {
            interval_ms: 2_000,
            ..Default::default()
        })),
    ]
}

/// Whether a policy was free to choose: neither bounds nor an undo forced its hand.
fn is_free_choice(reason: &Reason) -> bool {
    !matches!(
        reason,
        Reason::AboveMaximum { .. } | Reason::BelowMinimum { .. } | Reason::AdditionUndone { .. }
    )
}

proptest! {
    #[test]
    fn no_target_is_outside_the_bounds_or_above_the_ceilings(
        ticks in prop::collection::vec(tick(), 1..200),
    ) {
        for mut policy in policies() {
            let mut pool = Pool::new();
            for tick in &ticks {
                let (snapshot, now) = pool.advance(tick);
                let decision = policy.decide(snapshot, now);
                let owned = snapshot.actors.owned();
                let reachable = owned + snapshot.ceilings.room();
                prop_assert!(decision.target <= snapshot.bounds.max);
                prop_assert!(decision.target <= owned.max(reachable));
                prop_assert!(decision.target >= snapshot.bounds.min.min(reachable));
                pool.owned = decision.target;
            }
        }
    }

    #[test]
    fn the_same_history_gives_the_same_decisions(
        ticks in prop::collection::vec(tick(), 1..100),
    ) {
        let run = |mut policy: Box<dyn ScalingPolicy>| -> Vec<Decision> {
            let mut pool = Pool::new();
            ticks
                .iter()
                .map(|tick| {
                    let (snapshot, now) = pool.advance(tick);
                    let decision = policy.decide(snapshot, now);
                    pool.owned = decision.target;
                    decision
                })
                .collect()
        };
        for (one, other) in policies().into_iter().zip(policies()) {
            prop_assert_eq!(run(one), run(other));
        }
    }

    #[test]
    fn every_number_of_a_decision_is_finite(ticks in prop::collection::vec(tick(), 1..100)) {
        for mut policy in policies() {
            let mut pool = Pool::new();
            for tick in &ticks {
                let (snapshot, now) = pool.advance(tick);
                let decision = policy.decide(snapshot, now);
                pool.owned = decision.target;
                let e = decision.inputs.estimates;
                for number in [
                    e.arrival_tokens_per_second,
                    e.service_tokens_per_second,
                    e.completed_tokens_per_second,
                    e.prompt_delay_seconds,
                    e.any_delay_seconds,
                    e.pressure,
                    e.drain_seconds.unwrap_or_default(),
                ] {
                    prop_assert!(number.is_finite() && number >= 0.0);
                }
            }
        }
    }

    #[test]
    fn delay_target_grows_to_double_or_four_more_in_fifteen_seconds_and_shrinks_by_one_in_thirty(
        ticks in lasting_ticks(),
    ) {
        let mut policy = DelayTarget::new(DelayTargetConfig::default());
        let mut pool = Pool::new();
        let mut sizes: Vec<(Duration, u32)> = Vec::new();
        let mut last_removal: Option<Duration> = None;
        for tick in &ticks {
            let (snapshot, now) = pool.advance(tick);
            let decision = policy.decide(snapshot, now);
            let owned = snapshot.actors.owned();
            sizes.push((now, owned));
            if decision.target > owned && is_free_choice(&decision.reason) {
                let within = sizes.iter().filter(|(at, _)| now - *at <= s(15));
                let n = within.map(|(_, size)| *size).min().unwrap_or(0);
                // A minimum is a bound, not a choice, and may come on top of one.
                let most = (2 * n).max(n + 4).max(snapshot.bounds.min);
                prop_assert!(decision.target <= most, "{} from {n}", decision.target);
            }
            if decision.target < owned {
                if is_free_choice(&decision.reason) {
                    prop_assert_eq!(decision.target, owned - 1);
                    prop_assert!(last_removal.is_none_or(|last| now - last >= s(30)));
                }
                last_removal = Some(now);
            }
            pool.owned = decision.target;
        }
    }
}

/// An erratic policy: another size every second.
struct Erratic(u64);

impl ScalingPolicy for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }

    fn interval(&self) -> Duration {
        s(1)
    }

    fn decide(&mut self, _: &PoolSnapshot, _: Duration) -> Decision {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Decision {
            target: 1 + (self.0 >> 33) as u32 % 8,
            reason: Reason::Steady,
            unmet_actors: 0,
            inputs: Inputs::default(),
        }
    }
}

fn simulated(load: &Load, duration: Duration, seed: u64, config: &SimulationConfig) -> Vec<Report> {
    let trace = Trace::generate(load, duration, seed);
    let small = ThresholdConfig {
        normal: QueueRule {
            initial: 1,
            min: 1,
            max: 12,
            ..QueueRule::NORMAL
        },
        any: QueueRule {
            initial: 0,
            min: 0,
            max: 4,
            ..QueueRule::ANY
        },
        ..Default::default()
    };
    let mut policies: Vec<Box<dyn ScalingPolicy>> = vec![
        Box::new(DelayTarget::new(DelayTargetConfig::default())),
        Box::new(Threshold::new(small)),
        Box::new(Erratic(seed)),
    ];
    policies
        .iter_mut()
        .map(|policy| simulate(config, &trace, policy.as_mut()))
        .collect()
}

fn any_load() -> impl Strategy<Value = Load> {
    prop_oneof![
        (1.0..100.0_f64).prop_map(|rate| Load::Constant { rate }),
        (0.0..5.0_f64, 20.0..300.0_f64).prop_map(|(low, high)| Load::Step {
            low,
            high,
            from: 20.0,
            to: 60.0
        }),
        (0.0..5.0_f64, 1..2_000_u32).prop_map(|(base, size)| Load::Burst {
            base,
            size,
            every: 40.0
        }),
        (0.0..5.0_f64, 20.0..200.0_f64).prop_map(|(low, high)| Load::Diurnal {
            low,
            high,
            period: 60.0
        }),
        (1.0..50.0_f64, 20.0..300.0_f64).prop_map(|(prompt, flood)| Load::LaneFlood {
            prompt,
            flood,
            from: 20.0,
            to: 60.0
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_message_is_answered_exactly_once(
        load in any_load(),
        seed in any::<u64>(),
        min in 0..3_u32,
        cold_start in 0..20_u64,
    ) {
        let config = SimulationConfig {
            bounds: Bounds { min, max: 16 },
            cold_start: s(cold_start),
            tail: s(60),
            ..SimulationConfig::default()
        };
        let arrived = Trace::generate(&load, s(90), seed).arrivals.len() as u64;
        for report in simulated(&load, s(90), seed, &config) {
            prop_assert_eq!((report.lost, report.duplicates, report.unfinished), (0, 0, 0));
            prop_assert_eq!(report.all.messages, arrived);
            prop_assert!(report.peak_actors <= 16 + 16, "draining ones may overlap");
        }
    }

    #[test]
    fn a_constant_load_settles_and_then_changes_the_pool_at_most_once_in_ten_minutes(
        rate in 1.0..300.0_f64,
        seed in any::<u64>(),
        cold_start in 0..10_u64,
    ) {
        let config = SimulationConfig {
            cold_start: s(cold_start),
            tail: s(0),
            ..SimulationConfig::default()
        };
        let load = Load::Constant { rate };
        let trace = Trace::generate(&load, s(1_500), seed);
        let mut policy = DelayTarget::new(DelayTargetConfig::default());
        let report = simulate(&config, &trace, &mut policy);
        let settled = s(300);
        let changes: Vec<_> = report
            .scalings
            .iter()
            .filter(|scaling| (settled..trace.duration).contains(&scaling.at))
            .collect();
        for pair in changes.windows(2) {
            prop_assert!(pair[1].at - pair[0].at >= s(600), "{changes:#?}");
        }
    }
}
