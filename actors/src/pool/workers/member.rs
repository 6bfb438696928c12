//! One model actor, as its pool knows it.

use std::{fmt::Display, sync::Arc};

use babelmesh_engine_protocol::LoadReport;
use ractor::ActorRef;
use tokio::time::Instant;

use crate::{
    domain::Lane,
    engine::{EngineBatch, Usage},
    events::BatchSpan,
};

use crate::pool::{
    budget::{Permit, Slot},
    failure::Attempt,
    message::ModelMessage,
    peer_queue::PeerBatch,
    status::{ActorPhase, ActorStatus},
};

/// One model actor.
pub(super) struct Member {
    actor: ActorRef<ModelMessage>,
    name: Arc<str>,
    phase: Phase,
    usage: Usage,
    numeric: Option<String>,
    batches: u64,
    permit: Permit,
}

/// State of a model actor, with its batch.
pub(super) enum Phase {
    Starting,
    Idle,
    Busy(Box<InFlight>),
    Draining,
}

/// A batch that an actor is processing. The pool keeps it, so nothing is lost if the actor fails.
pub(in crate::pool) struct InFlight {
    pub(in crate::pool) work: Work,
    pub(in crate::pool) tokens: u32,
    pub(in crate::pool) lane: Lane,
    /// When its oldest item was queued.
    pub(in crate::pool) oldest: Instant,
    /// When the actor got it.
    pub(in crate::pool) since: Instant,
    /// The cores that the batch keeps busy.
    pub(in crate::pool) _slot: Slot,
    /// Its span, if a job in it is sampled.
    pub(in crate::pool) watch: Option<Box<dyn BatchSpan>>,
}

/// Whose batch it is.
pub(in crate::pool) enum Work {
    /// The pool's own.
    Own(Attempt),
    /// A peer's.
    Lent(PeerBatch),
    /// Not part of a job: it shows which stand-ins for tokens the model copies.
    Probe,
}

/// A model actor that failed.
pub(in crate::pool) struct LostWorker {
    pub(in crate::pool) name: Arc<str>,
    /// Whether its engine was never warm.
    pub(in crate::pool) was_starting: bool,
    /// The batch that it had.
    pub(in crate::pool) batch: Option<InFlight>,
}

impl InFlight {
    /// Ends the span of the batch.
    pub(in crate::pool) fn unwatch(&mut self, error: Option<&dyn Display>) {
        if let Some(watch) = self.watch.take() {
            watch.ended(error.map(|error| error.to_string()).as_deref());
        }
    }

    /// Items of the pool's own in it.
    pub(in crate::pool) fn own_items(&self) -> usize {
        match &self.work {
            Work::Own(attempt) => attempt.items.len(),
            Work::Lent(_) | Work::Probe => 0,
        }
    }
}

impl Member {
    pub(super) fn new(actor: ActorRef<ModelMessage>, name: Arc<str>, permit: Permit) -> Self {
        Self {
            actor,
            name,
            phase: Phase::Starting,
            usage: Usage::default(),
            numeric: None,
            batches: 0,
            permit,
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) const fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(super) fn numeric(&self) -> Option<&str> {
        self.numeric.as_deref()
    }

    pub(super) fn batch(&self) -> Option<&InFlight> {
        match &self.phase {
            Phase::Busy(batch) => Some(batch),
            _ => None,
        }
    }

    /// Its engine is warm.
    pub(super) fn ready(&mut self, report: &LoadReport, usage: Usage) {
        if matches!(self.phase, Phase::Starting) {
            self.phase = Phase::Idle;
        }
        self.usage = usage;
        self.numeric = Some(report.numeric.clone());
        if usage.resident_bytes > 0 {
            self.permit.measured(usage.resident_bytes);
        }
    }

    /// Assigns a batch.
    pub(super) fn assign(&mut self, batch: EngineBatch, in_flight: InFlight) {
        self.phase = Phase::Busy(Box::new(in_flight));
        // If the actor is gone, its supervision event returns the batch.
        let _ = self.actor.cast(ModelMessage::Translate(batch));
    }

    /// It answered its batch, if it has one.
    pub(super) fn answered(&mut self, usage: Usage) -> Option<InFlight> {
        let batch = self.take_batch()?;
        self.usage = usage;
        self.batches += 1;
        Some(batch)
    }

    fn take_batch(&mut self) -> Option<InFlight> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Busy(batch) => Some(*batch),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Stops it.
    pub(super) fn retire(&mut self) {
        self.phase = Phase::Draining;
        let _ = self.actor.cast(ModelMessage::Retire);
    }

    /// Handles the failure of the actor and releases its memory.
    pub(super) fn lost(mut self) -> LostWorker {
        LostWorker {
            was_starting: matches!(self.phase, Phase::Starting),
            batch: self.take_batch(),
            name: self.name,
        }
    }

    pub(super) fn status(&self) -> ActorStatus {
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
}
