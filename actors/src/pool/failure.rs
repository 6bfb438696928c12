//! Handling of failed batches, and restart backoff of engines.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Lane;

use super::item::Item;

/// A single text that failed this often in a row, including its batches, is poison.
pub const POISON_AFTER: u32 = 3;
/// A batch of several texts that failed this often in a row is cut in two.
const BISECT_AFTER: u32 = 2;

/// Items that are tried together, apart from all others, and how often they failed in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The items.
    pub items: Vec<Item>,
    /// Failures in a row.
    pub failures: u32,
}

impl Attempt {
    /// The most urgent lane of an item.
    #[must_use]
    pub fn lane(&self) -> Lane {
        let lanes = self.items.iter().map(|item| item.lane);
        lanes.min().unwrap_or(Lane::Any)
    }

    /// When its oldest item was queued.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.items.iter().map(|item| item.queued).min()
    }
}

/// Reaction to another failure.
#[derive(Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try these, each apart.
    Retry(Vec<Attempt>),
    /// This item alone makes the engine fail.
    Poison(Item),
}

/// Decides what to do after `attempt` has failed once more. After the first failure the whole batch is retried, because the engine itself may have
/// failed. After the second it is split in two, and so on until the item that makes the engine fail is alone.
#[must_use]
pub fn after_failure(attempt: Attempt) -> AfterFailure {
    let failures = attempt.failures + 1;
    match attempt.items.as_slice() {
        [item] if failures >= POISON_AFTER => AfterFailure::Poison(*item),
        items if items.len() > 1 && failures >= BISECT_AFTER => {
            let (left, right) = items.split_at(items.len() / 2);
            // A half is split again after one more failure.
            let half = |items: &[Item]| Attempt {
                items: items.to_vec(),
                failures: BISECT_AFTER - 1,
            };
            AfterFailure::Retry(vec![half(left), half(right)])
        }
        _ => AfterFailure::Retry(vec![Attempt {
            items: attempt.items,
            failures,
        }]),
    }
}

/// Engines that failed to start in a row after which a pool without a warm one counts as broken. One may have been killed from outside.
pub const BROKEN_AFTER: u32 = 2;

/// Inputs of the decision whether a pool is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Whether anybody can take a batch.
    pub is_warm: bool,
    /// Engines that failed to start in a row.
    pub failed_starts: u32,
    /// Whether the last failure is permanent.
    pub is_permanent: bool,
    /// How long jobs have been waiting for an engine to be warm; zero while there are none.
    pub waited: Duration,
    /// How long they may.
    pub max_wait: Duration,
}

/// Whether jobs should go to another model for now.
#[must_use]
pub fn is_broken(condition: &Condition) -> bool {
    let waits_too_long = condition.waited > condition.max_wait;
    let cannot_start = condition.is_permanent || condition.failed_starts >= BROKEN_AFTER;
    !condition.is_warm && (cannot_start || waits_too_long)
}

/// Delay before an engine is started again after `failures` in a row without a batch done between: none after the first,
/// then doubling from `first` to `most`.
#[must_use]
pub fn restart_delay(failures: u32, first: Duration, most: Duration) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        n => first
            .saturating_mul(1u32.checked_shl(n - 2).unwrap_or(u32::MAX))
            .min(most),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{domain::ClientId, pool::item::LookedUp};

    /// Runs attempts against an engine that fails on every batch with a poisoned item, and on the first `kills` batches.
    fn settle(
        items: u64,
        poison: &HashSet<u64>,
        mut kills: u32,
    ) -> (HashSet<u64>, HashSet<u64>, u32) {
        let now = Instant::now();
        let items = (0..items)
            .map(|job| Item {
                job,
                piece: 0,
                tokens: 5,
                target: "fr".parse().unwrap(),
                lane: Lane::Normal,
                queued: now,
                has_begun: false,
                client: ClientId::default(),
                key: None,
                looked_up: LookedUp::default(),
            })
            .collect();
        let mut queue = vec![Attempt { items, failures: 0 }];
        let (mut done, mut dead, mut runs) = (HashSet::new(), HashSet::new(), 0);
        while let Some(attempt) = queue.pop() {
            runs += 1;
            let killed = kills > 0;
            kills = kills.saturating_sub(1);
            if killed || attempt.items.iter().any(|item| poison.contains(&item.job)) {
                match after_failure(attempt) {
                    AfterFailure::Retry(attempts) => queue.extend(attempts),
                    AfterFailure::Poison(item) => assert!(dead.insert(item.job)),
                }
            } else {
                assert!(attempt.items.iter().all(|item| done.insert(item.job)));
            }
        }
        (done, dead, runs)
    }

    proptest! {
        #[test]
        fn exactly_the_poison_ends_as_poison(
            items in 1u64..200, poison in prop::collection::hash_set(0u64..200, 0..6),
        ) {
            let poison: HashSet<_> = poison.into_iter().filter(|job| *job < items).collect();
            let (done, dead, runs) = settle(items, &poison, 0);
            prop_assert_eq!(&dead, &poison);
            prop_assert_eq!(done.len() as u64, items - poison.len() as u64);
            let depth = 64 - items.leading_zeros();
            prop_assert!(runs <= 2 + poison.len() as u32 * (2 * depth + 2), "{runs} runs");
        }

        #[test]
        fn two_kills_from_outside_make_no_text_poison(items in 1u64..200, kills in 0u32..=2) {
            let (done, dead, _) = settle(items, &HashSet::new(), kills);
            prop_assert_eq!((done.len() as u64, dead.len()), (items, 0));
        }

        #[test]
        fn a_pool_is_broken_only_without_a_warm_engine_and_a_reason(
            is_warm: bool, is_permanent: bool, failed_starts in 0u32..6, waited in 0u64..60, max_wait in 0u64..60,
        ) {
            let condition = Condition {
                is_warm,
                failed_starts,
                is_permanent,
                waited: Duration::from_secs(waited),
                max_wait: Duration::from_secs(max_wait),
            };
            let broken = is_broken(&condition);
            prop_assert!(!broken || !is_warm);
            prop_assert!(!broken || is_permanent || failed_starts >= BROKEN_AFTER || waited > max_wait);
            prop_assert!(broken || is_warm || !is_permanent);
            let worse = Condition { failed_starts: failed_starts + 1, ..condition };
            prop_assert!(is_broken(&worse) || !broken);
        }

        #[test]
        fn delays_grow_and_stay_bounded(failures in 0u32..100) {
            let delay = |n| restart_delay(n, Duration::from_millis(250), Duration::from_secs(30));
            prop_assert!(delay(failures) <= delay(failures + 1));
            prop_assert!(delay(failures) <= Duration::from_secs(30));
            prop_assert_eq!(delay(1), Duration::ZERO);
            prop_assert_eq!(delay(2), Duration::from_millis(250));
        }
    }
}
