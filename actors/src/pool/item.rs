//! One piece of one job, as the queue, batches and the in-flight table know it.

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
    /// The language that it is wanted in.
    pub target: Language,
    /// Its lane.
    pub lane: Lane,
    /// Its client.
    pub client: ClientId,
    /// When it was queued.
    pub queued: Instant,
    /// Cache key of its text, if caching is enabled.
    pub key: Option<CacheKey>,
    /// What had been remembered when its translation was last looked for: see [`SingleFlight`](super::dedup::SingleFlight).
    pub(super) looked_up: LookedUp,
}

/// How far the memory of translations had come when a piece was looked for in it; zero for a piece that was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct LookedUp(pub(super) u64);
