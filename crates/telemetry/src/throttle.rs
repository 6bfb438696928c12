//! Limits how often log lines of one kind are written.
//!
//! The same trouble comes back again and again: a peer with an expired certificate redials every second, a scanner sends one malformed
//! request after another. The first lines of each kind are written, the rest is counted, and the next line that is written says how many
//! were left out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Kinds that are remembered; further ones share one allowance.
const MAX_KINDS: usize = 256;

/// Lets through so many log lines of each kind in each span of time.
#[derive(Debug)]
pub struct LogThrottle {
    span: Duration,
    burst: u32,
    kinds: Mutex<Kinds>,
}

#[derive(Debug, Default)]
struct Kinds {
    known: HashMap<String, Window>,
    /// Of all kinds that there was no room for.
    others: Option<Window>,
}

/// A span of time that began with a line.
#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    suppressed: u64,
}

impl Window {
    const fn new(began: Instant) -> Self {
        Self {
            began,
            written: 0,
            suppressed: 0,
        }
    }

    fn is_over(&self, now: Instant, span: Duration) -> bool {
        now.saturating_duration_since(self.began) >= span
    }

    /// The lines left out before this one, if it may be written.
    fn admit(&mut self, now: Instant, span: Duration, burst: u32) -> Option<u64> {
        if self.is_over(now, span) {
            let suppressed = self.suppressed;
            *self = Self::new(now);
            self.suppressed = suppressed;
        }
        if self.written >= burst {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl LogThrottle {
    /// Lets `burst` lines of each kind through in each `span`.
    #[must_use]
    pub fn new(span: Duration, burst: u32) -> Self {
        Self {
            span,
            burst,
            kinds: Mutex::default(),
        }
    }

    /// Whether a line of this kind may be written now; if so, how many of its kind were left out since the last one.
    ///
    /// A kind must not contain what differs from line to line, such as times or ports, nor untrusted input.
    pub fn admit(&self, kind: &str, now: Instant) -> Option<u64> {
        let (span, burst) = (self.span, self.burst);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = kinds.known.get_mut(kind) {
            return window.admit(now, span, burst);
        }
        if kinds.known.len() >= MAX_KINDS {
            kinds.known.retain(|_, window| !window.is_over(now, span));
        }
        let window = match kinds.known.len() < MAX_KINDS {
            true => kinds
                .known
                .entry(kind.to_owned())
                .or_insert(Window::new(now)),
            false => kinds.others.get_or_insert(Window::new(now)),
        };
        window.admit(now, span, burst)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn the_next_line_says_how_many_were_left_out() {
        let (throttle, now) = (LogThrottle::new(SPAN, 1), Instant::now());
        assert_eq!(throttle.admit("a", now), Some(0));
        for _ in 0..7 {
            assert_eq!(throttle.admit("a", now), None);
        }
        assert_eq!(throttle.admit("b", now), Some(0));
        assert_eq!(throttle.admit("a", now + SPAN), Some(7));
        assert_eq!(throttle.admit("a", now + SPAN * 2), Some(0));
    }

    #[test]
    fn unauthenticated_connections_fill_neither_log_nor_memory() {
        let (throttle, now) = (LogThrottle::new(SPAN, 1), Instant::now());
        let kinds = (0..10_000).map(|number| number.to_string());
        let written = kinds.filter(|kind| throttle.admit(kind, now).is_some());
        assert_eq!(written.count(), MAX_KINDS + 1);
        assert_eq!(throttle.kinds.lock().unwrap().known.len(), MAX_KINDS);
        assert!(throttle.admit("new", now + SPAN).is_some());
    }

    proptest! {
        #[test]
        fn each_line_is_written_or_counted(
            burst in 1_u32..4,
            lines in prop::collection::vec((0_u8..4, 0_u64..30), 0..200),
        ) {
            let throttle = LogThrottle::new(SPAN, burst);
            let mut now = Instant::now();
            let mut written: HashMap<u8, Vec<Instant>> = HashMap::new();
            let mut told = 0;
            for (kind, seconds) in &lines {
                now += Duration::from_secs(*seconds);
                if let Some(suppressed) = throttle.admit(&kind.to_string(), now) {
                    told += 1 + suppressed;
                    written.entry(*kind).or_default().push(now);
                }
            }
            let pending: u64 = throttle.kinds.lock().unwrap().known.values().map(|w| w.suppressed).sum();
            prop_assert_eq!(told + pending, lines.len() as u64);
            for times in written.values() {
                // Twice the burst at most where one span ends and the next begins.
                let most = 2 * burst as usize;
                for window in times.windows(most + 1) {
                    prop_assert!(window[most] - window[0] >= SPAN);
                }
            }
        }
    }
}
