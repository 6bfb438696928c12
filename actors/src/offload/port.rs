//! Ports between a pool and its peers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use babelmesh_engine_protocol::{Segment, Translation};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    batch_budget::BatchBudget, domain::SpanRef, engine::EngineBatch, peer_error::PeerError,
};

/// The other nodes, as far as the pools of this one are concerned.
pub trait Peers: Send + Sync {
    /// Reachable peers with a pool of this model (identical files), with their last offer. A missing peer is gone: its
    /// batches are recalled at once. Called often; must not block.
    fn offers(&self, model: &str) -> Vec<PeerOffer>;

    /// A way to a peer's pool of this model, used by one remote worker for one batch at a time. None when the peer is gone.
    fn link(&self, model: &str, node: &str) -> Option<Box<dyn PeerLink>>;
}

/// A node without peers.
impl Peers for () {
    fn offers(&self, _: &str) -> Vec<PeerOffer> {
        Vec::new()
    }

    fn link(&self, _: &str, _: &str) -> Option<Box<dyn PeerLink>> {
        None
    }
}

/// A peer and what its pool offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerOffer {
    /// The peer's name.
    pub node: Arc<str>,
    /// The offer of its pool, from its [`PoolStatus`](crate::pool::PoolStatus).
    pub offer: Offer,
    /// From a request to its answer when nothing is to be done, as measured on the way to this peer.
    pub round_trip: Duration,
}

/// The current offer of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Batches that it takes at once, those that it already has included. Zero when its own work needs all of it.
    pub credits: u32,
    /// Estimated tokens that one of its model actors does in a second.
    pub tokens_per_second: f64,
    /// Largest batch that it takes.
    pub batch: BatchBudget,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            credits: 0,
            tokens_per_second: 0.0,
            batch: BatchBudget::default(),
        }
    }
}

/// The way to a peer's pool.
#[async_trait]
pub trait PeerLink: Send {
    /// Has a batch translated: one translation per segment, in order. Dropping the future recalls the batch: the peer
    /// is notified, and a later answer is discarded.
    ///
    /// # Errors
    /// Any [`PeerError`]. The batch is then done by the pool itself, so nothing is lost by giving up early.
    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, PeerError>;
}

/// Where the answer to a [`OffloadRequest`] goes.
pub type OffloadReply = oneshot::Sender<Result<Vec<Translation>, PeerError>>;

/// A batch of a peer, for [`PoolMessage::Lend`](crate::pool::PoolMessage::Lend). It waits behind the pool's own work, and only as
/// many are taken as were offered.
#[derive(Debug)]
pub struct OffloadRequest {
    /// The node it comes from.
    pub from: Arc<str>,
    /// Names what its translations depend on, as the pool's own status does; a pool of another space does not take it.
    pub space: String,
    /// What to translate, at least one segment.
    pub segments: Vec<Segment>,
    /// The batch as a span of its node, if sampled there.
    pub span: Option<SpanRef>,
    /// Gets the answer, always: translations in the order of the segments, or an error. Once its receiver is dropped
    /// the batch is cancelled: it leaves the backlog, and an answer is discarded.
    pub reply: OffloadReply,
}
