//! Messages between the state machine of transactions and its executor.
//!
//! The executor feeds an [`Event`], carries out the [`Effect`]s of the [`Step`] in order, and goes on as [`Then`] says. A [`Call`] is the only thing
//! that waits for brokers; exactly one event answers it, named with the call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::error::KafkaError;

use crate::publisher::{
    Next,
    run::{Place, Run},
    topic_failures::Sent,
};

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// Go on. All that is not an answer to a call or news begins with this.
    Proceed {
        /// Whether the producer knows no broker any more.
        is_disconnected: bool,
        /// Whether enough ids can be used to risk another one; see [`Producers`](crate::publisher::producers::Producers).
        has_spare_id: bool,
    },
    /// News: these partitions are no longer ours, because they were revoked or assigned again. Nothing follows from it at once.
    Dropped(Vec<u32>),
    /// News: the id with this number can be used again, because its transaction has ended. Nothing follows from it at once.
    IdUsable(u32),
    /// Answers [`Call::MakeProducer`] with the number of the producer's id, or with why there is none.
    ProducerMade(Result<u32, String>),
    /// Answers [`Call::Initialise`]: the brokers have ended every transaction of this id.
    Initialised,
    /// Answers [`Call::Initialise`].
    NotInitialised {
        /// Why it failed.
        error: CallError,
        /// Whether the brokers have answered somebody after the moment that the call names.
        brokers_answer: bool,
    },
    /// Answers [`Call::LookUp`]: whether the group's offsets are those of the run, or behind them. `None` if the brokers do not tell.
    LookedUp(Option<bool>),
    /// Answers [`Call::Gather`] with the next run, if anything can be written.
    Gathered(Option<Run>),
    /// Answers [`Call::Begin`].
    Begun(Result<(), CallError>),
    /// Answers [`Call::Write`]. Records that could not be sent are reported as not taken.
    Written,
    /// Answers [`Call::AwaitReports`].
    Reported(Reports),
    /// Answers [`Call::SendOffsets`].
    OffsetsSent(Offsets),
    /// Answers [`Call::Commit`].
    Committed(Result<(), CallError>),
    /// Answers [`Call::Abort`].
    Aborted(Result<(), CallError>),
}

/// What is known of the records that were sent in a transaction.
#[derive(Debug)]
pub(super) enum Reports {
    /// The brokers have all that were sent, which are so many.
    Taken(usize),
    /// Some are missing, and it is too early to conclude anything.
    Pending,
    /// Some are missing, and the run holds records for a topic that is known to be unusable: they may never be reported.
    Unavailable,
    /// Some are missing, and the producer has failed for good.
    Fatal(String),
    /// Some were not taken; what fails with them is reported too. In the order of the run, as far as it was sent.
    NotTaken(Vec<Sent>),
    /// Nothing was heard for the time that the call allows.
    Silent {
        /// In the order of the run, as far as it was sent.
        sent: Vec<Sent>,
        /// Whether the brokers have answered somebody since the records were sent.
        brokers_answer: bool,
    },
}

/// What became of the offsets of a run.
#[derive(Debug)]
pub(super) enum Offsets {
    /// They are in the transaction.
    Accepted,
    /// They were not sent: a partition of the run is not ours any more.
    NotOurs,
    /// They were refused, or it is not known whether they were.
    Failed(CallError),
}

/// An error of a call to the transactional producer.
#[derive(Debug, Clone)]
pub(super) struct CallError {
    /// How to go on.
    pub(super) remedy: Remedy,
    /// What librdkafka says.
    pub(super) text: String,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Repeat the call: it may still be under way.
    Repeat,
    /// Abort the transaction.
    Abort,
    /// Replace the producer: it was fenced, or has failed for good.
    Replace,
}

impl From<&KafkaError> for CallError {
    fn from(error: &KafkaError) -> Self {
        let remedy = match error {
            KafkaError::Transaction(e) if e.is_retriable() && !e.is_fatal() => Remedy::Repeat,
            KafkaError::Transaction(e) if e.txn_requires_abort() => Remedy::Abort,
            _ => Remedy::Replace,
        };
        Self {
            remedy,
            text: error.to_string(),
        }
    }
}

/// What follows from an event.
#[derive(Debug)]
pub(super) struct Step {
    /// To be carried out in order, before anything else.
    pub(super) effects: Vec<Effect>,
    /// How to go on after them.
    pub(super) then: Then,
}

/// Something to do that has no answer.
#[derive(Debug)]
pub(super) enum Effect {
    /// The transaction of this run is committed: drop its records, advance its partitions, and count it.
    Finish(Arc<Run>),
    /// It is known how an interrupted commit of this run ended. If it is committed, that is all of [`Effect::Finish`].
    Settle {
        /// The run.
        run: Arc<Run>,
        /// Whether it is committed.
        is_committed: bool,
    },
    /// A transaction is aborted: count it. Its records are still with their partitions.
    CountAborted,
    /// Put something smaller in the place of an answer that no broker will ever take.
    ReplaceRefused(Place),
    /// The producer can begin transactions: tell operators.
    Ready,
    /// Tell operators why a transaction is going to be aborted.
    TellAborting(String),
    /// Tell operators why a producer is replaced, or why it could not be.
    TellBroken(String),
}

/// How to go on after a step.
#[derive(Debug)]
pub(super) enum Then {
    /// Make this call, and feed its answer.
    Call(Call),
    /// Feed [`Event::Proceed`] at once.
    Proceed,
    /// Nothing before then: return to the publisher.
    Return(Next),
}

/// Something to do that brokers, librdkafka or the partitions answer.
#[derive(Debug)]
pub(super) enum Call {
    /// Make a producer. The one before is gone with all that it had not sent.
    MakeProducer(Replacement),
    /// Have the brokers fence all older producers with its id, and end their transactions.
    Initialise {
        /// Note whether the brokers have answered after this moment.
        answered_after: Instant,
    },
    /// Ask how far the group has committed the partitions of a run.
    LookUp(Arc<Run>),
    /// Answer the jobs that wait no longer for their topics; then take what is released and may be written.
    Gather {
        /// Most records of the run.
        limit: usize,
        /// Whether a run may have nothing but offsets behind markers.
        may_only_pass: bool,
    },
    /// Begin a transaction.
    Begin,
    /// Send the next records of the run that are not sent yet, at most so many.
    Write {
        /// The run.
        run: Arc<Run>,
        /// Most records.
        most: usize,
    },
    /// Wait a moment for reports on what was sent.
    AwaitReports {
        /// The run.
        run: Arc<Run>,
        /// How long the brokers may be silent; `None` means without limit.
        silent_after: Option<Duration>,
    },
    /// Check that all partitions of the run are ours, and add its offsets to the transaction.
    SendOffsets(Arc<Run>),
    /// Commit the transaction.
    Commit,
    /// Abort the transaction.
    Abort,
}

/// The id of a producer that is made in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    /// The same id, which ends the old transaction.
    Same,
    /// Another id. The one that is left is watched until it can be used again.
    Another,
    /// The first id, which every cluster allows that allows any.
    First,
}
