//! Consumer lag.
//!
//! librdkafka's own `consumer_lag` counts from the last offset that was committed through the consumer; transactional offsets are not, and the ends
//! of paused partitions are not queried. So this gauge queries the ends itself, and takes only the fetch positions from librdkafka's statistics. An
//! offset may hold a transaction marker instead of a record, so the number of unread records is estimated from the density of records in the offsets
//! read so far.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use babelmesh_telemetry::status::TopicLag;
use rdkafka::{Offset, TopicPartitionList};

use super::{client, statistics::Statistics};

/// A partition with unread records and no progress for this long is stalled.
const STALLED: Duration = Duration::from_secs(8);
/// A partition counts as held up if an open transaction has kept its records from being read for this long.
const HELD: Duration = Duration::from_secs(5);
/// Number of offsets after which the weight of older observations is halved.
const MEMORY: f64 = 20_000.0;

/// Offsets of a partition: from the first one to that behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first offset.
    pub(crate) from: i64,
    /// The offset behind the last.
    pub(crate) to: i64,
}

/// Lag of one consumer.
#[derive(Debug, Default)]
pub struct LagGauge {
    known: Mutex<PartitionProgress>,
    paused: AtomicBool,
    /// Partitions of subscribed topics that no member of the group owns, with their unread records.
    unowned: Mutex<BTreeMap<(Arc<str>, i32), u64>>,
}

#[derive(Debug, Default)]
struct PartitionProgress {
    partitions: HashMap<(Arc<str>, i32), Position>,
    /// Records and offsets that were read, for their proportion.
    records: f64,
    offsets: f64,
    /// Weight of what was read, in tokens.
    tokens: f64,
    /// Time of the last record that was read, in milliseconds since 1970.
    written_ms: Option<i64>,
}

/// Where a partition stands. Offsets are those of the next record.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// Next offset to read: after the last record that was received, or the group's committed offset.
    read: Option<i64>,
    /// Whether a record was given to us since the partition is ours.
    has_read: bool,
    /// The group's committed offset when the partition became ours. `None` if the group has none.
    committed: Option<i64>,
    /// A check has shown that no record lies between the next offset to read and this one.
    empty_to: Option<i64>,
    /// The end of the partition at the last check since something was read.
    checked_to: Option<i64>,
    /// Fetched by librdkafka.
    fetched: Option<i64>,
    /// The consumer holds records, of this partition or of others, that it has fetched and not given to us.
    has_queue: bool,
    /// It holds so many that it fetches no more.
    is_queue_full: bool,
    /// Last stable offset of the partition.
    end: Option<i64>,
    /// Where the records begin that the brokers still have.
    begin: Option<i64>,
    /// Its position while records are unread, and since when it has not changed.
    behind: Option<(i64, Instant)>,
    /// Whether the position has not changed for too long.
    is_stalled: bool,
    /// Where it ends for readers of all records.
    high: Option<i64>,
    /// Offset of the first open transaction that keeps records from being read, and since when it does.
    open: Option<(i64, Instant)>,
    /// Whether it has done so for too long.
    is_held: bool,
}

impl Position {
    /// Every record before this offset was given to us, or answered before the partition became ours. `None` while the group has no offset.
    const fn next(&self) -> Option<i64> {
        match self.has_read {
            true => self.read,
            false => self.committed,
        }
    }

    /// The offsets to check for records, when librdkafka seems to have reached the end of the partition without giving us all of them. That alone is
    /// no proof: it purges what it has fetched when a partition is paused, and its statistics may be of an earlier assignment.
    fn unchecked(&self) -> Option<Span> {
        let (from, to) = self.next().zip(self.end)?;
        let is_new = from < to && self.checked_to < Some(to);
        (is_new && !self.has_queue && self.fetched >= Some(to)).then_some(Span { from, to })
    }

    /// Updates whether the partition makes progress. A partition does not count as stalled while it is paused, read to its end, or not fetched
    /// because the queue is full.
    fn watch(&mut self, is_wanted: bool, now: Instant) {
        let next = self.fetched.max(self.read).max(self.begin);
        let behind = next.filter(|_| is_wanted && !self.is_queue_full && next < self.end);
        self.behind = behind.map(|next| match self.behind {
            Some((before, since)) if before == next => (next, since),
            _ => (next, now),
        });
        let waited = |(_, since): (i64, Instant)| now.saturating_duration_since(since);
        self.is_stalled = self.behind.is_some_and(|behind| waited(behind) >= STALLED);
    }

    /// Takes how far a consumer has fetched, where the first open transaction begins and where the partition ends.
    fn watch_transactions(&mut self, fetched: i64, stable: i64, high: i64, now: Instant) {
        self.high = (high >= 0).then_some(high);
        let is_open = stable >= 0 && fetched >= stable && high > fetched;
        self.open = is_open.then_some(match self.open {
            Some((at, since)) if at == stable => (at, since),
            _ => (stable, now),
        });
        self.judge_transactions(now);
    }

    /// Drops a transaction that begins before the last stable offset: it has ended, even if the statistics of a paused consumer are outdated.
    fn judge_transactions(&mut self, now: Instant) {
        self.open = self
            .open
            .filter(|(at, _)| self.end.is_none_or(|end| end <= *at));
        let waited = |(_, since): (i64, Instant)| now.saturating_duration_since(since);
        self.is_held = self.open.is_some_and(|open| waited(open) >= HELD);
    }

    /// Records ahead, when one offset holds `density` records on average.
    fn ahead(&self, density: f64, paused: bool) -> f64 {
        // Deleted records are not lag.
        let read = self.read.max(self.begin).max(self.empty_to).unwrap_or(0);
        // Pausing a partition discards what was fetched. If the queue is empty, only markers lie before the fetch position.
        let from = match self.fetched {
            Some(fetched) if !paused && !self.has_queue => fetched.max(read),
            _ => read,
        };
        let end = self.end.or(self.fetched).unwrap_or(from);
        // Records behind a transaction that holds the partition up count as unread.
        let end = end.max(self.high.filter(|_| self.is_held).unwrap_or(end));
        (end - from).max(0) as f64 * density
    }
}

impl PartitionProgress {
    fn density(&self) -> f64 {
        if self.offsets > 0.0 {
            (self.records / self.offsets).min(1.0)
        } else {
            1.0
        }
    }
}

impl LagGauge {
    fn known(&self) -> MutexGuard<'_, PartitionProgress> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run of records was read: topic, partition, offset, weight in tokens, time in milliseconds since 1970.
    pub(super) fn read<'r>(
        &self,
        records: impl Iterator<Item = (&'r Arc<str>, i32, i64, u64, i64)>,
    ) {
        let mut known = self.known();
        for (topic, partition, offset, weight, written_ms) in records {
            let position = known
                .partitions
                .entry((Arc::clone(topic), partition))
                .or_default();
            if !std::mem::replace(&mut position.has_read, true) {
                // What was known before may be of an earlier time that the partition was ours.
                position.fetched = None;
            }
            (position.empty_to, position.checked_to) = (None, None);
            // Offsets that retention deleted were not read.
            let before = position.read.replace(offset + 1);
            let before =
                before.map(|before| position.begin.map_or(before, |begin| begin.max(before)));
            known.offsets += before.map_or(1, |before| (offset + 1 - before).max(1)) as f64;
            known.records += 1.0;
            known.tokens += weight as f64;
            known.written_ms = Some(written_ms);
        }
        if known.offsets > MEMORY {
            known.offsets /= 2.0;
            known.records /= 2.0;
            known.tokens /= 2.0;
        }
    }

    /// All partitions were paused or resumed.
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether partitions are paused at this moment.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Takes librdkafka's statistics.
    pub(super) fn statistics(&self, statistics: &Statistics) {
        let (mut known, now) = (self.known(), Instant::now());
        for (topic, statistics) in &statistics.topics {
            for (partition, statistics) in &statistics.partitions {
                let Ok(partition) = partition.parse() else {
                    continue;
                };
                let key = (Arc::from(topic.as_str()), partition);
                if let Some(position) = known.partitions.get_mut(&key) {
                    let next = statistics.next_offset;
                    position.fetched = (next >= 0).then_some(next);
                    position.has_queue = statistics.fetchq_cnt > 0;
                    position.is_queue_full = statistics.fetchq_cnt >= client::QUEUE_RECORDS
                        || statistics.fetchq_size >= client::QUEUE_BYTES;
                    position.watch_transactions(
                        next,
                        statistics.ls_offset,
                        statistics.hi_offset,
                        now,
                    );
                }
            }
        }
    }

    /// Takes the ends of all partitions that are ours; what is known of others is forgotten. `starts` has the group's committed offsets.
    pub(super) fn ends(
        &self,
        ends: &TopicPartitionList,
        starts: &HashMap<(String, i32), Option<i64>>,
        begins: &TopicPartitionList,
        is_held: impl Fn(&str) -> bool,
    ) {
        let (paused, now) = (self.is_paused(), Instant::now());
        let mut known = self.known();
        let mut partitions = HashMap::new();
        for element in ends.elements() {
            let key = (Arc::from(element.topic()), element.partition());
            let mut position = known.partitions.remove(&key).unwrap_or_default();
            if let Offset::Offset(end) = element.offset() {
                position.end = Some(end);
            }
            if position.read.is_none() {
                let start = starts.get(&(element.topic().to_owned(), element.partition()));
                position.committed = start.copied().flatten();
                position.read = start.map(|start| start.unwrap_or(0));
            }
            let begin = begins.find_partition(element.topic(), element.partition());
            if let Some(Offset::Offset(begin)) = begin.map(|element| element.offset()) {
                position.begin = Some(begin);
            }
            position.watch(!paused && !is_held(element.topic()), now);
            position.judge_transactions(now);
            partitions.insert(key, position);
        }
        known.partitions = partitions;
    }

    /// A partition becomes ours: nothing is known of it.
    pub(super) fn forget(&self, topic: &str, partition: i32) {
        let key = (Arc::from(topic), partition);
        let _ = self.known().partitions.remove(&key);
    }

    /// Partitions in which only markers of transactions, which are not given to us, lie behind what was read, and the offset behind them.
    pub(super) fn passed(&self) -> Vec<(Arc<str>, i32, i64)> {
        let known = self.known();
        let partitions = known.partitions.iter();
        let passed = partitions.filter_map(|((topic, partition), position)| {
            Some((Arc::clone(topic), *partition, position.empty_to?))
        });
        passed.collect()
    }

    /// Partitions that may hold only markers behind what was read, with the offsets to check.
    pub(super) fn unchecked(&self) -> Vec<(Arc<str>, i32, Span)> {
        let known = self.known();
        let partitions = known.partitions.iter();
        let unchecked = partitions.filter_map(|((topic, partition), position)| {
            Some((Arc::clone(topic), *partition, position.unchecked()?))
        });
        unchecked.collect()
    }

    /// Takes the result of a check: whether no record lies in these offsets of a partition.
    pub(super) fn checked(&self, topic: &Arc<str>, partition: i32, span: Span, is_empty: bool) {
        let key = (Arc::clone(topic), partition);
        if let Some(position) = self.known().partitions.get_mut(&key)
            && position.next() == Some(span.from)
        {
            position.checked_to = Some(span.to);
            position.empty_to = is_empty.then_some(span.to);
        }
    }

    /// Stalled partitions: unread records, no progress, not paused.
    #[must_use]
    pub fn stalled(&self) -> Vec<(Arc<str>, i32)> {
        let known = self.known();
        let partitions = known.partitions.iter();
        let stalled = partitions.filter(|(_, position)| position.is_stalled);
        let mut stalled: Vec<_> = stalled.map(|(partition, _)| partition.clone()).collect();
        stalled.sort();
        stalled
    }

    /// Partitions whose records wait for an open transaction of a producer, with the offset where that begins.
    #[must_use]
    pub fn held(&self) -> Vec<(Arc<str>, i32, i64)> {
        let known = self.known();
        let held = known.partitions.iter().filter(|(_, p)| p.is_held);
        let held = held.filter_map(|((topic, partition), position)| {
            Some((Arc::clone(topic), *partition, position.open?.0))
        });
        let mut held: Vec<_> = held.collect();
        held.sort();
        held
    }

    /// Takes the partitions that no member of the group owns, with their unread records.
    pub(super) fn set_unowned(&self, unowned: BTreeMap<(Arc<str>, i32), u64>) {
        *self.unassigned() = unowned;
    }

    fn unassigned(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, i32), u64>> {
        self.unowned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partitions of subscribed topics that no member of the group owns.
    #[must_use]
    pub fn unowned(&self) -> Vec<(Arc<str>, i32)> {
        self.unassigned().keys().cloned().collect()
    }

    /// Whether unread records of a partition may be deleted by retention, because it is paused or nothing was read from it yet.
    pub(super) fn stands(&self, topic: &str, partition: i32) -> bool {
        let paused = self.is_paused();
        let key = (Arc::from(topic), partition);
        let known = self.known();
        let position = known.partitions.get(&key);
        position.is_none_or(|p| (paused || !p.has_read) && p.ahead(1.0, paused) > 0.0)
    }

    /// Whether a partition was read, or its committed offset is known.
    pub(super) fn has_start(&self, topic: &str, partition: i32) -> bool {
        let key = (Arc::from(topic), partition);
        let known = self.known();
        known.partitions.get(&key).is_some_and(|p| p.read.is_some())
    }

    /// Unread records by topic.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicLag> {
        let (paused, unowned) = (self.is_paused(), self.unassigned().clone());
        let known = self.known();
        let density = known.density();
        let mut topics: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        for ((topic, _), position) in &known.partitions {
            let (partitions, records) = topics.entry(topic).or_default();
            *partitions += 1;
            *records += position.ahead(density, paused);
        }
        for ((topic, _), unread) in &unowned {
            let (_, records) = topics.entry(topic).or_default();
            *records += *unread as f64;
        }
        let lag = |(topic, (partitions, records)): (&str, (usize, f64))| TopicLag {
            topic: topic.to_owned(),
            partitions,
            records: records.round() as u64,
        };
        topics.into_iter().map(lag).collect()
    }

    /// Mean weight of the records that were read lately, in tokens.
    #[must_use]
    pub fn tokens_per_record(&self) -> f64 {
        let known = self.known();
        if known.records > 0.0 {
            known.tokens / known.records
        } else {
            0.0
        }
    }

    /// Time of the record that was read last, in milliseconds since 1970: what is unread is hardly older.
    #[must_use]
    pub fn read_up_to_ms(&self) -> Option<i64> {
        self.known().written_ms
    }
}

#[cfg(test)]
mod tests;
