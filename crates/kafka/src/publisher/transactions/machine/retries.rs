//! When to go on after something failed.

use std::time::{Duration, Instant};

/// First and longest pause.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// The pause grows no more after so many failures.
const DOUBLINGS: u32 = 10;

/// Failures since the last success, and the pause after them.
#[derive(Debug)]
pub(super) struct Retries {
    failures: u32,
    not_before: Instant,
}

impl Retries {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            not_before: now,
        }
    }

    /// Something failed: pauses for twice as long as the last time.
    pub(super) fn pause(&mut self, now: Instant) {
        let (first, most) = PAUSE;
        let pause = first
            .saturating_mul(1 << self.failures.min(DOUBLINGS))
            .min(most);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause;
    }

    /// Whether the pause lasts.
    pub(super) fn is_pausing(&self, now: Instant) -> bool {
        now < self.not_before
    }

    /// A transaction is committed.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }
}
