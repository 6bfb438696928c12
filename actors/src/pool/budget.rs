//! What a node has for engines, shared by its pools.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scaling::Ceilings;

/// Cores and memory for the engines of one node.
#[derive(Debug)]
pub struct NodeBudget {
    threads: usize,
    memory: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Used {
    threads: usize,
    memory: u64,
}

/// A model actor's part of the budget; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<NodeBudget>,
    threads: usize,
    memory: u64,
}

impl NodeBudget {
    /// A budget of engine threads and resident bytes.
    #[must_use]
    pub fn new(threads: usize, memory: u64) -> Arc<Self> {
        Arc::new(Self {
            threads,
            memory,
            used: Mutex::default(),
        })
    }

    /// Takes a part of the budget, if it is there. With `force` it is taken anyway: a pool's first actor is never refused,
    /// as a model without any actor helps nobody.
    #[must_use]
    pub fn acquire(self: &Arc<Self>, threads: usize, memory: u64, force: bool) -> Option<Permit> {
        let mut used = self.used();
        let fits = used.threads + threads <= self.threads && used.memory + memory <= self.memory;
        (fits || force).then(|| {
            used.threads += threads;
            used.memory += memory;
            Permit {
                budget: Arc::clone(self),
                threads,
                memory,
            }
        })
    }

    /// How many more actors of this size there is room for.
    #[must_use]
    pub fn room(&self, threads: usize, memory: u64) -> Ceilings {
        let used = self.used();
        let cores = self.threads.saturating_sub(used.threads) / threads.max(1);
        let memory = self.memory.saturating_sub(used.memory) / memory.max(1);
        Ceilings {
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            memory: u32::try_from(memory).unwrap_or(u32::MAX),
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Replaces the estimate of the memory by what was measured.
    pub fn measured(&mut self, memory: u64) {
        let mut used = self.budget.used();
        used.memory = used.memory - self.memory + memory;
        self.memory = memory;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.threads -= self.threads;
        used.memory -= self.memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back_and_never_exceeded_but_for_a_first_actor() {
        let budget = NodeBudget::new(2, 1_000);
        let mut first = budget.acquire(1, 400, false).unwrap();
        let _second = budget.acquire(1, 400, false).unwrap();
        assert!(budget.acquire(1, 1, false).is_none(), "no thread is left");
        assert!(
            budget.acquire(1, 1, true).is_some(),
            "a first actor is never refused"
        );
        first.measured(600);
        assert_eq!(budget.room(1, 1).cores, 0);
        drop(first);
        assert_eq!(budget.room(1, 400).room(), 1);
        assert_eq!(budget.room(1, 700).memory, 0, "memory is the limit");
    }
}
