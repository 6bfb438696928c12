//! A snapshot of a pool, taken by its supervisor.
//!
//! A snapshot is plain data: the supervisor fills it, a policy reads it. Everything that counts work
//! counts *estimated tokens*, the unit in which an engine's speed is steady; a job is one text for
//! one target language. Times are durations since the supervisor started, on its own monotonic clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The state of one pool of model actors at one instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolSnapshot {
    /// The pool's actors, by what they are doing.
    pub actors: ActorCounts,
    /// How many actors the operator allows.
    pub bounds: Bounds,
    /// How many *further* actors the node could carry.
    pub ceilings: Ceilings,
    /// Work waiting in the pool's own backlog, by lane.
    pub queued: LaneBacklogs,
    /// Tokens handed to actors and not answered yet.
    pub in_flight_tokens: u64,
    /// Tokens that wait for this pool outside it: messages of the partitions assigned to this node
    /// that the intake has not taken yet, converted to tokens by the mean size of a message.
    pub lag_tokens: u64,
    /// How long the oldest queued job has been waiting, by the lanes' delay targets.
    pub oldest_wait: OldestWaits,
    /// Everything that happened since the supervisor started.
    pub totals: Totals,
    /// Measured time from spawning an actor to its first possible batch; before the first
    /// measurement, the supervisor's prior. It is the `C` of the formulas.
    pub cold_start: Duration,
    /// When the pool last became idle (nothing queued, nothing in flight), as a time since the
    /// supervisor started; `None` while there is work.
    pub idle_since: Option<Duration>,
}

impl PoolSnapshot {
    /// Tokens waiting in the pool's backlog, all lanes together.
    pub fn queued_tokens(&self) -> u64 {
        let LaneBacklogs {
            interactive,
            normal,
            any,
        } = self.queued;
        interactive.tokens + normal.tokens + any.tokens
    }

    /// Jobs waiting in the pool's backlog, all lanes together.
    pub fn queued_jobs(&self) -> u64 {
        let LaneBacklogs {
            interactive,
            normal,
            any,
        } = self.queued;
        interactive.jobs + normal.jobs + any.jobs
    }

    /// Whether anything waits for this pool, inside it or before its intake.
    pub fn has_waiting_work(&self) -> bool {
        self.queued_jobs() > 0 || self.queued_tokens() > 0 || self.lag_tokens > 0
    }

    /// The largest pool that both the operator and the node allow now.
    ///
    /// The node's ceilings count actors that could be *added*, so they never ask for fewer actors
    /// than there are; the operator's maximum does.
    pub fn most_actors(&self) -> u32 {
        self.actors
            .owned()
            .saturating_add(self.ceilings.room())
            .min(self.bounds.max)
    }
}

/// A pool's actors, by what they are doing. Each actor is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorCounts {
    /// Warm and without a batch.
    pub ready: u32,
    /// Working on a batch.
    pub busy: u32,
    /// Spawned and not warm yet. An actor that waits for its restart after a crash counts here, or
    /// every crash would look like a pool too small.
    pub starting: u32,
    /// Told to stop, finishing its last batch. It takes no new work.
    pub draining: u32,
}

impl ActorCounts {
    /// Actors that can take a batch, now or after the one they have: the `n` of the delay estimate.
    pub fn warm(&self) -> u32 {
        self.ready + self.busy
    }

    /// Actors that the pool has or will have: what a decision's target is compared with. Draining
    /// actors are on their way out and do not count.
    pub fn owned(&self) -> u32 {
        self.ready + self.busy + self.starting
    }
}

/// The smallest and the largest pool that the operator allows, in actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The smallest pool. Zero lets a pool without work give back all its memory.
    pub min: u32,
    /// The largest pool.
    pub max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { min: 1, max: 1 }
    }
}

/// How many additional actors the node has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Further actors whose threads still find a core each.
    pub cores: u32,
    /// Further actors whose measured memory still fits the node's budget.
    pub memory: u32,
}

impl Ceilings {
    /// No ceiling: only the operator's bounds count.
    pub const NONE: Self = Self {
        cores: u32::MAX,
        memory: u32::MAX,
    };

    /// Further actors that every ceiling allows.
    pub fn room(&self) -> u32 {
        self.cores.min(self.memory)
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self::NONE
    }
}

/// Work waiting in the pool's backlog, by lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneBacklogs {
    /// Interactive work.
    pub interactive: LaneBacklog,
    /// Ordinary conversations.
    pub normal: LaneBacklog,
    /// Bulk: the conversation named `any`.
    pub any: LaneBacklog,
}

impl LaneBacklogs {
    /// Tokens in the lanes that have the short delay target (interactive and normal).
    pub fn prompt_tokens(&self) -> u64 {
        self.interactive.tokens + self.normal.tokens
    }
}

/// Work waiting in one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneBacklog {
    /// Waiting jobs.
    pub jobs: u64,
    /// Their estimated tokens.
    pub tokens: u64,
}

/// The wait of the oldest queued job; zero where nothing waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldestWaits {
    /// Of the interactive and the normal lane.
    pub prompt: Duration,
    /// Of the any lane.
    pub any: Duration,
}

/// Counters that only grow, from the start of the supervisor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tokens that entered the backlog. A batch put back after a crash is not counted again.
    pub arrived_tokens: u64,
    /// Tokens whose jobs got their answer.
    pub completed_tokens: u64,
    /// Jobs that entered the backlog.
    pub arrived_jobs: u64,
    /// Jobs that got their answer.
    pub completed_jobs: u64,
    /// Time spent on batches, summed over all actors. A batch's time is added when the batch ends,
    /// together with its tokens, so that the quotient of the two is not biased by batches under way;
    /// a failed batch adds its time and no tokens.
    pub busy: Duration,
}
