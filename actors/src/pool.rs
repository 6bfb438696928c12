//! The pool of one model: a supervisor actor, its backlog, and the model actors that it spawns and stops.

mod backlog;
mod batching;
mod budget;
mod caching;
mod closing;
mod command;
mod core;
mod dispatching;
mod failover;
mod failure;
mod guests;
mod holding;
mod jobs;
mod lag;
mod lending;
mod member;
mod model_actor;
mod offloading;
mod reports;
mod resting;
mod sharing;
mod sizing;
mod spec;
mod splitting;
mod status;
mod supervisor;
mod sweeping;

pub use backlog::{Backlog, BatchLimits, DEFAULT_WEIGHTS, Item, LaneLoad};
pub use batching::BatchBudget;
pub use budget::{NodeBudget, Notice, Permit, Seat, Slot};
pub use caching::Found;
pub use command::{Applied, BoundsError, Unloaded};
pub use failover::ConditionWatch;
pub use failure::{
    AfterFailure, Attempt, BROKEN_AFTER, Condition, POISON_AFTER, after_failure, is_broken,
    restart_delay,
};
pub(crate) use jobs::Cut;
pub use jobs::Submission;
pub use lag::PoolLag;
pub use sharing::{PoolSpeed, SharingConfig, adapted, expected_time, limits, refuse};
pub use spec::{DEFAULT_MIN_PIECE_TOKENS, PoolSpec};
pub use status::{
    ActorPhase, ActorStatus, GuestStatus, HeldStatus, LaneStatus, LoanStatus, PoolStatus,
};
pub use supervisor::{PoolMessage, PoolStart, PoolSupervisor};
