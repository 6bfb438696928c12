//! Load estimation: λ, μ, W, D and n*.
//!
//! | symbol | meaning | unit |
//! |---|---|---|
//! | `λ` | arrival rate, the larger of a fast and a slow window: the fast one sees a step within seconds, the slow one remembers it when the arrivals come in bunches | tokens/s |
//! | `μ` | what one actor does while it is busy | tokens/s |
//! | `W` | work waiting: the pool's backlog and the lag before its intake | tokens |
//! | `C` | cold start of an actor | s |
//! | `D` | queue delay, `max(oldest wait, W / (n·μ))`: the first is what has happened, the second what the newest job will see | s |
//! | `D*` | the delay that the operator wants | s |
//! | `n*` | actors that the load needs | actors |
//!
//! `n* = ceil((λ + max(0, W − λ·D*) / H) / (ρ·μ))` with `H = max(2C, 4D*)`: enough actors for what
//! arrives, and for what is queued beyond the `λ·D*` that a pool exactly on target holds anyway
//! (Little's law), worked off within a horizon `H` that is long enough for new actors to take part.
//! `ρ` is the share of their time that actors should be busy: queueing delay grows as `1/(1 − ρ)`,
//! so a pool planned for `ρ = 1` would never catch up.
//!
//! Lanes have two targets, a short one for interactive and normal work (here *prompt*) and a long one
//! for bulk. Each gets its own `D`; the *pressure* is the larger of the two ratios `D / D*`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delay_target_config::DelayTargetConfig;
use super::snapshot::PoolSnapshot;
use super::window::RateWindow;

/// A need that no pool reaches; it only keeps `n*` a sane integer.
const MOST_NEEDED: f64 = 1e6;

/// The estimated load of a pool at one instant. All numbers are finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// `λ`, in tokens per second.
    pub arrival_tokens_per_second: f64,
    /// `μ`, in tokens per second and busy actor.
    pub service_tokens_per_second: f64,
    /// Tokens answered per second over the fast window.
    pub completed_tokens_per_second: f64,
    /// `W`, in tokens.
    pub waiting_tokens: u64,
    /// `D` of the interactive and the normal lane, in seconds.
    pub prompt_delay_seconds: f64,
    /// `D` of the any lane, in seconds.
    pub any_delay_seconds: f64,
    /// The larger `D / D*` of the two; one means exactly on target.
    pub pressure: f64,
    /// `n*`, the actors that the load needs, without any limit.
    pub needed_actors: u32,
    /// Seconds until the warm actors alone have worked off what waits beyond `λ·D*`; none when more
    /// arrives than they can do.
    pub drain_seconds: Option<f64>,
}

/// Turns snapshots into [`Estimates`]. It remembers rates, and nothing else.
#[derive(Debug, Clone)]
pub struct LoadEstimator {
    fast_arrivals: RateWindow,
    slow_arrivals: RateWindow,
    completions: RateWindow,
    service: ServiceRate,
    prompt_target: f64,
    any_target: f64,
    utilisation: f64,
}

impl LoadEstimator {
    /// An estimator with the windows, targets and prior of `config`.
    pub fn new(config: &DelayTargetConfig) -> Self {
        Self {
            fast_arrivals: RateWindow::new(config.fast_window()),
            slow_arrivals: RateWindow::new(config.slow_window()),
            completions: RateWindow::new(config.fast_window()),
            service: ServiceRate::new(
                config.prior_tokens_per_second,
                config.service_memory().as_secs_f64(),
            ),
            prompt_target: config.target_delay().as_secs_f64(),
            any_target: config.any_target_delay().as_secs_f64(),
            utilisation: config.utilisation,
        }
    }

    /// Takes a snapshot and says what the load is.
    pub fn observe(&mut self, snapshot: &PoolSnapshot, now: Duration) -> Estimates {
        let totals = &snapshot.totals;
        self.fast_arrivals.record(now, totals.arrived_tokens);
        self.slow_arrivals.record(now, totals.arrived_tokens);
        self.completions.record(now, totals.completed_tokens);
        self.service.record(totals.completed_tokens, totals.busy);

        let arrivals = self
            .fast_arrivals
            .per_second()
            .max(self.slow_arrivals.per_second());
        let service = self.service.per_second();
        let waiting = Waiting::of(snapshot);
        let wait = |tokens: f64| expected_wait(tokens, snapshot, service);
        let prompt_delay = snapshot
            .oldest_wait
            .prompt
            .as_secs_f64()
            .max(wait(waiting.prompt_tokens));
        let any_delay = if waiting.any_tokens > 0.0 {
            snapshot
                .oldest_wait
                .any
                .as_secs_f64()
                .max(wait(waiting.total()))
        } else {
            0.0
        };
        let pressure = (prompt_delay / self.prompt_target).max(any_delay / self.any_target);

        let cold_start = snapshot.cold_start.as_secs_f64();
        // All arrivals count for both targets, since lanes share the actors; what differs is how
        // soon the waiting part has to be gone.
        let excess = |tokens: f64, target: f64| (tokens - arrivals * target).max(0.0);
        let prompt_excess = excess(waiting.prompt_tokens, self.prompt_target);
        let any_excess = excess(waiting.total(), self.any_target);
        let need = |excess: f64, target: f64| {
            let horizon = (2.0 * cold_start).max(4.0 * target);
            (arrivals + excess / horizon) / (self.utilisation * service)
        };
        let needed = need(prompt_excess, self.prompt_target).max(need(any_excess, self.any_target));
        let spare = f64::from(snapshot.actors.warm()) * service - arrivals;

        Estimates {
            arrival_tokens_per_second: arrivals,
            service_tokens_per_second: service,
            completed_tokens_per_second: self.completions.per_second(),
            waiting_tokens: snapshot.queued_tokens() + snapshot.lag_tokens,
            prompt_delay_seconds: prompt_delay,
            any_delay_seconds: any_delay,
            pressure,
            needed_actors: whole_actors(needed),
            drain_seconds: (spare > 0.0).then(|| prompt_excess.max(any_excess) / spare),
        }
    }
}

/// Tokens waiting, by delay target.
struct Waiting {
    prompt_tokens: f64,
    any_tokens: f64,
}

impl Waiting {
    /// Splits the lag in proportion to the backlog: the lanes of unread messages are unknown. Without a backlog to
    /// compare with, all of it counts as prompt.
    fn of(snapshot: &PoolSnapshot) -> Self {
        let prompt = snapshot.queued.prompt_tokens() as f64;
        let any = snapshot.queued.any.tokens as f64;
        let lag = snapshot.lag_tokens as f64;
        let prompt_share = if prompt + any > 0.0 {
            prompt / (prompt + any)
        } else {
            1.0
        };
        Self {
            prompt_tokens: prompt + lag * prompt_share,
            any_tokens: any + lag * (1.0 - prompt_share),
        }
    }

    fn total(&self) -> f64 {
        self.prompt_tokens + self.any_tokens
    }
}

/// Seconds until a job that arrives now would start: `W / (n·μ)`. A pool without a warm actor first
/// needs one, which works alone.
fn expected_wait(tokens: f64, snapshot: &PoolSnapshot, service: f64) -> f64 {
    if tokens <= 0.0 {
        return 0.0;
    }
    match snapshot.actors.warm() {
        0 => snapshot.cold_start.as_secs_f64() + tokens / service,
        warm => tokens / (f64::from(warm) * service),
    }
}

fn whole_actors(needed: f64) -> u32 {
    // A load of exactly two actors must not become three by a rounding error.
    (needed - 1e-9).ceil().clamp(0.0, MOST_NEEDED) as u32
}

/// Tokens per second of busy time, one actor's worth.
///
/// An exponential mean *in busy time*: a pool at rest does not forget what its actors can do, eight
/// busy actors teach it eight times as fast as one, and the prior fades as soon as there is anything
/// to measure.
#[derive(Debug, Clone)]
pub struct ServiceRate {
    tokens_per_second: f64,
    memory_seconds: f64,
    seen: Option<(u64, Duration)>,
}

impl ServiceRate {
    /// Starts from a prior and forgets with the given time constant, in seconds of busy time.
    pub fn new(prior_tokens_per_second: f64, memory_seconds: f64) -> Self {
        Self {
            tokens_per_second: prior_tokens_per_second,
            memory_seconds,
            seen: None,
        }
    }

    /// Takes the counters of completed tokens and of time spent on them.
    pub fn record(&mut self, completed_tokens: u64, busy: Duration) {
        let (tokens_before, busy_before) = self.seen.unwrap_or_default();
        self.seen = Some((completed_tokens, busy));
        let seconds = busy.saturating_sub(busy_before).as_secs_f64();
        let tokens = completed_tokens.saturating_sub(tokens_before);
        // Time without tokens (failed batches only) says nothing about the speed of work, and a
        // speed of zero would ask for infinitely many actors.
        if seconds <= 0.0 || tokens == 0 {
            return;
        }
        let weight = 1.0 - (-seconds / self.memory_seconds).exp();
        self.tokens_per_second += weight * (tokens as f64 / seconds - self.tokens_per_second);
    }

    /// The estimate; the prior until something was measured.
    pub fn per_second(&self) -> f64 {
        self.tokens_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActorCounts, LaneBacklog, LaneBacklogs, OldestWaits, Totals};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn estimator(prior: f64) -> LoadEstimator {
        LoadEstimator::new(&DelayTargetConfig {
            prior_tokens_per_second: prior,
            ..DelayTargetConfig::default()
        })
    }

    fn lane(tokens: u64) -> LaneBacklog {
        LaneBacklog {
            jobs: tokens / 10,
            tokens,
        }
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6 * right.abs().max(1.0)
    }

    #[test]
    fn an_actor_that_was_never_busy_has_the_prior_speed() {
        let estimates = estimator(300.0).observe(&PoolSnapshot::default(), s(0));
        assert_eq!(estimates.service_tokens_per_second, 300.0);
    }

    #[test]
    fn the_prior_fades_with_busy_time_and_rest_forgets_nothing() {
        let mut service = ServiceRate::new(100.0, 5.0);
        for second in 1..=30 {
            service.record(second * 900, s(second));
        }
        assert!((service.per_second() - 900.0).abs() < 5.0);
        for _ in 0..1_000 {
            service.record(27_000, s(30));
        }
        assert!((service.per_second() - 900.0).abs() < 5.0);
    }

    #[test]
    fn failed_batches_do_not_make_the_speed_zero() {
        let mut service = ServiceRate::new(100.0, 5.0);
        service.record(0, s(600));
        assert_eq!(service.per_second(), 100.0);
    }

    #[test]
    fn the_need_is_the_arrivals_and_the_excess_over_the_horizon() {
        let mut estimator = estimator(100.0);
        let mut snapshot = PoolSnapshot {
            actors: ActorCounts {
                busy: 2,
                ..Default::default()
            },
            cold_start: s(5),
            ..Default::default()
        };
        estimator.observe(&snapshot, s(0));
        snapshot.totals = Totals {
            arrived_tokens: 600,
            ..Default::default()
        };
        snapshot.queued = LaneBacklogs {
            normal: lane(1_000),
            ..Default::default()
        };
        let estimates = estimator.observe(&snapshot, s(2));
        // λ = 300, D* = 0.5, H = max(10, 2) = 10: (300 + (1000 − 150) / 10) / (0.75 · 100) = 5.13
        assert_eq!(estimates.arrival_tokens_per_second, 300.0);
        assert_eq!(estimates.needed_actors, 6);
        // D = 1000 / (2 · 100) = 5 s, ten times the target
        assert!(close(estimates.prompt_delay_seconds, 5.0));
        assert!(close(estimates.pressure, 10.0));
    }

    #[test]
    fn the_oldest_wait_counts_when_it_is_longer_than_the_expected_one() {
        let snapshot = PoolSnapshot {
            actors: ActorCounts {
                busy: 2,
                ..Default::default()
            },
            queued: LaneBacklogs {
                interactive: lane(10),
                ..Default::default()
            },
            oldest_wait: OldestWaits {
                prompt: s(3),
                any: s(0),
            },
            ..Default::default()
        };
        let estimates = estimator(100.0).observe(&snapshot, s(0));
        assert_eq!(estimates.prompt_delay_seconds, 3.0);
    }

    #[test]
    fn bulk_work_has_the_longer_target() {
        let snapshot = PoolSnapshot {
            actors: ActorCounts {
                busy: 1,
                ..Default::default()
            },
            queued: LaneBacklogs {
                any: lane(500),
                ..Default::default()
            },
            ..Default::default()
        };
        let estimates = estimator(100.0).observe(&snapshot, s(0));
        assert_eq!(estimates.prompt_delay_seconds, 0.0);
        assert!(close(estimates.any_delay_seconds, 5.0));
        assert!(close(estimates.pressure, 1.0));

        let late = OldestWaits {
            prompt: s(0),
            any: s(10),
        };
        let snapshot = PoolSnapshot {
            oldest_wait: late,
            ..snapshot
        };
        let estimates = estimator(100.0).observe(&snapshot, s(0));
        assert!(close(estimates.any_delay_seconds, 10.0) && close(estimates.pressure, 2.0));
    }

    #[test]
    fn lag_counts_as_the_backlog_is_mixed() {
        let snapshot = PoolSnapshot {
            queued: LaneBacklogs {
                normal: lane(100),
                any: lane(300),
                ..Default::default()
            },
            lag_tokens: 4_000,
            ..Default::default()
        };
        let waiting = Waiting::of(&snapshot);
        assert!(close(waiting.prompt_tokens, 1_100.0) && close(waiting.any_tokens, 3_300.0));
        let lag_only = PoolSnapshot {
            lag_tokens: 4_000,
            ..Default::default()
        };
        assert!(close(Waiting::of(&lag_only).prompt_tokens, 4_000.0));
    }

    #[test]
    fn an_empty_pool_has_a_finite_delay_of_at_least_a_cold_start() {
        let snapshot = PoolSnapshot {
            queued: LaneBacklogs {
                normal: lane(100),
                ..Default::default()
            },
            cold_start: s(7),
            ..Default::default()
        };
        let estimates = estimator(100.0).observe(&snapshot, s(0));
        assert!(close(estimates.prompt_delay_seconds, 8.0));
    }

    #[test]
    fn a_burst_stays_in_the_arrival_rate_for_the_slow_window() {
        let mut estimator = estimator(100.0);
        let mut snapshot = PoolSnapshot::default();
        estimator.observe(&snapshot, s(0));
        snapshot.totals.arrived_tokens = 6_000;
        for second in 1..=60 {
            let rate = estimator
                .observe(&snapshot, s(second))
                .arrival_tokens_per_second;
            assert!(rate >= 100.0 - 1e-9, "{rate} at {second} s");
        }
        let rate = estimator
            .observe(&snapshot, s(61))
            .arrival_tokens_per_second;
        assert_eq!(rate, 0.0);
    }

    #[test]
    fn whole_loads_are_not_rounded_up() {
        assert_eq!(whole_actors(2.0 + 1e-12), 2);
        assert_eq!(whole_actors(2.1), 3);
        assert_eq!(whole_actors(0.0), 0);
    }
}
