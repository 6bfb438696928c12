//! The assignment of a member: its partitions, their numbers, and revocation.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use babelmesh_actors::domain::Ticket;
use rdkafka::{Message, TopicPartitionList, consumer::Rebalance, message::BorrowedMessage};

use crate::{
    lag::LagGauge,
    ownership::Ownership,
    publisher_handle::{Command, PublisherHandle},
};

/// State of the assignment. It outlives its consumer.
pub(crate) struct Assignment {
    pub(crate) publisher_handle: PublisherHandle,
    revoke_within: Duration,
    partitions: Mutex<Partitions>,
    /// Whether the assignment or the set of paused partitions has changed since the last call of `has_changed`.
    changed: AtomicBool,
    /// How many times it was given partitions.
    assignments: AtomicU64,
    /// Topics of paused languages: their partitions stay assigned and are not read.
    held: Mutex<BTreeSet<String>>,
    /// Partitions that are not read for now because their answers cannot be written.
    parked: Mutex<BTreeSet<(Arc<str>, i32)>>,
    pub(crate) ownership: Ownership,
    pub(crate) lag: Arc<LagGauge>,
}

#[derive(Default)]
struct Partitions {
    /// Topic → partition → our number and its epoch.
    ids: HashMap<Arc<str>, HashMap<i32, (u32, u32)>>,
    next: u32,
}

impl Assignment {
    pub(crate) fn new(
        publisher_handle: PublisherHandle,
        ownership: Ownership,
        revoke_within: Duration,
    ) -> Self {
        Self {
            publisher_handle,
            revoke_within,
            partitions: Mutex::default(),
            changed: AtomicBool::new(false),
            assignments: AtomicU64::new(0),
            held: Mutex::default(),
            parked: Mutex::default(),
            ownership,
            lag: Arc::default(),
        }
    }

    /// How long revoked partitions may take.
    pub(crate) const fn revoke_within(&self) -> Duration {
        self.revoke_within
    }

    /// Whether partitions have to be paused or resumed again. Resets the flag.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// Has partitions paused or resumed again.
    pub(crate) fn set_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Pauses these topics until the next call.
    pub(crate) fn hold(&self, topics: BTreeSet<String>) {
        self.publisher_handle.tell(Command::Paused(topics.clone()));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = topics;
        self.changed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_held(&self, topic: &str) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.contains(topic)
    }

    /// Pauses these partitions until the next call.
    pub(crate) fn park(&self, partitions: BTreeSet<(Arc<str>, i32)>) {
        *self.parked() = partitions;
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether a partition is not read for now because its answers cannot be written.
    pub(crate) fn is_parked(&self, topic: &str, partition: i32) -> bool {
        let parked = self.parked();
        let mut parked = parked.iter();
        parked.any(|(name, number)| **name == *topic && *number == partition)
    }

    fn parked(&self) -> MutexGuard<'_, BTreeSet<(Arc<str>, i32)>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any partition of a topic is ours.
    pub(crate) fn has_any_of(&self, topic: &str) -> bool {
        !self.of_topic(topic).is_empty()
    }

    /// The partitions of a topic that are ours.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<i32> {
        let partitions = self.partitions();
        let numbers = partitions.ids.get(topic).into_iter().flatten();
        let ours = numbers.filter(|(_, (id, epoch))| self.ownership.holds(*id, *epoch));
        ours.map(|(number, _)| *number).collect()
    }

    fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ticket(&self, message: &BorrowedMessage<'_>) -> Option<(Arc<str>, Ticket)> {
        let partitions = self.partitions();
        let (topic, numbers) = partitions.ids.get_key_value(message.topic())?;
        let (partition, epoch) = *numbers.get(&message.partition())?;
        let ticket = Ticket {
            partition,
            offset: message.offset(),
            epoch,
        };
        Some((Arc::clone(topic), ticket))
    }

    /// Tells the publisher which transaction markers were passed. It must already know all records that were read.
    pub(crate) fn tell_passed(&self) {
        let passed = self.lag.passed();
        let partitions = self.partitions();
        let numbered = passed.into_iter().filter_map(|(topic, partition, end)| {
            let (id, epoch) = *partitions.ids.get(&topic)?.get(&partition)?;
            Some((id, epoch, end))
        });
        let passed: Vec<_> = numbered.collect();
        if !passed.is_empty() {
            self.publisher_handle.tell(Command::Passed(passed));
        }
    }

    pub(crate) fn assign(&self, list: &TopicPartitionList) {
        let mut partitions = self.partitions();
        for element in list.elements() {
            let topic: Arc<str> = Arc::from(element.topic());
            let Partitions { ids, next } = &mut *partitions;
            let numbers = ids.entry(Arc::clone(&topic)).or_default();
            let id = numbers.entry(element.partition()).or_insert_with(|| {
                *next += 1;
                (*next, 0)
            });
            id.1 += 1;
            self.lag.forget(&topic, element.partition());
            self.ownership.gain(id.0, id.1);
            self.publisher_handle.tell(Command::Assigned {
                partition: id.0,
                epoch: id.1,
                topic,
                number: element.partition(),
            });
        }
        self.changed.store(true, Ordering::Relaxed);
        self.assignments.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of assignments so far, empty ones included.
    pub(crate) fn assignments(&self) -> u64 {
        self.assignments.load(Ordering::Relaxed)
    }

    /// Discards in-flight work of lost partitions: they have a new owner.
    pub(crate) fn revoke_at_once(&self, list: &TopicPartitionList) {
        let elements = list.elements();
        let names: Vec<_> = elements
            .iter()
            .map(|e| (e.topic(), e.partition()))
            .collect();
        self.revoke_these(&names, Duration::ZERO);
    }

    /// Gives up every partition at once.
    pub(crate) fn give_up(&self) {
        let mut list = TopicPartitionList::new();
        for (topic, numbers) in &self.partitions().ids {
            for (number, (id, epoch)) in numbers {
                if self.ownership.holds(*id, *epoch) {
                    list.add_partition(topic, *number);
                }
            }
        }
        if list.count() > 0 {
            self.revoke_at_once(&list);
            let rebalance = &Rebalance::Revoke(&list);
            super::context::tell(rebalance);
        }
    }

    /// Waits, up to the timeout, until what was read of these partitions is published, and discards the rest. Work of paused topics is discarded at
    /// once: it makes no progress.
    pub(crate) fn revoke(&self, list: &TopicPartitionList) {
        let elements = list.elements();
        let names = elements.iter().map(|e| (e.topic(), e.partition()));
        let (held, others): (Vec<_>, Vec<_>) = names.partition(|(topic, _)| self.is_held(topic));
        self.revoke_these(&held, Duration::ZERO);
        self.revoke_these(&others, self.revoke_within);
    }

    fn revoke_these(&self, names: &[(&str, i32)], within: Duration) {
        let revoked: Vec<u32> = {
            let partitions = self.partitions();
            let id =
                |(topic, number): &(&str, i32)| Some(partitions.ids.get(*topic)?.get(number)?.0);
            names.iter().filter_map(id).collect()
        };
        if revoked.is_empty() {
            return;
        }
        if within.is_zero() {
            revoked.iter().for_each(|id| self.ownership.lose(*id));
        }
        let (reply, done) = mpsc::sync_channel(1);
        let deadline = Instant::now() + within;
        self.publisher_handle.tell(Command::Revoked {
            partitions: revoked.clone(),
            deadline,
            reply,
        });
        let _ = done.recv_timeout(within + Duration::from_millis(500));
        // From here on the publisher commits nothing of these partitions.
        revoked.iter().for_each(|id| self.ownership.lose(*id));
    }
}
