//! What each topic should be like, by its kind and language.

use std::collections::BTreeMap;

use babelmesh_actors::domain::{Lane, Language};
use serde::{Deserialize, Serialize};

use crate::config::KafkaConfig;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What topics are like beside their partitions and replicas; kinds and languages may differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicSettingsConfig {
    /// How long records are kept, in milliseconds; -1 means for ever.
    pub retention_ms: i64,
    /// What happens to old records.
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
            // Somebody must have the time to look at them.
            dead_letters: TopicOverrides {
                retention_ms: Some(30 * DAY_MS),
                ..TopicOverrides::default()
            },
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
    /// How long records are kept, in milliseconds; -1 means for ever.
    pub retention_ms: Option<i64>,
    /// What happens to old records.
    pub cleanup_policy: Option<CleanupPolicy>,
    /// Replicas that must have a record before it counts as written.
    pub min_insync_replicas: Option<i32>,
    /// Largest batch of records, in bytes.
    pub max_message_bytes: Option<i32>,
}

/// What happens to old records.
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

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    /// Requests of backends.
    Requests,
    /// Jobs of a language.
    Jobs(Language),
    /// Results and error results.
    Results,
    /// Messages that can never succeed.
    DeadLetters,
}

/// What a topic should be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicSettings {
    /// Partitions.
    pub partitions: i32,
    /// Replicas.
    pub replication: i32,
    /// How long records are kept, in milliseconds; -1 means for ever.
    pub retention_ms: i64,
    /// What happens to old records.
    pub cleanup_policy: CleanupPolicy,
    /// Replicas that must have a record before it counts as written.
    pub min_insync_replicas: i32,
    /// Largest batch of records, in bytes.
    pub max_message_bytes: i32,
}

impl TopicSettings {
    /// The settings that Kafka keeps in the topic's configuration, under its names.
    #[must_use]
    pub fn entries(&self) -> [(&'static str, String); 4] {
        [
            ("retention.ms", self.retention_ms.to_string()),
            ("cleanup.policy", self.cleanup_policy.name().to_owned()),
            ("min.insync.replicas", self.min_insync_replicas.to_string()),
            ("max.message.bytes", self.max_message_bytes.to_string()),
        ]
    }
}

/// A topic that the cluster needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTopic {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: TopicKind,
    /// What it should be like.
    pub settings: TopicSettings,
}

/// Every topic of a cluster that translates into `languages`.
#[must_use]
pub fn plan(kafka: &KafkaConfig, languages: &[Language]) -> Vec<PlannedTopic> {
    let topics = &kafka.topics;
    let fixed = [
        (topics.requests.clone(), TopicKind::Requests),
        (topics.results.clone(), TopicKind::Results),
        (topics.dead_letters.clone(), TopicKind::DeadLetters),
    ];
    let jobs = languages.iter().flat_map(|language| {
        [Lane::Normal, Lane::Any]
            .map(|lane| (topics.jobs_of(*language, lane), TopicKind::Jobs(*language)))
    });
    let planned = |(name, kind)| PlannedTopic {
        name,
        kind,
        settings: settings_of(kafka, kind),
    };
    fixed.into_iter().chain(jobs).map(planned).collect()
}

/// What a topic of this kind should be like: what the language says goes over what the kind says, and that over what holds for all.
#[must_use]
pub fn settings_of(kafka: &KafkaConfig, kind: TopicKind) -> TopicSettings {
    let all = &kafka.topic_settings;
    let of_kind = match kind {
        TopicKind::Requests => &all.requests,
        TopicKind::Jobs(_) => &all.jobs,
        TopicKind::Results => &all.results,
        TopicKind::DeadLetters => &all.dead_letters,
    };
    let of_language = match kind {
        TopicKind::Jobs(language) => all
            .languages
            .iter()
            .find(|(tag, _)| tag.parse() == Ok(language))
            .map(|(_, overrides)| overrides),
        _ => None,
    };
    let layers = || of_language.into_iter().chain([of_kind]);
    let replication = layers()
        .find_map(|layer| layer.replication)
        .unwrap_or(kafka.replication);
    let min_insync_replicas = layers()
        .find_map(|layer| layer.min_insync_replicas)
        .or(all.min_insync_replicas)
        // With as many as there are, one broker that is away would stop all writing.
        .unwrap_or_else(|| (replication - 1).clamp(1, 2));
    TopicSettings {
        partitions: layers()
            .find_map(|layer| layer.partitions)
            .unwrap_or(kafka.partitions),
        replication,
        retention_ms: layers()
            .find_map(|layer| layer.retention_ms)
            .unwrap_or(all.retention_ms),
        cleanup_policy: layers()
            .find_map(|layer| layer.cleanup_policy)
            .unwrap_or(all.cleanup_policy),
        min_insync_replicas,
        max_message_bytes: layers()
            .find_map(|layer| layer.max_message_bytes)
            .unwrap_or(all.max_message_bytes),
    }
}

/// A language's topic on which fewer nodes can work than should be able to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TooFewPartitions {
    /// Its name.
    pub topic: String,
    /// Partitions that it has: one node at a time reads each.
    pub partitions: i32,
    /// Nodes that should be able to work on the language.
    pub parallelism: i32,
}

/// Topics of languages that have fewer partitions than `parallelism`. `partitions` says what a topic has, if it is there.
pub fn too_few_partitions(
    planned: &[PlannedTopic],
    partitions: impl Fn(&str) -> Option<i32>,
    parallelism: i32,
) -> Vec<TooFewPartitions> {
    planned
        .iter()
        .filter(|topic| matches!(topic.kind, TopicKind::Jobs(_)))
        .filter_map(|topic| Some((topic, partitions(&topic.name)?)))
        .filter(|(_, partitions)| *partitions < parallelism)
        .map(|(topic, partitions)| TooFewPartitions {
            topic: topic.name.clone(),
            partitions,
            parallelism,
        })
        .collect()
}

#[cfg(test)]
mod tests;
