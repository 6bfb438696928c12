//! Scaling decisions: target, reason and inputs.

use serde::{Deserialize, Serialize};

use super::estimate::Estimates;
use super::snapshot::PoolSnapshot;

/// A policy's answer. It says what the pool should be; the supervisor spawns or drains actors until
/// [`ActorCounts::owned`](super::ActorCounts::owned) is the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// How many actors the pool should own (draining ones not counted).
    pub target: u32,
    /// Why.
    pub reason: Reason,
    /// Actors that the load asks for and that the bounds or the node's ceilings refuse. Above zero
    /// it tells the operator to add a node, and the intake to expect to pause.
    pub unmet_actors: u32,
    /// The numbers behind the decision, for traces and status pages.
    pub inputs: Inputs,
}

impl Decision {
    /// Fits what a policy wants into the operator's bounds and the node's ceilings.
    ///
    /// A ceiling outranks the minimum (an actor that does not fit cannot be started) and never
    /// shrinks a pool: it counts actors that could be added. `needed` is what the load asks for
    /// without any limit.
    pub(super) fn within_limits(
        snapshot: &PoolSnapshot,
        wanted: u32,
        needed: u32,
        reason: Reason,
        estimates: Estimates,
    ) -> Self {
        let owned = snapshot.actors.owned();
        let most = snapshot.most_actors();
        let target = wanted.max(snapshot.bounds.min).min(most);
        let reason = if owned > snapshot.bounds.max {
            Reason::AboveMaximum {
                max: snapshot.bounds.max,
            }
        } else if owned < snapshot.bounds.min && wanted <= snapshot.bounds.min {
            Reason::BelowMinimum {
                min: snapshot.bounds.min,
            }
        } else if wanted > target && target == owned {
            Reason::AtCeiling { wanted }
        } else {
            reason
        };
        Self {
            target,
            reason,
            unmet_actors: needed.max(snapshot.bounds.min).saturating_sub(most),
            inputs: Inputs {
                owned,
                warm: snapshot.actors.warm(),
                estimates,
            },
        }
    }
}

/// Reason of a decision, with the deciding numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// No change needed.
    Steady,
    /// The pool was smaller than its minimum.
    BelowMinimum {
        /// The minimum, in actors.
        min: u32,
    },
    /// The pool was larger than its maximum.
    AboveMaximum {
        /// The maximum, in actors.
        max: u32,
    },
    /// More actors are wanted than the maximum or the node allows.
    AtCeiling {
        /// Actors that the policy wanted.
        wanted: u32,
    },
    /// Work waits and there is no actor at all.
    EmptyPool {
        /// Waiting tokens, lag included.
        waiting_tokens: u64,
    },
    /// The delay stayed above its target.
    DelaySustained {
        /// The smallest delay of the observation time, in multiples of the target.
        pressure: f64,
    },
    /// The delay is so far above its target that waiting for a confirmation would cost more.
    DelayExcessive {
        /// The delay, in multiples of the target.
        pressure: f64,
    },
    /// The delay is too long, but the backlog will be gone before a new actor could help.
    BacklogDrains {
        /// Seconds until the delay is back on target without a new actor.
        drain_seconds: f64,
    },
    /// More actors are wanted, and enough were added in the last seconds.
    Paced {
        /// The largest pool allowed before more time has passed.
        limit: u32,
    },
    /// The load has needed fewer actors for the whole shrink window.
    Oversized {
        /// The largest need of that time, in actors.
        largest_need: u32,
    },
    /// Idle for so long that the last actor is stopped.
    Idle {
        /// Seconds without work.
        idle_seconds: f64,
    },
    /// The last addition did not increase throughput and is undone.
    AdditionUndone {
        /// Throughput after the addition over throughput before it, minus one.
        gain: f64,
        /// The gain that would have kept it.
        required: f64,
    },
    /// An addition was undone a moment ago; the size is held for now.
    Frozen {
        /// Seconds until the policy may change the size again.
        remaining_seconds: f64,
    },
    /// The threshold rule brought the pool to its configured initial size.
    InitialSize,
    /// The threshold rule changed the worker counts of its two queues.
    Threshold {
        /// Change of the normal queue's count.
        normal_step: i32,
        /// Change of the any queue's count.
        any_step: i32,
    },
}

impl Reason {
    /// The reason's name, the same as in its serialised form: a bounded label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::BelowMinimum { .. } => "below_minimum",
            Self::AboveMaximum { .. } => "above_maximum",
            Self::AtCeiling { .. } => "at_ceiling",
            Self::EmptyPool { .. } => "empty_pool",
            Self::DelaySustained { .. } => "delay_sustained",
            Self::DelayExcessive { .. } => "delay_excessive",
            Self::BacklogDrains { .. } => "backlog_drains",
            Self::Paced { .. } => "paced",
            Self::Oversized { .. } => "oversized",
            Self::Idle { .. } => "idle",
            Self::AdditionUndone { .. } => "addition_undone",
            Self::Frozen { .. } => "frozen",
            Self::InitialSize => "initial_size",
            Self::Threshold { .. } => "threshold",
        }
    }
}

/// The numbers behind a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Actors that the pool owned (ready, busy and starting).
    pub owned: u32,
    /// Actors that were warm (ready and busy).
    pub warm: u32,
    /// The load estimate.
    #[serde(flatten)]
    pub estimates: Estimates,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActorCounts, Bounds, Ceilings};

    fn pool(owned: u32, min: u32, max: u32, room: u32) -> PoolSnapshot {
        PoolSnapshot {
            actors: ActorCounts {
                busy: owned,
                ..Default::default()
            },
            bounds: Bounds { min, max },
            ceilings: Ceilings {
                cores: room,
                memory: u32::MAX,
            },
            ..Default::default()
        }
    }

    fn fit(snapshot: &PoolSnapshot, wanted: u32) -> Decision {
        Decision::within_limits(
            snapshot,
            wanted,
            wanted,
            Reason::Steady,
            Estimates::default(),
        )
    }

    #[test]
    fn a_target_stays_within_the_bounds() {
        assert_eq!(fit(&pool(2, 1, 4, 9), 7).target, 4);
        assert_eq!(fit(&pool(2, 3, 4, 9), 1).target, 3);
    }

    #[test]
    fn a_ceiling_limits_additions_and_never_shrinks_the_pool() {
        assert_eq!(fit(&pool(2, 1, 9, 1), 7).target, 3);
        assert_eq!(fit(&pool(5, 1, 9, 0), 5).target, 5);
    }

    #[test]
    fn a_ceiling_outranks_the_minimum() {
        let decision = fit(&pool(1, 4, 9, 1), 1);
        assert_eq!(decision.target, 2);
        assert_eq!(
            decision.unmet_actors, 2,
            "the operator asked for two more than fit"
        );
    }

    #[test]
    fn actors_that_do_not_fit_are_unmet() {
        let decision = fit(&pool(3, 1, 9, 0), 8);
        assert_eq!((decision.target, decision.unmet_actors), (3, 5));
        assert_eq!(decision.reason, Reason::AtCeiling { wanted: 8 });
    }

    #[test]
    fn a_pool_above_its_maximum_is_cut_at_once() {
        let decision = fit(&pool(6, 1, 4, 0), 6);
        assert_eq!(decision.target, 4);
        assert_eq!(decision.reason, Reason::AboveMaximum { max: 4 });
    }

    #[test]
    fn a_decision_serialises_flat_with_its_reasons_name() {
        let decision = fit(&pool(3, 1, 9, 0), 8);
        let json = serde_json::to_value(&decision).expect("a decision is plain data");
        assert_eq!(json["reason"]["kind"], decision.reason.label());
        assert_eq!(json["inputs"]["owned"], 3);
        assert!(json["inputs"]["arrival_tokens_per_second"].is_number());
        let back: Decision = serde_json::from_value(json).expect("it reads its own form");
        assert_eq!(back, decision);
    }
}
