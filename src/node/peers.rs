//! The cluster, for the HTTP edge.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use babelmesh_actors::{
    domain::{TranslationRequest, TranslationResult},
    remote_nodes::CandidateNodes,
    routing::Capability,
};

use crate::{
    api::Peers,
    cluster::{
        Cluster, ClusterView,
        command::{Command, CommandDone},
    },
};

/// A node's part of the cluster, as the HTTP edge asks it.
pub(super) struct ClusterPeers(pub(super) Arc<Cluster>);

#[async_trait]
impl Peers for ClusterPeers {
    fn view(&self) -> ClusterView {
        self.0.view()
    }

    fn capabilities(&self) -> Vec<Capability> {
        self.0.capabilities()
    }

    fn candidate_nodes(&self, request: &TranslationRequest) -> CandidateNodes {
        self.0.candidate_nodes(request)
    }

    async fn command(&self, command: Command) -> Result<CommandDone> {
        self.0.command(command).await
    }

    async fn translate_among(
        &self,
        request: TranslationRequest,
        nodes: CandidateNodes,
    ) -> Option<Result<TranslationResult>> {
        self.0.translate_among(request, nodes).await
    }
}
