//! Pools without actors: starting the first one at once when there is work, and giving one up when the node's memory is short.

use ractor::ActorRef;
use tokio::time::Instant;

use crate::{events::StopReason, scaling::Ceilings};

use super::{core::Pool, member::Phase, supervisor::PoolMessage};

impl Pool {
    /// Starts an actor if there is work and none: a job does not wait for the next decision of the policy.
    pub(super) async fn start_first(&mut self, myself: &ActorRef<PoolMessage>) {
        if !self.has_queued() || self.members.counts().owned() > 0 || !self.may_start() {
            return;
        }
        if self.wanted == 0 {
            self.next_decision = Instant::now();
            self.decide();
        }
        self.reconcile(myself).await;
    }

    /// What a policy's target means for this pool now. A pool with work wants an actor, whatever room the policy sees for it: others
    /// give up theirs. One that rests because memory is short starts none before it has work.
    pub(super) fn wanted_after(&self, target: u32) -> u32 {
        if self.members.counts().owned() > 0 {
            target
        } else if self.has_queued() {
            target.max(1)
        } else if self.eviction.resting {
            0
        } else {
            // A broken one gets no jobs that would show whether it still is.
            target.max(u32::from(self.is_broken()))
        }
    }

    /// Whether the pool is at rest without being broken.
    pub(super) fn is_resting(&self) -> bool {
        self.wanted == 0 && self.members.counts().owned() == 0 && self.restart.last_error.is_none()
    }

    /// Gives up an actor for another pool: an idle one now, else the next that ends its batch. The last actor of a pool with work does
    /// one batch first, or two pools could take the memory from each other without doing anything.
    pub(super) fn evict(&mut self, after_batch: bool) {
        let counts = self.members.counts();
        let spare = after_batch || !self.has_queued() || counts.ready > 1;
        let idle = self.members.idle().filter(|_| spare);
        self.eviction.due = idle.is_none() && counts.owned() > 0;
        let Some(id) = idle else {
            if !self.eviction.due {
                self.seat.decline();
            }
            return;
        };
        self.retire(id, StopReason::Evicted);
        let owned = self.members.counts().owned();
        self.wanted = self.wanted.min(owned);
        self.eviction.resting |= owned == 0;
    }

    /// The pool has no work: it does not wait for memory any more.
    pub(super) fn give_up_memory(&mut self) {
        if std::mem::take(&mut self.waits_for_memory) {
            self.seat.need_no_memory();
        }
    }

    /// Further actors that the node has room for.
    pub(super) fn room(&self) -> Ceilings {
        let owned = self.members.counts().owned();
        let (threads, memory) = (self.spec.threads, self.actor_memory);
        self.seat.room(threads, memory, owned)
    }

    /// Whether anything may have to be done in less than a second.
    pub(super) fn is_active(&self) -> bool {
        let settled = |phase: &Phase| matches!(phase, Phase::Idle);
        self.has_jobs()
            || self.has_queued()
            || self.is_closing()
            || !self.help.guests.is_empty()
            || self.members.all.values().any(|m| !settled(&m.phase))
            || self.members.counts().owned() != self.wanted
            || self.lag.tokens() > 0
    }
}
