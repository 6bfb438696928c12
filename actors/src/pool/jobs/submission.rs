//! A job on its way into a pool: its text is cut into pieces already.

use std::ops::Range;

use crate::{
    cache::{CacheKey, CacheSpace},
    domain::{Job, JobOutcome, Lane, RequestError},
    text::{self, Piece},
};

/// A job with its text cut into pieces: whole sentences where they fit.
pub struct Submission {
    pub(crate) job: Job,
    pub(super) cut: SegmentedText,
}

/// The pieces of a job's text.
pub(crate) struct SegmentedText {
    /// Those that need translation. What lies between them goes out as it came in.
    pub(super) pieces: Vec<CutPiece>,
    /// Cache space; none if caching is disabled.
    pub(super) space: Option<CacheSpace>,
}

/// A piece of a text that needs translation.
pub(super) struct CutPiece {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// Estimated tokens, at least 1.
    pub(super) tokens: u32,
    pub(super) key: Option<CacheKey>,
}

impl Submission {
    pub(crate) const fn new(job: Job, cut: SegmentedText) -> Self {
        Self { job, cut }
    }

    /// The lane it travels in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.job.lane()
    }

    /// Outcome of its job if the pool is gone.
    pub(crate) fn failed(self, error: RequestError) -> JobOutcome {
        self.job.order.failed(error)
    }

    /// Number of pieces that need translation.
    pub(in crate::pool) fn pieces(&self) -> usize {
        self.cut.pieces.len()
    }
}

impl SegmentedText {
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
                Some(CutPiece {
                    range: start..end,
                    tokens: text::estimate_tokens(text).max(1),
                    key: space.map(|space| space.key(job.source, job.target, text)),
                })
            })
            .collect();
        let space = space.cloned();
        Self { pieces, space }
    }
}
