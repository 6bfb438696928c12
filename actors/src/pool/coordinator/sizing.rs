//! The number of own actors: asking the policy, spawning, retiring, and giving one up when the node's memory is short.

use std::{sync::Arc, time::Duration};

use ractor::{ActorId, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::Lane,
    events::{Event, StopReason},
    scaling::{Ceilings, LaneBacklog, LaneBacklogs, OldestWaits, PoolSnapshot},
};

use super::Pool;
use crate::pool::{
    autoscaler::{Scaled, Situation},
    message::PoolMessage,
};

impl Pool {
    /// Asks the policy when it is due.
    pub(in crate::pool) fn decide(&mut self) {
        let now = Instant::now();
        if self.closing.is_closing() || !self.autoscaler.is_due(now) {
            return;
        }
        let snapshot = self.snapshot(now);
        let situation = Situation {
            owned: self.workers.counts().owned(),
            has_work: self.has_work(),
            is_resting: self.capacity.is_resting(),
            is_broken: self.health.is_broken(),
        };
        let scaled = self.autoscaler.decide(&snapshot, situation, now);
        if let Some(Scaled { from, decision }) = scaled {
            self.events.observe(Event::Scaled {
                pool: self.events.pool(),
                from: from as usize,
                decision,
            });
        }
    }

    /// Makes the number of actors what is wanted.
    pub(in crate::pool) async fn reconcile(&mut self, myself: &ActorRef<PoolMessage>) {
        let is_closing = self.closing.is_closing();
        if is_closing && !self.has_jobs() {
            while let Some(id) = self.workers.most_dispensable() {
                self.retire(id, StopReason::Drained);
            }
            return;
        }
        // A closing pool with remaining jobs needs an actor; the policy is no longer consulted.
        let wanted = self.autoscaler.wanted().max(u32::from(is_closing));
        while self.workers.counts().owned() > wanted {
            let Some(id) = self.workers.most_dispensable() else {
                break;
            };
            self.retire(id, StopReason::ScaledDown);
        }
        while self.workers.counts().owned() < wanted && self.may_start() {
            if !self.spawn(myself).await {
                break;
            }
        }
    }

    /// Starts an actor if there is work and none: a job does not wait for the next decision of the policy.
    pub(in crate::pool) async fn start_first(&mut self, myself: &ActorRef<PoolMessage>) {
        if !self.has_work() || self.workers.counts().owned() > 0 || !self.may_start() {
            return;
        }
        if self.autoscaler.wanted() == 0 {
            self.autoscaler.hasten(Instant::now());
            self.decide();
        }
        self.reconcile(myself).await;
    }

    async fn spawn(&mut self, myself: &ActorRef<PoolMessage>) -> bool {
        let is_first = self.workers.counts().owned() == 0;
        let urgent = is_first && (self.has_work() || self.has_jobs());
        let Some(permit) = self.capacity.acquire(urgent) else {
            if is_first && !urgent {
                // It would only push out others that may have work.
                self.capacity.rest();
                self.autoscaler.limit(0);
            }
            return false;
        };
        let number = self.counters.next_actor();
        let name: Arc<str> = Arc::from(format!("{}/{number}", self.spec.model_id));
        let actor = Arc::clone(&name);
        match self.workers.spawn(name, permit, myself).await {
            Ok(()) => {
                let pool = self.events.pool();
                self.events.observe(Event::ActorSpawned { pool, actor });
                true
            }
            Err(error) => {
                self.health.start_failed(&error);
                false
            }
        }
    }

    /// Stops an idle actor.
    pub(super) fn retire(&mut self, id: ActorId, reason: StopReason) {
        if let Some(actor) = self.workers.retire(id) {
            self.events.observe(Event::ActorStopped {
                pool: self.events.pool(),
                actor,
                reason,
            });
        }
    }

    /// Releases an actor for another pool: an idle one now, else the next that finishes its batch.
    pub(in crate::pool) fn evict(&mut self, after_batch: bool) {
        let (has_work, counts) = (self.has_work(), self.workers.counts());
        if !self.capacity.evict(after_batch, has_work, counts) {
            return;
        }
        if let Some(id) = self.workers.idle() {
            self.retire(id, StopReason::Evicted);
        }
        let owned = self.workers.counts().owned();
        self.autoscaler.limit(owned);
        if owned == 0 {
            self.capacity.rest();
        }
    }

    pub(super) fn may_start(&self) -> bool {
        self.health.may_start(Instant::now())
    }

    /// Further actors that the node has room for.
    pub(super) fn room(&self) -> Ceilings {
        self.capacity.room(self.workers.counts().owned())
    }

    /// Actors that the pool has or could have, remote ones among them.
    pub(super) fn possible_actors(&self) -> u32 {
        let owned = self.workers.counts().owned();
        let possible = owned
            .saturating_add(self.room().room())
            .min(self.autoscaler.bounds().max)
            .max(owned);
        let remote = u32::try_from(self.remote.len()).unwrap_or(u32::MAX);
        possible.saturating_add(remote)
    }

    fn snapshot(&self, now: Instant) -> PoolSnapshot {
        let mut actors = self.workers.counts();
        if !self.may_start() {
            actors.starting += self.autoscaler.wanted().saturating_sub(actors.owned());
        }
        let fresh = self.queue.fresh();
        let lane = |lane| LaneBacklog {
            jobs: fresh.items(lane) as u64,
            tokens: fresh.tokens(lane),
        };
        let wait = |lane| {
            let oldest = fresh.oldest(lane);
            oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
        };
        PoolSnapshot {
            actors,
            bounds: self.autoscaler.bounds(),
            ceilings: self.room(),
            queued: LaneBacklogs {
                interactive: lane(Lane::Interactive),
                normal: lane(Lane::Normal),
                any: lane(Lane::Any),
            },
            in_flight_tokens: self.workers.in_flight_tokens(),
            lag_tokens: self.lag.tokens(),
            oldest_wait: OldestWaits {
                prompt: wait(Lane::Interactive).max(wait(Lane::Normal)),
                any: wait(Lane::Any),
            },
            totals: self.counters.totals,
            cold_start: self.workers.cold_start(),
            idle_since: self.autoscaler.idle_since(),
        }
    }
}
