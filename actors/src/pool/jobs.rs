//! The jobs of a pool: cut into pieces on their way in, put together on their way out.

mod assembly;
mod splitting;
mod submission;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use babelmesh_engine_protocol::Translation;
use tokio::time::Instant;

use crate::{
    domain::{ClientId, ErrorCode, Job, JobOutcome, Lane, Language, RequestError, Trace},
    engine::EngineBatch,
};

use super::item::{Item, LookedUp};
use assembly::Assembly;
pub(super) use assembly::{Origin, Worker};
use splitting::Part;
pub(super) use splitting::Shortfall;
pub(crate) use submission::SegmentedText;
pub use submission::Submission;

/// Jobs that wait for pieces.
#[derive(Default)]
pub(super) struct Jobs {
    active: HashMap<u64, Assembly>,
    /// Deadlines of those that have one, the next one first.
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
    abandoned: usize,
    /// Those that ended before all their pieces were made: some may still wait.
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

/// A job that was checked against the cache and not admitted yet.
pub(super) struct Prepared {
    key: u64,
    assembly: Assembly,
    /// The pieces that need an engine.
    items: Vec<Item>,
}

impl Prepared {
    /// Estimated tokens that need an engine.
    pub(super) fn tokens(&self) -> u64 {
        let tokens = self.items.iter().map(|item| u64::from(item.tokens));
        tokens.sum()
    }

    /// Number of pieces that need an engine.
    pub(super) fn pieces(&self) -> usize {
        self.items.len()
    }

    pub(super) const fn job(&self) -> &Job {
        self.assembly.job()
    }

    /// Ends the job with an error instead.
    pub(super) fn refuse(self, error: RequestError) -> JobOutcome {
        self.assembly.failed(error)
    }
}

impl Jobs {
    /// Looks a job through for pieces that `known` has a translation of. `Err` holds the outcome of a job that needs no more.
    pub(super) fn prepare(
        &mut self,
        submission: Submission,
        now: Instant,
        worker: &Worker,
        mut known: impl FnMut(&mut Item) -> Option<Translation>,
    ) -> Result<Prepared, Box<JobOutcome>> {
        let key = self.next;
        self.next += 1;
        let job = &submission.job;
        let (target, lane, client) = (job.target, job.lane(), job.client());
        if submission.cut.pieces.is_empty() {
            return Err(Box::new(submission.job.untouched()));
        }
        let (mut found, mut items) = (Vec::new(), Vec::new());
        for (piece, text) in (0u32..).zip(&submission.cut.pieces) {
            let mut item = Item {
                job: key,
                piece,
                tokens: text.tokens,
                target,
                lane,
                client,
                queued: now,
                key: text.key,
                looked_up: LookedUp::default(),
            };
            match known(&mut item) {
                Some(translation) => found.push((piece, translation)),
                None => items.push(item),
            }
        }
        let mut assembly = Assembly::new(submission);
        for (piece, translation) in found {
            assembly.add(piece, translation, Origin::Cached);
        }
        if assembly.is_complete() {
            return Err(Box::new(self.finished(assembly, worker, now)));
        }
        Ok(Prepared {
            key,
            assembly,
            items,
        })
    }

    /// Takes a job in, and returns its pieces that need an engine.
    pub(super) fn accept(&mut self, prepared: Prepared) -> Vec<Item> {
        let Prepared {
            key,
            assembly,
            items,
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

    /// Leaves the items of jobs that have not ended and that their senders still want. An abandoned job ends here.
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

    /// What an engine gets of these items, and which of their jobs are watched, each once. Items without a job or piece are taken out, so that
    /// each of those left is the one of the segment at its place.
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

    /// Takes translations; returns the jobs that are complete with them.
    pub(super) fn complete(
        &mut self,
        translated: impl IntoIterator<Item = (Item, Translation)>,
        origin: Origin,
        worker: &Worker,
        now: Instant,
    ) -> Vec<JobOutcome> {
        let translated = translated.into_iter();
        let mut done = Vec::with_capacity(translated.size_hint().0);
        for (item, translation) in translated {
            let Some(assembly) = self.active.get_mut(&item.job) else {
                continue;
            };
            assembly.add(item.piece, translation, origin);
            if assembly.is_complete()
                && let Some(assembly) = self.remove(item.job)
            {
                done.push(self.finished(assembly, worker, now));
            }
        }
        done
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

    /// Ends the jobs of those pairs of languages with an error.
    pub(super) fn fail_those(
        &mut self,
        concerned: impl Fn(Language, Language) -> bool,
        code: ErrorCode,
        message: &str,
    ) -> Vec<JobOutcome> {
        let concerned = |assembly: &Assembly| {
            let job = assembly.job();
            concerned(job.source, job.target)
        };
        let all = self.active.iter();
        let mut jobs: Vec<u64> = all
            .filter(|(_, assembly)| concerned(assembly))
            .map(|(job, _)| *job)
            .collect();
        // Jobs of one conversation go in the order in which they came.
        jobs.sort_unstable();
        jobs.into_iter()
            .filter_map(|job| self.fail(job, code, message))
            .collect()
    }

    /// Cuts a piece, and returns the items of what it is cut into; none when its job has ended. `None` when it cannot be cut any further.
    pub(super) fn split(
        &mut self,
        item: &Item,
        shortfall: Shortfall,
        smallest: u32,
        now: Instant,
    ) -> Option<Vec<Item>> {
        let Some(assembly) = self.active.get_mut(&item.job) else {
            return Some(Vec::new());
        };
        let text = assembly.text(item.piece)?;
        let parts = match splitting::split(text, item.tokens, shortfall, smallest) {
            Ok(parts) => parts?,
            Err(panic) => {
                self.panics.push(panic.to_string());
                return None;
            }
        };
        let item_of = |part: &Part| Item {
            tokens: part.tokens,
            key: assembly.key(&text[part.range.clone()]),
            queued: now,
            looked_up: LookedUp::default(),
            ..*item
        };
        let mut items: Vec<_> = parts.iter().map(item_of).collect();
        let first = assembly.replace(item.piece, parts.into_iter().map(|part| part.range))?;
        for (number, item) in (first..).zip(&mut items) {
            item.piece = number;
        }
        Some(items)
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
