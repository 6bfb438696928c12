//! Replay progress over all partitions, stored in a consumer group.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};

use super::{Position, progress::Progress, scan::Scan};

/// Where letters are read from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// From the first letter that was not dealt with.
    Remembered,
    /// From the first letter that there is.
    Beginning,
}

/// Which letters of which partition were dealt with.
pub(super) struct Memory {
    partitions: BTreeMap<i32, Remembered>,
}

struct Remembered {
    progress: Progress,
    /// The offset after that of the last letter that was read.
    read: i64,
    changed: bool,
}

impl Memory {
    /// Asks the group of a scan what it remembers. Letters are read from `start` on.
    pub(super) fn read(scan: &Scan, start: Start) -> Result<Self> {
        let mut list = TopicPartitionList::new();
        for partition in scan.bounds().keys() {
            list.add_partition(&scan.topic, *partition);
        }
        let committed = scan
            .consumer
            .committed_offsets(list, scan.within)
            .with_context(|| format!("reading the state of group {}", scan.group))?;
        let mut partitions = BTreeMap::new();
        for element in committed.elements() {
            let partition = element.partition();
            let (beginning, end) = scan.bounds().get(&partition).copied().unwrap_or_default();
            let progress = match element.offset() {
                // An offset beyond the end is that of an older topic with this name.
                Offset::Offset(next) if next <= end => Progress::read(next, element.metadata())
                    .ok_or_else(|| anyhow!("group {} belongs to another program", scan.group))?,
                _ => Progress::new(beginning),
            };
            let remembered = Remembered {
                read: match start {
                    Start::Beginning => beginning,
                    Start::Remembered => progress.next().max(beginning),
                },
                progress,
                changed: false,
            };
            partitions.insert(partition, remembered);
        }
        Ok(Self { partitions })
    }

    /// The first letter of a partition that was not dealt with.
    pub(super) fn next(&self, partition: i32) -> i64 {
        let remembered = self.partitions.get(&partition);
        remembered.map_or(0, |remembered| remembered.progress.next())
    }

    /// Whether a letter was dealt with.
    pub(super) fn is_done(&self, at: Position) -> bool {
        let remembered = self.partitions.get(&at.partition);
        remembered.is_some_and(|remembered| remembered.progress.is_done(at.offset))
    }

    /// Records that a letter was read. If it was handled, so was the gap before it, which contains no letter.
    pub(super) fn passed(&mut self, at: Position, done: bool) {
        if let Some(remembered) = self.partitions.get_mut(&at.partition) {
            if done {
                remembered.progress.mark(remembered.read, at.offset);
                remembered.changed = true;
            }
            remembered.read = at.offset + 1;
        }
    }

    /// Changes, as offsets for the group.
    pub(super) fn offsets(&self, topic: &str) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, remembered) in self.partitions.iter().filter(|(_, r)| r.changed) {
            let progress = &remembered.progress;
            let note = progress.note().with_context(|| {
                format!(
                    "partition {partition} has too many gaps between replayed dead letters to record them; replay --all, or fewer at a time"
                )
            })?;
            let mut element = list.add_partition(topic, *partition);
            element.set_offset(Offset::Offset(progress.next()))?;
            if !note.is_empty() {
                element.set_metadata(note);
            }
        }
        Ok(list)
    }

    /// The group has what [`offsets`](Self::offsets) said.
    pub(super) fn saved(&mut self) {
        self.partitions.values_mut().for_each(|r| r.changed = false);
    }
}

/// Which letters a replay has handled: published again, or skipped with a reason.
pub struct Handled(Memory);

impl Handled {
    /// What the group of a scan remembers.
    ///
    /// # Errors
    /// When the brokers do not answer, or the group is another program's.
    pub fn read(scan: &Scan) -> Result<Self> {
        Memory::read(scan, Start::Beginning).map(Self)
    }

    /// Whether a letter was dealt with.
    #[must_use]
    pub fn contains(&self, at: Position) -> bool {
        self.0.is_done(at)
    }
}
