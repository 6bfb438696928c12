//! When an address is dialled again.

use std::time::{Duration, Instant};

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RedialBackoff {
    /// After the first failure.
    pub(super) initial: Duration,
    /// After many.
    pub(super) max: Duration,
}

/// Redial state of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Redial {
    /// Failures in a row.
    failures: u32,
    /// When it is tried next.
    due: Instant,
    /// Whether it is being tried.
    trying: bool,
}

impl Redial {
    /// An address that is dialled at once.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            due: now,
            trying: false,
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.trying && self.due <= now
    }

    /// It is being tried from now on.
    #[must_use]
    pub(super) const fn tried(self) -> Self {
        Self {
            trying: true,
            ..self
        }
    }

    /// It was tried and there is still no connection. `chance` is at least 0 and below 1.
    #[must_use]
    pub(super) fn failed(self, now: Instant, backoff: RedialBackoff, chance: f64) -> Self {
        let doubled = backoff.initial.saturating_mul(1 << self.failures.min(20));
        let wait = doubled.min(backoff.max).mul_f64(1.0 - chance / 2.0);
        Self {
            failures: self.failures.saturating_add(1),
            due: now + wait,
            trying: false,
        }
    }

    /// The node has just been heard of: it is worth a try at once, and soon again.
    #[must_use]
    pub(super) fn expedite(self, now: Instant) -> Self {
        Self {
            failures: 0,
            due: if self.trying { self.due } else { now },
            ..self
        }
    }

    /// There is a connection; it is looked at again after a while.
    #[must_use]
    pub(super) fn postponed(self, now: Instant, wait: Duration) -> Self {
        Self {
            failures: 0,
            due: now + wait,
            trying: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: RedialBackoff = RedialBackoff {
        initial: Duration::from_millis(200),
        max: Duration::from_millis(2_000),
    };

    proptest! {
        #[test]
        fn waits_grow_to_their_most_and_are_never_shorter_than_half(chances in prop::collection::vec(0.0..1.0_f64, 1..40)) {
            let now = Instant::now();
            let mut redial = Redial::new(now);
            prop_assert!(redial.is_due(now));
            for (failures, chance) in chances.into_iter().enumerate() {
                prop_assert!(!redial.tried().is_due(now + Duration::from_secs(60)));
                redial = redial.tried().failed(now, BACKOFF, chance);
                let full = BACKOFF.initial.saturating_mul(1 << failures.min(20)).min(BACKOFF.max);
                let wait = redial.due - now;
                prop_assert!(wait <= full && wait >= full / 2, "{wait:?} after {failures}");
            }
                        prop_assert!(redial.expedite(now).is_due(now));
            let postponed = redial.postponed(now, BACKOFF.initial);
            prop_assert!(postponed.is_due(now + BACKOFF.initial) && !postponed.is_due(now));
        }
    }
}
