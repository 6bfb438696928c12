//! The interface of scaling policies.

use std::time::Duration;

use super::decision::Decision;
use super::snapshot::PoolSnapshot;

/// Decides how many actors a pool should have.
///
/// A policy is a pure object: it sees snapshots and the time that comes with them, has no clock and
/// does no input or output, and given the same calls it answers the same. Call
/// [`decide`](Self::decide) once when the pool starts and then every [`interval`](Self::interval);
/// calls in between do no harm.
pub trait ScalingPolicy: Send {
    /// The policy's name, as in the configuration.
    fn name(&self) -> &'static str;

    /// The time between two decisions.
    fn interval(&self) -> Duration;

    /// Takes the pool's state at `now`, a time since the supervisor started that never goes
    /// backwards, and says how many actors the pool should own.
    fn decide(&mut self, snapshot: &PoolSnapshot, now: Duration) -> Decision;
}
