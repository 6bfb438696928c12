//! Caching and in-flight deduplication: pieces that are cached, locally or on another node, or being translated.
//!
//! Single flight: of several pieces with the same text, one goes to an engine and the others wait for its translation.
//! A piece is looked up when it is queued, and again when it is scheduled if its translation may have been made
//! meanwhile. Local misses are looked up in the shared cache; until the answer arrives, as a message, the piece is not
//! in the queue.
//!
//! Which translation is meant is known once an engine has reported its numeric type. Until then, and while actors differ in it, nothing is looked
//! up or remembered; a text that an engine has is still not given to another one.

mod recent;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use babelmesh_engine_protocol::Translation;

use crate::cache::{CacheKey, TranslationCache};

use super::item::{Answered, Item, StoreKey, Verified};
use recent::Recent;

/// The cache, and texts in flight.
pub(super) struct SingleFlight {
    cache: Option<Arc<dyn TranslationCache>>,
    /// The numeric type of the engines, if they agree in it.
    numeric: Option<String>,
    /// In-flight deduplication: pieces that wait for a batch with the same text. An entry exists only while such a
    /// batch is in flight.
    waiting: HashMap<CacheKey, Vec<Item>>,
    recent: Recent,
}

impl SingleFlight {
    pub(super) fn new(cache: Option<Arc<dyn TranslationCache>>) -> Self {
        Self {
            cache,
            numeric: None,
            waiting: HashMap::new(),
            recent: Recent::default(),
        }
    }

    /// Engines translate in this numeric type from now on.
    pub(super) fn set_numeric(&mut self, numeric: Option<&str>) {
        if self.numeric.as_deref() != numeric {
            self.numeric = numeric.map(str::to_owned);
            self.recent.invalidate();
        }
    }

    /// Whether local misses should be looked up in the shared cache now.
    pub(super) fn is_shared(&self) -> bool {
        let cache = self.cache.as_ref();
        self.numeric.is_some() && cache.is_some_and(|cache| cache.is_shared())
    }

    /// The locally cached translation of a piece. Records the lookup in the piece.
    pub(super) fn look_up(&self, item: &mut Item) -> Option<Translation> {
        let cache = self.cache.as_ref()?;
        let key = item.key?.made_in(self.numeric.as_deref()?);
        item.looked_up = self.recent.now();
        cache.get(&key).filter(Translation::is_whole)
    }

    /// Removes the items of a batch that need no engine, and returns those that are cached by now. The others removed
    /// wait for the translation of an earlier batch or item.
    pub(super) fn admit(&mut self, items: &mut Vec<Item>) -> Vec<Answered> {
        let mut known = Vec::new();
        items.retain_mut(|item| {
            let Some(key) = item.key else { return true };
            if self.recent.may_be_newer(&key, item.looked_up)
                && let Some(translation) = self.look_up(item)
            {
                known.push(Answered::known(*item, translation));
                return false;
            }
            match self.waiting.entry(key) {
                Entry::Occupied(waiting) => {
                    waiting.into_mut().push(*item);
                    false
                }
                Entry::Vacant(first) => {
                    first.insert(Vec::new());
                    true
                }
            }
        });
        known
    }

    /// Takes the translations of a batch; returns the duplicates that waited for them, then the batch itself.
    pub(super) fn complete(
        &mut self,
        translated: impl IntoIterator<Item = (Item, Translation)>,
    ) -> (Vec<Answered>, Vec<Answered>) {
        let translated = translated.into_iter();
        let (mut waited, mut made) = (Vec::new(), Vec::with_capacity(translated.size_hint().0));
        for (item, translation) in translated {
            let store = self.store_key(&item);
            let answered = |item, translation| Answered {
                item,
                translation,
                store,
            };
            if let Some(key) = item.key {
                let same = self.waiting.remove(&key).unwrap_or_default();
                waited.extend(
                    same.into_iter()
                        .map(|item| answered(item, translation.clone())),
                );
            }
            made.push(answered(item, translation));
        }
        (waited, made)
    }

    /// Where a translation that engines made now is stored.
    fn store_key(&self, item: &Item) -> Option<StoreKey> {
        self.cache.as_ref()?;
        let (piece, numeric) = (item.key?, self.numeric.as_deref()?);
        Some(StoreKey {
            piece,
            made: piece.made_in(numeric),
        })
    }

    /// Caches translations that have passed the checks.
    pub(super) fn store(&mut self, verified: Vec<Verified>) {
        let Some(cache) = self.cache.as_ref().filter(|_| !verified.is_empty()) else {
            return;
        };
        // A piece and its duplicates have the same translation.
        let mut seen = HashSet::with_capacity(verified.len());
        let mut made = Vec::with_capacity(verified.len());
        for Verified { store, translation } in verified {
            if seen.insert(store.made) {
                self.recent.note(&store.piece);
                made.push((store.made, translation));
            }
        }
        cache.put(made);
    }

    /// Returns the duplicates that wait for a batch that will not be done now.
    pub(super) fn release(&mut self, items: &[Item]) -> Vec<Item> {
        let keys = items.iter().filter_map(|item| item.key);
        keys.filter_map(|key| self.waiting.remove(&key))
            .flatten()
            .collect()
    }

    /// Forgets the pieces that wait.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Looks these pieces up in the shared cache. `tell` receives them in any case, even if the lookup fails.
    pub(super) fn ask(&self, items: Vec<Item>, tell: impl FnOnce(Found) + Send + 'static) {
        let found = Found {
            items,
            answers: Vec::new(),
        };
        let (Some(cache), Some(numeric)) = (self.cache.clone(), &self.numeric) else {
            return tell(found);
        };
        let keys = found.items.iter().filter_map(|item| item.key);
        let asked = PendingLookup {
            keys: keys.map(|key| key.made_in(numeric)).collect(),
            found,
            tell: Some(tell),
        };
        tokio::spawn(asked.ask(cache));
    }

    /// Takes the answer: the pieces that were found, and the others.
    pub(super) fn found(&mut self, Found { items, answers }: Found) -> (Vec<Answered>, Vec<Item>) {
        let mut answers = answers.into_iter();
        let (mut known, mut others) = (Vec::new(), Vec::new());
        for item in items {
            match answers.next().flatten() {
                Some(translation) if translation.is_whole() => {
                    item.key.iter().for_each(|key| self.recent.note(key));
                    known.push(Answered::known(item, translation));
                }
                _ => others.push(item),
            }
        }
        (known, others)
    }
}

/// Pieces of a shared lookup, each with a key.
struct PendingLookup<F: FnOnce(Found)> {
    keys: Vec<CacheKey>,
    found: Found,
    tell: Option<F>,
}

impl<F: FnOnce(Found)> PendingLookup<F> {
    async fn ask(mut self, cache: Arc<dyn TranslationCache>) {
        self.found.answers = cache.ask(&self.keys).await;
    }
}

impl<F: FnOnce(Found)> Drop for PendingLookup<F> {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(std::mem::take(&mut self.found));
        }
    }
}

/// A shared lookup and its result: an answer for each piece, or none for all.
#[derive(Default)]
pub struct Found {
    items: Vec<Item>,
    answers: Vec<Option<Translation>>,
}

#[cfg(test)]
mod tests;
