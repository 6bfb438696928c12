//! The glossaries of a cluster, as a node knows them.
//!
//! They are kept in a log that every node reads: the [`GlossaryLog`]. A node changes a glossary by writing to the log, and knows the change
//! once it has read it back. So all nodes see the same changes in the same order, and none needs a database.

mod log;
mod store;

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    domain::{ErrorCode, Glossary, GlossaryError, Language, RequestError, Term, TermLimits},
    text::glossary::Dictionary,
};

pub use log::{GlossaryLog, LogError, Position};
use store::Store;
pub use store::{KnownGlossary, RecordError};

/// Bounds of all glossaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlossaryLimits {
    /// Most glossaries.
    pub glossaries: usize,
    /// Most bytes of all glossaries together.
    pub bytes: usize,
    /// Limits of one glossary.
    pub terms: TermLimits,
    /// How long a change may take, and how long a request waits for a glossary that was created just before it.
    pub wait: Duration,
}

impl Default for GlossaryLimits {
    fn default() -> Self {
        Self {
            glossaries: 1_000,
            bytes: 32 << 20,
            terms: TermLimits::default(),
            wait: Duration::from_secs(5),
        }
    }
}

/// Why a glossary was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such glossary.
    #[error("Glossary not found")]
    Unknown,
    /// The glossary is wrong.
    #[error(transparent)]
    Invalid(#[from] GlossaryError),
    /// There is no room for it.
    #[error("{0}")]
    Full(String),
    /// The log cannot be written, or was not read back in time: the change may still become known.
    #[error("{0}")]
    Unavailable(String),
}

/// The glossaries. Shared by all parts of a node.
pub struct Glossaries {
    limits: GlossaryLimits,
    store: Store,
    log: Option<Arc<dyn GlossaryLog>>,
    /// Held while a glossary is changed on this node.
    changing: tokio::sync::Mutex<()>,
}

/// What stands in the way of a glossary that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The glossaries have not been read yet.
    Unread,
    /// There is none of this id.
    Unknown,
    /// It has no dictionary for the pair.
    Pair,
}

impl Default for Glossaries {
    /// No glossaries, and no log for any.
    fn default() -> Self {
        Self {
            limits: GlossaryLimits::default(),
            store: Store::default(),
            log: None,
            changing: tokio::sync::Mutex::default(),
        }
    }
}

impl Glossaries {
    /// The glossaries of this log. None is known before it is read.
    #[must_use]
    pub fn new(limits: GlossaryLimits, log: Arc<dyn GlossaryLog>) -> Self {
        Self {
            limits,
            log: Some(log),
            ..Self::default()
        }
    }

    /// No glossaries, and no log for any. Requests may have terms of their own.
    #[must_use]
    pub fn unwritten(limits: GlossaryLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Their bounds.
    #[must_use]
    pub const fn limits(&self) -> &GlossaryLimits {
        &self.limits
    }

    /// All that are known, in the order of their creation.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<KnownGlossary>> {
        self.store.all()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The glossary of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<KnownGlossary>> {
        self.store.get(id)
    }

    /// Whether the log has been read to the end that it had at the start.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.log.is_none() || self.store.is_read()
    }

    /// Whether a glossary has a dictionary for a pair of languages.
    ///
    /// # Errors
    /// What is missing.
    pub fn has_dictionary(&self, id: &str, pair: (Language, Language)) -> Result<(), Missing> {
        let found = self.find(id)?;
        let has_pair = found.glossary().dictionary(pair.0, pair.1).is_some();
        has_pair.then_some(()).ok_or(Missing::Pair)
    }

    /// The dictionary of a glossary for a pair of languages. The first time, it is prepared, which takes some milliseconds.
    ///
    /// # Errors
    /// What is missing.
    pub fn dictionary(
        &self,
        id: &str,
        pair: (Language, Language),
    ) -> Result<Arc<Dictionary>, Missing> {
        self.find(id)?.dictionary(pair).ok_or(Missing::Pair)
    }

    fn find(&self, id: &str) -> Result<Arc<KnownGlossary>, Missing> {
        match self.get(id) {
            Some(glossary) => Ok(glossary),
            None if self.is_read() => Err(Missing::Unknown),
            None => Err(Missing::Unread),
        }
    }

    /// Prepares the terms of one request.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`].
    pub fn prepare(&self, terms: &[Term]) -> Result<Arc<Dictionary>, RequestError> {
        let invalid = |error: &dyn std::fmt::Display| {
            RequestError::new(ErrorCode::InvalidRequest, format!("terms: {error}"))
        };
        crate::domain::check_terms(terms, self.limits.terms).map_err(|error| invalid(&error))?;
        let dictionary = Dictionary::new(terms.to_vec()).map_err(|error| invalid(&error))?;
        Ok(Arc::new(dictionary))
    }

    /// Takes a record of the log.
    ///
    /// # Errors
    /// Why it is skipped. The position counts as read all the same.
    pub fn apply(
        &self,
        position: Position,
        id: &str,
        glossary: Option<Glossary>,
    ) -> Result<(), RecordError> {
        let applied = match glossary {
            None => {
                self.store.remove(id);
                Ok(())
            }
            Some(glossary) => self.store.put(id, glossary, &self.limits),
        };
        self.store.reach(position);
        applied
    }

    /// A record that cannot be read was skipped.
    pub fn skip(&self, position: Position) {
        self.store.reach(position);
    }

    /// The log is read from its beginning, for the first time or again.
    pub fn begin_reading(&self) {
        self.store.begin_reading();
    }

    /// The log has been read to the end that it had when reading began. Glossaries that are not in it any more are gone.
    pub fn set_read(&self) {
        self.store.set_read();
    }

    /// Creates a glossary, and waits until this node knows it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn create(&self, id: &str, glossary: Glossary) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        self.write(id, Some(glossary)).await
    }

    /// Changes a glossary. Two changes on different nodes at the same time: the later one counts.
    ///
    /// # Errors
    /// See [`ChangeError`]; and that of `change`.
    pub async fn change<E: From<ChangeError>>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Glossary) -> Result<(), E>,
    ) -> Result<Arc<KnownGlossary>, E> {
        let _changing = self.changing.lock().await;
        let known = self.known(id)?;
        let mut glossary = known.glossary().clone();
        change(&mut glossary)?;
        self.write(id, Some(glossary)).await?;
        Ok(self.known(id)?)
    }

    /// Deletes a glossary, and waits until this node knows that.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn delete(&self, id: &str) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().await;
        self.known(id)?;
        self.write(id, None).await
    }

    fn known(&self, id: &str) -> Result<Arc<KnownGlossary>, ChangeError> {
        match self.get(id) {
            Some(known) => Ok(known),
            None if self.is_read() => Err(ChangeError::Unknown),
            None => {
                let message = "the glossaries have not been read yet";
                Err(ChangeError::Unavailable(message.to_owned()))
            }
        }
    }

    async fn write(&self, id: &str, glossary: Option<Glossary>) -> Result<(), ChangeError> {
        let Some(log) = &self.log else {
            let message = "glossaries are disabled on this node: kafka.topics.glossaries is empty";
            return Err(ChangeError::Unavailable(message.to_owned()));
        };
        if !self.is_read() {
            let message = "the glossaries have not been read yet";
            return Err(ChangeError::Unavailable(message.to_owned()));
        }
        if let Some(glossary) = &glossary {
            glossary.check(self.limits.terms)?;
            let room = self.store.check_room(id, glossary, &self.limits);
            room.map_err(|error| ChangeError::Full(error.to_string()))?;
        }
        let writing = async {
            let position = log.write(id, glossary.as_ref()).await;
            let position = position.map_err(|error| match error {
                LogError::TooLarge(message) => ChangeError::Full(message),
                LogError::Failed(message) => ChangeError::Unavailable(message),
            })?;
            self.store.reached(position).await;
            Ok(())
        };
        let late = || {
            let ms = self.limits.wait.as_millis();
            Err(ChangeError::Unavailable(format!(
                "the change of the glossary was not confirmed within {ms} ms"
            )))
        };
        timeout(self.limits.wait, writing)
            .await
            .unwrap_or_else(|_| late())
    }
}

#[cfg(test)]
mod tests;
