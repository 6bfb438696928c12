//! The core and memory budget of a node, shared by its pools.
//!
//! Memory limits how many model actors exist: each holds a [`Permit`]. Cores limit how many of them are *busy*: each batch holds a
//! [`Slot`]. An idle actor holds no slot, so it never keeps another pool from working. A slot that becomes free goes to the pool that
//! [`grant`] names and travels to it in a [`Notice`]; a pool that does not need it drops it, which passes it on. A slot
//! can therefore be neither lost nor held without a batch.

mod grant;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{domain::Lane, scaling::Ceilings};

use grant::{Demand, Holder, evict, grant};

/// How long a pool with work waits for memory before busy pools have to release an actor.
const EVICT_BUSY_AFTER: Duration = Duration::from_secs(1);

/// Cores and memory for the engines of one node.
pub struct NodeBudget {
    threads: usize,
    memory: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    busy_threads: usize,
    memory: u64,
    pools: BTreeMap<u64, Entry>,
    next_pool: u64,
    demands: Vec<Demand>,
    /// Pools with work and without an actor that wait for memory, and how much each needs.
    memory_waits: BTreeMap<u64, (Instant, u64)>,
}

struct Entry {
    notify: Arc<Notify>,
    memory: u64,
    actors: u32,
    is_idle: bool,
    last_used: Instant,
    /// Requested evictions that are pending, in bytes.
    evicting: u64,
}

type Notify = dyn Fn(Notice) + Send + Sync;

/// Notifications of the budget to a pool.
#[derive(Debug)]
pub enum Notice {
    /// A slot that the pool waited for.
    Slot(Slot),
    /// Memory is short: release one actor, an idle one or the first that becomes idle.
    Evict,
}

/// A pool's registration in the budget; released on drop.
pub struct BudgetHandle {
    budget: Arc<NodeBudget>,
    pool: u64,
}

/// The memory of a model actor; released on drop.
pub struct Permit {
    budget: Arc<NodeBudget>,
    pool: u64,
    memory: u64,
}

/// The right to keep some threads busy; passed on when dropped.
pub struct Slot {
    budget: Arc<NodeBudget>,
    threads: usize,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", self.threads)
    }
}

impl NodeBudget {
    /// A budget of engine threads and resident bytes.
    #[must_use]
    pub fn new(threads: usize, memory: u64) -> Arc<Self> {
        Arc::new(Self {
            threads: threads.max(1),
            memory,
            state: Mutex::default(),
        })
    }

    /// Admits a pool. The function must only pass the notice on, without blocking.
    #[must_use]
    pub fn join(self: &Arc<Self>, notify: impl Fn(Notice) + Send + Sync + 'static) -> BudgetHandle {
        let mut state = self.state();
        let pool = state.next_pool;
        state.next_pool += 1;
        let entry = Entry {
            notify: Arc::new(notify),
            memory: 0,
            actors: 0,
            is_idle: true,
            last_used: Instant::now(),
            evicting: 0,
        };
        state.pools.insert(pool, entry);
        BudgetHandle {
            budget: Arc::clone(self),
            pool,
        }
    }

    /// Assigns the free slots, and notifies all receivers except `asking`.
    fn pass_on(self: &Arc<Self>, asking: Option<u64>) -> Option<Slot> {
        let mut notices: Vec<(Arc<Notify>, Slot)> = Vec::new();
        let mut own = None;
        let mut state = self.state();
        let free = self.threads.saturating_sub(state.busy_threads);
        if free > 0 {
            for pool in grant(free, &state.demands) {
                let Some(at) = state.demands.iter().position(|d| d.pool == pool) else {
                    continue;
                };
                let threads = state.demands.swap_remove(at).threads;
                state.busy_threads += threads;
                let budget = Arc::clone(self);
                let slot = Slot { budget, threads };
                match state.pools.get(&pool) {
                    _ if asking == Some(pool) => own = Some(slot),
                    Some(entry) => notices.push((Arc::clone(&entry.notify), slot)),
                    // Its drop needs the lock.
                    None => notices.push((Arc::new(drop), slot)),
                }
            }
        }
        drop(state);
        for (notify, slot) in notices {
            notify(Notice::Slot(slot));
        }
        own
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BudgetHandle {
    /// A slot for a batch of this lane, or a place in the queue for one: then it comes in a [`Notice`].
    #[must_use]
    pub fn request(&self, threads: usize, lane: Lane, target: Duration) -> Option<Slot> {
        let mut state = self.budget.state();
        let demand = Demand {
            pool: self.pool,
            // A batch wider than the node gets the whole node.
            threads: threads.clamp(1, self.budget.threads),
            lane,
            since: Instant::now(),
            target,
        };
        match state.demands.iter_mut().find(|d| d.pool == self.pool) {
            // A later request does not move the pool back in the queue, and may move it forward.
            Some(known) if demand.due() < known.due() => known.lane = lane,
            Some(_) => {}
            None => state.demands.push(demand),
        }
        drop(state);
        self.budget.pass_on(Some(self.pool))
    }

    /// Withdraws the request for a slot.
    pub fn withdraw(&self) {
        let mut state = self.budget.state();
        let before = state.demands.len();
        state.demands.retain(|demand| demand.pool != self.pool);
        let head_may_have_gone = state.demands.len() < before;
        drop(state);
        if head_may_have_gone {
            let _ = self.budget.pass_on(None);
        }
    }

    /// The memory of one more actor, if there is room. A pool that has work and no actor is `urgent`: for it, others are asked to give
    /// up actors, and until it has its actor, no other pool gets an additional one.
    #[must_use]
    pub fn acquire(&self, memory: u64, urgent: bool) -> Option<Permit> {
        let now = Instant::now();
        let mut state = self.budget.state();
        // An actor that needs more than the node's budget gets all of it.
        let needed = memory.min(self.budget.memory);
        let since = state.memory_waits.get(&self.pool).map_or(now, |w| w.0);
        let ahead = state
            .memory_waits
            .iter()
            .filter(|(pool, wait)| **pool != self.pool && (!urgent || wait.0 < since))
            .fold(0u64, |sum, (_, wait)| sum.saturating_add(wait.1));
        let free = self.budget.memory.saturating_sub(state.memory);
        let wanted = needed.saturating_add(ahead);
        if wanted <= free || (state.memory == 0 && ahead == 0) {
            state.memory_waits.remove(&self.pool);
            state.memory = state.memory.saturating_add(memory);
            if let Some(entry) = state.pools.get_mut(&self.pool) {
                entry.memory = entry.memory.saturating_add(memory);
                entry.actors += 1;
            }
            return Some(Permit {
                budget: Arc::clone(&self.budget),
                pool: self.pool,
                memory,
            });
        }
        if !urgent {
            return None;
        }
        state.memory_waits.insert(self.pool, (since, needed));
        let coming: u64 = state.pools.values().map(|entry| entry.evicting).sum();
        let missing = wanted.saturating_sub(free.saturating_add(coming));
        let from_busy = now.saturating_duration_since(since) >= EVICT_BUSY_AFTER;
        let notices = self.ask(&mut state, missing, from_busy);
        drop(state);
        for notify in notices {
            notify(Notice::Evict);
        }
        None
    }

    fn ask(&self, state: &mut State, missing: u64, from_busy: bool) -> Vec<Arc<Notify>> {
        let holders: Vec<Holder> = state
            .pools
            .iter()
            .filter(|(pool, entry)| **pool != self.pool && entry.actors > 0 && entry.evicting == 0)
            .map(|(pool, entry)| Holder {
                pool: *pool,
                is_idle: entry.is_idle,
                last_used: entry.last_used,
                memory: (entry.memory / u64::from(entry.actors)).max(1),
            })
            .collect();
        let mut notices = Vec::new();
        for pool in evict(missing, &holders, from_busy) {
            let of = holders.iter().find(|holder| holder.pool == pool);
            if let (Some(entry), Some(holder)) = (state.pools.get_mut(&pool), of) {
                entry.evicting = holder.memory;
                notices.push(Arc::clone(&entry.notify));
            }
        }
        notices
    }

    /// Withdraws the request for memory.
    pub fn need_no_memory(&self) {
        self.budget.state().memory_waits.remove(&self.pool);
    }

    /// The pool has no actor to release.
    pub fn decline(&self) {
        if let Some(entry) = self.budget.state().pools.get_mut(&self.pool) {
            entry.evicting = 0;
        }
    }

    /// Tells whether the pool has anything to do.
    pub fn note_idle(&self, is_idle: bool) {
        if let Some(entry) = self.budget.state().pools.get_mut(&self.pool) {
            if !is_idle || !entry.is_idle {
                entry.last_used = Instant::now();
            }
            entry.is_idle = is_idle;
        }
    }

    /// How many more actors of this size a pool with `owned` actors could use, and how many there is memory for. Actors beyond the node's cores would
    /// never be busy at the same time.
    #[must_use]
    pub fn room(&self, threads: usize, memory: u64, owned: u32) -> Ceilings {
        let state = self.budget.state();
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let cores = (self.budget.threads / threads.max(1)).max(1);
        let free = self.budget.memory.saturating_sub(state.memory);
        Ceilings {
            cores: count(cores as u64).saturating_sub(owned),
            memory: count(free / memory.max(1)),
        }
    }
}

impl Drop for BudgetHandle {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.demands.retain(|demand| demand.pool != self.pool);
        state.memory_waits.remove(&self.pool);
        let entry = state.pools.remove(&self.pool);
        drop(state);
        drop(entry);
        let _ = self.budget.pass_on(None);
    }
}

impl Permit {
    /// Replaces the estimate of the memory by what was measured.
    pub fn measured(&mut self, memory: u64) {
        let mut state = self.budget.state();
        let change = |used: u64| used.saturating_sub(self.memory).saturating_add(memory);
        state.memory = change(state.memory);
        if let Some(entry) = state.pools.get_mut(&self.pool) {
            entry.memory = change(entry.memory);
        }
        self.memory = memory;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.memory = state.memory.saturating_sub(self.memory);
        if let Some(entry) = state.pools.get_mut(&self.pool) {
            entry.memory = entry.memory.saturating_sub(self.memory);
            entry.actors = entry.actors.saturating_sub(1);
            entry.evicting = 0;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.budget.state().busy_threads -= self.threads;
        let _ = self.budget.pass_on(None);
    }
}

#[cfg(test)]
mod tests;
