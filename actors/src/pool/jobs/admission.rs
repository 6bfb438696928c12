//! Admission of a job, after its pieces were looked up in the cache.

use crate::{
    domain::{Job, JobOutcome, RequestError},
    events::SentenceCounts,
    pool::item::Item,
};

use super::assembly::Assembly;

/// A job that was checked against the cache and not admitted yet.
pub(in crate::pool) struct Prepared {
    pub(super) key: u64,
    pub(super) assembly: Assembly,
    /// The pieces that need an engine.
    pub(super) items: Vec<Item>,
    /// Sentences that are translated without one.
    pub(super) sentences: SentenceCounts,
}

/// Result of preparing a job for admission.
pub(in crate::pool) enum Admission {
    /// It needs an engine.
    Open(Box<Prepared>),
    /// It has ended without an engine: everything is translated, or it has failed.
    Ended(Box<JobOutcome>, SentenceCounts),
}

impl Prepared {
    /// Estimated tokens that need an engine.
    pub(in crate::pool) fn tokens(&self) -> u64 {
        let tokens = self.items.iter().map(|item| u64::from(item.tokens));
        tokens.sum()
    }

    /// Number of pieces that need an engine.
    pub(in crate::pool) fn pieces(&self) -> usize {
        self.items.len()
    }

    pub(in crate::pool) const fn job(&self) -> &Job {
        self.assembly.job()
    }

    /// Sentences that are translated without an engine.
    pub(in crate::pool) const fn sentences(&self) -> &SentenceCounts {
        &self.sentences
    }

    /// Ends the job with an error instead.
    pub(in crate::pool) fn refuse(self, error: RequestError) -> JobOutcome {
        self.assembly.failed(error)
    }
}
