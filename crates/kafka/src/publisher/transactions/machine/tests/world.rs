//! Brokers, a group and a publisher around the state machine.

mod brokers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use babelmesh_actors::flow::{Flow, WaterMarks};
use rdkafka::Offset;

use super::{
    super::{
        super::protocol::{Effect, Event, Then},
        Machine,
    },
    choices::Choices,
};
use crate::{
    gauges::DeliveryGauges,
    publisher::{
        Next,
        answers::{Answers, samples::record_to},
        parking::WriteTimeouts,
        partition::{Partitions, Released},
        run::{Place, Run},
    },
    record::OutRecord,
};

pub(super) use crate::publisher::answers::samples::TOPICS;

const TIMEOUTS: WriteTimeouts = WriteTimeouts {
    block_after: Duration::from_secs(4),
    answer_after: Duration::from_secs(30),
};
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);
/// Ids of a publisher.
const IDS: u32 = 8;

/// A source partition and its group.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The topics of the answers to each record; nothing where the offset holds a marker.
    pub(super) log: Vec<Option<Vec<usize>>>,
    /// The group's offset.
    pub(super) committed: i64,
    /// Counts its assignments to us.
    epoch: u32,
    pub(super) is_ours: bool,
}

/// A transaction as the brokers have it.
#[derive(Debug, Default)]
struct Transaction {
    written: Vec<Place>,
    /// Partition and next offset.
    offsets: Vec<(u32, i64)>,
    is_commit_asked: bool,
    is_committed: bool,
}

/// A transaction as the client has it.
#[derive(Debug, Default)]
struct ClientTransaction {
    sent: usize,
    is_acknowledged: bool,
    has_offsets: bool,
    is_commit_asked: bool,
}

#[derive(Debug, Default)]
struct Client {
    is_initialised: bool,
    transaction: Option<ClientTransaction>,
}

pub(super) struct World {
    pub(super) choices: Choices,
    machine: Machine,
    now: Instant,
    flow: Flow,
    gauges: DeliveryGauges,
    partitions: Partitions,
    pub(super) sources: Vec<Source>,
    /// By the number of its id.
    transactions: BTreeMap<u32, Transaction>,
    id: u32,
    /// Ids that were left and are watched.
    left: BTreeSet<u32>,
    client: Client,
    /// A commit whose outcome the machine has not been told.
    has_doubt: bool,
    /// Topics that take nothing and say nothing; transactions with records of them do not end.
    silent: BTreeSet<&'static str>,
    /// Topics that may not be written to.
    pub(super) denied: BTreeSet<&'static str>,
    is_disconnected: bool,
    /// Records whose answers are visible.
    answered: BTreeSet<(u32, i64)>,
    /// What has happened, for the coverage of tests.
    pub(super) seen: BTreeSet<&'static str>,
}

fn released(offset: i64, topics: &[usize]) -> Released {
    Released {
        offset,
        answers: Answers::new(topics.iter().copied().map(record_to).collect()),
        request_trace: None,
    }
}

impl World {
    /// Partitions that are ours, with records and the topics of their answers.
    pub(super) fn new(sources: &[Vec<Vec<usize>>], choices: Choices) -> Self {
        let now = Instant::now();
        let mut world = Self {
            choices,
            machine: Machine::new(TIMEOUTS, TRANSACTION_TIMEOUT, now),
            now,
            flow: Flow::new(WaterMarks { high: 100, low: 10 }),
            gauges: DeliveryGauges::default(),
            partitions: Partitions::default(),
            sources: Vec::new(),
            transactions: BTreeMap::new(),
            id: 0,
            left: BTreeSet::new(),
            client: Client::default(),
            has_doubt: false,
            silent: BTreeSet::new(),
            denied: BTreeSet::new(),
            is_disconnected: false,
            answered: BTreeSet::new(),
            seen: BTreeSet::new(),
        };
        for (id, records) in (0..).zip(sources) {
            let log = records.iter().cloned().map(Some).collect();
            world.sources.push(Source {
                log,
                ..Source::default()
            });
            world.assign(id);
        }
        world
    }

    /// Something happens meanwhile, or nothing; then the publisher works until it rests.
    pub(super) fn round(&mut self) {
        self.meanwhile();
        let next = self.work();
        self.is_disconnected = false;
        self.now = match next {
            Next::Now => self.now + Duration::from_millis(1),
            Next::Later => self.now + Duration::from_millis(20),
            Next::At(then) => self.now.max(then),
        };
    }

    /// Everything goes well from now on, but denied topics stay so; ends when nothing is left to do, or after a time.
    pub(super) fn recover(&mut self) {
        self.choices = Choices::default();
        self.silent.clear();
        for _ in 0..1_000 {
            for id in 0..self.sources.len() as u32 {
                self.assign(id);
            }
            for id in self.left.clone() {
                self.id_usable(id);
            }
            // Brokers time out the transactions of ids that nobody uses or watches.
            let (current, left) = (self.id, &self.left);
            let transactions = &mut self.transactions;
            transactions.retain(|id, _| *id == current || left.contains(id));
            self.work();
            self.now += Duration::from_millis(500);
            if (0..).zip(&self.sources).all(|(id, _)| self.is_drained(id)) {
                break;
            }
        }
    }

    /// Whether the group has all of a partition.
    pub(super) fn is_drained(&self, id: u32) -> bool {
        let source = &self.sources[id as usize];
        source.committed == source.log.len() as i64
            && self.partitions.is_finished(id)
            && !self.machine.is_busy_with(id)
    }

    /// Whether the next answer of a partition goes to a denied topic.
    pub(super) fn waits_for_denied(&self, id: u32) -> bool {
        let partition = self.partitions.iter().find(|(other, _)| *other == id);
        let first = partition.and_then(|(_, partition)| partition.released.front());
        let mut records = first.into_iter().flat_map(|first| first.answers.records());
        records.any(|record| self.denied.contains(&*record.topic))
    }

    fn meanwhile(&mut self) {
        let source = |world: &mut Self| world.choices.pick(world.sources.len()) as u32;
        match self.choices.pick(14) {
            1 => {
                let id = source(self);
                self.revoke(id);
            }
            2 => {
                let id = source(self);
                self.assign(id);
            }
            3 => {
                let (id, topic) = (source(self), self.choices.pick(TOPICS.len()));
                self.produce(id, &[topic, 0]);
            }
            4 => {
                let id = source(self);
                self.mark(id);
            }
            5 => {
                let topic = self.choices.pick(TOPICS.len());
                self.silent.insert(TOPICS[topic]);
            }
            6 => {
                let topic = self.choices.pick(TOPICS.len());
                self.denied.insert(TOPICS[topic]);
            }
            7 => {
                self.silent.clear();
                self.denied.clear();
            }
            8 => self.now += Duration::from_secs([1, 10, 100][self.choices.pick(3)]),
            9 => self.is_disconnected = true,
            10 => {
                let id = source(self);
                self.elsewhere(id);
            }
            11 => {
                // The rebalance begins; the publisher hears of it later.
                let id = source(self);
                self.sources[id as usize].is_ours = false;
            }
            12 => self.commit_late(),
            13 => {
                let left = self.left.first().copied();
                left.into_iter().for_each(|id| self.id_usable(id));
            }
            _ => {}
        }
    }

    /// Whether the group does not tell the offset of a partition, because a transaction may still change it.
    fn is_unstable(&self, id: u32) -> bool {
        let mut open = self.transactions.values().filter(|t| !t.is_committed);
        open.any(|transaction| transaction.offsets.iter().any(|(of, _)| *of == id))
    }

    /// The brokers carry out a commit that they were asked for before, and whose answer was lost.
    fn commit_late(&mut self) {
        let mut transactions = self.transactions.values_mut();
        let late = transactions.find(|t| t.is_commit_asked && !t.is_committed);
        if let Some(transaction) = late {
            self.seen.insert("committed late");
            transaction.is_committed = true;
            let offsets = transaction.offsets.clone();
            self.make_visible(&offsets);
        }
    }

    fn assign(&mut self, id: u32) {
        if self.sources[id as usize].is_ours || self.is_unstable(id) {
            return;
        }
        let source = &mut self.sources[id as usize];
        source.is_ours = true;
        source.epoch += 1;
        self.news(Event::Dropped(vec![id]));
        let source = &self.sources[id as usize];
        let assignment = (Arc::from("source"), id as i32, source.epoch);
        self.partitions.assigned(id, assignment, &self.flow);
        let partition = self.partitions.get_any(id).unwrap();
        for (offset, topics) in (0..).zip(&source.log).skip(source.committed as usize) {
            match topics {
                Some(topics) => partition.released.push_back(released(offset, topics)),
                None => partition.pass(offset + 1),
            }
        }
    }

    fn revoke(&mut self, id: u32) {
        self.sources[id as usize].is_ours = false;
        self.news(Event::Dropped(vec![id]));
        self.partitions.drop_one(id, &self.flow);
    }

    fn produce(&mut self, id: u32, topics: &[usize]) {
        let source = &mut self.sources[id as usize];
        let offset = source.log.len() as i64;
        source.log.push(Some(topics.to_vec()));
        if source.is_ours {
            let partition = self.partitions.get_any(id).unwrap();
            partition.released.push_back(released(offset, topics));
        }
    }

    fn mark(&mut self, id: u32) {
        let source = &mut self.sources[id as usize];
        source.log.push(None);
        if source.is_ours {
            let partition = self.partitions.get_any(id).unwrap();
            partition.pass(source.log.len() as i64);
        }
    }

    /// Another node owns the partition, and answers its next record.
    fn elsewhere(&mut self, id: u32) {
        let source = &self.sources[id as usize];
        if !source.is_ours && !self.is_unstable(id) && source.committed < source.log.len() as i64 {
            self.seen.insert("answered elsewhere");
            self.make_visible(&[(id, source.committed + 1)]);
        }
    }

    fn id_usable(&mut self, id: u32) {
        let transaction = self.transactions.get(&id);
        if transaction.is_none_or(|transaction| !self.is_held_up(transaction)) {
            self.transactions.remove(&id);
            self.left.remove(&id);
            self.news(Event::IdUsable(id));
        }
    }

    fn is_held_up(&self, transaction: &Transaction) -> bool {
        let mut places = transaction.written.iter();
        places.any(|place| self.silent.contains(&*place.topic))
    }

    /// The group gets these offsets, and readers the answers before them.
    fn make_visible(&mut self, offsets: &[(u32, i64)]) {
        for (id, next) in offsets {
            let source = &mut self.sources[*id as usize];
            assert!(source.committed < *next, "an offset is committed again");
            for offset in source.committed..*next {
                if source.log[offset as usize].is_some() {
                    let is_new = self.answered.insert((*id, offset));
                    assert!(is_new, "{id}/{offset} is answered twice");
                }
            }
            source.committed = *next;
        }
    }

    fn news(&mut self, event: Event) {
        let step = self.machine.step(event, self.now);
        assert!(step.effects.is_empty() && matches!(step.then, Then::Proceed));
    }

    /// The executor.
    fn work(&mut self) -> Next {
        for _ in 0..1_000 {
            let mut event = Event::Proceed {
                is_disconnected: self.is_disconnected,
                has_spare_id: self.left.len() < IDS as usize / 2,
            };
            loop {
                let step = self.machine.step(event, self.now);
                for effect in step.effects {
                    self.carry_out(effect);
                }
                match step.then {
                    Then::Call(call) => event = self.call(call),
                    Then::Proceed => break,
                    Then::Return(next) => return next,
                }
            }
        }
        panic!("the publisher does not come to rest");
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Finish(run) => {
                assert!(self.is_committed(&run), "it is not committed");
                run.finish(&mut self.partitions, &self.flow, &self.gauges);
            }
            Effect::Settle { run, is_committed } => {
                assert_eq!(self.is_committed(&run), is_committed);
                assert!(std::mem::take(&mut self.has_doubt), "nothing is in doubt");
                if is_committed {
                    self.seen.insert("settled as committed");
                    run.finish(&mut self.partitions, &self.flow, &self.gauges);
                } else {
                    self.seen.insert("settled as not committed");
                }
            }
            Effect::CountAborted => {
                self.seen.insert("aborted");
            }
            Effect::ReplaceRefused(place) => self.replace_refused(&place),
            Effect::Ready => assert!(self.client.is_initialised && !self.has_doubt),
            Effect::TellAborting(error) | Effect::TellBroken(error) => assert!(!error.is_empty()),
        }
    }

    fn replace_refused(&mut self, place: &Place) {
        self.seen.insert("replaced a refused answer");
        let partition = self.partitions.get(place.id, place.epoch).unwrap();
        let released = partition.find_released(place.offset).unwrap();
        let smaller = |refused: &OutRecord| match &*refused.topic {
            "letters" => Vec::new(),
            _ => vec![record_to(1)],
        };
        released.answers.replace(place.number, smaller).unwrap();
    }

    /// Whether the group has got as far as the run.
    fn is_committed(&self, run: &Run) -> bool {
        let mut offsets = offsets(run).into_iter();
        offsets.all(|(id, next)| self.sources[id as usize].committed >= next)
    }
}

/// Partition and next offset of each part of a run.
fn offsets(run: &Run) -> Vec<(u32, i64)> {
    let list = run.offsets();
    let elements = list.elements();
    let offset = elements.iter().map(|element| match element.offset() {
        Offset::Offset(next) => (element.partition() as u32, next),
        other => panic!("not a stored offset: {other:?}"),
    });
    offset.collect()
}
