//! Incarnations of nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// A number that is only incremented by its own node. It begins as the time of the start, so that it grows over
/// restarts.
#[derive(Debug, Clone)]
pub struct Incarnation(Arc<AtomicU64>);

impl Default for Incarnation {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(clock())))
    }
}

/// How far beyond a node's clock an incarnation may be, in microseconds: a year of 366 days. Clocks may be wrong, and incarnations are raised one by one;
/// a value above that is an error or an attack, and adopting it would exhaust the range.
pub(super) const MOST_AHEAD: u64 = 366 * 24 * 3_600 * 1_000_000;

/// This node's clock as incarnations have it, in microseconds since 1970.
pub(crate) fn clock() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX / 2)
}

/// Whether there can be a node of this incarnation when a clock is at `clock`.
#[must_use]
pub(crate) const fn is_plausible(incarnation: u64, clock: u64) -> bool {
    incarnation <= clock.saturating_add(MOST_AHEAD)
}

impl Incarnation {
    #[cfg(test)]
    pub(super) fn at(incarnation: u64) -> Self {
        Self(Arc::new(AtomicU64::new(incarnation)))
    }

    /// The present one.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Refutes a death: continues above the incarnation that others declared dead.
    pub(crate) fn raise_above(&self, dead_incarnation: u64) {
        self.0
            .fetch_max(dead_incarnation.saturating_add(1), Ordering::SeqCst);
    }
}
