//! Pure decisions of the node's budget: which pool gets the next slot, and which pool releases an actor.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Lane;

/// A bulk batch may wait this many times as long for a core as a batch of a conversation.
const BULK_FACTOR: u32 = 10;

/// A pool that waits for a busy slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// The pool.
    pub(super) pool: u64,
    /// Threads that its batch needs.
    pub(super) threads: usize,
    /// The most urgent lane that has work.
    pub(super) lane: Lane,
    /// Since when the pool has waited for this slot.
    pub(super) since: Instant,
    /// Longest wait of a batch of the normal lane that is still on target.
    pub(super) target: Duration,
}

impl Demand {
    /// The moment from which the wait is above its target. Demands are served in this order: an interactive batch precedes every bulk
    /// batch that is still on target, and no demand starves, because every demand made later has a later moment in the end.
    #[must_use]
    pub(super) fn due(&self) -> Instant {
        let target = match self.lane {
            Lane::Interactive => Duration::ZERO,
            Lane::Normal => self.target,
            Lane::Any => self.target.saturating_mul(BULK_FACTOR),
        };
        self.since.checked_add(target).unwrap_or(self.since)
    }
}

/// The pools that get a slot now, in this order. The next demand in the order waits for enough free threads and nothing overtakes it, so
/// that a wide batch is not starved by narrow ones.
#[must_use]
pub(super) fn grant(free_threads: usize, demands: &[Demand]) -> Vec<u64> {
    let mut order: Vec<&Demand> = demands.iter().collect();
    order.sort_by_key(|demand| (demand.due(), demand.since, demand.pool));
    let mut free = free_threads;
    let mut granted = Vec::new();
    for demand in order {
        if demand.threads > free {
            break;
        }
        free -= demand.threads;
        granted.push(demand.pool);
    }
    granted
}

/// A pool that could release an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    /// The pool.
    pub(super) pool: u64,
    /// Whether it has nothing to do.
    pub(super) is_idle: bool,
    /// When it last had something to do.
    pub(super) last_used: Instant,
    /// Bytes that one of its actors holds.
    pub(super) memory: u64,
}

/// The pools that have to release an actor each, to free `missing` bytes: the least recently used idle pools first.
/// Pools with work are asked only if `from_busy`, and never more of them than needed.
#[must_use]
pub(super) fn evict(missing: u64, holders: &[Holder], from_busy: bool) -> Vec<u64> {
    let mut order: Vec<&Holder> = holders
        .iter()
        .filter(|holder| holder.memory > 0 && (holder.is_idle || from_busy))
        .collect();
    order.sort_by_key(|holder| (!holder.is_idle, holder.last_used, holder.pool));
    let mut missing = missing;
    let mut asked = Vec::new();
    for holder in order {
        if missing == 0 {
            break;
        }
        missing = missing.saturating_sub(holder.memory);
        asked.push(holder.pool);
    }
    asked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_secs(1);

    fn demand(pool: u64, threads: usize, lane: Lane, since: Instant) -> Demand {
        Demand {
            pool,
            threads,
            lane,
            since,
            target: TARGET,
        }
    }

    fn lane() -> impl Strategy<Value = Lane> {
        prop::sample::select(Lane::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn grants_never_exceed_the_free_threads_and_leave_no_fitting_head(
            free in 0usize..16,
            waiting in prop::collection::vec((1usize..5, lane(), 0u64..20_000), 0..40),
        ) {
            let start = Instant::now();
            let demands: Vec<_> = waiting.iter().zip(0..)
                .map(|(&(threads, lane, at), pool)| demand(pool, threads, lane, start + Duration::from_millis(at)))
                .collect();
            let granted = grant(free, &demands);
            let used: usize = granted.iter().map(|pool| demands[*pool as usize].threads).sum();
            prop_assert!(used <= free);
            let left = demands.iter().filter(|d| !granted.contains(&d.pool));
            if let Some(head) = left.min_by_key(|d| (d.due(), d.since, d.pool)) {
                prop_assert!(head.threads > free - used, "a core idles beside work that fits");
            }
        }

        #[test]
        fn every_waiting_pool_is_granted_in_the_end(
            lanes in prop::collection::vec(lane(), 2..60), cores in 1usize..4,
        ) {
            // Every pool asks again at once, and a batch takes 100 ms.
            let start = Instant::now();
            let mut demands: Vec<_> = lanes.iter().zip(0..)
                .map(|(lane, pool)| demand(pool, 1, *lane, start))
                .collect();
            let mut batches = vec![0; lanes.len()];
            let rounds = 2 * lanes.len() as u64 + 2 * 100;
            for round in 0..rounds {
                let now = start + Duration::from_millis(100 * (round + 1));
                for pool in grant(cores, &demands) {
                    batches[pool as usize] += 1;
                    demands[pool as usize].since = now;
                }
            }
            prop_assert!(batches.iter().all(|done| *done > 0), "{batches:?}");
        }

        #[test]
        fn interactive_work_precedes_bulk_work_on_target(bulk in 1u64..40, age in 0u64..9_000) {
            let start = Instant::now();
            let now = start + Duration::from_millis(age);
            let mut demands: Vec<_> = (0..bulk).map(|pool| demand(pool, 1, Lane::Any, start)).collect();
            demands.push(demand(bulk, 1, Lane::Interactive, now));
            prop_assert_eq!(grant(1, &demands), vec![bulk]);
        }

        #[test]
        fn the_least_recently_used_idle_pool_is_evicted_and_no_more_than_needed(
            used in prop::collection::vec((any::<bool>(), 0u64..1_000), 1..30), missing in 1u64..500,
        ) {
            let start = Instant::now();
            let holders: Vec<_> = used.iter().zip(0..)
                .map(|(&(is_idle, at), pool)| Holder {
                    pool, is_idle, last_used: start + Duration::from_millis(at), memory: 100,
                })
                .collect();
            let asked = evict(missing, &holders, false);
            prop_assert!(asked.len() as u64 <= missing.div_ceil(100));
            let of = |pool: &u64| holders[*pool as usize];
            prop_assert!(asked.iter().all(|pool| of(pool).is_idle));
            let newest = asked.iter().map(|pool| of(pool).last_used).max();
            for other in holders.iter().filter(|h| h.is_idle && !asked.contains(&h.pool)) {
                prop_assert!(newest.is_none_or(|newest| newest <= other.last_used));
            }
            let with_busy = evict(missing, &holders, true);
            prop_assert!(with_busy.len() as u64 == missing.div_ceil(100).min(holders.len() as u64));
        }
    }
}
