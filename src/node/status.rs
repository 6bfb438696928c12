//! Status of a node.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use async_trait::async_trait;
use babelmesh_actors::{glossaries::Glossaries, pool::PoolStatus};

use super::{
    actors,
    pools::{PoolEntry, Pools},
    source::Sources,
};
use crate::telemetry::status::{BrokenModel, Delivery, ModelInfo, NodeStatus, StatusSource};

/// Inputs of the status.
pub(super) struct StatusContext {
    pub(super) node: String,
    pub(super) bootstrap: String,
    pub(super) delivery: Delivery,
    pub(super) sources: Sources,
    pub(super) pools: Arc<Pools>,
    pub(super) glossaries: Arc<Glossaries>,
    pub(super) started: Instant,
}

#[async_trait]
impl StatusSource for StatusContext {
    fn models(&self) -> Vec<ModelInfo> {
        let entries = self.pools.all();
        let info = |entry: PoolEntry| ModelInfo {
            id: entry.model.to_string(),
            ability: entry.ability,
            licence: entry.licence.to_string(),
        };
        entries.into_iter().map(info).collect()
    }

    fn models_version(&self) -> u64 {
        self.pools.version.load(Ordering::Acquire)
    }

    async fn read(&self) -> NodeStatus {
        let about = self;
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
            glossaries: about.glossaries.len(),
            glossaries_read: about.glossaries.is_read(),
            cache: about.pools.cache.as_ref().map(|cache| cache.status()),
            pools,
        }
    }
}
