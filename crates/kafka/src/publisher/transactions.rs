//! Exactly once: a run of answers and the offsets that they complete are one transaction.
//!
//! [`machine`] makes the decisions and this module executes them. [`protocol`] defines the messages between the two.
//!
//! What was written stays in its partition until the commit is confirmed, so an abort costs no translation. When a
//! producer fails during a commit, the outcome is unknown until its successor is initialised, which completes or aborts
//! the old transaction: then the group's committed offsets show the outcome.
//!
//! Every call to the brokers is bounded and can be repeated, so that revocations keep their deadlines.

mod commit_outcome;
mod machine;
mod protocol;

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{BaseRecord, Producer},
};

use self::{
    commit_outcome::{committed, generation},
    machine::Machine,
    protocol::{Call, CallError, Effect, Event, Offsets, Replacement, Reports, Then},
};
use super::{
    Delivery, Next, Publishing,
    parking::WriteTimeouts,
    partition::Partitions,
    producers::Producers,
    refusal::replace_refused,
    reports::{self, RecordStatus, Report},
    run::Run,
    topic_failures::Sent,
    waiting_partitions::Waiting,
};
use crate::{polled_producer::PolledProducer, record::OutRecord, topic_health::Client};

/// How long a call may block.
const SLICE: Duration = Duration::from_millis(100);
/// How long reports are waited for before outcomes that came meanwhile are encoded.
const REPORTS: Duration = Duration::from_millis(2);
/// How long the brokers may take to accept offsets; the transaction is aborted after that.
const OFFSETS: Duration = Duration::from_secs(3);
/// How long a transaction may take where the configuration does not say so.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The transactional producer and its state machine.
pub(super) struct Transactions {
    machine: Machine,
    producers: Producers,
    producer: PolledProducer<reports::Reports>,
    /// When a record of the transaction was sent last.
    wrote: Instant,
}

impl Transactions {
    pub(super) fn new(config: ClientConfig, timeouts: WriteTimeouts) -> anyhow::Result<Self> {
        let timeout = config.get("transaction.timeout.ms");
        let timeout = timeout.and_then(|millis| millis.parse().ok());
        let timeout = timeout.map_or(TRANSACTION_TIMEOUT, Duration::from_millis);
        let (producers, now) = (Producers::new(config), Instant::now());
        Ok(Self {
            machine: Machine::new(timeouts, timeout, now),
            producer: producers.again()?,
            producers,
            wrote: now,
        })
    }

    /// Feeds an event, and the answers to all calls that follow from it; returns when to go on, unless that is at once.
    fn feed(
        &mut self,
        event: Event,
        partitions: &mut Partitions,
        with: &Publishing,
    ) -> Option<Next> {
        let mut event = event;
        loop {
            let step = self.machine.step(event, Instant::now());
            for effect in step.effects {
                carry_out(effect, partitions, with);
            }
            match step.then {
                Then::Call(call) => event = self.call(call, partitions, with),
                Then::Proceed => return None,
                Then::Return(next) => return Some(next),
            }
        }
    }

    /// Makes a call; returns its answer.
    fn call(&mut self, call: Call, partitions: &mut Partitions, with: &Publishing) -> Event {
        match call {
            Call::MakeProducer(wanted) => Event::ProducerMade(self.make_producer(wanted, with)),
            Call::Initialise { answered_after } => self.initialise(answered_after, with),
            Call::LookUp(run) => Event::LookedUp(committed(&run, with)),
            Call::Gather {
                limit,
                may_only_pass,
            } => Event::Gathered(self.gather(limit, may_only_pass, partitions, with)),
            Call::Begin => {
                let begun = self.producer.begin_transaction();
                if begun.is_ok() {
                    self.producer.context().begin();
                }
                Event::Begun(answer(begun))
            }
            Call::Write { run, most } => {
                self.write(&run, most, partitions);
                Event::Written
            }
            Call::AwaitReports { run, silent_after } => {
                Event::Reported(self.await_reports(&run, silent_after, with))
            }
            Call::SendOffsets(run) => Event::OffsetsSent(self.send_offsets(&run, with)),
            Call::Commit => Event::Committed(answer(self.producer.commit_transaction(SLICE))),
            Call::Abort => Event::Aborted(answer(self.producer.abort_transaction(SLICE))),
        }
    }

    fn make_producer(&mut self, wanted: Replacement, with: &Publishing) -> Result<u32, String> {
        let left = self.producers.current();
        let producer = match wanted {
            Replacement::Same => self.producers.again(),
            Replacement::Another => self.producers.next(),
            Replacement::First => self.producers.first(),
        };
        self.producer = producer.map_err(|error| error.to_string())?;
        with.gauges.producer_restarted();
        if wanted == Replacement::Another {
            // This also ends the transaction that is left, as soon as the brokers can: readers of other topics wait for that.
            self.producers.watch(left);
        }
        Ok(self.producers.current())
    }

    fn initialise(&self, answered_after: Instant, with: &Publishing) -> Event {
        match self.producer.init_transactions(SLICE) {
            Ok(()) => Event::Initialised,
            Err(error) => {
                accuse(&error, with);
                Event::NotInitialised {
                    error: CallError::from(&error),
                    brokers_answer: with.topics.have_answered_since(answered_after),
                }
            }
        }
    }

    fn gather(
        &self,
        limit: usize,
        may_only_pass: bool,
        partitions: &mut Partitions,
        with: &Publishing,
    ) -> Option<Run> {
        let (parking, now) = (self.machine.parking(), Instant::now());
        parking.answer(partitions, with, now);
        let verdict = |id: u32, record: &OutRecord| parking.judge(id, record, with, now);
        let unreadable = with.topics.unreadable();
        Run::gather(partitions, limit, may_only_pass, &unreadable, &verdict)
    }

    fn write(&mut self, run: &Run, most: usize, partitions: &Partitions) {
        self.wrote = Instant::now();
        let reports = self.producer.context();
        for (_, record) in run.answers(partitions).skip(reports.sent()).take(most) {
            let mark = reports.expect_one();
            let record = BaseRecord::with_opaque_to(&record.topic, mark)
                .key(&record.key)
                .payload(&record.payload)
                .headers(record.kafka_headers());
            // The run is far smaller than the queue: whatever stops it stops the transaction.
            if let Err((error, _)) = self.producer.send(record) {
                let failure = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                reports.not_sent(mark, failure);
                break;
            }
        }
    }

    fn await_reports(
        &self,
        run: &Run,
        silent_after: Option<Duration>,
        with: &Publishing,
    ) -> Reports {
        let reports = self.producer.context();
        if reports.wait(REPORTS) {
            return match reports.are_taken() {
                true => Reports::Taken(reports.sent()),
                false => Reports::NotTaken(self.sent(run)),
            };
        }
        if run.has_unavailable(with) {
            return Reports::Unavailable;
        }
        if let Some((code, _)) = self.producer.client().fatal_error() {
            return Reports::Fatal(code.to_string());
        }
        if reports.has_failed() {
            return Reports::NotTaken(self.sent(run));
        }
        let last = reports.heard().map_or(self.wrote, |h| h.max(self.wrote));
        match silent_after.is_some_and(|after| last.elapsed() > after) {
            true => Reports::Silent {
                sent: self.sent(run),
                brokers_answer: with.topics.have_answered_since(self.wrote),
            },
            false => Reports::Pending,
        }
    }

    /// What is known of each record of a run that was sent.
    fn sent(&self, run: &Run) -> Vec<Sent> {
        let reports = self.producer.context();
        let (statuses, denied) = (reports.statuses(), reports.denied());
        let places = run.places().iter().zip(statuses);
        let sent = places.map(|(place, status)| Sent {
            source: place.id,
            topic: place.topic.clone(),
            status: match status {
                RecordStatus::Failed(_) if denied.contains(&*place.topic) => {
                    RecordStatus::Failed(RDKafkaErrorCode::TopicAuthorizationFailed)
                }
                status => status,
            },
        });
        sent.collect()
    }

    fn send_offsets(&self, run: &Run, with: &Publishing) -> Offsets {
        let Some(group) = generation(run, with) else {
            return Offsets::NotOurs;
        };
        let offsets = run.offsets();
        match self
            .producer
            .send_offsets_to_transaction(&offsets, &group, OFFSETS)
        {
            Ok(()) => Offsets::Accepted,
            Err(error) => {
                accuse(&error, with);
                Offsets::Failed(CallError::from(&error))
            }
        }
    }
}

impl Delivery for Transactions {
    fn work(&mut self, partitions: &mut Partitions, with: &Publishing) -> Next {
        for number in self.producers.ended() {
            self.feed(Event::IdUsable(number), partitions, with);
        }
        loop {
            let proceed = Event::Proceed {
                is_disconnected: self.producer.context().connectivity().is_disconnected(),
                has_spare_id: self.producers.has_spare(),
            };
            if let Some(next) = self.feed(proceed, partitions, with) {
                return next;
            }
        }
    }

    fn reported(&mut self, _: Report, _: &mut Partitions, _: &Publishing) {}

    fn is_busy_with(&self, partition: u32) -> bool {
        self.machine.is_busy_with(partition)
    }

    fn waiting(&self, partitions: &Partitions, with: &Publishing) -> Waiting {
        let (parking, now) = (self.machine.parking(), Instant::now());
        let mut waiting = Waiting::of_topics(parking.blocked(now));
        for (id, partition) in partitions.iter() {
            let first = partition.released.front().into_iter();
            let records = first.flat_map(|released| released.answers.records());
            parking.note(&mut waiting, (id, partition), records, (with, now));
        }
        waiting
    }

    fn dropped(&mut self, partitions: &[u32]) {
        // Nothing follows from it at once.
        let event = Event::Dropped(partitions.to_vec());
        self.machine.step(event, Instant::now());
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        // An open transaction blocks every reader until it times out.
        if self.machine.should_abort() {
            let until = Instant::now() + Duration::from_secs(1);
            while self.producer.abort_transaction(SLICE).is_err() && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn answer(result: KafkaResult<()>) -> Result<(), CallError> {
    result.map_err(|error| CallError::from(&error))
}

fn carry_out(effect: Effect, partitions: &mut Partitions, with: &Publishing) {
    let finish = |run: &Run, partitions: &mut Partitions| {
        run.finish(partitions, &with.flow, &with.gauges);
        with.gauges.committed();
    };
    match effect {
        Effect::Finish(run) => finish(&run, partitions),
        Effect::Settle { run, is_committed } => {
            NodeEvent::DoubtSettled {
                committed: is_committed,
            }
            .emit();
            match is_committed {
                true => finish(&run, partitions),
                false => with.gauges.aborted(),
            }
        }
        Effect::CountAborted => with.gauges.aborted(),
        Effect::ReplaceRefused(place) => {
            if let Some(partition) = partitions.get(place.id, place.epoch) {
                replace_refused(partition, place.offset, place.number, &with.encoder);
            }
        }
        Effect::Ready => {
            let (source, topics) = (&with.source, &with.topics);
            topics.set_client_problem(source, Client::Publisher, None);
            with.gauges.set_can_publish();
        }
        Effect::TellAborting(error) => NodeEvent::TransactionAborted { error: &error }.emit(),
        Effect::TellBroken(error) => NodeEvent::ProducerBroken { error: &error }.emit(),
    }
}

/// Tells of an error that an operator has to do something about.
fn accuse(error: &KafkaError, with: &Publishing) {
    match error.rdkafka_error_code() {
        // It does not say which topic's offsets.
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => with.topics.suspect_reading(),
        Some(code @ RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            let problem = format!(
                "cannot be answered: {code}; allow Write on kafka.group_id and what begins with it, as transactional ids"
            );
            with.topics
                .set_client_problem(&with.source, Client::Publisher, Some(problem));
        }
        _ => {}
    }
}
