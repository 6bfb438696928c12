//! Batches that the pool does for peers: they wait behind its own work, few at a time, and never for long.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use babelmesh_engine_protocol::Translation;
use tokio::time::Instant;

use crate::{
    domain::SpanRef,
    engine::{EngineBatch, EngineError},
    events::Event,
    offload::{Offer, OffloadRequest, PeerError},
    text,
};

use super::{
    batching::{BatchBudget, BatchShape},
    pool_events::PoolEvents,
    status::PeerQueueStatus,
};

/// Number of own batches after which a waiting batch of a peer has its turn.
const OWN_BEFORE_LENT: u32 = 8;

/// A peer's batch that was taken in.
pub(super) struct PeerBatch {
    loan: OffloadRequest,
    segments: usize,
    tokens: u32,
    queued: Instant,
}

impl PeerBatch {
    /// Takes the segments for the engine. They are not kept, because a batch of a peer is not retried here.
    pub(super) fn take_segments(&mut self) -> EngineBatch {
        EngineBatch {
            segments: std::mem::take(&mut self.loan.segments),
            tokens: self.tokens,
            span: None,
        }
    }

    /// When it was taken in.
    pub(super) const fn queued(&self) -> Instant {
        self.queued
    }

    /// The requesting peer, and the batch's span there, if sampled.
    pub(super) fn watched_by(&self) -> Option<(&Arc<str>, SpanRef)> {
        self.loan.span.map(|span| (&self.loan.from, span))
    }

    fn is_wanted(&self) -> bool {
        !self.loan.reply.is_closed()
    }
}

/// Batches of peers that wait, and what was done for peers so far.
#[derive(Default)]
pub(super) struct PeerQueue {
    queue: VecDeque<PeerBatch>,
    /// Own batches that were handed over since one of a peer has been waiting.
    passed_over: u32,
    /// The current offer.
    credits: u32,
    batches: u64,
    tokens: u64,
    refused: u64,
}

/// State of the pool that decides whether it accepts a batch of a peer.
pub(super) struct Host<'a> {
    pub(super) is_closing: bool,
    /// Names what its translations depend on.
    pub(super) space: &'a str,
    /// Batches of peers that engines have.
    pub(super) in_flight: usize,
    /// Largest batch.
    pub(super) budget: BatchBudget,
}

impl PeerQueue {
    /// Takes a peer's batch in, or refuses it.
    pub(super) fn take_in(&mut self, loan: OffloadRequest, host: &Host<'_>, events: &PoolEvents) {
        match self.admission(&loan, host) {
            Ok(tokens) => self.queue.push_back(PeerBatch {
                segments: loan.segments.len(),
                loan,
                tokens,
                queued: Instant::now(),
            }),
            Err(error) => self.refuse(loan, error, events),
        }
    }

    /// The tokens of a batch that is taken in, or why it is not.
    fn admission(&self, loan: &OffloadRequest, host: &Host<'_>) -> Result<u32, PeerError> {
        if host.is_closing {
            return Err(PeerError::Closing);
        }
        if loan.space != host.space {
            let what = "its translations would depend on other settings";
            return Err(PeerError::Unsuitable(what.to_owned()));
        }
        if self.queue.len() + host.in_flight >= self.credits as usize {
            return Err(PeerError::Busy);
        }
        measure(loan, host.budget)
    }

    fn refuse(&mut self, loan: OffloadRequest, error: PeerError, events: &PoolEvents) {
        self.refused += 1;
        events.observe(Event::LoanRefused {
            pool: events.pool(),
            peer: Arc::clone(&loan.from),
            error: error.clone(),
        });
        // A cancelled batch needs no answer.
        let _ = loan.reply.send(Err(error));
    }

    /// Refuses everything that waits.
    pub(super) fn refuse_all(&mut self, error: &PeerError, events: &PoolEvents) {
        for batch in std::mem::take(&mut self.queue) {
            self.refuse(batch.loan, error.clone(), events);
        }
    }

    /// Returns batches that waited longer than `timeout`, and drops cancelled ones.
    pub(super) fn sweep(&mut self, timeout: Duration, now: Instant, events: &PoolEvents) {
        self.queue.retain(PeerBatch::is_wanted);
        let is_late = |batch: &mut PeerBatch| now.saturating_duration_since(batch.queued) > timeout;
        while let Some(batch) = self.queue.pop_front_if(is_late) {
            self.refuse(batch.loan, PeerError::Busy, events);
        }
    }

    /// The next batch, if own work leaves time for it.
    pub(super) fn next(&mut self) -> Option<PeerBatch> {
        while let Some(batch) = self.queue.pop_front() {
            if batch.is_wanted() {
                self.passed_over = 0;
                return Some(batch);
            }
        }
        None
    }

    /// The next batch, if it has been passed over often enough.
    pub(super) fn overdue(&mut self) -> Option<PeerBatch> {
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

    /// Requeues a batch that no engine has seen.
    pub(super) fn put_back(&mut self, batch: PeerBatch) {
        self.queue.push_front(batch);
    }

    /// An own actor did a batch, or refused it.
    pub(super) fn answered(&mut self, done: PeerBatchDone, events: &PoolEvents) {
        let PeerBatchDone {
            batch,
            answer,
            actor,
            elapsed,
        } = done;
        let translations = match answer {
            Ok(translations) => translations,
            Err(error) => {
                return self.failed(batch, PeerError::Failed(error.to_string()), events);
            }
        };
        self.batches += 1;
        self.tokens += u64::from(batch.tokens);
        events.observe(Event::LoanDone {
            pool: events.pool(),
            actor,
            peer: Arc::clone(&batch.loan.from),
            segments: batch.segments,
            tokens: batch.tokens,
            elapsed,
        });
        let _ = batch.loan.reply.send(Ok(translations));
    }

    /// A batch made an own actor fail. It is not tried again here.
    pub(super) fn failed(&mut self, batch: PeerBatch, error: PeerError, events: &PoolEvents) {
        self.refuse(batch.loan, error, events);
    }

    /// Offers so many batches at once from now on.
    pub(super) const fn set_credits(&mut self, credits: u32) {
        self.credits = credits;
    }

    pub(super) const fn offer(&self, tokens_per_second: f64, batch: BatchBudget) -> Offer {
        Offer {
            credits: self.credits,
            tokens_per_second,
            batch,
        }
    }

    /// What is done for peers; engines have so many batches of theirs.
    pub(super) fn status(&self, in_flight: usize) -> PeerQueueStatus {
        PeerQueueStatus {
            queued: self.queue.len(),
            in_flight,
            batches: self.batches,
            tokens: self.tokens,
            refused: self.refused,
        }
    }
}

/// A peer's batch that an own actor answered.
pub(super) struct PeerBatchDone {
    pub(super) batch: PeerBatch,
    pub(super) answer: Result<Vec<Translation>, EngineError>,
    pub(super) actor: Arc<str>,
    pub(super) elapsed: Duration,
}

/// Estimates a batch's tokens like those of local texts, independent of the peer.
fn measure(loan: &OffloadRequest, budget: BatchBudget) -> Result<u32, PeerError> {
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

#[cfg(test)]
mod tests;
