//! The number of a pool's model actors: asking the policy, spawning, retiring.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::Lane,
    engine::{EngineError, Usage},
    events::{Event, StopReason},
    scaling::{Bounds, LaneBacklog, LaneBacklogs, OldestWaits, PoolSnapshot},
};

use super::{
    command::{Applied, BoundsError},
    core::Pool,
    member::{Member, Phase},
    model_actor::{ModelActor, ModelStart},
    status::{LaneStatus, PoolStatus},
    supervisor::PoolMessage,
};

/// Cold start that is assumed until one was measured.
const ASSUMED_COLD_START: Duration = Duration::from_secs(2);

impl Pool {
    /// Asks the policy when it is due.
    pub(super) fn decide(&mut self) {
        let now = Instant::now();
        if now < self.next_decision || self.is_closing() {
            return;
        }
        self.next_decision = now + self.policy.interval();
        let snapshot = self.snapshot(now);
        let decision = self
            .policy
            .decide(&snapshot, now.saturating_duration_since(self.started));
        let wanted = self.wanted_after(decision.target);
        let from = std::mem::replace(&mut self.wanted, wanted);
        if from != wanted {
            let mut decision = decision.clone();
            decision.target = wanted;
            self.observe(Event::Scaled {
                pool: self.pool(),
                from: from as usize,
                decision,
            });
        }
        self.decision = Some(decision);
    }

    /// Makes the number of actors what is wanted.
    pub(super) async fn reconcile(&mut self, myself: &ActorRef<PoolMessage>) {
        if self.is_closing() && !self.has_jobs() {
            while let Some(id) = self.members.most_dispensable() {
                self.retire(id, StopReason::Drained);
            }
            return;
        }
        // A pool that closes with jobs left needs somebody to do them; the policy is not asked any more.
        let wanted = self.wanted.max(u32::from(self.is_closing()));
        while self.members.counts().owned() > wanted {
            let Some(id) = self.members.most_dispensable() else {
                break;
            };
            self.retire(id, StopReason::ScaledDown);
        }
        while self.members.counts().owned() < wanted && self.may_start() {
            if !self.spawn(myself).await {
                break;
            }
        }
    }

    /// Changes the bounds; the policy brings the pool into them at once.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) -> Result<Applied, BoundsError> {
        let Bounds { min, max } = bounds;
        if min > max || max == 0 {
            return Err(BoundsError { min, max });
        }
        let from = std::mem::replace(&mut self.spec.bounds, bounds);
        if from != bounds {
            self.next_decision = Instant::now();
            self.observe(Event::BoundsSet {
                pool: self.pool(),
                from,
                to: bounds,
            });
        }
        Ok(Applied::of(from != bounds))
    }

    pub(super) fn cold_start(&self) -> Duration {
        self.cold_start.unwrap_or(ASSUMED_COLD_START)
    }

    pub(super) fn may_start(&self) -> bool {
        self.restart
            .not_before
            .is_none_or(|at| at <= Instant::now())
    }

    async fn spawn(&mut self, myself: &ActorRef<PoolMessage>) -> bool {
        let first = self.members.counts().owned() == 0;
        let urgent = first && (self.has_queued() || self.has_jobs());
        let Some(permit) = self.seat.acquire(self.actor_memory, urgent) else {
            self.waits_for_memory |= urgent;
            if first && !urgent {
                // It would only push out others that may have work.
                self.eviction.resting = true;
                self.wanted = 0;
            }
            return false;
        };
        self.waits_for_memory = false;
        self.eviction.resting = false;
        self.spawned += 1;
        let name: Arc<str> = Arc::from(format!("{}/{}", self.spec.model_id, self.spawned));
        let start = ModelStart {
            engine: self.engines.create(),
            supervisor: myself.clone(),
            warm_up: Arc::clone(&self.warm_up),
        };
        match Actor::spawn_linked(None, ModelActor, start, myself.get_cell()).await {
            Ok((actor, _)) => {
                let member = Member {
                    actor,
                    name: Arc::clone(&name),
                    phase: Phase::Starting,
                    usage: Usage::default(),
                    numeric: None,
                    batches: 0,
                    permit,
                };
                self.members.all.insert(member.actor.get_id(), member);
                self.observe(Event::ActorSpawned {
                    pool: self.pool(),
                    actor: name,
                });
                true
            }
            Err(error) => {
                self.restart.last_error = Some(error.to_string());
                self.restart.reason = Some(EngineError::reason_of(&error));
                false
            }
        }
    }

    fn snapshot(&self, now: Instant) -> PoolSnapshot {
        let mut actors = self.members.counts();
        if !self.may_start() {
            actors.starting += self.wanted.saturating_sub(actors.owned());
        }
        let lane = |lane| LaneBacklog {
            jobs: self.backlog.items(lane) as u64,
            tokens: self.backlog.tokens(lane),
        };
        let wait = |lane| {
            let oldest = self.backlog.oldest(lane);
            oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
        };
        PoolSnapshot {
            actors,
            bounds: self.spec.bounds,
            ceilings: self.room(),
            queued: LaneBacklogs {
                interactive: lane(Lane::Interactive),
                normal: lane(Lane::Normal),
                any: lane(Lane::Any),
            },
            in_flight_tokens: self.members.in_flight().map(|b| u64::from(b.tokens)).sum(),
            lag_tokens: self.lag.tokens(),
            oldest_wait: OldestWaits {
                prompt: wait(Lane::Interactive).max(wait(Lane::Normal)),
                any: wait(Lane::Any),
            },
            totals: self.totals,
            cold_start: self.cold_start(),
            idle_since: self
                .idle_since
                .map(|at| at.saturating_duration_since(self.started)),
        }
    }

    /// The numeric type that its engines translate in, as they reported it; none while they differ or none has reported yet.
    pub(super) fn numeric(&self) -> Option<&str> {
        let reported = self.members.all.values();
        let reported = reported.filter_map(|member| member.numeric.as_deref());
        let last = self.last_report.as_ref();
        agreed(reported, last.map(|report| report.numeric.as_str()))
    }

    /// Names the space that its engines translate in; empty while that is not known.
    pub(super) fn space(&self) -> String {
        let space = self.spec.space.as_ref().zip(self.numeric());
        space.map_or_else(String::new, |(space, numeric)| space.digest(numeric))
    }

    /// What the pool tells about itself.
    pub(super) fn status(&self) -> PoolStatus {
        let now = Instant::now();
        let mut lanes = crate::domain::Lanes::<LaneStatus>::default();
        for lane in Lane::ALL {
            let oldest = self.backlog.oldest(lane);
            let waited = oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            lanes[lane] = LaneStatus {
                segments: self.backlog.items(lane),
                tokens: self.backlog.tokens(lane),
                oldest_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            };
        }
        PoolStatus {
            model_id: self.spec.model_id.to_string(),
            engine: self.engines.name().to_owned(),
            ability: Some(self.spec.ability.clone()),
            space: self.space(),
            policy: self.policy.name().to_owned(),
            wanted: self.wanted,
            resting: self.is_resting(),
            bounds: [self.spec.bounds.min, self.spec.bounds.max],
            actors: self.members.status(),
            lanes,
            jobs: self.jobs.len() as u64,
            translated: self.totals.completed_jobs,
            failed: self.failed_jobs,
            decision: self.decision.clone(),
            failing: self.restart.last_error.clone(),
            broken: self.restart.is_permanent && self.members.counts().warm() == 0,
            guests: self.guest_status(),
            offload: self.help.reason,
            offer: self.offer(),
            loans: self.loan_status(),
            held: self.held.status(),
        }
    }
}

/// The numeric type that all actors reported, or without actors the last one.
fn agreed<'a>(
    mut reported: impl Iterator<Item = &'a str>,
    last: Option<&'a str>,
) -> Option<&'a str> {
    let numeric = reported.next().or(last)?;
    reported.all(|other| other == numeric).then_some(numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numeric_type_of_a_pool_is_the_one_that_all_actors_reported() {
        let of = |reported: &[&'static str], last| agreed(reported.iter().copied(), last);
        assert_eq!(of(&[], None), None);
        assert_eq!(of(&["int8", "int8"], Some("int8")), Some("int8"));
        assert_eq!(of(&["int8", "float32"], Some("int8")), None);
        assert_eq!(of(&[], Some("int8")), Some("int8"));
    }
}
