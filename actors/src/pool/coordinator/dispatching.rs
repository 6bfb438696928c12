//! An actor is free: the next batch, for own actors first and then for remote ones.

use std::{sync::Arc, time::Duration};

use ractor::ActorId;
use tokio::time::Instant;

use crate::{
    domain::{Lane, Trace},
    engine::{EngineBatch, Segment},
    events::{BatchSpan, Event, PieceSource, TracedBatch},
    text::{self, plan::stand_ins},
};

use super::Pool;
use crate::pool::{
    batching::LanePolicy,
    budget::Slot,
    failure::Attempt,
    item::Item,
    jobs::EndedJob,
    peer_queue::PeerBatch,
    remote_workers::RemoteBatch,
    workers::{InFlight, Work},
};

/// How long after their last message the urgent lanes count as in use.
const URGENT_MEMORY: Duration = Duration::from_secs(2);

impl Pool {
    /// Hands work to every idle actor, the pool's own first.
    pub(in crate::pool) fn dispatch(&mut self) {
        // Expired jobs never reach an engine, even between two sweeps.
        self.expire(Instant::now());
        self.drop_stale();
        while let Some(id) = self.workers.idle() {
            if !self.has_work() {
                if !self.probe(id) {
                    self.note_idleness();
                }
                break;
            }
            let lane = self.queue.first_lane().unwrap_or(Lane::Any);
            let Some(slot) = self.capacity.take_slot(lane) else {
                break;
            };
            let work = self.next_work();
            self.note_abandoned();
            let Some(work) = work else {
                self.note_idleness();
                break;
            };
            match work {
                Work::Own(attempt) => self.assign(id, attempt, slot),
                Work::Lent(batch) => self.assign_lent(id, batch, slot),
                Work::Probe => {}
            }
        }
        self.settle_budget();
        self.dispatch_remotely();
    }

    /// Sends an idle actor a probe text that shows which stand-ins for tokens the model copies. Returns whether it did.
    fn probe(&mut self, id: ActorId) -> bool {
        let is_wanted = self.workers.is_probed() && self.spec.text.lacks_stand_ins();
        if !is_wanted || self.closing.is_closing() {
            return false;
        }
        let Some(slot) = self.capacity.take_slot(Lane::Any) else {
            return false;
        };
        self.spec.text.begin_probe();
        let segment = Segment {
            text: stand_ins::probe(),
            ..Segment::clone(&self.workers.warm_up())
        };
        let tokens = text::estimate_tokens(&segment.text);
        let batch = EngineBatch {
            segments: vec![segment],
            tokens,
            span: None,
        };
        let now = Instant::now();
        let in_flight = InFlight {
            tokens,
            lane: Lane::Any,
            oldest: now,
            since: now,
            work: Work::Probe,
            _slot: slot,
            watch: None,
        };
        self.workers.assign(id, batch, in_flight);
        true
    }

    /// Returns unused resources.
    fn settle_budget(&mut self) {
        let has_work = self.has_work();
        let has_idle = self.workers.idle().is_some();
        self.capacity
            .settle(has_work, has_idle, self.workers.is_busy());
        if self.capacity.must_evict() && !has_work && has_idle {
            self.evict(false);
        }
        if !has_work && !self.has_jobs() {
            self.capacity.give_up_memory();
        }
    }

    fn next_work(&mut self) -> Option<Work> {
        let policy = self.lane_policy();
        let bulk = policy.allows(Lane::Any);
        if bulk && let Some(batch) = self.peer_queue.overdue() {
            return Some(Work::Lent(batch));
        }
        if let Some(attempt) = self.next_attempt(policy) {
            self.peer_queue.pass_over();
            return Some(Work::Own(attempt));
        }
        bulk.then(|| self.peer_queue.next())?.map(Work::Lent)
    }

    fn lane_policy(&self) -> LanePolicy {
        let urgent = self
            .last_urgent
            .is_some_and(|at| at.elapsed() < URGENT_MEMORY);
        let warm = self.workers.counts().warm() as usize;
        LanePolicy::of(warm, self.workers.on_bulk(), urgent)
    }

    fn next_attempt(&mut self, policy: LanePolicy) -> Option<Attempt> {
        let jobs = &mut self.jobs;
        let retry = self.queue.next_retry(|items| jobs.keep_wanted(items));
        if retry.is_some() {
            return retry;
        }
        let limits = self.sharing.own_limits(self.queue.fresh());
        loop {
            let mut items = self.queue.next_fresh(&limits, policy);
            if items.is_empty() {
                return None;
            }
            self.jobs.keep_wanted(&mut items);
            // Other pieces of abandoned jobs are removed before the next look.
            self.drop_stale();
            self.leave_out_known(&mut items);
            if !items.is_empty() {
                return Some(Attempt { items, failures: 0 });
            }
        }
    }

    /// Removes the items from a batch that are cached or already in flight, and completes the cached ones.
    fn leave_out_known(&mut self, items: &mut Vec<Item>) {
        let known = self.dedup.admit(items);
        if known.is_empty() {
            return;
        }
        self.finish_known(PieceSource::Memory, known);
        // A contained panic may have ended a job. Other pieces must not wait for a piece of it.
        let jobs = &self.jobs;
        let ended = items.iter().filter(|item| !jobs.is_active(item.job));
        let ended: Vec<Item> = ended.copied().collect();
        if !ended.is_empty() {
            items.retain(|item| jobs.is_active(item.job));
            self.release_waiting(&ended);
        }
    }

    /// Hands a batch to an own actor.
    fn assign(&mut self, id: ActorId, mut attempt: Attempt, slot: Slot) {
        let now = Instant::now();
        let (mut batch, watched) = self.jobs.batch(&mut attempt.items, now);
        if batch.segments.is_empty() {
            return;
        }
        let Some(actor) = self.workers.name(id) else {
            return self.put_back(attempt);
        };
        let oldest = attempt.oldest().unwrap_or(now);
        let watch = self.watch_batch(&mut batch, &watched, |batch| TracedBatch {
            actor,
            waited: now.saturating_duration_since(oldest),
            ..batch
        });
        let in_flight = InFlight {
            tokens: batch.tokens,
            lane: attempt.lane(),
            oldest,
            since: now,
            work: Work::Own(attempt),
            _slot: slot,
            watch,
        };
        self.workers.assign(id, batch, in_flight);
    }

    /// Hands a peer's batch to an own actor.
    fn assign_lent(&mut self, id: ActorId, mut lent: PeerBatch, slot: Slot) {
        let now = Instant::now();
        let Some(actor) = self.workers.name(id) else {
            return self.peer_queue.put_back(lent);
        };
        let mut batch = lent.take_segments();
        let lent_by = lent.watched_by();
        let watch = lent_by.is_some().then(|| {
            self.events.batch(&TracedBatch {
                pool: self.events.name(),
                actor,
                at: None,
                segments: batch.segments.len(),
                tokens: batch.tokens,
                waited: now.saturating_duration_since(lent.queued()),
                jobs: &[],
                lent_by,
            })
        });
        let watch = watch.flatten();
        batch.span = watch.as_ref().map(|watch| watch.span());
        let in_flight = InFlight {
            tokens: batch.tokens,
            lane: Lane::Any,
            oldest: lent.queued(),
            since: now,
            work: Work::Lent(lent),
            _slot: slot,
            watch,
        };
        self.workers.assign(id, batch, in_flight);
    }

    /// Dispatches new work to idle remote workers. Failed work goes to local actors only, so that poison texts are
    /// found by actors whose failures are counted; interactive work goes to local actors unless it has waited too long.
    fn dispatch_remotely(&mut self) {
        if self.remote.len() == 0 {
            return;
        }
        while let Some((id, budget)) = self.remote.idle(self.own_wait()) {
            let limits = self.sharing.limits(self.queue.fresh(), budget);
            let everything = self.own_actors_are_late();
            let mut items = self.queue.next_remote(&limits, everything);
            if items.is_empty() {
                return;
            }
            self.jobs.keep_wanted(&mut items);
            self.leave_out_known(&mut items);
            if !items.is_empty() {
                self.assign_remotely(id, Attempt { items, failures: 0 });
            }
        }
    }

    fn assign_remotely(&mut self, id: ActorId, mut attempt: Attempt) {
        let now = Instant::now();
        let (mut batch, watched) = self.jobs.batch(&mut attempt.items, now);
        if batch.segments.is_empty() {
            return;
        }
        let Some(worker) = self.remote.name(id) else {
            return self.put_back(attempt);
        };
        let oldest = attempt.oldest().unwrap_or(now);
        let watch = self.watch_batch(&mut batch, &watched, |batch| TracedBatch {
            actor: &worker.name,
            at: Some(&worker.node),
            waited: now.saturating_duration_since(oldest),
            ..batch
        });
        let in_flight = RemoteBatch {
            oldest,
            attempt,
            tokens: batch.tokens,
            watch,
        };
        self.remote.assign(id, batch, in_flight);
    }

    /// Starts the span of a batch of own work, if a job in it is sampled. `complete` adds the assignee.
    fn watch_batch<'a>(
        &'a self,
        batch: &mut EngineBatch,
        jobs: &'a [Arc<Trace>],
        complete: impl FnOnce(TracedBatch<'a>) -> TracedBatch<'a>,
    ) -> Option<Box<dyn BatchSpan>> {
        if jobs.is_empty() {
            return None;
        }
        let watched = complete(TracedBatch {
            pool: self.events.name(),
            actor: self.events.name(),
            at: None,
            segments: batch.segments.len(),
            tokens: batch.tokens,
            waited: Duration::ZERO,
            jobs,
            lent_by: None,
        });
        let watch = self.events.batch(&watched);
        batch.span = watch.as_ref().map(|watch| watch.span());
        watch
    }

    /// Requeues a batch that failed through no fault of its own.
    pub(super) fn put_back(&mut self, attempt: Attempt) {
        self.release_waiting(&attempt.items);
        self.queue.put_back(attempt);
    }

    /// Requeues the duplicates that wait for a batch that will not be done now.
    pub(super) fn release_waiting(&mut self, items: &[Item]) {
        self.queue.restore(self.dedup.release(items));
    }

    /// Counts abandoned jobs.
    pub(super) fn note_abandoned(&mut self) {
        let jobs = self.jobs.take_abandoned();
        if jobs > 0 {
            self.has_stale = true;
            let pool = self.events.pool();
            self.events.observe(Event::JobsAbandoned { pool, jobs });
        }
    }

    /// Removes the waiting pieces of jobs that have ended from the backlog.
    fn drop_stale(&mut self) {
        for EndedJob { job, lane, client } in self.jobs.take_stale() {
            self.queue.forget(lane, client, job);
        }
    }

    fn note_idleness(&mut self) {
        if !self.workers.is_busy() && !self.has_jobs() {
            self.autoscaler.note_idle();
        }
    }
}
