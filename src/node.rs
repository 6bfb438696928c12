//! A node: actors, Kafka and a status socket, started and stopped as one.

mod actors;
mod claims;
mod commands;
mod descriptors;
mod direct;
mod engines;
mod handover;
mod languages;
mod limits;
mod monitors;
mod parts;
mod peers;
mod pipeline;
mod pools;
mod running;
mod shutdown;
mod socket;
mod source;
mod start;
mod status;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use babelmesh_actors::{
    domain::{Language, Leg, TranslationRequest, TranslationResult},
    events::Observer,
};
use babelmesh_models::Model;

pub(crate) use crate::failure::error_chain;
pub use crate::telemetry::status::{BrokenModel, NodeStatus, SourceStatus, StatusSource};
pub use actors::Actors;
pub use engines::registry;
pub(crate) use engines::{find_folder, lines as error_lines, select as select_models, usable};
pub use socket::{SocketRequest, ask, ask_cluster, ask_command, ask_translation, default_socket};

use crate::{
    cluster::Cluster,
    config::{Config, NodeConfig},
    events::NodeEvent,
    failure::Failure,
    kafka::client::Clients,
    telemetry::Traces,
};
use parts::{Parts, Shutdown};
use running::TracesPart;
use start::Started;

/// Value of `kafka.bootstrap_servers` for the embedded broker.
pub const EMBEDDED: &str = "embedded";

/// A running node.
pub struct Node {
    started: Started,
    config: NodeConfig,
    traces: Traces,
    parts: Parts,
}

impl Node {
    /// Translates a request with exactly one target on this node, past Kafka.
    pub(crate) async fn translate(&self, request: TranslationRequest) -> TranslationResult {
        let (intake, watched) = (self.started.actors.intake(), (&self.traces, None));
        direct::translate(&intake, request, Leg::Whole, &self.config.name, watched).await
    }

    /// Starts a node: what only one node can have is claimed, brokers are reached and topics made, then the actors, then reading. Its socket and HTTP say meanwhile that
    /// the node starts. Spans of `tracing` are not among its traces.
    ///
    /// # Errors
    /// When a name or port is taken, no broker answers, no model can be served, or a setting is refused. What was started is stopped, within the time that a node has
    /// to end.
    pub async fn start(config: &Config, observer: Arc<dyn Observer>) -> Result<Self> {
        Self::start_traced(
            config,
            observer,
            Traces::start(&config.telemetry.traces, &config.node.name)?,
        )
        .await
    }

    /// [`Node::start`], with traces that this process has made already, so that [`logging`](crate::logging) exports spans of `tracing` to
    /// them. They end with the node.
    ///
    /// # Errors
    /// Those of [`Node::start`].
    pub async fn start_traced(
        config: &Config,
        observer: Arc<dyn Observer>,
        traces: Traces,
    ) -> Result<Self> {
        let mut parts = Parts::default();
        parts.push(TracesPart(traces.clone()));
        match start::start(config, observer, traces.clone(), &mut parts).await {
            Ok(started) => Ok(Self {
                started,
                config: config.node.clone(),
                traces,
                parts,
            }),
            Err(error) => {
                parts.stop(Shutdown::of_failed_start(&config.node)).await;
                Err(error)
            }
        }
    }

    /// Clients for the same brokers.
    #[must_use]
    pub const fn clients(&self) -> &Clients {
        &self.started.clients
    }

    /// Where it answers HTTP, if it does.
    #[must_use]
    pub const fn http(&self) -> Option<SocketAddr> {
        self.started.http
    }

    /// The actors.
    #[must_use]
    pub fn actors(&self) -> &Actors {
        &self.started.actors
    }

    /// Waits until something fails without which the node cannot go on.
    pub async fn failed(&self) -> Failure {
        self.started.failures.wait().await
    }

    /// Waits until an operator has this node drain, by way of the cluster.
    pub async fn drain_requested(&self) {
        self.started.commands.drain_requested().await;
    }

    /// This node's part of the cluster, if it is in one.
    #[must_use]
    pub const fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.started.cluster.as_ref()
    }

    /// Waits until this node reads requests and jobs and one model actor of each pool is warm.
    ///
    /// # Errors
    /// After `within`, or when the node cannot go on.
    pub async fn ready(&self, within: Duration) -> Result<()> {
        let all_ready = async {
            loop {
                if self.started.sources.are_read() && self.started.actors.are_warm().await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            done = tokio::time::timeout(within, all_ready) => {
                done.with_context(|| format!("the node is not ready after {} s", within.as_secs()))
            }
            failure = self.failed() => bail!("{}", failure.0),
        }
    }

    /// Drains: stops consuming, finishes, publishes and commits in-flight work, then stops all parts. If its membership
    /// is static, its partitions are kept for it for as long as its session lasts.
    pub async fn drain(self) {
        self.end(false).await;
    }

    /// The same for a node that does not come back soon: its partitions are handed over.
    pub async fn retire(self) {
        self.end(true).await;
    }

    async fn end(self, for_good: bool) {
        let shutdown = Shutdown::orderly(&self.config, for_good);
        self.parts.stop(shutdown).await;
        NodeEvent::Stopped.emit();
    }
}

/// Languages that the cluster has topics for, by the configuration or else the models.
///
/// # Errors
/// When the configuration names none and a model cannot be found.
pub(crate) fn served_languages(config: &Config) -> Result<Vec<Language>> {
    let models = match config.kafka.languages.is_empty() {
        true => engines::select(config)?.models,
        false => Vec::new(),
    };
    Ok(languages_of(config, &models))
}

/// Languages that the cluster has topics for.
fn languages_of(config: &Config, models: &[Model]) -> Vec<Language> {
    if config.kafka.languages.is_empty() {
        return written_by(models);
    }
    distinct(config.kafka.languages.iter())
}

/// Languages that models translate into.
fn written_by(models: &[Model]) -> Vec<Language> {
    distinct(
        models
            .iter()
            .flat_map(|model| &model.manifest().target_languages),
    )
}

/// Manifests and configuration were checked: every tag is one.
fn distinct<'a>(tags: impl Iterator<Item = &'a String>) -> Vec<Language> {
    let mut languages: Vec<Language> = tags.filter_map(|tag| tag.parse().ok()).collect();
    languages.sort_unstable();
    languages.dedup();
    languages
}

/// Where the engines' own forms of models are kept.
#[must_use]
pub fn cache_directory(config: &Config) -> PathBuf {
    if let Some(directory) = &config.models.cache_directory {
        return directory.clone();
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    base.or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("babelmesh")
}
