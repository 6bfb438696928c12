//! The cluster, on [ractor_cluster](https://docs.rs/ractor_cluster).
//!
//! Kafka transports the work; the cluster shares state and commands. Each node listens, dials its seeds and all nodes
//! that they know, and holds one connection to every other node. A connection passes an encrypted, bounded [handshake]
//! before the library sees it; then the gateways, the one remotely visible actor of each node, talk over it. Each
//! reports its state, so that any node can answer for all ([`Cluster::view`]), and forwards work that it cannot do.
//!
//! This is on the floor of Kafka and HTTP and knows neither: what a node does when another one asks is a [`Host`], which the node
//! implements, and how it does is read through a [`StatusSource`](babelmesh_telemetry::status::StatusSource).
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
mod start;
mod tls;
mod transport;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::{Leg, SpanRef},
    engine::{Segment, Translation},
    offload::PeerError,
};
use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
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
pub use start::ClusterParts;

use babelmesh_telemetry::Traces;
use certificate::Certificate;
use command::{Command, CommandDone};
use message::GatewayMessage;
use shared::Shared;

/// Timeout of leaving the cluster.
const FAREWELL: Duration = Duration::from_millis(500);

/// Handler of requests from other nodes.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Translates a request, as JSON, and answers with the result, as JSON. `leg` is which part of a route it is, `span`
    /// the parent span, if sampled.
    ///
    /// # Errors
    /// When the request is not valid.
    async fn translate(
        &self,
        request: Vec<u8>,
        leg: Leg,
        span: Option<SpanRef>,
    ) -> Result<Vec<u8>, String>;

    /// Executes a command that another node has forwarded.
    ///
    /// # Errors
    /// When it cannot be done.
    async fn command(&self, command: Command, by: &str) -> Result<CommandDone, String>;

    /// Translates a batch of another node in the pool of a model, behind the pool's own work, if the pool has the same `space`.
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
