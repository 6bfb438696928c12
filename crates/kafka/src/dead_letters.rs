//! Dead letters: reading them, choosing among them, publishing them again.
//!
//! A letter is a record that could never succeed, as it was, with the reason and its origin in its headers (see
//! [`record`]). Once the cause is gone, [`replay`] publishes letters to where they came from. A consumer group records
//! which letters were handled, so that none is replayed twice.

mod memory;
mod progress;
mod replay;
mod scan;

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use rdkafka::Message;

pub use memory::Handled;
pub use replay::{Plan, Summary, Verdict, replay};
pub use scan::Scan;

use super::record::{
    self, ERROR_CODE, ERROR_MESSAGE, NODE, ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TOPIC,
    ORIGINAL_BYTES, Origin, OutRecord, REPLAYED_FROM, Trace, header, push_trace,
};
use super::topics::TopicNames;

/// Position of a letter in the dead-letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self {
                partition: partition.parse().ok().filter(|number| *number >= 0)?,
                offset: offset.parse().ok().filter(|number| *number >= 0)?,
            })
        });
        numbers.ok_or("expected PARTITION:OFFSET, such as 0:42")
    }
}

/// A dead letter. Its content is untrusted: any client with write access may have produced it.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Where it lies.
    pub at: Position,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: Option<i64>,
    /// Error code: the name of an [`ErrorCode`](babelmesh_actors::domain::ErrorCode).
    pub code: String,
    /// Description of the error, in one line.
    pub message: String,
    /// Where the record was read.
    pub origin: Option<Origin>,
    /// The node that gave up.
    pub node: String,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's value, or the beginning of it.
    pub payload: Vec<u8>,
    /// Bytes of the record's value, when the letter holds only the beginning of it.
    pub original_bytes: Option<u64>,
    /// How often the record was replayed before.
    pub replays: u32,
    trace: Trace,
}

impl DeadLetter {
    /// Reads a record of the dead-letter topic.
    #[must_use]
    pub fn read(message: &impl Message) -> Self {
        let text = |name| header(message, name).unwrap_or_default().to_owned();
        let origin = || {
            Some(Origin {
                topic: Arc::from(header(message, ORIGIN_TOPIC)?),
                partition: header(message, ORIGIN_PARTITION)?.parse().ok()?,
                offset: header(message, ORIGIN_OFFSET)?.parse().ok()?,
            })
        };
        let original_bytes = header(message, ORIGINAL_BYTES);
        Self {
            at: Position {
                partition: message.partition(),
                offset: message.offset(),
            },
            time_ms: message.timestamp().to_millis(),
            code: text(ERROR_CODE),
            message: text(ERROR_MESSAGE),
            origin: origin(),
            node: text(NODE),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            original_bytes: original_bytes.map(|bytes| bytes.parse().unwrap_or(0)),
            replays: record::replays(message),
            trace: record::trace(message),
        }
    }

    /// The original record, to be published to its original topic and partition. Keeping the partition keeps the order of the conversation, whatever
    /// partitioner its sender uses.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn record(&self, topics: &Targets<'_>) -> Result<(OutRecord, Option<i32>), Skip> {
        if let Some(bytes) = self.original_bytes {
            return Err(Skip::Truncated { bytes });
        }
        let origin = self.origin.as_ref().ok_or(Skip::NoOrigin)?;
        let partitions = topics.partitions_of(&origin.topic)?;
        let mut headers = vec![(REPLAYED_FROM, self.at.to_string())];
        push_trace(&mut headers, &self.trace);
        let record = OutRecord {
            topic: Arc::clone(&origin.topic),
            key: self.key.clone(),
            payload: self.payload.clone(),
            headers,
            asked: None,
        };
        let replays = self.replays.saturating_add(1);
        let partition = (0..partitions).contains(&origin.partition);
        Ok((
            record.replayed(replays),
            partition.then_some(origin.partition),
        ))
    }
}

/// Why a letter is not replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// The letter holds only the beginning.
    #[error("it is a truncated record of {bytes} bytes")]
    Truncated {
        /// Size of the record.
        bytes: u64,
    },
    /// The headers do not say.
    #[error("its origin is missing")]
    NoOrigin,
    /// Not a request or job topic of this configuration.
    #[error("topic {0} is not a request or job topic")]
    ForeignOrigin(Arc<str>),
    /// The topic is gone.
    #[error("topic {0} does not exist")]
    NoTopic(Arc<str>),
}

/// Topics that letters may be replayed to.
pub struct Targets<'a> {
    /// How the cluster names its topics.
    pub names: &'a TopicNames,
    /// Topics that exist, with their numbers of partitions.
    pub existing: Vec<(String, i32)>,
}

impl Targets<'_> {
    fn partitions_of(&self, topic: &Arc<str>) -> Result<i32, Skip> {
        let of_jobs = |topic: &str| {
            let language = topic.strip_prefix(&self.names.jobs);
            language.is_some_and(|rest| rest.starts_with('.'))
        };
        if **topic != *self.names.requests && !of_jobs(topic) {
            return Err(Skip::ForeignOrigin(Arc::clone(topic)));
        }
        let found = self.existing.iter().find(|(name, _)| **name == **topic);
        found
            .map(|(_, partitions)| *partitions)
            .ok_or_else(|| Skip::NoTopic(Arc::clone(topic)))
    }
}

/// Selection of letters. Empty criteria match every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// With one of these codes.
    pub codes: Vec<String>,
    /// Not older than this, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// From this topic.
    pub origin: Option<String>,
    /// At one of these positions.
    pub at: BTreeSet<Position>,
}

impl Filter {
    /// Whether a letter is meant.
    #[must_use]
    pub fn takes(&self, letter: &DeadLetter) -> bool {
        let since = |since| letter.time_ms.is_some_and(|time| time >= since);
        let origin = |topic: &String| letter.origin.as_ref().is_some_and(|o| *o.topic == **topic);
        (self.codes.is_empty() || self.codes.contains(&letter.code))
            && self.since_ms.is_none_or(since)
            && self.origin.as_ref().is_none_or(origin)
            && (self.at.is_empty() || self.at.contains(&letter.at))
    }
}

#[cfg(test)]
mod tests;
