//! The reader: a thread that polls a consumer, hands records on and holds back when too much waits.

mod assignment;
mod context;
mod fencing;
mod member;
mod reading;
mod recreation;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use babelmesh_actors::{
    containment::contain,
    domain::Ticket,
    events::{Event, Observer, Stage},
    flow::{Flow, Gate},
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use self::{
    assignment::Assignment,
    fencing::{Fences, PAUSE},
};
pub use self::{
    context::ReaderContext,
    member::{Member, MemberConsumer},
    reading::Reading,
};
use super::{
    client,
    lag::{LagGauge, LagWatch},
    ownership::Ownership,
    polled,
    publisher::{Command, Opened},
    record::{OutRecord, weight},
    refusals::Refusals,
};
use crate::{events::NodeEvent, failure::Failures};

/// Most records that are handed on at once.
const RUN: usize = 512;
/// How long the gate stays closed before partitions are paused; far below `max.poll.interval.ms`.
const PAUSE_AFTER: Duration = Duration::from_secs(2);
/// How often a closed gate is looked at until then.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// How often an idle reader tells what it has passed.
const PASSED_EVERY: Duration = Duration::from_secs(1);
/// How long a poll waits for a record. Records, rebalances and statistics end it; only the order to stop waits for its end.
const POLL: Duration = Duration::from_millis(200).saturating_add(polled::OVER);
/// How long librdkafka may take to go to another offset.
const SEEK: Duration = Duration::from_secs(5);

/// What is done with records. Called on the reader's thread.
pub trait Handler: Send + 'static {
    /// Takes a record; returns what it weighs (see [`Flow::weight_of`]).
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64;

    /// What answers records that are refused.
    fn refusals(&self) -> &Refusals;

    /// Takes what a record is answered with.
    fn settle(&mut self, ticket: Ticket, records: Vec<OutRecord>);

    /// The records read since the last call are known to the publisher: hand them on.
    fn hand_on(&mut self);
}

/// A running reader. Dropping it stops the thread without waiting.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    member: Arc<Member>,
    watch: Option<LagWatch>,
}

impl Reader {
    /// Subscribes and starts to read.
    ///
    /// # Errors
    /// When the subscription is refused or the thread cannot be started.
    pub fn start(
        member: Arc<Member>,
        topics: &[String],
        flow: Arc<Flow>,
        observer: Arc<dyn Observer>,
        failures: Failures,
        handler: impl Handler,
    ) -> anyhow::Result<Self> {
        member.subscribe(topics)?;
        let watch = LagWatch::start(Arc::clone(&member), Arc::clone(&member.assignment.lag))?;
        let stop = Arc::new(AtomicBool::new(false));
        let polling = Polling {
            member: Arc::clone(&member),
            flow,
            observer,
            handler,
            failures,
            stop: Arc::clone(&stop),
            closed_since: None,
            paused: false,
            last_error: None,
            told_passed: Instant::now(),
            fences: Fences::default(),
            rejoin_at: None,
        };
        let run = move || {
            let _guard = polling.failures.guard("the reader");
            polling.run();
        };
        let thread = thread::Builder::new()
            .name("reader".to_owned())
            .spawn(run)?;
        Ok(Self {
            stop,
            thread: Some(thread),
            member,
            watch: Some(watch),
        })
    }

    /// Stops reading and waits until the thread has ended. The consumer stays a member of its group: what was read can still be committed.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Commits what is stored and ends its membership. A broker that does not answer is waited for only for `within`: the group
    /// then notices by itself that this member is gone.
    pub fn leave(mut self, departure: Departure, within: Duration) {
        let consumer = self.member.take();
        let watch = self.watch.take();
        drop(self);
        let (done, ended) = mpsc::sync_channel(1);
        let leaving = move || {
            // Whoever holds the consumer last leaves the group for it, and only this thread is waited for.
            if let Some(watch) = watch {
                watch.end();
            }
            if let Some(consumer) = consumer {
                depart(&consumer, departure, within);
                // Closing the consumer waits for the broker without a limit of its own.
                drop(consumer);
            }
            let _ = done.send(());
        };
        let spawned = thread::Builder::new()
            .name("leave".to_owned())
            .spawn(leaving);
        if spawned.is_err() || ended.recv_timeout(within).is_err() {
            NodeEvent::KafkaError {
                error: "no answer in time, the group waits for the end of the session",
                doing: "leaving the group",
            }
            .emit();
        }
    }

    /// To talk to it from elsewhere.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading(Arc::downgrade(&self.member))
    }

    /// What is not read yet, whenever it is asked.
    #[must_use]
    pub fn lag(&self) -> Arc<LagGauge> {
        Arc::clone(&self.member.assignment.lag)
    }

    /// What this reader reads, whenever it is asked.
    #[must_use]
    pub fn assignment(&self) -> Ownership {
        self.member.assignment.ownership.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How a reader leaves its group.
pub enum Departure {
    /// It may come back: a static member keeps its partitions for as long as its session lasts.
    ToReturn,
    /// Others get its partitions now.
    ForGood {
        /// The group.
        group: String,
        /// Name of this client, by which the group's members are told apart.
        client_id: String,
    },
}

/// Commits what is stored, and hands the partitions over if it goes for good.
fn depart(consumer: &MemberConsumer, departure: Departure, within: Duration) {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => client::error(&error, "committing the last offsets"),
    }
    if let Departure::ForGood { group, client_id } = departure {
        hand_over(consumer, &group, &client_id, within);
    }
}

/// Has the group give the partitions of a static member to others. By closing it would keep them; by having no subscription it leaves.
fn hand_over(consumer: &MemberConsumer, group: &str, client_id: &str, within: Duration) {
    let until = Instant::now() + within;
    consumer.unsubscribe();
    while Instant::now() < until {
        // What librdkafka wants to have done about the partitions is done while it is polled.
        let _ = consumer.poll(POLL);
        let asked = consumer.fetch_group_list(Some(group), within);
        let is_member = asked.map(|list| {
            let members = list.groups().iter().flat_map(|g| g.members());
            members.map(|m| m.client_id()).any(|id| id == client_id)
        });
        match is_member {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return client::error(&error, "leaving the group"),
        }
    }
}

/// Has a handler take a record. A panic of it concerns this record alone; returns what the record weighs.
fn handle(
    handler: &mut impl Handler,
    observer: &dyn Observer,
    ticket: Ticket,
    message: &BorrowedMessage<'_>,
) -> u64 {
    contain(|| handler.read(ticket, message)).unwrap_or_else(|panic| {
        let (stage, said) = (Stage::Read, panic.to_string());
        observer.observe(&Event::PanicContained { stage, panic: said });
        let records = handler.refusals().after_panic(message, &panic);
        handler.settle(ticket, records);
        weight(message)
    })
}

struct Polling<H> {
    member: Arc<Member>,
    flow: Arc<Flow>,
    observer: Arc<dyn Observer>,
    handler: H,
    failures: Failures,
    stop: Arc<AtomicBool>,
    closed_since: Option<Instant>,
    paused: bool,
    last_error: Option<Instant>,
    told_passed: Instant,
    fences: Fences,
    /// When to join again with another consumer.
    rejoin_at: Option<Instant>,
}

impl<H: Handler> Polling<H> {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.rejoin_at {
                Some(at) if Instant::now() < at => thread::sleep(SHORT_WAIT),
                Some(_) => self.rejoin(),
                None => self.read(),
            }
        }
    }

    fn read(&mut self) {
        // Asked for anew each time: one that is held on to could not be closed.
        let Some(consumer) = self.member.consumer() else {
            return thread::sleep(SHORT_WAIT);
        };
        if consumer.context().hearing.is_deaf() {
            NodeEvent::ReaderDeaf.emit();
            self.rejoin_after(Duration::ZERO);
        } else if self.may_poll(&consumer) {
            self.read_run(&consumer);
        } else {
            thread::sleep(SHORT_WAIT);
        }
    }

    fn assignment(&self) -> &Assignment {
        &self.member.assignment
    }

    /// Whether to poll. A gate that closes for a moment is waited for: librdkafka forgets what it read ahead when partitions are paused, and takes
    /// up to a second to begin again. One that stays closed pauses all partitions, so that polling can go on and the member stays in its group.
    fn may_poll(&mut self, consumer: &MemberConsumer) -> bool {
        let tokens = self.flow.queued();
        // A new assignment starts unpaused.
        let changed = self.assignment().has_changed();
        if self.flow.gate() == Gate::Open {
            if self.closed_since.take().is_some() {
                self.observer.observe(&Event::IntakeResumed { tokens });
            }
            self.set_paused(consumer, false, changed);
            return true;
        }
        let observer = &self.observer;
        let since = *self.closed_since.get_or_insert_with(|| {
            observer.observe(&Event::IntakePaused { tokens });
            Instant::now()
        });
        let paused = self.paused || since.elapsed() > PAUSE_AFTER;
        self.set_paused(consumer, paused, changed);
        self.paused
    }

    /// Pauses all partitions, or only those that are held back.
    fn set_paused(&mut self, consumer: &MemberConsumer, paused: bool, anew: bool) {
        if self.paused == paused && !anew {
            return;
        }
        let Ok(assignment) = consumer.assignment() else {
            return;
        };
        let (mut rest, mut go) = (TopicPartitionList::new(), TopicPartitionList::new());
        for element in assignment.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let held = self.assignment();
            let rests = paused || held.is_held(topic) || held.is_parked(topic, partition);
            let list = if rests { &mut rest } else { &mut go };
            list.add_partition(topic, partition);
        }
        let done = consumer.pause(&rest);
        match done.and_then(|()| consumer.resume(&go)) {
            Ok(()) => {
                self.paused = paused;
                self.assignment().lag.set_paused(paused);
            }
            Err(error) => client::error(&error, "pausing or resuming"),
        }
    }

    fn read_run(&mut self, consumer: &MemberConsumer) {
        let mut opened = Vec::new();
        let mut topics = Vec::new();
        let mut wait = POLL;
        let mut recreated = BTreeSet::new();
        while opened.len() < RUN && self.flow.gate() == Gate::Open || opened.is_empty() {
            let polled = consumer.poll(wait);
            recreated.append(&mut consumer.context().recreations.take());
            match polled {
                // It comes again once its topic is read from the beginning.
                Some(Ok(message)) if recreated.contains(message.topic()) => break,
                Some(Ok(message)) => {
                    if let Some((topic, ticket)) = self.assignment().ticket(&message) {
                        let weight = handle(&mut self.handler, &*self.observer, ticket, &message);
                        self.flow.add(weight);
                        opened.push(Opened {
                            ticket,
                            weight,
                            written_ms: message.timestamp().to_millis().unwrap_or_default(),
                        });
                        topics.push((topic, message.partition()));
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    self.end(code);
                    break;
                }
                Some(Err(error)) => {
                    self.report(&error);
                    break;
                }
                None => break,
            }
            if !recreated.is_empty() {
                break;
            }
            wait = Duration::ZERO;
        }
        if opened.is_empty() && self.told_passed.elapsed() > PASSED_EVERY {
            self.told_passed = Instant::now();
            self.assignment().tell_passed();
        }
        if !opened.is_empty() {
            let records = opened.iter().zip(&topics);
            let read = records.map(|(opened, (topic, partition))| {
                let (offset, weight) = (opened.ticket.offset, opened.weight);
                (topic, *partition, offset, weight, opened.written_ms)
            });
            self.assignment().lag.read(read);
            self.assignment().settlements.tell(Command::Opened(opened));
            self.handler.hand_on();
        }
        for topic in recreated {
            self.read_again(consumer, &topic);
        }
    }

    /// Reads a topic that was recreated from its beginning. What was read of the old one is answered first: its offsets must not be committed
    /// for the new one later.
    fn read_again(&mut self, consumer: &MemberConsumer, topic: &str) {
        let mut list = TopicPartitionList::new();
        for partition in self.assignment().of_topic(topic) {
            // Both are valid.
            let _ = list.add_partition_offset(topic, partition, Offset::Offset(0));
        }
        let partitions = list.count();
        NodeEvent::TopicRecreated { topic, partitions }.emit();
        if partitions == 0 {
            return;
        }
        self.assignment().revoke(&list);
        self.assignment().assign(&list);
        let begun = consumer
            .commit(&list, CommitMode::Sync)
            .and_then(|()| list.set_all_offsets(Offset::Beginning))
            .and_then(|()| consumer.seek_partitions(list, SEEK));
        let failure = begun.map(|list| list.elements().iter().find_map(|e| e.error().err()));
        if let Some(error) = failure.unwrap_or_else(Some) {
            client::error(&error, "reading a recreated topic from its beginning");
            // Another consumer begins where the group has got to, which brokers forget when a topic is deleted.
            self.rejoin_after(Duration::ZERO);
        }
    }

    /// The brokers will have nothing to do with this consumer any more.
    fn end(&mut self, code: RDKafkaErrorCode) {
        match code {
            RDKafkaErrorCode::FencedInstanceId if self.fences.may_rejoin(Instant::now()) => {
                NodeEvent::Fenced { pause: PAUSE }.emit();
                self.rejoin_after(PAUSE);
            }
            RDKafkaErrorCode::FencedInstanceId => self.fail(
                "another node joins under this node's name again and again: every node needs a node.name of its own".to_owned(),
            ),
            code => self.fail(format!("reading cannot go on: {code}")),
        }
    }

    fn fail(&self, error: String) {
        self.failures.tell(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn rejoin_after(&mut self, pause: Duration) {
        self.assignment().give_up();
        self.rejoin_at = Some(Instant::now() + pause);
    }

    fn rejoin(&mut self) {
        self.rejoin_at = self.member.replace().err().map(|error| {
            client::error(&error, "joining again");
            Instant::now() + PAUSE
        });
    }

    /// Errors repeat for as long as a broker is away; one a second is enough.
    fn report(&mut self, error: &KafkaError) {
        if self
            .last_error
            .is_none_or(|at| at.elapsed() > Duration::from_secs(1))
        {
            self.last_error = Some(Instant::now());
            client::error(error, "reading");
        }
    }
}

#[cfg(test)]
mod tests;
