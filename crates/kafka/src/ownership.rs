//! Partition ownership of this member.
//!
//! A transaction may hold a partition's results only while the partition is ours: the group coordinator refuses offsets of a member
//! of an older generation, but it cannot know that a member of the current one commits a partition that it has lost
//! meanwhile. So a revoked partition is removed here before the rebalance completes, and the publisher checks ownership
//! and takes the generation under one lock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The reader's numbers of the partitions that it owns, with the epoch of their assignment.
#[derive(Debug, Clone, Default)]
pub struct Ownership(Arc<Mutex<HashMap<u32, u32>>>);

impl Ownership {
    /// A partition was assigned.
    pub fn gain(&self, partition: u32, epoch: u32) {
        self.with(|owned| owned.insert(partition, epoch));
    }

    /// A partition goes, or is gone already.
    pub fn lose(&self, partition: u32) {
        self.with(|owned| owned.remove(&partition));
    }

    /// Whether this assignment of a partition still holds.
    #[must_use]
    pub fn holds(&self, partition: u32, epoch: u32) -> bool {
        self.with(|owned| owned.get(&partition) == Some(&epoch))
    }

    /// Number of partitions.
    #[must_use]
    pub fn count(&self) -> usize {
        self.with(|owned| owned.len())
    }

    /// Calls `take` if all these assignments still hold, and returns its result. No partition can be revoked meanwhile.
    pub fn while_held<T>(
        &self,
        mut assignments: impl Iterator<Item = (u32, u32)>,
        take: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        self.with(|owned| {
            let held = assignments.all(|(partition, epoch)| owned.get(&partition) == Some(&epoch));
            if held { take() } else { None }
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<u32, u32>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_came_back_is_another_assignment() {
        let ownership = Ownership::default();
        ownership.gain(1, 1);
        ownership.gain(2, 1);
        let held = |list: &[(u32, u32)]| {
            ownership
                .while_held(list.iter().copied(), || Some(()))
                .is_some()
        };
        assert!(held(&[(1, 1), (2, 1)]));
        ownership.lose(1);
        assert!(!held(&[(1, 1), (2, 1)]));
        ownership.gain(1, 2);
        assert!(!held(&[(1, 1)]));
        assert!(held(&[(1, 2), (2, 1)]));
        assert_eq!(ownership.count(), 2);
        assert!(ownership.holds(1, 2) && !ownership.holds(1, 1));
    }
}
