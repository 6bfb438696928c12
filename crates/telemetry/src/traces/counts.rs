//! Outcome of spans: metrics, and rate-limited log lines.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::events::NodeEvent;

/// How often the log says that spans are dropped, at most.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Why a span was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    reason: &'static str,
}

pub(super) const QUEUE_FULL: ReasonLabel = ReasonLabel {
    reason: "queue_full",
};
pub(super) const EXPORT_FAILED: ReasonLabel = ReasonLabel {
    reason: "export_failed",
};

/// Outcome counters of spans. Clones share them.
#[derive(Debug, Clone)]
pub struct SpanCounts {
    exported: Counter,
    dropped: Family<ReasonLabel, Counter>,
    untold: Arc<Mutex<UnreportedDrops>>,
}

/// Drops that the log has not told yet.
#[derive(Debug, Default)]
struct UnreportedDrops {
    spans: u64,
    told_at: Option<Instant>,
}

impl Default for SpanCounts {
    fn default() -> Self {
        let dropped = Family::<ReasonLabel, Counter>::default();
        // That there are none can be seen before there are some.
        for label in [QUEUE_FULL, EXPORT_FAILED] {
            drop(dropped.get_or_create(&label));
        }
        Self {
            exported: Counter::default(),
            dropped,
            untold: Arc::default(),
        }
    }
}

impl SpanCounts {
    /// Spans that the collector took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.get()
    }

    /// Dropped spans, for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let of = |label| self.dropped.get_or_create(label).get();
        of(&QUEUE_FULL) + of(&EXPORT_FAILED)
    }

    pub(crate) fn register(&self, to: &mut Registry) {
        to.register(
            "spans_exported",
            "Spans accepted by the collector",
            self.exported.clone(),
        );
        to.register(
            "spans_dropped",
            "Spans dropped because the collector was unreachable or too slow",
            self.dropped.clone(),
        );
    }

    pub(super) fn export_spans(&self, spans: usize) {
        self.exported.inc_by(spans as u64);
    }

    pub(super) fn drop_spans(&self, spans: usize, why: &ReasonLabel, error: &str) {
        let spans = spans as u64;
        self.dropped.get_or_create(why).inc_by(spans);
        let untold = {
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            untold.spans += spans;
            if untold.told_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
                return;
            }
            untold.told_at = Some(Instant::now());
            std::mem::take(&mut untold.spans)
        };
        NodeEvent::SpansDropped {
            spans: untold,
            error,
        }
        .emit();
    }
}
