//! Glossaries in memory.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use super::{GlossaryLimits, Position};
use crate::{
    domain::{Glossary, GlossaryError, Language},
    text::glossary::Dictionary,
};

/// A glossary with its id.
pub struct KnownGlossary {
    id: Arc<str>,
    glossary: Glossary,
    /// Those of its dictionaries that were used, prepared for texts.
    prepared: Vec<OnceLock<Option<Arc<Dictionary>>>>,
}

/// Why a record of the log is skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The glossary is wrong, or above the limits of this node.
    #[error(transparent)]
    Invalid(#[from] GlossaryError),
    /// There are as many glossaries as there may be.
    #[error("there are {0} glossaries already, the limit")]
    TooMany(usize),
    /// All glossaries together would be too large.
    #[error("all glossaries together would have {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// How many they would have.
        bytes: usize,
        /// How many they may have.
        limit: usize,
    },
}

#[derive(Default)]
pub(super) struct Store {
    state: RwLock<State>,
    /// Of each partition of the log, the offset that is read next.
    read_to: watch::Sender<BTreeMap<i32, i64>>,
}

#[derive(Default)]
struct State {
    all: HashMap<Arc<str>, Arc<KnownGlossary>>,
    bytes: usize,
    is_read: bool,
    /// Those that were known before the log was read again, and were not in it so far.
    stale: HashSet<Arc<str>>,
}

impl KnownGlossary {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The glossary.
    #[must_use]
    pub const fn glossary(&self) -> &Glossary {
        &self.glossary
    }

    /// The dictionary of a pair, prepared when it is first used.
    pub(super) fn dictionary(
        &self,
        (source, target): (Language, Language),
    ) -> Option<Arc<Dictionary>> {
        let all = self.glossary.dictionaries.iter().zip(&self.prepared);
        let (dictionary, prepared) = all
            .into_iter()
            .find(|(dictionary, _)| dictionary.is_for(source, target))?;
        let prepare = || Dictionary::new(dictionary.terms.clone()).ok().map(Arc::new);
        prepared.get_or_init(prepare).clone()
    }
}

impl Store {
    pub(super) fn all(&self) -> Vec<Arc<KnownGlossary>> {
        let mut all: Vec<_> = self.read().all.values().cloned().collect();
        all.sort_by(|one, other| {
            let of = |known: &KnownGlossary| (known.glossary.created_ms, Arc::clone(&known.id));
            of(one).cmp(&of(other))
        });
        all
    }

    pub(super) fn len(&self) -> usize {
        self.read().all.len()
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<KnownGlossary>> {
        self.read().all.get(id).cloned()
    }

    pub(super) fn is_read(&self) -> bool {
        self.read().is_read
    }

    pub(super) fn begin_reading(&self) {
        let mut state = self.write();
        state.stale = state.all.keys().cloned().collect();
    }

    pub(super) fn set_read(&self) {
        let mut state = self.write();
        state.is_read = true;
        for id in std::mem::take(&mut state.stale) {
            state.remove(&id);
        }
    }

    /// Whether there is room for a glossary.
    pub(super) fn check_room(
        &self,
        id: &str,
        glossary: &Glossary,
        limits: &GlossaryLimits,
    ) -> Result<(), RecordError> {
        self.read().check_room(id, glossary, limits)
    }

    pub(super) fn put(
        &self,
        id: &str,
        glossary: Glossary,
        limits: &GlossaryLimits,
    ) -> Result<(), RecordError> {
        let mut state = self.write();
        let checked = glossary.check(limits.terms).map_err(RecordError::from);
        let checked = checked.and_then(|()| state.check_room(id, &glossary, limits));
        // What was there before is out of date in any case.
        state.remove(id);
        checked?;
        state.bytes += glossary.bytes();
        let id: Arc<str> = Arc::from(id);
        let prepared = glossary.dictionaries.iter().map(|_| OnceLock::new());
        let known = KnownGlossary {
            id: Arc::clone(&id),
            prepared: prepared.collect(),
            glossary,
        };
        state.all.insert(id, Arc::new(known));
        Ok(())
    }

    pub(super) fn remove(&self, id: &str) {
        self.write().remove(id);
    }

    /// The log was read up to a position.
    pub(super) fn reach(&self, position: Position) {
        self.read_to.send_modify(|read_to| {
            read_to.insert(position.partition, position.offset + 1);
        });
    }

    /// Waits until the log was read up to a position.
    pub(super) async fn reached(&self, position: Position) {
        let mut read_to = self.read_to.subscribe();
        let is_reached = |read_to: &BTreeMap<i32, i64>| {
            let next = read_to.get(&position.partition);
            next.is_some_and(|next| *next > position.offset)
        };
        // The sender is part of this.
        let _ = read_to.wait_for(is_reached).await;
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_room(
        &self,
        id: &str,
        glossary: &Glossary,
        limits: &GlossaryLimits,
    ) -> Result<(), RecordError> {
        let before = self.all.get(id).map(|known| known.glossary.bytes());
        if before.is_none() && self.all.len() >= limits.glossaries {
            return Err(RecordError::TooMany(self.all.len()));
        }
        let bytes = self.bytes - before.unwrap_or(0) + glossary.bytes();
        if bytes > limits.bytes {
            let limit = limits.bytes;
            return Err(RecordError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    fn remove(&mut self, id: &str) {
        self.stale.remove(id);
        if let Some(known) = self.all.remove(id) {
            self.bytes -= known.glossary.bytes();
        }
    }
}
