//! Time passes: deadlines, senders that have gone, a model that cannot be had, and the end of the pool.

use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, deliver_all},
    events::Event,
    offload::GuestStop,
    routing::Ability,
};

use super::Pool;
use crate::pool::item::Item;

impl Pool {
    /// Answers jobs that lost their use, or whose model cannot be had.
    pub(in crate::pool) fn sweep(&mut self) {
        let now = Instant::now();
        self.expire(now);
        // What waits for its turn is asked about then; what is paused might never have one.
        let jobs = &mut self.jobs;
        jobs.end_unwanted(self.queue.paused());
        self.queue.retain_paused(|item| jobs.is_active(item.job));
        self.note_abandoned();
        if std::mem::take(&mut self.has_stale) {
            let jobs = &self.jobs;
            self.queue.retain(|item| jobs.is_active(item.job));
        }
        let is_warm = self.workers.counts().warm() > 0;
        if self.health.is_unavailable(is_warm, now) {
            // The intake must know first: it would send the jobs that it gets back to this pool again.
            self.tell_condition(now);
            let patience = self.health.unavailable_after();
            self.give_up(|item| now.saturating_duration_since(item.queued) > patience);
        }
        self.hand_back_in_time(now);
    }

    /// Answers jobs whose deadline has passed. Their pieces are passed over from now on, and what an engine still makes of them is dropped.
    pub(super) fn expire(&mut self, now: Instant) {
        let late = self.jobs.expire(now);
        if late.is_empty() {
            return;
        }
        self.has_stale = true;
        let (pool, jobs) = (self.events.pool(), late.len());
        self.events.observe(Event::JobsExpired { pool, jobs });
        self.finish(late);
    }

    /// Answers everything at once when no engine can be started and it is not yet time to try again. Then one start is tried for what has come.
    pub(in crate::pool) fn give_up_if_hopeless(&mut self) {
        let is_hopeless = self.health.is_permanent() && self.workers.counts().owned() == 0;
        if is_hopeless && self.has_work() && !self.may_start() {
            // The intake must know first: it would send the jobs that it gets back to this pool again.
            self.tell_condition(Instant::now());
            self.give_up(|_| true);
        }
    }

    fn give_up(&mut self, waits: impl Fn(&Item) -> bool) {
        // Remote workers may do what is queued; what failed is only for own actors.
        let mut stuck = match self.remote.is_at_work() {
            true => Vec::new(),
            false => self.queue.remove_fresh(|item| !waits(item)),
        };
        stuck.extend(self.queue.retried().filter(|item| waits(item)).copied());
        let mut error = self.health.unavailable(&self.spec.model_id);
        error.is_lasting = self.health.is_permanent();
        let failed = stuck
            .into_iter()
            .filter_map(|item| self.jobs.fail_with(item.job, error.clone()));
        let outcomes = failed.collect();
        self.finish(outcomes);
    }

    /// Tells of the pool's condition if that has changed.
    pub(in crate::pool) fn tell_condition(&mut self, now: Instant) {
        let is_warm = self.workers.counts().warm() > 0 || self.remote.is_at_work();
        let Some(broken) = self.health.assess(is_warm, self.has_jobs(), now) else {
            return;
        };
        let pool = self.events.pool();
        self.events.observe(match broken {
            true => Event::PoolBroken {
                pool,
                error: self.health.last_error().to_owned(),
            },
            false => Event::PoolRestored { pool },
        });
        self.health.tell();
    }

    /// Hands back the jobs that one of these models can do, as failed for now.
    pub(in crate::pool) fn hand_to_others(&mut self, others: &[Ability]) {
        let error = self.health.unavailable(&self.spec.model_id);
        let can = |source, target| others.iter().any(|other| other.serves(source, target));
        let outcomes = self.jobs.fail_those(can, error.code, &error.message);
        if outcomes.is_empty() {
            return;
        }
        self.has_stale = true;
        let (pool, jobs) = (self.events.pool(), outcomes.len());
        self.events.observe(Event::JobsHandedOver { pool, jobs });
        // They are not answered yet.
        deliver_all(outcomes);
    }

    /// Hands back what is left of an unloaded pool when its time has come. What engines still make of it is dropped.
    fn hand_back_in_time(&mut self, now: Instant) {
        if !self.closing.hands_back(now) || !self.has_jobs() {
            return;
        }
        let message = format!("model {} is being unloaded", self.spec.model_id);
        let outcomes = self.jobs.fail_all(ErrorCode::ModelUnavailable, &message);
        self.closing.note_handed_back(outcomes.len());
        self.queue.clear();
        self.dedup.clear();
        self.finish(outcomes);
    }

    /// Whether the pool was told to end and has nothing left to do.
    pub(in crate::pool) fn is_closed(&self) -> bool {
        self.closing.is_closing() && !self.has_jobs() && self.workers.is_empty()
    }

    /// Tells everybody who asked for it that the pool ends.
    pub(in crate::pool) fn answer_closing(&mut self) {
        self.dismiss_remote(GuestStop::Closing);
        if let Some(unloaded) = self.closing.answer_drains() {
            let (pool, handed_back) = (self.events.pool(), unloaded.handed_back);
            self.events.observe(Event::PoolClosed { pool, handed_back });
            self.closing.answer_unloads(unloaded);
        }
    }
}
