//! The time that a test itself has worked, whatever else its machine does.

use std::time::{Duration, Instant};

/// Measures from its start.
pub(crate) struct CpuTime {
    start: Option<Duration>,
    wall: Instant,
}

impl CpuTime {
    pub(crate) fn start() -> Self {
        Self {
            start: worked(),
            wall: Instant::now(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match (worked(), self.start) {
            (Some(now), Some(start)) => now.saturating_sub(start),
            _ => self.wall.elapsed(),
        }
    }
}

/// How long the thread has run, where the system says so.
fn worked() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
