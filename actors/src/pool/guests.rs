//! Guests: model actors whose engine is a peer's. They are none of the pool's members: nothing that counts those counts them.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio::time::Instant;

use crate::{
    events::BatchWatch,
    offload::{GuestDoing, GuestView},
};

use super::{
    batching::BatchBudget,
    failure::Attempt,
    model_actor::ModelMessage,
    status::{ActorPhase, GuestStatus},
};

/// One place in a peer's pool.
pub(super) struct Guest {
    pub(super) actor: ActorRef<ModelMessage>,
    pub(super) number: u64,
    pub(super) name: Arc<str>,
    pub(super) node: Arc<str>,
    pub(super) phase: GuestPhase,
    /// Since when it does what it does.
    pub(super) since: Instant,
    /// Whether it ends after its batch.
    pub(super) leaving: bool,
    pub(super) batches: u64,
    /// Largest batch that the peer takes.
    pub(super) budget: BatchBudget,
    /// How long a usual batch takes, there and back.
    pub(super) trip: Duration,
    /// How long the way there and back takes alone.
    pub(super) round_trip: Duration,
}

/// What a guest does.
pub(super) enum GuestPhase {
    Starting,
    Idle,
    Busy(Borrowed),
}

/// A batch that a peer has. It stays the pool's.
pub(super) struct Borrowed {
    pub(super) attempt: Attempt,
    pub(super) tokens: u32,
    pub(super) oldest: Instant,
    /// Whoever shows it, if something in it is watched.
    pub(super) watch: Option<Box<dyn BatchWatch>>,
}

impl Guest {
    /// Goes on to something else; returns the batch that it had.
    pub(super) fn turn_to(&mut self, phase: GuestPhase) -> Option<Borrowed> {
        self.since = Instant::now();
        match std::mem::replace(&mut self.phase, phase) {
            GuestPhase::Busy(batch) => Some(batch),
            GuestPhase::Starting | GuestPhase::Idle => None,
        }
    }

    pub(super) fn view(&self, started: Instant) -> GuestView {
        let doing = match &self.phase {
            GuestPhase::Starting => GuestDoing::Starting,
            GuestPhase::Idle => GuestDoing::Idle,
            GuestPhase::Busy(batch) => GuestDoing::Busy(batch.tokens),
        };
        GuestView {
            number: self.number,
            node: Arc::clone(&self.node),
            doing,
            since: self.since.saturating_duration_since(started),
            leaving: self.leaving,
        }
    }

    pub(super) fn status(&self) -> GuestStatus {
        GuestStatus {
            name: self.name.to_string(),
            node: self.node.to_string(),
            phase: match &self.phase {
                _ if self.leaving => ActorPhase::Draining,
                GuestPhase::Starting => ActorPhase::Starting,
                GuestPhase::Idle => ActorPhase::Idle,
                GuestPhase::Busy(_) => ActorPhase::Busy,
            },
            batches: self.batches,
        }
    }
}
