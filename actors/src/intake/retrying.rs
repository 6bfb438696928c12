//! Retries: how transiently failed jobs return to the intake, and where they wait.

use std::{collections::HashMap, sync::Arc};

use ractor::ActorRef;

use crate::domain::{JobOutcome, Order, OutcomeSink, Ticket};

use super::IntakeMessage;

/// Wraps the sink of orders while a pool has them, and returns jobs that failed transiently to the intake.
struct RetrySink {
    sink: Arc<dyn OutcomeSink>,
    intake: ActorRef<IntakeMessage>,
    /// How often these orders were tried before.
    tries: u32,
}

fn is_retried(outcome: &JobOutcome) -> bool {
    let error = outcome.result.as_ref().err();
    error.is_some_and(|error| error.code.is_retried())
}

impl OutcomeSink for RetrySink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        if !outcomes.iter().any(is_retried) {
            return self.sink.deliver(outcomes);
        }
        let (mut failed, done): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(is_retried);
        if !done.is_empty() {
            self.sink.deliver(done);
        }
        for outcome in &mut failed {
            outcome.order.sink = Arc::clone(&self.sink);
        }
        let tries = self.tries;
        // If the intake fails, the node exits; the records are delivered again.
        let _ = self.intake.cast(IntakeMessage::Failed {
            outcomes: failed,
            tries,
        });
    }

    fn wants(&self, ticket: Ticket) -> bool {
        self.sink.wants(ticket)
    }
}

/// Wraps the sinks of a run of orders in [`RetrySink`]s. Consecutive orders that share a sink share its wrapper, so that their outcomes stay
/// together.
pub(super) struct Wrapper<'a> {
    intake: &'a ActorRef<IntakeMessage>,
    last: Option<Arc<RetrySink>>,
}

impl<'a> Wrapper<'a> {
    pub(super) const fn new(intake: &'a ActorRef<IntakeMessage>) -> Self {
        Self { intake, last: None }
    }

    pub(super) fn wrap(&mut self, order: &mut Order, tries: u32) {
        let same =
            |last: &&Arc<RetrySink>| last.tries == tries && Arc::ptr_eq(&last.sink, &order.sink);
        let wrapped = match self.last.as_ref().filter(same) {
            Some(last) => Arc::clone(last),
            None => Arc::new(RetrySink {
                sink: Arc::clone(&order.sink),
                intake: self.intake.clone(),
                tries,
            }),
        };
        self.last = Some(Arc::clone(&wrapped));
        order.sink = wrapped;
    }
}

/// Jobs that wait for a retry.
#[derive(Default)]
pub(super) struct Waiting {
    runs: HashMap<u64, Run>,
    next: u64,
}

/// Jobs that failed together and wait together.
pub(super) struct Run {
    /// Their outcomes if they are not retried.
    pub(super) outcomes: Vec<JobOutcome>,
    /// How often they will have been tried before.
    pub(super) tries: u32,
}

impl Waiting {
    /// Keeps a run; returns the number by which it is taken out.
    pub(super) fn put(&mut self, run: Run) -> u64 {
        let number = self.next;
        self.next += 1;
        self.runs.insert(number, run);
        number
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Run> {
        self.runs.remove(&number)
    }

    /// Jobs that wait.
    pub(super) fn jobs(&self) -> usize {
        self.runs.values().map(|run| run.outcomes.len()).sum()
    }

    pub(super) fn take_all(&mut self) -> Vec<JobOutcome> {
        let runs = self.runs.drain();
        runs.flat_map(|(_, run)| run.outcomes).collect()
    }
}
