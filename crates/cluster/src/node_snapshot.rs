//! A snapshot of the nodes for the placement of requests, shared by all requests of a moment.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use babelmesh_actors::routing::Capability;

use babelmesh_telemetry::status::MemberView;

/// How long a snapshot is used, unless a connection or the state of a node changes before.
const FRESH: Duration = Duration::from_millis(100);

/// The nodes at one moment.
#[derive(Debug, Default)]
pub(super) struct NodeSnapshot {
    /// All nodes, this one too.
    pub(super) members: Vec<MemberView>,
    /// Capabilities of nodes that accept work.
    pub(super) capabilities: Vec<Capability>,
}

impl NodeSnapshot {
    fn of(members: Vec<MemberView>) -> Self {
        let up = members.iter().filter(|m| m.state.is_up() && m.linked);
        let reports = up.filter_map(|m| m.report.as_ref());
        let working = reports.filter(|report| !report.draining);
        let pools = working.flat_map(|report| &report.pools);
        let capabilities = pools.filter_map(|pool| pool.ability.parse()).collect();
        Self {
            members,
            capabilities,
        }
    }
}

/// The last [`NodeSnapshot`].
#[derive(Debug, Default)]
pub(super) struct NodeSnapshotCache(Mutex<Option<(Instant, Arc<NodeSnapshot>)>>);

impl NodeSnapshotCache {
    /// The last one while it is fresh, else a new one of these nodes.
    pub(super) fn get(
        &self,
        now: Instant,
        members: impl FnOnce() -> Vec<MemberView>,
    ) -> Arc<NodeSnapshot> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, node_snapshot)) if now.saturating_duration_since(*at) < FRESH => {
                Arc::clone(node_snapshot)
            }
            _ => {
                let node_snapshot = Arc::new(NodeSnapshot::of(members()));
                *last = Some((now, Arc::clone(&node_snapshot)));
                node_snapshot
            }
        }
    }

    /// Drops the snapshot after a change that must affect requests at once.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::sample::report;
    use babelmesh_telemetry::status::MemberState;

    fn member(state: MemberState, draining: bool) -> MemberView {
        let mut report = report(&["fr"]);
        report.draining = draining;
        MemberView {
            node: "a".to_owned(),
            address: String::new(),
            incarnation: 1,
            state,
            linked: true,
            since_ms: 0,
            report: Some(report),
        }
    }

    #[test]
    fn the_nodes_are_looked_up_once_for_all_requests_of_a_moment_and_again_after_a_change() {
        let (last, looks) = (NodeSnapshotCache::default(), Cell::new(0));
        let look = |now| {
            last.get(now, || {
                looks.set(looks.get() + 1);
                Vec::new()
            })
        };
        let now = Instant::now();
        for _ in 0..1_000 {
            look(now + FRESH / 2);
        }
        assert_eq!(looks.get(), 1);
        last.forget();
        look(now + FRESH / 2);
        assert_eq!(looks.get(), 2, "something has changed");
        look(now + FRESH * 2);
        assert_eq!(looks.get(), 3, "it is old");
    }

    #[test]
    fn only_nodes_that_take_work_are_able() {
        let able = |state, draining| {
            NodeSnapshot::of(vec![member(state, draining)])
                .capabilities
                .len()
        };
        assert_eq!(able(MemberState::Alive, false), 1);
        assert_eq!(able(MemberState::Alive, true), 0);
        assert_eq!(able(MemberState::Down, false), 0);
    }
}
