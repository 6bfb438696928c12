//! One job in a pool: which of its pieces are translated, and how they are put together at the end.

use std::{ops::Range, sync::Arc};

use babelmesh_engine_protocol::{Segment, Translation};
use tokio::time::Instant;

use crate::{
    cache::{CacheKey, CacheSpace},
    containment::contain,
    domain::{ErrorCode, Job, JobOutcome, ModelType, RequestError, Trace, Translated},
    text,
};

use super::submission::{CutPiece, SegmentedText, Submission};

/// Which model and actor did the work, for results.
#[derive(Debug, Clone)]
pub(in crate::pool) struct Worker {
    pub(in crate::pool) model_id: Arc<str>,
    pub(in crate::pool) model_type: ModelType,
    pub(in crate::pool) actor: Arc<str>,
}

/// How pieces got their translation.
#[derive(Debug, Clone, Copy)]
pub(in crate::pool) enum Origin {
    /// In a batch of this many segments.
    Batch(u32),
    /// Without any: it was made before, or for another job.
    Cached,
}

/// A piece of the text.
struct TextPiece {
    range: Range<usize>,
    state: PieceState,
}

/// State of a piece.
enum PieceState {
    Missing,
    Translated(String),
    /// Cut into pieces that come after all others.
    Split,
}

/// A job that waits for pieces.
pub(super) struct Assembly {
    job: Job,
    pieces: Vec<TextPiece>,
    space: Option<CacheSpace>,
    missing: usize,
    translated: u32,
    /// Those of them that needed no batch.
    known: u32,
    /// Sum of log-probabilities, and of the tokens they are of.
    log_probability: f64,
    tokens: u64,
    batch_size: u32,
    started: Option<Instant>,
    /// Round of its last abandonment check: see [`is_wanted`](Self::is_wanted).
    asked: u64,
}

impl Assembly {
    /// A job of which nothing is translated.
    pub(super) fn new(submission: Submission) -> Self {
        let Submission { job, cut } = submission;
        let SegmentedText { pieces, space } = cut;
        let missing = |piece: CutPiece| TextPiece::missing(piece.range);
        Self {
            missing: pieces.len(),
            job,
            pieces: pieces.into_iter().map(missing).collect(),
            space,
            translated: 0,
            known: 0,
            log_probability: 0.0,
            tokens: 0,
            batch_size: 0,
            started: None,
            asked: 0,
        }
    }

    pub(super) const fn job(&self) -> &Job {
        &self.job
    }

    /// Cache key of a piece, if caching is enabled.
    pub(super) fn key(&self, text: &str) -> Option<CacheKey> {
        let space = self.space.as_ref()?;
        Some(space.key(self.job.source, self.job.target, text))
    }

    /// Whether no piece is missing.
    pub(super) const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Whether the job is still wanted. Its sink is asked once for each `round`, however many pieces of it are in that.
    pub(super) fn is_wanted(&mut self, round: u64) -> bool {
        let order = &self.job.order;
        std::mem::replace(&mut self.asked, round) == round || order.sink.wants(order.ticket)
    }

    /// The text of a piece.
    pub(super) fn text(&self, piece: u32) -> Option<&str> {
        let piece = self.pieces.get(piece as usize)?;
        self.job.order.request.text.get(piece.range.clone())
    }

    /// What an engine gets of a piece. The job counts as started from now on.
    pub(super) fn segment(&mut self, piece: u32, now: Instant) -> Option<Segment> {
        self.started.get_or_insert(now);
        Some(Segment {
            text: self.text(piece)?.to_owned(),
            source: self.job.source.as_str().to_owned(),
            target: self.job.target.as_str().to_owned(),
            align: false,
        })
    }

    /// The job's trace, if sampled.
    pub(super) fn watched(&self) -> Option<&Arc<Trace>> {
        let trace = self.job.order.trace.as_ref();
        trace.filter(|trace| trace.watched.is_some())
    }

    /// Puts smaller pieces, whose bytes in the piece are given, in the place of one that is missing. Their numbers follow those that there are;
    /// returns the first of them.
    pub(super) fn replace(
        &mut self,
        piece: u32,
        by: impl IntoIterator<Item = Range<usize>>,
    ) -> Option<u32> {
        let first = self.pieces.len();
        let whole = self.missing_piece(piece)?;
        whole.state = PieceState::Split;
        let start = whole.range.start;
        let in_text = |range: Range<usize>| start + range.start..start + range.end;
        let new = by.into_iter().map(in_text).map(TextPiece::missing);
        self.pieces.extend(new);
        self.missing = self.missing - 1 + (self.pieces.len() - first);
        u32::try_from(first).ok()
    }

    fn missing_piece(&mut self, piece: u32) -> Option<&mut TextPiece> {
        let piece = self.pieces.get_mut(piece as usize)?;
        matches!(piece.state, PieceState::Missing).then_some(piece)
    }

    /// Takes the translation of a piece, unless it is not missing.
    pub(super) fn add(&mut self, piece: u32, translation: Translation, origin: Origin) {
        let Some(piece) = self.missing_piece(piece) else {
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
            Origin::Cached => self.known += 1,
        }
    }

    /// Ends the job with an error.
    pub(super) fn failed(self, error: RequestError) -> JobOutcome {
        self.job.order.failed(error)
    }

    /// The outcome, and what a panic said that made it an error.
    pub(super) fn finish(self, worker: &Worker, now: Instant) -> (JobOutcome, Option<String>) {
        let text = &self.job.order.request.text;
        let joined = match contain(|| joined(text, self.pieces)) {
            Ok(joined) => joined,
            Err(panic) => {
                let message = "internal error while joining the translations";
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
            checks: None,
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

impl TextPiece {
    const fn missing(range: Range<usize>) -> Self {
        Self {
            range,
            state: PieceState::Missing,
        }
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
