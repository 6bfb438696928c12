//! Periodic expiry: deadlines, abandoned jobs, unavailable models, and the end of the pool.

use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, Job, deliver_all},
    events::Event,
    offload::RemoteWorkerStop,
};

use super::Pool;
use crate::pool::{alternatives::Alternatives, item::Item};

impl Pool {
    /// Ends expired jobs, and jobs whose model is unavailable.
    pub(in crate::pool) fn sweep(&mut self) {
        let now = Instant::now();
        self.expire(now);
        // Queued items are checked when scheduled; paused ones might never be.
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
            // Notify the intake first, or it would route the returned jobs to this pool again.
            self.notify_condition(now);
            let max_wait = self.health.unavailable_after();
            self.give_up(|item| now.saturating_duration_since(item.queued) > max_wait);
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

    /// Fails all jobs at once while no engine can be started and the restart is not due. Then one start is attempted
    /// for new jobs.
    pub(in crate::pool) fn fail_if_unrecoverable(&mut self) {
        let is_hopeless = self.health.is_permanent() && self.workers.counts().owned() == 0;
        if is_hopeless && self.has_work() && !self.may_start() {
            // Notify the intake first, or it would route the returned jobs to this pool again.
            self.notify_condition(Instant::now());
            self.give_up(|_| true);
        }
    }

    fn give_up(&mut self, waits: impl Fn(&Item) -> bool) {
        // Remote workers may do what is queued; what failed is only for own actors.
        let mut stuck = match self.remote.has_busy_workers() {
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

    /// Reports the condition of the pool if it has changed.
    pub(in crate::pool) fn notify_condition(&mut self, now: Instant) {
        let is_warm = self.workers.counts().warm() > 0 || self.remote.has_busy_workers();
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

    /// Hands back the jobs that one of `others` can do, as transiently failed.
    pub(in crate::pool) fn hand_over_jobs(&mut self, mut others: Alternatives) {
        let error = self.health.unavailable(&self.spec.model_id);
        let can = |job: &Job| others.serve(job);
        let outcomes = self.jobs.fail_those(can, error.code, &error.message);
        if outcomes.is_empty() {
            return;
        }
        self.has_stale = true;
        let (pool, jobs) = (self.events.pool(), outcomes.len());
        self.events.observe(Event::JobsHandedOver { pool, jobs });
        // Not reported as answered: the intake places these jobs again.
        deliver_all(outcomes);
    }

    /// Returns the remaining jobs of an unloaded pool after its timeout. Later translations are dropped.
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

    /// Whether the pool is closing and has no work left.
    pub(in crate::pool) fn is_closed(&self) -> bool {
        self.closing.is_closing() && !self.has_jobs() && self.workers.is_empty()
    }

    /// Replies to all pending close requests.
    pub(in crate::pool) fn answer_closing(&mut self) {
        self.dismiss_remote(RemoteWorkerStop::Closing);
        if let Some(unloaded) = self.closing.answer_drains() {
            let (pool, handed_back) = (self.events.pool(), unloaded.handed_back);
            self.events.observe(Event::PoolClosed { pool, handed_back });
            self.closing.answer_unloads(unloaded);
        }
    }
}
