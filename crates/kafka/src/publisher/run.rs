//! A run: the content of one transaction.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use babelmesh_actors::flow::Flow;
use babelmesh_telemetry::traces::TransactionSpan;
use rdkafka::{Offset, TopicPartitionList};

use super::{
    Publishing,
    parking::Verdict,
    partition::{Partition, Partitions, Released},
};
use crate::{gauges::DeliveryGauges, record::OutRecord};

/// Most records of a partition, over all partitions, that are answered in one transaction.
pub(super) const LARGEST: usize = 4_096;
/// Most bytes of answers, with their keys and headers, unless a single one has more.
const MOST_BYTES: usize = 8 << 20;

/// The released answers that a transaction takes from the front of each partition. They stay in the partitions; a run only counts them.
#[derive(Debug)]
pub(super) struct Run {
    parts: Vec<Part>,
    records: usize,
    /// Where each answer belongs, in the order in which they are written.
    places: Vec<Place>,
    /// Whether it tries topics that could not be written before.
    is_trial: bool,
    /// The transaction, if something in it is watched.
    moment: Option<TransactionSpan>,
}

#[derive(Debug)]
struct Part {
    /// The reader's number of the partition.
    id: u32,
    epoch: u32,
    topic: Arc<str>,
    number: i32,
    /// Number of entries from the front of what is released.
    entries: usize,
    /// Offset of the last entry; without entries, of the last transaction marker that is passed.
    upto: i64,
}

impl Part {
    fn of(id: u32, partition: &Partition, entries: usize, upto: i64) -> Self {
        Self {
            id,
            epoch: partition.epoch,
            topic: Arc::clone(&partition.topic),
            number: partition.number,
            entries,
            upto,
        }
    }
}

/// Where an answer belongs.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The reader's number of the partition.
    pub(super) id: u32,
    pub(super) epoch: u32,
    /// Of the record that it answers.
    pub(super) offset: i64,
    /// Its own number there.
    pub(super) number: u32,
    /// Where it goes.
    pub(super) topic: Arc<str>,
}

impl Run {
    /// Collects at most `limit` records and about [`MOST_BYTES`] of released answers, evenly from all partitions, so that a large backlog of one does
    /// not delay others. `verdict` says whether an answer to a record of a partition may be written. Answers that are due for a trial are taken
    /// alone. Other runs also include offsets behind markers; a run of such offsets alone needs `may_only_pass`.
    pub(super) fn gather(
        partitions: &Partitions,
        limit: usize,
        may_only_pass: bool,
        unreadable: &BTreeSet<String>,
        verdict: &impl Fn(u32, &OutRecord) -> Verdict,
    ) -> Option<Self> {
        // The brokers take no offsets of topics that may not be read.
        let readable = || {
            let all = partitions.iter();
            all.filter(|(_, p)| !unreadable.contains(&*p.topic))
        };
        let of_first = |id: u32, partition: &Partition| {
            let first = partition.released.front();
            first.map(|first| of_entry(id, first, verdict))
        };
        let is_trial = readable().any(|(id, p)| of_first(id, p) == Some(Verdict::Due));
        let wanted = if is_trial {
            Verdict::Due
        } else {
            Verdict::Free
        };
        let waiting = || readable().filter(|(id, p)| of_first(*id, p) == Some(wanted));
        let count = waiting().count().max(1);
        let share = if is_trial { 1 } else { (limit / count).max(1) };
        let bytes = MOST_BYTES / count;
        let (mut parts, mut records) = (Vec::new(), 0);
        for (id, partition) in waiting() {
            let is_wanted = |released: &Released| of_entry(id, released, verdict) == wanted;
            let most = share.min(limit - records);
            let entries = beginning(&partition.released, most, bytes, is_wanted);
            let Some(last) = entries
                .checked_sub(1)
                .and_then(|i| partition.released.get(i))
            else {
                continue;
            };
            records += entries;
            parts.push(Part::of(id, partition, entries, last.offset));
        }
        let is_wanted = !is_trial && (records > 0 || may_only_pass);
        let passed = readable().filter(|_| is_wanted);
        parts.extend(passed.filter_map(|(id, partition)| {
            Some(Part::of(id, partition, 0, partition.passed()? - 1))
        }));
        let mut run = (!parts.is_empty()).then_some(Self {
            parts,
            records,
            places: Vec::new(),
            is_trial,
            moment: None,
        })?;
        let entries = run.entries(partitions);
        let watched = entries.filter_map(|(_, released)| released.request_trace.as_deref());
        let moment = TransactionSpan::of(records, watched);
        run.places = run.answers(partitions).map(|(place, _)| place).collect();
        run.moment = moment;
        Some(run)
    }

    fn entries<'p>(
        &'p self,
        partitions: &'p Partitions,
    ) -> impl Iterator<Item = (&'p Part, &'p Released)> {
        self.parts.iter().flat_map(|part| {
            let partition = partitions.find(part.id, part.epoch);
            let released = partition.into_iter().flat_map(|p| &p.released);
            released.take(part.entries).map(move |r| (part, r))
        })
    }

    /// The answers and where they belong, partition by partition, in order.
    pub(super) fn answers<'p>(
        &'p self,
        partitions: &'p Partitions,
    ) -> impl Iterator<Item = (Place, &'p OutRecord)> {
        self.entries(partitions).flat_map(|(part, released)| {
            released.answers.iter().map(|answer| {
                let place = Place {
                    id: part.id,
                    epoch: part.epoch,
                    offset: released.offset,
                    number: answer.number,
                    topic: Arc::clone(&answer.record.topic),
                };
                (place, &answer.record)
            })
        })
    }

    /// Where each answer belongs, in the order of [`Run::answers`].
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether it tries topics that could not be written before.
    pub(super) const fn is_trial(&self) -> bool {
        self.is_trial
    }

    /// Whether it holds a record for a topic that cannot be written to.
    pub(super) fn has_unavailable(&self, with: &Publishing) -> bool {
        let mut topics = self.places.iter().map(|place| &place.topic);
        with.topics.has_unavailable() && topics.any(|topic| with.topics.is_unavailable(topic))
    }

    /// Number of records that are answered.
    pub(super) const fn len(&self) -> usize {
        self.records
    }

    /// The assignments that it rests upon.
    pub(super) fn assignments(&self) -> impl Iterator<Item = (u32, u32)> {
        self.parts.iter().map(|part| (part.id, part.epoch))
    }

    pub(super) fn touches(&self, partitions: &[u32]) -> bool {
        self.parts.iter().any(|part| partitions.contains(&part.id))
    }

    /// Where each partition goes on after this.
    pub(super) fn offsets(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.parts.len());
        for part in &self.parts {
            let next = Offset::Offset(part.upto + 1);
            // An offset that was read is one that can be written.
            let _ = list.add_partition_offset(&part.topic, part.number, next);
        }
        list
    }

    /// Where a partition goes on after this.
    pub(super) fn offset_of(&self, topic: &str, number: i32) -> Option<i64> {
        let is_it = |part: &&Part| &*part.topic == topic && part.number == number;
        self.parts.iter().find(is_it).map(|part| part.upto + 1)
    }

    /// The brokers have all of it.
    pub(super) fn finish(&self, partitions: &mut Partitions, flow: &Flow, gauges: &DeliveryGauges) {
        for part in &self.parts {
            if let Some(partition) = partitions.get(part.id, part.epoch) {
                partition.finish(part.upto, flow, gauges);
            }
        }
        gauges.finished(self.records);
        if let Some(moment) = &self.moment {
            moment.committed();
        }
    }
}

/// Whether everything that answers a record may be written.
fn of_entry(
    id: u32,
    released: &Released,
    verdict: &impl Fn(u32, &OutRecord) -> Verdict,
) -> Verdict {
    let records = released.answers.records();
    let verdicts = records.map(|record| verdict(id, record));
    verdicts.max().unwrap_or(Verdict::Free)
}

/// How many entries from the front have at most so many bytes; at least one, if any are wanted.
fn beginning(
    released: &VecDeque<Released>,
    most: usize,
    most_bytes: usize,
    is_wanted: impl Fn(&Released) -> bool,
) -> usize {
    let mut bytes = 0;
    let fits = |released: &&Released| {
        let before = bytes;
        bytes += released.answers.bytes();
        (before == 0 || bytes <= most_bytes) && is_wanted(released)
    };
    released.iter().take(most).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use babelmesh_actors::flow::WaterMarks;
    use proptest::prelude::*;

    use super::*;
    use crate::publisher::answers::{
        Answers,
        samples::{TOPICS, record_to},
    };

    /// Partitions with the topics of the answers of each of their records.
    fn partitions(sources: &[Vec<Vec<usize>>]) -> Partitions {
        let flow = Flow::new(WaterMarks { high: 100, low: 10 });
        let mut partitions = Partitions::default();
        for (id, records) in (0..).zip(sources) {
            partitions.assigned(id, (Arc::from("source"), id as i32, 1), &flow);
            let partition = partitions.get_any(id).unwrap();
            for (offset, topics) in (0..).zip(records) {
                let answers = topics.iter().copied().map(record_to).collect();
                partition.released.push_back(Released {
                    offset,
                    answers: Answers::new(answers),
                    request_trace: None,
                });
            }
        }
        partitions
    }

    fn sources() -> impl Strategy<Value = Vec<Vec<Vec<usize>>>> {
        let answers = prop::collection::vec(0..TOPICS.len(), 0..3);
        prop::collection::vec(prop::collection::vec(answers, 0..6), 1..5)
    }

    fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
        let verdict = prop_oneof![
            2 => Just(Verdict::Free),
            1 => Just(Verdict::Due),
            1 => Just(Verdict::Blocked),
        ];
        prop::collection::vec(verdict, TOPICS.len())
    }

    proptest! {
        #[test]
        fn a_run_holds_the_beginning_of_every_partition_that_need_not_wait_and_nothing_else(
            sources in sources(), verdicts in verdicts(),
        ) {
            let partitions = partitions(&sources);
            let of_topic = |topic: &str| {
                let index = TOPICS.iter().position(|t| *t == topic);
                verdicts[index.unwrap()]
            };
            let verdict = |_: u32, record: &OutRecord| of_topic(&record.topic);
            let of_record = |topics: &[usize]| {
                let verdicts = topics.iter().map(|topic| verdicts[*topic]);
                verdicts.max().unwrap_or(Verdict::Free)
            };
            let firsts = sources.iter().filter_map(|records| records.first());
            let is_trial = firsts.clone().any(|topics| of_record(topics) == Verdict::Due);
            let run = Run::gather(&partitions, LARGEST, false, &BTreeSet::new(), &verdict);
            for (id, records) in (0..).zip(&sources) {
                let free = records.iter().take_while(|topics| of_record(topics) == Verdict::Free);
                let wanted = match is_trial {
                    true => usize::from(records.first().is_some_and(|t| of_record(t) == Verdict::Due)),
                    false => free.count(),
                };
                let part = run.as_ref().and_then(|run| run.parts.iter().find(|part| part.id == id));
                prop_assert_eq!(part.map_or(0, |part| part.entries), wanted);
                prop_assert_eq!(part.map(|part| part.upto), wanted.checked_sub(1).map(|n| n as i64));
            }
            if let Some(run) = run {
                prop_assert_eq!(run.is_trial(), is_trial);
                prop_assert!(run.places().iter().all(|p| of_topic(&p.topic) != Verdict::Blocked));
                for ((place, record), known) in run.answers(&partitions).zip(run.places()) {
                    prop_assert_eq!((place.id, place.offset), (known.id, known.offset));
                    prop_assert_eq!((place.number, &record.topic), (known.number, &known.topic));
                }
            }
        }
    }
}
