//! The pool's share of the node budget: the slot for its next batch, the memory of its next actor, and evictions.

use std::time::Duration;

use crate::{
    domain::Lane,
    scaling::{ActorCounts, Ceilings},
};

use super::budget::{BudgetHandle, Permit, Slot};

/// Granted and requested resources of a pool.
pub(super) struct Capacity {
    /// Its place in the node's budget.
    budget_handle: BudgetHandle,
    /// Cores of a batch.
    threads: usize,
    /// Longest time that work should wait.
    target_delay: Duration,
    /// A slot that came and is not used yet.
    slot: Option<Slot>,
    /// State as last reported to the budget: whether the pool waits for a slot, waits for memory, and is idle.
    is_asking: bool,
    waits_for_memory: bool,
    is_idle: bool,
    /// Bytes that an actor takes, expected or measured.
    actor_memory: u64,
    /// Whether the next actor that finishes its batch stops, because another pool needs its memory.
    must_evict: bool,
    /// Whether memory is too short for an actor; the pool starts none until it has work.
    is_resting: bool,
}

/// Reaction of a pool to an eviction request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eviction {
    /// An idle actor goes now.
    Now,
    /// The next one goes that ends its batch.
    AfterBatch,
    /// It has none.
    Declined,
}

/// Decides which actor a pool releases for another pool. The last actor of a pool with work does one batch first, or
/// two pools could take the memory from each other without doing anything.
pub(super) fn eviction(after_batch: bool, has_work: bool, counts: ActorCounts) -> Eviction {
    let may_go = after_batch || !has_work || counts.ready > 1;
    if may_go && counts.ready > 0 {
        Eviction::Now
    } else if counts.owned() > 0 {
        Eviction::AfterBatch
    } else {
        Eviction::Declined
    }
}

impl Capacity {
    pub(super) const fn new(
        budget_handle: BudgetHandle,
        threads: usize,
        target_delay: Duration,
        actor_memory: u64,
    ) -> Self {
        Self {
            budget_handle,
            threads,
            target_delay,
            slot: None,
            is_asking: false,
            waits_for_memory: false,
            is_idle: true,
            actor_memory,
            must_evict: false,
            is_resting: false,
        }
    }

    /// A slot has come that was waited for.
    pub(super) fn put_slot(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// Requests a slot for a batch of this lane. If none is free, the slot arrives later in a notice.
    pub(super) fn take_slot(&mut self, lane: Lane) -> Option<Slot> {
        let slot = self.slot.take();
        slot.or_else(|| {
            self.budget_handle
                .request(self.threads, lane, self.target_delay)
        })
    }

    /// Returns unused resources, and reports to the budget whether the pool is idle.
    pub(super) fn settle(&mut self, has_work: bool, has_idle_actor: bool, is_busy: bool) {
        // Passed on to the next pool that waits.
        self.slot = None;
        let asks = has_work && has_idle_actor;
        if self.is_asking && !asks {
            self.budget_handle.withdraw();
        }
        self.is_asking = asks;
        let is_idle = !has_work && !is_busy;
        if std::mem::replace(&mut self.is_idle, is_idle) != is_idle {
            self.budget_handle.note_idle(is_idle);
        }
    }

    /// The memory of one more actor, if there is room. A pool that has work and no actor is `urgent`.
    pub(super) fn acquire(&mut self, urgent: bool) -> Option<Permit> {
        let permit = self.budget_handle.acquire(self.actor_memory, urgent);
        match permit {
            Some(_) => {
                self.waits_for_memory = false;
                self.is_resting = false;
            }
            None => self.waits_for_memory |= urgent,
        }
        permit
    }

    /// The pool is idle: withdraw its request for memory.
    pub(super) fn give_up_memory(&mut self) {
        if std::mem::take(&mut self.waits_for_memory) {
            self.budget_handle.need_no_memory();
        }
    }

    /// An actor was measured to take so many bytes.
    pub(super) const fn measured(&mut self, memory: u64) {
        if memory > 0 {
            self.actor_memory = memory;
        }
    }

    /// Further actors that the node has room for, for a pool that has so many.
    pub(super) fn room(&self, owned: u32) -> Ceilings {
        self.budget_handle
            .room(self.threads, self.actor_memory, owned)
    }

    /// Handles a new or pending eviction request. Returns whether an idle actor stops now.
    pub(super) fn evict(&mut self, after_batch: bool, has_work: bool, counts: ActorCounts) -> bool {
        let eviction = eviction(after_batch, has_work, counts);
        self.must_evict = eviction == Eviction::AfterBatch;
        if eviction == Eviction::Declined {
            self.budget_handle.decline();
        }
        eviction == Eviction::Now
    }

    /// Whether an eviction is pending.
    pub(super) const fn must_evict(&self) -> bool {
        self.must_evict
    }

    /// An actor was lost: its memory is free.
    pub(super) const fn actor_lost(&mut self) {
        self.must_evict = false;
    }

    /// No actor is started until there is work: memory is short.
    pub(super) const fn rest(&mut self) {
        self.is_resting = true;
    }

    /// Whether no actor is started until there is work.
    pub(super) const fn is_resting(&self) -> bool {
        self.is_resting
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pool_with_work_gives_up_its_last_idle_actor_only_after_a_batch(
            ready in 0u32..4, busy in 0u32..4, starting in 0u32..4, after_batch: bool, has_work: bool,
        ) {
            let counts = ActorCounts { ready, busy, starting, ..ActorCounts::default() };
            let eviction = eviction(after_batch, has_work, counts);
            let owned = ready + busy + starting;
            prop_assert_eq!(eviction == Eviction::Declined, owned == 0);
            let is_kept = has_work && !after_batch && ready == 1;
            prop_assert_eq!(eviction == Eviction::Now, ready > 0 && !is_kept);
        }
    }
}
