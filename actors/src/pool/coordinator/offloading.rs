//! Work for peers, and by peers: takes the snapshots, and carries out what was decided.

use ractor::ActorRef;
use tokio::time::Instant;

use crate::{
    domain::Lane,
    events::Event,
    offload::{
        OffloadRequest, OffloadSnapshot, RemoteWorkerStop, SpareCapacitySnapshot, credits, own_wait,
    },
};

use super::Pool;
use crate::pool::{
    batching::BatchBudget,
    message::PoolMessage,
    peer_queue::Host,
    pressure::{OwnSpeed, pressure},
    remote_workers::{OffloadPlan, RemoteName},
};

impl Pool {
    /// Takes a peer's batch in, or refuses it.
    pub(in crate::pool) fn lend(&mut self, loan: OffloadRequest) {
        let space = self.space();
        let host = Host {
            is_closing: self.closing.is_closing(),
            space: &space,
            in_flight: self.workers.lent(),
            budget: self.spec.batch,
        };
        self.peer_queue.take_in(loan, &host, &self.events);
    }

    /// Periodic offload decision: what to offer, and whether to borrow.
    pub(in crate::pool) async fn poll_peers(&mut self, myself: &ActorRef<PoolMessage>) {
        let now = Instant::now();
        let timeout = self.spec.offload.lend_timeout();
        self.peer_queue.sweep(timeout, now, &self.events);
        if !self.remote.is_due(now) {
            return;
        }
        self.remote.observe(&self.counters.totals, now);
        let pressure = self.pressure(now);
        let lending = self.spare_capacity_snapshot(pressure);
        self.peer_queue
            .set_credits(credits(&lending, &self.spec.offload));
        let plan = self.remote.decide(self.offload_snapshot(pressure), now);
        self.carry_out(plan, myself).await;
    }

    async fn carry_out(&mut self, plan: OffloadPlan, myself: &ActorRef<PoolMessage>) {
        for (id, why) in plan.recall {
            let lost = self.remote.recall(id, why);
            self.take_back(lost);
        }
        for (id, why) in plan.stop {
            if let Some(worker) = self.remote.release(id, why) {
                self.note_stopped(worker, why);
            }
        }
        for slot in plan.start {
            let (counters, warm_up) = (&mut self.counters, self.workers.warm_up());
            let number = || counters.next_actor();
            let started = self.remote.start(slot, number, myself, warm_up).await;
            if let Some(RemoteName { name, node }) = started {
                self.events.observe(Event::RemoteWorkerStarted {
                    pool: self.events.pool(),
                    guest: name,
                    peer: node,
                });
            }
        }
        if let Some(before) = self.remote.change_reason(plan.reason) {
            self.events.observe(Event::OffloadChanged {
                pool: self.events.pool(),
                from: before,
                to: plan.reason,
                guests: self.remote.len(),
            });
        }
    }

    /// Ends all remote workers. Called when no job is left.
    pub(super) fn dismiss_remote(&mut self, why: RemoteWorkerStop) {
        for worker in self.remote.dismiss() {
            self.note_stopped(worker, why);
        }
    }

    fn note_stopped(&self, worker: RemoteName, reason: RemoteWorkerStop) {
        self.events.observe(Event::RemoteWorkerStopped {
            pool: self.events.pool(),
            guest: worker.name,
            peer: worker.node,
            reason,
        });
    }

    /// The delay of the pool's jobs in multiples of their target.
    fn pressure(&self, now: Instant) -> f64 {
        let speed = OwnSpeed {
            warm: self.workers.counts().warm(),
            tokens_per_second: self.remote.tokens_per_second(),
            cold_start: self.workers.cold_start(),
        };
        let (lag, target) = (self.lag.tokens(), self.spec.offload.target_delay());
        pressure(self.queue.fresh(), lag, speed, target, now)
    }

    fn spare_capacity_snapshot(&self, pressure: f64) -> SpareCapacitySnapshot {
        SpareCapacitySnapshot {
            warm: self.workers.counts().warm(),
            arrivals: self.remote.arrivals(),
            tokens_per_second: self.remote.tokens_per_second(),
            pressure,
            is_helped: self.remote.len() > 0,
            is_closing: self.closing.is_closing(),
        }
    }

    /// The pool's own side of the snapshot; the rest is known where remote workers are kept.
    fn offload_snapshot(&self, pressure: f64) -> OffloadSnapshot {
        let actors = self.workers.counts();
        let room = self.room().room();
        let bounds = self.autoscaler.bounds().max.saturating_sub(actors.owned());
        let may_spawn = self.may_start() && bounds.min(room) > 0 && !self.closing.is_closing();
        OffloadSnapshot {
            warm: actors.warm(),
            may_grow: actors.starting > 0 || may_spawn,
            cold_start: self.workers.cold_start(),
            waiting_tokens: self.queue.fresh().all_tokens(),
            batch_tokens: self.usual_batch(),
            pressure,
            ..OffloadSnapshot::default()
        }
    }

    /// Estimated tokens of the batch that a free remote worker would get of what waits now.
    fn usual_batch(&self) -> u32 {
        let BatchBudget {
            items: most,
            padded_tokens,
        } = self.spec.batch;
        let fresh = self.queue.fresh();
        let items: usize = Lane::ALL.iter().map(|lane| fresh.items(*lane)).sum();
        let mean = fresh.all_tokens() / (items.max(1) as u64);
        let tokens = mean.saturating_mul(items.clamp(1, most) as u64);
        u32::try_from(tokens)
            .unwrap_or(u32::MAX)
            .clamp(1, padded_tokens)
    }

    /// Seconds until own actors alone get to what is queued now.
    pub(super) fn own_wait(&self) -> f64 {
        let warm = self.workers.counts().warm();
        let waiting = self.queue.fresh().all_tokens();
        own_wait(waiting, warm, self.remote.tokens_per_second())
    }

    /// Whether interactive work has waited too long for a local actor.
    pub(super) fn own_actors_are_late(&self) -> bool {
        let oldest = self.queue.fresh().oldest(Lane::Interactive);
        let target = self.spec.offload.target_delay();
        oldest.is_some_and(|at| at.elapsed() > target) || self.workers.counts().warm() == 0
    }
}
