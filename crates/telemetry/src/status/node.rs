//! Status of a node.

use std::collections::BTreeMap;

use babelmesh_actors::{pool::PoolStatus, routing::Capability};
use serde::{Deserialize, Serialize};

use super::{CacheStatus, Delivery, SourceStatus, TopicProblem};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Version of babelmesh.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Brokers it talks to.
    pub bootstrap: String,
    /// Its delivery guarantee.
    pub delivery: Delivery,
    /// Requests that become jobs.
    pub requests: SourceStatus,
    /// Jobs that become results.
    pub jobs: SourceStatus,
    /// Whether the brokers have answered lately.
    #[serde(default)]
    pub brokers_answer: bool,
    /// Its topics, each with whether it can be used.
    #[serde(default)]
    pub topics: BTreeMap<String, bool>,
    /// Problems of topics and partitions.
    #[serde(default)]
    pub topic_problems: Vec<TopicProblem>,
    /// Its pools.
    pub pools: Vec<PoolStatus>,
    /// Models that it should serve and cannot.
    #[serde(default)]
    pub broken_models: Vec<BrokenModel>,
    /// Glossaries that it knows.
    #[serde(default)]
    pub glossaries: usize,
    /// Whether it has read the topic of glossaries, or has none.
    #[serde(default)]
    pub glossaries_read: bool,
    /// Its cache, if enabled.
    #[serde(default)]
    pub cache: Option<CacheStatus>,
}

/// A model that the node should serve and cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenModel {
    /// Its id, or the name of its folder when the id cannot be read.
    pub model: String,
    /// The error. Names files of the node: for operators only.
    pub error: String,
}

/// A model as the API shows it.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Its id.
    pub id: String,
    /// Its capabilities.
    pub ability: Capability,
    /// Licence of its weights.
    pub licence: String,
}
