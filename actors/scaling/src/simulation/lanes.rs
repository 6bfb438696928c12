//! The simulated backlog: three lanes that share the actors fairly.

use std::collections::VecDeque;
use std::time::Duration;

use super::trace::{Arrival, SimulatedLane};
use crate::{LaneBacklog, LaneBacklogs, OldestWaits};

/// Queued messages by lane. Who is next is decided by weighted fair queueing, simplified: each lane
/// has a clock of the tokens it was served over its weight, and the lane whose clock is behind is
/// next. A lane that had nothing to do gets no credit for it: its clock is set to the pool's.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: [Queue; 3],
    clock: f64,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<(usize, Arrival)>,
    tokens: u64,
    served: f64,
}

impl Lanes {
    pub(super) fn push(&mut self, id: usize, arrival: Arrival) {
        let queue = &mut self.lanes[arrival.lane.index()];
        if queue.messages.is_empty() {
            queue.served = queue.served.max(self.clock);
        }
        queue.tokens += arrival.tokens;
        queue.messages.push_back((id, arrival));
    }

    /// Takes messages up to a budget of tokens; at least one, if there is any.
    pub(super) fn take_batch(&mut self, budget: u64) -> Vec<(usize, Arrival)> {
        let mut batch = Vec::new();
        let mut tokens = 0;
        while let Some(lane) = self.next_lane() {
            let queue = &mut self.lanes[lane.index()];
            let Some(&(id, arrival)) = queue.messages.front() else {
                break;
            };
            if tokens + arrival.tokens > budget && !batch.is_empty() {
                break;
            }
            queue.messages.pop_front();
            queue.tokens -= arrival.tokens;
            self.clock = self.clock.max(queue.served);
            queue.served += arrival.tokens as f64 / lane.weight();
            tokens += arrival.tokens;
            batch.push((id, arrival));
        }
        batch
    }

    fn next_lane(&self) -> Option<SimulatedLane> {
        SimulatedLane::ALL
            .into_iter()
            .filter(|lane| !self.lanes[lane.index()].messages.is_empty())
            .min_by(|a, b| {
                self.lanes[a.index()]
                    .served
                    .total_cmp(&self.lanes[b.index()].served)
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|queue| queue.messages.is_empty())
    }

    pub(super) fn messages(&self) -> usize {
        self.lanes.iter().map(|queue| queue.messages.len()).sum()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.lanes.iter().map(|queue| queue.tokens).sum()
    }

    pub(super) fn backlogs(&self) -> LaneBacklogs {
        let [interactive, normal, any] = &self.lanes;
        let of = |queue: &Queue| LaneBacklog {
            jobs: queue.messages.len() as u64,
            tokens: queue.tokens,
        };
        LaneBacklogs {
            interactive: of(interactive),
            normal: of(normal),
            any: of(any),
        }
    }

    pub(super) fn oldest_waits(&self, now: Duration) -> OldestWaits {
        let wait = |queue: &Queue| {
            let oldest = queue.messages.front();
            oldest.map_or(Duration::ZERO, |(_, arrival)| {
                now.saturating_sub(arrival.at)
            })
        };
        let [interactive, normal, any] = &self.lanes;
        OldestWaits {
            prompt: wait(interactive).max(wait(normal)),
            any: wait(any),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(lane: SimulatedLane) -> Arrival {
        Arrival {
            at: Duration::ZERO,
            lane,
            tokens: 10,
        }
    }

    #[test]
    fn a_batch_keeps_its_budget_and_always_takes_one() {
        let mut lanes = Lanes::default();
        (0..5).for_each(|id| lanes.push(id, message(SimulatedLane::Normal)));
        assert_eq!(lanes.take_batch(25).len(), 2);
        assert_eq!(lanes.take_batch(1).len(), 1);
        assert_eq!((lanes.messages(), lanes.tokens()), (2, 20));
    }

    #[test]
    fn a_flooded_any_lane_gets_its_share_and_no_more() {
        let mut lanes = Lanes::default();
        for id in 0..1_000 {
            lanes.push(2 * id, message(SimulatedLane::Any));
            lanes.push(2 * id + 1, message(SimulatedLane::Normal));
        }
        let batch = lanes.take_batch(5_000);
        let any = batch
            .iter()
            .filter(|(_, a)| a.lane == SimulatedLane::Any)
            .count();
        assert!((99..=101).contains(&any), "one in five of 500, not {any}");
    }

    #[test]
    fn a_lane_gets_no_credit_for_having_been_empty() {
        let mut lanes = Lanes::default();
        (0..100).for_each(|id| lanes.push(id, message(SimulatedLane::Normal)));
        lanes.take_batch(u64::MAX);
        (100..200).for_each(|id| lanes.push(id, message(SimulatedLane::Any)));
        (200..300).for_each(|id| lanes.push(id, message(SimulatedLane::Normal)));
        let batch = lanes.take_batch(100);
        let any = batch
            .iter()
            .filter(|(_, a)| a.lane == SimulatedLane::Any)
            .count();
        assert!(any <= 3, "the any lane took {any} of ten at once");
    }
}
