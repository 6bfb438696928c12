//! Rate limits.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock};

use super::error::ApiError;

/// After so many requests, those are forgotten who have not asked lately.
const FORGET_EVERY: u64 = 10_000;

/// The requests of each client and address in the last minute.
pub(super) struct Rate {
    /// None when there is no limit.
    limiter: Option<DefaultKeyedRateLimiter<String>>,
    requests: AtomicU64,
}

impl Rate {
    /// At most so many requests a minute of each; no limit when zero.
    pub(super) fn new(requests_per_minute: u32) -> Self {
        let rate = NonZeroU32::new(requests_per_minute);
        Self {
            limiter: rate.map(|rate| DefaultKeyedRateLimiter::keyed(Quota::per_minute(rate))),
            requests: AtomicU64::new(0),
        }
    }

    /// Counts a request of a client, and rejects it above the limit.
    pub(super) fn count(&self, who: impl FnOnce() -> String) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if self.requests.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
        }
        limiter.check_key(&who()).map_err(|not_until| {
            let wait = not_until.wait_time_from(limiter.clock().now());
            ApiError::slow_down(wait.as_secs() + 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_ask_so_often_a_minute_whatever_others_do() {
        let rate = Rate::new(3);
        let may = |who: &str| rate.count(|| who.to_owned()).is_ok();
        assert!((0..3).all(|_| may("a")) && !may("a"));
        assert!(may("b"));
        let unlimited = Rate::new(0);
        assert!((0..1_000).all(|_| unlimited.count(|| "a".to_owned()).is_ok()));
    }
}
