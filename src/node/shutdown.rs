//! The time budget of a shutdown.

use std::time::{Duration, Instant};

use crate::config::NodeConfig;

/// When each phase of a node's end is over at the latest. Work is finished until the drain deadline; what lies behind it up to the end is shared by the
/// phases that follow. A phase that is done early leaves its time to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShutdownBudget {
    drained: Instant,
    reserve: Duration,
}

/// What ends by the drain deadline or in the reserve behind it, in the order in which it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Work is finished; nothing of the reserve is used.
    Drain,
    /// Publishers write what is finished.
    Publish,
    /// Consumers leave their groups.
    LeaveGroups,
    /// Actors and engines end.
    StopActors,
    /// Other nodes are told.
    LeaveCluster,
    /// The last traces are exported.
    ExportTraces,
}

impl Phase {
    /// Tenths of the reserve after which the phase is over.
    const fn tenths(self) -> u32 {
        match self {
            Self::Drain => 0,
            Self::Publish => 2,
            Self::LeaveGroups => 4,
            Self::StopActors => 7,
            Self::LeaveCluster => 8,
            Self::ExportTraces => 9,
        }
    }
}

impl ShutdownBudget {
    /// The budget of a node that begins to end now.
    pub(super) fn new(config: &NodeConfig, now: Instant) -> Self {
        let drain = Duration::from_millis(config.drain_timeout_ms);
        Self {
            drained: now + drain,
            reserve: config.shutdown_timeout().saturating_sub(drain),
        }
    }

    /// The same for a node that has no work to finish.
    pub(super) fn without_drain(config: &NodeConfig, now: Instant) -> Self {
        Self {
            drained: now,
            reserve: config.shutdown_timeout(),
        }
    }

    /// What is left to finish work.
    pub(super) fn drain(&self, now: Instant) -> Duration {
        self.drained.saturating_duration_since(now)
    }

    /// The part of the reserve that a phase has for itself, at least.
    pub(super) fn share(&self, phase: Phase) -> Duration {
        let before = match phase {
            Phase::Drain | Phase::Publish => 0,
            Phase::LeaveGroups => Phase::Publish.tenths(),
            Phase::StopActors => Phase::LeaveGroups.tenths(),
            Phase::LeaveCluster => Phase::StopActors.tenths(),
            Phase::ExportTraces => Phase::LeaveCluster.tenths(),
        };
        self.reserve * (phase.tenths() - before) / 10
    }

    /// What is left until a phase must be over.
    pub(super) fn until(&self, phase: Phase, now: Instant) -> Duration {
        let end = self.drained + self.reserve * phase.tenths() / 10;
        end.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn phases_end_one_after_the_other_and_within_the_budget(
            drain_ms in 0u64..100_000, reserve_ms in 0u64..100_000, passed_ms in 0u64..200_000,
        ) {
            let config = NodeConfig {
                drain_timeout_ms: drain_ms,
                shutdown_timeout_ms: drain_ms + reserve_ms,
                ..NodeConfig::default()
            };
            let start = Instant::now();
            let budget = ShutdownBudget::new(&config, start);
            let passed = Duration::from_millis(passed_ms);
            let now = start + passed;
            let mut last = budget.drain(now);
            for phase in [
                Phase::Drain, Phase::Publish, Phase::LeaveGroups, Phase::StopActors, Phase::LeaveCluster, Phase::ExportTraces,
            ] {
                let left = budget.until(phase, now);
                prop_assert!(left >= last);
                prop_assert!(left.is_zero() || passed + left <= config.shutdown_timeout());
                last = left;
            }
        }
    }
}
