//! The pool of one model: a supervisor actor, its backlog, and the model actors that it spawns and stops.

mod alternatives;
mod autoscaler;
mod backlog;
mod batching;
mod budget;
mod capacity;
mod closing;
mod command;
mod coordinator;
mod dedup;
mod failure;
mod health;
mod item;
mod jobs;
mod lag;
mod message;
mod model_actor;
mod peer_queue;
mod pool_events;
mod pressure;
mod queue;
mod remote_workers;
mod sharing;
mod spec;
mod status;
mod supervisor;
mod workers;

pub use alternatives::Alternatives;
pub use backlog::{Backlog, BatchLimits, DEFAULT_WEIGHTS, LaneLoad};
pub use batching::BatchBudget;
pub use budget::{BudgetHandle, NodeBudget, Notice, Permit, Slot};
pub use command::{Applied, BoundsError, Unloaded};
pub use dedup::Found;
pub use failure::{
    AfterFailure, Attempt, BROKEN_AFTER, Condition, POISON_AFTER, after_failure, is_broken,
    restart_delay,
};
pub use health::ConditionWatch;
pub use item::Item;
pub(crate) use jobs::ParsedText;
pub use jobs::Submission;
pub use lag::PoolLag;
pub use message::PoolMessage;
pub use sharing::{PoolSpeed, SharingConfig, adapted, expected_time, limits, refuse};
pub use spec::{DEFAULT_MIN_PIECE_TOKENS, PoolSpec, PoolStart};
pub use status::{
    ActorPhase, ActorStatus, LaneStatus, PausedStatus, PeerQueueStatus, PoolStatus,
    RemoteWorkerStatus,
};
pub use supervisor::PoolSupervisor;
