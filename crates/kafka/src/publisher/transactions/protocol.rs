//! Messages between the state machine of transactions and its executor.
//!
//! The executor passes an [`Event`] to the machine, carries out the [`Effect`]s of the resulting [`Step`] in order, and continues as [`Then`] says.
//! Only a [`Call`] waits for brokers; exactly one event answers it, which the documentation of that event names.

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
    /// Continue. Starts everything that is neither an answer to a call nor a notification.
    Proceed {
        /// Whether the producer has lost all brokers.
        is_disconnected: bool,
        /// Whether enough transactional ids are usable to switch to another one; see [`Producers`](crate::publisher::producers::Producers).
        has_spare_id: bool,
    },
    /// Notification: this node lost these partitions, because they were revoked or reassigned. Has no immediate effect.
    Dropped(Vec<u32>),
    /// Notification: the transactional id with this number is usable again, because its transaction has ended. Has no immediate effect.
    IdUsable(u32),
    /// Answers [`Call::MakeProducer`] with the number of the producer's transactional id, or the reason why there is none.
    ProducerMade(Result<u32, String>),
    /// Answers [`Call::Initialise`]: the brokers have ended every transaction of this id.
    Initialised,
    /// Answers [`Call::Initialise`].
    NotInitialised {
        /// Why it failed.
        error: CallError,
        /// Whether the brokers have answered any client since the time that the call names.
        brokers_answer: bool,
    },
    /// Answers [`Call::LookUp`]: whether the committed offsets of the group have reached those of the run. `None` if the brokers do not say.
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

/// Delivery reports for the records that were sent in a transaction.
#[derive(Debug)]
pub(super) enum Reports {
    /// The brokers have acknowledged all that were sent: this many.
    Taken(usize),
    /// Some reports are missing and the timeout has not passed.
    Pending,
    /// Some reports are missing, and the run holds records for a topic that is known to be unusable: reports may never come.
    Unavailable,
    /// Some reports are missing, and the producer has failed permanently.
    Fatal(String),
    /// Some were refused, and others failed because of that. In the order of the run, as far as it was sent.
    NotTaken(Vec<Sent>),
    /// No report came within the timeout of the call.
    Silent {
        /// In the order of the run, as far as it was sent.
        sent: Vec<Sent>,
        /// Whether the brokers have answered any client since the records were sent.
        brokers_answer: bool,
    },
}

/// Result of adding the offsets of a run to the transaction.
#[derive(Debug)]
pub(super) enum Offsets {
    /// They are in the transaction.
    Accepted,
    /// They were not sent: this node no longer owns a partition of the run.
    NotOurs,
    /// They were refused, or the result is unknown.
    Failed(CallError),
}

/// An error of a call to the transactional producer.
#[derive(Debug, Clone)]
pub(super) struct CallError {
    /// How to continue.
    pub(super) remedy: Remedy,
    /// What librdkafka says.
    pub(super) text: String,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Repeat the call: it may still be in progress.
    Repeat,
    /// Abort the transaction.
    Abort,
    /// Replace the producer: it was fenced, or has failed permanently.
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

/// Result of handling an event.
#[derive(Debug)]
pub(super) struct Step {
    /// Effects, to be carried out in order before anything else.
    pub(super) effects: Vec<Effect>,
    /// How to continue after them.
    pub(super) then: Then,
}

/// An action without an answer.
#[derive(Debug)]
pub(super) enum Effect {
    /// The transaction of this run is committed: drop its records, advance its partitions, and count it.
    Finish(Arc<Run>),
    /// The outcome of an interrupted commit of this run is known. If it is committed, do what [`Effect::Finish`] says.
    Settle {
        /// The run.
        run: Arc<Run>,
        /// Whether it is committed.
        is_committed: bool,
    },
    /// A transaction is aborted: count it. Its records stay queued in their partitions.
    CountAborted,
    /// Replace an answer that no broker will ever accept by a smaller one.
    ReplaceRefused(Place),
    /// Report that the producer can begin transactions.
    Ready,
    /// Report why a transaction will be aborted.
    TellAborting(String),
    /// Report why a producer is replaced, or why that failed.
    TellBroken(String),
}

/// How to continue after a step.
#[derive(Debug)]
pub(super) enum Then {
    /// Make this call and pass its answer to the machine.
    Call(Call),
    /// Pass [`Event::Proceed`] at once.
    Proceed,
    /// Do nothing before this time: return to the publisher.
    Return(Next),
}

/// An action that the brokers, librdkafka or the partitions answer.
#[derive(Debug)]
pub(super) enum Call {
    /// Create a producer. The previous one is dropped together with everything that it had not sent.
    MakeProducer(Replacement),
    /// Have the brokers fence all older producers with the same transactional id and end their transactions.
    Initialise {
        /// Report whether the brokers have answered any client since this time.
        answered_after: Instant,
    },
    /// Look up the committed offsets of the partitions of a run.
    LookUp(Arc<Run>),
    /// Answer the jobs that no longer wait for their topics, then collect the released outcomes that may be written.
    Gather {
        /// Maximum number of records of the run.
        limit: usize,
        /// Whether a run may consist only of offsets of markers.
        may_only_pass: bool,
    },
    /// Begin a transaction.
    Begin,
    /// Send the next unsent records of the run, up to a maximum.
    Write {
        /// The run.
        run: Arc<Run>,
        /// Maximum number of records.
        most: usize,
    },
    /// Wait for delivery reports for a short time.
    AwaitReports {
        /// The run.
        run: Arc<Run>,
        /// Timeout without any report; `None` means without limit.
        silent_after: Option<Duration>,
    },
    /// Check that this node owns all partitions of the run, and add its offsets to the transaction.
    SendOffsets(Arc<Run>),
    /// Commit the transaction.
    Commit,
    /// Abort the transaction.
    Abort,
}

/// The transactional id of a producer that replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    /// The same id, which ends the previous transaction.
    Same,
    /// Another id. The previous one is monitored until it is usable again.
    Another,
    /// The first id, which is allowed wherever any id is.
    First,
}
