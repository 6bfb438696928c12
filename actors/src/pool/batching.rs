//! How large a batch may be, and which lanes a free actor may serve.

pub use crate::batch_budget::BatchBudget;
use crate::domain::Lane;

/// A batch as it grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchShape {
    budget: BatchBudget,
    items: usize,
    longest: u32,
}

impl BatchShape {
    pub(super) const fn new(budget: BatchBudget) -> Self {
        Self {
            budget,
            items: 0,
            longest: 0,
        }
    }

    /// Adds a segment if there is room. The first one always has room: it cannot be made smaller.
    pub(super) fn admit(&mut self, tokens: u32) -> bool {
        let longest = self.longest.max(tokens);
        let padded = u64::from(longest) * (self.items as u64 + 1);
        let fits = self.items < self.budget.items && padded <= u64::from(self.budget.padded_tokens);
        if self.items == 0 || fits {
            self.items += 1;
            self.longest = longest;
            return true;
        }
        false
    }

    /// Whether there is no room, not even for a segment as short as can be.
    pub(super) fn is_full(&self) -> bool {
        let padded = u64::from(self.longest) * (self.items as u64 + 1);
        self.items > 0
            && (self.items >= self.budget.items || padded > u64::from(self.budget.padded_tokens))
    }

    /// Most segments of the batch.
    pub(super) const fn most_items(&self) -> usize {
        self.budget.items
    }
}

/// Which lanes the next batch of a free actor may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LanePolicy {
    any_allowed: bool,
    /// Whether interactive work is waiting, so that bulk work must not delay it.
    urgent: bool,
}

impl LanePolicy {
    /// Decides for a pool with `warm` actors, `on_bulk` of which are busy with bulk work. While urgent lanes are in use,
    /// one actor of several is kept off bulk work, so that an urgent message finds it free or soon free.
    pub(super) const fn of(warm: usize, on_bulk: usize, urgent: bool) -> Self {
        Self {
            any_allowed: !urgent || warm <= 1 || on_bulk + 1 < warm,
            urgent,
        }
    }

    pub(super) fn allows(self, lane: Lane) -> bool {
        lane != Lane::Any || self.any_allowed
    }

    pub(super) fn budget(self, lane: Lane, budget: BatchBudget) -> BatchBudget {
        if self.urgent && lane == Lane::Any {
            budget.for_bulk()
        } else {
            budget
        }
    }

    /// Whether lanes may share a batch: not while an urgent one would pay with its delay for bulk work.
    pub(super) const fn mixes(self) -> bool {
        !self.urgent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bulk_never_takes_the_last_actor_while_urgent_lanes_are_in_use(ready in 2usize..64) {
            let mut on_bulk = 0;
            while LanePolicy::of(ready, on_bulk, true).allows(Lane::Any) {
                on_bulk += 1;
            }
            prop_assert_eq!(on_bulk, ready - 1);
        }

        #[test]
        fn bulk_is_never_shut_out_for_good(ready in 1usize..64, urgent: bool) {
            prop_assert!(LanePolicy::of(ready, 0, urgent).allows(Lane::Any));
        }

        #[test]
        fn a_shape_never_grows_past_its_budget(lengths in prop::collection::vec(1u32..3_000, 1..100)) {
            let budget = BatchBudget::default();
            let mut shape = BatchShape::new(budget);
            let taken: Vec<_> = lengths.into_iter().filter(|l| shape.admit(*l)).collect();
            let longest = *taken.iter().max().unwrap() as usize;
            prop_assert!(taken.len() == 1 || taken.len() * longest <= budget.padded_tokens as usize);
        }
    }
}
