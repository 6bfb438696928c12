//! What model actors say, and what becomes of their batches.

use std::{error::Error, sync::Arc, time::Duration};

use babelmesh_engine_protocol::{LoadReport, Translation};
use ractor::ActorId;
use tokio::time::Instant;

use crate::{
    domain::ErrorCode,
    engine::{EngineError, Usage},
    events::{Event, StopReason},
    offload::PeerError,
};

use super::{
    backlog::Item,
    core::{Pool, Restart},
    failure::{AfterFailure, Attempt, after_failure, restart_delay},
    jobs::Origin,
    member::{Phase, Work},
    model_actor::{ModelMessage, ModelReport},
};

/// A batch that was done: by whom, how large it was, how long it took and how long its oldest item had waited.
pub(super) struct Done {
    pub(super) actor: Arc<str>,
    pub(super) tokens: u32,
    pub(super) elapsed: Duration,
    pub(super) waited: Duration,
}

impl Pool {
    /// Takes a model actor's report.
    pub(super) fn report(&mut self, id: ActorId, report: ModelReport) {
        if self.help.guests.contains_key(&id) {
            return self.guest_report(id, report);
        }
        match report {
            ModelReport::Ready {
                report,
                usage,
                cold_start,
                warm_up,
            } => {
                self.ready(id, report, usage, (cold_start, warm_up));
            }
            ModelReport::Answered {
                answer,
                usage,
                elapsed,
            } => {
                self.answered(id, answer, usage, elapsed);
            }
        }
    }

    fn ready(
        &mut self,
        id: ActorId,
        report: LoadReport,
        usage: Usage,
        (cold_start, warm_up): (Duration, Duration),
    ) {
        let Some(member) = self.members.all.get_mut(&id) else {
            return;
        };
        if matches!(member.phase, Phase::Starting) {
            member.phase = Phase::Idle;
        }
        member.usage = usage;
        member.numeric = Some(report.numeric.clone());
        if usage.resident_bytes > 0 {
            member.permit.measured(usage.resident_bytes);
            self.actor_memory = usage.resident_bytes;
        }
        let numeric = report.numeric.clone();
        self.last_report = Some(report);
        self.restart.failed_starts = 0;
        self.cold_start = Some(cold_start);
        self.last_warm = Instant::now();
        let actor = Arc::clone(&member.name);
        self.observe(Event::ActorReady {
            pool: self.pool(),
            actor,
            pid: usage.pid,
            numeric,
            cold_start,
            warm_up,
        });
    }

    fn answered(
        &mut self,
        id: ActorId,
        answer: Result<Vec<Translation>, EngineError>,
        usage: Usage,
        elapsed: Duration,
    ) {
        let Some(member) = self.members.all.get_mut(&id) else {
            return;
        };
        let Some(mut batch) = member.take_batch() else {
            return;
        };
        batch.unwatch(answer.as_ref().err().map(|error| error as _));
        member.usage = usage;
        member.batches += 1;
        self.totals.busy += elapsed;
        self.last_warm = Instant::now();
        let actor = Arc::clone(&member.name);
        if answer.is_ok() {
            self.restart = Restart::default();
            self.totals.completed_tokens += u64::from(batch.tokens);
            self.note_batch(batch.lane, batch.tokens, elapsed);
        }
        match (batch.work, answer) {
            (Work::Own(attempt), Ok(translations)) if translations.len() != attempt.items.len() => {
                let (made, due) = (translations.len(), attempt.items.len());
                let error =
                    EngineError::Protocol(format!("{made} translations for {due} segments"));
                self.retry(attempt, &error, ErrorCode::EngineFailed);
            }
            (Work::Own(attempt), Ok(translations)) => {
                let done = Done {
                    actor,
                    tokens: batch.tokens,
                    elapsed,
                    waited: batch.since.saturating_duration_since(batch.oldest),
                };
                self.translated(attempt, translations, done);
            }
            (Work::Own(attempt), Err(error)) => {
                self.retry(attempt, &error, ErrorCode::EngineFailed);
            }
            (Work::Lent(loan), answer) => self.lent(loan, answer, (actor, batch.tokens, elapsed)),
        }
        if usage.resident_bytes > self.spec.memory_limit {
            self.retire(id, StopReason::MemoryLimit);
        } else if self.eviction.due {
            self.evict(true);
        }
    }

    /// Takes the translations of a batch, whoever made them.
    pub(super) fn translated(
        &mut self,
        attempt: Attempt,
        translations: Vec<Translation>,
        done: Done,
    ) {
        let now = Instant::now();
        // What comes too late is of no use to its sender any more.
        self.expire(now);
        let worker = self.worker(Arc::clone(&done.actor));
        let segments = attempt.items.len();
        let origin = Origin::Batch(u32::try_from(segments).unwrap_or(u32::MAX));
        let (items, translations) = self.take_whole(attempt.items, translations);
        self.remember(&items, &translations);
        let translated = items.into_iter().zip(translations);
        let outcomes = self.jobs.complete(translated, origin, &worker, now);
        self.observe(Event::BatchDone {
            pool: self.pool(),
            actor: done.actor,
            segments,
            tokens: done.tokens,
            elapsed: done.elapsed,
            waited: done.waited,
        });
        self.finish(outcomes);
    }

    /// An actor failed: by a panic, or because its engine did.
    pub(super) fn lost(&mut self, id: ActorId, error: &(dyn Error + Send + Sync + 'static)) {
        let Some(mut member) = self.members.all.remove(&id) else {
            return self.guest_lost(id, error);
        };
        let now = Instant::now();
        // Its memory is free now.
        self.eviction.due = false;
        self.restart.failures += 1;
        if matches!(member.phase, Phase::Starting) {
            self.restart.failed_starts += 1;
        }
        let (first, most) = self.spec.restart;
        let engine_error = error.downcast_ref::<EngineError>();
        self.restart.is_permanent = engine_error.is_some_and(EngineError::is_permanent);
        let delay = match self.restart.is_permanent {
            // Somebody may put the machine right.
            true => most,
            false => restart_delay(self.restart.failures, first, most),
        };
        self.restart.not_before = Some(now + delay);
        self.restart.last_error = Some(error.to_string());
        self.restart.reason = Some(EngineError::reason_of(error));
        let batch = member.take_batch();
        self.observe(Event::ActorFailed {
            pool: self.pool(),
            actor: Arc::clone(&member.name),
            error: error.to_string(),
            requeued: batch.as_ref().map_or(0, |b| b.work.own_items()),
            restart_in: delay,
        });
        if let Some(mut batch) = batch {
            batch.unwatch(Some(&error));
            self.totals.busy += now.saturating_duration_since(batch.since);
            match batch.work {
                Work::Own(attempt) => {
                    self.retry(attempt, error, ErrorCode::PoisonText);
                }
                Work::Lent(loan) => self.loan_failed(loan, PeerError::Failed(error.to_string())),
            }
        }
    }

    /// An actor ended without failing: as it was told to, or killed from outside.
    pub(super) fn ended(&mut self, id: ActorId) {
        if self.help.guests.contains_key(&id) {
            return self.guest_ended(id);
        }
        let drained = self
            .members
            .all
            .get(&id)
            .is_none_or(|m| matches!(m.phase, Phase::Draining));
        if drained {
            self.members.all.remove(&id);
        } else {
            self.lost(id, &EngineError::Ended("the actor was killed".to_owned()));
        }
    }

    fn retry(&mut self, attempt: Attempt, error: &(dyn Error + 'static), code: ErrorCode) {
        self.part_twins(&attempt.items);
        match after_failure(attempt) {
            AfterFailure::Retry(attempts) => self.retries.extend(attempts),
            AfterFailure::Poison(item) => self.poisoned(&item, error, code),
        }
    }

    fn poisoned(&mut self, item: &Item, error: &(dyn Error + 'static), code: ErrorCode) {
        if let Some(message_id) = self.jobs.message_id(item.job) {
            let message_id = message_id.to_owned();
            let error = error.to_string();
            self.observe(Event::TextPoisoned {
                pool: self.pool(),
                message_id,
                error,
            });
        }
        let (model, reason) = (&self.spec.model_id, EngineError::reason_of(error));
        let message = format!("the text makes model {model} fail: {reason}");
        let outcome = self.jobs.fail(item.job, code, &message);
        self.finish(outcome.into_iter().collect());
    }

    /// Tells an actor without a batch to end.
    pub(super) fn retire(&mut self, id: ActorId, reason: StopReason) {
        let Some(member) = self.members.all.get_mut(&id) else {
            return;
        };
        member.phase = Phase::Draining;
        let _ = member.actor.cast(ModelMessage::Retire);
        let actor = Arc::clone(&member.name);
        self.observe(Event::ActorStopped {
            pool: self.pool(),
            actor,
            reason,
        });
    }
}
