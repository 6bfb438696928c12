//! Reading the dead-letter topic from a start offset to its end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{DeadLetter, Position};
use crate::client::Clients;

/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(100);

/// Reads letters up to the ends that their topic had when the scan was made. It is in no group and commits nothing.
pub struct Scan {
    pub(super) consumer: BaseConsumer,
    pub(super) topic: String,
    /// The group whose memory is asked for.
    pub(super) group: String,
    bootstrap: String,
    pub(super) within: Duration,
    /// Beginning and end of each partition.
    bounds: BTreeMap<i32, (i64, i64)>,
    /// Ends of partitions that are not read to their end.
    open: BTreeMap<i32, i64>,
}

impl Scan {
    /// Connects. `group` is joined by nobody; it is the one whose memory is asked for.
    ///
    /// # Errors
    /// When no broker answers within the time, or the topic does not exist.
    pub fn connect(clients: &Clients, group: &str, topic: &str, within: Duration) -> Result<Self> {
        let consumer: BaseConsumer = config(clients, group).create()?;
        let bootstrap = clients.bootstrap().to_owned();
        let silence = || silence(&bootstrap, within);
        let metadata = consumer
            .fetch_metadata(Some(topic), within)
            .with_context(silence)?;
        let mut bounds = BTreeMap::new();
        for found in metadata.topics().iter().filter(|t| t.name() == topic) {
            if let Some(error) = found.error() {
                let error = RDKafkaErrorCode::from(error);
                bail!("reading topic {topic} at {bootstrap}: {error}");
            }
            for partition in found.partitions() {
                let ends = consumer.fetch_watermarks(topic, partition.id(), within);
                bounds.insert(partition.id(), ends.with_context(silence)?);
            }
        }
        if bounds.is_empty() {
            bail!("topic {topic} does not exist at {bootstrap}");
        }
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            group: group.to_owned(),
            bootstrap,
            within,
            bounds,
            open: BTreeMap::new(),
        })
    }

    /// Begins to read at the beginning.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn all(&mut self) -> Result<()> {
        self.from(|_, beginning| beginning)
    }

    /// Begins to read one letter only; without one at this position, there is none to read.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn only(&mut self, at: Position) -> Result<()> {
        let held = self.bounds.get(&at.partition).copied();
        self.bounds.clear();
        if let Some((beginning, end)) = held
            && (beginning..end).contains(&at.offset)
        {
            self.bounds.insert(at.partition, (at.offset, at.offset + 1));
        }
        self.from(|_, beginning| beginning)
    }

    /// Beginning and end of each partition.
    pub(super) const fn bounds(&self) -> &BTreeMap<i32, (i64, i64)> {
        &self.bounds
    }

    /// Begins to read where `start` says, given a partition and its beginning.
    pub(super) fn from(&mut self, start: impl Fn(i32, i64) -> i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, (beginning, end)) in &self.bounds {
            let start = start(*partition, *beginning).max(*beginning);
            if start < *end {
                list.add_partition_offset(&self.topic, *partition, Offset::Offset(start))?;
                self.open.insert(*partition, *end);
            }
        }
        Ok(self.consumer.assign(&list)?)
    }

    /// The next letter; `None` at the end.
    ///
    /// # Errors
    /// When the brokers say nothing for too long.
    pub fn read(&mut self) -> Result<Option<DeadLetter>> {
        let mut heard = Instant::now();
        let mut last_error = None;
        while !self.open.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let (partition, next) = (message.partition(), message.offset() + 1);
                    let Some(end) = self.open.get(&partition).copied() else {
                        continue;
                    };
                    if next >= end {
                        self.open.remove(&partition);
                    }
                    if next <= end {
                        return Ok(Some(DeadLetter::read(&message)));
                    }
                }
                // What lies before the end may be marks of transactions, which are no records.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = Instant::now();
                    self.open.remove(&partition);
                }
                Some(Err(error)) => last_error = Some(error),
                None => {}
            }
            if heard.elapsed() > self.within {
                let error = last_error.map_or_else(String::new, |error| format!(": {error}"));
                bail!("{}{error}", silence(&self.bootstrap, self.within));
            }
        }
        Ok(None)
    }
}

pub(super) fn silence(bootstrap: &str, within: Duration) -> String {
    let within = within.as_millis();
    format!("no Kafka broker answers at {bootstrap} within {within} ms")
}

fn config(clients: &Clients, group: &str) -> ClientConfig {
    let mut config = clients.consumer(group);
    config
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .remove("group.instance.id");
    config
}
