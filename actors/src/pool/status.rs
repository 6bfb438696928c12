//! Status of a pool.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{Lanes, Language},
    offload::{Offer, OffloadReason},
    routing::Capability,
    scaling::Decision,
};

/// A pool at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Model id.
    pub model_id: String,
    /// Engine at work.
    pub engine: String,
    /// Capabilities of the model.
    #[serde(default)]
    pub ability: Option<Capability>,
    /// Cache space: everything that its translations depend on besides text and languages; empty until an engine has
    /// reported its numeric type, and while engines of this pool differ in it.
    #[serde(default)]
    pub space: String,
    /// Name of the scaling policy.
    pub policy: String,
    /// Number of actors wanted.
    pub wanted: u32,
    /// Whether the pool is idle at zero actors, and its last start did not fail.
    #[serde(default)]
    pub resting: bool,
    /// Fewest and most actors.
    pub bounds: [u32; 2],
    /// The actors.
    pub actors: Vec<ActorStatus>,
    /// Waiting work.
    pub lanes: Lanes<LaneStatus>,
    /// Jobs that are queued or being translated.
    pub jobs: u64,
    /// Jobs translated since the start.
    pub translated: u64,
    /// Jobs that ended with an error since the start.
    pub failed: u64,
    /// The newest scaling decision.
    pub decision: Option<Decision>,
    /// The newest failure of an actor, if the pool is not yet whole again.
    pub failing: Option<String>,
    /// Whether that failure is permanent and the pool has no actor, so that its jobs are answered with an error at
    /// once.
    #[serde(default)]
    pub broken: bool,
    /// Help that it has from peers.
    #[serde(default)]
    pub guests: Vec<RemoteWorkerStatus>,
    /// Why it borrows or does not.
    #[serde(default)]
    pub offload: OffloadReason,
    /// Its offer to peers.
    #[serde(default)]
    pub offer: Offer,
    /// Batches of peers.
    #[serde(default)]
    pub loans: PeerQueueStatus,
    /// Paused languages, and their waiting work.
    #[serde(default)]
    pub held: PausedStatus,
}

/// A place in a peer's pool that works for this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteWorkerStatus {
    /// Its name, as in results.
    pub name: String,
    /// The peer.
    pub node: String,
    /// Its state.
    pub phase: ActorPhase,
    /// Batches done.
    pub batches: u64,
}

/// Batches of peers in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerQueueStatus {
    /// Batches of peers that wait.
    pub queued: usize,
    /// Batches of peers that model actors have.
    pub in_flight: usize,
    /// Batches done for peers since the start.
    pub batches: u64,
    /// Estimated tokens of these.
    pub tokens: u64,
    /// Batches rejected, returned or failed since the start.
    pub refused: u64,
}

/// Work of paused languages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PausedStatus {
    /// Languages.
    pub targets: Vec<Language>,
    /// Pieces.
    pub segments: usize,
    /// Their estimated tokens.
    pub tokens: u64,
}

/// A lane of the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneStatus {
    /// Pieces waiting.
    pub segments: usize,
    /// Their estimated tokens.
    pub tokens: u64,
    /// How long the oldest has waited, in milliseconds.
    pub oldest_ms: u64,
}

/// A model actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActorStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub phase: ActorPhase,
    /// Process of its engine.
    pub pid: Option<u32>,
    /// Resident bytes of its engine, as last measured.
    pub resident_bytes: u64,
    /// Numeric type in use, in the engine's words.
    pub numeric: Option<String>,
    /// Batches done.
    pub batches: u64,
}

/// State of a model actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorPhase {
    /// Its engine loads.
    Starting,
    /// It waits for a batch.
    Idle,
    /// It translates.
    Busy,
    /// It takes nothing more and ends.
    Draining,
}

impl ActorPhase {
    /// Whether the actor can take a batch, now or after the one it has.
    #[must_use]
    pub const fn is_warm(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }
}
