//! Publishing letters again.

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    ClientConfig, ClientContext, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

use super::{
    DeadLetter, Filter, OutRecord, Position, Skip, Targets,
    memory::{Memory, Start},
    scan,
    scan::Scan,
};
use crate::{client::Clients, topics::TopicNames};

/// Most letters that are published in one go, and most bytes of them.
const RUN: usize = 500;
const RUN_BYTES: usize = 8 << 20;
/// How long to wait when librdkafka's queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(2);

/// Selection and options of a replay.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which letters.
    pub filter: Filter,
    /// Include dead letters that were replayed before.
    pub from_beginning: bool,
    /// Publish nothing and remember nothing.
    pub dry_run: bool,
    /// Group that remembers which letters were dealt with.
    pub group: String,
    /// Names of the cluster's topics.
    pub topics: TopicNames,
    /// Letters and what is remembered of them go into one transaction. Otherwise a crash between the two repeats some letters.
    pub transactions: bool,
    /// Longest time for the brokers to answer.
    pub within: Duration,
}

/// Handling of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is published to this topic.
    Replay(Arc<str>),
    /// It cannot be.
    Skip(Skip),
}

/// Summary of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Letters that were published, or would be.
    pub replayed: u64,
    /// Letters that are meant and cannot be.
    pub skipped: u64,
    /// Positions that were asked for and not found: they were replayed before, or are gone, or never were.
    pub missing: Vec<Position>,
}

/// Replays letters; `told` hears of each before it is published.
///
/// # Errors
/// When the brokers do not answer or refuse. What was published before is remembered.
pub fn replay(
    clients: &Clients,
    plan: &Plan,
    told: &mut dyn FnMut(&DeadLetter, &Verdict) -> Result<()>,
) -> Result<Summary> {
    let topic = &plan.topics.dead_letters;
    // First of all: a replay that goes on elsewhere is fenced, and what it had begun is undone, before its memory is read.
    let writer = match plan.dry_run {
        true => None,
        false => Some(Writer::start(clients, plan)?),
    };
    let mut scan = Scan::connect(clients, &plan.group, topic, plan.within)?;
    let start = match plan.from_beginning {
        true => Start::Beginning,
        false => Start::Remembered,
    };
    let mut memory = Memory::read(&scan, start)?;
    let names = &plan.topics;
    let existing = existing(&scan, plan.within)?;
    let targets = Targets { names, existing };
    scan.from(|partition, beginning| match plan.from_beginning {
        true => beginning,
        false => memory.next(partition),
    })?;
    let mut summary = Summary::default();
    let mut missing: BTreeSet<Position> = plan.filter.at.clone();
    let mut run = Run::default();
    while let Some(letter) = scan.read()? {
        let before = !plan.from_beginning && memory.is_done(letter.at);
        if before || !plan.filter.takes(&letter) {
            memory.passed(letter.at, false);
            continue;
        }
        missing.remove(&letter.at);
        memory.passed(letter.at, true);
        match letter.record(&targets) {
            Ok((record, partition)) => {
                told(&letter, &Verdict::Replay(Arc::clone(&record.topic)))?;
                summary.replayed += 1;
                run.push(record, partition);
            }
            Err(skip) => {
                told(&letter, &Verdict::Skip(skip))?;
                summary.skipped += 1;
            }
        }
        if run.is_full()
            && let Some(writer) = &writer
        {
            writer.write(&mut run, &mut memory, &scan)?;
        }
        if writer.is_none() {
            run.clear();
        }
    }
    if let Some(writer) = &writer {
        writer.write(&mut run, &mut memory, &scan)?;
    }
    summary.missing = missing.into_iter().collect();
    Ok(summary)
}

/// Topics that exist, with their numbers of partitions.
fn existing(scan: &Scan, within: Duration) -> Result<Vec<(String, i32)>> {
    let metadata = scan
        .consumer
        .fetch_metadata(None, within)
        .context("asking for the topics that exist")?;
    let topics = metadata.topics().iter();
    let count = |partitions: usize| i32::try_from(partitions).unwrap_or(i32::MAX);
    Ok(topics
        .map(|topic| (topic.name().to_owned(), count(topic.partitions().len())))
        .collect())
}

/// Letters that are published in one go.
#[derive(Default)]
struct Run {
    records: Vec<(OutRecord, Option<i32>)>,
    bytes: usize,
}

impl Run {
    fn push(&mut self, record: OutRecord, partition: Option<i32>) {
        self.bytes += record.payload.len();
        self.records.push((record, partition));
    }

    fn is_full(&self) -> bool {
        self.records.len() >= RUN || self.bytes >= RUN_BYTES
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }
}

/// Publishes runs and has the group remember them.
struct Writer {
    producer: ThreadedProducer<Deliveries>,
    transactions: bool,
    bootstrap: String,
    within: Duration,
    /// Whether the brokers were seen to remember offsets of transactions.
    checked: Cell<bool>,
}

impl Writer {
    fn start(clients: &Clients, plan: &Plan) -> Result<Self> {
        let within = plan.within;
        let mut config: ClientConfig = clients.producer();
        let millis = within.as_millis().to_string();
        config.set("message.timeout.ms", &millis);
        if plan.transactions {
            // A replay at a time: a second one fences the first.
            config.set("transactional.id", &plan.group);
            let longest = within.max(Duration::from_secs(60)).as_millis();
            config.set("transaction.timeout.ms", longest.to_string());
        } else {
            config.remove("transactional.id");
        }
        let producer: ThreadedProducer<_> = config.create_with_context(Deliveries::default())?;
        let bootstrap = clients.bootstrap().to_owned();
        if plan.transactions {
            let begun = producer.init_transactions(within);
            begun.with_context(|| scan::silence(&bootstrap, within))?;
        }
        Ok(Self {
            producer,
            transactions: plan.transactions,
            bootstrap,
            within,
            checked: Cell::new(false),
        })
    }

    fn write(&self, run: &mut Run, memory: &mut Memory, scan: &Scan) -> Result<()> {
        let offsets = memory.offsets(&scan.topic)?;
        if offsets.count() == 0 {
            return Ok(());
        }
        let written = match self.transactions {
            true => self.transaction(run, &offsets, scan),
            false => self.acknowledged(run, &offsets, scan),
        };
        if written.is_err() && self.is_fenced() {
            bail!("another replay is running: it has taken the place of this one");
        }
        written.with_context(|| {
            let (letters, bootstrap) = (run.records.len(), &self.bootstrap);
            format!("replaying {letters} letters at {bootstrap}")
        })?;
        if self.transactions && !self.checked.replace(true) {
            Self::check(&offsets, scan, self.within)?;
        }
        memory.saved();
        run.clear();
        Ok(())
    }

    /// Checks that the brokers store transactional offsets. An embedded broker does not, and the same letters would be replayed again and again.
    fn check(offsets: &TopicPartitionList, scan: &Scan, within: Duration) -> Result<()> {
        let kept = scan.consumer.committed_offsets(offsets.clone(), within)?;
        let kept_all = offsets.elements().iter().all(|wanted| {
            let kept = kept.find_partition(wanted.topic(), wanted.partition());
            kept.is_some_and(|kept| kept.offset() == wanted.offset())
        });
        ensure!(
            kept_all,
            "dead letters were replayed, but the broker does not store transactional offsets (embedded or incompatible broker); set kafka.delivery to \"at-least-once\""
        );
        Ok(())
    }

    /// Whether a later replay has taken the place of this one.
    fn is_fenced(&self) -> bool {
        let fatal = self.producer.client().fatal_error();
        fatal.is_some_and(|(code, _)| is_fenced(code))
    }

    fn transaction(&self, run: &Run, offsets: &TopicPartitionList, scan: &Scan) -> Result<()> {
        self.producer.begin_transaction()?;
        let done = self.send(run).and_then(|()| {
            let group = scan.consumer.group_metadata();
            let group = group.context("the consumer has no group")?;
            self.producer
                .send_offsets_to_transaction(offsets, &group, self.within)?;
            Ok(self.producer.commit_transaction(self.within)?)
        });
        if done.is_err() {
            // The next replay undoes what this one cannot.
            let _ = self.producer.abort_transaction(self.within);
        }
        done
    }

    fn acknowledged(&self, run: &Run, offsets: &TopicPartitionList, scan: &Scan) -> Result<()> {
        self.send(run)?;
        self.producer.flush(self.within)?;
        if let Some(error) = self.producer.context().failure() {
            bail!(error);
        }
        Ok(scan.consumer.commit(offsets, CommitMode::Sync)?)
    }

    fn send(&self, run: &Run) -> Result<()> {
        for (record, partition) in &run.records {
            let mut pending = BaseRecord::to(&record.topic)
                .key(&record.key)
                .payload(&record.payload)
                .headers(record.kafka_headers());
            if let Some(partition) = partition {
                pending = pending.partition(*partition);
            }
            loop {
                match self.producer.send(pending) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        pending = back;
                        std::thread::sleep(QUEUE_FULL_PAUSE);
                    }
                    Err((error, _)) => bail!(error),
                }
            }
        }
        Ok(())
    }
}

/// Whether a later producer with the same transactional id makes a producer fail in this way.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}

/// Remembers the first record that the brokers did not take.
#[derive(Default)]
struct Deliveries(Mutex<Option<KafkaError>>);

impl Deliveries {
    fn failure(&self) -> Option<KafkaError> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}
