//! A node: actors, Kafka and a status socket, started and stopped as one.

mod actors;
pub(crate) mod caller;
mod commands;
mod descriptors;
mod direct;
mod engines;
mod languages;
mod limits;
mod pipeline;
mod pools;
mod shutdown;
mod socket;
mod source;
mod status;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use babelmesh_actors::{
    domain::{Language, TranslationRequest, TranslationResult},
    elsewhere::Elsewhere,
    events::Observer,
};
use babelmesh_models::Model;
use tokio::{task::JoinHandle, time::timeout};

pub use actors::Actors;
pub use engines::registry;
pub(crate) use engines::{chain as error_chain, find_folder, select as select_models};
pub use socket::{SocketRequest, ask, ask_cluster, ask_command, ask_translation, default_socket};
pub use source::SourceStatus;
use source::Sources;
pub use status::{BrokenModel, NodeStatus, StatusSource};

use crate::{
    api::{ApiServer, Health, Parts, StartingServer},
    cluster::{Cluster, Facts, LateElsewhere, LatePeers},
    config::{Config, NodeConfig},
    dashboard::Feed,
    events::NodeEvent,
    failure::{Failure, Failures},
    kafka::{
        admin::create_missing, client::Clients, embedded::EmbeddedBroker, topic_settings,
        topics::TopicNames,
    },
    telemetry::{Telemetry, Traces},
};
use commands::Deeds;
use languages::Languages;
use pipeline::Pipelines;
use shutdown::{Phase, ShutdownBudget};
use socket::SocketServer;

/// How often pools are told what is unread.
const LAG_TICK: Duration = Duration::from_secs(1);

/// What `kafka.bootstrap_servers` says for the embedded broker.
pub const EMBEDDED: &str = "embedded";

/// A running node.
pub struct Node {
    actors: Actors,
    pipelines: Pipelines,
    failures: Failures,
    /// Tells the pools about unread work.
    lag: JoinHandle<()>,
    socket: SocketServer,
    http: Option<ApiServer>,
    cluster: Option<Arc<Cluster>>,
    deeds: Arc<Deeds>,
    clients: Clients,
    config: NodeConfig,
    traces: Traces,
    /// Lives as long as the node.
    _broker: Option<EmbeddedBroker>,
}

impl Node {
    /// Translates a request with exactly one target on this node, past Kafka.
    pub(crate) async fn translate(&self, request: TranslationRequest) -> TranslationResult {
        let watched = (&self.traces, None);
        direct::translate(&self.actors.intake(), request, &self.config.name, watched).await
    }

    /// Starts a node: brokers are reached and topics made, then the actors, then reading. HTTP says meanwhile that the node starts. Spans of `tracing` are not among its traces.
    ///
    /// # Errors
    /// When no broker answers, no model can be served, or a setting is refused. What was started is stopped.
    pub async fn start(config: &Config, observer: Arc<dyn Observer>) -> Result<Self> {
        Self::start_traced(config, observer, Traces::start(config)?).await
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
        let selection = engines::select(config)?;
        descriptors::allow(config, selection.models.len())?;
        let served = languages(config, &selection.models);
        let starting = StartingServer::start(&config.http)?;
        let (clients, broker) = Self::connect(config, &served).await?;
        let failures = Failures::default();
        let telemetry = Arc::new(Telemetry::new(&traces));
        let (health, feed) = (Arc::new(Health::default()), Arc::new(Feed::default()));
        let observer = match config.http.listen.as_str() {
            // Nobody could read them.
            "" => observer,
            _ => Arc::new(vec![
                observer,
                telemetry.metrics(),
                Arc::clone(&health) as Arc<dyn Observer>,
                Arc::clone(&feed) as Arc<dyn Observer>,
            ]),
        };
        let observer = match traces.observer() {
            Some(lives) => Arc::new(vec![observer, lives]),
            None => observer,
        };
        let peers = Arc::new(LatePeers::default());
        let others = Arc::new(LateElsewhere::default());
        let elsewhere: Arc<dyn Elsewhere> = match config.cluster.enabled {
            true => Arc::clone(&others) as _,
            false => Arc::new(()),
        };
        let actors = Actors::start(
            config,
            selection,
            Arc::clone(&observer),
            failures.clone(),
            Arc::clone(&peers) as _,
            elsewhere,
        )
        .await?;
        let models = actors.models().to_vec();
        // Languages that only broken models write are left to other nodes.
        let served = languages(config, &models);
        // Other nodes may serve other languages: their jobs are split here, and read there.
        let mut own = written_by(&models);
        own.retain(|language| served.contains(language));
        ensure!(
            !own.is_empty(),
            "kafka.languages: no model of this node writes any of them"
        );
        let pipelines = Pipelines::start(
            config,
            &clients,
            (&served, &own),
            &actors,
            (Arc::clone(&observer), failures.clone()),
            &traces,
        )?;
        let socket = config
            .status
            .socket
            .clone()
            .unwrap_or_else(|| default_socket(&config.node.name));
        let source = StatusSource::new(status::About {
            node: config.node.name.clone(),
            bootstrap: clients.bootstrap().to_owned(),
            delivery: clients.delivery(),
            sources: pipelines.sources(),
            pools: Arc::clone(actors.pools()),
            started: Instant::now(),
        });
        let languages = Languages::new(&config.kafka.topics, served.clone(), pipelines.jobs());
        let deeds = Arc::new(Deeds::new(
            &config.node.name,
            &actors,
            languages,
            traces.clone(),
        ));
        let cluster = match config.cluster.enabled {
            true => {
                let facts = facts(config, &served);
                let host = Arc::clone(&deeds) as _;
                let started = Cluster::start(
                    config,
                    source.clone(),
                    facts,
                    (host, &peers),
                    (traces.clone(), failures.clone()),
                )
                .await?;
                others.arrive(Arc::clone(&started), config.cluster.max_forwarded);
                Some(started)
            }
            false => None,
        };
        let http = match starting {
            None => None,
            Some(starting) => {
                let parts = Parts {
                    intake: actors.intake(),
                    cluster: cluster.clone(),
                    telemetry,
                    traces: traces.clone(),
                    status: source.clone(),
                    health,
                    feed,
                };
                let listener = starting.hand_over().await?;
                Some(ApiServer::start(config, listener, parts, failures.clone())?)
            }
        };
        // Who is answered here finds the node at its HTTP address too.
        let socket = SocketServer::start(socket, source, cluster.clone())?;
        NodeEvent::Started {
            node: &config.node.name,
            bootstrap: clients.bootstrap(),
            models: &models.iter().map(|m| m.id()).collect::<Vec<_>>().join(", "),
            socket: socket.socket(),
            http: http.as_ref().map(ApiServer::address),
        }
        .emit();
        let lag = watch_lag(&config.kafka.topics, served, pipelines.sources(), &actors);
        Ok(Self {
            actors,
            pipelines,
            failures,
            lag,
            socket,
            http,
            cluster,
            deeds,
            clients,
            config: config.node.clone(),
            traces,
            _broker: broker,
        })
    }

    async fn connect(
        config: &Config,
        served: &[Language],
    ) -> Result<(Clients, Option<EmbeddedBroker>)> {
        let (kafka, node) = (&config.kafka, &config.node.name);
        let topics = topic_settings::plan(kafka, served);
        if kafka.bootstrap_servers == EMBEDDED {
            let broker = EmbeddedBroker::start(&topics)?;
            return Ok((
                Clients::new(kafka, &broker.bootstrap(), node, true),
                Some(broker),
            ));
        }
        let clients = Clients::new(kafka, &kafka.bootstrap_servers, node, false);
        let within = Duration::from_millis(kafka.startup_timeout_ms);
        let partitions = create_missing(&clients, &topics, within).await?;
        let partitions = |topic: &str| partitions.get(topic).copied();
        for few in topic_settings::too_few_partitions(&topics, partitions, kafka.parallelism) {
            NodeEvent::TooFewPartitions { few: &few }.emit();
        }
        Ok((clients, None))
    }

    /// Clients for the same brokers.
    #[must_use]
    pub const fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Where it answers HTTP, if it does.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(ApiServer::address)
    }

    /// The actors.
    #[must_use]
    pub const fn actors(&self) -> &Actors {
        &self.actors
    }

    /// Waits until something fails without which the node cannot go on.
    pub async fn failed(&self) -> Failure {
        self.failures.wait().await
    }

    /// Waits until an operator has this node drain, by way of the cluster.
    pub async fn told_to_drain(&self) {
        self.deeds.told_to_drain().await;
    }

    /// This node's part of the cluster, if it is in one.
    #[must_use]
    pub const fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// Waits until this node reads requests and jobs and one model actor of each pool is warm.
    ///
    /// # Errors
    /// After `within`, or when the node cannot go on.
    pub async fn ready(&self, within: Duration) -> Result<()> {
        let all_ready = async {
            loop {
                if self.pipelines.sources().are_read() && self.actors.are_warm().await {
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

    /// Reads no more, finishes what was read, publishes and commits it, then ends everything. If its membership is static, its partitions are kept for
    /// it for as long as its session lasts.
    pub async fn drain(self) {
        self.end(false).await;
    }

    /// The same for a node that does not come back soon: its partitions are handed over.
    pub async fn retire(self) {
        self.end(true).await;
    }

    async fn end(self, for_good: bool) {
        let Self {
            actors,
            pipelines,
            lag,
            socket,
            http,
            cluster,
            clients,
            config,
            traces,
            ..
        } = self;
        let budget = ShutdownBudget::new(&config, Instant::now());
        let until = |phase| budget.until(phase, Instant::now());
        lag.abort();
        if let Some(cluster) = &cluster {
            cluster.set_draining();
        }
        // The actors still work: who has asked is answered.
        if let Some(http) = http {
            let _ = timeout(budget.drain(Instant::now()), http.stop()).await;
        }
        // A drain does not wait for the next try of what failed.
        actors.stop_retrying();
        // Readers and publishers are threads that are waited for.
        let stop = move || {
            let name = for_good.then(|| clients.client_id());
            pipelines.stop(name, budget);
        };
        let stopped = tokio::task::spawn_blocking(stop);
        // A thread that hangs ends with the process.
        let _ = timeout(until(Phase::LeaveGroups), stopped).await;
        let _ = timeout(
            until(Phase::StopActors),
            actors.stop(until(Phase::LeaveGroups)),
        )
        .await;
        if let Some(cluster) = cluster {
            let _ = timeout(until(Phase::LeaveCluster), cluster.leave()).await;
        }
        socket.stop();
        // Last: what ended until here is told.
        let exported = tokio::task::spawn_blocking(move || traces.stop());
        let _ = timeout(until(Phase::ExportTraces), exported).await;
        NodeEvent::Stopped.emit();
    }
}

/// What other nodes are told that does not change.
fn facts(config: &Config, served: &[Language]) -> Facts {
    Facts {
        cores: limits::cores(&config.limits),
        languages: served.iter().map(Language::to_string).collect(),
    }
}

/// Tells the pools what is unread, from now on.
fn watch_lag(
    topics: &TopicNames,
    served: Vec<Language>,
    sources: Sources,
    actors: &Actors,
) -> JoinHandle<()> {
    let (topics, lags) = (topics.clone(), actors.lags());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LAG_TICK);
        loop {
            tick.tick().await;
            let unread: HashMap<Language, u64> = served
                .iter()
                .map(|target| (*target, sources.unread(&topics, *target)))
                .collect();
            lags.set(|target| unread.get(&target).copied().unwrap_or(0));
        }
    })
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
    Ok(languages(config, &models))
}

/// Languages that the cluster has topics for.
fn languages(config: &Config, models: &[Model]) -> Vec<Language> {
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
