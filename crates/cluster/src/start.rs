//! How a node joins the cluster.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Result;
use babelmesh_settings::Secret;
use babelmesh_telemetry::{Traces, events::NodeEvent, failure::Failures, status::StatusSource};
use ractor::{Actor, ActorRef};
use ractor_cluster::{
    IncomingEncryptionMode, NodeServer, NodeServerMessage, node::NodeConnectionMode,
};
use tokio::task::JoinHandle;

use super::{
    Cluster, ClusterConfig, ClusterListener, DeferredPeers, Facts, Host, NodeReport,
    dialer::Dialer,
    gateway::{Gateway, GatewayStart},
    handshake::{self, Identity, Incarnation, PROTOCOL, inner_cookie},
    membership_table::MembershipTable,
    message::{GatewayMessage, LONGEST_FRAME, PeerInfo},
    redial::RedialBackoff,
    shared::Shared,
    tls,
    transport::{PeerConnection, Transport, listen},
};

/// Interval of local status checks.
const LOOK: Duration = Duration::from_millis(250);
/// Maximum interval between reports to other nodes.
const REPORT: Duration = Duration::from_secs(1);

/// Parameters of a node's cluster component.
pub struct ClusterParts<'a> {
    /// Its configuration.
    pub config: &'a ClusterConfig,
    /// Name of the node.
    pub node: &'a str,
    /// Where other nodes connect.
    pub listener: ClusterListener,
    /// State of the node, for its reports.
    pub status: Arc<dyn StatusSource>,
    /// Facts about the node that do not change.
    pub facts: Facts,
    /// Handles requests of other nodes.
    pub host: Arc<dyn Host>,
    /// Learns about the other nodes.
    pub peers: &'a DeferredPeers,
    /// Traces of forwarded work.
    pub traces: Traces,
    /// Told when an actor of the cluster fails.
    pub failures: Failures,
}

/// The actors of a node's part of the cluster.
struct Actors {
    gateway: ActorRef<GatewayMessage>,
    server: ActorRef<NodeServerMessage>,
    gateway_task: JoinHandle<()>,
    server_task: JoinHandle<()>,
}

impl Cluster {
    /// Takes connections at the listener, and looks for other nodes from now on.
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub async fn start(parts: ClusterParts<'_>) -> Result<Arc<Self>> {
        let config = parts.config;
        let (local, cookie) = (parts.listener.address, parts.listener.cookie.clone());
        let certificate = parts.listener.certificate.clone();
        let listener = parts.listener.hand_over().await?;
        let me = identity(config, parts.node, local.to_string(), cookie);
        let address = me.address.clone();
        let forget = Duration::from_millis(config.forget_after_ms);
        let membership_table = MembershipTable::new(me.name.clone(), config.timeouts(), forget);
        let shared = Arc::new(Shared::new(me.clone(), membership_table));
        let actors = spawn(config, &me, &shared, &parts.host).await?;
        let (gateway, server) = (actors.gateway, actors.server);
        let transport = Arc::new(Transport::new(
            me,
            certificate.clone(),
            Arc::clone(&shared) as _,
            config.handshake_timeout(),
        ));
        let on_connected = {
            let (gateway, shared) = (gateway.clone(), Arc::clone(&shared));
            move |contact: PeerConnection| on_connected(contact, &gateway, &shared)
        };
        let dialer = Dialer {
            seeds: config.seeds.clone(),
            shared: Arc::clone(&shared),
            transport: Arc::clone(&transport),
            backoff: RedialBackoff {
                initial: Duration::from_millis(config.redial_initial_backoff_ms),
                max: Duration::from_millis(config.redial_max_backoff_ms),
            },
            on_connected: on_connected.clone(),
        };
        let heartbeat = Duration::from_millis(config.heartbeat_ms);
        let reports = report(
            gateway.clone(),
            Arc::clone(&shared),
            parts.status,
            parts.facts,
        );
        let most = config.max_handshakes;
        let mut tasks = vec![
            tokio::spawn(listen(listener, transport, most, on_connected)),
            tokio::spawn(dialer.run()),
            tokio::spawn(tick(gateway.clone(), heartbeat)),
            tokio::spawn(reports),
            tokio::spawn(watch(
                parts.failures,
                actors.gateway_task,
                actors.server_task,
            )),
        ];
        if let Some(certificate) = certificate.clone() {
            tasks.push(tokio::spawn(certificate.watch()));
        }
        parts.peers.arrive(Arc::clone(&shared));
        NodeEvent::ClusterStarted {
            listen: &local.to_string(),
            address: &address,
            encrypted: certificate.is_some(),
        }
        .emit();
        Ok(Arc::new(Self {
            shared,
            gateway,
            server,
            host: parts.host,
            call_timeout: config.call_timeout(),
            certificate,
            discovery: Duration::from_millis(config.discovery_ms),
            traces: parts.traces,
            tasks: Mutex::new(tasks),
        }))
    }
}

fn identity(config: &ClusterConfig, node: &str, local: String, cookie: Secret) -> Identity {
    Identity {
        name: node.to_owned(),
        address: config.advertise.clone().unwrap_or(local),
        incarnation: Incarnation::default(),
        cookie,
        protocol: PROTOCOL,
    }
}

async fn spawn(
    config: &ClusterConfig,
    me: &Identity,
    shared: &Arc<Shared>,
    host: &Arc<dyn Host>,
) -> Result<Actors> {
    // The library requires a listener of its own: it rejects every connection.
    let server = NodeServer::new(
        0,
        inner_cookie(&me.cookie),
        "gateway".to_owned(),
        me.name.clone(),
        Some(IncomingEncryptionMode::Tls(tls::nobody()?)),
        Some(NodeConnectionMode::Isolated),
    )
    .with_listen_addr(IpAddr::from([127, 0, 0, 1]))
    .with_max_inbound_frame_size(LONGEST_FRAME);
    let (server, server_task) = Actor::spawn(None, server, ()).await?;
    let start = GatewayStart {
        shared: Arc::clone(shared),
        server: server.clone(),
        host: Arc::clone(host),
        settle: config.handshake_timeout(),
    };
    let name = format!("gateway@{}", me.name);
    let spawned = Actor::spawn(Some(name), Gateway, start).await;
    if spawned.is_err() {
        server.stop(None);
    }
    let (gateway, gateway_task) = spawned?;
    Ok(Actors {
        gateway,
        server,
        gateway_task,
        server_task,
    })
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

/// Reports this node's state to the others: once a second, and immediately after a change.
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
