//! What time does to a pool: deadlines pass, senders go, and a model that cannot be had is given up.

use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, RequestError},
    events::Event,
};

use super::{backlog::Item, core::Pool};

impl Pool {
    /// Answers jobs that lost their use, or whose model cannot be had.
    pub(super) fn sweep(&mut self) {
        let now = Instant::now();
        self.expire(now);
        // What waits for its turn is asked about then; what is held back might never have one.
        let jobs = &mut self.jobs;
        self.held.retain(|item| jobs.is_wanted(item.job));
        self.note_abandoned();
        if std::mem::take(&mut self.has_stale) {
            let jobs = &self.jobs;
            self.backlog.remove(|item| jobs.is_active(item.job));
            self.held.retain(|item| jobs.is_active(item.job));
        }
        if self.members.counts().warm() > 0 {
            self.last_warm = now;
        } else if now.saturating_duration_since(self.last_warm) > self.spec.unavailable_after {
            // The intake must know first: it would send the jobs that it gets back to this pool again.
            self.tell_condition(now);
            let patience = self.spec.unavailable_after;
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
        let (pool, jobs) = (self.pool(), late.len());
        self.observe(Event::JobsExpired { pool, jobs });
        self.finish(late);
    }

    /// Answers everything at once when no engine can be started and it is not yet time to try again. Then one start is tried for what has come.
    pub(super) fn give_up_if_hopeless(&mut self) {
        let is_hopeless = self.restart.is_permanent && self.members.counts().owned() == 0;
        if is_hopeless && self.has_queued() && !self.may_start() {
            // The intake must know first: it would send the jobs that it gets back to this pool again.
            self.tell_condition(Instant::now());
            self.give_up(|_| true);
        }
    }

    fn give_up(&mut self, waits: impl Fn(&Item) -> bool) {
        // Guests may do what is queued; what failed is only for own actors.
        let mut stuck = match self.help.is_at_work() {
            true => Vec::new(),
            false => self.backlog.remove(|item| !waits(item)),
        };
        stuck.extend(
            self.retries
                .iter()
                .flat_map(|a| &a.items)
                .filter(|i| waits(i))
                .copied(),
        );
        let reason = self.reason();
        let message = format!("model {} is not available: {reason}", self.spec.model_id);
        let mut error = RequestError::new(ErrorCode::ModelUnavailable, message);
        error.is_lasting = self.restart.is_permanent;
        let failed = stuck
            .into_iter()
            .filter_map(|item| self.jobs.fail_with(item.job, error.clone()));
        let outcomes = failed.collect();
        self.finish(outcomes);
    }
}
