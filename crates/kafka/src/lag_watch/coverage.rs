//! Whether every partition of the subscribed topics belongs to some member of the group.
//!
//! A static member that comes back within its session gets its old assignment without a rebalance, even if it subscribes to other topics than
//! before. Partitions of new topics are then consumed by nobody until the next rebalance, and neither librdkafka nor the brokers report it. A
//! partition that was not assigned at two looks is reported, and members leave the group and join it again, one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use babelmesh_actors::containment::contain;
use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, groups::GroupInfo};

use crate::{
    client,
    lag::LagGauge,
    member::{Member, MemberConsumer},
    topic_health::TopicHealth,
};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3);
/// So many looks in a row must find a partition without an owner.
const LOOKS: u32 = 2;
/// How long the brokers may take to tell.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause between two attempts to join again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(20);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How long a partition that was just made is given to be assigned: members look for such themselves.
const GRACE: Duration = Duration::from_secs(5);
/// How much later than the member before it a member joins again.
const TURN: Duration = Duration::from_secs(10);

type Partition = (Arc<str>, i32);

/// What is known about the partitions that nobody owns.
pub(super) struct Coverage {
    health: Arc<TopicHealth>,
    look_at: Instant,
    unowned: Unowned,
}

impl Coverage {
    pub(super) fn new(health: Arc<TopicHealth>) -> Self {
        let look_at = Instant::now();
        Self {
            health,
            look_at,
            unowned: Unowned::default(),
        }
    }

    /// Checks the partitions if it is time to. Reports those without an owner to the gauge, and makes the member rejoin if that helps.
    pub(super) fn look(&mut self, member: &Member, gauge: &LagGauge) {
        let now = Instant::now();
        let Some(consumer) = member.consumer().filter(|_| now >= self.look_at) else {
            return;
        };
        self.look_at = now + EVERY;
        let wanted = self.wanted(member);
        let Some(group) = group(member, &consumer, &wanted) else {
            return;
        };
        let (before, rank) = (
            self.unowned.confirmed(),
            group.rank(member.config().get("client.id")),
        );
        let rejoins = self.unowned.look(&wanted, &group.owned, rank, now);
        let unowned = self.unowned.confirmed();
        if rejoins || unowned.iter().any(|partition| !before.contains(partition)) {
            let partitions = names(&unowned);
            let partitions = partitions.as_str();
            NodeEvent::PartitionsUnassigned {
                partitions,
                rejoins,
            }
            .emit();
        }
        gauge.set_unowned(unread(&consumer, &unowned));
        if rejoins && let Err(error) = member.leave_and_join() {
            client::error(&error, "joining the group again");
        }
    }

    /// The partitions of the topics that the member subscribes to.
    fn wanted(&self, member: &Member) -> BTreeSet<Partition> {
        let topics = member.topics();
        let partitions = topics.iter().flat_map(|topic| {
            let count = self.health.partitions(topic).unwrap_or(0);
            let topic: Arc<str> = Arc::from(topic.as_str());
            (0..count).map(move |number| (Arc::clone(&topic), number))
        });
        partitions.collect()
    }
}

/// What the members of a group own.
#[derive(Debug, Default)]
struct Group {
    owned: BTreeSet<Partition>,
    /// The members by client id, with the topics that they subscribe to.
    members: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl Group {
    /// `None` if the group is being rebalanced, or a member says something that cannot be read.
    fn of(info: &GroupInfo) -> Option<Self> {
        let mut group = Self::default();
        match info.state() {
            "Empty" => return Some(group),
            "Stable" => {}
            _ => return None,
        }
        for member in info.members() {
            group.add(
                member.client_id(),
                member.assignment().unwrap_or_default(),
                member.metadata().unwrap_or_default(),
            )?;
        }
        Some(group)
    }

    fn add(&mut self, client: &str, assignment: &[u8], subscription: &[u8]) -> Option<()> {
        self.owned.extend(assigned(assignment)?);
        let topics = subscribed(subscription)?;
        self.members.insert(client.to_owned(), topics);
        Some(())
    }

    /// The number of members that join again before this one does.
    fn rank(&self, client: Option<&str>) -> impl Fn(&BTreeSet<Partition>) -> u32 {
        move |unowned| {
            let takes =
                |topics: &BTreeSet<Arc<str>>| unowned.iter().any(|(t, _)| topics.contains(t));
            let others = self.members.iter().filter(|(_, topics)| takes(topics));
            let before = others.filter(|(name, _)| Some(name.as_str()) < client);
            u32::try_from(before.count()).unwrap_or(u32::MAX)
        }
    }
}

/// The partitions that members of the group own. Asks the brokers only if this member does not own all. `None` if they do not say, as an embedded
/// broker.
fn group(
    member: &Member,
    consumer: &MemberConsumer,
    wanted: &BTreeSet<Partition>,
) -> Option<Group> {
    let own = consumer.assignment().ok()?;
    let own = own.elements();
    let mut group = Group::default();
    let own = own.iter().map(|e| (Arc::from(e.topic()), e.partition()));
    group.owned.extend(own);
    if wanted.is_subset(&group.owned) {
        return Some(group);
    }
    let name = member.config().get("group.id")?;
    let list = consumer.fetch_group_list(Some(name), TIMEOUT).ok()?;
    // A client id that is not UTF-8 makes the client's library panic.
    contain(|| Group::of(list.groups().iter().find(|group| group.name() == name)?)).ok()?
}

#[derive(Debug)]
struct Unowned {
    looks: BTreeMap<Partition, u32>,
    /// Since when there are any.
    since: Option<Instant>,
    /// Not to join again before.
    not_before: Option<Instant>,
    pause: Duration,
}

impl Default for Unowned {
    fn default() -> Self {
        Self {
            looks: BTreeMap::new(),
            since: None,
            not_before: None,
            pause: FIRST_PAUSE,
        }
    }
}

impl Unowned {
    /// Compares wanted with owned partitions. Returns whether to rejoin now; `rank` is the number of members that rejoin earlier.
    fn look(
        &mut self,
        wanted: &BTreeSet<Partition>,
        owned: &BTreeSet<Partition>,
        rank: impl Fn(&BTreeSet<Partition>) -> u32,
        now: Instant,
    ) -> bool {
        let looked = |partition: &Partition| {
            let before = self.looks.get(partition).copied().unwrap_or(0);
            (partition.clone(), before.saturating_add(1))
        };
        self.looks = wanted.difference(owned).map(looked).collect();
        let unowned = self.confirmed();
        if unowned.is_empty() {
            (self.since, self.pause) = (None, FIRST_PAUSE);
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let turn = since + GRACE + TURN.saturating_mul(rank(&unowned).min(60));
        if now < turn || self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        self.not_before = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    fn confirmed(&self) -> BTreeSet<Partition> {
        let confirmed = self.looks.iter().filter(|(_, looks)| **looks >= LOOKS);
        confirmed.map(|(partition, _)| partition.clone()).collect()
    }
}

/// How many offsets of each partition the group has not read.
fn unread(consumer: &MemberConsumer, unowned: &BTreeSet<Partition>) -> BTreeMap<Partition, u64> {
    let mut list = TopicPartitionList::new();
    for (topic, number) in unowned {
        list.add_partition(topic, *number);
    }
    let mut unread: BTreeMap<_, _> = unowned.iter().map(|p| (p.clone(), 0)).collect();
    if unowned.is_empty() {
        return unread;
    }
    let ends = match list.set_all_offsets(Offset::End) {
        Ok(()) => consumer.offsets_for_times(list.clone(), TIMEOUT),
        Err(error) => Err(error),
    };
    let committed = consumer.committed_offsets(list, TIMEOUT);
    let (Ok(ends), Ok(committed)) = (ends, committed) else {
        return unread;
    };
    for ((topic, number), records) in &mut unread {
        let offset = |list: &TopicPartitionList| match list.find_partition(topic, *number)?.offset()
        {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let start = offset(&committed).unwrap_or(0);
        let ahead = offset(&ends).unwrap_or(start).saturating_sub(start);
        *records = u64::try_from(ahead).unwrap_or(0);
    }
    unread
}

/// Partitions for people: `jobs.pt/0 jobs.pt/1`.
fn names(partitions: &BTreeSet<Partition>) -> String {
    let names = partitions
        .iter()
        .map(|(topic, number)| format!("{topic}/{number}"));
    names.collect::<Vec<_>>().join(" ")
}

/// Takes a number of bytes off.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_name(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let length = usize::try_from(i16::from_be_bytes(take(bytes)?)).ok()?;
    let (name, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Arc::from(str::from_utf8(name).ok()?))
}

/// The partitions in an assignment of Kafka's consumer protocol.
fn assigned(mut bytes: &[u8]) -> Option<Vec<Partition>> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Some(partitions);
    }
    let _version: [u8; 2] = take(&mut bytes)?;
    for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
        let topic = take_name(&mut bytes)?;
        for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
            let number = i32::from_be_bytes(take(&mut bytes)?);
            partitions.push((Arc::clone(&topic), number));
        }
    }
    Some(partitions)
}

/// The topics in a subscription of Kafka's consumer protocol.
fn subscribed(mut bytes: &[u8]) -> Option<BTreeSet<Arc<str>>> {
    if bytes.is_empty() {
        return Some(BTreeSet::new());
    }
    let _version: [u8; 2] = take(&mut bytes)?;
    let count = i32::from_be_bytes(take(&mut bytes)?);
    (0..count).map(|_| take_name(&mut bytes)).collect()
}

#[cfg(test)]
mod tests;
