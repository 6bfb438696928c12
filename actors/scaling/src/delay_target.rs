//! Keeps the queue delay near a target: the default policy.
//!
//! It sizes the pool by what the load needs ([`LoadEstimator`] has the formulas) and decides *when* by
//! the delay that jobs really see:
//!
//! - **Up** when the delay was above its target for two seconds, or is above twice the target now.
//!   At most to `max(2n, n + 4)` in fifteen seconds, and not when the backlog will be gone before a
//!   new actor is warm. A delay that persists although the formulas see enough actors proves them
//!   wrong: then one more is asked for.
//! - **Down** when the largest need of two minutes is below the pool's size and the delay is below a
//!   quarter of its target; one actor in thirty seconds, and the last one is drained first.
//! - **To zero** after a long time without work, where the minimum is zero; **from zero** as soon as
//!   anything waits.
//! - An addition that brings no throughput is undone ([`GainGuard`]) and the size held for a while.
//!
//! The operator's bounds and the node's ceilings hold at every moment, whatever else is decided.

use std::time::Duration;

use super::decision::{Decision, Reason};
use super::delay_target_config::DelayTargetConfig;
use super::estimate::{Estimates, LoadEstimator};
use super::gain_guard::{GainGuard, Verdict};
use super::pace::Pace;
use super::policy::ScalingPolicy;
use super::snapshot::PoolSnapshot;
use super::window::ExtremeWindow;

/// The delay-target policy of one pool.
#[derive(Debug, Clone)]
pub struct DelayTarget {
    config: DelayTargetConfig,
    estimator: LoadEstimator,
    pressures: ExtremeWindow<f64>,
    needs: ExtremeWindow<u32>,
    pace: Pace,
    guard: GainGuard,
    pressed_since: Option<Duration>,
}

impl DelayTarget {
    /// A policy with the given parameters, which are expected to be
    /// [valid](DelayTargetConfig::validate).
    pub fn new(config: DelayTargetConfig) -> Self {
        Self {
            estimator: LoadEstimator::new(&config),
            pressures: ExtremeWindow::new(config.sustain()),
            needs: ExtremeWindow::new(config.shrink_window()),
            pace: Pace::new(
                config.growth_factor,
                config.growth_step,
                config.growth_period(),
                config.shrink_period(),
            ),
            guard: GainGuard::new(config.required_gain, config.gain_window(), config.freeze()),
            pressed_since: None,
            config,
        }
    }

    /// The size that the load asks for, limited by pace and guard only.
    fn choose(&self, moment: &DecisionInput<'_>, verdict: Verdict) -> (u32, Reason) {
        let owned = moment.owned();
        if owned == 0 && moment.snapshot.has_waiting_work() {
            let waiting_tokens = moment.estimates.waiting_tokens;
            let wanted = moment
                .estimates
                .needed_actors
                .clamp(1, self.pace.growth_limit().max(1));
            return (wanted, Reason::EmptyPool { waiting_tokens });
        }
        match verdict {
            Verdict::Undo {
                size,
                gain,
                required,
            } => {
                return (size.min(owned), Reason::AdditionUndone { gain, required });
            }
            Verdict::Frozen { remaining } => {
                return (
                    owned,
                    Reason::Frozen {
                        remaining_seconds: remaining.as_secs_f64(),
                    },
                );
            }
            Verdict::Free | Verdict::Judging => {}
        }
        if let Some(cause) = self.cause_to_grow(moment) {
            return self.grow(moment, verdict, cause);
        }
        self.shrink(moment).unwrap_or((owned, Reason::Steady))
    }

    fn cause_to_grow(&self, moment: &DecisionInput<'_>) -> Option<Reason> {
        let pressure = moment.estimates.pressure;
        if pressure > self.config.excessive_pressure {
            return Some(Reason::DelayExcessive { pressure });
        }
        let sustained = self.pressures.min().filter(|_| self.pressures.is_full())?;
        (sustained > 1.0).then_some(Reason::DelaySustained {
            pressure: sustained,
        })
    }

    fn grow(&self, moment: &DecisionInput<'_>, verdict: Verdict, cause: Reason) -> (u32, Reason) {
        let owned = moment.owned();
        if let Some(drain_seconds) = self.drains_in_time(moment) {
            return (owned, Reason::BacklogDrains { drain_seconds });
        }
        let needed = moment.estimates.needed_actors;
        let wanted = if needed > owned {
            needed
        } else if verdict == Verdict::Free && self.estimates_are_refuted(moment) {
            owned.saturating_add(1)
        } else {
            return (owned, Reason::Steady);
        };
        let limit = self.pace.growth_limit();
        if limit <= owned {
            return (owned, Reason::Paced { limit });
        }
        (wanted.min(limit), cause)
    }

    /// The seconds after which the delay will be back on target without help, if that is before a
    /// new actor could give any. A prediction that has not come true in a cold start's time (and the
    /// time that every observation needs) is not believed any longer.
    fn drains_in_time(&self, moment: &DecisionInput<'_>) -> Option<f64> {
        let cold_start = moment.snapshot.cold_start;
        let drain_seconds = moment.estimates.drain_seconds?;
        let patience = cold_start + self.config.sustain();
        (drain_seconds <= cold_start.as_secs_f64() && moment.pressed_for <= patience)
            .then_some(drain_seconds)
    }

    /// Whether the delay has stayed above its target with all actors at work that the formulas ask
    /// for: then the formulas, or what was measured for them, are wrong.
    fn estimates_are_refuted(&self, moment: &DecisionInput<'_>) -> bool {
        moment.snapshot.actors.starting == 0
            && self.pressures.is_full()
            && self.pressures.min().is_some_and(|pressure| pressure > 1.0)
            && moment.pressed_for > moment.snapshot.cold_start + self.config.sustain()
    }

    fn shrink(&self, moment: &DecisionInput<'_>) -> Option<(u32, Reason)> {
        let PoolSnapshot { actors, bounds, .. } = moment.snapshot;
        let owned = moment.owned();
        // One at a time, and only when the last one has finished its batch.
        if owned == 0 || actors.draining > 0 || !self.pace.may_remove(moment.now) {
            return None;
        }
        if owned == 1 {
            return (bounds.min == 0).then(|| self.rest(moment)).flatten();
        }
        let largest_need = self.needs.max().filter(|_| self.needs.is_full())?;
        let oversized =
            largest_need < owned && moment.estimates.pressure < self.config.shrink_pressure;
        (oversized && owned > bounds.min).then_some((owned - 1, Reason::Oversized { largest_need }))
    }

    fn rest(&self, moment: &DecisionInput<'_>) -> Option<(u32, Reason)> {
        let snapshot = moment.snapshot;
        let idle = moment.now.saturating_sub(snapshot.idle_since?);
        let at_rest = !snapshot.has_waiting_work()
            && snapshot.in_flight_tokens == 0
            && idle >= self.config.idle_to_zero();
        at_rest.then_some((
            0,
            Reason::Idle {
                idle_seconds: idle.as_secs_f64(),
            },
        ))
    }
}

impl ScalingPolicy for DelayTarget {
    fn name(&self) -> &'static str {
        "delay-target"
    }

    fn interval(&self) -> Duration {
        self.config.interval()
    }

    fn decide(&mut self, snapshot: &PoolSnapshot, now: Duration) -> Decision {
        let estimates = self.estimator.observe(snapshot, now);
        let owned = snapshot.actors.owned();
        self.pace.observe(now, owned);
        self.pressures.record(now, estimates.pressure);
        self.needs.record(now, estimates.needed_actors);
        let late = estimates.pressure > 1.0;
        self.pressed_since = late.then(|| self.pressed_since.unwrap_or(now));
        let verdict = self.guard.observe(
            now,
            snapshot.totals.completed_tokens,
            snapshot.actors.warm(),
            owned,
            late && snapshot.actors.ready == 0,
        );

        let moment = DecisionInput {
            snapshot,
            estimates: &estimates,
            now,
            pressed_for: self
                .pressed_since
                .map_or(Duration::ZERO, |since| now.saturating_sub(since)),
        };
        let (wanted, reason) = self.choose(&moment, verdict);
        let needed = estimates.needed_actors;
        let decision = Decision::within_limits(snapshot, wanted, needed, reason, estimates);
        if decision.target > owned {
            self.guard.added(owned, decision.target);
        } else if decision.target < owned {
            self.pace.removed(now);
        }
        decision
    }
}

/// Inputs of one decision.
struct DecisionInput<'a> {
    snapshot: &'a PoolSnapshot,
    estimates: &'a Estimates,
    now: Duration,
    /// How long the delay has been above its target without a break.
    pressed_for: Duration,
}

impl DecisionInput<'_> {
    fn owned(&self) -> u32 {
        self.snapshot.actors.owned()
    }
}
