//! A supervisor's record of its model actors.

use std::{collections::HashMap, fmt::Display, sync::Arc};

use ractor::{ActorId, ActorRef};
use tokio::time::Instant;

use crate::{domain::Lane, engine::Usage, events::BatchWatch, scaling::ActorCounts};

use super::{
    budget::{Permit, Slot},
    failure::Attempt,
    lending::QueuedLoan,
    model_actor::ModelMessage,
    status::{ActorPhase, ActorStatus},
};

/// One model actor.
pub(super) struct Member {
    pub(super) actor: ActorRef<ModelMessage>,
    pub(super) name: Arc<str>,
    pub(super) phase: Phase,
    pub(super) usage: Usage,
    pub(super) numeric: Option<String>,
    pub(super) batches: u64,
    pub(super) permit: Permit,
}

/// What a model actor does, and with what.
pub(super) enum Phase {
    Starting,
    Idle,
    Busy(Box<InFlight>),
    Draining,
}

/// A batch that an actor has. It stays the supervisor's: an actor that dies loses nothing.
pub(super) struct InFlight {
    pub(super) work: Work,
    pub(super) tokens: u32,
    pub(super) lane: Lane,
    pub(super) oldest: Instant,
    pub(super) since: Instant,
    /// The cores that the batch keeps busy.
    pub(super) _slot: Slot,
    /// Whoever shows it, if something in it is watched.
    pub(super) watch: Option<Box<dyn BatchWatch>>,
}

impl InFlight {
    /// Tells whoever shows the batch how it ended.
    pub(super) fn unwatch(&mut self, error: Option<&dyn Display>) {
        if let Some(watch) = self.watch.take() {
            watch.ended(error.map(|error| error.to_string()).as_deref());
        }
    }
}

/// Whose batch it is.
pub(super) enum Work {
    /// The pool's own.
    Own(Attempt),
    /// A peer's.
    Lent(QueuedLoan),
}

impl Work {
    /// Items of the pool's own.
    pub(super) fn own_items(&self) -> usize {
        match self {
            Self::Own(attempt) => attempt.items.len(),
            Self::Lent(_) => 0,
        }
    }
}

/// All model actors of a pool. Guests are none of them.
#[derive(Default)]
pub(super) struct Members {
    pub(super) all: HashMap<ActorId, Member>,
}

impl Members {
    /// An idle actor.
    pub(super) fn idle(&self) -> Option<ActorId> {
        self.all
            .iter()
            .find(|(_, m)| matches!(m.phase, Phase::Idle))
            .map(|(id, _)| *id)
    }

    pub(super) fn counts(&self) -> ActorCounts {
        let mut counts = ActorCounts::default();
        for member in self.all.values() {
            match member.phase {
                Phase::Starting => counts.starting += 1,
                Phase::Idle => counts.ready += 1,
                Phase::Busy(_) => counts.busy += 1,
                Phase::Draining => counts.draining += 1,
            }
        }
        counts
    }

    /// Actors that are busy with bulk work.
    pub(super) fn on_bulk(&self) -> usize {
        self.in_flight()
            .filter(|batch| batch.lane == Lane::Any)
            .count()
    }

    /// Batches of peers that actors have.
    pub(super) fn lent(&self) -> usize {
        self.in_flight()
            .filter(|batch| matches!(batch.work, Work::Lent(_)))
            .count()
    }

    pub(super) fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.all.values().filter_map(|m| match &m.phase {
            Phase::Busy(batch) => Some(batch.as_ref()),
            _ => None,
        })
    }

    /// The actor that is the least loss: one that is not warm yet, else an idle one. A busy one is never taken from its batch.
    pub(super) fn most_dispensable(&self) -> Option<ActorId> {
        let rank = |member: &Member| match member.phase {
            Phase::Starting => Some(0),
            Phase::Idle => Some(1),
            Phase::Busy(_) | Phase::Draining => None,
        };
        let ranked = self.all.iter().filter_map(|(id, m)| Some((rank(m)?, *id)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, id)| id)
    }

    pub(super) fn status(&self) -> Vec<ActorStatus> {
        let mut all: Vec<_> = self.all.values().map(Member::status).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

impl Member {
    fn status(&self) -> ActorStatus {
        ActorStatus {
            name: self.name.to_string(),
            phase: match self.phase {
                Phase::Starting => ActorPhase::Starting,
                Phase::Idle => ActorPhase::Idle,
                Phase::Busy(_) => ActorPhase::Busy,
                Phase::Draining => ActorPhase::Draining,
            },
            pid: self.usage.pid,
            resident_bytes: self.usage.resident_bytes,
            numeric: self.numeric.clone(),
            batches: self.batches,
        }
    }

    /// Takes the batch away from an actor that has one.
    pub(super) fn take_batch(&mut self) -> Option<InFlight> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Busy(batch) => Some(*batch),
            other => {
                self.phase = other;
                None
            }
        }
    }
}
