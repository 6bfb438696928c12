//! How clients share a pool: how much of a batch each may have, and which requests are refused because they cannot be done in time.

mod decision;
mod speed;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    domain::{ClientId, ErrorCode, Job, Lane, Lanes, RequestError},
    events::Event,
};

use super::{
    backlog::BatchLimits,
    batching::BatchBudget,
    core::Pool,
    jobs::{Stale, Submission},
};
pub use decision::{PoolSpeed, adapted, expected_time, limits, refuse};
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
    /// Longest work of one client in a batch of the interactive lane while several clients are active in it: so long, at most, does a
    /// batch that was begun delay somebody else's. A single piece of text that takes longer is a batch of its own.
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

/// What a pool knows of its clients and its speed.
#[derive(Debug)]
pub(super) struct Sharing {
    /// Who used the interactive lane lately.
    recent: RecentClients,
    speed: SpeedMeter,
    /// Most tokens of one client in a batch of the interactive lane, while there are several.
    share: f64,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            recent: RecentClients::default(),
            speed: SpeedMeter::default(),
            share: FIRST_SHARE,
        }
    }
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

impl Pool {
    /// Remembers who uses the interactive lane. What the node asks itself, to see whether a model answers, does not count.
    pub(super) fn note_client(&mut self, submission: &Submission, now: Instant) {
        if submission.lane() == Lane::Interactive && !submission.job.order.fresh {
            self.sharing.recent.note(submission.job.client(), now);
        }
    }

    /// What batches may hold that start with each lane.
    pub(super) fn batch_limits(&self, budget: BatchBudget) -> Lanes<BatchLimits> {
        let of = |lane| {
            let waiting = self.backlog.clients(lane);
            let several = match lane {
                Lane::Interactive => {
                    self.sharing
                        .recent
                        .several(Instant::now(), waiting, |client| {
                            self.backlog.load(lane, client).own_messages > 0
                        })
                }
                Lane::Normal | Lane::Any => waiting > 1,
            };
            limits(lane, budget, several, self.sharing.share)
        };
        Lanes {
            interactive: of(Lane::Interactive),
            normal: of(Lane::Normal),
            any: of(Lane::Any),
        }
    }

    fn speed(&self) -> PoolSpeed {
        let owned = self.members.counts().owned();
        let possible = owned
            .saturating_add(self.room().room())
            .min(self.spec.bounds.max)
            .max(owned);
        let guests = u32::try_from(self.help.guests.len()).unwrap_or(u32::MAX);
        PoolSpeed {
            per_actor: self.sharing.speed.per_second(),
            actors: possible.saturating_add(guests),
        }
    }

    /// Learns from a batch that an own actor did.
    pub(super) fn note_batch(&mut self, lane: Lane, tokens: u32, elapsed: Duration) {
        let most = self.spec.batch.padded_tokens;
        if tokens >= most / LARGE_PART {
            self.sharing.speed.record(tokens, elapsed);
        }
        if lane == Lane::Interactive {
            let turn = self.spec.sharing.turn;
            let share = self.sharing.share;
            self.sharing.share = adapted(share, tokens, elapsed, turn, most);
        }
    }

    /// Why a job of so many tokens is refused, if it cannot be done before its deadline.
    pub(super) fn refusal(&self, job: &Job, tokens: u64, now: Instant) -> Option<RequestError> {
        let left = job.deadline?.saturating_duration_since(now);
        let load = self.backlog.load(job.lane(), job.client());
        let above = self.spec.sharing.refuse_above;
        let expected = refuse(load, tokens, self.speed(), left, above)?;
        let message = format!(
            "the translation would take about {:.0} s, the deadline leaves {:.1} s",
            expected.as_secs_f64().ceil(),
            left.as_secs_f64(),
        );
        Some(RequestError::new(ErrorCode::DeadlineExceeded, message))
    }

    pub(super) fn note_refused(&self, jobs: usize) {
        if jobs > 0 {
            let pool = self.pool();
            self.observe(Event::JobsRefused { pool, jobs });
        }
    }

    /// Takes what waits of jobs that have ended out of the backlog.
    pub(super) fn drop_stale(&mut self) {
        for Stale { job, lane, client } in self.jobs.take_stale() {
            self.backlog.forget(lane, client, job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
