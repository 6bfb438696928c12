//! Pure decisions: how much of a batch a client may have, and which requests are refused because they cannot be done in time.

use std::time::Duration;

use crate::{
    domain::Lane,
    pool::{
        backlog::{BatchLimits, LaneLoad},
        batching::BatchBudget,
    },
};

/// One client's part of a batch of the normal lane.
const NORMAL_PART: u32 = 4;
/// How fast a client's share follows batches that take too long.
const SHRINK: f64 = 0.3;
/// Growth of a client's share with each batch that takes less than its time.
const GROWTH: f64 = 1.25;

/// What a batch of a lane may hold when `contended` says whether several clients are active in the lane, and `share` is how many tokens of
/// each a short batch may have ([`adapted`]).
///
/// | lane | contended | most tokens of one client |
/// |---|---|---|
/// | interactive, normal | no | no limit but the batch's |
/// | interactive | yes | `share` |
/// | normal | yes | a quarter of the batch's |
/// | bulk | | no limit but the batch's |
///
/// So a batch is short when one client has much work and another might come, and full when many clients have a little each.
#[must_use]
pub fn limits(lane: Lane, budget: BatchBudget, contended: bool, share: f64) -> BatchLimits {
    let most = budget.padded_tokens.max(1);
    let per_client = match lane {
        _ if !contended => None,
        Lane::Interactive => Some((share as u32).clamp(1, most)),
        Lane::Normal => Some((most / NORMAL_PART).max(1)),
        Lane::Any => None,
    };
    BatchLimits { budget, per_client }
}

/// The share of a client after a batch of the interactive lane: batches that are limited by it should take about `turn`.
///
/// A batch of `tokens` that took `elapsed`, longer than `turn`, moves a larger share towards `tokens · turn / elapsed`. A shorter one that had at
/// least half of the share lets it grow by a quarter, up to `most`; one with less says nothing, since even the shortest batch takes some time.
#[must_use]
pub fn adapted(share: f64, tokens: u32, elapsed: Duration, turn: Duration, most: u32) -> f64 {
    let tokens = f64::from(tokens);
    let share = match elapsed > turn {
        true => {
            let fitting = tokens * turn.as_secs_f64() / elapsed.as_secs_f64();
            share + SHRINK * (fitting.min(share) - share)
        }
        false if tokens * 2.0 >= share => share * GROWTH,
        false => share,
    };
    share.clamp(1.0, f64::from(most.max(1)))
}

/// How many times as fast per token a large batch can be as a small one, at most.
const MAX_GAIN: f64 = 32.0;

/// How many times as fast per token a batch of `large` tokens can be, at most, as one of `tokens`: it takes no less time than the smaller one.
#[must_use]
pub(super) fn gain(tokens: u32, large: u32) -> f64 {
    (f64::from(large) / f64::from(tokens.max(1))).clamp(1.0, MAX_GAIN)
}

/// Whether the speed of small batches may be used to refuse a request: only while work waits that will be done in large batches, so that the speed
/// becomes known. Otherwise an estimate that is too low would never be corrected.
#[must_use]
pub(super) const fn may_estimate(load: LaneLoad, large: u32) -> bool {
    load.tokens >= large as u64
}

/// Speed of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolSpeed {
    /// Tokens a second that one actor was measured to do in large batches, or could do at most by its small ones; `None` before.
    pub per_actor: Option<f64>,
    /// Actors that the pool has or could have.
    pub actors: u32,
}

/// The time that a request of `tokens` tokens needs at least, with what waits before it; `None` when the speed is unknown.
///
/// Of its own client's messages each may have as much service before the request is complete as the request itself has, but no more than
/// waits: `own = min(own_tokens, own_messages · tokens) + tokens`. Of the other clients each may have as much as its own:
/// `work = min(tokens of the lane + tokens, (other_clients + 1) · own)`. The time is `work / (speed · actors)`: work of other lanes is not
/// counted, so the estimate is low rather than high.
#[must_use]
pub fn expected_time(load: LaneLoad, tokens: u64, speed: PoolSpeed) -> Option<Duration> {
    let per_second = speed.per_actor.filter(|speed| *speed > 0.0)? * f64::from(speed.actors.max(1));
    let before = load
        .own_tokens
        .min(tokens.saturating_mul(load.own_messages as u64));
    let own = before.saturating_add(tokens);
    let work = load
        .tokens
        .saturating_add(tokens)
        .min(own.saturating_mul(load.other_clients as u64 + 1));
    Some(Duration::try_from_secs_f64(work as f64 / per_second).unwrap_or(Duration::MAX))
}

/// Decides whether a request is refused because it cannot be done in the time that its deadline leaves: then, its [expected
/// time](expected_time). Never when the speed of the pool is unknown.
#[must_use]
pub fn refuse(
    load: LaneLoad,
    tokens: u64,
    speed: PoolSpeed,
    left: Duration,
    refuse_above: f64,
) -> Option<Duration> {
    if refuse_above <= 0.0 {
        return None;
    }
    let expected = expected_time(load, tokens, speed)?;
    (expected.as_secs_f64() > left.as_secs_f64() * refuse_above).then_some(expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load() -> impl Strategy<Value = LaneLoad> {
        (0u64..1_000_000, 0usize..50, 0u64..1_000_000, 0usize..300).prop_map(
            |(others, other_clients, own, messages)| LaneLoad {
                tokens: own + if other_clients > 0 { others } else { 0 },
                other_clients,
                own_tokens: own,
                own_messages: messages,
            },
        )
    }

    const fn speed(per_actor: f64) -> PoolSpeed {
        PoolSpeed {
            per_actor: Some(per_actor),
            actors: 2,
        }
    }

    proptest! {
        #[test]
        fn nothing_is_refused_that_could_be_done_after_all_that_waits(
            load in load(), tokens in 1u64..100_000, rate in 1.0f64..10_000.0, factor in 1.0f64..10.0,
        ) {
            let all = Duration::from_secs_f64((load.tokens + tokens) as f64 / (2.0 * rate)) + Duration::from_millis(1);
            prop_assert_eq!(refuse(load, tokens, speed(rate), all, factor), None);
        }

        #[test]
        fn a_job_that_would_be_late_even_alone_is_rejected(
            load in load(), tokens in 1_000u64..100_000, rate in 1.0f64..10_000.0, factor in 1.0f64..10.0,
        ) {
            let alone = tokens as f64 / (2.0 * rate);
            let left = Duration::from_secs_f64(alone / factor * 0.99);
            prop_assert!(refuse(load, tokens, speed(rate), left, factor).is_some());
        }

        #[test]
        fn a_small_request_is_not_refused_for_the_size_of_the_large_ones(
            own in 0u64..10_000_000, others in 0u64..10_000_000, tokens in 1u64..50,
        ) {
            // One client with ten large messages, another with 200: each can delay the small one by no more than its size.
            let load = LaneLoad { tokens: own + others, other_clients: 1, own_tokens: own, own_messages: 10 };
            let left = Duration::from_secs(2);
            prop_assert_eq!(refuse(load, tokens, speed(500.0), left, 1.0), None);
        }

        #[test]
        fn nothing_is_refused_while_the_speed_is_unknown(load in load(), tokens: u32, left in 0u64..10_000) {
            let unknown = PoolSpeed { per_actor: None, actors: 1 };
            let left = Duration::from_millis(left);
            prop_assert_eq!(refuse(load, tokens.into(), unknown, left, 1.0), None);
            prop_assert_eq!(refuse(load, tokens.into(), speed(1.0), left, 0.0), None);
        }

        #[test]
        fn one_clients_part_is_never_more_than_a_batch_and_never_nothing(
            share in 0.0f64..1e9, padded_tokens in 1u32..10_000, contended: bool,
        ) {
            let budget = BatchBudget { items: 64, padded_tokens };
            for lane in Lane::ALL {
                let limits = limits(lane, budget, contended, share);
                prop_assert_eq!(limits.budget, budget);
                prop_assert!(limits.per_client.is_none_or(|most| (1..=padded_tokens).contains(&most)));
                prop_assert_eq!(limits.per_client.is_some(), contended && lane != Lane::Any);
            }
        }

        #[test]
        fn the_share_settles_where_a_batch_takes_its_time(
            fixed_us in 0u64..5_000, token_us in 20u64..1_000, start in 1.0f64..2_048.0,
        ) {
            let turn = Duration::from_millis(10);
            let took = |tokens: f64| Duration::from_micros(fixed_us + (tokens as u64) * token_us);
            let mut share = start;
            for _ in 0..200 {
                share = adapted(share, share as u32, took(share.floor()), turn, 2_048);
                prop_assert!((1.0..=2_048.0).contains(&share));
            }
            let fitting = ((10_000 - fixed_us) as f64 / token_us as f64).clamp(1.0, 2_048.0);
            prop_assert!(share >= fitting * 0.6 - 1.0 && share <= fitting * 1.3 + 1.0, "{share}, {fitting} would fit");
        }

        #[test]
        fn a_gain_never_makes_a_large_batch_quicker_than_a_small_one(tokens in 1u32..4_096, large in 1u32..4_096) {
            let gain = gain(tokens, large);
            prop_assert!((1.0..=MAX_GAIN).contains(&gain));
            // Both at this gain: the large one takes `large / (tokens · gain)` times as long.
            prop_assert!(tokens > large || f64::from(large) / (f64::from(tokens) * gain) >= 0.999);
        }

        #[test]
        fn short_batches_do_not_shrink_the_share(share in 1.0f64..2_048.0, tokens in 1u32..2_048, ms in 0u64..=10) {
            let after = adapted(share, tokens, Duration::from_millis(ms), Duration::from_millis(10), 2_048);
            prop_assert!(after >= share);
        }
    }
}
