//! The other nodes, as the HTTP edge needs them.

use anyhow::Result;
use async_trait::async_trait;
use babelmesh_actors::{
    domain::{TranslationRequest, TranslationResult},
    remote_nodes::CandidateNodes,
    routing::Capability,
};
use babelmesh_telemetry::{
    command::{Command, CommandDone},
    status::ClusterView,
};

/// The node's part of its cluster. The node implements it; this crate knows no connections.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// The cluster as this node sees it now.
    fn view(&self) -> ClusterView;

    /// What the pools of all nodes that take work can do, this one's included.
    fn capabilities(&self) -> Vec<Capability>;

    /// The nodes that can translate a request, the best one first.
    fn candidate_nodes(&self, request: &TranslationRequest) -> CandidateNodes;

    /// Has a node execute an operator's command.
    async fn command(&self, command: Command) -> Result<CommandDone>;

    /// Has a request translated by these nodes, as a part of what the current task does; `None` when there are none.
    async fn translate_among(
        &self,
        request: TranslationRequest,
        nodes: CandidateNodes,
    ) -> Option<Result<TranslationResult>>;
}
