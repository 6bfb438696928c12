//! Startup of a node, in this order. It ends in the reverse order.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use babelmesh_actors::{
    domain::Language, events::Observer, glossaries::Glossaries, remote_nodes::RemoteNodes,
};

use super::{
    Actors, EMBEDDED, StatusSource,
    claims::Claims,
    commands::CommandHandler,
    descriptors, engines,
    languages::Languages,
    languages_of, limits,
    monitors::{self, Conditions},
    parts::Parts,
    peers::ClusterPeers,
    pipeline::Pipelines,
    running::{
        ActorsPart, AvailabilityPart, BrokerPart, GlossariesPart, HttpPart, PipelinesPart,
        RetriesPart, TaskPart,
    },
    source::Sources,
    status, written_by,
};
use crate::{
    api::{self, ApiServer, Feed, Health},
    cluster::{Cluster, ClusterParts, DeferredPeers, DeferredRemoteNodes, Facts},
    config::Config,
    events::NodeEvent,
    failure::Failures,
    kafka::{
        admin::create_missing,
        client::Clients,
        embedded::EmbeddedBroker,
        glossaries::{GlossaryReader, GlossaryTopic},
        topic_settings::{self, TopicKind},
    },
    telemetry::{Telemetry, Traces},
};

/// Handles of a running node.
pub(super) struct Started {
    pub(super) actors: Arc<Actors>,
    pub(super) sources: Sources,
    pub(super) failures: Failures,
    pub(super) http: Option<SocketAddr>,
    pub(super) cluster: Option<Arc<Cluster>>,
    pub(super) commands: Arc<CommandHandler>,
    pub(super) clients: Clients,
}

/// Starts a node. What was started is in `parts`, after an error too.
///
/// # Errors
/// The first one.
pub(super) async fn start(
    config: &Config,
    observer: Arc<dyn Observer>,
    traces: Traces,
    parts: &mut Parts,
) -> Result<Started> {
    let claims = Claims::take(config, parts).await?;
    let of = config.clone();
    // Manifests of many models are read.
    let selection = tokio::task::spawn_blocking(move || engines::select(&of)).await??;
    let mut config = config.clone();
    config.http.max_connections = descriptors::allow(&config, selection.models.len())?;
    let config = &config;
    let topics_for = languages_of(config, &selection.models);
    let clients = connect(config, &topics_for, parts).await?;
    let watching = Watching::new(config, &traces, observer);
    let others = DeferredCluster::new(config);
    let failures = Failures::default();
    let glossaries = start_glossaries(config, &clients, parts)?;
    let actors = Actors::start(
        config,
        selection,
        Arc::clone(&watching.observer),
        failures.clone(),
        (
            Arc::clone(&others.peers) as _,
            Arc::clone(&others.remote_nodes),
            Arc::clone(&glossaries),
        ),
    );
    let actors = Arc::new(actors.await?);
    parts.push(ActorsPart(Arc::clone(&actors)));
    // Languages that only broken models write are left to other nodes.
    let served = languages_of(config, actors.models());
    let pipelines = Pipelines::start(
        config,
        &clients,
        (&served, &own_languages(&served, &actors)?),
        &actors,
        (Arc::clone(&watching.observer), failures.clone()),
        &traces,
    )?;
    let (sources, jobs) = (pipelines.sources(), pipelines.jobs());
    parts.push(PipelinesPart(pipelines));
    parts.push(RetriesPart(Arc::clone(&actors)));
    let pools = Arc::clone(actors.pools());
    let languages = Languages::new(&config.kafka.topics, served.clone(), pools, jobs);
    let core = Core {
        served,
        languages: Arc::new(languages),
        sources,
        failures,
        actors,
        glossaries,
        clients,
        traces,
    };
    core.open(config, claims, (watching, others), parts).await
}

/// The Kafka pipelines. The other parts make them accessible.
struct Core {
    served: Vec<Language>,
    languages: Arc<Languages>,
    sources: Sources,
    failures: Failures,
    actors: Arc<Actors>,
    glossaries: Arc<Glossaries>,
    clients: Clients,
    traces: Traces,
}

impl Core {
    /// Joins the cluster, serves HTTP and the status socket.
    async fn open(
        self,
        config: &Config,
        claims: Claims,
        (watching, others): (Watching, DeferredCluster),
        parts: &mut Parts,
    ) -> Result<Started> {
        let node = &config.node.name;
        let status = self.status(config);
        let languages = Arc::clone(&self.languages);
        let commands = CommandHandler::new(node, &self.actors, languages, self.traces.clone());
        let commands = Arc::new(commands);
        let cluster = match claims.cluster.take_listener() {
            None => None,
            Some(listener) => {
                let joined = Cluster::start(ClusterParts {
                    config: &config.cluster,
                    node,
                    listener,
                    status: status.clone(),
                    facts: facts(config, &self.served),
                    host: Arc::clone(&commands) as _,
                    peers: &others.peers,
                    traces: self.traces.clone(),
                    failures: self.failures.clone(),
                });
                let joined = joined.await?;
                claims.cluster.joined(Arc::clone(&joined));
                others.arrive(&joined, config);
                Some(joined)
            }
        };
        let edge = api::Parts {
            intake: self.actors.intake(),
            cluster: cluster
                .clone()
                .map(|cluster| Arc::new(ClusterPeers(cluster)) as _),
            telemetry: watching.telemetry,
            traces: self.traces.clone(),
            status: status.clone(),
            health: watching.health,
            feed: watching.feed,
            glossaries: Arc::clone(&self.glossaries),
            max_text_chars: config.intake.max_text_chars,
            pivot: config.models.pivots(),
            documents: config.documents.clone(),
        };
        let http = serve_http(config, &claims, edge, self.failures.clone(), parts).await?;
        self.watch(config, watching.conditions, parts);
        // Who is answered here finds the node at its HTTP address too.
        claims.socket.answer(status, cluster.clone());
        parts.push(AvailabilityPart {
            commands: Arc::clone(&commands),
            cluster: cluster.clone(),
        });
        let models: Vec<_> = self.actors.models().iter().map(|m| m.id()).collect();
        NodeEvent::Started {
            node,
            bootstrap: self.clients.bootstrap(),
            models: &models.join(", "),
            socket: claims.socket.path(),
            http,
        }
        .emit();
        Ok(Started {
            actors: self.actors,
            sources: self.sources,
            failures: self.failures,
            clients: self.clients,
            http,
            cluster,
            commands,
        })
    }

    fn status(&self, config: &Config) -> Arc<dyn StatusSource> {
        Arc::new(status::StatusContext {
            node: config.node.name.clone(),
            bootstrap: self.clients.bootstrap().to_owned(),
            delivery: self.clients.delivery(),
            sources: self.sources.clone(),
            pools: Arc::clone(self.actors.pools()),
            glossaries: Arc::clone(&self.glossaries),
            started: Instant::now(),
        })
    }

    fn watch(&self, config: &Config, conditions: Arc<Conditions>, parts: &mut Parts) {
        let (topics, lags) = (&config.kafka.topics, self.actors.lags());
        let lag = monitors::lag(topics, self.served.clone(), self.sources.clone(), lags);
        parts.push(TaskPart(lag));
        let blocked = monitors::blocked_readers(self.sources.clone());
        parts.push(TaskPart(blocked));
        if config.kafka.bootstrap_servers != EMBEDDED {
            // With an embedded broker no other node can do the work.
            let pools = Arc::clone(self.actors.pools());
            let languages = Arc::clone(&self.languages);
            let broken = monitors::broken_models(pools, languages, conditions);
            parts.push(TaskPart(broken));
        }
    }
}

/// Has the HTTP server take the place of the one that tells that the node starts.
async fn serve_http(
    config: &Config,
    claims: &Claims,
    edge: api::Parts,
    failures: Failures,
    parts: &mut Parts,
) -> Result<Option<SocketAddr>> {
    let Some(starting) = claims.http.take() else {
        return Ok(None);
    };
    let listener = starting.hand_over().await?;
    let server = ApiServer::start(&config.http, listener, edge, failures)?;
    let address = server.address();
    parts.push(HttpPart(server));
    Ok(Some(address))
}

/// The glossaries of the cluster. They are read beside everything else: a node works without them.
fn start_glossaries(
    config: &Config,
    clients: &Clients,
    parts: &mut Parts,
) -> Result<Arc<Glossaries>> {
    let limits = config.glossaries.limits();
    let Some(topic) = topic_settings::glossaries(&config.kafka) else {
        return Ok(Arc::new(Glossaries::unwritten(limits)));
    };
    let log = GlossaryTopic::new(clients, &topic.name, limits.wait);
    let glossaries = Arc::new(Glossaries::new(limits, Arc::new(log)));
    let reader = GlossaryReader::start(clients, topic, Arc::clone(&glossaries))?;
    parts.push(GlossariesPart(reader));
    Ok(glossaries)
}

async fn connect(config: &Config, served: &[Language], parts: &mut Parts) -> Result<Clients> {
    let (kafka, node) = (&config.kafka, &config.node.name);
    let topics = topic_settings::plan(kafka, served);
    if kafka.bootstrap_servers == EMBEDDED {
        let broker = EmbeddedBroker::start(&topics)?;
        let clients = Clients::new(kafka, &broker.bootstrap(), node, true);
        parts.push(BrokerPart(broker));
        return Ok(clients);
    }
    let clients = Clients::new(kafka, &kafka.bootstrap_servers, node, false);
    // That of glossaries is created when it is read.
    let mut topics = topics;
    topics.retain(|topic| topic.kind != TopicKind::Glossaries);
    let within = Duration::from_millis(kafka.startup_timeout_ms);
    let partitions = create_missing(&clients, &topics, within).await?;
    let partitions = |topic: &str| partitions.get(topic).copied();
    for few in topic_settings::too_few_partitions(&topics, partitions, kafka.parallelism) {
        NodeEvent::TooFewPartitions {
            topic: &few.topic,
            partitions: few.partitions,
            parallelism: few.parallelism,
        }
        .emit();
    }
    Ok(clients)
}

/// Other nodes may serve other languages: their jobs are split here, and read there.
fn own_languages(served: &[Language], actors: &Actors) -> Result<Vec<Language>> {
    let mut own = written_by(actors.models());
    own.retain(|language| served.contains(language));
    ensure!(
        !own.is_empty(),
        "kafka.languages: no model of this node supports any of these languages"
    );
    Ok(own)
}

/// Static facts reported to other nodes.
fn facts(config: &Config, served: &[Language]) -> Facts {
    Facts {
        cores: limits::cores(&config.limits),
        languages: served.iter().map(Language::to_string).collect(),
    }
}

/// Observers of actor events.
struct Watching {
    observer: Arc<dyn Observer>,
    conditions: Arc<Conditions>,
    telemetry: Arc<Telemetry>,
    health: Arc<Health>,
    feed: Arc<Feed>,
}

impl Watching {
    fn new(config: &Config, traces: &Traces, observer: Arc<dyn Observer>) -> Self {
        let telemetry = Arc::new(Telemetry::new(traces));
        let (health, feed) = (Arc::new(Health::default()), Arc::new(Feed::default()));
        let observer = match config.http.listen.as_str() {
            // They would have no reader.
            "" => observer,
            _ => Arc::new(vec![
                observer,
                telemetry.metrics(),
                Arc::clone(&health) as Arc<dyn Observer>,
                Arc::clone(&feed) as Arc<dyn Observer>,
            ]),
        };
        let conditions = Arc::new(Conditions::default());
        let mut all = vec![observer, Arc::clone(&conditions) as _];
        all.extend(traces.observer());
        Self {
            observer: Arc::new(all),
            conditions,
            telemetry,
            health,
            feed,
        }
    }
}

/// Other nodes, for parts that are there before the cluster.
struct DeferredCluster {
    peers: Arc<DeferredPeers>,
    late: Arc<DeferredRemoteNodes>,
    remote_nodes: Arc<dyn RemoteNodes>,
}

impl DeferredCluster {
    fn new(config: &Config) -> Self {
        let late = Arc::new(DeferredRemoteNodes::default());
        let remote_nodes: Arc<dyn RemoteNodes> = match config.cluster.enabled {
            true => Arc::clone(&late) as _,
            false => Arc::new(()),
        };
        Self {
            peers: Arc::default(),
            late,
            remote_nodes,
        }
    }

    fn arrive(&self, cluster: &Arc<Cluster>, config: &Config) {
        self.late
            .arrive(Arc::clone(cluster), config.cluster.max_forwarded);
    }
}
