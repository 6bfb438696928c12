//! The keys of `[kafka.topic_settings]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Topic settings besides partitions and replicas; kinds and languages may override them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicSettingsConfig {
    /// How long records are kept, in milliseconds; -1 means forever.
    pub retention_ms: i64,
    /// Cleanup policy.
    pub cleanup_policy: CleanupPolicy,
    /// Replicas that must have a record before it counts as written; one less than there are, at most 2, when absent.
    pub min_insync_replicas: Option<i32>,
    /// Largest batch of records, in bytes.
    pub max_message_bytes: i32,
    /// Where the topic of requests differs.
    pub requests: TopicOverrides,
    /// Where topics of jobs differ.
    pub jobs: TopicOverrides,
    /// Where the topic of results differs.
    pub results: TopicOverrides,
    /// Where the topic of dead letters differs.
    pub dead_letters: TopicOverrides,
    /// Where the topic of glossaries differs from one partition that is compacted and kept forever.
    pub glossaries: TopicOverrides,
    /// Where the topics of a language's jobs differ, over `jobs`.
    pub languages: BTreeMap<String, TopicOverrides>,
}

impl Default for TopicSettingsConfig {
    fn default() -> Self {
        Self {
            retention_ms: 7 * DAY_MS,
            cleanup_policy: CleanupPolicy::Delete,
            min_insync_replicas: None,
            max_message_bytes: 10_485_760,
            requests: TopicOverrides::default(),
            jobs: TopicOverrides::default(),
            results: TopicOverrides::default(),
            // Leave time for review.
            dead_letters: TopicOverrides {
                retention_ms: Some(30 * DAY_MS),
                ..TopicOverrides::default()
            },
            glossaries: TopicOverrides::default(),
            languages: BTreeMap::new(),
        }
    }
}

/// Settings of some topics that differ from the others'.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicOverrides {
    /// Partitions.
    pub partitions: Option<i32>,
    /// Replicas.
    pub replication: Option<i32>,
    /// How long records are kept, in milliseconds; -1 means forever.
    pub retention_ms: Option<i64>,
    /// Cleanup policy.
    pub cleanup_policy: Option<CleanupPolicy>,
    /// Replicas that must have a record before it counts as written.
    pub min_insync_replicas: Option<i32>,
    /// Largest batch of records, in bytes.
    pub max_message_bytes: Option<i32>,
}

/// Cleanup policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanupPolicy {
    /// They are deleted.
    #[serde(rename = "delete")]
    Delete,
    /// The last one of each key stays.
    #[serde(rename = "compact")]
    Compact,
    /// The last one of each key stays, until it is deleted as well.
    #[serde(rename = "compact,delete")]
    CompactDelete,
}

impl CleanupPolicy {
    /// Its name for Kafka.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        }
    }
}
