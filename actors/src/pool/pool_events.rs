//! The events of one pool.

use std::sync::Arc;

use crate::{
    domain::JobOutcome,
    events::{BatchSpan, Event, Observer, PieceSource, SentenceCounts, TracedBatch},
};

/// Reports events of a pool to the node's observer.
pub(super) struct PoolEvents {
    observer: Arc<dyn Observer>,
    pool: Arc<str>,
}

impl PoolEvents {
    pub(super) fn new(observer: Arc<dyn Observer>, pool: Arc<str>) -> Self {
        Self { observer, pool }
    }

    /// The pool's name, for events.
    pub(super) fn pool(&self) -> Arc<str> {
        Arc::clone(&self.pool)
    }

    pub(super) fn observe(&self, event: Event) {
        self.observer.observe(&event);
    }

    /// Some pieces needed no engine.
    pub(super) fn pieces_known(&self, source: PieceSource, pieces: usize) {
        if pieces > 0 {
            let pool = self.pool();
            self.observe(Event::PiecesKnown {
                pool,
                source,
                pieces,
            });
        }
    }

    /// Sentences were translated and checked.
    pub(super) fn sentences_checked(&self, counts: SentenceCounts) {
        if !counts.is_empty() {
            let pool = self.pool();
            self.observe(Event::SentencesChecked { pool, counts });
        }
    }

    /// Jobs end, before their senders are notified.
    pub(super) fn answered(&self, outcomes: &[JobOutcome]) {
        self.observer.answered(Some(&self.pool), outcomes);
    }

    /// A batch with sampled jobs begins.
    pub(super) fn batch(&self, batch: &TracedBatch<'_>) -> Option<Box<dyn BatchSpan>> {
        self.observer.batch(batch)
    }

    /// The pool's name, for [`Self::batch`].
    pub(super) const fn name(&self) -> &Arc<str> {
        &self.pool
    }
}
