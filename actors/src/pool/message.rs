//! The messages of a pool's actors.

use std::{any::Any, sync::Arc, time::Duration};

use babelmesh_engine_protocol::Translation;
use ractor::{ActorId, RpcReplyPort};

use crate::{
    domain::Language,
    engine::{EngineBatch, EngineError, LoadReport, Usage},
    offload::OffloadRequest,
    scaling::Bounds,
};

use super::{
    alternatives::Alternatives,
    budget::Notice,
    command::{Applied, BoundsError, Unloaded},
    dedup::Found,
    health::ConditionWatch,
    jobs::Submission,
    status::PoolStatus,
};

/// Messages of a pool supervisor.
pub enum PoolMessage {
    /// Translate these. Every one of them ends in its sink, once.
    Submit(Vec<Submission>),
    /// Everything that was sent before has been taken in: drop this.
    Reached(Arc<dyn Any + Send + Sync>),
    /// A model actor has something to say.
    Report {
        /// Which one.
        actor: ActorId,
        /// What.
        report: Report,
    },
    /// Result of a shared cache lookup. Sent by the pool to itself.
    Found(Found),
    /// Time has passed. Sent by the supervisor to itself, with the number of the chain of ticks.
    Housekeeping(u64),
    /// The node's budget has a slot for the pool, or asks it for memory.
    Budget(Notice),
    /// Tell about the pool.
    Status(RpcReplyPort<PoolStatus>),
    /// Change the bounds of the number of actors.
    SetBounds(Bounds, RpcReplyPort<Result<Applied, BoundsError>>),
    /// Pause or resume a target language. Its jobs wait; deadlines still apply.
    HoldBack {
        /// The language.
        target: Language,
        /// Whether to pause.
        hold: bool,
    },
    /// Tell whether the pool is broken: now if it is, and whenever that changes.
    Watch(ConditionWatch),
    /// The pool is broken: hand back the jobs that these other models can do.
    HandOver(Alternatives),
    /// Do a batch of a peer, behind the pool's own work.
    Lend(OffloadRequest),
    /// Finish what is queued, stop all actors, answer, end.
    Drain(RpcReplyPort<()>),
    /// Drain, but hand back what is still queued after `within`, as failed for now.
    Unload {
        /// How long to go on with what is queued.
        within: Duration,
        /// Reply at the end.
        reply: RpcReplyPort<Unloaded>,
    },
}

impl ractor::Message for PoolMessage {}

/// Keeps the report's type out of the public message.
pub struct Report(pub(super) ModelReport);

/// Messages to a model actor.
pub(super) enum ModelMessage {
    /// Start the engine, load, warm up. Sent by the actor to itself.
    Load,
    /// Translate a batch.
    Translate(EngineBatch),
    /// The engine exited while idle. Sent by the actor to itself.
    Ended(EngineError),
    /// End the engine, then the actor.
    Retire,
}

impl ractor::Message for ModelMessage {}

/// Reports of a model actor. Fatal failures are reported by failing: the supervision event carries an [`EngineError`].
pub(super) enum ModelReport {
    /// The engine is warm.
    Ready(EngineReady),
    /// The engine answered a batch, or refused it and goes on.
    Answered {
        answer: Result<Vec<Translation>, EngineError>,
        usage: Usage,
        elapsed: Duration,
    },
}

/// An engine that is loaded and has answered its warm-up.
pub(super) struct EngineReady {
    pub(super) report: LoadReport,
    pub(super) usage: Usage,
    /// From the actor's start to now.
    pub(super) cold_start: Duration,
    /// How much of it the warm-up took.
    pub(super) warm_up: Duration,
}
