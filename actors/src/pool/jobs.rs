//! The jobs of a pool: cut into pieces on their way in, put together on their way out.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use tokio::time::Instant;

use babelmesh_engine_protocol::{Segment, Translation};

use crate::{
    cache::{CacheKey, CacheSpace},
    containment::contain,
    domain::{
        ClientId, ErrorCode, Job, JobOutcome, Lane, Language, ModelType, RequestError, Trace,
        Translated,
    },
    engine::EngineBatch,
    text::{self, Piece},
};

use super::backlog::Item;

/// A job with its text cut into pieces: whole sentences where they fit.
pub struct Submission {
    pub(crate) job: Job,
    cut: Cut,
}

/// A piece of a job's text that needs translation.
pub(super) struct TextPiece {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// Estimated tokens, at least 1.
    tokens: u32,
    key: Option<CacheKey>,
    state: PieceState,
}

/// What became of a piece.
enum PieceState {
    Missing,
    Translated(String),
    /// Cut into pieces that come after all others.
    Split,
}

impl TextPiece {
    fn new(range: Range<usize>, tokens: u32, key: Option<CacheKey>) -> Self {
        Self {
            range,
            tokens,
            key,
            state: PieceState::Missing,
        }
    }
}

impl Submission {
    pub(crate) const fn new(job: Job, cut: Cut) -> Self {
        Self { job, cut }
    }

    /// The lane it travels in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.job.lane()
    }

    /// What its job ends with if the pool cannot have it.
    pub(crate) fn failed(self, error: RequestError) -> JobOutcome {
        self.job.order.failed(error)
    }

    /// Number of pieces that need translation.
    pub(super) fn pieces(&self) -> usize {
        self.cut.pieces.len()
    }
}

/// The pieces of a job's text.
pub(crate) struct Cut {
    /// Those that need translation. What lies between them goes out as it came in.
    pieces: Vec<TextPiece>,
    /// Names the pieces; none where translations are not remembered.
    space: Option<CacheSpace>,
}

impl Cut {
    /// Cuts the job's text into pieces of at most `max_tokens` estimated tokens. Done by the caller, not by the pool: it is the costliest step
    /// on a message's way and needs no shared state. Where translations are remembered, `space` names the pieces.
    pub(crate) fn of(job: &Job, max_tokens: usize, space: Option<&CacheSpace>) -> Self {
        let mut end = 0;
        let space = space.filter(|_| !job.order.fresh);
        let pieces = text::segment(&job.order.request.text, max_tokens)
            .into_iter()
            .filter_map(|piece| {
                let start = end;
                end += piece.as_str().len();
                let Piece::Translatable(text) = piece else {
                    return None;
                };
                let tokens = text::estimate_tokens(text).max(1);
                let key = space.map(|space| space.key(job.source, job.target, text));
                Some(TextPiece::new(start..end, tokens, key))
            })
            .collect();
        let space = space.cloned();
        Self { pieces, space }
    }
}

/// Which model and actor did the work, for results.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) model_id: Arc<str>,
    pub(super) model_type: ModelType,
    pub(super) actor: Arc<str>,
}

/// How pieces got their translation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// In a batch of this many segments.
    Batch(u32),
    /// Without any: it was made before, or for another job.
    Known,
}

/// Jobs that wait for pieces.
#[derive(Default)]
pub(super) struct Jobs {
    pub(super) active: HashMap<u64, Active>,
    /// Deadlines of those that have one, the next one first.
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
    abandoned: usize,
    /// Those that ended before all their pieces were made: some may still wait.
    stale: Vec<Stale>,
    panics: Vec<String>,
}

/// A job that ended early.
pub(super) struct Stale {
    pub(super) job: u64,
    pub(super) lane: Lane,
    pub(super) client: ClientId,
}

/// A job that is looked through and not taken in yet.
pub(super) struct Prepared {
    key: u64,
    active: Active,
    /// The pieces that need an engine.
    pub(super) items: Vec<Item>,
}

impl Prepared {
    /// Estimated tokens that need an engine.
    pub(super) fn tokens(&self) -> u64 {
        let tokens = self.items.iter().map(|item| u64::from(item.tokens));
        tokens.sum()
    }

    pub(super) const fn job(&self) -> &Job {
        &self.active.job
    }

    /// Ends the job with an error instead.
    pub(super) fn refuse(self, error: RequestError) -> JobOutcome {
        self.active.job.order.failed(error)
    }
}

pub(super) struct Active {
    pub(super) job: Job,
    pub(super) pieces: Vec<TextPiece>,
    pub(super) space: Option<CacheSpace>,
    missing: usize,
    translated: u32,
    /// Those of them that needed no batch.
    known: u32,
    /// Sum of log-probabilities, and of the tokens they are of.
    log_probability: f64,
    tokens: u64,
    batch_size: u32,
    started: Option<Instant>,
}

impl Jobs {
    /// Looks a job through for pieces that `known` has a translation of. `Err` holds the outcome of a job that needs no more.
    pub(super) fn prepare(
        &mut self,
        submission: Submission,
        now: Instant,
        worker: &Worker,
        known: impl Fn(&Item) -> Option<Translation>,
    ) -> Result<Prepared, Box<JobOutcome>> {
        let Submission { job, cut } = submission;
        let Cut { pieces, space } = cut;
        let key = self.next;
        self.next += 1;
        let (lane, client) = (job.lane(), job.client());
        if pieces.is_empty() {
            return Err(Box::new(job.untouched()));
        }
        let (mut found, mut items) = (Vec::new(), Vec::new());
        for (piece, text) in (0u32..).zip(&pieces) {
            let item = Item {
                job: key,
                piece,
                tokens: text.tokens,
                lane,
                client,
                queued: now,
                key: text.key,
            };
            match known(&item) {
                Some(translation) => found.push((piece, translation)),
                None => items.push(item),
            }
        }
        let mut active = Active {
            missing: pieces.len(),
            job,
            pieces,
            space,
            translated: 0,
            known: 0,
            log_probability: 0.0,
            tokens: 0,
            batch_size: 0,
            started: None,
        };
        for (piece, translation) in found {
            active.add(piece, translation, Origin::Known);
        }
        if active.missing == 0 {
            return Err(Box::new(self.finished(active, worker, now)));
        }
        Ok(Prepared { key, active, items })
    }

    /// Takes a job in, and returns its pieces that need an engine.
    pub(super) fn accept(&mut self, prepared: Prepared) -> Vec<Item> {
        let Prepared { key, active, items } = prepared;
        self.deadlines
            .extend(active.job.deadline.map(|at| (at, key)));
        self.active.insert(key, active);
        items
    }

    /// The outcome of a complete job. A panic in putting it together concerns this job alone.
    fn finished(&mut self, active: Active, worker: &Worker, now: Instant) -> JobOutcome {
        let (outcome, panic) = active.finish(worker, now);
        self.panics.extend(panic);
        outcome
    }

    /// Something of a job panicked and was contained.
    pub(super) fn note_panic(&mut self, panic: String) {
        self.panics.push(panic);
    }

    /// What panicked since the last time.
    pub(super) fn take_panics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.panics)
    }

    /// The jobs that ended early since the last time.
    pub(super) fn take_stale(&mut self) -> Vec<Stale> {
        std::mem::take(&mut self.stale)
    }

    /// Whether the job has not ended.
    pub(super) fn is_active(&self, job: u64) -> bool {
        self.active.contains_key(&job)
    }

    /// Whether a piece of the job is to be translated; of a job that ended early it is not. A job that its sender does not want any more ends here.
    pub(super) fn is_wanted(&mut self, job: u64) -> bool {
        let wanted = self.active.get(&job).map(|active| {
            let order = &active.job.order;
            order.sink.wants(order.ticket)
        });
        if wanted == Some(false) {
            self.remove(job);
            self.abandoned += 1;
        }
        wanted == Some(true)
    }

    /// Leaves the items of jobs that are still wanted.
    pub(super) fn keep_wanted(&mut self, items: &mut Vec<Item>) {
        items.retain(|item| self.is_wanted(item.job));
        // A sender may lose interest between two pieces of one job: those that were asked for before it go too.
        items.retain(|item| self.is_active(item.job));
    }

    /// How many jobs ended since the last time because nobody wanted them any more.
    pub(super) fn take_abandoned(&mut self) -> usize {
        std::mem::take(&mut self.abandoned)
    }

    /// Ends the jobs whose deadline has passed, wherever their pieces are: waiting, or with an engine.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<JobOutcome> {
        let mut expired = Vec::new();
        while let Some((at, job)) = self.deadlines.first().copied()
            && at <= now
        {
            let message = "the deadline passed before the translation was made";
            self.deadlines.pop_first();
            expired.extend(self.fail(job, ErrorCode::DeadlineExceeded, message));
        }
        expired
    }

    /// The text of an item as an engine wants it. Marks the job as started, and adds it to those that are watched.
    fn segment(
        &mut self,
        item: &Item,
        now: Instant,
        watched: &mut Vec<Arc<Trace>>,
    ) -> Option<Segment> {
        let active = self.active.get_mut(&item.job)?;
        active.started.get_or_insert(now);
        if let Some(trace) = &active.job.order.trace
            && trace.watched.is_some()
            && !watched.iter().any(|other| Arc::ptr_eq(other, trace))
        {
            watched.push(Arc::clone(trace));
        }
        Some(Segment {
            text: active.text(item.piece)?.to_owned(),
            source: active.job.source.to_string(),
            target: active.job.target.to_string(),
            align: false,
        })
    }

    /// What an engine gets of these items, and which of them are watched. Items without a job or piece are taken out, so that each of those
    /// left is the one of the segment at its place.
    pub(super) fn batch(
        &mut self,
        items: &mut Vec<Item>,
        now: Instant,
    ) -> (EngineBatch, Vec<Arc<Trace>>) {
        let mut watched = Vec::new();
        let mut segments = Vec::with_capacity(items.len());
        items.retain(|item| {
            let segment = self.segment(item, now, &mut watched);
            let is_there = segment.is_some();
            segments.extend(segment);
            is_there
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
            let Some(active) = self.active.get_mut(&item.job) else {
                continue;
            };
            active.add(item.piece, translation, origin);
            if active.missing == 0
                && let Some(active) = self.remove(item.job)
            {
                done.push(self.finished(active, worker, now));
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
        let active = self.remove(job)?;
        Some(active.job.order.failed(error))
    }

    /// Ends all jobs with an error.
    pub(super) fn fail_all(&mut self, code: ErrorCode, message: &str) -> Vec<JobOutcome> {
        self.deadlines.clear();
        self.stale.clear();
        let failed = |active: Active| {
            let error = RequestError::new(code, message);
            active.job.order.failed(error)
        };
        self.active.drain().map(|(_, a)| failed(a)).collect()
    }

    /// Ends the jobs of those pairs of languages with an error.
    pub(super) fn fail_those(
        &mut self,
        concerned: impl Fn(Language, Language) -> bool,
        code: ErrorCode,
        message: &str,
    ) -> Vec<JobOutcome> {
        let all = self.active.iter();
        let mut jobs: Vec<u64> = all
            .filter(|(_, active)| concerned(active.job.source, active.job.target))
            .map(|(job, _)| *job)
            .collect();
        // Jobs of one conversation go in the order in which they came.
        jobs.sort_unstable();
        jobs.into_iter()
            .filter_map(|job| self.fail(job, code, message))
            .collect()
    }

    /// The language that a job is wanted in.
    pub(super) fn target(&self, job: u64) -> Option<Language> {
        self.active.get(&job).map(|active| active.job.target)
    }

    fn remove(&mut self, job: u64) -> Option<Active> {
        let active = self.active.remove(&job)?;
        if let Some(at) = active.job.deadline {
            self.deadlines.remove(&(at, job));
        }
        if active.missing > 0 {
            self.stale.push(Stale {
                job,
                lane: active.job.lane(),
                client: active.job.client(),
            });
        }
        Some(active)
    }

    /// The message id of a job, for events.
    pub(super) fn message_id(&self, job: u64) -> Option<&str> {
        self.active
            .get(&job)
            .map(|active| active.job.order.request.message_id.as_str())
    }

    /// Number of jobs that wait for pieces.
    pub(super) fn len(&self) -> usize {
        self.active.len()
    }
}

impl Active {
    /// The text of a piece.
    pub(super) fn text(&self, piece: u32) -> Option<&str> {
        let range = self.pieces.get(piece as usize)?.range.clone();
        self.job.order.request.text.get(range)
    }

    /// Puts smaller pieces in the place of one that is missing. Their numbers follow those that there are; returns the first of them.
    pub(super) fn replace(
        &mut self,
        piece: u32,
        by: impl IntoIterator<Item = (Range<usize>, u32, Option<CacheKey>)>,
    ) -> Option<u32> {
        let first = self.pieces.len();
        let whole = self.missing(piece)?;
        whole.state = PieceState::Split;
        let new = by.into_iter();
        self.pieces
            .extend(new.map(|(range, tokens, key)| TextPiece::new(range, tokens, key)));
        self.missing = self.missing - 1 + (self.pieces.len() - first);
        u32::try_from(first).ok()
    }

    fn missing(&mut self, piece: u32) -> Option<&mut TextPiece> {
        let piece = self.pieces.get_mut(piece as usize)?;
        matches!(piece.state, PieceState::Missing).then_some(piece)
    }

    /// Takes the translation of a piece, unless it is not missing.
    fn add(&mut self, piece: u32, translation: Translation, origin: Origin) {
        let Some(piece) = self.missing(piece) else {
            return;
        };
        piece.state = PieceState::Translated(translation.text);
        self.missing -= 1;
        self.translated += 1;
        let tokens = translation.output_tokens.max(1);
        self.log_probability += f64::from(translation.score) * f64::from(tokens);
        self.tokens += u64::from(tokens);
        match origin {
            Origin::Batch(size) => self.batch_size = self.batch_size.max(size),
            Origin::Known => self.known += 1,
        }
    }

    /// The outcome, and what a panic said that made it an error.
    fn finish(self, worker: &Worker, now: Instant) -> (JobOutcome, Option<String>) {
        let text = &self.job.order.request.text;
        let joined = match contain(|| joined(text, self.pieces)) {
            Ok(joined) => joined,
            Err(panic) => {
                let message = "joining the translations failed inside the node";
                let error = RequestError::new(ErrorCode::InternalError, message);
                return (self.job.order.failed(error), Some(panic.to_string()));
            }
        };
        let started = self.started.unwrap_or(now);
        let translated = Translated {
            text: joined,
            confidence: (self.log_probability / self.tokens.max(1) as f64)
                .exp()
                .clamp(0.0, 1.0),
            source: self.job.source,
            target: self.job.target,
            detected: self.job.detected,
            model_id: Arc::clone(&worker.model_id),
            model_type: worker.model_type,
            worker: Arc::clone(&worker.actor),
            batch_size: self.batch_size,
            segments: self.translated,
            from_cache: self.known == self.translated,
            queue_time: started.saturating_duration_since(self.job.order.submitted),
            processing_time: now.saturating_duration_since(started),
        };
        let outcome = JobOutcome {
            order: self.job.order,
            result: Ok(translated),
        };
        (outcome, None)
    }
}

/// The text with its translated pieces replaced.
fn joined(text: &str, pieces: Vec<TextPiece>) -> String {
    let translated = |piece: TextPiece| match piece.state {
        PieceState::Translated(text) => Some((piece.range, text)),
        PieceState::Missing | PieceState::Split => None,
    };
    let mut pieces: Vec<_> = pieces.into_iter().filter_map(translated).collect();
    // They are in order already, but for those of pieces that were split.
    pieces.sort_by_key(|(range, _)| range.start);
    let (ranges, translations): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
    text::join(&text::pieces(text, ranges), translations)
}
