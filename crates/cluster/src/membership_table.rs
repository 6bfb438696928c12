//! The membership table. Pure state; [`gateway`](super::gateway) acts on it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use babelmesh_actors::routing::Capability;
use babelmesh_telemetry::status::{MemberState, MemberView, NodeReport};

use super::{
    handshake::is_plausible,
    membership::{FailureTimeouts, Member, MemberEvent, PeerState},
    message::{MOST_MEMBERS, PeerInfo},
};

/// How long a node that left is listed.
const LEFT_RETENTION: Duration = Duration::from_secs(60);
/// How long a node is dialled that others know and this one never reached.
const GOSSIP_RETENTION: Duration = Duration::from_secs(60);

/// The other nodes.
#[derive(Debug)]
pub(super) struct MembershipTable {
    me: String,
    timeouts: FailureTimeouts,
    forget: Duration,
    members: BTreeMap<String, Entry>,
    gossip: BTreeMap<String, GossipEntry>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    address: String,
    report: Option<NodeReport>,
    /// Last reported capabilities, even if the node is gone.
    capabilities: Vec<Capability>,
}

/// A node that others know.
#[derive(Debug)]
struct GossipEntry {
    address: String,
    incarnation: u64,
    heard: Instant,
}

/// A node whose state has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) node: String,
    pub(super) incarnation: u64,
    pub(super) from: Option<PeerState>,
    pub(super) to: PeerState,
}

impl MembershipTable {
    pub(super) const fn new(me: String, timeouts: FailureTimeouts, forget: Duration) -> Self {
        Self {
            me,
            timeouts,
            forget,
            members: BTreeMap::new(),
            gossip: BTreeMap::new(),
        }
    }

    /// A connection to a node is ready.
    pub(super) fn linked(
        &mut self,
        node: &str,
        address: &str,
        incarnation: u64,
        now: Instant,
    ) -> Option<Change> {
        self.gossip.remove(node);
        if let Some(entry) = self.members.get_mut(node) {
            address.clone_into(&mut entry.address);
            return self.apply(node, MemberEvent::Heard { incarnation }, now);
        }
        if self.members.len() >= MOST_MEMBERS {
            return None;
        }
        let entry = Entry {
            member: Member::new(incarnation, now),
            address: address.to_owned(),
            report: None,
            capabilities: Vec::new(),
        };
        self.members.insert(node.to_owned(), entry);
        Some(Change {
            node: node.to_owned(),
            incarnation,
            from: None,
            to: PeerState::Alive,
        })
    }

    /// Applies an event of a node. Nodes that never had a connection are ignored.
    pub(super) fn apply(&mut self, node: &str, event: MemberEvent, now: Instant) -> Option<Change> {
        let entry = self.members.get_mut(node)?;
        let before = entry.member;
        entry.member = before.next(event, now, self.timeouts);
        let after = entry.member;
        // Reports of an earlier incarnation are stale.
        if after.state.is_over() || after.incarnation > before.incarnation {
            entry.report = None;
        }
        let is_news = (before.state, before.incarnation) != (after.state, after.incarnation);
        is_news.then(|| Change {
            node: node.to_owned(),
            incarnation: after.incarnation,
            from: Some(before.state),
            to: after.state,
        })
    }

    /// Applies a report of a node; older ones are ignored.
    pub(super) fn reported(&mut self, node: &str, incarnation: u64, report: NodeReport) -> bool {
        let Some(entry) = self.members.get_mut(node) else {
            return false;
        };
        let newer = entry
            .report
            .as_ref()
            .is_none_or(|known| known.serial < report.serial);
        let counts =
            entry.member.incarnation == incarnation && !entry.member.state.is_over() && newer;
        if counts {
            let pools = report.pools.iter();
            entry.capabilities = pools.filter_map(|pool| pool.ability.parse()).collect();
            entry.report = Some(report);
        }
        counts
    }

    /// Last reported capabilities of a node; none if it is unknown or forgotten.
    pub(super) fn capabilities_of(&self, node: &str) -> &[Capability] {
        let entry = self.members.get(node);
        entry.map_or(&[], |entry| entry.capabilities.as_slice())
    }

    /// Last report of an alive node.
    pub(super) fn report_of(&self, node: &str) -> Option<&NodeReport> {
        let entry = self.members.get(node)?;
        let alive = entry.member.state == PeerState::Alive;
        entry.report.as_ref().filter(|_| alive)
    }

    /// Merges gossip of another node. Implausible incarnations, by this node's clock `clock`, are ignored.
    pub(super) fn merge_gossip(&mut self, others: Vec<PeerInfo>, now: Instant, clock: u64) {
        for other in others.into_iter().take(MOST_MEMBERS) {
            if !is_plausible(other.incarnation, clock) {
                continue;
            }
            let known = self.members.get(&other.node);
            // A member is dialled at the address that it announced itself, until gossip reports a newer incarnation.
            let is_news = known.is_none_or(|entry| other.incarnation > entry.member.incarnation);
            let room = self.gossip.len() < MOST_MEMBERS || self.gossip.contains_key(&other.node);
            if other.node != self.me && is_news && room {
                let gossip = GossipEntry {
                    address: other.address,
                    incarnation: other.incarnation,
                    heard: now,
                };
                self.gossip.insert(other.node, gossip);
            }
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Change> {
        let nodes: Vec<String> = self.members.keys().cloned().collect();
        let changes = nodes
            .iter()
            .filter_map(|node| self.apply(node, MemberEvent::Tick, now))
            .collect();
        let forget = self.forget;
        self.members.retain(|_, entry| {
            let ago = now.saturating_duration_since(entry.member.since);
            match entry.member.state {
                PeerState::Left => ago < LEFT_RETENTION,
                PeerState::Down => ago < forget,
                PeerState::Alive | PeerState::Suspect => true,
            }
        });
        self.gossip
            .retain(|_, gossip| now.saturating_duration_since(gossip.heard) < GOSSIP_RETENTION);
        changes
    }

    /// Admits a node, and returns its incarnation that was declared dead, if any; or the reason why this name and incarnation are rejected.
    pub(super) fn admit(&self, node: &str, incarnation: u64) -> Result<Option<u64>, String> {
        let Some(entry) = self.members.get(node) else {
            return match self.members.len() >= MOST_MEMBERS {
                true => Err(format!("there are {MOST_MEMBERS} nodes already")),
                false => Ok(None),
            };
        };
        let member = &entry.member;
        if !member.state.is_over() && incarnation < member.incarnation {
            return Err(format!(
                "a newer node named {node} is running: set a unique node.name"
            ));
        }
        Ok(member.dead_incarnation())
    }

    /// Peers to gossip about.
    pub(super) fn known_peers(&self) -> Vec<PeerInfo> {
        let alive = self.members.iter().filter(|(_, entry)| {
            matches!(entry.member.state, PeerState::Alive | PeerState::Suspect)
        });
        alive
            .map(|(node, entry)| PeerInfo {
                node: node.clone(),
                address: entry.address.clone(),
                incarnation: entry.member.incarnation,
            })
            .collect()
    }

    /// The nodes as one may look at them. `is_linked` says whether there is a connection.
    pub(super) fn view(&self, now: Instant, is_linked: impl Fn(&str) -> bool) -> Vec<MemberView> {
        let members = self.members.iter().map(|(node, entry)| MemberView {
            node: node.clone(),
            address: entry.address.clone(),
            incarnation: entry.member.incarnation,
            state: entry.member.state.into(),
            linked: is_linked(node),
            since_ms: millis(now.saturating_duration_since(entry.member.since)),
            report: entry.report.clone(),
        });
        let gossip = self.gossip.iter();
        let gossip = gossip.filter(|(node, _)| !self.members.contains_key(*node));
        let unreached = gossip.map(|(node, gossip)| MemberView {
            node: node.clone(),
            address: gossip.address.clone(),
            incarnation: gossip.incarnation,
            state: MemberState::Unreached,
            linked: false,
            since_ms: millis(now.saturating_duration_since(gossip.heard)),
            report: None,
        });
        members.chain(unreached).collect()
    }

    /// Nodes that should be connected, with their possible addresses. The address that a node announced itself comes first; addresses from gossip are
    /// tried in addition.
    pub(super) fn wanted(&self) -> BTreeMap<String, Vec<String>> {
        let members = self.members.iter();
        let members = members.filter(|(_, entry)| entry.member.state != PeerState::Left);
        let members = members.map(|(node, entry)| (node.clone(), vec![entry.address.clone()]));
        let mut wanted: BTreeMap<_, _> = members.collect();
        for (node, gossip) in &self.gossip {
            let known = self.members.get(node);
            if known.is_none_or(|entry| gossip.incarnation > entry.member.incarnation) {
                let addresses = wanted.entry(node.clone()).or_default();
                if !addresses.contains(&gossip.address) {
                    addresses.push(gossip.address.clone());
                }
            }
        }
        wanted
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUTS: FailureTimeouts = FailureTimeouts {
        suspect: Duration::from_millis(1_500),
        down: Duration::from_millis(3_500),
    };

    const CLOCK: u64 = 1_000;

    fn membership_table() -> MembershipTable {
        MembershipTable::new("me".to_owned(), TIMEOUTS, Duration::from_secs(3_600))
    }

    fn known(node: &str, incarnation: u64) -> PeerInfo {
        PeerInfo {
            node: node.to_owned(),
            address: format!("{node}:7700"),
            incarnation,
        }
    }

    #[test]
    fn a_node_that_came_back_in_time_is_alive_and_one_that_left_is_dialled_no_more() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut membership_table = membership_table();
        let joined = membership_table.linked("a", "a:1", 5, start).unwrap();
        assert_eq!((joined.from, joined.to), (None, PeerState::Alive));
        let suspect = membership_table
            .apply("a", MemberEvent::Unlinked, at(10))
            .unwrap();
        assert_eq!(suspect.to, PeerState::Suspect);
        let back = membership_table.linked("a", "a:2", 5, at(20)).unwrap();
        assert_eq!(back.to, PeerState::Alive);
        assert_eq!(membership_table.wanted()["a"], ["a:2"]);
        assert!(
            membership_table.admit("a", 4).is_err(),
            "an older one of that name"
        );
        assert_eq!(membership_table.admit("a", 5), Ok(None));
        membership_table.apply("a", MemberEvent::Farewell { incarnation: 5 }, at(30));
        assert!(membership_table.wanted().is_empty() && membership_table.known_peers().is_empty());
        membership_table.merge_gossip(vec![known("a", 5)], at(40), CLOCK);
        assert!(
            membership_table.wanted().is_empty(),
            "others have not heard yet"
        );
        membership_table.merge_gossip(vec![known("a", 6), known("me", 1)], at(50), CLOCK);
        assert_eq!(membership_table.wanted().len(), 1, "it is back");
        membership_table.tick(at(200_000));
        assert!(membership_table.view(at(200_000), |_| false).is_empty());
    }

    #[test]
    fn a_report_counts_only_when_it_is_newer_and_of_the_present_incarnation() {
        let now = Instant::now();
        let mut membership_table = membership_table();
        let report = |serial| NodeReport {
            serial,
            ..crate::sample::report(&["fr"])
        };
        assert!(!membership_table.reported("a", 1, report(1)), "a stranger");
        membership_table.linked("a", "a:1", 1, now);
        assert!(membership_table.reported("a", 1, report(2)));
        assert!(
            !membership_table.reported("a", 1, report(2))
                && !membership_table.reported("a", 1, report(1))
        );
        membership_table.linked("a", "a:1", 2, now);
        assert!(!membership_table.reported("a", 1, report(9)));
        assert!(
            membership_table.reported("a", 2, report(1)),
            "it counts anew"
        );
    }

    #[test]
    fn gossip_never_replaces_the_address_a_member_announced() {
        let now = Instant::now();
        let mut membership_table = membership_table();
        membership_table.linked("a", "a:1", 5, now);
        let lie = |incarnation| PeerInfo {
            address: "nowhere:1".to_owned(),
            ..known("a", incarnation)
        };
        membership_table.merge_gossip(vec![lie(u64::MAX)], now, CLOCK);
        assert_eq!(membership_table.wanted()["a"], ["a:1"], "that cannot be");
        membership_table.merge_gossip(vec![lie(6)], now, CLOCK);
        assert_eq!(membership_table.wanted()["a"], ["a:1", "nowhere:1"]);
        membership_table.apply("a", MemberEvent::Unlinked, now);
        membership_table.tick(now + TIMEOUTS.down);
        assert_eq!(
            membership_table.wanted()["a"],
            ["a:1", "nowhere:1"],
            "it is down"
        );
        // An unknown node is dialled at the address that others report.
        membership_table.merge_gossip(vec![known("b", 6), known("c", u64::MAX)], now, CLOCK);
        assert_eq!(membership_table.wanted()["b"], ["b:7700"]);
        assert!(!membership_table.wanted().contains_key("c"));
    }

    proptest! {
        #[test]
        fn gossip_is_bounded(names in prop::collection::vec("[a-z]{3}", 0..3_000)) {
            let now = Instant::now();
            let mut membership_table = membership_table();
            for chunk in names.chunks(1_500) {
                membership_table.merge_gossip(chunk.iter().map(|name| known(name, 1)).collect(), now, CLOCK);
            }
            prop_assert!(membership_table.wanted().len() <= MOST_MEMBERS);
            membership_table.tick(now + GOSSIP_RETENTION);
            prop_assert!(membership_table.wanted().is_empty());
        }
    }
}
