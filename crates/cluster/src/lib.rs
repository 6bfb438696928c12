//! The cluster, on [ractor_cluster](https://docs.rs/ractor_cluster).
//!
//! Kafka transports the work; the cluster shares state and commands. Each node listens, dials its seeds and all nodes
//! that they know, and holds one connection to every other node. A connection passes an encrypted, bounded [handshake]
//! before the library sees it; then the gateways, the one remotely visible actor of each node, talk over it. Each
//! reports its state, so that any node can answer for all ([`Cluster::view`]), and forwards work that it cannot do.
//!
//! This is on the floor of Kafka and HTTP and knows neither: what a node does when another one asks is a [`Host`], which the node
//! implements, and how it does is read through a [`StatusSource`].
//!
//! ```
//! use babelmesh_cluster::ClusterConfig;
//!
//! let cluster = ClusterConfig {
//!     enabled: true,
//!     ..ClusterConfig::default()
//! };
//! let mut refused = Vec::new();
//! cluster.check("node-1", &mut |is_wrong, key, _| {
//!     if is_wrong {
//!         refused.push(key.to_owned());
//!     }
//! });
//! // Nodes must share a secret.
//! assert_eq!(refused, ["cookie_file"]);
//! ```

mod calls;
mod certificate;
pub mod certs;
mod config;
mod dialer;
mod gateway;
pub mod handshake;
mod job_forwarding;
mod link;
mod listener;
pub mod membership;
mod membership_table;
mod message;
mod node_selection;
mod node_snapshot;
mod peers;
mod redial;
#[cfg(test)]
mod sample;
mod shared;
mod tls;
mod transport;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use async_trait::async_trait;
use babelmesh_actors::{
    domain::SpanRef,
    engine::{Segment, Translation},
    offload::PeerError,
};
use ractor::{Actor, ActorRef};
use ractor_cluster::{
    IncomingEncryptionMode, NodeServer, NodeServerMessage, node::NodeConnectionMode,
};
use tokio::task::JoinHandle;

pub use babelmesh_actors::remote_nodes::CandidateNodes;
pub use babelmesh_telemetry::command;
pub use babelmesh_telemetry::status::{
    ClusterView, Facts, MemberState, MemberView, NodeReport, PoolCapability, PoolReport,
    SourceReport, placement,
};
pub use config::{ClusterConfig, TlsConfig};
pub use job_forwarding::DeferredRemoteNodes;
pub use listener::ClusterListener;
pub use peers::DeferredPeers;

use babelmesh_telemetry::{Traces, events::NodeEvent, failure::Failures, status::StatusSource};
use certificate::Certificate;
use command::{Command, CommandDone};
use dialer::Dialer;
use gateway::{Gateway, GatewayStart};
use handshake::{Identity, Incarnation, PROTOCOL, inner_cookie};
use membership_table::MembershipTable;
use message::{GatewayMessage, LONGEST_FRAME, PeerInfo};
use redial::RedialBackoff;
use shared::Shared;
use transport::{PeerConnection, Transport, listen};

/// Interval of local status checks.
const LOOK: Duration = Duration::from_millis(250);
/// Maximum interval between reports to other nodes.
const REPORT: Duration = Duration::from_secs(1);
/// Timeout of leaving the cluster.
const FAREWELL: Duration = Duration::from_millis(500);

/// Handler of requests from other nodes.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Translates a request, as JSON, and answers with the result, as JSON. `span` is the parent span, if sampled.
    ///
    /// # Errors
    /// When it is no request.
    async fn translate(&self, request: Vec<u8>, span: Option<SpanRef>) -> Result<Vec<u8>, String>;

    /// Carries a command out that came by way of another node.
    ///
    /// # Errors
    /// When it cannot be done.
    async fn command(&self, command: Command, by: &str) -> Result<CommandDone, String>;

    /// Has the pool of a model translate a batch of another node, behind its own work, if it is of the same space.
    /// `span` is the batch's span there, if sampled.
    ///
    /// # Errors
    /// Why it does not.
    async fn lend(
        &self,
        from: &str,
        (model, space): (&str, String),
        segments: Vec<Segment>,
        span: Option<SpanRef>,
    ) -> Result<Vec<Translation>, PeerError>;
}

/// A node's part of the cluster.
pub struct Cluster {
    shared: Arc<Shared>,
    gateway: ActorRef<GatewayMessage>,
    server: ActorRef<NodeServerMessage>,
    host: Arc<dyn Host>,
    call_timeout: Duration,
    certificate: Option<Arc<Certificate>>,
    /// How long after the start of this node others may be unknown to it.
    discovery: Duration,
    traces: Traces,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Cluster {
    /// Takes connections at the listener, and looks for other nodes from now on. `node` is its name, `status` says how it does, `facts` what does not change of it.
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub async fn start(
        (cluster, node): (&ClusterConfig, &str),
        listener: ClusterListener,
        (status, facts): (Arc<dyn StatusSource>, Facts),
        (host, peers): (Arc<dyn Host>, &DeferredPeers),
        (traces, failures): (Traces, Failures),
    ) -> Result<Arc<Self>> {
        let (local, cookie) = (listener.address, listener.cookie.clone());
        let certificate = listener.certificate.clone();
        let listener = listener.hand_over().await?;
        let address = match &cluster.advertise {
            Some(address) => address.clone(),
            None => local.to_string(),
        };
        let me = Identity {
            name: node.to_owned(),
            address: address.clone(),
            incarnation: Incarnation::default(),
            cookie: cookie.clone(),
            protocol: PROTOCOL,
        };
        let forget = Duration::from_millis(cluster.forget_after_ms);
        let membership_table = MembershipTable::new(me.name.clone(), cluster.timeouts(), forget);
        let shared = Arc::new(Shared::new(me.clone(), membership_table));
        // The library requires a listener of its own: it rejects every connection.
        let server = NodeServer::new(
            0,
            inner_cookie(&cookie),
            "gateway".to_owned(),
            me.name.clone(),
            Some(IncomingEncryptionMode::Tls(tls::nobody()?)),
            Some(NodeConnectionMode::Isolated),
        )
        .with_listen_addr(IpAddr::from([127, 0, 0, 1]))
        .with_max_inbound_frame_size(LONGEST_FRAME);
        let (server, server_task) = Actor::spawn(None, server, ()).await?;
        let start = GatewayStart {
            shared: Arc::clone(&shared),
            server: server.clone(),
            host: Arc::clone(&host),
            settle: cluster.handshake_timeout(),
        };
        let name = format!("gateway@{}", me.name);
        let spawned = Actor::spawn(Some(name), Gateway, start).await;
        if spawned.is_err() {
            server.stop(None);
        }
        let (gateway, gateway_task) = spawned?;
        let encrypted = certificate.is_some();
        let transport = Arc::new(Transport::new(
            me,
            certificate.clone(),
            Arc::clone(&shared) as _,
            cluster.handshake_timeout(),
        ));
        let on_connected = {
            let (gateway, shared) = (gateway.clone(), Arc::clone(&shared));
            move |contact: PeerConnection| on_connected(contact, &gateway, &shared)
        };
        let dialer = Dialer {
            seeds: cluster.seeds.clone(),
            shared: Arc::clone(&shared),
            transport: Arc::clone(&transport),
            backoff: RedialBackoff {
                initial: Duration::from_millis(cluster.redial_initial_backoff_ms),
                max: Duration::from_millis(cluster.redial_max_backoff_ms),
            },
            on_connected: on_connected.clone(),
        };
        let heartbeat = Duration::from_millis(cluster.heartbeat_ms);
        let mut tasks = vec![
            tokio::spawn(listen(
                listener,
                transport,
                cluster.max_handshakes,
                on_connected,
            )),
            tokio::spawn(dialer.run()),
            tokio::spawn(tick(gateway.clone(), heartbeat)),
            tokio::spawn(report(gateway.clone(), Arc::clone(&shared), status, facts)),
            tokio::spawn(watch(failures, gateway_task, server_task)),
        ];
        if let Some(certificate) = certificate.clone() {
            tasks.push(tokio::spawn(certificate.watch()));
        }
        peers.arrive(Arc::clone(&shared));
        NodeEvent::ClusterStarted {
            listen: &local.to_string(),
            address: &address,
            encrypted,
        }
        .emit();
        Ok(Arc::new(Self {
            shared,
            gateway,
            server,
            host,
            call_timeout: cluster.call_timeout(),
            certificate,
            discovery: Duration::from_millis(cluster.discovery_ms),
            traces,
            tasks: Mutex::new(tasks),
        }))
    }

    /// The cluster as this node sees it now.
    #[must_use]
    pub fn view(&self) -> ClusterView {
        let mut view = self.shared.view();
        if let Some(certificate) = &self.certificate {
            view.certificate_not_after = Some(certificate.not_after());
            view.warnings.extend(certificate.warning());
        }
        view
    }

    /// Announces that this node accepts no more work.
    pub fn set_draining(&self) {
        self.shared.set_draining();
    }

    /// Stops without notifying others: they detect it by the missing heartbeat.
    pub fn abandon(&self) {
        self.stop_tasks();
        self.gateway.stop(None);
        self.server.stop(None);
    }

    fn stop_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
    }

    /// Notifies the others and closes every connection.
    pub async fn leave(&self) {
        self.stop_tasks();
        let _ = self
            .gateway
            .call(GatewayMessage::Leave, Some(FAREWELL))
            .await;
        // What was said last is on its way.
        tokio::time::sleep(FAREWELL / 5).await;
        let _ = self.gateway.stop_and_wait(None, Some(FAREWELL)).await;
        let _ = self.server.stop_and_wait(None, Some(FAREWELL)).await;
    }
}

/// Keeps a connection, or records the address of an introduction to dial it.
fn on_connected(contact: PeerConnection, gateway: &ActorRef<GatewayMessage>, shared: &Shared) {
    if contact.peer.kept {
        // If the gateway fails, the node exits.
        let _ = gateway.cast(GatewayMessage::Met(Box::new(contact)));
        return;
    }
    shared.hint(&contact.peer.name);
    let peer_info = PeerInfo {
        node: contact.peer.name,
        address: contact.peer.address,
        incarnation: contact.peer.incarnation,
    };
    let mut membership_table = shared.membership_table();
    membership_table.merge_gossip(vec![peer_info], Instant::now(), handshake::clock());
}

async fn tick(gateway: ActorRef<GatewayMessage>, heartbeat: Duration) {
    let mut tick = tokio::time::interval(heartbeat);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let _ = gateway.cast(GatewayMessage::Tick);
    }
}

/// Tells the others how this node does: once a second, and at once when something has changed.
async fn report(
    gateway: ActorRef<GatewayMessage>,
    shared: Arc<Shared>,
    status: Arc<dyn StatusSource>,
    facts: Facts,
) {
    let mut last: Option<(Instant, NodeReport)> = None;
    for serial in 1.. {
        let mut report = NodeReport::new(&status.read().await, &facts);
        report.serial = serial;
        report.draining = shared.is_draining();
        let due = last
            .as_ref()
            .is_none_or(|(at, told)| at.elapsed() >= REPORT || report.differs(told));
        if due {
            last = Some((Instant::now(), report.clone()));
            let _ = gateway.cast(GatewayMessage::Report(Box::new(report)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Without its gateway a node has left the cluster.
async fn watch(failures: Failures, gateway: JoinHandle<()>, server: JoinHandle<()>) {
    tokio::select! {
        _ = gateway => {}
        _ = server => {}
    }
    failures.tell("the gateway to the cluster has ended".to_owned());
}
