//! What one transaction holds.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use rdkafka::{Offset, TopicPartitionList};

use super::{
    Publishing,
    partition::{Partition, Partitions, Released},
    refusal::is_unavailable,
};
use crate::{kafka::record::OutRecord, telemetry::traces::TransactionMoment};

/// Most records of a partition, over all partitions, that are answered in one transaction.
pub(super) const LARGEST: usize = 4_096;
/// Most bytes of answers, with their keys and headers, unless a single one has more.
const MOST_BYTES: usize = 8 << 20;

/// The beginnings of what partitions have released. The answers stay there; this says how far they go.
#[derive(Debug)]
pub(super) struct Run {
    parts: Vec<Part>,
    records: usize,
    /// The transaction, if something in it is watched.
    moment: Option<TransactionMoment>,
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
    /// Offset of the last of them; without any, of the last marker of a transaction that is passed.
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

impl Run {
    /// Takes what is released, at most `limit` records and about [`MOST_BYTES`], from all partitions alike: one that has much
    /// does not keep another one waiting. Offsets behind markers go along, or alone if `may_only_pass`.
    pub(super) fn gather(
        partitions: &Partitions,
        limit: usize,
        may_only_pass: bool,
        unreadable: &BTreeSet<String>,
    ) -> Option<Self> {
        // The brokers take no offsets of topics that may not be read.
        let readable = || {
            let all = partitions.iter();
            all.filter(|(_, p)| !unreadable.contains(&*p.topic))
        };
        let waiting = || readable().filter(|(_, p)| !p.released.is_empty());
        let count = waiting().count().max(1);
        let share = (limit / count).max(1);
        let bytes = MOST_BYTES / count;
        let (mut parts, mut records) = (Vec::new(), 0);
        for (id, partition) in waiting() {
            let entries = beginning(&partition.released, share.min(limit - records), bytes);
            let Some(last) = entries
                .checked_sub(1)
                .and_then(|i| partition.released.get(i))
            else {
                continue;
            };
            records += entries;
            parts.push(Part::of(id, partition, entries, last.offset));
        }
        let is_wanted = records > 0 || may_only_pass;
        let passed = readable().filter(|_| is_wanted);
        parts.extend(passed.filter_map(|(id, partition)| {
            Some(Part::of(id, partition, 0, partition.passed()? - 1))
        }));
        let mut run = (!parts.is_empty()).then_some(Self {
            parts,
            records,
            moment: None,
        })?;
        let entries = run.entries(partitions);
        let watched = entries.filter_map(|released| released.journey.as_deref());
        let moment = TransactionMoment::of(records, watched);
        run.moment = moment;
        Some(run)
    }

    fn entries<'p>(&'p self, partitions: &'p Partitions) -> impl Iterator<Item = &'p Released> {
        self.parts.iter().flat_map(|part| {
            let partition = partitions.find(part.id, part.epoch);
            partition
                .into_iter()
                .flat_map(|p| p.released.iter().take(part.entries))
        })
    }

    /// The answers, partition by partition, in order.
    pub(super) fn records<'p>(
        &'p self,
        partitions: &'p Partitions,
    ) -> impl Iterator<Item = &'p OutRecord> {
        let entries = self.entries(partitions);
        entries.flat_map(|released| &released.records)
    }

    /// Whether it holds a job whose topic cannot be written to.
    pub(super) fn has_unavailable(&self, partitions: &Partitions, with: &Publishing) -> bool {
        let such = |record| is_unavailable(record, &with.encoder, &with.topics);
        with.topics.has_unavailable() && self.records(partitions).any(such)
    }

    /// Number of records that are answered.
    pub(super) const fn len(&self) -> usize {
        self.records
    }

    /// Partition, epoch and offset, if only one record is answered.
    pub(super) fn single(&self) -> Option<(u32, u32, i64)> {
        let mut answering = self.parts.iter().filter(|part| part.entries > 0);
        let part = answering.next().filter(|_| self.records == 1)?;
        Some((part.id, part.epoch, part.upto))
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
    pub(super) fn finish(&self, partitions: &mut Partitions, with: &Publishing) {
        for part in &self.parts {
            if let Some(partition) = partitions.get(part.id, part.epoch) {
                partition.finish(part.upto, &with.flow, &with.gauges);
            }
        }
        with.gauges.finished(self.records);
        if let Some(moment) = &self.moment {
            moment.committed();
        }
    }
}

/// How many entries from the front have at most so many bytes; at least one, if any are wanted.
fn beginning(released: &VecDeque<Released>, most: usize, most_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |released: &&Released| {
        let before = bytes;
        bytes += released.records.iter().map(OutRecord::bytes).sum::<usize>();
        before == 0 || bytes <= most_bytes
    };
    released.iter().take(most).take_while(fits).count()
}
