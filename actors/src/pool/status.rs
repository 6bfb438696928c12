//! What a pool tells about itself.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{Lanes, Language},
    offload::{Offer, OffloadReason},
    routing::Ability,
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
    /// What the model can do.
    #[serde(default)]
    pub ability: Option<Ability>,
    /// Names everything that its translations depend on beside text and languages; empty until an engine has reported its numeric type, and
    /// while engines of this pool differ in it.
    #[serde(default)]
    pub space: String,
    /// Name of the scaling policy.
    pub policy: String,
    /// Number of actors wanted.
    pub wanted: u32,
    /// Whether the pool rests: it has no actor, needs none, and its last start did not fail.
    #[serde(default)]
    pub resting: bool,
    /// Fewest and most actors.
    pub bounds: [u32; 2],
    /// The actors.
    pub actors: Vec<ActorStatus>,
    /// What waits.
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
    /// Whether that failure cannot heal by itself and the pool has no actor, so that its jobs are answered with an error at once.
    #[serde(default)]
    pub broken: bool,
    /// Help that it has from peers.
    #[serde(default)]
    pub guests: Vec<GuestStatus>,
    /// Why it has or has not asked peers for help.
    #[serde(default)]
    pub offload: OffloadReason,
    /// What it offers to peers.
    #[serde(default)]
    pub offer: Offer,
    /// What it does for peers.
    #[serde(default)]
    pub loans: LoanStatus,
    /// Languages whose jobs are held back, and how much.
    #[serde(default)]
    pub held: HeldStatus,
}

/// A place in a peer's pool that works for this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestStatus {
    /// Its name, as in results.
    pub name: String,
    /// The peer.
    pub node: String,
    /// What it does.
    pub phase: ActorPhase,
    /// Batches done.
    pub batches: u64,
}

/// What a pool does for peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoanStatus {
    /// Batches of peers that wait.
    pub queued: usize,
    /// Batches of peers that model actors have.
    pub in_flight: usize,
    /// Batches done for peers since the start.
    pub batches: u64,
    /// Estimated tokens of these.
    pub tokens: u64,
    /// Batches refused, given back or failed since the start.
    pub refused: u64,
}

/// What is held back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldStatus {
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
    /// What it does.
    pub phase: ActorPhase,
    /// Process of its engine.
    pub pid: Option<u32>,
    /// Resident bytes of its engine, when last looked at.
    pub resident_bytes: u64,
    /// Numeric type in use, in the engine's words.
    pub numeric: Option<String>,
    /// Batches done.
    pub batches: u64,
}

/// What a model actor does.
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
