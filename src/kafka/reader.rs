//! The reader: a thread that polls a consumer, hands records on and holds back when too much waits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use babelmesh_actors::{
    domain::Ticket,
    events::{Event, Observer},
    flow::{Flow, Gate},
};
use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use super::{
    client,
    lag::{LagGauge, LagWatch},
    ownership::Ownership,
    publisher::{Command, Opened, Settlements},
};
use crate::{events::NodeEvent, failure::Failures};

/// Most records that are handed on at once.
const RUN: usize = 512;
/// How long the gate stays closed before partitions are paused; far below `max.poll.interval.ms`.
const PAUSE_AFTER: Duration = Duration::from_secs(2);
/// How often a closed gate is looked at until then.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(50);

/// What is done with records. Called on the reader's thread.
pub trait Handler: Send + 'static {
    /// Takes a record; returns what it weighs (see [`Flow::weight_of`]).
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64;

    /// The records read since the last call are known to the publisher: hand them on.
    fn hand_on(&mut self);
}

/// A running reader. Dropping it stops the thread without waiting.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    consumer: Arc<BaseConsumer<ReaderContext>>,
    watch: Option<LagWatch>,
}

impl Reader {
    /// Creates a consumer whose partitions are told to `settlements`.
    ///
    /// # Errors
    /// When the configuration is refused.
    pub fn consumer(
        config: &rdkafka::ClientConfig,
        settlements: Settlements,
        ownership: Ownership,
        revoke_within: Duration,
    ) -> anyhow::Result<Arc<BaseConsumer<ReaderContext>>> {
        let context = ReaderContext {
            settlements,
            revoke_within,
            partitions: Mutex::default(),
            changed: AtomicBool::new(false),
            ownership,
            lag: Arc::default(),
        };
        Ok(Arc::new(config.create_with_context(context)?))
    }

    /// Subscribes and starts to read.
    ///
    /// # Errors
    /// When the subscription is refused or the thread cannot be started.
    pub fn start(
        consumer: Arc<BaseConsumer<ReaderContext>>,
        topics: &[String],
        flow: Arc<Flow>,
        observer: Arc<dyn Observer>,
        failures: Failures,
        handler: impl Handler,
    ) -> anyhow::Result<Self> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let watch = LagWatch::start(Arc::clone(&consumer), Arc::clone(&consumer.context().lag))?;
        let stop = Arc::new(AtomicBool::new(false));
        let polling = Polling {
            consumer: Arc::clone(&consumer),
            flow,
            observer,
            handler,
            failures,
            stop: Arc::clone(&stop),
            closed_since: None,
            paused: false,
            last_error: None,
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
            consumer,
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

    /// Commits what is stored and leaves the group. A broker that does not answer is waited for only for `within`: the group
    /// then notices by itself that this member is gone.
    pub fn leave(mut self, within: Duration) {
        let consumer = Arc::clone(&self.consumer);
        let watch = self.watch.take();
        drop(self);
        let (done, ended) = mpsc::sync_channel(1);
        let leaving = move || {
            // Whoever holds the consumer last leaves the group for it, and only this thread is waited for.
            if let Some(watch) = watch {
                watch.end();
            }
            match consumer.commit_consumer_state(CommitMode::Sync) {
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
                Err(error) => client::error(&error, "committing the last offsets"),
            }
            // Closing the consumer waits for the broker without a limit of its own.
            drop(consumer);
            let _ = done.send(());
        };
        if thread::Builder::new()
            .name("leave".to_owned())
            .spawn(leaving)
            .is_ok()
        {
            let _ = ended.recv_timeout(within);
        }
    }

    /// What is not read yet, whenever it is asked.
    #[must_use]
    pub fn lag(&self) -> Arc<LagGauge> {
        Arc::clone(&self.consumer.context().lag)
    }

    /// What this reader reads, whenever it is asked.
    #[must_use]
    pub fn assignment(&self) -> Ownership {
        self.consumer.context().ownership.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Polling<H> {
    consumer: Arc<BaseConsumer<ReaderContext>>,
    flow: Arc<Flow>,
    observer: Arc<dyn Observer>,
    handler: H,
    failures: Failures,
    stop: Arc<AtomicBool>,
    closed_since: Option<Instant>,
    paused: bool,
    last_error: Option<Instant>,
}

impl<H: Handler> Polling<H> {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.may_poll() {
                self.read_run();
            } else {
                thread::sleep(SHORT_WAIT);
            }
        }
    }

    /// Whether to poll. A gate that closes for a moment is waited for: librdkafka forgets what it read ahead when partitions are paused, and takes
    /// up to a second to begin again. One that stays closed pauses all partitions, so that polling can go on and the member stays in its group.
    fn may_poll(&mut self) -> bool {
        let tokens = self.flow.queued();
        let moved = self
            .consumer
            .context()
            .changed
            .swap(false, Ordering::Relaxed);
        if self.flow.gate() == Gate::Open {
            if self.closed_since.take().is_some() {
                self.observer.observe(&Event::IntakeResumed { tokens });
            }
            self.set_paused(false, false);
            return true;
        }
        let observer = &self.observer;
        let since = *self.closed_since.get_or_insert_with(|| {
            observer.observe(&Event::IntakePaused { tokens });
            Instant::now()
        });
        if since.elapsed() > PAUSE_AFTER {
            // A new assignment starts unpaused.
            self.set_paused(true, moved);
        }
        self.paused
    }

    fn set_paused(&mut self, paused: bool, anew: bool) {
        if self.paused == paused && !anew {
            return;
        }
        let Ok(assignment) = self.consumer.assignment() else {
            return;
        };
        let done = match paused {
            true => self.consumer.pause(&assignment),
            false => self.consumer.resume(&assignment),
        };
        match done {
            Ok(()) => {
                self.paused = paused;
                self.consumer.context().lag.set_paused(paused);
            }
            Err(error) => client::error(&error, "pausing or resuming"),
        }
    }

    fn read_run(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        let mut opened = Vec::new();
        let mut topics = Vec::new();
        let mut wait = POLL;
        while opened.len() < RUN && self.flow.gate() == Gate::Open || opened.is_empty() {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    if let Some((topic, ticket)) = consumer.context().ticket(&message) {
                        let weight = self.handler.read(ticket, &message);
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
            wait = Duration::ZERO;
        }
        if !opened.is_empty() {
            let records = opened.iter().zip(&topics);
            consumer
                .context()
                .lag
                .read(records.map(|(opened, (topic, partition))| {
                    let (offset, weight) = (opened.ticket.offset, opened.weight);
                    (topic, *partition, offset, weight, opened.written_ms)
                }));
            consumer.context().settlements.tell(Command::Opened(opened));
            self.handler.hand_on();
        }
    }

    /// The brokers will have nothing to do with this member any more.
    fn end(&mut self, code: RDKafkaErrorCode) {
        self.failures.tell(match code {
            RDKafkaErrorCode::FencedInstanceId => {
                "another node has joined under this node's name: every node needs a node.name of its own".to_owned()
            }
            code => format!("reading cannot go on: {code}"),
        });
        self.stop.store(true, Ordering::Relaxed);
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

/// What librdkafka tells about the assignment.
pub struct ReaderContext {
    settlements: Settlements,
    revoke_within: Duration,
    partitions: Mutex<Partitions>,
    changed: AtomicBool,
    ownership: Ownership,
    lag: Arc<LagGauge>,
}

#[derive(Default)]
struct Partitions {
    /// Topic → partition → our number and its epoch.
    ids: HashMap<Arc<str>, HashMap<i32, (u32, u32)>>,
    next: u32,
}

impl ReaderContext {
    fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ticket(&self, message: &BorrowedMessage<'_>) -> Option<(Arc<str>, Ticket)> {
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

    fn assign(&self, list: &TopicPartitionList) {
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
            self.ownership.gain(id.0, id.1);
            self.settlements.tell(Command::Assigned {
                partition: id.0,
                epoch: id.1,
                topic,
                number: element.partition(),
            });
        }
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Waits until what was read of these partitions is published, or gives it up.
    fn revoke(&self, list: &TopicPartitionList, within: Duration) {
        let revoked: Vec<u32> = {
            let partitions = self.partitions();
            let id = |topic: &str, number| partitions.ids.get(topic)?.get(&number).map(|id| id.0);
            list.elements()
                .iter()
                .filter_map(|e| id(e.topic(), e.partition()))
                .collect()
        };
        if within.is_zero() {
            revoked.iter().for_each(|id| self.ownership.lose(*id));
        }
        let (reply, done) = mpsc::sync_channel(1);
        let deadline = Instant::now() + within;
        self.settlements.tell(Command::Revoked {
            partitions: revoked.clone(),
            deadline,
            reply,
        });
        let _ = done.recv_timeout(within + Duration::from_millis(500));
        // Whatever the publisher is doing now, it commits nothing of these from here on.
        revoked.iter().for_each(|id| self.ownership.lose(*id));
    }
}

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.lag.statistics(statistics);
    }
}

impl ConsumerContext for ReaderContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.assign(list),
            // What was lost belongs to somebody else already: there is nothing to wait for and nothing to commit.
            Rebalance::Revoke(list) if consumer.assignment_lost() => {
                self.revoke(list, Duration::ZERO)
            }
            Rebalance::Revoke(list) => {
                self.revoke(list, self.revoke_within);
                let _ = consumer.commit_consumer_state(CommitMode::Sync);
            }
            Rebalance::Error(_) => {}
        }
        NodeEvent::Rebalanced { rebalance }.emit();
    }
}
