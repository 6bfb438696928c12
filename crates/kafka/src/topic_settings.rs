//! Desired settings of each topic, by kind and language.

use babelmesh_actors::domain::{Lane, Language};
use serde::Serialize;

use crate::config::KafkaConfig;
pub use crate::config::{CleanupPolicy, TopicOverrides, TopicSettingsConfig};

/// Purpose of a topic.
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
    /// Glossaries.
    Glossaries,
}

/// Desired state of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicSettings {
    /// Partitions.
    pub partitions: i32,
    /// Replicas.
    pub replication: i32,
    /// How long records are kept, in milliseconds; -1 means forever.
    pub retention_ms: i64,
    /// Cleanup policy.
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
    /// Its purpose.
    pub kind: TopicKind,
    /// Its desired state.
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
    let all = fixed.into_iter().chain(jobs).map(planned);
    all.chain(glossaries(kafka)).collect()
}

/// The topic of glossaries, if there is one. Nodes translate without it.
#[must_use]
pub fn glossaries(kafka: &KafkaConfig) -> Option<PlannedTopic> {
    let name = kafka.topics.glossaries.clone();
    let kind = TopicKind::Glossaries;
    (!name.is_empty()).then(|| PlannedTopic {
        name,
        kind,
        settings: settings_of(kafka, kind),
    })
}

/// The settings of a topic. Those of its language take precedence over those of its kind, and these over the general ones.
#[must_use]
pub fn settings_of(kafka: &KafkaConfig, kind: TopicKind) -> TopicSettings {
    let all = &kafka.topic_settings;
    let of_kind = match kind {
        TopicKind::Requests => &all.requests,
        TopicKind::Jobs(_) => &all.jobs,
        TopicKind::Results => &all.results,
        TopicKind::DeadLetters => &all.dead_letters,
        TopicKind::Glossaries => &all.glossaries,
    };
    let of_language = match kind {
        TopicKind::Jobs(language) => all
            .languages
            .iter()
            .find(|(tag, _)| tag.parse() == Ok(language))
            .map(|(_, overrides)| overrides),
        _ => None,
    };
    // Every node reads all glossaries, and the last record of each is the glossary.
    let glossaries = TopicOverrides {
        partitions: Some(1),
        retention_ms: Some(-1),
        cleanup_policy: Some(CleanupPolicy::Compact),
        ..TopicOverrides::default()
    };
    let glossaries = (kind == TopicKind::Glossaries).then_some(&glossaries);
    let layers = || of_language.into_iter().chain([of_kind]).chain(glossaries);
    let replication = layers()
        .find_map(|layer| layer.replication)
        .unwrap_or(kafka.replication);
    let min_insync_replicas = layers()
        .find_map(|layer| layer.min_insync_replicas)
        .or(all.min_insync_replicas)
        // With all replicas required, one unreachable broker would block all writes.
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
