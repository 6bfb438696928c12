//! Typed events of the actors. An [`Observer`] turns them into logs, metrics, traces or terminal output; the actors
//! depend on none of these.

mod sentences;

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{ErrorCode, JobOutcome, Lane, Language, ModelType, SpanRef, Trace},
    offload::{OffloadReason, PeerError, RemoteWorkerStop},
    scaling::{Bounds, Decision},
};

pub use sentences::SentenceCounts;

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
        /// How much of it the warm-up took.
        warm_up: Duration,
    },
    /// A model actor ended as it was told to.
    ActorStopped {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
        /// The reason.
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
    /// Pieces of texts needed no engine.
    PiecesKnown {
        /// Pool (model id).
        pool: Arc<str>,
        /// Where their translations are from.
        source: PieceSource,
        /// How many.
        pieces: usize,
    },
    /// Sentences were translated and checked.
    SentencesChecked {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many, and what was found.
        counts: SentenceCounts,
    },
    /// A model could not take pieces of texts whole, or did not finish their translation. They are cut and translated again, or their texts
    /// answered with an error.
    PiecesTruncated {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many.
        pieces: usize,
        /// How many of them could not be cut any further.
        given_up: usize,
    },
    /// A text made the engine fail, alone and repeatedly.
    TextPoisoned {
        /// Pool (model id).
        pool: Arc<str>,
        /// Message that holds the text.
        message_id: String,
        /// The last engine error.
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
    /// Handling one record or text panicked. Nothing else was disturbed, and the record was answered or dead-lettered.
    PanicContained {
        /// The operation.
        stage: Stage,
        /// Message and place of the panic.
        panic: String,
    },
    /// Jobs were refused because they could not have been done before their deadlines.
    JobsRefused {
        /// Model id.
        pool: Arc<str>,
        /// How many.
        jobs: usize,
    },
    /// None of a pool's engines is warm, and starting them fails or takes too long: its jobs go to other models for now.
    PoolBroken {
        /// Pool (model id).
        pool: Arc<str>,
        /// Why.
        error: String,
    },
    /// An engine of a pool that was broken is warm again.
    PoolRestored {
        /// Pool (model id).
        pool: Arc<str>,
    },
    /// A broken pool handed jobs back that another model can do.
    JobsHandedOver {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many.
        jobs: usize,
    },
    /// Job deadlines expired before translation.
    JobsExpired {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many.
        jobs: usize,
    },
    /// Jobs were abandoned by their senders before inference.
    JobsAbandoned {
        /// Pool (model id).
        pool: Arc<str>,
        /// How many.
        jobs: usize,
    },
    /// Jobs failed transiently and are retried later.
    JobsRetried {
        /// How they failed.
        code: ErrorCode,
        /// How often they were tried before.
        tries: u32,
        /// How many.
        jobs: usize,
        /// When they are retried.
        after: Duration,
    },
    /// An operator changed the bounds of a pool.
    BoundsSet {
        /// Pool (model id).
        pool: Arc<str>,
        /// Bounds before.
        from: Bounds,
        /// Bounds from now on.
        to: Bounds,
    },
    /// The offload reason of a pool has changed.
    OffloadChanged {
        /// Pool (model id).
        pool: Arc<str>,
        /// Answer before.
        from: OffloadReason,
        /// Answer from now on.
        to: OffloadReason,
        /// Number of its remote workers.
        guests: usize,
    },
    /// A remote worker was started.
    RemoteWorkerStarted {
        /// Pool (model id).
        pool: Arc<str>,
        /// Name of the remote worker.
        guest: Arc<str>,
        /// The peer.
        peer: Arc<str>,
    },
    /// A remote worker was stopped.
    RemoteWorkerStopped {
        /// Pool (model id).
        pool: Arc<str>,
        /// Name of the remote worker.
        guest: Arc<str>,
        /// The peer.
        peer: Arc<str>,
        /// Why.
        reason: RemoteWorkerStop,
    },
    /// A remote worker failed, or its batch was recalled.
    RemoteWorkerFailed {
        /// Pool (model id).
        pool: Arc<str>,
        /// Name of the remote worker.
        guest: Arc<str>,
        /// The peer.
        peer: Arc<str>,
        /// What happened.
        error: String,
        /// Segments of the batch it had, which go back to the front.
        requeued: usize,
    },
    /// A model actor completed a batch of a peer.
    LoanDone {
        /// Pool (model id).
        pool: Arc<str>,
        /// Actor name.
        actor: Arc<str>,
        /// The peer.
        peer: Arc<str>,
        /// Segments.
        segments: usize,
        /// Estimated source tokens.
        tokens: u32,
        /// From hand-over to answer.
        elapsed: Duration,
    },
    /// A batch of a peer was refused, given back, or failed.
    LoanRefused {
        /// Pool (model id).
        pool: Arc<str>,
        /// The peer.
        peer: Arc<str>,
        /// The reason sent to the peer.
        error: PeerError,
    },
    /// A pool has ended because its model was unloaded or replaced.
    PoolClosed {
        /// Pool (model id).
        pool: Arc<str>,
        /// Jobs that were not finished in time and were handed back.
        handed_back: usize,
    },
    /// A model can be used from now on.
    ModelLoaded {
        /// Model id.
        model: Arc<str>,
    },
    /// A new version of a model takes the jobs from now on; the old one finishes what it has.
    ModelReplaced {
        /// Model id.
        model: Arc<str>,
    },
    /// A model is being unloaded and takes no new jobs.
    ModelUnloading {
        /// Model id.
        model: Arc<str>,
    },
    /// A target language was paused.
    LanguagePaused {
        /// The language.
        target: Language,
    },
    /// A target language was resumed.
    LanguageResumed {
        /// The language.
        target: Language,
    },
    /// An engine wrote a line to standard error.
    EngineSaid {
        /// Pool (model id).
        pool: Arc<str>,
        /// The line.
        line: String,
    },
    /// Queued work is above the high-water mark; consumption pauses.
    IntakePaused {
        /// Queued tokens.
        tokens: u64,
    },
    /// Queued work is below the low-water mark; consumption resumes.
    IntakeResumed {
        /// Queued tokens.
        tokens: u64,
    },
    /// A job of a pair without a working model is translated over this language.
    Pivoted {
        /// The pivot.
        pivot: Language,
    },
    /// A translation of low confidence was made again.
    Escalated {
        /// The tier of the first model.
        from: ModelType,
        /// The tier of the second model; `None` where it did not translate the text in time, so that the first translation was delivered.
        to: Option<ModelType>,
    },
    /// A message was accepted into a lane.
    Accepted {
        /// The lane.
        lane: Lane,
        /// How many at once.
        jobs: usize,
    },
}

/// Where the translation of a piece is from that needed no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceSource {
    /// The node's own memory.
    Memory,
    /// The memory that nodes share.
    Shared,
    /// A batch that had the same text.
    Twin,
}

impl PieceSource {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Twin => "twin",
        }
    }
}

/// Where a record or a text was when handling it panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Read from Kafka: decoding and splitting.
    Read,
    /// In the intake: routing, detecting the language, cutting into pieces.
    Intake,
    /// In a pool: cutting a piece again, joining translations.
    Pool,
    /// In the publisher: making records of an outcome.
    Publish,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Intake, Self::Pool, Self::Publish];

    /// The name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Intake => "intake",
            Self::Pool => "pool",
            Self::Publish => "publish",
        }
    }
}

/// Why a model actor was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Fewer actors are wanted.
    ScaledDown,
    /// Its engine's memory went past the limit.
    MemoryLimit,
    /// The node's memory is short and another pool has work.
    Evicted,
    /// The pool is being drained.
    Drained,
}

/// A batch that is handed over and has something in it that is watched.
#[derive(Debug, Clone, Copy)]
pub struct TracedBatch<'a> {
    /// Pool (model id).
    pub pool: &'a Arc<str>,
    /// Name of the actor, or of the guest.
    pub actor: &'a Arc<str>,
    /// The peer that works on it, if one does.
    pub at: Option<&'a Arc<str>>,
    /// Segments.
    pub segments: usize,
    /// Estimated source tokens.
    pub tokens: u32,
    /// How long its oldest segment had waited.
    pub waited: Duration,
    /// The watched jobs in it, each once.
    pub jobs: &'a [Arc<Trace>],
    /// The peer that it is done for, and what the batch is there.
    pub lent_by: Option<(&'a Arc<str>, SpanRef)>,
}

/// The span of one batch. Dropped without [`ended`](Self::ended), the batch was abandoned.
pub trait BatchSpan: Send {
    /// The batch as a span.
    fn span(&self) -> SpanRef;

    /// It was answered, or failed.
    fn ended(self: Box<Self>, error: Option<&str>);
}

/// Receives events. Called from actors: must not block.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: &Event);

    /// Sees jobs that end, before their senders do: in a pool, or in the intake before any. A retried job is seen at
    /// each attempt.
    fn answered(&self, pool: Option<&Arc<str>>, outcomes: &[JobOutcome]) {
        let _ = (pool, outcomes);
    }

    /// A batch with sampled jobs begins. Returns a span to be ended with the batch.
    fn batch(&self, batch: &TracedBatch<'_>) -> Option<Box<dyn BatchSpan>> {
        let _ = batch;
        None
    }
}

/// An observer that ignores everything.
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

    /// The first that shows it.
    fn batch(&self, batch: &TracedBatch<'_>) -> Option<Box<dyn BatchSpan>> {
        self.iter().find_map(|observer| observer.batch(batch))
    }
}
