//! An actor answers or fails: how a batch ends.

use std::{error::Error, sync::Arc, time::Duration};

use babelmesh_engine_protocol::Translation;
use ractor::{ActorId, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::ErrorCode,
    engine::{EngineError, Usage},
    events::{Event, PieceSource, StopReason},
    offload::PeerError,
    text::plan::stand_ins,
};

use super::Pool;
use crate::pool::{
    failure::{AfterFailure, Attempt, after_failure},
    item::{Answered, Item},
    jobs::{Origin, Shortened, Shortfall},
    message::{EngineReady, ModelReport, PoolMessage},
    peer_queue::PeerBatchDone,
    remote_workers::{LostRemoteWorker, RemoteDone, peer_error},
    workers::Work,
};

/// A batch that was done: by whom, how large it was, how long it took and how long its oldest item had waited.
struct Done {
    actor: Arc<str>,
    tokens: u32,
    elapsed: Duration,
    waited: Duration,
}

impl Pool {
    /// Takes a model actor's report.
    pub(in crate::pool) fn report(
        &mut self,
        id: ActorId,
        report: ModelReport,
        myself: &ActorRef<PoolMessage>,
    ) {
        let is_remote = self.remote.contains(id);
        match report {
            ModelReport::Ready(_) if is_remote => self.remote.ready(id),
            ModelReport::Ready(ready) => self.ready(id, ready, myself),
            ModelReport::Answered {
                answer, elapsed, ..
            } if is_remote => match answer {
                Ok(translations) => self.remote_answered(id, translations, elapsed),
                Err(error) => self.remote_failed(id, peer_error(&error)),
            },
            ModelReport::Answered {
                answer,
                usage,
                elapsed,
            } => self.answered(id, answer, usage, elapsed),
        }
    }

    fn ready(&mut self, id: ActorId, ready: EngineReady, myself: &ActorRef<PoolMessage>) {
        let EngineReady {
            report,
            usage,
            cold_start,
            warm_up,
        } = ready;
        let numeric = report.numeric.clone();
        let is_read_again = self.spec.text.learn(&report);
        let Some(actor) = self.workers.ready(id, report, usage, cold_start) else {
            return;
        };
        self.capacity.measured(usage.resident_bytes);
        self.dedup.set_numeric(self.workers.numeric());
        self.health.engine_ready(Instant::now());
        self.events.observe(Event::ActorReady {
            pool: self.events.pool(),
            actor,
            pid: usage.pid,
            numeric,
            cold_start,
            warm_up,
        });
        if is_read_again {
            self.read_waiting_again(myself);
        }
    }

    fn answered(
        &mut self,
        id: ActorId,
        answer: Result<Vec<Translation>, EngineError>,
        usage: Usage,
        elapsed: Duration,
    ) {
        let Some((actor, mut batch)) = self.workers.answered(id, usage) else {
            return;
        };
        if let Work::Probe = batch.work {
            self.probed(answer);
            return;
        }
        batch.unwatch(answer.as_ref().err().map(|error| error as _));
        self.counters.totals.busy += elapsed;
        self.health.batch_answered(answer.is_ok(), Instant::now());
        if answer.is_ok() {
            self.counters.totals.completed_tokens += u64::from(batch.tokens);
            self.sharing.note_batch(batch.lane, batch.tokens, elapsed);
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
            (Work::Lent(batch), answer) => {
                let done = PeerBatchDone {
                    batch,
                    answer,
                    actor,
                    elapsed,
                };
                self.peer_queue.answered(done, &self.events);
            }
            (Work::Probe, _) => {}
        }
        if usage.resident_bytes > self.spec.memory_limit {
            self.retire(id, StopReason::MemoryLimit);
        } else if self.capacity.must_evict() {
            self.evict(true);
        }
    }

    /// Handles the translation of the probe text, which shows which stand-ins the model copies. An incomplete or refused one shows nothing.
    fn probed(&self, answer: Result<Vec<Translation>, EngineError>) {
        let translations = answer.unwrap_or_default();
        if let Some(translation) = translations.first().filter(|first| first.is_whole()) {
            let copied = stand_ins::copied(&translation.text);
            self.spec.text.learn_stand_ins(copied);
        }
    }

    fn remote_answered(&mut self, id: ActorId, translations: Vec<Translation>, elapsed: Duration) {
        let Some(RemoteDone {
            batch,
            name,
            since,
            is_leaving,
            ..
        }) = self.remote.answered(id, elapsed)
        else {
            return;
        };
        if let Some(watch) = batch.watch {
            watch.ended(None);
        }
        let done = Done {
            actor: name,
            tokens: batch.tokens,
            elapsed,
            waited: since.saturating_duration_since(batch.oldest),
        };
        self.translated(batch.attempt, translations, done);
        if is_leaving {
            self.remote.remove(id);
        }
    }

    /// Handles the translations of a batch from any source.
    fn translated(&mut self, attempt: Attempt, translations: Vec<Translation>, done: Done) {
        let now = Instant::now();
        // Late translations are dropped: the deadline has expired.
        self.expire(now);
        let worker = self.worker(Arc::clone(&done.actor));
        let segments = attempt.items.len();
        let origin = Origin::Batch(u32::try_from(segments).unwrap_or(u32::MAX));
        let translated = attempt.items.into_iter().zip(translations);
        let (whole, mut other) = self.take_whole(translated.collect());
        let (waited, mut made) = self.dedup.complete(whole);
        self.finish_known(PieceSource::Twin, waited);
        made.append(&mut other);
        let completed = self.jobs.complete(made, origin, &worker, now);
        self.events.observe(Event::BatchDone {
            pool: self.events.pool(),
            actor: done.actor,
            segments,
            tokens: done.tokens,
            elapsed: done.elapsed,
            waited: done.waited,
        });
        self.take_completed(completed);
    }

    /// Returns the complete translations of a batch. Pieces without one are split and queued again, together with the duplicates that wait for them.
    /// Pieces whose sentence has to be tried another way are returned separately.
    fn take_whole(
        &mut self,
        translated: Vec<(Item, Translation)>,
    ) -> (Vec<(Item, Translation)>, Vec<Answered>) {
        let is_whole = |(_, translation): &(Item, Translation)| translation.is_whole();
        if translated.iter().all(is_whole) {
            return (translated, Vec::new());
        }
        let (whole, short): (Vec<_>, Vec<_>) = translated.into_iter().partition(is_whole);
        let (mut pieces, mut failed, mut other) = (0, Vec::new(), Vec::new());
        for (item, translation) in short {
            let shortfall = Shortfall::of(&translation);
            let same = self.dedup.release(&[item]);
            for item in [item].into_iter().chain(same) {
                pieces += 1;
                match self
                    .jobs
                    .split(&item, shortfall, self.spec.min_piece_tokens)
                {
                    Shortened::Parts(items) => self.queue_further(items),
                    Shortened::OtherWay => {
                        other.push(Answered::known(item, translation.clone()));
                    }
                    Shortened::Impossible => {
                        let message = shortfall.message(&self.spec.model_id);
                        let code = ErrorCode::TextTooLong;
                        failed.extend(self.jobs.fail(item.job, code, &message));
                    }
                }
            }
        }
        self.events.observe(Event::PiecesTruncated {
            pool: self.events.pool(),
            pieces,
            given_up: failed.len(),
        });
        if !failed.is_empty() {
            self.has_stale = true;
            self.finish(failed);
        }
        (whole, other)
    }

    /// An actor failed: by a panic, or because its engine did.
    pub(in crate::pool) fn lost(
        &mut self,
        id: ActorId,
        error: &(dyn Error + Send + Sync + 'static),
    ) {
        let Some(lost) = self.workers.lost(id) else {
            return self.remote_failed(id, peer_error(error));
        };
        let now = Instant::now();
        self.capacity.actor_lost();
        self.dedup.set_numeric(self.workers.numeric());
        let delay = self.health.engine_failed(error, lost.was_starting, now);
        self.events.observe(Event::ActorFailed {
            pool: self.events.pool(),
            actor: lost.name,
            error: error.to_string(),
            requeued: lost.batch.as_ref().map_or(0, |batch| batch.own_items()),
            restart_in: delay,
        });
        if let Some(mut batch) = lost.batch {
            batch.unwatch(Some(&error));
            self.counters.totals.busy += now.saturating_duration_since(batch.since);
            match batch.work {
                Work::Own(attempt) => self.retry(attempt, error, ErrorCode::PoisonText),
                Work::Lent(batch) => {
                    let error = PeerError::Failed(error.to_string());
                    self.peer_queue.failed(batch, error, &self.events);
                }
                Work::Probe => {}
            }
        }
    }

    /// An actor stopped: as requested, or killed externally.
    pub(in crate::pool) fn ended(&mut self, id: ActorId) {
        if self.remote.contains(id) {
            let error = PeerError::Gone("its actor was killed".to_owned());
            return self.remote_failed(id, error);
        }
        if self.workers.ended(id) {
            self.dedup.set_numeric(self.workers.numeric());
        } else {
            self.lost(id, &EngineError::Ended("the actor was killed".to_owned()));
        }
    }

    /// A peer failed.
    fn remote_failed(&mut self, id: ActorId, error: PeerError) {
        let lost = self.remote.fail(id, error);
        self.take_back(lost);
    }

    /// Requeues the batch of a remote worker as the next batch of a local actor, without counting a failure.
    pub(super) fn take_back(&mut self, lost: Option<LostRemoteWorker>) {
        let Some(lost) = lost else {
            return;
        };
        let batch = lost.batch;
        self.events.observe(Event::RemoteWorkerFailed {
            pool: self.events.pool(),
            guest: lost.name,
            peer: lost.node,
            error: lost.error.to_string(),
            requeued: batch.as_ref().map_or(0, |b| b.attempt.items.len()),
        });
        if let Some(batch) = batch {
            if let Some(watch) = batch.watch {
                watch.ended(Some(&lost.error.to_string()));
            }
            self.put_back(batch.attempt);
        }
    }

    fn retry(&mut self, attempt: Attempt, error: &(dyn Error + 'static), code: ErrorCode) {
        self.release_waiting(&attempt.items);
        match after_failure(attempt) {
            AfterFailure::Retry(attempts) => self.queue.retry(attempts),
            AfterFailure::Poison(item) => self.poisoned(&item, error, code),
        }
    }

    fn poisoned(&mut self, item: &Item, error: &(dyn Error + 'static), code: ErrorCode) {
        if let Some(message_id) = self.jobs.message_id(item.job) {
            self.events.observe(Event::TextPoisoned {
                pool: self.events.pool(),
                message_id: message_id.to_owned(),
                error: error.to_string(),
            });
        }
        let (model, reason) = (&self.spec.model_id, EngineError::reason_of(error));
        let message = format!("the text repeatedly makes model {model} fail: {reason}");
        let outcome = self.jobs.fail(item.job, code, &message);
        self.finish(outcome.into_iter().collect());
    }
}
