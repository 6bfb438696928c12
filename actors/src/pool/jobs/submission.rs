//! A job on its way into a pool: its text is parsed already.

use std::sync::Arc;

use crate::{
    cache::CacheSpace,
    domain::{Job, JobOutcome, Lane, RequestError},
    model_text::{ModelText, Parsed},
    text::{Document, glossary::Dictionary},
};

use super::sentence::{Piece, PieceMaker, Sentence};

/// A job with its text parsed into sentences.
pub struct Submission {
    pub(crate) job: Job,
    pub(super) text: ParsedText,
}

/// The sentences of a job's text, and what a model is to translate of them.
pub(crate) struct ParsedText {
    pub(super) document: Document,
    /// One for each unit of the document.
    pub(super) sentences: Vec<Sentence>,
    /// What needs a model, those of each sentence one after the other.
    pub(super) pieces: Vec<Piece>,
    /// Cache space; none if caching is disabled.
    pub(super) space: Option<CacheSpace>,
    /// The glossary that it was read with.
    pub(super) glossary: Option<Arc<Dictionary>>,
    /// Version of the knowledge about the model that it was read with.
    pub(super) version: u64,
}

impl Submission {
    pub(crate) const fn new(job: Job, text: ParsedText) -> Self {
        Self { job, text }
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

    /// Parses the text again if more is known about its model by now. May panic if there is a bug in the parser.
    pub(super) fn read_for(&mut self, model: &ModelText) {
        if self.text.version != model.version() {
            let glossary = self.text.glossary.take();
            self.text = ParsedText::of(&self.job, model, self.text.space.as_ref(), glossary);
        }
    }

    /// Whether there is nothing to translate in it, not even a term of a glossary.
    pub(in crate::pool) fn is_untouched(&self) -> bool {
        let mut sentences = self.text.sentences.iter();
        self.text.pieces.is_empty() && sentences.all(|sentence| sentence.terms().is_none())
    }

    /// Number of pieces that need translation.
    pub(in crate::pool) const fn pieces(&self) -> usize {
        self.text.pieces.len()
    }
}

impl ParsedText {
    /// Parses the job's text for its model. The caller does this, not the pool: it is the most expensive step of the message path and needs no shared
    /// state. Pieces get cache keys if there is a `space`.
    pub(crate) fn of(
        job: &Job,
        model: &ModelText,
        space: Option<&CacheSpace>,
        glossary: Option<Arc<Dictionary>>,
    ) -> Self {
        let space = space.filter(|_| !job.order.fresh);
        let Parsed {
            document,
            profile,
            version,
        } = model.parse(&job.order.request, glossary.as_deref());
        let maker = PieceMaker {
            space,
            source: job.source,
            target: job.target,
            alternatives: job.order.request.alternatives,
        };
        let mut pieces = Vec::with_capacity(document.units().len());
        let sentences = (0..document.units().len())
            .map(|number| Sentence::new(&document, number, &profile, &maker, &mut pieces))
            .collect();
        Self {
            sentences,
            pieces,
            space: space.cloned(),
            glossary,
            document,
            version,
        }
    }
}
