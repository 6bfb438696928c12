//! State shared by the cluster components of this node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use babelmesh_telemetry::status::{ClusterView, MemberState, MemberView, NodeReport};
use ractor::{ActorId, ActorRef};

use super::{
    handshake::{Identity, SessionKey},
    membership_table::MembershipTable,
    message::{GatewayMessage, MOST_MEMBERS, SenderId},
    node_snapshot::{NodeSnapshot, NodeSnapshotCache},
    transport::Register,
};

/// Where gateways find each other; the version keeps different protocols apart.
const SCOPE: &str = "babelmesh/1";

/// A connection to a node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkState {
    /// The library's number of it, once it can be used.
    pub(super) number: Option<u64>,
    /// Its key, once the gateway has it.
    pub(super) session: Option<SessionKey>,
}

/// Membership and connections.
pub(super) struct Shared {
    me: Identity,
    started: Instant,
    membership_table: Mutex<MembershipTable>,
    /// Nodes that there is a connection to.
    links: Mutex<BTreeMap<String, LinkState>>,
    /// Messages without a connected sender.
    forged: AtomicU64,
    report: Mutex<Option<NodeReport>>,
    round_trips: Mutex<BTreeMap<String, Duration>>,
    draining: AtomicBool,
    hints: Mutex<BTreeSet<String>>,
    node_snapshot: NodeSnapshotCache,
}

impl Shared {
    pub(super) fn new(me: Identity, membership_table: MembershipTable) -> Self {
        Self {
            me,
            started: Instant::now(),
            membership_table: Mutex::new(membership_table),
            links: Mutex::default(),
            forged: AtomicU64::new(0),
            report: Mutex::default(),
            round_trips: Mutex::default(),
            draining: AtomicBool::new(false),
            hints: Mutex::default(),
            node_snapshot: NodeSnapshotCache::default(),
        }
    }

    pub(super) const fn me(&self) -> &Identity {
        &self.me
    }

    pub(super) fn membership_table(&self) -> MutexGuard<'_, MembershipTable> {
        lock(&self.membership_table)
    }

    pub(super) fn links(&self) -> MutexGuard<'_, BTreeMap<String, LinkState>> {
        lock(&self.links)
    }

    /// Whether there is a connection to a node, or about to be one.
    pub(super) fn has_link(&self, node: &str) -> bool {
        self.links().contains_key(node)
    }

    /// The last report of this node.
    pub(super) fn report(&self) -> MutexGuard<'_, Option<NodeReport>> {
        lock(&self.report)
    }

    /// What translations of a model depend on here; empty when that is not known.
    pub(super) fn space_of(&self, model: &str) -> String {
        let report = self.report();
        let mut pools = report.iter().flat_map(|own| &own.pools);
        let pool = pools.find(|pool| pool.model == model);
        pool.map_or_else(String::new, |pool| pool.space.clone())
    }

    /// Round-trip times of heartbeats to connected nodes.
    pub(super) fn round_trips(&self) -> MutexGuard<'_, BTreeMap<String, Duration>> {
        lock(&self.round_trips)
    }

    /// Time since this node's part of the cluster was made, in microseconds.
    pub(super) fn clock(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long this node's part of the cluster has been there.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// A node has introduced itself, to be called back.
    pub(super) fn hint(&self, node: &str) {
        let mut hints = lock(&self.hints);
        if hints.len() < MOST_MEMBERS {
            hints.insert(node.to_owned());
        }
    }

    /// Nodes that have introduced themselves since this was asked last.
    pub(super) fn take_hints(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.hints))
    }

    /// Whether this node accepts no more work.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.note_change();
    }

    /// Counts a message that came over none of the current connections.
    pub(super) fn note_forged(&self) {
        self.forged.fetch_add(1, Ordering::Relaxed);
    }

    /// What this node says of itself to another one, over the connection to it.
    pub(super) fn speaker_to(&self, node: &str) -> Option<SenderId> {
        let session = self.links().get(node)?.session?;
        let incarnation = self.me.incarnation.get();
        Some(SenderId {
            session,
            incarnation,
        })
    }

    /// The gateway of another node, if there is a connection that can be used.
    pub(super) fn gateway_of(&self, node: &str) -> Option<ActorRef<GatewayMessage>> {
        let link = self.links().get(node)?.number?;
        let members = ractor::pg::get_scoped_members(&SCOPE.to_owned(), &node.to_owned());
        let ours = |id| matches!(id, ActorId::Remote { node_id, .. } if node_id == link);
        let found = members.into_iter().find(|cell| ours(cell.get_id()));
        found.map(ActorRef::from)
    }

    /// Lets other nodes find this one's gateway.
    pub(super) fn publish(&self, gateway: &ActorRef<GatewayMessage>) {
        let group = self.me.name.clone();
        ractor::pg::join_scoped(SCOPE.to_owned(), group, vec![gateway.get_cell()]);
    }

    /// The cluster now.
    pub(super) fn view(&self) -> ClusterView {
        ClusterView {
            forged_messages: self.forged.load(Ordering::Relaxed),
            ..ClusterView::new(self.me.name.clone(), self.members())
        }
    }

    /// The nodes as requests are placed by, as they were at most a moment ago.
    pub(super) fn node_snapshot(&self) -> Arc<NodeSnapshot> {
        self.node_snapshot.get(Instant::now(), || self.members())
    }

    /// Drops the snapshot after a change of a connection or of a node's state.
    pub(super) fn note_change(&self) {
        self.node_snapshot.forget();
    }

    fn members(&self) -> Vec<MemberView> {
        let linked: BTreeSet<String> = {
            let links = self.links();
            let usable = links.iter().filter(|(_, link)| link.number.is_some());
            usable.map(|(node, _)| node.clone()).collect()
        };
        let is_linked = |node: &str| linked.contains(node);
        let mut members = self.membership_table().view(Instant::now(), is_linked);
        members.push(MemberView {
            node: self.me.name.clone(),
            address: self.me.address.clone(),
            incarnation: self.me.incarnation.get(),
            state: MemberState::Own,
            linked: true,
            since_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            report: self.report().clone(),
        });
        members
    }
}

impl Register for Shared {
    fn admit(&self, name: &str, incarnation: u64) -> Result<Option<u64>, String> {
        self.membership_table().admit(name, incarnation)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
