//! The state machine of transactions: a pure function without clock or I/O. `step` takes an event and its time
//! and returns what to do.
//!
//! ```text
//! Broken ─► Starting ─► Idle ─► Beginning ─► Open ─► Committing ─► Idle
//!   ▲         │  ▲                            │           │
//!   │      Resolving                       Aborting ◄─────┘ the brokers demand it
//!   │                                         └─► Idle: what was written is gathered again
//!   └── from everywhere: the producer has failed, was fenced, or lost all brokers
//! ```
//!
//! Only `Starting`, `Resolving` and `Broken` can hold a run whose outcome is unknown. Only a successful initialisation or the committed offsets
//! of the group lead out of them, so nothing is written while the outcome of a commit is unknown.

mod producer;
mod retries;
mod unwritten;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::retries::Retries;
use super::protocol::{
    Call, CallError, Effect, Event, Offsets, Remedy, Replacement, Reports, Step, Then,
};
use crate::publisher::{
    DISCONNECTED, Next, pace,
    parking::{Parking, WriteTimeouts},
    run::{LARGEST, Run},
};

/// Extra time for a transaction beyond the timeout after which the brokers abort it.
const GRACE: Duration = Duration::from_secs(2);
/// Offsets of markers alone are committed only if there was no other transaction for this long.
const PASS_AFTER: Duration = Duration::from_millis(500);
/// How long to wait for the end of an abandoned transaction before the publisher continues under another transactional id.
const LEAVE_AFTER: Duration = Duration::from_secs(1);
/// Decides what the transactional producer does next.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    /// Unwritable topics, and the partitions that wait for them.
    parking: Parking,
    /// Number of the producer's transactional id.
    id: u32,
    /// Whether no delivery report came for any record of the previous run.
    was_silent: bool,
    /// Maximum number of records of a run; smaller while the machine searches for a refused record.
    limit: usize,
    retries: Retries,
    /// When the transaction began, or the producer was created.
    began: Instant,
    /// Timeout of a commit or an abort.
    most: Duration,
    /// Earliest time of the next transaction.
    next: Instant,
}

/// State of the machine.
#[derive(Debug)]
enum State {
    /// No producer is usable; the executor must create a new one.
    Broken {
        wanted: Replacement,
        doubt: Option<Arc<Run>>,
    },
    /// Waiting for the initialisation of the producer, which also ends the transaction of its predecessor. The outcome of the predecessor's commit
    /// may be unknown.
    Starting { doubt: Option<Arc<Run>> },
    /// Finding out how the predecessor's commit ended.
    Resolving {
        doubt: Arc<Run>,
        /// Whether its transaction has certainly ended. If not, the answer can only prove that it is committed.
        is_over: bool,
    },
    /// No transaction.
    Idle,
    /// A run is collected and its transaction begins.
    Beginning(Arc<Run>),
    /// The transaction has records of this run, but not its offsets yet.
    Open(Arc<Run>),
    /// The transaction is complete and being committed.
    Committing(Arc<Run>),
    /// Waiting for the end of an aborted transaction.
    Aborting {
        /// When to continue under another id, because the abort may take long.
        leaving: Option<Instant>,
    },
}

/// An aborted transaction that should end soon.
const ABORTING: State = State::Aborting { leaving: None };

impl Machine {
    /// A machine whose first producer is being created. Brokers abort its transactions after `transaction_timeout`.
    pub(super) fn new(
        timeouts: WriteTimeouts,
        transaction_timeout: Duration,
        now: Instant,
    ) -> Self {
        // The cause of a stalled transaction must be found before the brokers abort it.
        let block_after = timeouts.block_after.min(transaction_timeout / 2);
        let timeouts = WriteTimeouts {
            block_after,
            ..timeouts
        };
        Self {
            state: State::Starting { doubt: None },
            parking: Parking::new(timeouts),
            id: 0,
            was_silent: false,
            limit: LARGEST,
            retries: Retries::new(now),
            began: now,
            most: transaction_timeout + GRACE,
            next: now,
        }
    }

    /// Handles an event that happened at this time.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Step {
        let mut effects = Vec::new();
        let then = self.decide(event, &mut effects, now);
        Step { effects, then }
    }

    /// Unwritable topics, and the partitions that wait for them.
    pub(super) const fn parking(&self) -> &Parking {
        &self.parking
    }

    /// Whether records of a partition are in flight to the brokers, or may be.
    pub(super) fn is_busy_with(&self, partition: u32) -> bool {
        let run = match &self.state {
            State::Beginning(run) | State::Open(run) | State::Committing(run) => Some(run),
            State::Broken { doubt, .. } | State::Starting { doubt } => doubt.as_ref(),
            State::Resolving { doubt, .. } => Some(doubt),
            State::Idle | State::Aborting { .. } => None,
        };
        run.is_some_and(|run| run.touches(&[partition]))
    }

    /// Whether a transaction must be aborted before the producer is dropped.
    pub(super) const fn should_abort(&self) -> bool {
        matches!(
            self.state,
            State::Open(_) | State::Aborting { .. } | State::Broken { doubt: None, .. }
        )
    }

    fn decide(&mut self, event: Event, effects: &mut Vec<Effect>, now: Instant) -> Then {
        match event {
            Event::Proceed {
                is_disconnected,
                has_spare_id,
            } => self.proceed(is_disconnected, has_spare_id, effects, now),
            Event::Dropped(partitions) => self.dropped(&partitions),
            Event::IdUsable(number) => {
                self.parking.ended(number, now);
                Then::Proceed
            }
            Event::ProducerMade(made) => self.producer_made(made, effects, now),
            Event::Initialised => self.initialised(effects, now),
            Event::NotInitialised {
                error,
                brokers_answer,
            } => self.not_initialised(&error, brokers_answer, effects, now),
            Event::LookedUp(is_committed) => self.looked_up(is_committed, effects, now),
            Event::Gathered(Some(run)) => {
                self.state = State::Beginning(Arc::new(run));
                Then::Call(Call::Begin)
            }
            Event::Gathered(None) => Then::Return(Next::Later),
            Event::Begun(begun) => self.begun(begun, effects, now),
            Event::Written => Then::Proceed,
            Event::Reported(reports) => self.reported(reports, effects, now),
            Event::OffsetsSent(offsets) => self.offsets_sent(offsets, effects, now),
            Event::Committed(committed) => self.committed(committed, effects, now),
            Event::Aborted(aborted) => self.aborted(aborted, effects, now),
        }
    }

    fn proceed(
        &mut self,
        is_disconnected: bool,
        has_spare_id: bool,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let is_pausing = self.retries.is_pausing(now);
        // Aborts happen at once; retries wait.
        if is_pausing && !matches!(self.state, State::Aborting { .. }) {
            return Then::Return(Next::Later);
        }
        if self.is_overdue(now) {
            return self.replace("transaction timed out".to_owned(), effects, now);
        }
        if is_disconnected && !is_pausing && !matches!(self.state, State::Broken { .. }) {
            return self.replace(DISCONNECTED.to_owned(), effects, now);
        }
        Then::Call(match &self.state {
            State::Broken { wanted, .. } => Call::MakeProducer(*wanted),
            State::Starting { .. } => Call::Initialise {
                // Even healthy brokers need a moment to end a transaction that was left open.
                answered_after: self.began + self.parking.timeouts().block_after * 2,
            },
            State::Resolving { doubt, .. } => Call::LookUp(Arc::clone(doubt)),
            State::Idle => return self.gather(has_spare_id, now),
            State::Beginning(_) => Call::Begin,
            State::Open(run) => Call::AwaitReports {
                run: Arc::clone(run),
                silent_after: self.silent_after(run),
            },
            State::Committing(_) => Call::Commit,
            State::Aborting { .. } => Call::Abort,
        })
    }

    /// Whether the brokers have aborted the transaction on timeout, even if librdkafka still waits.
    fn is_overdue(&self, now: Instant) -> bool {
        let has_transaction = matches!(
            self.state,
            State::Open(_) | State::Committing(_) | State::Aborting { .. }
        );
        has_transaction && now.saturating_duration_since(self.began) > self.most
    }

    fn dropped(&mut self, partitions: &[u32]) -> Then {
        partitions.iter().for_each(|id| self.parking.dropped(*id));
        // The brokers decide the outcome of a commit in progress: its offsets were accepted while this node owned the partition.
        if matches!(&self.state, State::Open(run) if run.touches(partitions)) {
            self.state = ABORTING;
        }
        Then::Proceed
    }

    fn gather(&mut self, has_spare_id: bool, now: Instant) -> Then {
        if now < self.next {
            return Then::Return(Next::At(self.next));
        }
        self.parking.forget(now);
        if has_spare_id {
            self.parking.try_held_up(now);
        }
        Then::Call(Call::Gather {
            limit: self.limit,
            may_only_pass: now.saturating_duration_since(self.began) >= PASS_AFTER,
        })
    }

    fn begun(
        &mut self,
        begun: Result<(), CallError>,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let State::Beginning(run) = &self.state else {
            return Then::Proceed;
        };
        let run = Arc::clone(run);
        if let Err(error) = begun {
            self.state = State::Idle;
            return self.failed(&error, effects, now);
        }
        self.began = now;
        self.next = now + pace::after(run.len());
        self.state = State::Open(Arc::clone(&run));
        self.write(run)
    }

    /// Writes the remaining records; only the next one, in a separate batch, while the machine searches for a refused record.
    const fn write(&self, run: Arc<Run>) -> Then {
        let most = if self.limit == 1 { 1 } else { usize::MAX };
        Then::Call(Call::Write { run, most })
    }

    fn reported(&mut self, reports: Reports, effects: &mut Vec<Effect>, now: Instant) -> Then {
        let State::Open(run) = &self.state else {
            return Then::Proceed;
        };
        let run = Arc::clone(run);
        match reports {
            Reports::Taken(sent) if sent < run.places().len() => self.write(run),
            Reports::Taken(_) => Then::Call(Call::SendOffsets(run)),
            Reports::Pending => Then::Return(Next::Now),
            Reports::Unavailable => {
                self.state = ABORTING;
                Then::Proceed
            }
            Reports::Fatal(error) => self.replace(error, effects, now),
            Reports::NotTaken(sent) => self.not_taken(&run, &sent, effects, now),
            Reports::Silent {
                sent,
                brokers_answer,
            } => self.silent(&run, &sent, brokers_answer, effects, now),
        }
    }

    fn offsets_sent(&mut self, offsets: Offsets, effects: &mut Vec<Effect>, now: Instant) -> Then {
        let State::Open(run) = &self.state else {
            return Then::Proceed;
        };
        match offsets {
            Offsets::Accepted => {
                self.state = State::Committing(Arc::clone(run));
                Then::Proceed
            }
            Offsets::NotOurs => {
                // Consumers must not see its results.
                self.state = ABORTING;
                Then::Proceed
            }
            Offsets::Failed(error) => {
                self.state = ABORTING;
                self.failed(&error, effects, now)
            }
        }
    }

    fn committed(
        &mut self,
        committed: Result<(), CallError>,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let State::Committing(run) = &self.state else {
            return Then::Proceed;
        };
        let Err(error) = committed else {
            for place in run.places() {
                self.parking.written(&place.topic, place.id);
            }
            effects.push(Effect::Finish(Arc::clone(run)));
            self.state = State::Idle;
            self.was_silent = false;
            self.retries.succeeded();
            self.limit = LARGEST.min(self.limit.saturating_mul(2));
            // More outcomes may have arrived during the commit.
            return Then::Return(Next::Now);
        };
        // Unless the brokers demand an abort, the outcome is unknown once the machine stops waiting for it.
        self.failed(&error, effects, now)
    }

    fn aborted(
        &mut self,
        aborted: Result<(), CallError>,
        effects: &mut Vec<Effect>,
        now: Instant,
    ) -> Then {
        let State::Aborting { leaving } = self.state else {
            return Then::Proceed;
        };
        let Err(error) = aborted else {
            effects.push(Effect::CountAborted);
            self.state = State::Idle;
            return match leaving {
                Some(_) => self.leave(effects),
                None => Then::Proceed,
            };
        };
        let is_late = |since: Instant| now.saturating_duration_since(since) > LEAVE_AFTER;
        if leaving.is_some_and(is_late) {
            return self.leave(effects);
        }
        match self.failed(&error, effects, now) {
            // Do not retry an immediately failing abort in a busy loop.
            Then::Proceed => Then::Return(Next::Later),
            then => then,
        }
    }

    /// Handles an error: repeats the call, aborts the transaction, or replaces the producer.
    fn failed(&mut self, error: &CallError, effects: &mut Vec<Effect>, now: Instant) -> Then {
        match error.remedy {
            // Do not retry an immediately failing call in a busy loop.
            Remedy::Repeat => Then::Return(Next::Later),
            Remedy::Abort => {
                effects.push(Effect::TellAborting(error.text.clone()));
                if !matches!(self.state, State::Aborting { .. }) {
                    self.state = ABORTING;
                }
                self.retries.pause(now);
                Then::Proceed
            }
            Remedy::Replace => self.replace(error.text.clone(), effects, now),
        }
    }

    /// The run whose outcome would be unknown if the producer that commits it were dropped now.
    fn doubt(&self) -> Option<Arc<Run>> {
        match &self.state {
            State::Broken { doubt, .. } | State::Starting { doubt } => doubt.clone(),
            State::Resolving { doubt: run, .. } | State::Committing(run) => Some(Arc::clone(run)),
            State::Idle | State::Beginning(_) | State::Open(_) | State::Aborting { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
