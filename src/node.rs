//! A node: actors, Kafka and a status socket, started and stopped as one.

mod actors;
pub(crate) mod caller;
mod engines;
mod limits;
mod pipeline;
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
use babelmesh_actors::{domain::Language, events::Observer};
use babelmesh_models::Model;
use tokio::task::JoinHandle;

pub use actors::Actors;
pub use engines::registry;
pub(crate) use engines::{chain as error_chain, select as select_models};
pub use source::SourceStatus;
use source::Sources;
pub use status::{NodeStatus, StatusSource, ask, default_socket};

use crate::{
    api::{ApiServer, Health, ModelInfo, Parts},
    config::Config,
    dashboard::Feed,
    events::NodeEvent,
    failure::{Failure, Failures},
    kafka::{
        admin::create_missing, client::Clients, embedded::EmbeddedBroker, topic_settings,
        topics::TopicNames,
    },
    telemetry::Telemetry,
};
use pipeline::Pipelines;
use status::StatusServer;

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
    status: StatusServer,
    http: Option<ApiServer>,
    clients: Clients,
    drain_timeout: Duration,
    /// Lives as long as the node.
    _broker: Option<EmbeddedBroker>,
}

impl Node {
    /// Starts a node: brokers are reached and topics made, then the actors, then reading.
    ///
    /// # Errors
    /// When no broker answers, a model cannot be found, or a setting is refused. What was started is stopped.
    pub async fn start(config: &Config, observer: Arc<dyn Observer>) -> Result<Self> {
        let models = engines::select(config)?;
        let served = languages(config, &models);
        let (clients, broker) = Self::connect(config, &served).await?;
        let failures = Failures::default();
        let telemetry = Arc::new(Telemetry::default());
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
        let actors =
            Actors::start(config, &models, Arc::clone(&observer), failures.clone()).await?;
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
            pools: actors.pools(),
            started: Instant::now(),
        });
        let status = StatusServer::start(socket, source.clone())?;
        let http = match config.http.listen.as_str() {
            "" => None,
            _ => {
                let parts = Parts {
                    intake: actors.intake(),
                    models: model_infos(&models)?,
                    telemetry,
                    status: source,
                    health,
                    feed,
                };
                Some(ApiServer::start(config, parts, &clients, failures.clone())?)
            }
        };
        NodeEvent::Started {
            node: &config.node.name,
            bootstrap: clients.bootstrap(),
            models: &models.iter().map(|m| m.id()).collect::<Vec<_>>().join(", "),
            socket: status.socket(),
            http: http.as_ref().map(ApiServer::address),
        }
        .emit();
        let lag = watch_lag(&config.kafka.topics, own, pipelines.sources(), &actors);
        let drain_timeout = Duration::from_millis(config.node.drain_timeout_ms);
        Ok(Self {
            actors,
            pipelines,
            failures,
            lag,
            status,
            http,
            clients,
            drain_timeout,
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

    /// Reads no more, finishes what was read, publishes and commits it, then ends everything.
    pub async fn drain(self) {
        let Self {
            actors,
            pipelines,
            lag,
            status,
            http,
            drain_timeout,
            ..
        } = self;
        lag.abort();
        // The actors still work: who has asked is answered.
        if let Some(http) = http {
            http.stop().await;
        }
        // A drain does not wait for the next try of what failed.
        actors.stop_retrying();
        // Readers and publishers are threads that are waited for.
        let _ = tokio::task::spawn_blocking(move || pipelines.stop(drain_timeout)).await;
        actors.stop(drain_timeout).await;
        status.stop();
        NodeEvent::Stopped.emit();
    }
}

/// The models as the HTTP API shows them.
fn model_infos(models: &[Model]) -> Result<Vec<ModelInfo>> {
    let info = |model: &Model| {
        Ok(ModelInfo {
            id: model.id().to_owned(),
            ability: actors::ability(model)?,
            licence: model.manifest().licence.clone(),
        })
    };
    models.iter().map(info).collect()
}

/// Tells the pools what is unread, from now on.
fn watch_lag(
    topics: &TopicNames,
    own: Vec<Language>,
    sources: Sources,
    actors: &Actors,
) -> JoinHandle<()> {
    let (topics, lags) = (topics.clone(), actors.lags());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LAG_TICK);
        loop {
            tick.tick().await;
            let unread: HashMap<Language, u64> = own
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
        true => engines::select(config)?,
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
