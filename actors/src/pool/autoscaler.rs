//! The number of the pool's own actors: asks the scaling policy when that is due, and keeps what it decided.

use std::time::Duration;

use tokio::time::Instant;

use crate::scaling::{Bounds, Decision, PoolSnapshot, ScalingPolicy};

use super::command::BoundsError;

/// The scaling policy of a pool and its target.
pub(super) struct Autoscaler {
    policy: Box<dyn ScalingPolicy>,
    bounds: Bounds,
    wanted: u32,
    next_decision: Instant,
    decision: Option<Decision>,
    started: Instant,
    idle_since: Option<Instant>,
}

/// Pool state that the policy does not see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) owned: u32,
    pub(super) has_work: bool,
    /// Whether no actor is started until there is work, because memory is short.
    pub(super) is_resting: bool,
    pub(super) is_broken: bool,
}

/// Another number of actors is wanted.
pub(super) struct Scaled {
    pub(super) from: u32,
    pub(super) decision: Decision,
}

/// Adjusts a policy's target to the state of the pool. A pool with work needs an actor, even without free memory:
/// others release theirs. A pool that was evicted starts none before it has work.
pub(super) fn wanted_after(target: u32, situation: Situation) -> u32 {
    if situation.owned > 0 {
        target
    } else if situation.has_work {
        target.max(1)
    } else if situation.is_resting {
        0
    } else {
        // A broken one gets no jobs that would show whether it still is.
        target.max(u32::from(situation.is_broken))
    }
}

impl Autoscaler {
    pub(super) fn new(
        policy: Box<dyn ScalingPolicy>,
        bounds: Bounds,
        initial: u32,
        now: Instant,
    ) -> Self {
        Self {
            policy,
            bounds,
            wanted: bounds.min.max(initial),
            next_decision: now,
            decision: None,
            started: now,
            idle_since: Some(now),
        }
    }

    /// Whether a decision is due. If so, schedules the next one.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next_decision;
        if is_due {
            self.next_decision = now + self.policy.interval();
        }
        is_due
    }

    /// Asks the policy. Returns what has changed.
    pub(super) fn decide(
        &mut self,
        snapshot: &PoolSnapshot,
        situation: Situation,
        now: Instant,
    ) -> Option<Scaled> {
        let at = now.saturating_duration_since(self.started);
        let decision = self.policy.decide(snapshot, at);
        let wanted = wanted_after(decision.target, situation);
        let from = std::mem::replace(&mut self.wanted, wanted);
        let scaled = (from != wanted).then(|| {
            let mut decision = decision.clone();
            decision.target = wanted;
            Scaled { from, decision }
        });
        self.decision = Some(decision);
        scaled
    }

    /// Makes a decision due at the next tick.
    pub(super) const fn hasten(&mut self, now: Instant) {
        self.next_decision = now;
    }

    /// Changes the bounds; returns those before.
    pub(super) fn set_bounds(
        &mut self,
        bounds: Bounds,
        now: Instant,
    ) -> Result<Bounds, BoundsError> {
        let Bounds { min, max } = bounds;
        if min > max || max == 0 {
            return Err(BoundsError { min, max });
        }
        let from = std::mem::replace(&mut self.bounds, bounds);
        if from != bounds {
            self.hasten(now);
        }
        Ok(from)
    }

    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Number of actors that are wanted.
    pub(super) const fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Limits the target until the next decision.
    pub(super) fn limit(&mut self, actors: u32) {
        self.wanted = self.wanted.min(actors);
    }

    /// The pool has work.
    pub(super) const fn note_work(&mut self) {
        self.idle_since = None;
    }

    /// The pool has no work.
    pub(super) fn note_idle(&mut self) {
        if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }

    /// Since when it has none, from the start of the pool on.
    pub(super) fn idle_since(&self) -> Option<Duration> {
        let at = self.idle_since?;
        Some(at.saturating_duration_since(self.started))
    }

    pub(super) fn policy(&self) -> &str {
        self.policy.name()
    }

    pub(super) const fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pool_with_work_is_never_without_an_actor(target in 0u32..5, owned in 0u32..3, is_resting: bool, is_broken: bool) {
            let situation = Situation { owned, has_work: true, is_resting, is_broken };
            let wanted = wanted_after(target, situation);
            prop_assert!(wanted >= target);
            prop_assert!(owned > 0 || wanted > 0);
        }

        #[test]
        fn a_pool_without_work_and_actors_starts_some_only_if_memory_allows_it(target in 0u32..5, is_resting: bool, is_broken: bool) {
            let situation = Situation { owned: 0, has_work: false, is_resting, is_broken };
            let wanted = wanted_after(target, situation);
            prop_assert_eq!(wanted == 0, is_resting || (target == 0 && !is_broken));
        }
    }
}
