//! Delivery gauges of a pipeline, for status and metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use babelmesh_telemetry::status::{DeliveryCounts, TopicProblem};

/// Counters of one pipeline.
#[derive(Debug, Default)]
pub struct DeliveryGauges {
    published: AtomicU64,
    committed: AtomicU64,
    aborted: AtomicU64,
    producers: AtomicU64,
    consumers: AtomicU64,
    skipped: AtomicU64,
    /// By error code, of which there are few.
    dead_letters: Mutex<BTreeMap<String, u64>>,
    oldest_ms: AtomicI64,
    can_publish: AtomicBool,
    /// Unwritable topics, and the partitions that wait for them.
    unwritable: Mutex<Unwritable>,
}

/// Unwritable topics and waiting partitions.
#[derive(Debug, Default)]
struct Unwritable {
    topics: Vec<TopicProblem>,
    /// Partitions whose next answers go there.
    waiting: BTreeSet<(Arc<str>, i32)>,
}

impl DeliveryGauges {
    pub(super) fn set_can_publish(&self) {
        self.can_publish.store(true, Ordering::Relaxed);
    }

    /// Whether the brokers have accepted this publisher: before that, answers wait.
    #[must_use]
    pub fn can_publish(&self) -> bool {
        self.can_publish.load(Ordering::Relaxed)
    }

    pub(super) fn finished(&self, records: usize) {
        self.published.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn committed(&self) {
        self.committed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn aborted(&self) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn producer_restarted(&self) {
        self.producers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn consumer_restarted(&self) {
        self.consumers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, records: u64) {
        self.skipped.fetch_add(records, Ordering::Relaxed);
    }

    /// A dead letter is with the brokers.
    pub(super) fn laid_aside(&self, code: &str) {
        let mut letters = self
            .dead_letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match letters.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                letters.insert(code.to_owned(), 1);
            }
        }
    }

    /// Dead letters that the brokers have, by error code.
    #[must_use]
    pub fn dead_letters(&self) -> BTreeMap<String, u64> {
        self.dead_letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_unwritable(
        &self,
        topics: Vec<TopicProblem>,
        waiting: BTreeSet<(Arc<str>, i32)>,
    ) {
        *self.known_unwritable() = Unwritable { topics, waiting };
    }

    fn known_unwritable(&self) -> MutexGuard<'_, Unwritable> {
        let unwritable = self.unwritable.lock();
        unwritable.unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics that answers cannot be written to, with the partitions that wait for them.
    #[must_use]
    pub fn unwritable(&self) -> Vec<TopicProblem> {
        self.known_unwritable().topics.clone()
    }

    /// Whether a partition waits, and is not read any further, because its next answer cannot be written.
    #[must_use]
    pub fn waits(&self, topic: &Arc<str>, partition: i32) -> bool {
        let known = self.known_unwritable();
        known.waiting.contains(&(Arc::clone(topic), partition))
    }

    pub(super) fn set_oldest_ms(&self, written: Option<i64>) {
        self.oldest_ms
            .store(written.unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// When the oldest record was written that was read and is not published, in milliseconds since 1970.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        let oldest = self.oldest_ms.load(Ordering::Relaxed);
        (oldest != i64::MAX && oldest != 0).then_some(oldest)
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> DeliveryCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DeliveryCounts {
            published: read(&self.published),
            transactions_committed: read(&self.committed),
            transactions_aborted: read(&self.aborted),
            producer_restarts: read(&self.producers),
            consumer_restarts: read(&self.consumers),
            skipped_records: read(&self.skipped),
        }
    }
}
