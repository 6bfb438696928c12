//! How many actors a pool should have.
//!
//! Scaling is arithmetic, kept apart from the actors that carry it out: a supervisor fills a
//! [`PoolSnapshot`], a [`ScalingPolicy`] answers with a [`Decision`], the supervisor spawns or drains
//! actors until the pool is what was decided. There is no clock and no input or output in here, so a
//! year of load is simulated in seconds ([`simulation`]) and every decision can be replayed.
//!
//! Two policies stand behind the one trait:
//!
//! - [`DelayTarget`], the default, keeps the queue delay near a target;
//! - [`Threshold`] is the rule of Meeshy's translator 0.4.9.
//!
//! ```
//! use std::time::Duration;
//! use babelmesh_scaling::{
//!     ActorCounts, Bounds, DelayTarget, DelayTargetConfig, PoolSnapshot, ScalingPolicy,
//! };
//!
//! let mut policy = DelayTarget::new(DelayTargetConfig::default());
//! let mut pool = PoolSnapshot {
//!     actors: ActorCounts { busy: 1, ..Default::default() },
//!     bounds: Bounds { min: 1, max: 8 },
//!     cold_start: Duration::from_secs(2),
//!     ..Default::default()
//! };
//! assert_eq!(policy.decide(&pool, Duration::ZERO).target, 1);
//!
//! // One second later ten thousand tokens have arrived, and the one actor does 500 a second.
//! pool.totals.arrived_tokens = 10_000;
//! pool.queued.normal.tokens = 10_000;
//! let decision = policy.decide(&pool, Duration::from_secs(1));
//! assert_eq!(decision.target, 5);
//! assert_eq!(decision.reason.label(), "delay_excessive");
//! ```

mod config_checks;
mod decision;
mod delay_target;
mod delay_target_config;
mod estimate;
pub mod gain_guard;
pub mod pace;
mod policy;
pub mod simulation;
mod snapshot;
mod threshold;
mod threshold_config;
pub mod window;

#[cfg(test)]
mod delay_target_tests;
#[cfg(test)]
mod properties;

pub use config_checks::{ConfigChecks, ConfigError};
pub use decision::{Decision, Inputs, Reason};
pub use delay_target::DelayTarget;
pub use delay_target_config::DelayTargetConfig;
pub use estimate::{Estimates, LoadEstimator, ServiceRate};
pub use policy::ScalingPolicy;
pub use snapshot::{
    ActorCounts, Bounds, Ceilings, LaneBacklog, LaneBacklogs, OldestWaits, PoolSnapshot, Totals,
};
pub use threshold::Threshold;
pub use threshold_config::{EnvError, Quantization, QueueRule, ThresholdConfig};
