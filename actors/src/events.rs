//! What happens in the actors, as typed events. An [`Observer`] turns them into logs, metrics, traces or a picture on a
//! terminal; the actors know none of these.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{ErrorCode, JobOutcome, Lane, Language, SpanRef, Trace},
    offload::{GuestStop, OffloadReason, PeerError},
    scaling::{Bounds, Decision},
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
        /// How much of it the warm-up took.
        warm_up: Duration,
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
    /// Pieces of texts needed no engine.
    PiecesKnown {
        /// Pool (model id).
        pool: Arc<str>,
        /// Where their translations are from.
        source: PieceSource,
        /// How many.
        pieces: usize,
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
    /// Handling one record or text panicked. Nothing else was disturbed, and the record was answered or dead-lettered.
    PanicContained {
        /// What was being done.
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
    /// An operator changed the bounds of a pool.
    BoundsSet {
        /// Pool (model id).
        pool: Arc<str>,
        /// Bounds before.
        from: Bounds,
        /// Bounds from now on.
        to: Bounds,
    },
    /// The answer to whether a pool asks its peers for help has changed.
    OffloadChanged {
        /// Pool (model id).
        pool: Arc<str>,
        /// Answer before.
        from: OffloadReason,
        /// Answer from now on.
        to: OffloadReason,
        /// Guests that it has.
        guests: usize,
    },
    /// A place in a peer's pool begins to work for this one.
    GuestStarted {
        /// Pool (model id).
        pool: Arc<str>,
        /// Name of the guest.
        guest: Arc<str>,
        /// The peer.
        peer: Arc<str>,
    },
    /// A guest was sent away.
    GuestStopped {
        /// Pool (model id).
        pool: Arc<str>,
        /// Name of the guest.
        guest: Arc<str>,
        /// The peer.
        peer: Arc<str>,
        /// Why.
        reason: GuestStop,
    },
    /// A guest failed, or its batch was taken back.
    GuestFailed {
        /// Pool (model id).
        pool: Arc<str>,
        /// Name of the guest.
        guest: Arc<str>,
        /// The peer.
        peer: Arc<str>,
        /// What happened.
        error: String,
        /// Segments of the batch it had, which go back to the front.
        requeued: usize,
    },
    /// A model actor did a batch of a peer.
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
        /// Why, as the peer is told.
        error: PeerError,
    },
    /// A pool has ended because its model was unloaded.
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
    /// A model is not used for new jobs any more.
    ModelUnloading {
        /// Model id.
        model: Arc<str>,
    },
    /// Jobs into a language are held back from now on.
    LanguagePaused {
        /// The language.
        target: Language,
    },
    /// Jobs into a language are done again.
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

/// Why a model actor was told to stop.
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
pub struct WatchedBatch<'a> {
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

/// Watches one batch from its hand-over to its end. Dropped without [`ended`](Self::ended) it was given up.
pub trait BatchWatch: Send {
    /// The batch as a span.
    fn span(&self) -> SpanRef;

    /// It was answered, or failed.
    fn ended(self: Box<Self>, error: Option<&str>);
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

    /// A batch with watched jobs begins. Whoever shows it gets to see its end.
    fn batch(&self, batch: &WatchedBatch<'_>) -> Option<Box<dyn BatchWatch>> {
        let _ = batch;
        None
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

    /// The first that shows it.
    fn batch(&self, batch: &WatchedBatch<'_>) -> Option<Box<dyn BatchWatch>> {
        self.iter().find_map(|observer| observer.batch(batch))
    }
}
