//! Actual state of a topic, and its differences from the configuration.

use std::collections::BTreeMap;

use serde::Serialize;

use super::topic_settings::TopicSettings;

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicState {
    /// Its partitions.
    pub partitions: Vec<PartitionState>,
    /// Its configuration, under Kafka's names.
    pub config: BTreeMap<String, ConfigValue>,
}

/// A partition as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionState {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; none while there is none.
    pub leader: Option<i32>,
    /// Brokers that should have it.
    pub replicas: Vec<i32>,
    /// Brokers that have all of it.
    pub in_sync: Vec<i32>,
    /// Offset of its first record, if its leader told.
    pub begin: Option<i64>,
    /// Offset behind its last record, if its leader told.
    pub end: Option<i64>,
}

/// A value of a topic's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The value.
    pub value: String,
    /// Whether it was set for this topic: others come from the brokers.
    pub own: bool,
}

impl TopicState {
    /// Replicas of the partition that has the fewest.
    #[must_use]
    pub fn replication(&self) -> i32 {
        let fewest = self.partitions.iter().map(|p| p.replicas.len()).min();
        fewest.map_or(0, count)
    }

    /// Partitions with a replica that is behind or away.
    #[must_use]
    pub fn under_replicated(&self) -> i32 {
        let behind = |p: &&PartitionState| p.in_sync.len() < p.replicas.len();
        count(self.partitions.iter().filter(behind).count())
    }

    /// Number of partitions.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        count(self.partitions.len())
    }

    /// Offsets between the first and the last record of all partitions: at least as many as there are records, since
    /// compaction leaves gaps and transactions take offsets of their own. None while a partition is without a leader.
    #[must_use]
    pub fn offsets(&self) -> Option<i64> {
        let span = |p: &PartitionState| Some(p.end? - p.begin?);
        self.partitions.iter().map(span).sum()
    }

    /// A value of its configuration.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(|entry| entry.value.as_str())
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A setting in which a topic is not as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Kafka's name of the setting, `partitions` or `replication`.
    pub setting: &'static str,
    /// What it is; empty when the brokers do not tell.
    pub actual: String,
    /// The configured value.
    pub configured: String,
    /// How it can be made equal.
    pub remedy: Remedy,
}

/// How to resolve a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Remedy {
    /// By adding partitions: keys move, so that the order within a conversation breaks for a while.
    AddPartitions,
    /// By setting the topic's configuration.
    Configure,
    /// Not by us: Kafka takes no partitions away, and moving replicas is the work of its own tools.
    ByHand,
}

/// Every setting in which a topic is not as it should be.
#[must_use]
pub fn differences(wanted: &TopicSettings, actual: &TopicState) -> Vec<Difference> {
    let mut found = Vec::new();
    let partitions = actual.partition_count();
    if partitions != wanted.partitions {
        found.push(Difference {
            setting: "partitions",
            actual: partitions.to_string(),
            configured: wanted.partitions.to_string(),
            remedy: match partitions < wanted.partitions {
                true => Remedy::AddPartitions,
                false => Remedy::ByHand,
            },
        });
    }
    if actual.replication() != wanted.replication {
        found.push(Difference {
            setting: "replication",
            actual: actual.replication().to_string(),
            configured: wanted.replication.to_string(),
            remedy: Remedy::ByHand,
        });
    }
    for (setting, configured) in wanted.entries() {
        let value = actual.value(setting).unwrap_or_default();
        if parts(value) != parts(&configured) {
            found.push(Difference {
                setting,
                actual: value.to_owned(),
                configured,
                remedy: Remedy::Configure,
            });
        }
    }
    found
}

/// The parts of a list; their order does not matter.
fn parts(value: &str) -> Vec<&str> {
    let mut parts: Vec<_> = value.split(',').map(str::trim).collect();
    parts.sort_unstable();
    parts
}

/// The complete configuration to send to the brokers. They reset settings that are not sent, so it includes those that were set by others.
#[must_use]
pub fn configuration(wanted: &TopicSettings, actual: &TopicState) -> BTreeMap<String, String> {
    let own = actual.config.iter().filter(|(_, entry)| entry.own);
    let mut all: BTreeMap<_, _> = own
        .map(|(name, entry)| (name.clone(), entry.value.clone()))
        .collect();
    let ours = wanted.entries().into_iter();
    all.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic_settings::CleanupPolicy;

    fn wanted() -> TopicSettings {
        TopicSettings {
            partitions: 8,
            replication: 3,
            retention_ms: 1000,
            cleanup_policy: CleanupPolicy::CompactDelete,
            min_insync_replicas: 2,
            max_message_bytes: 5000,
        }
    }

    /// A topic that is exactly so.
    fn made_of(settings: &TopicSettings) -> TopicState {
        let replicas: Vec<_> = (1..=settings.replication).collect();
        let partition = |partition| PartitionState {
            partition,
            leader: Some(1),
            replicas: replicas.clone(),
            in_sync: replicas.clone(),
            begin: Some(10),
            end: Some(30),
        };
        let entry =
            |(name, value): (&str, String)| (name.to_owned(), ConfigValue { value, own: true });
        TopicState {
            partitions: (0..settings.partitions).map(partition).collect(),
            config: settings.entries().into_iter().map(entry).collect(),
        }
    }

    #[test]
    fn a_topic_made_as_wanted_does_not_differ_whatever_the_order_of_its_policies() {
        let mut state = made_of(&wanted());
        assert_eq!(differences(&wanted(), &state), []);
        state.config.get_mut("cleanup.policy").unwrap().value = "delete, compact".to_owned();
        assert_eq!(differences(&wanted(), &state), []);
        state.config.get_mut("cleanup.policy").unwrap().value = "delete".to_owned();
        assert_eq!(differences(&wanted(), &state)[0].setting, "cleanup.policy");
    }

    #[test]
    fn partitions_can_be_added_but_neither_taken_away_nor_replicated_otherwise() {
        let remedies = |state: &TopicState| -> Vec<_> {
            let found = differences(&wanted(), state).into_iter();
            found.map(|d| (d.setting, d.remedy)).collect()
        };
        let mut state = made_of(&TopicSettings {
            partitions: 4,
            ..wanted()
        });
        assert_eq!(remedies(&state), [("partitions", Remedy::AddPartitions)]);
        state = made_of(&TopicSettings {
            partitions: 9,
            ..wanted()
        });
        state.partitions[5].replicas.pop();
        assert_eq!(
            remedies(&state),
            [
                ("partitions", Remedy::ByHand),
                ("replication", Remedy::ByHand)
            ]
        );
    }

    #[test]
    fn a_setting_that_the_brokers_do_not_tell_is_a_difference() {
        let mut state = made_of(&wanted());
        state.config.remove("retention.ms");
        let found = differences(&wanted(), &state);
        assert_eq!(
            (found.len(), found[0].setting, found[0].actual.as_str()),
            (1, "retention.ms", "")
        );
    }

    #[test]
    fn foreign_topic_settings_are_kept_and_broker_defaults_are_not_copied() {
        let mut state = made_of(&TopicSettings {
            retention_ms: 7,
            ..wanted()
        });
        for (name, own) in [("compression.type", true), ("segment.bytes", false)] {
            let value = "set".to_owned();
            state
                .config
                .insert(name.to_owned(), ConfigValue { value, own });
        }
        let all = configuration(&wanted(), &state);
        assert_eq!(all["compression.type"], "set");
        assert_eq!(all["retention.ms"], "1000");
        assert!(!all.contains_key("segment.bytes"));
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn partitions_that_are_behind_and_offsets_are_counted() {
        let mut state = made_of(&wanted());
        assert_eq!((state.under_replicated(), state.offsets()), (0, Some(160)));
        state.partitions[2].in_sync.pop();
        state.partitions[3].in_sync.clear();
        state.partitions[3].end = None;
        assert_eq!((state.under_replicated(), state.offsets()), (2, None));
    }

    proptest! {
        #[test]
        fn a_topic_that_was_altered_differs_only_by_what_is_done_by_hand(
            partitions in 1..12_i32,
            replication in 1..4_i32,
            retention_ms in -1..5000_i64,
            min_insync_replicas in 1..4_i32,
            max_message_bytes in 1..9000_i32,
        ) {
            let before = TopicSettings {
                partitions, replication, retention_ms, min_insync_replicas, max_message_bytes,
                cleanup_policy: CleanupPolicy::Delete,
            };
            let state = made_of(&before);
            let found = differences(&wanted(), &state);
            // What the brokers make of what is said to them.
            let mut after = made_of(&TopicSettings {
                partitions: partitions.max(wanted().partitions),
                ..before
            });
            after.config = configuration(&wanted(), &state)
                .into_iter()
                .map(|(name, value)| (name, ConfigValue { value, own: true }))
                .collect();
            let left: Vec<_> = differences(&wanted(), &after);
            let by_hand: Vec<_> = found.into_iter().filter(|d| d.remedy == Remedy::ByHand).collect();
            prop_assert_eq!(left, by_hand);
        }
    }
}
