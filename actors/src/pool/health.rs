//! Health of a pool: engine failures, restart backoff, and the listener for its condition.

use std::{error::Error, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, RequestError},
    engine::EngineError,
};

use super::failure::{Condition, is_broken, restart_delay};

/// Listener for changes of the condition of a pool.
pub type ConditionWatch = Box<dyn Fn(bool) + Send + Sync>;

/// Reason as long as no engine has failed.
const NOT_WARM: &str = "no model actor is warm";

/// The condition of a pool.
pub(super) struct Health {
    limits: HealthLimits,
    failures: Failures,
    /// When an actor was last warm, as far as is known.
    last_warm: Instant,
    /// Since when jobs wait without a warm actor.
    waits_since: Option<Instant>,
    /// Last reported condition, and its listener.
    is_broken: bool,
    watch: Option<ConditionWatch>,
}

/// The configured value.
#[derive(Debug, Clone, Copy)]
pub(super) struct HealthLimits {
    /// First delay of the restart backoff.
    pub(super) initial_backoff: Duration,
    /// Its longest.
    pub(super) max_backoff: Duration,
    /// How long jobs wait for a pool without a single warm actor.
    pub(super) unavailable_after: Duration,
}

/// Failures of actors since the last batch that was done.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Failures of engines that were never warm, since the last one that was.
    starts: u32,
    not_before: Option<Instant>,
    last_error: Option<String>,
    /// Reason of the last failure, worded for clients.
    reason: Option<String>,
    /// Whether the last failure is permanent: another start would fail in the same way.
    is_permanent: bool,
}

impl Health {
    pub(super) fn new(limits: HealthLimits, now: Instant) -> Self {
        Self {
            limits,
            failures: Failures::default(),
            last_warm: now,
            waits_since: None,
            is_broken: false,
            watch: None,
        }
    }

    /// An engine is warm.
    pub(super) const fn engine_ready(&mut self, now: Instant) {
        self.failures.starts = 0;
        self.last_warm = now;
    }

    /// An engine answered a batch, well or not.
    pub(super) fn batch_answered(&mut self, is_ok: bool, now: Instant) {
        self.last_warm = now;
        if is_ok {
            self.failures = Failures::default();
        }
    }

    /// Records that an actor failed, during or after its start. Returns the delay before another one may be started.
    pub(super) fn engine_failed(
        &mut self,
        error: &(dyn Error + 'static),
        was_starting: bool,
        now: Instant,
    ) -> Duration {
        let HealthLimits {
            initial_backoff: first,
            max_backoff: most,
            ..
        } = self.limits;
        let failures = &mut self.failures;
        failures.count += 1;
        failures.starts += u32::from(was_starting);
        let engine_error = error.downcast_ref::<EngineError>();
        failures.is_permanent = engine_error.is_some_and(EngineError::is_permanent);
        let delay = match failures.is_permanent {
            // An operator may fix the machine.
            true => most,
            false => restart_delay(failures.count, first, most),
        };
        failures.not_before = Some(now + delay);
        self.start_failed(error);
        delay
    }

    /// Records why an actor could not be started. This does not count as a failure of the engine.
    pub(super) fn start_failed(&mut self, error: &(dyn Error + 'static)) {
        self.failures.last_error = Some(error.to_string());
        self.failures.reason = Some(EngineError::reason_of(error));
    }

    /// Whether an engine may be started now.
    pub(super) fn may_start(&self, now: Instant) -> bool {
        self.failures.not_before.is_none_or(|at| at <= now)
    }

    /// Whether the last failure cannot heal.
    pub(super) const fn is_permanent(&self) -> bool {
        self.failures.is_permanent
    }

    /// The newest failure, unless a batch was done since then.
    pub(super) const fn failing(&self) -> Option<&String> {
        self.failures.last_error.as_ref()
    }

    /// Why no engine is warm.
    pub(super) fn last_error(&self) -> &str {
        self.failures.last_error.as_deref().unwrap_or(NOT_WARM)
    }

    /// Whether no actor has been warm for longer than jobs may wait. `is_warm` tells whether one is warm now.
    pub(super) fn is_unavailable(&mut self, is_warm: bool, now: Instant) -> bool {
        if is_warm {
            self.last_warm = now;
        }
        now.saturating_duration_since(self.last_warm) > self.limits.unavailable_after
    }

    /// How long jobs wait for a warm actor.
    pub(super) const fn unavailable_after(&self) -> Duration {
        self.limits.unavailable_after
    }

    /// Error of jobs that no engine of this model can process.
    pub(super) fn unavailable(&self, model: &str) -> RequestError {
        let reason = self.failures.reason.as_deref().unwrap_or(NOT_WARM);
        let message = format!("model {model} is not available: {reason}");
        RequestError::new(ErrorCode::ModelUnavailable, message)
    }

    /// Whether the pool was reported as broken.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Looks at the condition; `Some` when it has changed, with whether the pool is broken now. Then the listener has
    /// to be [notified](Self::tell).
    pub(super) fn assess(&mut self, is_warm: bool, has_jobs: bool, now: Instant) -> Option<bool> {
        let waited = self.waited(is_warm, has_jobs, now);
        let broken = is_broken(&Condition {
            is_warm,
            failed_starts: self.failures.starts,
            is_permanent: self.failures.is_permanent,
            waited,
            max_wait: self.limits.unavailable_after,
        });
        (std::mem::replace(&mut self.is_broken, broken) != broken).then_some(broken)
    }

    /// How long jobs have waited for a warm actor. A wait starts with the first job while no actor is warm. A wait that has exceeded its limit
    /// continues even while there are no jobs, so that new jobs do not start another one.
    fn waited(&mut self, is_warm: bool, has_jobs: bool, now: Instant) -> Duration {
        let since = self.waits_since.map(|since| since.max(self.last_warm));
        let waited = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let in_vain = waited > self.limits.unavailable_after;
        if is_warm || !has_jobs && !in_vain {
            self.waits_since = None;
        } else if has_jobs {
            self.waits_since.get_or_insert(now);
        }
        if has_jobs { waited } else { Duration::ZERO }
    }

    /// Notifies the listener.
    pub(super) fn tell(&self) {
        if let Some(watch) = &self.watch {
            watch(self.is_broken);
        }
    }

    /// Sets the listener.
    pub(super) fn watch(&mut self, watch: ConditionWatch) {
        self.watch = Some(watch);
        if self.is_broken {
            self.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::pool::BROKEN_AFTER;

    const LIMITS: HealthLimits = HealthLimits {
        initial_backoff: Duration::from_millis(250),
        max_backoff: Duration::from_secs(30),
        unavailable_after: Duration::from_secs(30),
    };

    fn ended() -> EngineError {
        EngineError::Ended("killed".to_owned())
    }

    #[test]
    fn restarts_are_delayed_until_a_batch_is_done() {
        let now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        assert_eq!(health.engine_failed(&ended(), false, now), Duration::ZERO);
        assert!(health.may_start(now));
        let delay = health.engine_failed(&ended(), false, now);
        assert_eq!(delay, LIMITS.initial_backoff);
        assert!(!health.may_start(now) && health.may_start(now + delay));
        assert!(health.failing().is_some());
        health.batch_answered(false, now);
        assert!(!health.may_start(now));
        health.batch_answered(true, now);
        assert!(health.may_start(now) && health.failing().is_none());
    }

    #[test]
    fn a_failure_that_cannot_heal_delays_restarts_for_as_long_as_possible() {
        let now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        let error = EngineError::Unloadable("no such instructions".to_owned());
        assert_eq!(health.engine_failed(&error, true, now), LIMITS.max_backoff);
        assert!(health.is_permanent());
        assert_eq!(health.assess(false, false, now), Some(true));
    }

    #[test]
    fn the_watch_is_told_of_each_change_once() {
        let now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        let told = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&told);
        health.watch(Box::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        for _ in 0..BROKEN_AFTER {
            assert_eq!(health.assess(false, true, now), None);
            health.engine_failed(&ended(), true, now);
        }
        assert_eq!(health.assess(false, true, now), Some(true));
        health.tell();
        assert_eq!(health.assess(false, true, now), None);
        health.engine_ready(now);
        assert_eq!(health.assess(true, true, now), Some(false));
        health.tell();
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_pool_that_was_at_rest_is_broken_only_after_its_first_jobs_have_waited() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut health = Health::new(LIMITS, now);
        assert_eq!(health.assess(false, false, after(100)), None);
        assert_eq!(health.assess(false, true, after(200)), None);
        assert_eq!(health.assess(false, true, after(230)), None);
        assert_eq!(health.assess(false, true, after(231)), Some(true));
        // Its jobs have gone elsewhere; the next ones do not wait again.
        assert_eq!(health.assess(false, false, after(232)), Some(false));
        assert_eq!(health.assess(false, true, after(300)), Some(true));
        health.engine_ready(after(301));
        assert_eq!(health.assess(true, true, after(301)), Some(false));
        assert_eq!(health.assess(false, true, after(400)), None);
    }

    #[test]
    fn a_pool_is_unavailable_when_no_actor_was_warm_for_longer_than_jobs_wait() {
        let now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!health.is_unavailable(false, after(30)));
        assert!(health.is_unavailable(false, after(31)));
        assert!(!health.is_unavailable(true, after(32)));
        assert!(!health.is_unavailable(false, after(60)));
    }
}
