//! The jobs of a pool: parsed into sentences on their way in, put together on their way out.
//!
//! Each sentence has a plan, which decides which texts a model translates, checks the translations, and requests further ones if a check fails. The
//! texts that it requests are the pieces of the job; queue and batches only know pieces.

mod admission;
mod alternatives;
mod assembly;
mod sentence;
mod splitting;
mod submission;
mod totals;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use babelmesh_engine_protocol::Translation;
use tokio::time::Instant;

use crate::{
    containment::{Contained, contain},
    domain::{ClientId, ErrorCode, Job, JobOutcome, Lane, RequestError, Trace},
    engine::EngineBatch,
    events::SentenceCounts,
    model_text::ModelText,
};

use super::item::{Answered, Item, LookedUp, Verified};
pub(super) use admission::{Admission, Prepared};
use assembly::{Assembly, Progress, Split};
pub(super) use assembly::{Origin, Worker};
use sentence::PieceAnswer;
pub(super) use splitting::Shortfall;
pub(crate) use submission::ParsedText;
pub use submission::Submission;

/// Jobs that wait for pieces.
#[derive(Default)]
pub(super) struct Jobs {
    active: HashMap<u64, Assembly>,
    /// Deadlines of those that have one, the next one first.
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
    abandoned: usize,
    /// Jobs that ended before all their pieces were translated; some pieces may still be queued.
    stale: Vec<EndedJob>,
    panics: Vec<String>,
    /// Number of the current round of abandonment checks.
    round: u64,
}

/// A job that ended early.
pub(super) struct EndedJob {
    pub(super) job: u64,
    pub(super) lane: Lane,
    pub(super) client: ClientId,
}

/// Results of adding translations to jobs.
#[derive(Default)]
pub(super) struct Completed {
    pub(super) outcomes: Vec<JobOutcome>,
    /// Further pieces that need an engine.
    pub(super) items: Vec<Item>,
    /// Translations that have passed the checks and may be stored.
    pub(super) verified: Vec<Verified>,
    /// Sentences that are translated.
    pub(super) sentences: SentenceCounts,
}

/// Result of splitting a piece that is too long for the engine, or whose translation is unfinished.
pub(super) enum Shortened {
    /// These pieces are in its place; none when its job has ended.
    Parts(Vec<Item>),
    /// Its sentence has to be tried another way: the pool passes the incomplete translation on to the job.
    OtherWay,
    /// A part of it that cannot be divided is too long for the model.
    Impossible,
}

impl Jobs {
    /// Prepares a job for admission: adds the translations that `known` returns, and collects the pieces that need an engine.
    pub(super) fn prepare(
        &mut self,
        submission: Submission,
        now: Instant,
        worker: &Worker,
        model: &ModelText,
        mut known: impl FnMut(&mut Item) -> Option<Translation>,
    ) -> Admission {
        let key = self.next;
        self.next += 1;
        let mut submission = submission;
        if let Err(panic) = contain(|| submission.read_for(model)) {
            let outcome = self.failed_by_panic(Assembly::new(submission, now), panic);
            return Admission::Ended(Box::new(outcome), SentenceCounts::default());
        }
        if submission.is_untouched() {
            let outcome = submission.job.untouched();
            return Admission::Ended(Box::new(outcome), SentenceCounts::default());
        }
        let mut assembly = Assembly::new(submission, now);
        let (mut items, mut progress) = (Vec::new(), Progress::default());
        // Adding a known translation may append further pieces.
        let mut numbers = 0u32..;
        while let Some(number) = numbers.next()
            && let Some(mut item) = item(key, &assembly, number)
        {
            let Some(translation) = known(&mut item) else {
                items.push(item);
                continue;
            };
            let answer = PieceAnswer {
                translation,
                origin: Origin::Cached,
                store: None,
            };
            if let Err(panic) = assembly.add(number, answer, &mut progress) {
                let outcome = self.failed_by_panic(assembly, panic);
                return Admission::Ended(Box::new(outcome), progress.sentences);
            }
        }
        if assembly.is_complete() {
            let outcome = self.finished(assembly, worker, now);
            return Admission::Ended(Box::new(outcome), progress.sentences);
        }
        Admission::Open(Box::new(Prepared {
            key,
            assembly,
            items,
            sentences: progress.sentences,
        }))
    }

    /// Admits a prepared job and returns its pieces that need an engine.
    pub(super) fn accept(&mut self, prepared: Prepared) -> Vec<Item> {
        let Prepared {
            key,
            assembly,
            items,
            ..
        } = prepared;
        let deadline = assembly.job().deadline;
        self.deadlines.extend(deadline.map(|at| (at, key)));
        self.active.insert(key, assembly);
        items
    }

    /// The outcome of a complete job. A panic in putting it together concerns this job alone.
    fn finished(&mut self, assembly: Assembly, worker: &Worker, now: Instant) -> JobOutcome {
        let (outcome, panic) = assembly.finish(worker, now);
        self.panics.extend(panic);
        outcome
    }

    /// Fails a job after a panic in parsing its text or checking its translations. Other jobs are not affected.
    fn failed_by_panic(&mut self, assembly: Assembly, panic: Contained) -> JobOutcome {
        self.panics.push(panic.to_string());
        let message = "internal error while checking the translations";
        assembly.failed(RequestError::new(ErrorCode::InternalError, message))
    }

    /// Panics since the last call.
    pub(super) fn take_panics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.panics)
    }

    /// The jobs that ended early since the last time.
    pub(super) fn take_stale(&mut self) -> Vec<EndedJob> {
        std::mem::take(&mut self.stale)
    }

    /// Whether the job has not ended.
    pub(super) fn is_active(&self, job: u64) -> bool {
        self.active.contains_key(&job)
    }

    /// Removes and returns the jobs that no engine has started, in the order of their arrival.
    pub(super) fn take_waiting(&mut self) -> Vec<Submission> {
        let waiting = self.active.iter();
        let waiting = waiting.filter(|(_, assembly)| assembly.is_waiting());
        let mut waiting: Vec<u64> = waiting.map(|(job, _)| *job).collect();
        waiting.sort_unstable();
        let taken = waiting.into_iter().filter_map(|job| self.remove(job));
        taken.map(Assembly::into_submission).collect()
    }

    /// Retains the items of active jobs that their senders still want. Abandoned jobs end.
    pub(super) fn keep_wanted(&mut self, items: &mut Vec<Item>) {
        self.round += 1;
        let before = self.abandoned;
        items.retain(|item| self.is_wanted(item.job));
        if self.abandoned > before {
            // A job may be abandoned during the scan: its pieces kept so far are removed too.
            items.retain(|item| self.is_active(item.job));
        }
    }

    /// Ends the abandoned jobs of these items.
    pub(super) fn end_unwanted<'a>(&mut self, items: impl Iterator<Item = &'a Item>) {
        self.round += 1;
        for item in items {
            self.is_wanted(item.job);
        }
    }

    fn is_wanted(&mut self, job: u64) -> bool {
        let round = self.round;
        let assembly = self.active.get_mut(&job);
        let wanted = assembly.map(|assembly| assembly.is_wanted(round));
        if wanted == Some(false) {
            self.remove(job);
            self.abandoned += 1;
        }
        wanted == Some(true)
    }

    /// Number of abandoned jobs since the last call.
    pub(super) fn take_abandoned(&mut self) -> usize {
        std::mem::take(&mut self.abandoned)
    }

    /// Ends the jobs whose deadline has passed, wherever their pieces are: waiting, or with an engine.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<JobOutcome> {
        let mut expired = Vec::new();
        while let Some((at, job)) = self.deadlines.first().copied()
            && at <= now
        {
            let message = "deadline exceeded";
            self.deadlines.pop_first();
            expired.extend(self.fail(job, ErrorCode::DeadlineExceeded, message));
        }
        expired
    }

    /// Builds the engine's batch, and returns the traces of the sampled jobs in it, each once. Items without a job or piece are removed, so that each
    /// remaining item has the same index as its segment.
    pub(super) fn batch(
        &mut self,
        items: &mut Vec<Item>,
        now: Instant,
    ) -> (EngineBatch, Vec<Arc<Trace>>) {
        let mut watched: Vec<Arc<Trace>> = Vec::new();
        let mut segments = Vec::with_capacity(items.len());
        items.retain(|item| {
            let Some(assembly) = self.active.get_mut(&item.job) else {
                return false;
            };
            let Some(segment) = assembly.segment(item.piece, now) else {
                return false;
            };
            segments.push(segment);
            if let Some(trace) = assembly.watched()
                && !watched.iter().any(|other| Arc::ptr_eq(other, trace))
            {
                watched.push(Arc::clone(trace));
            }
            true
        });
        let batch = EngineBatch {
            segments,
            tokens: items.iter().map(|item| item.tokens).sum(),
            span: None,
        };
        (batch, watched)
    }

    /// Adds translations to their jobs. Returns the outcomes of complete jobs, and the further pieces that are needed.
    pub(super) fn complete(
        &mut self,
        answered: impl IntoIterator<Item = Answered>,
        origin: Origin,
        worker: &Worker,
        now: Instant,
    ) -> Completed {
        let answered = answered.into_iter();
        let mut completed = Completed {
            outcomes: Vec::with_capacity(answered.size_hint().0),
            ..Completed::default()
        };
        let mut progress = Progress::default();
        for Answered {
            item,
            translation,
            store,
        } in answered
        {
            let Some(assembly) = self.active.get_mut(&item.job) else {
                continue;
            };
            let answer = PieceAnswer {
                translation,
                origin,
                store,
            };
            let added = assembly.add(item.piece, answer, &mut progress);
            let asked = progress.asked.drain(..);
            completed
                .items
                .extend(further_items(item.job, assembly, asked));
            let is_complete = assembly.is_complete();
            if added.is_ok() && !is_complete {
                continue;
            }
            if let Some(assembly) = self.remove(item.job) {
                completed.outcomes.push(match added {
                    Ok(()) => self.finished(assembly, worker, now),
                    Err(panic) => self.failed_by_panic(assembly, panic),
                });
            }
        }
        completed.verified = progress.verified;
        completed.sentences = progress.sentences;
        completed
    }

    /// Ends a job with an error, whatever pieces of it are still on their way.
    pub(super) fn fail(&mut self, job: u64, code: ErrorCode, message: &str) -> Option<JobOutcome> {
        self.fail_with(job, RequestError::new(code, message))
    }

    /// The same, with an error that is there already.
    pub(super) fn fail_with(&mut self, job: u64, error: RequestError) -> Option<JobOutcome> {
        Some(self.remove(job)?.failed(error))
    }

    /// Ends all jobs with an error.
    pub(super) fn fail_all(&mut self, code: ErrorCode, message: &str) -> Vec<JobOutcome> {
        self.deadlines.clear();
        self.stale.clear();
        let all = self.active.drain();
        all.map(|(_, assembly)| assembly.failed(RequestError::new(code, message)))
            .collect()
    }

    /// Ends some of the jobs with an error.
    pub(super) fn fail_those(
        &mut self,
        mut concerned: impl FnMut(&Job) -> bool,
        code: ErrorCode,
        message: &str,
    ) -> Vec<JobOutcome> {
        let all = self.active.iter();
        let mut jobs: Vec<u64> = all
            .filter(|(_, assembly)| concerned(assembly.job()))
            .map(|(job, _)| *job)
            .collect();
        // Jobs of one conversation go in the order in which they came.
        jobs.sort_unstable();
        jobs.into_iter()
            .filter_map(|job| self.fail(job, code, message))
            .collect()
    }

    /// Splits a piece that an engine could not take, or did not finish.
    pub(super) fn split(&mut self, item: &Item, shortfall: Shortfall, smallest: u32) -> Shortened {
        let Some(assembly) = self.active.get_mut(&item.job) else {
            return Shortened::Parts(Vec::new());
        };
        match assembly.split(item.piece, shortfall, smallest) {
            Ok(Split::Parts(parts)) => {
                Shortened::Parts(further_items(item.job, assembly, parts).collect())
            }
            Ok(Split::OtherWay) => Shortened::OtherWay,
            Ok(Split::Impossible) => Shortened::Impossible,
            Err(panic) => {
                self.panics.push(panic.to_string());
                Shortened::Impossible
            }
        }
    }

    fn remove(&mut self, job: u64) -> Option<Assembly> {
        let assembly = self.active.remove(&job)?;
        let of = assembly.job();
        if let Some(at) = of.deadline {
            self.deadlines.remove(&(at, job));
        }
        if !assembly.is_complete() {
            let (lane, client) = (of.lane(), of.client());
            self.stale.push(EndedJob { job, lane, client });
        }
        Some(assembly)
    }

    /// The message id of a job, for events.
    pub(super) fn message_id(&self, job: u64) -> Option<&str> {
        let assembly = self.active.get(&job)?;
        Some(assembly.job().order.request.message_id.as_str())
    }

    /// Number of jobs that wait for pieces.
    pub(super) fn len(&self) -> usize {
        self.active.len()
    }
}

/// A piece of a job for the queue.
fn item(job: u64, assembly: &Assembly, piece: u32) -> Option<Item> {
    let of = assembly.job();
    let found = assembly.piece(piece)?;
    Some(Item {
        job,
        piece,
        // A search for several translations takes about as many times as long.
        tokens: found
            .tokens
            .saturating_mul(1 + u32::from(found.alternatives)),
        target: of.target,
        lane: of.lane(),
        client: of.client(),
        queued: assembly.queued,
        has_begun: false,
        key: found.key,
        looked_up: LookedUp::default(),
    })
}

/// Pieces for the queue of a job that has begun.
fn further_items(
    job: u64,
    assembly: &Assembly,
    pieces: impl IntoIterator<Item = u32>,
) -> impl Iterator<Item = Item> {
    let items = pieces.into_iter();
    let items = items.filter_map(move |piece| item(job, assembly, piece));
    items.map(|item| Item {
        has_begun: true,
        ..item
    })
}
