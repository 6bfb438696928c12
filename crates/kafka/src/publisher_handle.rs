//! Messages to a publisher, and the handle that sends them.

use std::{
    collections::BTreeSet,
    mem,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    time::{Duration, Instant},
};

use babelmesh_actors::domain::{JobOutcome, OutcomeSink, Ticket};
use babelmesh_telemetry::traces::RequestTrace;
use rdkafka::error::RDKafkaErrorCode;

use crate::record::OutRecord;

/// The outcome of a record.
#[derive(Debug)]
pub enum Completed {
    /// A job ended.
    Outcome(Box<JobOutcome>),
    /// The record is answered by these.
    Records {
        /// In the order in which they are written.
        records: Vec<OutRecord>,
        /// The record on its way, if it is watched.
        request_trace: Option<Box<RequestTrace>>,
    },
}

impl Completed {
    /// Answers of a record that is not watched.
    #[must_use]
    pub const fn answers(records: Vec<OutRecord>) -> Self {
        let request_trace = None;
        Self::Records {
            records,
            request_trace,
        }
    }
}

/// Outcomes that a reader has collected for the publisher.
#[derive(Debug, Default)]
pub struct CompletedBatch(pub(crate) Vec<(Ticket, Completed)>);

impl CompletedBatch {
    /// Adds the outcome of a record.
    pub fn push(&mut self, ticket: Ticket, completed: Completed) {
        self.0.push((ticket, completed));
    }

    /// Adds the answers of a record that is not watched.
    pub fn answer(&mut self, ticket: Ticket, records: Vec<OutRecord>) {
        self.push(ticket, Completed::answers(records));
    }

    /// Sends all outcomes to the publisher, if there are any.
    pub fn flush(&mut self, publisher_handle: &PublisherHandle) {
        if !self.0.is_empty() {
            publisher_handle.settle(mem::take(&mut self.0));
        }
    }
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub struct Ingested {
    /// Its position.
    pub ticket: Ticket,
    /// What it weighs (see [`babelmesh_actors::flow::Flow::weight_of`]).
    pub weight: u64,
    /// Its own time, in milliseconds since 1970.
    pub written_ms: i64,
}

/// Messages to a publisher.
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
    /// Records were read. Sent before their outcomes.
    Ingested(Vec<Ingested>),
    /// Outcomes are known.
    Completed(Vec<(Ticket, Completed)>),
    /// The broker took a record, or did not.
    Reported {
        /// The record.
        mark: usize,
        /// Why it was not taken.
        failure: Option<RDKafkaErrorCode>,
    },
    /// Only transaction markers lie between the last record of these partitions, which was reported before, and an offset. Each with the reader's
    /// number of the partition, its epoch, and the offset.
    Passed(Vec<(u32, u32, i64)>),
    /// The topics of paused languages; replaces the previous set. Their unfinished records do not count as waiting work.
    Paused(BTreeSet<String>),
    /// Finish these partitions until the deadline, drop what is left, answer.
    Revoked {
        /// The reader's numbers of them.
        partitions: Vec<u32>,
        /// The deadline.
        deadline: Instant,
        /// Answered when done.
        reply: SyncSender<()>,
    },
    /// Finish all partitions in the same way; then end.
    Stop {
        /// The deadline.
        deadline: Instant,
        /// Answered when done.
        reply: SyncSender<()>,
    },
    /// Tell the topics that have partitions with unfinished records.
    Unfinished(SyncSender<BTreeSet<String>>),
}

/// The handle of a publisher: the sink of outcomes.
#[derive(Clone)]
pub struct PublisherHandle(Sender<Command>);

impl PublisherHandle {
    /// A handle that sends to a publisher's channel.
    #[must_use]
    pub const fn new(commands: Sender<Command>) -> Self {
        Self(commands)
    }

    /// Settles records.
    pub fn settle(&self, settled: Vec<(Ticket, Completed)>) {
        self.tell(Command::Completed(settled));
    }

    pub(crate) fn tell(&self, command: Command) {
        // A stopped publisher left its offsets uncommitted: everything is delivered again.
        let _ = self.0.send(command);
    }

    /// Has all partitions finished within a time, and then the publisher end.
    #[must_use]
    pub fn stop(&self, within: Duration) -> PublisherShutdown {
        let (reply, done) = mpsc::sync_channel(1);
        self.tell(Command::Stop {
            deadline: Instant::now() + within,
            reply,
        });
        PublisherShutdown(done)
    }

    /// The topics that have partitions with unfinished records; `None` if the publisher does not answer within a time.
    #[must_use]
    pub fn unfinished(&self, within: Duration) -> Option<Vec<String>> {
        let (reply, told) = mpsc::sync_channel(1);
        self.tell(Command::Unfinished(reply));
        match told.recv_timeout(within) {
            Ok(topics) => Some(topics.into_iter().collect()),
            // A stopped one has nothing left to finish.
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(Vec::new()),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
        }
    }
}

/// A publisher that finishes what it has.
pub struct PublisherShutdown(Receiver<()>);

impl PublisherShutdown {
    /// Waits until it has finished; says whether it has within a time.
    #[must_use]
    pub fn wait(&self, within: Duration) -> bool {
        let ended = self.0.recv_timeout(within);
        // A stopped one has nothing left to finish.
        !matches!(ended, Err(mpsc::RecvTimeoutError::Timeout))
    }
}

impl OutcomeSink for PublisherHandle {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let settle =
            |outcome: JobOutcome| (outcome.order.ticket, Completed::Outcome(Box::new(outcome)));
        self.settle(outcomes.into_iter().map(settle).collect());
    }
}
