//! Trace context of an order. Plain data: nothing here exports spans.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Most batches that a job remembers: a text of more pieces names the first ones.
const MOST_BATCHES: usize = 32;

/// A span of a trace, by its W3C ids. It is sampled: what is not has no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpanRef {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
}

impl fmt::Display for SpanRef {
    /// As the W3C header `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

/// The W3C trace context of an order.
#[derive(Debug, Default)]
pub struct Trace {
    /// `traceparent`: the sender's, or the order's own span where that is watched.
    pub parent: String,
    /// `tracestate`; empty when there is none.
    pub state: String,
    /// Data for tracing this order; absent if it is not sampled.
    pub watched: Option<SampledTrace>,
}

/// A sampled order.
#[derive(Debug)]
pub struct SampledTrace {
    /// Its own span.
    pub span: SpanRef,
    /// The span that it is a child of, in the same trace; none when the trace begins with it.
    pub under: Option<u64>,
    /// Whether that one belongs to another process.
    pub is_remote: bool,
    /// When it was accepted, on the wall clock.
    pub at: SystemTime,
    /// The same moment on the clock that everything after it is measured with.
    pub since: Instant,
    /// When the record was written that it was read from.
    pub written: Option<SystemTime>,
    batches: Mutex<Vec<SpanRef>>,
}

impl SampledTrace {
    /// One that is accepted now.
    #[must_use]
    pub fn new(span: SpanRef, under: Option<u64>, is_remote: bool) -> Self {
        Self {
            span,
            under,
            is_remote,
            at: SystemTime::now(),
            since: Instant::now(),
            written: None,
            batches: Mutex::default(),
        }
    }

    /// A later moment on the wall clock. All of one order are told from one reading of it, so that they add up even if the clock is set meanwhile.
    #[must_use]
    pub fn wall(&self, at: Instant) -> SystemTime {
        self.at + at.saturating_duration_since(self.since)
    }

    /// A batch has a part of it.
    pub fn joined(&self, batch: SpanRef) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() < MOST_BATCHES {
            batches.push(batch);
        }
    }

    /// The batches that had a part of it.
    #[must_use]
    pub fn batches(&self) -> Vec<SpanRef> {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SPAN: SpanRef = SpanRef {
        trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
        span: 0x00f0_67aa_0ba9_02b7,
    };

    #[test]
    fn a_span_is_named_as_the_header_wants_it() {
        assert_eq!(
            SPAN.to_string(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        );
    }

    #[test]
    fn moments_of_one_order_lie_apart_on_the_wall_clock_as_they_did() {
        let watched = SampledTrace::new(SPAN, None, false);
        let (early, late) = (Duration::from_millis(3), Duration::from_millis(250));
        let wall = |after| watched.wall(watched.since + after);
        assert_eq!(wall(early), watched.at + early);
        assert_eq!(
            wall(late).duration_since(wall(early)).unwrap(),
            late - early
        );
        // Earlier times are not known more precisely.
        assert_eq!(watched.wall(watched.since - early), watched.at);
    }

    #[test]
    fn a_job_of_very_many_batches_remembers_only_the_first() {
        let watched = SampledTrace::new(SPAN, None, false);
        for span in 0..1_000 {
            watched.joined(SpanRef { span, ..SPAN });
        }
        let batches = watched.batches();
        assert_eq!(batches.len(), MOST_BATCHES);
        assert_eq!(batches[1].span, 1);
    }
}
