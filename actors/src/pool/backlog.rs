//! The backlog of a pool: lanes × length buckets, counted in tokens.
//!
//! Lanes share the pool by weight (stride scheduling after Waldspurger, 1995: the lane with the smallest pass goes next, and
//! what it takes divided by its weight moves its pass on), so a flood of one never starves another. Within
//! a lane, the bucket with the oldest item goes first, so nothing waits behind an endless stream of other lengths.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::{
    cache::CacheKey,
    domain::{Lane, Lanes},
};

use super::batching::{BatchBudget, BatchShape};

/// Upper bounds of the length buckets, in estimated tokens; the last bucket has none.
const BUCKETS: [u32; 6] = [8, 16, 32, 64, 128, u32::MAX];

/// Shares of the lanes when all of them have work.
pub const DEFAULT_WEIGHTS: Lanes<u32> = Lanes {
    interactive: 8,
    normal: 4,
    any: 1,
};

/// One piece of one job, waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// The pool's number of the job.
    pub job: u64,
    /// Which of the job's pieces.
    pub piece: u32,
    /// Estimated tokens, at least 1.
    pub tokens: u32,
    /// Its lane.
    pub lane: Lane,
    /// When it was queued.
    pub queued: Instant,
    /// Names its text, where translations are remembered.
    pub key: Option<CacheKey>,
}

/// Items waiting for a free actor.
#[derive(Debug)]
pub struct Backlog {
    lanes: Lanes<Queue>,
    weights: Lanes<u32>,
    /// The largest pass at which a lane was served: where a lane that was empty starts.
    clock: f64,
}

#[derive(Debug, Default)]
struct Queue {
    buckets: [VecDeque<Item>; BUCKETS.len()],
    items: usize,
    tokens: u64,
    /// Tokens taken, divided by the weight.
    pass: f64,
}

impl Backlog {
    /// An empty backlog. A weight of zero counts as one.
    #[must_use]
    pub fn new(weights: Lanes<u32>) -> Self {
        Self {
            lanes: Lanes::default(),
            weights,
            clock: 0.0,
        }
    }

    /// Queues an item behind those of its lane and length.
    pub fn push(&mut self, item: Item) {
        if self.lanes[item.lane].items == 0 {
            // A lane that was empty gets no credit for the time it had nothing to do, also if all were empty meanwhile.
            let lane = &mut self.lanes[item.lane];
            lane.pass = lane.pass.max(self.clock);
        }
        self.lanes[item.lane].push(item);
    }

    /// Takes a batch for a free actor: from the lane whose turn it is among those allowed, items of similar length first.
    /// Empty only when no allowed lane has any. The first lane decides the budget; `rest` says whether room that it leaves is
    /// given to the other allowed lanes.
    pub fn take(
        &mut self,
        budget: impl Fn(Lane) -> BatchBudget,
        allowed: impl Fn(Lane) -> bool,
        rest: bool,
    ) -> Vec<Item> {
        let mut batch = Vec::new();
        let mut shape = None;
        while let Some(lane) = self.next_lane(&allowed) {
            let shape = shape.get_or_insert_with(|| BatchShape::new(budget(lane)));
            let before = batch.len();
            self.clock = self.clock.max(self.lanes[lane].pass);
            self.lanes[lane].take(shape, &mut batch);
            let taken: u64 = batch[before..]
                .iter()
                .map(|item| u64::from(item.tokens))
                .sum();
            self.lanes[lane].pass += taken as f64 / f64::from(self.weights[lane].max(1));
            // A lane that still has items found the batch full.
            if !rest || self.lanes[lane].items > 0 {
                break;
            }
        }
        batch
    }

    fn active(&self) -> impl Iterator<Item = Lane> {
        Lane::ALL
            .into_iter()
            .filter(|lane| self.lanes[*lane].items > 0)
    }

    fn next_lane(&self, allowed: &impl Fn(Lane) -> bool) -> Option<Lane> {
        self.active()
            .filter(|lane| allowed(*lane))
            .min_by(|a, b| self.lanes[*a].pass.total_cmp(&self.lanes[*b].pass))
    }

    /// Takes out every item that `keep` refuses.
    pub fn remove(&mut self, mut keep: impl FnMut(&Item) -> bool) -> Vec<Item> {
        let mut removed = Vec::new();
        for lane in Lane::ALL {
            let queue = &mut self.lanes[lane];
            for bucket in &mut queue.buckets {
                bucket.retain(|item| {
                    let kept = keep(item);
                    if !kept {
                        removed.push(*item);
                        queue.items -= 1;
                        queue.tokens -= u64::from(item.tokens);
                    }
                    kept
                });
            }
        }
        removed
    }

    /// Takes back items that were removed, each to the place that its time gives it.
    pub fn restore(&mut self, items: Vec<Item>) {
        for item in items {
            self.push(item);
        }
        for lane in Lane::ALL {
            for bucket in &mut self.lanes[lane].buckets {
                bucket
                    .make_contiguous()
                    .sort_by_key(|item| (item.queued, item.job, item.piece));
            }
        }
    }

    /// Waiting tokens of all lanes.
    #[must_use]
    pub fn all_tokens(&self) -> u64 {
        Lane::ALL.into_iter().map(|lane| self.tokens(lane)).sum()
    }

    /// When the oldest waiting item of a lane was queued.
    #[must_use]
    pub fn oldest(&self, lane: Lane) -> Option<Instant> {
        self.lanes[lane].heads().map(|(_, queued)| queued).min()
    }

    /// Waiting items of a lane.
    #[must_use]
    pub fn items(&self, lane: Lane) -> usize {
        self.lanes[lane].items
    }

    /// Waiting tokens of a lane.
    #[must_use]
    pub fn tokens(&self, lane: Lane) -> u64 {
        self.lanes[lane].tokens
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active().next().is_none()
    }
}

impl Queue {
    fn push(&mut self, item: Item) {
        let bucket = BUCKETS.partition_point(|bound| *bound < item.tokens);
        self.buckets[bucket].push_back(item);
        self.items += 1;
        self.tokens += u64::from(item.tokens);
    }

    fn heads(&self) -> impl Iterator<Item = (usize, Instant)> {
        self.buckets
            .iter()
            .enumerate()
            .filter_map(|(i, b)| b.front().map(|item| (i, item.queued)))
    }

    /// Fills a batch from the bucket with the oldest item, then from shorter ones, which cost the least padding, then from longer ones.
    fn take(&mut self, shape: &mut BatchShape, batch: &mut Vec<Item>) {
        let Some((anchor, _)) = self.heads().min_by_key(|(_, queued)| *queued) else {
            return;
        };
        for index in (0..=anchor).rev().chain(anchor + 1..BUCKETS.len()) {
            while let Some(item) = self.buckets[index].front().copied() {
                if !shape.admit(item.tokens) {
                    break;
                }
                self.buckets[index].pop_front();
                self.items -= 1;
                self.tokens -= u64::from(item.tokens);
                batch.push(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use proptest::prelude::*;

    use super::*;

    const BUDGET: BatchBudget = BatchBudget {
        items: 32,
        padded_tokens: 512,
    };

    fn item(job: u64, tokens: u32, lane: Lane, start: Instant) -> Item {
        Item {
            job,
            piece: 0,
            tokens,
            lane,
            queued: start + Duration::from_micros(job),
            key: None,
        }
    }

    fn lanes() -> impl Strategy<Value = Lane> {
        prop::sample::select(Lane::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn every_item_leaves_exactly_once_and_every_batch_keeps_the_budget(
            items in prop::collection::vec((1u32..700, lanes()), 0..300), rest: bool,
        ) {
            let start = Instant::now();
            let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
            for (job, (tokens, lane)) in items.iter().enumerate() {
                backlog.push(item(job as u64, *tokens, *lane, start));
            }
            let mut seen = HashSet::new();
            while !backlog.is_empty() {
                let batch = backlog.take(|_| BUDGET, |_| true, rest);
                prop_assert!(!batch.is_empty());
                let longest = batch.iter().map(|i| i.tokens).max().unwrap() as usize;
                prop_assert!(batch.len() == 1 || batch.len() * longest <= BUDGET.padded_tokens as usize);
                prop_assert!(batch.len() <= BUDGET.items);
                for item in batch {
                    prop_assert!(seen.insert(item.job));
                }
            }
            prop_assert_eq!(seen.len(), items.len());
            for lane in Lane::ALL {
                prop_assert_eq!((backlog.items(lane), backlog.tokens(lane)), (0, 0));
            }
        }

        #[test]
        fn the_oldest_item_of_the_lane_whose_turn_it_is_is_in_the_batch(
            items in prop::collection::vec(1u32..700, 1..200),
        ) {
            let start = Instant::now();
            let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
            for (job, tokens) in items.iter().enumerate() {
                backlog.push(item(job as u64, *tokens, Lane::Normal, start));
            }
            while let Some(oldest) = backlog.oldest(Lane::Normal) {
                let batch = backlog.take(|_| BUDGET, |_| true, true);
                prop_assert!(batch.iter().any(|i| i.queued == oldest));
            }
        }

        #[test]
        fn what_is_removed_and_what_is_left_are_all_there_was(
            items in prop::collection::vec((1u32..700, lanes()), 0..200), modulus in 1u64..5,
        ) {
            let start = Instant::now();
            let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
            for (job, (tokens, lane)) in items.iter().enumerate() {
                backlog.push(item(job as u64, *tokens, *lane, start));
            }
            let removed = backlog.remove(|i| i.job % modulus != 0);
            prop_assert!(removed.iter().all(|i| i.job % modulus == 0));
            let left: usize = Lane::ALL.iter().map(|l| backlog.items(*l)).sum();
            prop_assert_eq!(left + removed.len(), items.len());
        }
    }

    #[test]
    fn items_that_come_back_go_where_their_time_puts_them() {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for job in 0..100 {
            backlog.push(item(job, 6, Lane::Normal, start));
        }
        let removed = backlog.remove(|item| item.job % 2 == 0);
        assert_eq!(removed.len(), 50);
        backlog.push(item(100, 6, Lane::Normal, start));
        backlog.restore(removed);
        let mut order = Vec::new();
        while !backlog.is_empty() {
            order.extend(backlog.take(|_| BUDGET, |_| true, true));
        }
        let jobs: Vec<_> = order.iter().map(|item| item.job).collect();
        assert_eq!(jobs, (0..=100).collect::<Vec<_>>());
    }

    #[test]
    fn lanes_that_are_all_full_share_by_weight() {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for job in 0..60_000 {
            backlog.push(item(job, 10, Lane::ALL[job as usize % 3], start));
        }
        let mut taken = Lanes::<u64>::default();
        for _ in 0..800 {
            for item in backlog.take(|_| BUDGET, |_| true, true) {
                taken[item.lane] += u64::from(item.tokens);
            }
        }
        assert!(
            Lane::ALL.iter().all(|lane| backlog.items(*lane) > 0),
            "a lane ran dry"
        );
        let share = taken.normal as f64 / taken.any as f64;
        assert!(
            (3.8..4.2).contains(&share),
            "normal got {share} times what any got"
        );
        let share = taken.interactive as f64 / taken.normal as f64;
        assert!(
            (1.9..2.1).contains(&share),
            "interactive got {share} times what normal got"
        );
    }

    #[test]
    fn a_lane_that_was_idle_does_not_catch_up() {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for job in 0..50_000 {
            backlog.push(item(job, 10, Lane::Normal, start));
        }
        for _ in 0..500 {
            backlog.take(|_| BUDGET, |_| true, true);
        }
        for job in 0..5_000 {
            backlog.push(item(100_000 + job, 10, Lane::Any, start));
        }
        let mut taken = Lanes::<usize>::default();
        for _ in 0..100 {
            for item in backlog.take(|_| BUDGET, |_| true, true) {
                taken[item.lane] += 1;
            }
        }
        assert!(taken.normal > 3 * taken.any, "{taken:?}");
    }

    #[test]
    fn a_lane_that_was_never_used_does_not_shut_out_one_that_worked_alone_for_long() {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for job in 0..50_000 {
            backlog.push(item(job, 10, Lane::Normal, start));
        }
        while !backlog.is_empty() {
            backlog.take(|_| BUDGET, |_| true, true);
        }
        for job in 0..10_000 {
            backlog.push(item(100_000 + job, 10, Lane::Any, start));
        }
        for job in 0..10_000 {
            backlog.push(item(200_000 + job, 10, Lane::Normal, start));
        }
        let mut taken = Lanes::<usize>::default();
        for _ in 0..50 {
            for item in backlog.take(|_| BUDGET, |_| true, true) {
                taken[item.lane] += 1;
            }
        }
        assert!(taken.normal > 3 * taken.any, "{taken:?}");
    }

    #[test]
    fn similar_lengths_travel_together() {
        let start = Instant::now();
        let mut backlog = Backlog::new(DEFAULT_WEIGHTS);
        for job in 0..1_000 {
            backlog.push(item(
                job,
                if job % 2 == 0 { 6 } else { 60 },
                Lane::Normal,
                start,
            ));
        }
        let batch = backlog.take(|_| BUDGET, |_| true, true);
        assert!(batch.iter().all(|i| i.tokens == 6), "{batch:?}");
        assert_eq!(batch.len(), BUDGET.items);
    }
}
