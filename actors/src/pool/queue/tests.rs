use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::pool::{backlog::DEFAULT_WEIGHTS, batching::BatchBudget, item::LookedUp};

fn language(tag: &str) -> Language {
    tag.parse().unwrap()
}

fn item(job: u64, target: &str, start: Instant) -> Item {
    Item {
        job,
        piece: 0,
        tokens: 5,
        target: language(target),
        lane: Lane::Normal,
        client: ClientId::default(),
        queued: start + Duration::from_micros(job),
        has_begun: false,
        key: None,
        looked_up: LookedUp::default(),
    }
}

fn all_lanes() -> Lanes<BatchLimits> {
    let limits = BatchLimits::from(BatchBudget::default());
    Lanes {
        interactive: limits,
        normal: limits,
        any: limits,
    }
}

/// Takes everything out that can be taken.
fn take_all(queue: &mut WorkQueue) -> Vec<u64> {
    let mut jobs = Vec::new();
    while let Some(attempt) = queue.next_retry(|_| {}) {
        jobs.extend(attempt.items.iter().map(|item| item.job));
    }
    loop {
        let batch = queue.next_fresh(&all_lanes(), LanePolicy::of(1, 0, false));
        if batch.is_empty() {
            return jobs;
        }
        jobs.extend(batch.iter().map(|item| item.job));
    }
}

proptest! {
    /// What happens to a queue, in any order: work comes, fails, is put back, languages are paused and resumed.
    #[test]
    fn nothing_that_waits_is_lost_or_doubled(steps in prop::collection::vec((0u8..6, any::<bool>()), 0..120)) {
        let start = Instant::now();
        let mut queue = WorkQueue::new(DEFAULT_WEIGHTS);
        let mut next = 0;
        for (step, french) in steps {
            let target = if french { "fr" } else { "de" };
            match step {
                0 | 1 => {
                    queue.push(item(next, target, start));
                    next += 1;
                }
                2 => queue.pause(language(target)),
                3 => queue.resume(language(target)),
                4 => {
                    let items = queue.next_fresh(&all_lanes(), LanePolicy::of(1, 0, false));
                    prop_assert!(items.iter().all(|item| !queue.is_paused(item.target)));
                    match french {
                        true => queue.retry(vec![Attempt { items, failures: 1 }]),
                        false => queue.restore(items),
                    }
                }
                _ => {
                    if let Some(attempt) = queue.next_retry(|_| {}) {
                        prop_assert!(attempt.items.iter().all(|item| !queue.is_paused(item.target)));
                        queue.put_back(attempt);
                    }
                }
            }
        }
        queue.resume_all();
        let left = take_all(&mut queue);
        prop_assert_eq!(left.len() as u64, next);
        prop_assert_eq!(left.into_iter().collect::<BTreeSet<_>>(), (0..next).collect::<BTreeSet<_>>());
        prop_assert!(!queue.has_work());
    }
}

#[test]
fn a_paused_language_waits_apart_and_is_counted() {
    let start = Instant::now();
    let mut queue = WorkQueue::new(DEFAULT_WEIGHTS);
    queue.push(item(1, "fr", start));
    queue.push(item(2, "de", start));
    queue.pause(language("fr"));
    queue.push(item(3, "fr", start));
    assert_eq!(take_all(&mut queue), [2]);
    let status = queue.paused_status();
    assert_eq!((status.segments, status.tokens), (2, 10));
    queue.resume(language("fr"));
    assert_eq!(take_all(&mut queue), [1, 3]);
}

#[test]
fn the_first_lane_is_the_most_urgent_one_of_fresh_and_failed_work() {
    let start = Instant::now();
    let mut queue = WorkQueue::new(DEFAULT_WEIGHTS);
    assert_eq!(queue.first_lane(), None);
    queue.push(item(1, "fr", start));
    assert_eq!(queue.first_lane(), Some(Lane::Normal));
    let urgent = Item {
        lane: Lane::Interactive,
        ..item(2, "fr", start)
    };
    queue.retry(vec![Attempt {
        items: vec![urgent],
        failures: 1,
    }]);
    assert_eq!(queue.first_lane(), Some(Lane::Interactive));
}
