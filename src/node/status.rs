//! What a node tells about itself.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use babelmesh_actors::pool::PoolStatus;
use serde::{Deserialize, Serialize};

use super::{
    actors,
    pools::{PoolEntry, Pools},
    source::{SourceStatus, Sources},
};
use crate::{
    api::ModelInfo, cache::CacheStatus, config::Delivery, kafka::topic_health::TopicProblem,
};

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
    /// What is wrong with topics and partitions, if anything.
    #[serde(default)]
    pub topic_problems: Vec<TopicProblem>,
    /// Its pools.
    pub pools: Vec<PoolStatus>,
    /// Models that it should serve and cannot.
    #[serde(default)]
    pub broken_models: Vec<BrokenModel>,
    /// What it remembers, if anything.
    #[serde(default)]
    pub cache: Option<CacheStatus>,
}

/// A model that the node should serve and cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenModel {
    /// Its id, or the name of its folder when the id cannot be read.
    pub model: String,
    /// What is wrong with it. Names files of the node: for operators only.
    pub error: String,
}

/// Where a node's status is read, whenever and by whomever it is asked for.
#[derive(Clone)]
pub struct StatusSource(Arc<About>);

/// What is known of the node.
pub(super) struct About {
    pub(super) node: String,
    pub(super) bootstrap: String,
    pub(super) delivery: Delivery,
    pub(super) sources: Sources,
    pub(super) pools: Arc<Pools>,
    pub(super) started: Instant,
}

impl StatusSource {
    pub(super) fn new(about: About) -> Self {
        Self(Arc::new(about))
    }

    /// The models that the node has now.
    pub(crate) fn models(&self) -> Vec<ModelInfo> {
        let entries = self.0.pools.all();
        let info = |entry: PoolEntry| ModelInfo {
            id: entry.model.to_string(),
            ability: entry.ability,
            licence: entry.licence.to_string(),
        };
        entries.into_iter().map(info).collect()
    }

    /// The node now. A pool that does not answer in time is left out.
    pub async fn read(&self) -> NodeStatus {
        let about = &*self.0;
        let pools = about.pools.all();
        let asked = pools.iter().map(|entry| actors::status(&entry.pool));
        let pools: Vec<PoolStatus> = futures_util::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect();
        let mut broken_models = about.pools.broken();
        broken_models.extend(
            pools
                .iter()
                .filter(|pool| pool.broken)
                .map(|pool| BrokenModel {
                    model: pool.model_id.clone(),
                    error: pool.failing.clone().unwrap_or_default(),
                }),
        );
        NodeStatus {
            node: about.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(about.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bootstrap: about.bootstrap.clone(),
            delivery: about.delivery,
            requests: about.sources.requests.status(),
            jobs: about.sources.jobs.status(),
            brokers_answer: about.sources.topics.brokers_answer(),
            topics: about.sources.topics.all().into_iter().collect(),
            topic_problems: about.sources.problems(),
            broken_models,
            cache: about.pools.cache.as_ref().map(|cache| cache.status()),
            pools,
        }
    }
}
