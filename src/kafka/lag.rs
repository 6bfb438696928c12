//! How much of its partitions a consumer has not read yet.
//!
//! librdkafka's own `consumer_lag` counts from the last offset that was committed through the consumer. Under transactions none is, and
//! for a paused partition nobody asks where it ends. So this gauge asks the brokers for the ends itself, and takes from the statistics only
//! what librdkafka alone knows: how far it has fetched. An offset may also hold the mark of a transaction instead
//! of a record: offsets ahead count as records in the proportion that was found in those behind.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use serde::{Deserialize, Serialize};

use super::{
    client,
    reader::{Member, MemberConsumer},
    statistics::Statistics,
};

/// How often ends are asked for.
const EVERY: Duration = Duration::from_secs(1);
/// How long the brokers may take to tell.
const PATIENCE: Duration = Duration::from_secs(5);
/// A partition with unread records in which nobody gets further for so long is stalled.
const STALLED: Duration = Duration::from_secs(8);
/// The proportion of records to offsets forgets half of what it knows after so many offsets.
const MEMORY: f64 = 20_000.0;

/// Unread records of a topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicLag {
    /// Topic.
    pub topic: String,
    /// Partitions of it that this node reads.
    pub partitions: usize,
    /// Records that are not read yet.
    pub records: u64,
}

/// What one consumer has not read yet.
#[derive(Debug, Default)]
pub struct LagGauge {
    known: Mutex<Known>,
    paused: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
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
    /// Given to us, or where the group had got to.
    read: Option<i64>,
    /// Whether a record was given to us since the partition is ours.
    has_read: bool,
    /// Fetched by librdkafka.
    fetched: Option<i64>,
    /// Fetched and not given to us, in records.
    prefetched: i64,
    /// Where the partition ends for readers of committed records.
    end: Option<i64>,
    /// Where the records begin that the brokers still have.
    begin: Option<i64>,
    /// Where it stands before unread records, and since when.
    behind: Option<(i64, Instant)>,
    /// Whether it has stood there for too long.
    is_stalled: bool,
}

impl Position {
    /// Notices whether it gets further. A partition that nobody wants to read, or that holds nothing more, stands where it should.
    fn watch(&mut self, is_wanted: bool, now: Instant) {
        let next = self.fetched.max(self.read).max(self.begin);
        let behind = next.filter(|_| is_wanted && self.prefetched == 0 && next < self.end);
        self.behind = behind.map(|next| match self.behind {
            Some((before, since)) if before == next => (next, since),
            _ => (next, now),
        });
        let waited = |(_, since): (i64, Instant)| now.saturating_duration_since(since);
        self.is_stalled = self.behind.is_some_and(|behind| waited(behind) >= STALLED);
    }

    /// Records ahead, when one offset holds `density` records on average.
    fn ahead(&self, density: f64, paused: bool) -> f64 {
        // What retention has deleted is not unread.
        let read = self.read.max(self.begin).unwrap_or(0);
        // What was prefetched is thrown away when a partition is paused.
        let (from, prefetched) = match self.fetched {
            Some(fetched) if !paused && fetched >= read => (fetched, self.prefetched.max(0)),
            _ => (read, 0),
        };
        let Some(end) = self.end else {
            return prefetched as f64;
        };
        prefetched as f64 + (end - from).max(0) as f64 * density
    }
}

impl Known {
    fn density(&self) -> f64 {
        if self.offsets > 0.0 {
            (self.records / self.offsets).min(1.0)
        } else {
            1.0
        }
    }
}

impl LagGauge {
    fn known(&self) -> MutexGuard<'_, Known> {
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
            // What retention has deleted is no offset that was passed.
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
        let mut known = self.known();
        for (topic, statistics) in &statistics.topics {
            for (partition, statistics) in &statistics.partitions {
                let Ok(partition) = partition.parse() else {
                    continue;
                };
                let key = (Arc::from(topic.as_str()), partition);
                if let Some(position) = known.partitions.get_mut(&key) {
                    let next = statistics.next_offset;
                    position.fetched = (next >= 0).then_some(next);
                    position.prefetched = statistics.fetchq_cnt;
                }
            }
        }
    }

    /// Takes the ends of all partitions that are ours; what is known of others is forgotten.
    fn ends(
        &self,
        ends: &TopicPartitionList,
        starts: &HashMap<(String, i32), i64>,
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
                position.read = start.copied();
            }
            let begin = begins.find_partition(element.topic(), element.partition());
            if let Some(Offset::Offset(begin)) = begin.map(|element| element.offset()) {
                position.begin = Some(begin);
            }
            position.watch(!paused && !is_held(element.topic()), now);
            partitions.insert(key, position);
        }
        known.partitions = partitions;
    }

    /// A partition becomes ours: nothing is known of it.
    pub(super) fn forget(&self, topic: &str, partition: i32) {
        let key = (Arc::from(topic), partition);
        let _ = self.known().partitions.remove(&key);
    }

    /// Partitions of which everything that was fetched was given to us, and where that ends: behind marks of transactions, which are not given.
    pub(super) fn passed(&self) -> Vec<(Arc<str>, i32, i64)> {
        let known = self.known();
        let passed = |((topic, partition), position): (&(Arc<str>, i32), &Position)| {
            let fetched = position
                .fetched
                .filter(|_| position.has_read && position.prefetched == 0);
            let end = fetched.filter(|fetched| position.read < Some(*fetched))?;
            Some((Arc::clone(topic), *partition, end))
        };
        known.partitions.iter().filter_map(passed).collect()
    }

    /// Partitions with unread records in which nobody has got further for a while, although nothing holds them back.
    #[must_use]
    pub fn stalled(&self) -> Vec<(Arc<str>, i32)> {
        let known = self.known();
        let partitions = known.partitions.iter();
        let stalled = partitions.filter(|(_, position)| position.is_stalled);
        let mut stalled: Vec<_> = stalled.map(|(partition, _)| partition.clone()).collect();
        stalled.sort();
        stalled
    }

    /// Whether a partition has records ahead and does not get further: retention may delete them meanwhile.
    fn stands(&self, topic: &str, partition: i32) -> bool {
        let paused = self.is_paused();
        let key = (Arc::from(topic), partition);
        let known = self.known();
        let position = known.partitions.get(&key);
        position.is_none_or(|p| (paused || !p.has_read) && p.ahead(1.0, paused) > 0.0)
    }

    /// Whether a partition was read, or its committed offset is known.
    fn has_start(&self, topic: &str, partition: i32) -> bool {
        let key = (Arc::from(topic), partition);
        let known = self.known();
        known.partitions.get(&key).is_some_and(|p| p.read.is_some())
    }

    /// Unread records by topic.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicLag> {
        let paused = self.is_paused();
        let known = self.known();
        let density = known.density();
        let mut topics: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        for ((topic, _), position) in &known.partitions {
            let (partitions, records) = topics.entry(topic).or_default();
            *partitions += 1;
            *records += position.ahead(density, paused);
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

/// Asks for the ends of partitions until it is dropped.
pub(super) struct LagWatch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl LagWatch {
    /// Watches on a thread of its own: the brokers may take their time to answer.
    pub(super) fn start(member: Arc<Member>, gauge: Arc<LagGauge>) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                if let Some(consumer) = member.consumer() {
                    look(&consumer, &gauge, |topic| member.holds_back(topic));
                }
            }
        };
        let thread = thread::Builder::new().name("lag".to_owned()).spawn(watch)?;
        Ok(Self { stop, thread })
    }

    /// Stops, and waits until its thread holds the consumer no more.
    pub(super) fn end(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

fn look(consumer: &MemberConsumer, gauge: &LagGauge, is_held: impl Fn(&str) -> bool) {
    let Ok(mut wanted) = consumer.assignment() else {
        return;
    };
    if wanted.count() == 0 {
        // librdkafka takes a question about nothing for a mistake. What was ours is unread by others now.
        gauge.ends(&wanted, &HashMap::new(), &wanted, is_held);
        return;
    }
    let mut unread = TopicPartitionList::new();
    for element in wanted.elements() {
        if !gauge.has_start(element.topic(), element.partition()) {
            unread.add_partition(element.topic(), element.partition());
        }
    }
    // Nothing was read of these yet: they begin where the group has got to.
    let mut starts = HashMap::new();
    if unread.count() > 0
        && let Ok(committed) = consumer.committed_offsets(unread, PATIENCE)
    {
        for element in committed.elements() {
            let start = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            starts.insert((element.topic().to_owned(), element.partition()), start);
        }
    }
    let mut begins = TopicPartitionList::new();
    for element in wanted.elements() {
        if is_held(element.topic()) || gauge.stands(element.topic(), element.partition()) {
            begins.add_partition(element.topic(), element.partition());
        }
    }
    if begins.count() > 0 && begins.set_all_offsets(Offset::Beginning).is_ok() {
        begins = consumer
            .offsets_for_times(begins, PATIENCE)
            .unwrap_or_default();
    }
    if wanted.set_all_offsets(Offset::End).is_err() {
        return;
    }
    match consumer.offsets_for_times(wanted, PATIENCE) {
        Ok(ends) => gauge.ends(&ends, &starts, &begins, is_held),
        Err(error) => client::error(&error, "asking for the ends of partitions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(list: &[(i32, i64)]) -> TopicPartitionList {
        let mut ends = TopicPartitionList::new();
        for (partition, end) in list {
            let end = Offset::Offset(*end);
            ends.add_partition_offset("t", *partition, end).unwrap();
        }
        ends
    }

    fn read(gauge: &LagGauge, partition: i32, offsets: impl Iterator<Item = i64>) {
        let topic: Arc<str> = Arc::from("t");
        gauge.read(offsets.map(|offset| (&topic, partition, offset, 20, offset)));
    }

    fn statistics(partition: i32, next: i64, prefetched: i64) -> Statistics {
        let json = serde_json::json!({"topics": {"t": {"partitions": {
            partition.to_string(): {"next_offset": next, "fetchq_cnt": prefetched, "other": 1}}}}});
        Statistics::read(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_lag_is_what_is_fetched_and_not_read_and_what_is_not_fetched() {
        let gauge = LagGauge::default();
        read(&gauge, 0, 0..100);
        gauge.ends(&ends(&[(0, 400)]), &HashMap::new(), &ends(&[]), |_| false);
        assert_eq!(gauge.topics()[0].records, 300);
        gauge.statistics(&statistics(0, 150, 50));
        assert_eq!(gauge.topics()[0].records, 300);
        assert!((gauge.tokens_per_record() - 20.0).abs() < 1e-9);
        assert_eq!(gauge.read_up_to_ms(), Some(99));
    }

    #[test]
    fn marks_of_transactions_are_no_records() {
        let gauge = LagGauge::default();
        // Every second offset holds a mark.
        read(&gauge, 0, (0..200).step_by(2));
        gauge.ends(&ends(&[(0, 200)]), &HashMap::new(), &ends(&[]), |_| false);
        // All is read: what remains is the last mark, and librdkafka knows that it has fetched it.
        gauge.statistics(&statistics(0, 200, 0));
        assert_eq!(gauge.topics()[0].records, 0);
        gauge.ends(&ends(&[(0, 1_200)]), &HashMap::new(), &ends(&[]), |_| false);
        let records = gauge.topics()[0].records;
        assert!((490..=510).contains(&records), "{records}");
    }

    #[test]
    fn what_was_fetched_ahead_of_a_paused_partition_counts_as_unread() {
        let gauge = LagGauge::default();
        read(&gauge, 0, 0..100);
        gauge.statistics(&statistics(0, 150, 0));
        gauge.set_paused(true);
        gauge.ends(&ends(&[(0, 400)]), &HashMap::new(), &ends(&[]), |_| false);
        assert_eq!(gauge.topics()[0].records, 300);
    }

    #[test]
    fn partitions_that_went_are_forgotten_and_new_ones_begin_at_the_committed_offset() {
        let gauge = LagGauge::default();
        read(&gauge, 0, 0..100);
        assert!(gauge.has_start("t", 0) && !gauge.has_start("t", 1));
        let starts = HashMap::from([(("t".to_owned(), 1), 70)]);
        gauge.ends(&ends(&[(1, 100)]), &starts, &ends(&[]), |_| false);
        let lag = &gauge.topics()[0];
        assert_eq!((lag.partitions, lag.records), (1, 30));
    }

    #[test]
    fn what_retention_has_deleted_is_not_unread() {
        let gauge = LagGauge::default();
        let starts = HashMap::from([(("t".to_owned(), 0), 0)]);
        gauge.set_paused(true);
        assert!(gauge.stands("t", 0));
        let (end, begin) = (ends(&[(0, 5_000)]), ends(&[(0, 4_990)]));
        gauge.ends(&end, &starts, &begin, |_| false);
        assert_eq!(gauge.topics()[0].records, 10);
        assert!(gauge.stands("t", 0));
        gauge.ends(&end, &starts, &end, |_| false);
        assert_eq!(gauge.topics()[0].records, 0);
        assert!(!gauge.stands("t", 0));
        // Neither is what it deletes while the partition is paused.
        read(&gauge, 0, 5_000..5_100);
        gauge.ends(&ends(&[(0, 6_000)]), &starts, &ends(&[]), |_| false);
        assert_eq!(gauge.topics()[0].records, 900);
        assert!(gauge.stands("t", 0));
        let (end, begin) = (ends(&[(0, 6_000)]), ends(&[(0, 5_800)]));
        gauge.ends(&end, &starts, &begin, |_| false);
        assert_eq!(gauge.topics()[0].records, 200);
        gauge.set_paused(false);
        assert!(!gauge.stands("t", 0));
    }

    #[test]
    fn a_partition_that_stands_still_before_its_end_is_stalled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut position = Position {
            read: Some(100),
            end: Some(120),
            ..Position::default()
        };
        position.watch(true, at(0));
        position.watch(true, at(7));
        assert!(!position.is_stalled);
        position.watch(true, at(8));
        assert!(position.is_stalled);
        // It gets further, and stands again.
        position.read = Some(101);
        position.watch(true, at(9));
        assert!(!position.is_stalled);
        position.watch(true, at(17));
        assert!(position.is_stalled);
        // It is held back, or what comes is fetched, or there is nothing more but a mark that is fetched.
        position.watch(false, at(18));
        assert!(!position.is_stalled);
        position.prefetched = 7;
        position.watch(true, at(19));
        position.watch(true, at(40));
        assert!(!position.is_stalled);
        position.prefetched = 0;
        position.fetched = Some(120);
        position.watch(true, at(41));
        position.watch(true, at(60));
        assert!(!position.is_stalled);
    }

    #[test]
    fn only_marks_behind_records_that_were_given_to_us_are_passed() {
        let gauge = LagGauge::default();
        let t: Arc<str> = Arc::from("t");
        // Known of an earlier time.
        gauge.ends(&ends(&[(0, 100)]), &HashMap::new(), &ends(&[]), |_| false);
        gauge.statistics(&statistics(0, 100, 0));
        assert_eq!(gauge.passed(), []);
        read(&gauge, 0, 50..60);
        assert_eq!(gauge.passed(), []);
        gauge.statistics(&statistics(0, 70, 9));
        assert_eq!(gauge.passed(), []);
        read(&gauge, 0, 60..69);
        gauge.statistics(&statistics(0, 70, 0));
        assert_eq!(gauge.passed(), [(Arc::clone(&t), 0, 70)]);
        gauge.forget("t", 0);
        assert_eq!(gauge.passed(), []);
        read(&gauge, 0, 70..80);
        gauge.statistics(&statistics(0, 80, 0));
        assert_eq!(gauge.passed(), []);
    }
}
