//! What a pool does for peers: their batches wait behind its own work, few at a time, and never for long.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use babelmesh_engine_protocol::Translation;
use tokio::time::Instant;

use crate::{
    domain::SpanRef,
    engine::{EngineBatch, EngineError},
    events::Event,
    offload::{Loan, Offer, PeerError},
    text,
};

use super::{
    batching::{BatchBudget, BatchShape},
    core::Pool,
    status::LoanStatus,
};

/// Batches of its own that a pool does while a peer's waits, before that one has its turn.
const OWN_BEFORE_LENT: u32 = 8;

/// A peer's batch that was taken in.
pub(super) struct QueuedLoan {
    loan: Loan,
    tokens: u32,
    pub(super) queued: Instant,
}

impl QueuedLoan {
    pub(super) fn batch(&self) -> EngineBatch {
        EngineBatch {
            segments: self.loan.segments.clone(),
            tokens: self.tokens,
            span: None,
        }
    }

    /// The peer that it is done for, and what it is there, where it is watched.
    pub(super) fn watched_by(&self) -> Option<(&Arc<str>, SpanRef)> {
        self.loan.span.map(|span| (&self.loan.from, span))
    }

    fn is_wanted(&self) -> bool {
        !self.loan.reply.is_closed()
    }
}

/// Batches of peers that wait, and what was done for peers so far.
#[derive(Default)]
pub(super) struct Loans {
    queue: VecDeque<QueuedLoan>,
    /// Own batches that were handed over since one of a peer has been waiting.
    passed_over: u32,
    /// What is offered now.
    pub(super) credits: u32,
    batches: u64,
    tokens: u64,
    refused: u64,
}

impl Loans {
    /// The next batch, if own work leaves time for it.
    pub(super) fn next(&mut self) -> Option<QueuedLoan> {
        while let Some(loan) = self.queue.pop_front() {
            if loan.is_wanted() {
                self.passed_over = 0;
                return Some(loan);
            }
        }
        None
    }

    /// The next batch, if it has been passed over often enough.
    pub(super) fn overdue(&mut self) -> Option<QueuedLoan> {
        (self.passed_over >= OWN_BEFORE_LENT)
            .then(|| self.next())
            .flatten()
    }

    /// An own batch goes first.
    pub(super) fn pass_over(&mut self) {
        if !self.queue.is_empty() {
            self.passed_over += 1;
        }
    }

    /// Whether one waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn put_back(&mut self, loan: QueuedLoan) {
        self.queue.push_front(loan);
    }
}

/// Counts a batch's tokens as the pool's own texts are counted, whatever the peer thinks of it.
fn measure(loan: &Loan, budget: BatchBudget) -> Result<u32, PeerError> {
    let unsuitable = |what: &str| Err(PeerError::Unsuitable(what.to_owned()));
    if loan.segments.is_empty() {
        return unsuitable("it is empty");
    }
    let mut shape = BatchShape::new(budget);
    let mut sum = 0u32;
    for segment in &loan.segments {
        let tokens = text::estimate_tokens(&segment.text).max(1);
        if tokens > budget.padded_tokens || !shape.admit(tokens) {
            return unsuitable("it is larger than what was offered");
        }
        sum = sum.saturating_add(tokens);
    }
    Ok(sum)
}

impl Pool {
    /// Takes a peer's batch in, or refuses it.
    pub(super) fn lend(&mut self, loan: Loan) {
        let taken = self.loans.queue.len() + self.members.lent();
        let refusal = if self.is_closing() {
            Err(PeerError::Closing)
        } else if loan.space != self.space() {
            let what = "its translations would depend on other settings";
            Err(PeerError::Unsuitable(what.to_owned()))
        } else if taken >= self.loans.credits as usize {
            Err(PeerError::Busy)
        } else {
            measure(&loan, self.spec.batch)
        };
        match refusal {
            Ok(tokens) => self.loans.queue.push_back(QueuedLoan {
                loan,
                tokens,
                queued: Instant::now(),
            }),
            Err(error) => self.refuse(loan, error),
        }
    }

    fn refuse(&mut self, loan: Loan, error: PeerError) {
        self.loans.refused += 1;
        self.observe(Event::LoanRefused {
            pool: self.pool(),
            peer: Arc::clone(&loan.from),
            error: error.clone(),
        });
        // A peer that does not wait any more needs no answer.
        let _ = loan.reply.send(Err(error));
    }

    /// Refuses everything that waits.
    pub(super) fn refuse_loans(&mut self, error: &PeerError) {
        for queued in std::mem::take(&mut self.loans.queue) {
            self.refuse(queued.loan, error.clone());
        }
    }

    /// Gives back what has waited for too long, and forgets what nobody waits for.
    pub(super) fn sweep_loans(&mut self, now: Instant) {
        let patience = Duration::from_millis(self.spec.offload.lend_timeout_ms);
        self.loans.queue.retain(QueuedLoan::is_wanted);
        while let Some(first) = self.loans.queue.front()
            && now.saturating_duration_since(first.queued) > patience
        {
            let Some(queued) = self.loans.queue.pop_front() else {
                return;
            };
            self.refuse(queued.loan, PeerError::Busy);
        }
    }

    /// An own actor did a peer's batch, or refused it.
    pub(super) fn lent(
        &mut self,
        queued: QueuedLoan,
        answer: Result<Vec<Translation>, EngineError>,
        (actor, tokens, elapsed): (Arc<str>, u32, Duration),
    ) {
        let translations = match answer {
            Ok(translations) => translations,
            Err(error) => return self.loan_failed(queued, PeerError::Failed(error.to_string())),
        };
        self.loans.batches += 1;
        self.loans.tokens += u64::from(tokens);
        self.observe(Event::LoanDone {
            pool: self.pool(),
            actor,
            peer: Arc::clone(&queued.loan.from),
            segments: queued.loan.segments.len(),
            tokens,
            elapsed,
        });
        let _ = queued.loan.reply.send(Ok(translations));
    }

    /// A peer's batch made an own actor fail. It is not tried again here.
    pub(super) fn loan_failed(&mut self, queued: QueuedLoan, error: PeerError) {
        self.refuse(queued.loan, error);
    }

    pub(super) fn offer(&self) -> Offer {
        Offer {
            credits: self.loans.credits,
            tokens_per_second: self.help.memory.tokens_per_second(),
            batch: self.spec.batch,
        }
    }

    pub(super) fn loan_status(&self) -> LoanStatus {
        LoanStatus {
            queued: self.loans.queue.len(),
            in_flight: self.members.lent(),
            batches: self.loans.batches,
            tokens: self.loans.tokens,
            refused: self.loans.refused,
        }
    }
}
