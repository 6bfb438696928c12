//! Liveness of threads.
//!
//! A thread that is blocked in a library call cannot report it, so another thread checks when it last made progress.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Maximum duration of one iteration of the thread's loop, in addition to the time for revoked partitions: an iteration includes at most a few
/// requests to brokers.
const LONGEST_ROUND: Duration = Duration::from_secs(30);

/// When a thread began its last round.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    begun: Instant,
    /// Milliseconds since then.
    last_ms: AtomicU64,
    longest: Duration,
}

impl Heartbeat {
    /// Of a thread whose rounds include `revoke_within` at most for revoked partitions.
    pub(crate) fn new(revoke_within: Duration) -> Self {
        Self {
            begun: Instant::now(),
            last_ms: AtomicU64::new(0),
            longest: LONGEST_ROUND.saturating_add(revoke_within),
        }
    }

    /// The thread begins a round.
    pub(crate) fn beat(&self) {
        let elapsed = u64::try_from(self.begun.elapsed().as_millis());
        self.last_ms
            .store(elapsed.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the thread has not started an iteration for longer than an iteration may take: it is blocked.
    fn is_overdue(&self) -> bool {
        self.is_overdue_at(Instant::now())
    }

    fn is_overdue_at(&self, now: Instant) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.begun) > last.saturating_add(self.longest)
    }
}

/// Heartbeats of the threads of a reader.
#[derive(Debug, Clone)]
pub struct ReaderHeartbeats {
    pub(crate) reader: Arc<Heartbeat>,
    pub(crate) lag_watch: Arc<Heartbeat>,
}

impl ReaderHeartbeats {
    /// Of a reader whose rounds include `revoke_within` at most for revoked partitions.
    pub(crate) fn new(revoke_within: Duration) -> Self {
        Self {
            reader: Arc::new(Heartbeat::new(revoke_within)),
            lag_watch: Arc::new(Heartbeat::new(Duration::ZERO)),
        }
    }

    /// What is wrong with topics whose reader is blocked, worded to follow the name of one of them.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        if self.reader.is_overdue() {
            return Some("is not read: its reader is blocked");
        }
        let is_overdue = self.lag_watch.is_overdue();
        is_overdue.then_some("may not be read: the thread that watches its lag is blocked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_overdue_when_its_round_takes_too_long_until_it_begins_the_next() {
        let second = Duration::from_secs(1);
        let mut heartbeat = Heartbeat::new(3 * second);
        let now = heartbeat.begun;
        assert!(!heartbeat.is_overdue_at(now + 33 * second));
        assert!(heartbeat.is_overdue_at(now + 34 * second));
        // Half a minute has passed.
        heartbeat.begun -= 30 * second;
        heartbeat.beat();
        assert!(!heartbeat.is_overdue_at(now + 33 * second));
        assert!(heartbeat.is_overdue_at(now + 35 * second));
        heartbeat.last_ms.store(u64::MAX, Ordering::Relaxed);
        assert!(!heartbeat.is_overdue_at(now + 1_000 * second));
    }
}
