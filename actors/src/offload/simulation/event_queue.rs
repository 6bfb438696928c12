//! What happens in the simulated world, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Happening {
    Arrival {
        node: usize,
    },
    OwnDone {
        node: usize,
    },
    Reaches {
        borrower: usize,
        worker: u64,
    },
    LentDone {
        node: usize,
        borrower: usize,
        worker: u64,
    },
    Back {
        borrower: usize,
        worker: u64,
    },
    Look {
        node: usize,
    },
}

/// When, in what order, and what.
#[derive(Debug, Clone, Copy, PartialEq)]
struct At(f64, u64, Happening);

impl Eq for At {}
impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Future events, the next one first; those of one time in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    events: BinaryHeap<Reverse<At>>,
    sequence: u64,
}

impl EventQueue {
    pub(super) fn push(&mut self, time: f64, what: Happening) {
        self.sequence += 1;
        self.events.push(Reverse(At(time, self.sequence, what)));
    }

    pub(super) fn pop(&mut self) -> Option<(f64, Happening)> {
        let Reverse(At(time, _, what)) = self.events.pop()?;
        Some((time, what))
    }
}
