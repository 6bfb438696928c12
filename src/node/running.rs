//! How each part of a node ends. The list of parts, in the order of their start, is in [`start`](super::start).

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{
    Actors,
    commands::CommandHandler,
    handover::Handover,
    parts::{Part, Shutdown},
    pipeline::Pipelines,
    shutdown::Phase,
};
use crate::{
    api::ApiServer,
    cluster::{Cluster, ClusterListener},
    kafka::{embedded::EmbeddedBroker, glossaries::GlossaryReader},
    telemetry::Traces,
};

/// Exports the last traces: what ended until here is told.
pub(super) struct TracesPart(pub(super) Traces);

#[async_trait(?Send)]
impl Part for TracesPart {
    fn name(&self) -> &'static str {
        "the export of traces"
    }

    fn phase(&self) -> Phase {
        Phase::ExportTraces
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        let _ = tokio::task::spawn_blocking(move || self.0.stop()).await;
    }
}

/// The node's part of the cluster: at first an address that is claimed, later a member.
#[derive(Clone)]
pub(super) struct ClusterPart {
    listener: Handover<ClusterListener>,
    joined: Handover<Arc<Cluster>>,
}

impl ClusterPart {
    pub(super) fn new(listener: Option<ClusterListener>) -> Self {
        Self {
            listener: Handover::new(listener),
            joined: Handover::new(None),
        }
    }

    /// The address, to join the cluster with.
    pub(super) fn take_listener(&self) -> Option<ClusterListener> {
        self.listener.take()
    }

    /// The node has joined.
    pub(super) fn joined(&self, cluster: Arc<Cluster>) {
        self.joined.put(cluster);
    }
}

/// Ends [`ClusterPart`]. There are clones of that, but one of this.
pub(super) struct ClusterEnd(pub(super) ClusterPart);

#[async_trait(?Send)]
impl Part for ClusterEnd {
    fn name(&self) -> &'static str {
        "the cluster"
    }

    fn phase(&self) -> Phase {
        Phase::LeaveCluster
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        if let Some(cluster) = self.0.joined.take() {
            cluster.leave().await;
        }
    }
}

impl Drop for ClusterEnd {
    fn drop(&mut self) {
        drop(self.0.listener.take());
        if let Some(cluster) = self.0.joined.take() {
            cluster.abandon();
        }
    }
}

/// The broker of a node that has its own. It ends when it is dropped.
pub(super) struct BrokerPart(#[expect(dead_code, reason = "it is held")] pub(super) EmbeddedBroker);

#[async_trait(?Send)]
impl Part for BrokerPart {
    fn name(&self) -> &'static str {
        "the embedded broker"
    }

    fn phase(&self) -> Phase {
        Phase::StopActors
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {}
}

/// Intake, pools and engines.
pub(super) struct ActorsPart(pub(super) Arc<Actors>);

#[async_trait(?Send)]
impl Part for ActorsPart {
    fn name(&self) -> &'static str {
        "the actors"
    }

    fn phase(&self) -> Phase {
        Phase::StopActors
    }

    async fn stop(self: Box<Self>, shutdown: &Shutdown) {
        self.0.stop(shutdown.left(Phase::LeaveGroups)).await;
    }
}

impl Drop for ActorsPart {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Readers and publishers. They are threads that are waited for; one that hangs ends with the process.
pub(super) struct PipelinesPart(pub(super) Pipelines);

#[async_trait(?Send)]
impl Part for PipelinesPart {
    fn name(&self) -> &'static str {
        "reading and publishing"
    }

    fn phase(&self) -> Phase {
        Phase::LeaveGroups
    }

    async fn stop(self: Box<Self>, shutdown: &Shutdown) {
        let shutdown = *shutdown;
        let _ = tokio::task::spawn_blocking(move || self.0.stop(shutdown)).await;
    }
}

/// The HTTP server. It ends while the actors still work: who has asked is answered.
pub(super) struct HttpPart(pub(super) ApiServer);

#[async_trait(?Send)]
impl Part for HttpPart {
    fn name(&self) -> &'static str {
        "the HTTP server"
    }

    fn phase(&self) -> Phase {
        Phase::Drain
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        self.0.stop().await;
    }
}

/// Trying again what failed. A shutdown does not wait for the next try.
pub(super) struct RetriesPart(pub(super) Arc<Actors>);

#[async_trait(?Send)]
impl Part for RetriesPart {
    fn name(&self) -> &'static str {
        "retries"
    }

    fn phase(&self) -> Phase {
        Phase::Drain
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        self.0.stop_retrying();
    }
}

/// A task that goes on until the node ends.
pub(super) struct TaskPart(pub(super) JoinHandle<()>);

#[async_trait(?Send)]
impl Part for TaskPart {
    fn name(&self) -> &'static str {
        "a task"
    }

    fn phase(&self) -> Phase {
        Phase::Drain
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {}
}

impl Drop for TaskPart {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The reader of glossaries, which ends by itself once it is dropped.
pub(super) struct GlossariesPart(pub(super) GlossaryReader);

#[async_trait(?Send)]
impl Part for GlossariesPart {
    fn name(&self) -> &'static str {
        "the reader of glossaries"
    }

    fn phase(&self) -> Phase {
        Phase::StopActors
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        drop(self.0);
    }
}

/// Acceptance of work: ends first, and other nodes are notified.
pub(super) struct AvailabilityPart {
    pub(super) commands: Arc<CommandHandler>,
    pub(super) cluster: Option<Arc<Cluster>>,
}

#[async_trait(?Send)]
impl Part for AvailabilityPart {
    fn name(&self) -> &'static str {
        "taking work"
    }

    fn phase(&self) -> Phase {
        Phase::Drain
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {
        self.commands.close();
        if let Some(cluster) = &self.cluster {
            cluster.set_draining();
        }
    }
}
