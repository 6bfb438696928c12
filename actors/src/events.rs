//! What happens in the actors, as typed events. An [`Observer`] turns them into logs, metrics, traces or a picture on a
//! terminal; the actors know none of these.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{ErrorCode, JobOutcome, Lane},
    scaling::Decision,
};

/// Something that happened in a pool or its intake.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A model actor was spawned; its engine starts now.
    ActorSpawned {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
    },
    /// A model actor answered its warm-up and takes batches.
    ActorReady {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
        /// Process of its engine, when it is one.
        pid: Option<u32>,
        /// Numeric type in use, in the engine's words.
        numeric: String,
        /// From spawn to ready.
        cold_start: Duration,
    },
    /// A model actor ended as it was told to.
    ActorStopped {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
        /// Why it was told to.
        reason: StopReason,
    },
    /// A model actor or its engine failed.
    ActorFailed {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
        /// What happened.
        error: String,
        /// Segments of the batch it had, which go back to the backlog.
        requeued: usize,
        /// Delay before a new one is spawned.
        restart_in: Duration,
    },
    /// A batch was translated.
    BatchDone {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
        /// Segments.
        segments: usize,
        /// Estimated source tokens.
        tokens: u32,
        /// From hand-over to answer.
        elapsed: Duration,
        /// How long its oldest segment had waited.
        waited: Duration,
    },
    /// A text made the engine fail, alone and repeatedly.
    TextPoisoned {
        /// Pool (model id).
        pool: Arc<str>,
        /// Message that holds the text.
        message_id: String,
        /// What the engine did last.
        error: String,
    },
    /// The policy changed the number of actors wanted.
    Scaled {
        /// Pool (model id).
        pool: Arc<str>,
        /// Number wanted before.
        from: usize,
        /// Decision, with its reason and inputs.
        decision: Decision,
    },
    /// Jobs lost their use before they were translated.
    JobsExpired {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many.
        jobs: usize,
    },
    /// The senders of jobs went away before these reached an engine.
    JobsAbandoned {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many.
        jobs: usize,
    },
    /// Jobs failed in a way that may heal and are tried again later.
    JobsRetried {
        /// How they failed.
        code: ErrorCode,
        /// How often they were tried before.
        tries: u32,
        /// How many.
        jobs: usize,
        /// When they are tried again.
        after: Duration,
    },
    /// An engine wrote a line to standard error.
    EngineSaid {
        /// Pool (model id).
        pool: Arc<str>,
        /// The line.
        line: String,
    },
    /// Queued work is above the high-water mark; the intake reads no more.
    IntakePaused {
        /// Queued tokens.
        tokens: u64,
    },
    /// Queued work is below the low-water mark; the intake reads again.
    IntakeResumed {
        /// Queued tokens.
        tokens: u64,
    },
    /// A message was accepted into a lane.
    Accepted {
        /// The lane.
        lane: Lane,
        /// How many at once.
        jobs: usize,
    },
}

/// Why a model actor was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Fewer actors are wanted.
    ScaledDown,
    /// Its engine's memory went past the limit.
    MemoryLimit,
    /// The pool is being drained.
    Drained,
}

/// Receives events. Called from actors: must not block.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: &Event);

    /// Sees jobs that end, before their senders do: in a pool, or in the intake before any. A job that is tried again is
    /// seen each time.
    fn answered(&self, pool: Option<&Arc<str>>, outcomes: &[JobOutcome]) {
        let _ = (pool, outcomes);
    }
}

/// Nobody is looking.
impl Observer for () {
    fn observe(&self, _: &Event) {}
}

/// Several observers, one after the other.
impl Observer for Vec<Arc<dyn Observer>> {
    fn observe(&self, event: &Event) {
        for observer in self {
            observer.observe(event);
        }
    }

    fn answered(&self, pool: Option<&Arc<str>>, outcomes: &[JobOutcome]) {
        for observer in self {
            observer.answered(pool, outcomes);
        }
    }
}
