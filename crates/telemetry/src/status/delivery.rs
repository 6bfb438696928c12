//! Source and delivery status of a pipeline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A pipeline's source at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Partitions that are read.
    pub partitions: usize,
    /// Whether nothing is accepted because too much waits.
    pub gate_closed: bool,
    /// Whether that has lasted so long that the partitions are paused.
    pub paused: bool,
    /// Work accepted and not yet published, in tokens.
    pub queued_tokens: u64,
    /// Records that are not read yet.
    pub lag_records: u64,
    /// The same in tokens, estimated from the records that were read.
    pub lag_tokens: u64,
    /// Age of the oldest record that is not answered, in milliseconds; where records are not even read, at least that.
    pub oldest_age_ms: u64,
    /// Unread records by topic.
    pub topics: Vec<TopicLag>,
    /// Delivery statistics.
    pub delivery: DeliveryCounts,
    /// Dead letters that were written, by error code.
    pub dead_letters: BTreeMap<String, u64>,
}

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

/// A topic that cannot be used, or a partition that cannot be read, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicProblem {
    /// The topic.
    pub topic: String,
    /// The problem, phrased to follow its name.
    pub problem: String,
}

/// Counters of a pipeline's delivery at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryCounts {
    /// Records that were read and whose answers and offset the brokers have.
    pub published: u64,
    /// Transactions that were committed.
    pub transactions_committed: u64,
    /// Transactions that were aborted; what they held was written again.
    pub transactions_aborted: u64,
    /// How often the producer had to be replaced.
    pub producer_restarts: u64,
    /// Number of consumer replacements: fenced, or disconnected from all brokers.
    pub consumer_restarts: u64,
    /// Offsets that were not read before retention deleted them; at most so many records are lost.
    #[serde(default)]
    pub skipped_records: u64,
}

/// Delivery guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Results and the offsets that they complete are one transaction. Not with the embedded broker, whose transactions commit nothing.
    ExactlyOnce,
    /// Offsets are committed after results are published; a crash between the two repeats results.
    AtLeastOnce,
}
