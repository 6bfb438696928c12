//! Report of a simulation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trace::SimulatedLane;
use crate::Reason;

/// The outcome of one policy on one trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The policy's name.
    pub policy: String,
    /// Delays from arrival to answer, by lane; lanes without messages are missing.
    pub lanes: BTreeMap<SimulatedLane, DelayReport>,
    /// Delays of all lanes together.
    pub all: DelayReport,
    /// Cost of the pool: the lifetimes of all actors, starting and draining included, in seconds.
    pub actor_seconds: f64,
    /// The changes of the pool's size, in order.
    pub scalings: Vec<Scaling>,
    /// The most actors that existed at once, starting and draining included.
    pub peak_actors: u32,
    /// Actors owned at the end.
    pub final_actors: u32,
    /// The most tokens that waited at once.
    pub peak_waiting_tokens: u64,
    /// The largest number of actors that a decision could not have.
    pub peak_unmet_actors: u32,
    /// Messages that arrived and were neither answered nor waiting at the end.
    pub lost: u64,
    /// Answers beyond the first for a message.
    pub duplicates: u64,
    /// Messages still waiting or in flight when the simulation gave up.
    pub unfinished: u64,
    /// Time that was simulated.
    pub simulated: Duration,
}

impl Report {
    /// The first change of size at or after a moment.
    pub fn first_scaling_after(&self, at: Duration) -> Option<&Scaling> {
        self.scalings.iter().find(|scaling| scaling.at >= at)
    }
}

/// A change of the pool's size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// When, from the start of the trace.
    pub at: Duration,
    /// Actors owned before.
    pub from: u32,
    /// Actors owned after.
    pub to: u32,
    /// Why.
    pub reason: Reason,
}

/// Delays from arrival to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayReport {
    /// Answered messages.
    pub messages: u64,
    /// Half of the messages were at least this fast.
    pub p50: Duration,
    /// 95 % were.
    pub p95: Duration,
    /// 99 % were.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl DelayReport {
    /// Exact percentiles (nearest rank) of the given delays.
    pub fn of(mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        let rank = |percent: usize| {
            let rank = (delays.len() * percent).div_ceil(100).max(1);
            delays.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            messages: delays.len() as u64,
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
            max: delays.last().copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let delays = (1..=200).rev().map(Duration::from_millis).collect();
        let report = DelayReport::of(delays);
        let millis = [report.p50, report.p95, report.p99, report.max].map(|d| d.as_millis());
        assert_eq!(millis, [100, 190, 198, 200]);
        assert_eq!(report.messages, 200);
    }

    #[test]
    fn no_messages_have_no_delay() {
        assert_eq!(DelayReport::of(Vec::new()), DelayReport::default());
    }
}
