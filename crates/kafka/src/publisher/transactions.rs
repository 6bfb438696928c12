//! Exactly once: a run of answers and the offsets that they complete are one transaction.
//!
//! ```text
//!            released?          all taken?            sent?
//! Starting ─► Idle ─► Open: write the run ─► Open: offsets ─► Committing ─► Idle
//!    ▲          ▲       │ a record or the offsets refused, a partition gone
//!    │          └───────┴─► Aborting ─► the run is written again, from here
//!    └── from everywhere: a fatal error; the producer is replaced
//! ```
//!
//! What was written stays in its partition until the commit is confirmed, so an abort costs no translation. When a
//! producer fails during a commit, the outcome is unknown until its successor is initialised, which completes or aborts
//! the old transaction: then the group's committed offsets show the outcome.
//!
//! Every call to the brokers is bounded and can be repeated, so that revocations keep their deadlines.

mod commit_outcome;
mod unwritten;

use std::{
    thread,
    time::{Duration, Instant},
};

use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, Producer},
};

use self::commit_outcome::{generation, settle_doubt};
use super::{
    DISCONNECTED, Delivery, Next, Publishing, pace,
    parking::{Parking, WriteTimeouts},
    partition::Partitions,
    producers::Producers,
    reports::{Report, Reports},
    run::{LARGEST, Run},
    waiting_partitions::Waiting,
};
use crate::{polled_producer::PolledProducer, record::OutRecord, topic_health::Client};

/// How long a call may block.
const SLICE: Duration = Duration::from_millis(100);
/// How long reports are waited for before outcomes that came meanwhile are encoded.
const REPORTS: Duration = Duration::from_millis(2);
/// How long the brokers may take to accept offsets; the transaction is aborted after that.
const OFFSETS: Duration = Duration::from_secs(3);
/// How long a transaction may take beyond the time after which the brokers end it.
const GRACE: Duration = Duration::from_secs(2);
/// Offsets behind markers are a transaction of their own only when there was no other one for so long.
const PASS_AFTER: Duration = Duration::from_millis(500);
/// How long a transaction is waited for that is given up and may not end for long, before the publisher goes on under another id.
const LEAVE_AFTER: Duration = Duration::from_secs(1);
/// First and longest pause after something failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The transactional producer and what it is doing.
pub(super) struct Transactions {
    producers: Producers,
    producer: PolledProducer<Reports>,
    state: State,
    /// Unwritable topics, and the partitions that wait for them.
    parking: Parking,
    /// Since when the producer's id should be abandoned, because its transaction may not end for long.
    leaving: Option<Instant>,
    /// Whether nothing was heard of any record of the run before.
    was_silent: bool,
    /// When a record of the transaction was sent last.
    wrote: Instant,
    /// A commit whose end is unknown.
    in_doubt: Option<Run>,
    /// Most records of a run; fewer while a record that is refused is looked for.
    limit: usize,
    failures: u32,
    not_before: Instant,
    /// When the transaction began.
    began: Instant,
    /// How long it may take to end, one way or the other.
    most: Duration,
    /// The next one begins no earlier.
    next: Instant,
}

enum State {
    /// Waiting for the producer to be initialised, which also ends what its predecessor left.
    Starting,
    /// No transaction.
    Idle,
    /// A transaction with these records; the offsets are missing.
    Open(Run),
    /// Complete, waiting for the end.
    Committing(Run),
    /// Waiting for the end of an aborted transaction.
    Aborting,
}

/// Result of a state machine step.
enum Step {
    /// Go on at once.
    On,
    /// Reports of records are missing; they were waited for.
    Reports,
    /// The brokers need a moment.
    Wait,
    /// Nothing to do.
    Rest,
    /// Nothing to do before then.
    Until(Instant),
}

impl Transactions {
    pub(super) fn new(config: ClientConfig, timeouts: WriteTimeouts) -> anyhow::Result<Self> {
        let timeout = config.get("transaction.timeout.ms");
        let timeout = timeout.and_then(|millis| millis.parse().ok());
        let timeout = Duration::from_millis(timeout.unwrap_or(60_000));
        // The cause of a stalled transaction must be found before the brokers abort it.
        let block_after = timeouts.block_after.min(timeout / 2);
        let timeouts = WriteTimeouts {
            block_after,
            ..timeouts
        };
        let producers = Producers::new(config);
        Ok(Self {
            most: timeout + GRACE,
            began: Instant::now(),
            next: Instant::now(),
            producer: producers.again()?,
            producers,
            state: State::Starting,
            parking: Parking::new(timeouts),
            leaving: None,
            was_silent: false,
            wrote: Instant::now(),
            in_doubt: None,
            limit: LARGEST,
            failures: 0,
            not_before: Instant::now(),
        })
    }

    fn step(&mut self, partitions: &mut Partitions, with: &Publishing) -> Step {
        match std::mem::replace(&mut self.state, State::Idle) {
            state if self.is_overdue(&state) => self.give_up(state, "transaction timed out", with),
            state if self.is_disconnected() => self.give_up(state, DISCONNECTED, with),
            State::Starting => self.initialise(partitions, with),
            State::Idle => self.begin(partitions, with),
            State::Open(run) => self.complete(run, partitions, with),
            State::Committing(run) => self.commit(run, partitions, with),
            State::Aborting => self.abort(with),
        }
    }

    /// Whether the brokers have ended the transaction by themselves, whatever librdkafka still waits for.
    fn is_overdue(&self, state: &State) -> bool {
        !matches!(state, State::Starting | State::Idle) && self.began.elapsed() > self.most
    }

    /// Whether the producer must be replaced because it is disconnected from all brokers.
    fn is_disconnected(&self) -> bool {
        self.producer.context().connectivity().is_disconnected()
            && Instant::now() >= self.not_before
    }

    /// Restarts with a new producer, which completes or aborts the old transaction.
    fn give_up(&mut self, state: State, why: &str, with: &Publishing) -> Step {
        if let State::Committing(run) = state {
            self.in_doubt = Some(run);
        }
        // If no producer can be made, that is not tried again at once.
        self.began = Instant::now();
        self.state = State::Aborting;
        self.replace(why, with)
    }

    fn initialise(&mut self, partitions: &mut Partitions, with: &Publishing) -> Step {
        if let Err(error) = self.producer.init_transactions(SLICE) {
            accuse(&error, with);
            self.state = State::Starting;
            return self.not_initialised(&error, partitions, with);
        }
        if let Some(run) = self.in_doubt.take()
            && !settle_doubt(&run, partitions, with)
        {
            // Initialising again does no harm.
            self.in_doubt = Some(run);
            self.state = State::Starting;
            self.pause();
            return Step::Wait;
        }
        with.topics
            .set_client_problem(&with.source, Client::Publisher, None);
        // Its last transaction has ended.
        let current = self.producers.current();
        self.parking.ended(current, Instant::now());
        with.gauges.set_can_publish();
        Step::On
    }

    fn begin(&mut self, partitions: &mut Partitions, with: &Publishing) -> Step {
        if Instant::now() < self.next {
            return Step::Until(self.next);
        }
        let now = Instant::now();
        self.parking.forget(now);
        if self.producers.has_spare() {
            self.parking.try_held_up(now);
        }
        self.parking.answer(partitions, with, now);
        let verdict = |id: u32, record: &OutRecord| self.parking.judge(id, record, with, now);
        let is_idle = self.began.elapsed() >= PASS_AFTER;
        let unreadable = with.topics.unreadable();
        let run = Run::gather(partitions, self.limit, is_idle, &unreadable, &verdict);
        let Some(run) = run else {
            return Step::Rest;
        };
        if let Err(error) = self.producer.begin_transaction() {
            return self.failed(&error, with);
        }
        self.began = now;
        self.next = self.began + pace::after(run.len());
        self.producer.context().begin();
        self.write(&run, partitions);
        self.state = State::Open(run);
        Step::On
    }

    /// Writes the answers of a run that are not written yet; while a record that is refused is looked for, only the next one, in a batch of its own.
    fn write(&mut self, run: &Run, partitions: &Partitions) {
        self.wrote = Instant::now();
        let reports = self.producer.context();
        let most = if self.limit == 1 { 1 } else { usize::MAX };
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

    /// Waits for the answers to be taken, then adds the offsets.
    fn complete(&mut self, run: Run, partitions: &mut Partitions, with: &Publishing) -> Step {
        if !self.producer.context().wait(REPORTS) {
            if run.has_unavailable(with) {
                // The brokers will never report these.
                self.state = State::Aborting;
                return Step::On;
            }
            if let Some((code, _)) = self.producer.client().fatal_error() {
                self.state = State::Aborting;
                return self.replace(&code.to_string(), with);
            }
            if self.producer.context().has_failed() {
                self.state = State::Aborting;
                return self.not_taken(&run, partitions, with);
            }
            if self.is_silent(&run) {
                return self.silent(run, with);
            }
            self.state = State::Open(run);
            return Step::Reports;
        }
        let reports = self.producer.context();
        if !reports.are_taken() {
            self.state = State::Aborting;
            return self.not_taken(&run, partitions, with);
        }
        if reports.sent() < run.places().len() {
            self.write(&run, partitions);
            self.state = State::Open(run);
            return Step::On;
        }
        let Some(group) = generation(&run, with) else {
            // A partition is gone, and its results must not be seen.
            self.state = State::Aborting;
            return Step::On;
        };
        if let Err(error) =
            self.producer
                .send_offsets_to_transaction(&run.offsets(), &group, OFFSETS)
        {
            accuse(&error, with);
            self.state = State::Aborting;
            return self.failed(&error, with);
        }
        self.state = State::Committing(run);
        Step::On
    }

    fn commit(&mut self, run: Run, partitions: &mut Partitions, with: &Publishing) -> Step {
        match self.producer.commit_transaction(SLICE) {
            Ok(()) => {
                run.finish(partitions, with);
                with.gauges.committed();
                for place in run.places() {
                    self.parking.written(&place.topic, place.id);
                }
                self.was_silent = false;
                self.failures = 0;
                self.limit = LARGEST.min(self.limit.saturating_mul(2));
                Step::On
            }
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                self.state = State::Committing(run);
                Step::Wait
            }
            Err(error) => {
                if !must_abort(&error) {
                    self.in_doubt = Some(run);
                }
                self.state = State::Aborting;
                self.failed(&error, with)
            }
        }
    }

    fn abort(&mut self, with: &Publishing) -> Step {
        match self.producer.abort_transaction(SLICE) {
            Ok(()) => {
                with.gauges.aborted();
                match self.leaving {
                    Some(_) => self.leave(with),
                    None => Step::On,
                }
            }
            Err(error) => {
                self.state = State::Aborting;
                match self.leaving {
                    Some(since) if since.elapsed() > LEAVE_AFTER => self.leave(with),
                    _ => self.failed(&error, with),
                }
            }
        }
    }

    /// Goes on after an error: the call is repeated, the transaction aborted, or the producer replaced.
    fn failed(&mut self, error: &KafkaError, with: &Publishing) -> Step {
        let text = error.to_string();
        match error {
            KafkaError::Transaction(error) if error.is_retriable() && !error.is_fatal() => {
                Step::Wait
            }
            error if must_abort(error) => {
                NodeEvent::TransactionAborted { error: &text }.emit();
                self.state = State::Aborting;
                self.pause();
                Step::On
            }
            _ => self.replace(&text, with),
        }
    }

    fn replace(&mut self, error: &str, with: &Publishing) -> Step {
        NodeEvent::ProducerBroken { error }.emit();
        self.pause();
        // How a commit in doubt ended can be told only under its own id.
        if self.leaving.take().is_some() && self.in_doubt.is_none() {
            return self.leave(with);
        }
        match self.producers.again() {
            Ok(producer) => self.start_with(producer, with),
            // Its configuration was good before; the old one fails again, and leads here again.
            Err(error) => {
                let error = &error.to_string();
                NodeEvent::ProducerBroken { error }.emit();
            }
        }
        Step::Wait
    }

    fn start_with(&mut self, producer: PolledProducer<Reports>, with: &Publishing) {
        self.producer = producer;
        self.state = State::Starting;
        self.began = Instant::now();
        with.gauges.producer_restarted();
    }

    fn pause(&mut self) {
        let (first, most) = PAUSE;
        let pause = first.saturating_mul(1 << self.failures.min(10)).min(most);
        self.failures += 1;
        self.not_before = Instant::now() + pause;
    }
}

impl Delivery for Transactions {
    fn work(&mut self, partitions: &mut Partitions, with: &Publishing) -> Next {
        for number in self.producers.ended() {
            self.parking.ended(number, Instant::now());
        }
        loop {
            // Aborts happen at once; retries wait.
            if !matches!(self.state, State::Aborting) && Instant::now() < self.not_before {
                return Next::Later;
            }
            let committing = matches!(self.state, State::Committing(_));
            match self.step(partitions, with) {
                // New outcomes may have come while the brokers committed.
                Step::On if committing => return Next::Now,
                Step::On => {}
                Step::Reports => return Next::Now,
                // A call that fails at once with a retriable error must not spin.
                Step::Wait | Step::Rest => return Next::Later,
                Step::Until(then) => return Next::At(then),
            }
        }
    }

    fn reported(&mut self, _: Report, _: &mut Partitions, _: &Publishing) {}

    fn is_busy_with(&self, partition: u32) -> bool {
        let (State::Open(run) | State::Committing(run)) = &self.state else {
            let in_doubt = self.in_doubt.as_ref();
            return in_doubt.is_some_and(|run| run.touches(&[partition]));
        };
        run.touches(&[partition])
    }

    fn waiting(&self, partitions: &Partitions, with: &Publishing) -> Waiting {
        let now = Instant::now();
        let mut waiting = Waiting::of_topics(self.parking.blocked(now));
        for (id, partition) in partitions.iter() {
            let first = partition.released.front().into_iter();
            let records = first.flat_map(|released| released.answers.records());
            self.parking
                .note(&mut waiting, (id, partition), records, (with, now));
        }
        waiting
    }

    fn dropped(&mut self, partitions: &[u32]) {
        partitions.iter().for_each(|id| self.parking.dropped(*id));
        // One that is committing already ends as the brokers say: its offsets were accepted while the partition was ours.
        if matches!(&self.state, State::Open(run) if run.touches(partitions)) {
            self.state = State::Aborting;
        }
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        // An open transaction blocks every reader until it times out.
        if matches!(self.state, State::Open(_) | State::Aborting) {
            let until = Instant::now() + Duration::from_secs(1);
            while self.producer.abort_transaction(SLICE).is_err() && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn must_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
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
