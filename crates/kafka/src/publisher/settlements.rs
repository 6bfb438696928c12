//! What a publisher is told, and the handle by which it is told.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    time::{Duration, Instant},
};

use babelmesh_actors::domain::{JobOutcome, OutcomeSink, Ticket};
use babelmesh_telemetry::traces::Journey;
use rdkafka::error::RDKafkaErrorCode;

use crate::record::OutRecord;

/// The outcome of a record.
#[derive(Debug)]
pub enum Settled {
    /// A job ended.
    Outcome(Box<JobOutcome>),
    /// The record is answered by these.
    Records {
        /// In the order in which they are written.
        records: Vec<OutRecord>,
        /// The record on its way, if it is watched.
        journey: Option<Box<Journey>>,
    },
}

impl Settled {
    /// Answers of a record that is not watched.
    #[must_use]
    pub const fn answers(records: Vec<OutRecord>) -> Self {
        let journey = None;
        Self::Records { records, journey }
    }
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// Its position.
    pub ticket: Ticket,
    /// What it weighs (see [`babelmesh_actors::flow::Flow::weight_of`]).
    pub weight: u64,
    /// Its own time, in milliseconds since 1970.
    pub written_ms: i64,
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
    /// Records were read; sent before anything that could settle them.
    Opened(Vec<Opened>),
    /// Outcomes are known.
    Settled(Vec<(Ticket, Settled)>),
    /// The broker took a record, or did not.
    Reported {
        /// The record.
        mark: usize,
        /// Why it was not taken.
        failure: Option<RDKafkaErrorCode>,
    },
    /// Every record of these partitions before an offset was read and told of; only markers of transactions lie behind the last of them.
    /// Each with the reader's number of the partition, its epoch, and the offset.
    Passed(Vec<(u32, u32, i64)>),
    /// Nothing is done of these topics for now, and no others: what was read of them does not count as waiting.
    Held(BTreeSet<String>),
    /// Finish these partitions until the deadline, drop what is left, answer.
    Revoked {
        /// The reader's numbers of them.
        partitions: Vec<u32>,
        /// When to give up.
        deadline: Instant,
        /// Answered when done.
        reply: SyncSender<()>,
    },
    /// Finish all partitions in the same way; then end.
    Stop {
        /// When to give up.
        deadline: Instant,
        /// Answered when done.
        reply: SyncSender<()>,
    },
    /// Tell the topics that have partitions with unfinished records.
    Unfinished(SyncSender<BTreeSet<String>>),
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

    pub(crate) fn tell(&self, command: Command) {
        // A publisher that has ended left its offsets uncommitted: everything is delivered again.
        let _ = self.0.send(command);
    }

    /// Has all partitions finished within a time, and then the publisher end.
    #[must_use]
    pub fn stop(&self, within: Duration) -> Stopping {
        let (reply, done) = mpsc::sync_channel(1);
        self.tell(Command::Stop {
            deadline: Instant::now() + within,
            reply,
        });
        Stopping(done)
    }

    /// The topics that have partitions with unfinished records; `None` if the publisher does not answer within a time.
    #[must_use]
    pub fn unfinished(&self, within: Duration) -> Option<Vec<String>> {
        let (reply, told) = mpsc::sync_channel(1);
        self.tell(Command::Unfinished(reply));
        match told.recv_timeout(within) {
            Ok(topics) => Some(topics.into_iter().collect()),
            // One that is gone has nothing left to finish.
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(Vec::new()),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
        }
    }
}

/// A publisher that finishes what it has.
pub struct Stopping(Receiver<()>);

impl Stopping {
    /// Waits until it has finished; says whether it has within a time.
    #[must_use]
    pub fn wait(&self, within: Duration) -> bool {
        let ended = self.0.recv_timeout(within);
        // One that is gone has nothing left to finish.
        !matches!(ended, Err(mpsc::RecvTimeoutError::Timeout))
    }
}

impl OutcomeSink for Settlements {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let settle =
            |outcome: JobOutcome| (outcome.order.ticket, Settled::Outcome(Box::new(outcome)));
        self.settle(outcomes.into_iter().map(settle).collect());
    }
}
