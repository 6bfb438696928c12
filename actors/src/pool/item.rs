//! One piece of one job, as the queue, batches and the in-flight table know it.

use babelmesh_engine_protocol::Translation;
use tokio::time::Instant;

use crate::{
    cache::CacheKey,
    domain::{ClientId, Lane, Language},
};

/// A queued piece of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// The pool's number of the job.
    pub job: u64,
    /// Which of the job's pieces.
    pub piece: u32,
    /// Estimated tokens, at least 1.
    pub tokens: u32,
    /// Target language.
    pub target: Language,
    /// Its lane.
    pub lane: Lane,
    /// Its client.
    pub client: ClientId,
    /// When its job was queued.
    pub queued: Instant,
    /// Whether its job has begun. Further pieces of such a job go before jobs of its client that have not begun.
    pub has_begun: bool,
    /// Cache key of its text, if caching is enabled.
    pub key: Option<CacheKey>,
    /// Logical time of the last cache lookup of this piece; see [`SingleFlight`](super::dedup::SingleFlight).
    pub(super) looked_up: LookedUp,
}

/// Where a translation is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreKey {
    /// Key of the piece.
    pub(super) piece: CacheKey,
    /// The same with the numeric type that the translation was made in.
    pub(super) made: CacheKey,
}

/// A translation of a piece.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answered {
    pub(super) item: Item,
    pub(super) translation: Translation,
    /// Where to store it once it has passed the checks; `None` if it is already stored or must not be stored.
    pub(super) store: Option<StoreKey>,
}

impl Answered {
    /// A translation that is stored already.
    pub(super) const fn known(item: Item, translation: Translation) -> Self {
        Self {
            item,
            translation,
            store: None,
        }
    }
}

/// A translation that has passed the checks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verified {
    pub(super) store: StoreKey,
    pub(super) translation: Translation,
}

/// Logical time of a cache lookup, counted in cache writes; zero if there was no lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct LookedUp(pub(super) u64);
