//! The publisher: a thread that writes outcomes in order and stores the offsets that they complete.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use babelmesh_actors::{
    delivery::Ledger,
    domain::{JobOutcome, OutcomeSink, Ticket},
    flow::Flow,
};
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

use super::{
    client,
    reader::ReaderContext,
    record::{Encoder, Origin, OutRecord},
};
use crate::events::NodeEvent;

/// How long to wait when librdkafka's queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(2);
/// How often deadlines of revocations are looked at.
const TICK: Duration = Duration::from_millis(20);

/// The outcome of a record.
#[derive(Debug)]
pub enum Settled {
    /// A job ended.
    Outcome(Box<JobOutcome>),
    /// The record is answered by these.
    Records(Vec<OutRecord>),
}

/// What a publisher is told.
pub enum Command {
    /// A partition was assigned.
    Assigned {
        /// The reader's number of it.
        partition: u32,
        /// Counts its assignments.
        epoch: u32,
        /// Its topic.
        topic: Arc<str>,
        /// Kafka's number of it.
        number: i32,
    },
    /// Records were read, with what they weigh; sent before anything that could settle them.
    Opened(Vec<(Ticket, u64)>),
    /// Outcomes are known.
    Settled(Vec<(Ticket, Settled)>),
    /// The broker acknowledged one record of this number.
    Acknowledged(usize),
    /// Finish these partitions until the deadline, drop what is left, answer.
    Revoked {
        /// The reader's numbers of them.
        partitions: Vec<u32>,
        /// When to give up.
        deadline: Instant,
        /// Answered when done.
        reply: SyncSender<()>,
    },
    /// The same for all partitions; then end.
    Stop {
        /// When to give up.
        deadline: Instant,
        /// Answered when done.
        reply: SyncSender<()>,
    },
}

/// The handle of a publisher by which outcomes reach it.
#[derive(Clone)]
pub struct Settlements(Sender<Command>);

impl Settlements {
    /// A handle that sends to a publisher's channel.
    #[must_use]
    pub const fn new(commands: Sender<Command>) -> Self {
        Self(commands)
    }

    /// Settles records.
    pub fn settle(&self, settled: Vec<(Ticket, Settled)>) {
        self.tell(Command::Settled(settled));
    }

    pub(super) fn tell(&self, command: Command) {
        // A publisher that has ended left its offsets uncommitted: everything is delivered again.
        let _ = self.0.send(command);
    }

    /// Has all partitions finished until a deadline, then ends the publisher.
    pub fn stop(&self, within: Duration) {
        let (reply, done) = mpsc::sync_channel(1);
        self.tell(Command::Stop {
            deadline: Instant::now() + within,
            reply,
        });
        let _ = done.recv_timeout(within + Duration::from_secs(5));
    }
}

impl OutcomeSink for Settlements {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let settle =
            |outcome: JobOutcome| (outcome.order.ticket, Settled::Outcome(Box::new(outcome)));
        self.settle(outcomes.into_iter().map(settle).collect());
    }
}

/// The parts that a publisher works with.
pub struct Publisher {
    producer: ThreadedProducer<PublisherContext>,
    consumer: Arc<BaseConsumer<ReaderContext>>,
    encoder: Encoder,
    flow: Arc<Flow>,
    commands: Receiver<Command>,
    partitions: HashMap<u32, Partition>,
    /// Records on their way to the broker: number → partition, epoch.
    units: HashMap<usize, (u32, u32)>,
    next_unit: usize,
    revocations: Vec<Revocation>,
}

struct Partition {
    topic: Arc<str>,
    number: i32,
    epoch: u32,
    ledger: Ledger<Settled>,
    weights: HashMap<i64, u64>,
    /// Released and not yet fully acknowledged, in order.
    sent: VecDeque<Sent>,
}

struct Sent {
    unit: usize,
    offset: i64,
    missing: usize,
}

struct Revocation {
    partitions: Vec<u32>,
    deadline: Instant,
    reply: SyncSender<()>,
    stop: bool,
}

impl Publisher {
    /// Starts a publisher for the records of `consumer`.
    ///
    /// # Errors
    /// When the producer's configuration is refused.
    pub fn start(
        config: &rdkafka::ClientConfig,
        consumer: Arc<BaseConsumer<ReaderContext>>,
        encoder: Encoder,
        flow: Arc<Flow>,
        (settlements, commands): (Settlements, Receiver<Command>),
    ) -> anyhow::Result<JoinHandle<()>> {
        let context = PublisherContext {
            acknowledgements: settlements,
        };
        let producer = config.create_with_context(context)?;
        let publisher = Self {
            producer,
            consumer,
            encoder,
            flow,
            commands,
            partitions: HashMap::new(),
            units: HashMap::new(),
            next_unit: 0,
            revocations: Vec::new(),
        };
        Ok(thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(|| publisher.run())?)
    }

    fn run(mut self) {
        loop {
            match self.commands.recv_timeout(TICK) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Everything that has piled up is one run: offsets are stored once for all of it.
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            self.publish();
            self.store_offsets();
            if self.end_revocations() {
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assigned {
                partition,
                epoch,
                topic,
                number,
            } => {
                let fresh = Partition {
                    topic,
                    number,
                    epoch,
                    ledger: Ledger::default(),
                    weights: HashMap::new(),
                    sent: VecDeque::new(),
                };
                if let Some(old) = self.partitions.insert(partition, fresh) {
                    self.forget(&old);
                }
            }
            Command::Opened(tickets) => {
                for (ticket, weight) in tickets {
                    let Some(partition) = self.partition(ticket) else {
                        self.flow.done(weight);
                        continue;
                    };
                    partition.ledger.open(ticket.offset);
                    partition.weights.insert(ticket.offset, weight);
                }
            }
            Command::Settled(settled) => {
                for (ticket, outcome) in settled {
                    if let Some(partition) = self.partition(ticket) {
                        // Known already only if the record was read twice: the first outcome counts.
                        let _ = partition.ledger.settle(ticket.offset, outcome);
                    }
                }
            }
            Command::Acknowledged(unit) => self.acknowledged(unit),
            Command::Revoked {
                partitions,
                deadline,
                reply,
            } => {
                self.revocations.push(Revocation {
                    partitions,
                    deadline,
                    reply,
                    stop: false,
                });
            }
            Command::Stop { deadline, reply } => {
                let partitions = self.partitions.keys().copied().collect();
                self.revocations.push(Revocation {
                    partitions,
                    deadline,
                    reply,
                    stop: true,
                });
            }
        }
    }

    fn partition(&mut self, ticket: Ticket) -> Option<&mut Partition> {
        self.partitions
            .get_mut(&ticket.partition)
            .filter(|p| p.epoch == ticket.epoch)
    }

    /// Writes every outcome whose turn it is.
    fn publish(&mut self) {
        let ids: Vec<u32> = self.partitions.keys().copied().collect();
        for id in ids {
            while let Some((epoch, records, offset)) = self.release(id) {
                let unit = self.next_unit;
                self.next_unit += 1;
                self.units.insert(unit, (id, epoch));
                if let Some(partition) = self.partitions.get_mut(&id) {
                    partition.sent.push_back(Sent {
                        unit,
                        offset,
                        missing: records.len(),
                    });
                }
                for record in &records {
                    self.produce(record, unit);
                }
            }
        }
    }

    fn release(&mut self, id: u32) -> Option<(u32, Vec<OutRecord>, i64)> {
        let partition = self.partitions.get_mut(&id)?;
        let (offset, settled) = partition.ledger.release()?;
        let origin = || Origin {
            topic: Arc::clone(&partition.topic),
            partition: partition.number,
            offset,
        };
        let records = match settled {
            Settled::Records(records) => records,
            Settled::Outcome(outcome) => self.encoder.outcome(&outcome, &origin()),
        };
        Some((partition.epoch, records, offset))
    }

    fn produce(&self, record: &OutRecord, unit: usize) {
        let mut pending = BaseRecord::with_opaque_to(&record.topic, unit)
            .key(&record.key)
            .payload(&record.payload)
            .headers(record.kafka_headers());
        loop {
            match self.producer.send(pending) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    pending = back;
                    thread::sleep(QUEUE_FULL_PAUSE);
                }
                Err((error, _)) => {
                    // The unit is never acknowledged, so its offset is never committed: it is delivered again.
                    NodeEvent::PublishFailed {
                        topic: &record.topic,
                        error: &error.to_string(),
                    }
                    .emit();
                    return;
                }
            }
        }
    }

    fn acknowledged(&mut self, unit: usize) {
        let Some((id, epoch)) = self.units.get(&unit).copied() else {
            return;
        };
        let Some(partition) = self.partitions.get_mut(&id).filter(|p| p.epoch == epoch) else {
            self.units.remove(&unit);
            return;
        };
        let index = partition.sent.binary_search_by_key(&unit, |sent| sent.unit);
        if let Some(sent) = index.ok().and_then(|i| partition.sent.get_mut(i)) {
            sent.missing -= 1;
            if sent.missing == 0 {
                self.units.remove(&unit);
            }
        }
    }

    /// Stores the offsets that everything before is acknowledged of.
    fn store_offsets(&mut self) {
        for partition in self.partitions.values_mut() {
            let mut complete = None;
            while partition.sent.front().is_some_and(|sent| sent.missing == 0) {
                let Some(sent) = partition.sent.pop_front() else {
                    break;
                };
                self.units.remove(&sent.unit);
                self.flow
                    .done(partition.weights.remove(&sent.offset).unwrap_or(0));
                complete = Some(sent.offset);
            }
            if let Some(offset) = complete
                && let Err(error) =
                    self.consumer
                        .store_offset(&partition.topic, partition.number, offset)
            {
                // The partition was lost meanwhile: its next owner reads from the last commit.
                NodeEvent::OffsetNotStored {
                    topic: &partition.topic,
                    error: &error.to_string(),
                }
                .emit();
            }
        }
    }

    fn end_revocations(&mut self) -> bool {
        let now = Instant::now();
        let mut stop = false;
        for revocation in std::mem::take(&mut self.revocations) {
            let finished = revocation.partitions.iter().all(|id| {
                self.partitions
                    .get(id)
                    .is_none_or(|p| p.ledger.is_empty() && p.sent.is_empty())
            });
            if !finished && now < revocation.deadline {
                self.revocations.push(revocation);
                continue;
            }
            for id in &revocation.partitions {
                if let Some(partition) = self.partitions.remove(id) {
                    self.forget(&partition);
                }
            }
            stop |= revocation.stop;
            let _ = revocation.reply.send(());
        }
        stop
    }

    /// Gives back what a partition that is gone had accepted.
    fn forget(&self, partition: &Partition) {
        self.flow.done(partition.weights.values().sum());
        let unfinished = partition.weights.len();
        if unfinished > 0 {
            let (topic, number) = (&partition.topic, partition.number);
            NodeEvent::PartitionDropped {
                topic,
                partition: number,
                unfinished,
            }
            .emit();
        }
    }
}

/// Receives acknowledgements on librdkafka's side.
pub struct PublisherContext {
    acknowledgements: Settlements,
}

impl ClientContext for PublisherContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }
}

impl ProducerContext for PublisherContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, unit: usize) {
        match result {
            Ok(_) => self.acknowledgements.tell(Command::Acknowledged(unit)),
            Err((error, message)) => NodeEvent::PublishFailed {
                topic: message.topic(),
                error: &error.to_string(),
            }
            .emit(),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.producer.flush(Duration::from_secs(1));
    }
}
