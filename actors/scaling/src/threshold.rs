//! The scaling rule of Meeshy's translator 0.4.9, kept for comparison and compatibility.
//!
//! Every thirty seconds, for each of two queues: more workers when many jobs wait *and* most workers
//! are busy, fewer when few wait and few are busy (numbers: [`ThresholdConfig`]).
//!
//! In 0.4.9 each queue had workers of its own. Here one pool serves all lanes, so the policy keeps
//! the two counts itself and asks for their sum; and "busy" is the busy share of the whole pool for
//! both, since an actor belongs to no lane. Bounds and ceilings cut the sum, not the counts: on a node
//! that cannot hold 0.4.9's thirty workers the counts go on as they did there, and what does not fit
//! is reported as unmet.
//!
//! Two things differ from 0.4.9, both because there they were faults: a changed count really starts
//! and stops actors, and a pool whose counts are both zero gets one actor when anything waits.

use std::time::Duration;

use super::decision::{Decision, Reason};
use super::delay_target_config::DelayTargetConfig;
use super::estimate::LoadEstimator;
use super::policy::ScalingPolicy;
use super::snapshot::PoolSnapshot;
use super::threshold_config::{QueueRule, ThresholdConfig};

/// The threshold policy of one pool.
#[derive(Debug, Clone)]
pub struct Threshold {
    config: ThresholdConfig,
    normal: u32,
    any: u32,
    last_check: Option<Duration>,
    /// The rule does not use it; its numbers let status pages compare the policies.
    estimator: LoadEstimator,
}

impl Threshold {
    /// A policy with the given parameters.
    pub fn new(config: ThresholdConfig) -> Self {
        Self {
            normal: config.normal.initial,
            any: config.any.initial,
            last_check: None,
            estimator: LoadEstimator::new(&DelayTargetConfig::default()),
            config,
        }
    }

    /// The two counts: workers for the normal queue, workers for the any queue.
    pub fn counts(&self) -> (u32, u32) {
        (self.normal, self.any)
    }

    /// Whether it is time for a check. The first call only starts the clock, as 0.4.9 did.
    fn is_due(&mut self, now: Duration) -> bool {
        let Some(last) = self.last_check else {
            self.last_check = Some(now);
            return false;
        };
        let due = self.config.dynamic && now.saturating_sub(last) >= self.config.interval();
        if due {
            self.last_check = Some(now);
        }
        due
    }

    fn check(&mut self, snapshot: &PoolSnapshot) -> Reason {
        let warm = snapshot.actors.warm();
        let utilisation = if warm > 0 {
            f64::from(snapshot.actors.busy) / f64::from(warm)
        } else {
            0.0
        };
        let queued = &snapshot.queued;
        let normal_jobs = queued.interactive.jobs + queued.normal.jobs;
        let normal = self
            .config
            .normal
            .next(self.normal, normal_jobs, utilisation);
        let any = self.config.any.next(self.any, queued.any.jobs, utilisation);
        let step = |from: u32, to: u32| to.cast_signed() - from.cast_signed();
        let (normal_step, any_step) = (step(self.normal, normal), step(self.any, any));
        (self.normal, self.any) = (normal, any);
        if (normal_step, any_step) == (0, 0) {
            Reason::Steady
        } else {
            Reason::Threshold {
                normal_step,
                any_step,
            }
        }
    }
}

impl QueueRule {
    /// The count after one check of a queue with `jobs` waiting and this share of the workers busy.
    fn next(&self, count: u32, jobs: u64, utilisation: f64) -> u32 {
        if jobs > self.up_queue && utilisation > self.up_utilisation && count < self.max {
            count.saturating_add(self.up_step).min(self.max)
        } else if jobs < self.down_queue && utilisation < self.down_utilisation && count > self.min
        {
            count.saturating_sub(self.down_step).max(self.min)
        } else {
            count
        }
    }
}

impl ScalingPolicy for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn interval(&self) -> Duration {
        self.config.interval()
    }

    fn decide(&mut self, snapshot: &PoolSnapshot, now: Duration) -> Decision {
        let estimates = self.estimator.observe(snapshot, now);
        let mut reason = if self.is_due(now) {
            self.check(snapshot)
        } else {
            Reason::Steady
        };
        let mut wanted = self.normal.saturating_add(self.any);
        if wanted == 0 && snapshot.has_waiting_work() {
            wanted = 1;
            reason = Reason::EmptyPool {
                waiting_tokens: estimates.waiting_tokens,
            };
        } else if reason == Reason::Steady && wanted != snapshot.actors.owned() {
            reason = Reason::InitialSize;
        }
        Decision::within_limits(snapshot, wanted, wanted, reason, estimates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActorCounts, Bounds, LaneBacklog, LaneBacklogs};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pool(ready: u32, busy: u32, normal_jobs: u64, any_jobs: u64) -> PoolSnapshot {
        let lane = |jobs| LaneBacklog {
            jobs,
            tokens: jobs * 16,
        };
        PoolSnapshot {
            actors: ActorCounts {
                ready,
                busy,
                ..Default::default()
            },
            bounds: Bounds { min: 0, max: 100 },
            queued: LaneBacklogs {
                normal: lane(normal_jobs),
                any: lane(any_jobs),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// The counts after the checks of a policy that starts with 0.4.9's numbers.
    fn counts_after(checks: u64, snapshot: &PoolSnapshot) -> (u32, u32) {
        let mut policy = Threshold::new(ThresholdConfig::default());
        for check in 0..=checks {
            policy.decide(snapshot, s(30 * check));
        }
        policy.counts()
    }

    #[test]
    fn the_normal_count_rises_by_five_above_a_hundred_waiting_and_eighty_percent_busy() {
        assert_eq!(counts_after(1, &pool(5, 25, 101, 0)), (25, 10));
        assert_eq!(
            counts_after(1, &pool(5, 25, 100, 0)),
            (20, 10),
            "more than 100 must wait"
        );
        assert_eq!(
            counts_after(1, &pool(6, 24, 101, 0)),
            (20, 10),
            "80 % is not above 80 %"
        );
    }

    #[test]
    fn the_any_count_rises_by_three_above_fifty_waiting_and_eighty_percent_busy() {
        assert_eq!(counts_after(1, &pool(0, 30, 50, 51)), (20, 13));
        assert_eq!(counts_after(1, &pool(0, 30, 50, 50)), (20, 10));
    }

    #[test]
    fn interactive_jobs_wait_in_the_normal_queue() {
        let mut snapshot = pool(0, 30, 60, 0);
        snapshot.queued.interactive.jobs = 60;
        assert_eq!(counts_after(1, &snapshot), (25, 10));
    }

    #[test]
    fn the_counts_stop_at_forty_and_twenty() {
        assert_eq!(counts_after(20, &pool(0, 60, 1_000, 1_000)), (40, 20));
    }

    #[test]
    fn the_counts_fall_by_two_and_by_one_and_stop_at_twenty_and_ten() {
        let mut policy = Threshold::new(ThresholdConfig::default());
        let load = pool(0, 60, 1_000, 1_000);
        let rest = pool(60, 0, 9, 4);
        for check in 0..=4 {
            policy.decide(&load, s(30 * check));
        }
        assert_eq!(policy.counts(), (40, 20));
        policy.decide(&rest, s(150));
        assert_eq!(policy.counts(), (38, 19));
        for check in 6..30 {
            policy.decide(&rest, s(30 * check));
        }
        assert_eq!(policy.counts(), (20, 10));
        policy.decide(&pool(60, 0, 10, 5), s(900));
        assert_eq!(policy.counts(), (20, 10));
    }

    #[test]
    fn a_step_does_not_pass_the_smallest_count() {
        let mut policy = Threshold::new(ThresholdConfig::default());
        for check in 0..=1 {
            policy.decide(&pool(0, 30, 1_000, 0), s(30 * check));
        }
        let normal_counts = [2, 3, 4, 5].map(|check| {
            policy.decide(&pool(35, 0, 0, 0), s(30 * check));
            policy.counts().0
        });
        assert_eq!(normal_counts, [23, 21, 20, 20]);
    }

    #[test]
    fn nothing_falls_while_ten_wait_or_thirty_percent_are_busy() {
        for quiet in [pool(60, 0, 10, 5), pool(42, 18, 0, 0)] {
            let mut policy = Threshold::new(ThresholdConfig::default());
            for check in 0..=4 {
                policy.decide(&pool(0, 60, 1_000, 1_000), s(30 * check));
            }
            policy.decide(&quiet, s(150));
            assert_eq!(policy.counts(), (40, 20));
        }
    }

    #[test]
    fn checks_are_thirty_seconds_apart_however_often_it_is_asked() {
        let mut policy = Threshold::new(ThresholdConfig::default());
        let load = pool(0, 30, 1_000, 0);
        for second in 0..=59 {
            policy.decide(&load, s(second));
        }
        assert_eq!(policy.counts(), (25, 10));
    }

    #[test]
    fn without_dynamic_scaling_the_initial_counts_stay() {
        let config = ThresholdConfig {
            dynamic: false,
            ..Default::default()
        };
        let mut policy = Threshold::new(config);
        for check in 0..10 {
            let decision = policy.decide(&pool(0, 30, 1_000, 1_000), s(30 * check));
            assert_eq!(decision.target, 30);
        }
    }

    #[test]
    fn the_target_is_the_sum_of_both_counts_cut_to_the_bounds() {
        let mut policy = Threshold::new(ThresholdConfig::default());
        let mut snapshot = pool(1, 0, 0, 0);
        let decision = policy.decide(&snapshot, s(0));
        assert_eq!(
            (decision.target, decision.reason),
            (30, Reason::InitialSize)
        );
        snapshot.bounds.max = 8;
        let decision = policy.decide(&snapshot, s(1));
        assert_eq!((decision.target, decision.unmet_actors), (8, 22));
    }
}
