//! How late a pool's jobs are.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Lane;

use super::backlog::Backlog;

/// Bulk work may wait this many times as long as the rest.
const BULK_TOLERANCE: f64 = 10.0;

/// What own actors do.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnSpeed {
    pub(super) warm: u32,
    /// Estimated tokens that one actor does in a second.
    pub(super) tokens_per_second: f64,
    /// Time from an actor's start to its first batch.
    pub(super) cold_start: Duration,
}

impl OwnSpeed {
    /// Seconds until so many tokens are done.
    fn wait(self, tokens: u64) -> f64 {
        let speed = self.tokens_per_second;
        match (tokens, self.warm) {
            (0, _) => 0.0,
            (tokens, 0) => self.cold_start.as_secs_f64() + tokens as f64 / speed,
            (tokens, warm) => tokens as f64 / (f64::from(warm) * speed),
        }
    }
}

/// The delay of the pool's jobs in multiples of their target: the oldest wait, or what own actors need to get to a new one. `lag` is what is not
/// read yet, in tokens.
pub(super) fn pressure(
    backlog: &Backlog,
    lag: u64,
    speed: OwnSpeed,
    target: Duration,
    now: Instant,
) -> f64 {
    let oldest = |lane| {
        let at = backlog.oldest(lane);
        at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64())
    };
    let bulk = backlog.tokens(Lane::Any);
    let prompt = backlog.tokens(Lane::Interactive) + backlog.tokens(Lane::Normal);
    // Lag is split in proportion to the backlog.
    let bulk_lag = match bulk + prompt {
        0 => 0,
        all => (lag as f64 * bulk as f64 / all as f64) as u64,
    };
    let prompt = prompt + (lag - bulk_lag);
    let prompt_delay = oldest(Lane::Interactive)
        .max(oldest(Lane::Normal))
        .max(speed.wait(prompt));
    let bulk_delay = match bulk {
        0 => 0.0,
        bulk => oldest(Lane::Any).max(speed.wait(prompt + bulk + bulk_lag)),
    };
    prompt_delay.max(bulk_delay / BULK_TOLERANCE) / target.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::ClientId,
        pool::{
            backlog::DEFAULT_WEIGHTS,
            item::{Item, LookedUp},
        },
    };

    const TARGET: Duration = Duration::from_secs(1);

    fn backlog(items: &[(Lane, u32)], now: Instant) -> Backlog {
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for (job, (lane, tokens)) in (0..).zip(items) {
            backlog.push(Item {
                job,
                piece: 0,
                tokens: *tokens,
                target: "fr".parse().unwrap(),
                lane: *lane,
                client: ClientId::default(),
                queued: now,
                has_begun: false,
                key: None,
                looked_up: LookedUp::default(),
            });
        }
        backlog
    }

    const fn speed(warm: u32) -> OwnSpeed {
        OwnSpeed {
            warm,
            tokens_per_second: 100.0,
            cold_start: Duration::from_secs(2),
        }
    }

    proptest! {
        #[test]
        fn more_actors_never_mean_more_pressure_and_more_work_never_less(
            items in prop::collection::vec((prop::sample::select(Lane::ALL.to_vec()), 1u32..500), 0..50),
            lag in 0u64..10_000, more in 0u64..10_000, warm in 1u32..10,
        ) {
            let now = Instant::now();
            let backlog = backlog(&items, now);
            let of = |lag, warm| pressure(&backlog, lag, speed(warm), TARGET, now);
            prop_assert!(of(lag, warm) >= 0.0);
            prop_assert!(of(lag, warm + 1) <= of(lag, warm));
            prop_assert!(of(lag + more, warm) >= of(lag, warm) * 0.99);
        }
    }

    #[test]
    fn bulk_work_presses_a_tenth_as_much() {
        let now = Instant::now();
        let of = |lane| pressure(&backlog(&[(lane, 1_000)], now), 0, speed(1), TARGET, now);
        assert_eq!((of(Lane::Normal), of(Lane::Any)), (10.0, 1.0));
    }

    #[test]
    fn without_a_warm_actor_a_cold_start_comes_first() {
        let now = Instant::now();
        let backlog = backlog(&[(Lane::Normal, 100)], now);
        assert_eq!(pressure(&backlog, 0, speed(0), TARGET, now), 3.0);
        let idle = Backlog::new(DEFAULT_WEIGHTS);
        assert_eq!(pressure(&idle, 0, speed(0), TARGET, now), 0.0);
    }
}
