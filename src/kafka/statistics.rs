//! The part of librdkafka's statistics that is used; see its STATISTICS.md.

use std::collections::HashMap;

use serde::Deserialize;

/// What a client tells about itself every second.
#[derive(Debug, Deserialize)]
pub(super) struct Statistics {
    /// By name.
    #[serde(default)]
    pub(super) topics: HashMap<String, TopicStatistics>,
    #[serde(default)]
    brokers: HashMap<String, BrokerStatistics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TopicStatistics {
    /// By number.
    #[serde(default)]
    pub(super) partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PartitionStatistics {
    /// The next offset to fetch.
    pub(super) next_offset: i64,
    /// Records that are fetched and not read.
    pub(super) fetchq_cnt: i64,
}

#[derive(Debug, Deserialize)]
struct BrokerStatistics {
    #[serde(default)]
    source: String,
}

impl Statistics {
    /// Nothing, should librdkafka ever say it in another way.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether the client knows any broker, reachable or not: by its configuration or by what brokers told. Others stand for roles.
    pub(super) fn knows_a_broker(&self) -> bool {
        let mut sources = self.brokers.values().map(|broker| broker.source.as_str());
        sources.any(|source| matches!(source, "configured" | "learned"))
    }
}
