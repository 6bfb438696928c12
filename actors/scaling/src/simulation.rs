//! A discrete-event simulation of one pool.
//!
//! It answers what a policy would do with a load: how long messages would wait, how many actors it
//! would take, when and why the pool would change. Both policies run on the same [`Trace`], so they
//! can be compared message by message; and since simulated time costs nothing, a day is simulated in
//! seconds.
//!
//! What is simulated: messages arrive in three lanes with fair shares; a free actor takes what is
//! queued at once, up to a budget of tokens; a batch takes a fixed time and a time per token, longer
//! when more actors work than there are cores; actors are cold for a while after their start, and
//! finish their batch before they stop. What is not: crashes, deadlines, the intake's lag, and the
//! time that actors take to start while others use the cores.
//!
//! ```
//! use std::time::Duration;
//! use babelmesh_scaling::simulation::{Load, SimulationConfig, Trace, simulate};
//! use babelmesh_scaling::{DelayTarget, DelayTargetConfig};
//!
//! let step = Load::Step { low: 1.0, high: 200.0, from: 30.0, to: 90.0 };
//! let trace = Trace::generate(&step, Duration::from_secs(120), 42);
//! let mut policy = DelayTarget::new(DelayTargetConfig::default());
//! let report = simulate(&SimulationConfig::default(), &trace, &mut policy);
//! assert_eq!(report.lost, 0);
//! assert!(report.peak_actors > 1);
//! ```

mod engine;
mod lanes;
mod report;
#[cfg(test)]
mod tests;
mod trace;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use report::{DelayReport, Report, Scaling};
pub use trace::{Arrival, Load, SimulatedLane, Trace};

use super::policy::ScalingPolicy;
use super::snapshot::Bounds;

/// The simulated pool and node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulationConfig {
    /// The pool's bounds; it starts with `min` warm actors.
    pub bounds: Bounds,
    /// The most actors that the node carries: the ceiling that policies are told of.
    pub most_actors: u32,
    /// Busy actors beyond this many slow all batches down in proportion, without any policy being
    /// told.
    pub cores: u32,
    /// Time from an actor's start to its first batch.
    pub cold_start: Duration,
    /// Time that every batch takes, whatever is in it.
    pub batch_overhead: Duration,
    /// Tokens per second within a batch.
    pub tokens_per_second: f64,
    /// The largest batch, in tokens.
    pub batch_tokens: u64,
    /// Time that is simulated after the end of the trace.
    pub tail: Duration,
    /// Time after that in which the backlog may still be worked off before the simulation gives up.
    pub patience: Duration,
}

impl Default for SimulationConfig {
    /// Actors that do 60 messages of 16 tokens a second in full batches, on a node with 16 cores.
    fn default() -> Self {
        Self {
            bounds: Bounds { min: 1, max: 16 },
            most_actors: 16,
            cores: 16,
            cold_start: Duration::from_secs(2),
            batch_overhead: Duration::from_millis(20),
            tokens_per_second: 1_037.0,
            batch_tokens: 256,
            tail: Duration::from_secs(900),
            patience: Duration::from_secs(3_600),
        }
    }
}

impl SimulationConfig {
    /// Throughput of one actor with full batches, in tokens per second.
    pub fn actor_capacity(&self) -> f64 {
        let tokens = self.batch_tokens as f64;
        tokens / (self.batch_overhead.as_secs_f64() + tokens / self.tokens_per_second)
    }

    /// How long a batch takes beside others.
    fn batch_time(&self, tokens: u64, busy_actors: u32) -> Duration {
        let crowding = (f64::from(busy_actors) / f64::from(self.cores.max(1))).max(1.0);
        let alone = Duration::from_secs_f64(tokens as f64 / self.tokens_per_second);
        (self.batch_overhead + alone).mul_f64(crowding)
    }
}

/// Runs a trace through a pool that a policy scales.
pub fn simulate(
    config: &SimulationConfig,
    trace: &Trace,
    policy: &mut dyn ScalingPolicy,
) -> Report {
    engine::Engine::new(config, trace, policy).run()
}
