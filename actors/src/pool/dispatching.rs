//! Who does what next: batches for idle actors.

use std::time::Duration;

use ractor::ActorId;
use tokio::time::Instant;

use crate::{
    domain::Lane,
    events::{Event, WatchedBatch},
};

use super::{
    backlog::BatchLimits,
    batching::Turn,
    budget::Slot,
    core::Pool,
    failure::Attempt,
    member::{InFlight, Phase, Work},
    model_actor::ModelMessage,
};

/// How long after their last message the urgent lanes count as in use.
const URGENT_MEMORY: Duration = Duration::from_secs(2);

impl Pool {
    /// Hands work to every idle actor, the pool's own first.
    pub(super) fn dispatch(&mut self) {
        // Nothing that is late reaches an engine, however short the time since the last look.
        self.expire(Instant::now());
        self.drop_stale();
        while let Some(id) = self.members.idle() {
            if !self.has_queued() {
                self.note_idleness();
                break;
            }
            let Some(slot) = self.take_slot() else {
                break;
            };
            let work = self.next_work();
            self.note_abandoned();
            let Some(work) = work else {
                self.note_idleness();
                break;
            };
            self.hand_over(id, work, slot);
        }
        self.settle_budget();
        self.dispatch_to_guests();
    }

    /// A slot for the next batch, now or in a notice later.
    fn take_slot(&mut self) -> Option<Slot> {
        let slot = self.slot.take();
        slot.or_else(|| {
            let queued = |lane: &Lane| self.backlog.items(*lane) > 0;
            let fresh = Lane::ALL.into_iter().find(queued);
            let again = self.retries.front().map(Attempt::lane);
            let lane = fresh.into_iter().chain(again).min().unwrap_or(Lane::Any);
            let target = self.spec.offload.target_delay();
            self.seat.request(self.spec.threads, lane, target)
        })
    }

    /// Gives back what the pool has no use for, and tells the budget whether the pool is idle.
    fn settle_budget(&mut self) {
        // Passed on to the next pool that waits.
        self.slot = None;
        let has_queued = self.has_queued();
        if self.is_asking && (!has_queued || self.members.idle().is_none()) {
            self.seat.withdraw();
        }
        self.is_asking = has_queued && self.members.idle().is_some();
        let is_idle = !has_queued && self.members.in_flight().next().is_none();
        if std::mem::replace(&mut self.is_idle, is_idle) != is_idle {
            self.seat.note_idle(is_idle);
        }
        if self.eviction.due && !has_queued && self.members.idle().is_some() {
            self.evict(false);
        }
        if !has_queued && !self.has_jobs() {
            self.give_up_memory();
        }
    }

    pub(super) fn note_abandoned(&mut self) {
        let jobs = self.jobs.take_abandoned();
        if jobs > 0 {
            self.has_stale = true;
            let pool = self.pool();
            self.observe(Event::JobsAbandoned { pool, jobs });
        }
    }

    fn next_work(&mut self) -> Option<Work> {
        let turn = self.turn();
        let bulk = turn.allows(Lane::Any);
        if bulk && let Some(loan) = self.loans.overdue() {
            return Some(Work::Lent(loan));
        }
        if let Some(attempt) = self.next_attempt(turn) {
            self.loans.pass_over();
            return Some(Work::Own(attempt));
        }
        bulk.then(|| self.loans.next())?.map(Work::Lent)
    }

    fn turn(&self) -> Turn {
        let urgent = self
            .last_urgent
            .is_some_and(|at| at.elapsed() < URGENT_MEMORY);
        let warm = self.members.counts().warm() as usize;
        Turn::of(warm, self.members.on_bulk(), urgent)
    }

    fn next_attempt(&mut self, turn: Turn) -> Option<Attempt> {
        while let Some(mut attempt) = self.retries.pop_front() {
            self.jobs.keep_wanted(&mut attempt.items);
            self.held.keep_back(&mut attempt.items, &self.jobs);
            if !attempt.items.is_empty() {
                return Some(attempt);
            }
        }
        let limits = self.batch_limits(self.spec.batch);
        loop {
            let mut items = self.backlog.take(
                |lane| {
                    let limits = limits[lane];
                    let budget = turn.budget(lane, limits.budget);
                    BatchLimits { budget, ..limits }
                },
                |lane| turn.allows(lane),
                turn.mixes(),
            );
            if items.is_empty() {
                return None;
            }
            self.jobs.keep_wanted(&mut items);
            // What else waits of jobs that nobody wants any more is gone before the next look.
            self.drop_stale();
            self.leave_out_known(&mut items);
            if !items.is_empty() {
                return Some(Attempt { items, failures: 0 });
            }
        }
    }

    fn hand_over(&mut self, id: ActorId, mut work: Work, slot: Slot) {
        let now = Instant::now();
        let (mut batch, watched, lane, oldest) = match &mut work {
            Work::Own(attempt) => {
                let (batch, watched) = self.jobs.batch(&mut attempt.items, now);
                let oldest = attempt.oldest().unwrap_or(now);
                (batch, watched, attempt.lane(), oldest)
            }
            Work::Lent(loan) => (loan.batch(), Vec::new(), Lane::Any, loan.queued),
        };
        if batch.segments.is_empty() {
            return;
        }
        let Some(member) = self.members.all.get_mut(&id) else {
            return self.put_back(work);
        };
        let lent_by = match &work {
            Work::Own(_) => None,
            Work::Lent(loan) => loan.watched_by(),
        };
        let mut watch = None;
        if !watched.is_empty() || lent_by.is_some() {
            watch = self.observer.batch(&WatchedBatch {
                pool: &self.spec.model_id,
                actor: &member.name,
                at: None,
                segments: batch.segments.len(),
                tokens: batch.tokens,
                waited: now.saturating_duration_since(oldest),
                jobs: &watched,
                lent_by,
            });
            batch.span = watch.as_ref().map(|watch| watch.span());
        }
        member.phase = Phase::Busy(Box::new(InFlight {
            work,
            tokens: batch.tokens,
            lane,
            oldest,
            since: now,
            _slot: slot,
            watch,
        }));
        // An actor that is gone answers with a supervision event, which brings the batch back.
        let _ = member.actor.cast(ModelMessage::Translate(batch));
    }

    fn put_back(&mut self, work: Work) {
        match work {
            Work::Own(attempt) => self.put_back_own(attempt),
            Work::Lent(loan) => self.loans.put_back(loan),
        }
    }

    /// Takes back a batch that was not done, through no fault of its own.
    pub(super) fn put_back_own(&mut self, attempt: Attempt) {
        self.part_twins(&attempt.items);
        self.retries.push_front(attempt);
    }

    fn note_idleness(&mut self) {
        let busy = self.members.in_flight().next().is_some();
        if !busy && self.jobs.len() == 0 && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
    }
}
