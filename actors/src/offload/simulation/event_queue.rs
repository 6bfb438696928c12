//! What happens in the simulated world, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Happening {
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
