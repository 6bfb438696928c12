//! How clients share a pool: how much of a batch each may have, and which requests are refused because they cannot be done in time.

mod decision;
mod speed;

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{ClientId, ErrorCode, Lane, Lanes, RequestError};

use super::{
    backlog::{Backlog, BatchLimits, LaneLoad},
    batching::BatchBudget,
};
pub use decision::{PoolSpeed, adapted, expected_time, limits, refuse};
use decision::{gain, may_estimate};
use speed::SpeedMeter;

/// How long after their last message clients of the interactive lane count as active.
const ACTIVE: Duration = Duration::from_secs(2);
/// A client's first share of a batch, before any was measured.
const FIRST_SHARE: f64 = 64.0;
/// A batch says how fast the pool is when it has this part of the largest one at least.
const LARGE_PART: u32 = 4;

/// How clients share a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharingConfig {
    /// Longest work of one client in a batch of the interactive lane while several clients are active in it: this
    /// bounds the delay that a running batch causes for others. A single piece of text that takes longer is a batch of
    /// its own.
    pub turn: Duration,
    /// A request is refused when its estimated time is so many times as long as its deadline leaves; zero refuses none.
    pub refuse_above: f64,
}

impl Default for SharingConfig {
    fn default() -> Self {
        Self {
            turn: Duration::from_millis(5),
            refuse_above: 1.5,
        }
    }
}

/// Clients and speed of a pool.
#[derive(Debug)]
pub(super) struct Sharing {
    config: SharingConfig,
    /// Largest batch of an own actor.
    budget: BatchBudget,
    /// Recent clients of the interactive lane.
    recent: RecentClients,
    /// The speed of large batches.
    speed: SpeedMeter,
    /// An upper bound of it, by small batches.
    fastest: SpeedMeter,
    /// Most tokens of one client in a batch of the interactive lane, while there are several.
    share: f64,
}

/// The last two clients of the interactive lane: whether several were active lately.
#[derive(Debug, Default)]
struct RecentClients {
    last: Option<(ClientId, Instant)>,
    before: Option<(ClientId, Instant)>,
}

impl RecentClients {
    /// A client has sent a message.
    fn note(&mut self, client: ClientId, now: Instant) {
        if self.last.is_some_and(|(last, _)| last != client) {
            self.before = self.last;
        }
        self.last = Some((client, now));
    }

    /// Whether several clients are active: they have work waiting, or sent some in the last seconds. `waiting` is the number of clients with
    /// waiting work, and `waits` tells whether a client is one of them.
    fn several(&self, now: Instant, waiting: usize, waits: impl Fn(ClientId) -> bool) -> bool {
        let recent = [self.last, self.before].into_iter().flatten();
        let idle = recent
            .filter(|(client, at)| now.saturating_duration_since(*at) < ACTIVE && !waits(*client));
        waiting + idle.count() > 1
    }
}

impl Sharing {
    pub(super) fn new(config: SharingConfig, budget: BatchBudget) -> Self {
        Self {
            config,
            budget,
            recent: RecentClients::default(),
            speed: SpeedMeter::default(),
            fastest: SpeedMeter::default(),
            share: FIRST_SHARE,
        }
    }

    /// A client has sent a message of the interactive lane.
    pub(super) fn note_client(&mut self, client: ClientId, now: Instant) {
        self.recent.note(client, now);
    }

    /// What batches may hold that start with each lane, for an actor that takes so much.
    pub(super) fn limits(&self, backlog: &Backlog, budget: BatchBudget) -> Lanes<BatchLimits> {
        let of = |lane| {
            let waiting = backlog.clients(lane);
            let several = match lane {
                Lane::Interactive => self.recent.several(Instant::now(), waiting, |client| {
                    backlog.load(lane, client).own_messages > 0
                }),
                Lane::Normal | Lane::Any => waiting > 1,
            };
            limits(lane, budget, several, self.share)
        };
        Lanes {
            interactive: of(Lane::Interactive),
            normal: of(Lane::Normal),
            any: of(Lane::Any),
        }
    }

    /// What batches of own actors may hold.
    pub(super) fn own_limits(&self, backlog: &Backlog) -> Lanes<BatchLimits> {
        self.limits(backlog, self.budget)
    }

    /// Learns from a batch that an own actor did.
    pub(super) fn note_batch(&mut self, lane: Lane, tokens: u32, elapsed: Duration) {
        let most = self.budget.padded_tokens;
        let large = self.large();
        match tokens >= large {
            true => self.speed.record(f64::from(tokens), elapsed),
            false => {
                let as_large = f64::from(tokens) * gain(tokens, large);
                self.fastest.record(as_large, elapsed);
            }
        }
        if lane == Lane::Interactive {
            self.share = adapted(self.share, tokens, elapsed, self.config.turn, most);
        }
    }

    /// Tokens of a batch that says how fast the pool is.
    const fn large(&self) -> u32 {
        self.budget.padded_tokens / LARGE_PART
    }

    /// Tokens a second of an actor as far as a request may be refused by it.
    fn known_speed(&self, load: LaneLoad) -> Option<f64> {
        let estimate = || {
            let fastest = self.fastest.per_second();
            fastest.filter(|_| may_estimate(load, self.large()))
        };
        self.speed.per_second().or_else(estimate)
    }

    /// Why a job of so many tokens is refused, if it cannot be done in the time that its deadline leaves by so many actors.
    pub(super) fn refusal(
        &self,
        load: LaneLoad,
        tokens: u64,
        left: Duration,
        actors: impl FnOnce() -> u32,
    ) -> Option<RequestError> {
        let per_actor = self.known_speed(load);
        let speed = PoolSpeed {
            per_actor,
            actors: per_actor.map_or(0, |_| actors()),
        };
        let expected = refuse(load, tokens, speed, left, self.config.refuse_above)?;
        let message = format!(
            "estimated completion in {:.0} s exceeds the deadline in {:.1} s",
            expected.as_secs_f64().ceil(),
            left.as_secs_f64(),
        );
        Some(RequestError::new(ErrorCode::DeadlineExceeded, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hopeless_requests_are_refused_after_small_batches_once_work_waits_that_will_measure_the_speed()
     {
        let budget = BatchBudget {
            items: 64,
            padded_tokens: 2_048,
        };
        let mut sharing = Sharing::new(SharingConfig::default(), budget);
        let half_a_minute = Duration::from_secs(30);
        let idle = LaneLoad {
            tokens: 0,
            other_clients: 0,
            own_tokens: 0,
            own_messages: 0,
        };
        let behind_one = LaneLoad {
            tokens: 500_000,
            own_tokens: 500_000,
            own_messages: 1,
            ..idle
        };
        let refused = |sharing: &Sharing, load| {
            let refusal = sharing.refusal(load, 500_000, half_a_minute, || 1);
            refusal.is_some()
        };
        assert!(!refused(&sharing, behind_one), "nothing is known");
        for _ in 0..50 {
            sharing.note_batch(Lane::Interactive, 10, Duration::from_millis(20));
        }
        assert!(!refused(&sharing, idle), "it measures the speed");
        assert!(refused(&sharing, behind_one));
        let small = sharing.refusal(behind_one, 100, half_a_minute, || 1);
        assert_eq!(small, None);
        for _ in 0..20 {
            sharing.note_batch(Lane::Interactive, 2_048, Duration::from_millis(30));
        }
        assert!(!refused(&sharing, behind_one), "the measured speed counts");
    }

    #[test]
    fn several_clients_are_active_while_two_wait_or_came_lately() {
        let [a, b, c] = ["a", "b", "c"].map(ClientId::of);
        let start = Instant::now();
        let mut recent = RecentClients::default();
        assert!(!recent.several(start, 0, |_| false));
        assert!(!recent.several(start, 1, |_| false));
        assert!(recent.several(start, 2, |_| true));
        recent.note(a, start);
        recent.note(a, start);
        assert!(!recent.several(start, 1, |client| client == a));
        assert!(
            recent.several(start, 1, |client| client == c),
            "c waits, a came"
        );
        recent.note(b, start);
        assert!(recent.several(start, 1, |client| client == a));
        assert!(recent.several(start, 0, |_| false));
        let later = start + Duration::from_secs(10);
        assert!(!recent.several(later, 1, |client| client == a));
    }
}
