//! Everything that a node knows of the others. It only computes; [`gateway`](super::gateway) acts on it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use babelmesh_actors::routing::Ability;
use babelmesh_telemetry::status::{MemberState, MemberView, NodeReport};

use super::{
    handshake::is_plausible,
    membership::{Member, Patience, Sign, Standing},
    message::{Acquaintance, MOST_MEMBERS},
};

/// How long a node that said goodbye is shown.
const FAREWELL: Duration = Duration::from_secs(60);
/// How long a node is dialled that others know and this one never reached.
const HEARSAY: Duration = Duration::from_secs(60);

/// The other nodes.
#[derive(Debug)]
pub(super) struct Roster {
    me: String,
    patience: Patience,
    forget: Duration,
    members: BTreeMap<String, Entry>,
    hearsay: BTreeMap<String, Hearsay>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    address: String,
    report: Option<NodeReport>,
    /// What its models could do when it told last, whatever has become of it since.
    abilities: Vec<Ability>,
}

/// A node that others know.
#[derive(Debug)]
struct Hearsay {
    address: String,
    incarnation: u64,
    heard: Instant,
}

/// A node whose standing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) node: String,
    pub(super) incarnation: u64,
    pub(super) from: Option<Standing>,
    pub(super) to: Standing,
}

impl Roster {
    pub(super) const fn new(me: String, patience: Patience, forget: Duration) -> Self {
        Self {
            me,
            patience,
            forget,
            members: BTreeMap::new(),
            hearsay: BTreeMap::new(),
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
        self.hearsay.remove(node);
        if let Some(entry) = self.members.get_mut(node) {
            address.clone_into(&mut entry.address);
            return self.sign(node, Sign::Heard { incarnation }, now);
        }
        if self.members.len() >= MOST_MEMBERS {
            return None;
        }
        let entry = Entry {
            member: Member::new(incarnation, now),
            address: address.to_owned(),
            report: None,
            abilities: Vec::new(),
        };
        self.members.insert(node.to_owned(), entry);
        Some(Change {
            node: node.to_owned(),
            incarnation,
            from: None,
            to: Standing::Alive,
        })
    }

    /// Something was learned of a node. Strangers do not count: a node is known from its first connection on.
    pub(super) fn sign(&mut self, node: &str, sign: Sign, now: Instant) -> Option<Change> {
        let entry = self.members.get_mut(node)?;
        let before = entry.member;
        entry.member = before.next(sign, now, self.patience);
        let after = entry.member;
        // What an earlier incarnation said of itself is no longer true.
        if after.standing.is_over() || after.incarnation > before.incarnation {
            entry.report = None;
        }
        let is_news = (before.standing, before.incarnation) != (after.standing, after.incarnation);
        is_news.then(|| Change {
            node: node.to_owned(),
            incarnation: after.incarnation,
            from: Some(before.standing),
            to: after.standing,
        })
    }

    /// A node told how it does. Older than what is known, it counts for nothing.
    pub(super) fn reported(&mut self, node: &str, incarnation: u64, report: NodeReport) -> bool {
        let Some(entry) = self.members.get_mut(node) else {
            return false;
        };
        let newer = entry
            .report
            .as_ref()
            .is_none_or(|known| known.serial < report.serial);
        let counts =
            entry.member.incarnation == incarnation && !entry.member.standing.is_over() && newer;
        if counts {
            let pools = report.pools.iter();
            entry.abilities = pools.filter_map(|pool| pool.ability.parse()).collect();
            entry.report = Some(report);
        }
        counts
    }

    /// What the models of a node could do when it told last; nothing of one that is not known, or not any more.
    pub(super) fn abilities_of(&self, node: &str) -> &[Ability] {
        let entry = self.members.get(node);
        entry.map_or(&[], |entry| entry.abilities.as_slice())
    }

    /// What a node that is alive told last.
    pub(super) fn report_of(&self, node: &str) -> Option<&NodeReport> {
        let entry = self.members.get(node)?;
        let alive = entry.member.standing == Standing::Alive;
        entry.report.as_ref().filter(|_| alive)
    }

    /// Another node told whom it knows. What cannot be by this node's clock, which is at `clock`, counts for nothing.
    pub(super) fn heard_of(&mut self, others: Vec<Acquaintance>, now: Instant, clock: u64) {
        for other in others.into_iter().take(MOST_MEMBERS) {
            if !is_plausible(other.incarnation, clock) {
                continue;
            }
            let known = self.members.get(&other.node);
            // A member is dialled where it said itself that it is, until it is back under another number.
            let is_news = known.is_none_or(|entry| other.incarnation > entry.member.incarnation);
            let room = self.hearsay.len() < MOST_MEMBERS || self.hearsay.contains_key(&other.node);
            if other.node != self.me && is_news && room {
                let hearsay = Hearsay {
                    address: other.address,
                    incarnation: other.incarnation,
                    heard: now,
                };
                self.hearsay.insert(other.node, hearsay);
            }
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Change> {
        let nodes: Vec<String> = self.members.keys().cloned().collect();
        let changes = nodes
            .iter()
            .filter_map(|node| self.sign(node, Sign::Tick, now))
            .collect();
        let forget = self.forget;
        self.members.retain(|_, entry| {
            let ago = now.saturating_duration_since(entry.member.since);
            match entry.member.standing {
                Standing::Left => ago < FAREWELL,
                Standing::Down => ago < forget,
                Standing::Alive | Standing::Suspect => true,
            }
        });
        self.hearsay
            .retain(|_, hearsay| now.saturating_duration_since(hearsay.heard) < HEARSAY);
        changes
    }

    /// Which incarnation of a node counts as over; or why a node of this name and incarnation is not let in.
    pub(super) fn admit(&self, node: &str, incarnation: u64) -> Result<Option<u64>, String> {
        let Some(entry) = self.members.get(node) else {
            return match self.members.len() >= MOST_MEMBERS {
                true => Err(format!("there are {MOST_MEMBERS} nodes already")),
                false => Ok(None),
            };
        };
        let member = &entry.member;
        if !member.standing.is_over() && incarnation < member.incarnation {
            return Err(format!(
                "another node called {node}, started later, is here: give one of them another node.name"
            ));
        }
        Ok(member.buried())
    }

    /// Whom to name to others.
    pub(super) fn acquaintances(&self) -> Vec<Acquaintance> {
        let alive = self.members.iter().filter(|(_, entry)| {
            matches!(entry.member.standing, Standing::Alive | Standing::Suspect)
        });
        alive
            .map(|(node, entry)| Acquaintance {
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
            state: entry.member.standing.into(),
            linked: is_linked(node),
            since_ms: millis(now.saturating_duration_since(entry.member.since)),
            report: entry.report.clone(),
        });
        let hearsay = self.hearsay.iter();
        let hearsay = hearsay.filter(|(node, _)| !self.members.contains_key(*node));
        let unreached = hearsay.map(|(node, hearsay)| MemberView {
            node: node.clone(),
            address: hearsay.address.clone(),
            incarnation: hearsay.incarnation,
            state: MemberState::Unreached,
            linked: false,
            since_ms: millis(now.saturating_duration_since(hearsay.heard)),
            report: None,
        });
        members.chain(unreached).collect()
    }

    /// Nodes that there should be a connection to, with the addresses that they may be at. Where a node said itself that it is comes first: what others
    /// say of it is tried besides, and never instead.
    pub(super) fn wanted(&self) -> BTreeMap<String, Vec<String>> {
        let members = self.members.iter();
        let members = members.filter(|(_, entry)| entry.member.standing != Standing::Left);
        let members = members.map(|(node, entry)| (node.clone(), vec![entry.address.clone()]));
        let mut wanted: BTreeMap<_, _> = members.collect();
        for (node, hearsay) in &self.hearsay {
            let known = self.members.get(node);
            if known.is_none_or(|entry| hearsay.incarnation > entry.member.incarnation) {
                let addresses = wanted.entry(node.clone()).or_default();
                if !addresses.contains(&hearsay.address) {
                    addresses.push(hearsay.address.clone());
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

    const PATIENCE: Patience = Patience {
        suspect: Duration::from_millis(1_500),
        down: Duration::from_millis(3_500),
    };

    const CLOCK: u64 = 1_000;

    fn roster() -> Roster {
        Roster::new("me".to_owned(), PATIENCE, Duration::from_secs(3_600))
    }

    fn known(node: &str, incarnation: u64) -> Acquaintance {
        Acquaintance {
            node: node.to_owned(),
            address: format!("{node}:7700"),
            incarnation,
        }
    }

    #[test]
    fn a_node_that_came_back_in_time_is_alive_and_one_that_left_is_dialled_no_more() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut roster = roster();
        let joined = roster.linked("a", "a:1", 5, start).unwrap();
        assert_eq!((joined.from, joined.to), (None, Standing::Alive));
        let suspect = roster.sign("a", Sign::Unlinked, at(10)).unwrap();
        assert_eq!(suspect.to, Standing::Suspect);
        let back = roster.linked("a", "a:2", 5, at(20)).unwrap();
        assert_eq!(back.to, Standing::Alive);
        assert_eq!(roster.wanted()["a"], ["a:2"]);
        assert!(roster.admit("a", 4).is_err(), "an older one of that name");
        assert_eq!(roster.admit("a", 5), Ok(None));
        roster.sign("a", Sign::Farewell { incarnation: 5 }, at(30));
        assert!(roster.wanted().is_empty() && roster.acquaintances().is_empty());
        roster.heard_of(vec![known("a", 5)], at(40), CLOCK);
        assert!(roster.wanted().is_empty(), "others have not heard yet");
        roster.heard_of(vec![known("a", 6), known("me", 1)], at(50), CLOCK);
        assert_eq!(roster.wanted().len(), 1, "it is back");
        roster.tick(at(200_000));
        assert!(roster.view(at(200_000), |_| false).is_empty());
    }

    #[test]
    fn a_report_counts_only_when_it_is_newer_and_of_the_present_incarnation() {
        let now = Instant::now();
        let mut roster = roster();
        let report = |serial| NodeReport {
            serial,
            ..crate::sample::report(&["fr"])
        };
        assert!(!roster.reported("a", 1, report(1)), "a stranger");
        roster.linked("a", "a:1", 1, now);
        assert!(roster.reported("a", 1, report(2)));
        assert!(!roster.reported("a", 1, report(2)) && !roster.reported("a", 1, report(1)));
        roster.linked("a", "a:1", 2, now);
        assert!(!roster.reported("a", 1, report(9)));
        assert!(roster.reported("a", 2, report(1)), "it counts anew");
    }

    #[test]
    fn what_another_node_says_of_a_member_never_takes_its_own_address_away() {
        let now = Instant::now();
        let mut roster = roster();
        roster.linked("a", "a:1", 5, now);
        let lie = |incarnation| Acquaintance {
            address: "nowhere:1".to_owned(),
            ..known("a", incarnation)
        };
        roster.heard_of(vec![lie(u64::MAX)], now, CLOCK);
        assert_eq!(roster.wanted()["a"], ["a:1"], "that cannot be");
        roster.heard_of(vec![lie(6)], now, CLOCK);
        assert_eq!(roster.wanted()["a"], ["a:1", "nowhere:1"]);
        roster.sign("a", Sign::Unlinked, now);
        roster.tick(now + PATIENCE.down);
        assert_eq!(roster.wanted()["a"], ["a:1", "nowhere:1"], "it is down");
        // A stranger is dialled where others say that it is.
        roster.heard_of(vec![known("b", 6), known("c", u64::MAX)], now, CLOCK);
        assert_eq!(roster.wanted()["b"], ["b:7700"]);
        assert!(!roster.wanted().contains_key("c"));
    }

    proptest! {
        #[test]
        fn what_others_say_never_grows_without_bound(names in prop::collection::vec("[a-z]{3}", 0..3_000)) {
            let now = Instant::now();
            let mut roster = roster();
            for chunk in names.chunks(1_500) {
                roster.heard_of(chunk.iter().map(|name| known(name, 1)).collect(), now, CLOCK);
            }
            prop_assert!(roster.wanted().len() <= MOST_MEMBERS);
            roster.tick(now + HEARSAY);
            prop_assert!(roster.wanted().is_empty());
        }
    }
}
