//! The reader: a thread that polls a consumer, passes records on and applies back-pressure.

mod departure;
mod fencing;
mod handler;
mod permission;
mod reading;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use babelmesh_actors::{
    events::{Event, Observer},
    flow::{Flow, Gate},
};
use babelmesh_telemetry::{events::NodeEvent, failure::Failures};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

pub use self::{
    departure::{Departure, GroupDeparture},
    handler::Handler,
    reading::Reading,
};
use self::{
    fencing::{Fences, PAUSE},
    handler::handle,
    permission::Permission,
};
use super::{
    client,
    heartbeat::{Heartbeat, ReaderHeartbeats},
    lag::LagGauge,
    lag_watch::LagWatch,
    member::{Assignment, Member, MemberConsumer},
    ownership::Ownership,
    polled_producer,
    publisher_handle::{Command, Ingested},
    threads::join_within,
    topic_health::TopicHealth,
};

/// Most records that are handed on at once.
const RUN: usize = 512;
/// How long the gate stays closed before partitions are paused; far below `max.poll.interval.ms`.
const PAUSE_AFTER: Duration = Duration::from_secs(2);
/// How often a closed gate is looked at until then.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// Interval in which a reader reports the transaction markers that it has passed.
const PASSED_EVERY: Duration = Duration::from_secs(1);
/// How long a poll waits for a record. Records, rebalances and statistics end it early; a request to stop does not.
const POLL: Duration = Duration::from_millis(200).saturating_add(polled_producer::OVER);
/// How long librdkafka may take to go to another offset.
const SEEK: Duration = Duration::from_secs(5);
/// Poll timeout of a reader that only stays a member.
const STAY: Duration = Duration::from_millis(50);

/// Control flags of a reader thread.
#[derive(Default)]
struct ReaderControl {
    /// Stop consuming, but stay a member.
    stay: AtomicBool,
    /// End.
    stop: AtomicBool,
}

/// A running reader. Dropping it stops the thread without waiting.
pub struct Reader {
    orders: Arc<ReaderControl>,
    /// Disconnected once nothing more is read.
    reads: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
    member: Arc<Member>,
    watch: Option<LagWatch>,
    heartbeats: ReaderHeartbeats,
}

impl Reader {
    /// Subscribes and starts to read.
    ///
    /// # Errors
    /// When the subscription is refused or the thread cannot be started.
    pub fn start(
        member: Arc<Member>,
        (topics, health): (&[String], Arc<TopicHealth>),
        flow: Arc<Flow>,
        observer: Arc<dyn Observer>,
        failures: Failures,
        handler: impl Handler,
    ) -> anyhow::Result<Self> {
        member.subscribe(topics)?;
        let heartbeats = ReaderHeartbeats::new(member.assignment.revoke_within());
        let watch = LagWatch::start(
            Arc::clone(&member),
            Arc::clone(&member.assignment.lag),
            Arc::clone(&health),
            Arc::clone(&heartbeats.lag_watch),
        )?;
        let orders = Arc::new(ReaderControl::default());
        let (reading, reads) = mpsc::channel();
        let polling = Polling {
            member: Arc::clone(&member),
            flow,
            observer,
            handler,
            failures,
            orders: Arc::clone(&orders),
            heartbeat: Arc::clone(&heartbeats.reader),
            reading: Some(reading),
            closed_since: None,
            paused: false,
            last_error: None,
            told_passed: Instant::now(),
            fences: Fences::default(),
            rejoin_at: None,
            permission: Permission::of(topics, health),
        };
        let run = move || {
            let _guard = polling.failures.guard("the reader");
            polling.run();
        };
        let thread = thread::Builder::new()
            .name("reader".to_owned())
            .spawn(run)?;
        Ok(Self {
            orders,
            reads,
            thread: Some(thread),
            member,
            watch: Some(watch),
            heartbeats,
        })
    }

    /// Stops consuming, and waits for that up to a timeout. It stays a member of its group and takes part in
    /// rebalances: others would wait for it.
    pub fn stay(&self, within: Duration) {
        self.orders.stay.store(true, Ordering::Relaxed);
        // Nothing is ever sent: it is disconnected when the thread reads no more, or has ended.
        let _ = self.reads.recv_timeout(within);
    }

    /// Stays a member for these topics only. Partitions of others go to other nodes.
    pub fn keep_only(&self, topics: &[String]) {
        if let Err(error) = self.member.subscribe(topics) {
            client::error(&error, "handing over idle partitions");
        }
    }

    /// Ends the thread and waits for it, within a time. The consumer stays a member of its group: what was read can still be committed.
    pub fn stop(&mut self, within: Duration) {
        self.orders.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            join_within(thread, within);
        }
    }

    /// Commits what is stored and ends its membership, on a thread of its own.
    pub fn leave(mut self, departure: Departure, within: Duration) -> GroupDeparture {
        let (consumer, watch) = (self.member.take(), self.watch.take());
        drop(self);
        GroupDeparture::start((consumer, watch), departure, within)
    }

    /// A handle that controls the reader.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading(Arc::downgrade(&self.member))
    }

    /// Live lag.
    #[must_use]
    pub fn lag(&self) -> Arc<LagGauge> {
        Arc::clone(&self.member.assignment.lag)
    }

    /// Liveness of its threads.
    #[must_use]
    pub fn heartbeats(&self) -> ReaderHeartbeats {
        self.heartbeats.clone()
    }

    /// The partitions that this member owns.
    #[must_use]
    pub fn assignment(&self) -> Ownership {
        self.member.assignment.ownership.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
    }
}

struct Polling<H> {
    member: Arc<Member>,
    flow: Arc<Flow>,
    observer: Arc<dyn Observer>,
    handler: H,
    failures: Failures,
    orders: Arc<ReaderControl>,
    heartbeat: Arc<Heartbeat>,
    /// Kept for as long as records are read.
    reading: Option<Sender<Infallible>>,
    closed_since: Option<Instant>,
    paused: bool,
    last_error: Option<Instant>,
    told_passed: Instant,
    fences: Fences,
    /// When to join again with another consumer.
    rejoin_at: Option<Instant>,
    permission: Permission,
}

impl<H: Handler> Polling<H> {
    fn run(mut self) {
        while !self.orders.stop.load(Ordering::Relaxed) {
            self.heartbeat.beat();
            if self.orders.stay.load(Ordering::Relaxed) {
                drop(self.reading.take());
                self.stay();
                continue;
            }
            match self.rejoin_at {
                Some(at) if Instant::now() < at => thread::sleep(SHORT_WAIT),
                Some(_) => self.rejoin(),
                None => self.read(),
            }
        }
    }

    fn read(&mut self) {
        // Fetched for every iteration: a consumer that is kept cannot be closed.
        let Some(consumer) = self.member.consumer() else {
            return thread::sleep(SHORT_WAIT);
        };
        if consumer.context().connectivity.is_disconnected() {
            NodeEvent::ReaderDeaf.emit();
            self.rejoin_after(Duration::ZERO);
        } else if self.may_poll(&consumer) {
            self.read_run(&consumer);
        } else {
            thread::sleep(SHORT_WAIT);
        }
    }

    /// Takes part in rebalances without consuming. A member that does not poll stalls the rebalance of its group, and
    /// partitions assigned to it are not consumed.
    fn stay(&mut self) {
        let Some(consumer) = self.member.consumer() else {
            return thread::sleep(SHORT_WAIT);
        };
        let changed = self.assignment().has_changed();
        self.set_paused(&consumer, true, changed);
        match consumer.poll(STAY) {
            // Records that arrive before the pause are read by the next owner.
            Some(Ok(_)) | None => {}
            Some(Err(KafkaError::MessageConsumptionFatal(_))) => {
                // Others have its partitions already.
                self.assignment().give_up();
                self.orders.stop.store(true, Ordering::Relaxed);
            }
            Some(Err(error)) => {
                self.report(&error);
                thread::sleep(SHORT_WAIT);
            }
        }
    }

    fn assignment(&self) -> &Assignment {
        &self.member.assignment
    }

    /// Whether to poll. While the gate is closed only briefly, the reader waits without pausing: pausing makes librdkafka discard what it has
    /// fetched, and resuming takes up to a second. If the gate stays closed, all partitions are paused, so that polling goes on and the member stays
    /// in its group.
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

    /// Pauses all partitions, or only those of paused topics.
    fn set_paused(&mut self, consumer: &MemberConsumer, paused: bool, anew: bool) {
        if self.paused == paused && !anew {
            return;
        }
        let Ok(assignment) = consumer.assignment() else {
            return self.assignment().set_changed();
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
            Err(error) => {
                // It is tried again.
                self.assignment().set_changed();
                client::error(&error, "pausing or resuming");
            }
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
                // The record is delivered again when the topic is read from its beginning.
                Some(Ok(message)) if recreated.contains(message.topic()) => break,
                Some(Ok(message)) => {
                    if let Some((topic, ticket)) = self.assignment().ticket(&message) {
                        let weight = handle(&mut self.handler, &*self.observer, ticket, &message);
                        self.flow.add(weight);
                        opened.push(Ingested {
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
        if !opened.is_empty() {
            let records = opened.iter().zip(&topics);
            let read = records.map(|(opened, (topic, partition))| {
                let (offset, weight) = (opened.ticket.offset, opened.weight);
                (topic, *partition, offset, weight, opened.written_ms)
            });
            self.assignment().lag.read(read);
            self.assignment()
                .publisher_handle
                .tell(Command::Ingested(opened));
            self.handler.flush();
        }
        if self.told_passed.elapsed() > PASSED_EVERY {
            self.told_passed = Instant::now();
            self.assignment().tell_passed();
            self.permission.look(&self.member.assignment);
        }
        for topic in recreated {
            self.read_again(consumer, &topic);
        }
        consumer.context().resets.report(&self.member, consumer);
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
            // A new consumer starts at the group's committed offset, which brokers delete together with the topic.
            self.rejoin_after(Duration::ZERO);
        }
    }

    /// The brokers have fenced this consumer.
    fn end(&mut self, code: RDKafkaErrorCode) {
        match code {
            RDKafkaErrorCode::FencedInstanceId if self.fences.may_rejoin(Instant::now()) => {
                NodeEvent::Fenced { pause: PAUSE }.emit();
                self.rejoin_after(PAUSE);
            }
            RDKafkaErrorCode::FencedInstanceId => self.fail(
                "another node keeps joining under this node's name: set a unique node.name"
                    .to_owned(),
            ),
            code => self.fail(format!("fatal consumer error: {code}")),
        }
    }

    fn fail(&self, error: String) {
        self.failures.tell(error);
        self.orders.stop.store(true, Ordering::Relaxed);
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
        let (member, assignment) = (&self.member, &self.member.assignment);
        let group = member.config().get("group.id").unwrap_or_default();
        self.permission.refused(error, group, assignment);
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
