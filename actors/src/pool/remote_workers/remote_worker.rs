//! One remote worker: a model actor whose engine is a slot in a peer's pool.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio::time::Instant;

use crate::{
    engine::EngineBatch,
    events::BatchSpan,
    offload::{PeerError, PeerView, RemoteWorkerState, RemoteWorkerView},
};

use crate::pool::{
    batching::BatchBudget,
    failure::Attempt,
    message::ModelMessage,
    status::{ActorPhase, RemoteWorkerStatus},
};

/// A slot in a peer's pool that the pool has borrowed.
pub(in crate::pool) struct BorrowedSlot {
    pub(super) node: Arc<str>,
    /// Largest batch that the peer takes.
    pub(super) budget: BatchBudget,
    /// How long a usual batch takes, there and back.
    pub(super) trip: Duration,
    /// How long the way there and back takes alone.
    pub(super) round_trip: Duration,
}

impl BorrowedSlot {
    /// Takes what is known of the peer now, where `trip` is how long a usual batch takes.
    pub(super) fn update(&mut self, peer: &PeerView, trip: Duration, own: BatchBudget) {
        self.trip = trip;
        self.round_trip = peer.round_trip;
        self.budget = own.min(peer.offer.batch);
    }
}

/// A model actor whose engine is a peer's.
pub(super) struct RemoteWorker {
    actor: ActorRef<ModelMessage>,
    number: u64,
    name: Arc<str>,
    slot: BorrowedSlot,
    phase: Phase,
    /// When its phase last changed.
    since: Instant,
    /// Whether it ends after its batch.
    leaving: bool,
    batches: u64,
}

/// Its state.
enum Phase {
    Starting,
    Idle,
    Busy(RemoteBatch),
}

/// A batch that a peer has. It stays the pool's.
pub(in crate::pool) struct RemoteBatch {
    pub(in crate::pool) attempt: Attempt,
    pub(in crate::pool) tokens: u32,
    pub(in crate::pool) oldest: Instant,
    /// Its span, if a job in it is sampled.
    pub(in crate::pool) watch: Option<Box<dyn BatchSpan>>,
}

/// A batch that a peer answered.
pub(in crate::pool) struct RemoteDone {
    pub(in crate::pool) batch: RemoteBatch,
    pub(in crate::pool) name: Arc<str>,
    pub(in crate::pool) node: Arc<str>,
    pub(in crate::pool) round_trip: Duration,
    /// When the peer got it.
    pub(in crate::pool) since: Instant,
    /// Whether the worker has to be removed.
    pub(in crate::pool) is_leaving: bool,
}

/// A failed remote worker.
pub(in crate::pool) struct LostRemoteWorker {
    pub(in crate::pool) name: Arc<str>,
    pub(in crate::pool) node: Arc<str>,
    pub(in crate::pool) batch: Option<RemoteBatch>,
    pub(in crate::pool) error: PeerError,
}

impl RemoteWorker {
    pub(super) fn new(
        actor: ActorRef<ModelMessage>,
        number: u64,
        name: Arc<str>,
        slot: BorrowedSlot,
    ) -> Self {
        Self {
            actor,
            number,
            name,
            slot,
            phase: Phase::Starting,
            since: Instant::now(),
            leaving: false,
            batches: 0,
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) const fn node(&self) -> &Arc<str> {
        &self.slot.node
    }

    pub(super) const fn slot(&self) -> &BorrowedSlot {
        &self.slot
    }

    pub(super) const fn slot_mut(&mut self) -> &mut BorrowedSlot {
        &mut self.slot
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting)
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Busy(_))
    }

    fn change_to(&mut self, phase: Phase) -> Option<RemoteBatch> {
        self.since = Instant::now();
        match std::mem::replace(&mut self.phase, phase) {
            Phase::Busy(batch) => Some(batch),
            Phase::Starting | Phase::Idle => None,
        }
    }

    /// The peer answered its warm-up.
    pub(super) fn ready(&mut self) {
        self.change_to(Phase::Idle);
    }

    /// Assigns a batch.
    pub(super) fn assign(&mut self, batch: EngineBatch, in_flight: RemoteBatch) {
        self.change_to(Phase::Busy(in_flight));
        let _ = self.actor.cast(ModelMessage::Translate(batch));
    }

    /// The peer answered its batch, if it has one.
    pub(super) fn answered(&mut self) -> Option<RemoteDone> {
        let since = self.since;
        let batch = self.change_to(Phase::Idle)?;
        self.batches += 1;
        Some(RemoteDone {
            batch,
            name: Arc::clone(&self.name),
            node: Arc::clone(&self.slot.node),
            round_trip: self.slot.round_trip,
            since,
            is_leaving: self.leaving,
        })
    }

    /// Has it take no further batch.
    pub(super) const fn leave(&mut self) {
        self.leaving = true;
    }

    /// Stops it at once. A late answer to its batch is ignored.
    pub(super) fn kill(mut self, error: PeerError) -> LostRemoteWorker {
        self.actor.kill();
        LostRemoteWorker {
            batch: self.change_to(Phase::Idle),
            name: self.name,
            node: self.slot.node,
            error,
        }
    }

    /// Ends it at once; it has no batch.
    pub(super) fn end(self) {
        self.actor.kill();
    }

    pub(super) fn view(&self, started: Instant) -> RemoteWorkerView {
        RemoteWorkerView {
            number: self.number,
            node: Arc::clone(&self.slot.node),
            doing: match &self.phase {
                Phase::Starting => RemoteWorkerState::Starting,
                Phase::Idle => RemoteWorkerState::Idle,
                Phase::Busy(batch) => RemoteWorkerState::Busy(batch.tokens),
            },
            since: self.since.saturating_duration_since(started),
            leaving: self.leaving,
        }
    }

    pub(super) fn status(&self) -> RemoteWorkerStatus {
        RemoteWorkerStatus {
            name: self.name.to_string(),
            node: self.slot.node.to_string(),
            phase: match &self.phase {
                _ if self.leaving => ActorPhase::Draining,
                Phase::Starting => ActorPhase::Starting,
                Phase::Idle => ActorPhase::Idle,
                Phase::Busy(_) => ActorPhase::Busy,
            },
            batches: self.batches,
        }
    }
}
