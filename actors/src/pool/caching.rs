//! What needs no engine: pieces that were translated before, here or on another node, and pieces whose text an engine has just now.
//!
//! A piece is looked for at hand when it is queued and again when its turn has come, since it may have been made meanwhile. What is not at hand is
//! asked for where nodes share translations; the answer comes as a message, and until then the piece waits outside the backlog.
//!
//! Which translation is meant is known once an engine has reported its numeric type. Until then, and while actors differ in it, nothing is looked for
//! or remembered; a text that an engine has is still not given to another one.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use babelmesh_engine_protocol::Translation;
use ractor::ActorRef;
use tokio::time::Instant;

use crate::{
    cache::{CacheKey, TranslationCache},
    events::{Event, PieceSource},
};

use super::{
    backlog::Item,
    core::Pool,
    jobs::{Origin, Worker},
    supervisor::PoolMessage,
};

/// What a pool remembers.
pub(super) struct Known {
    cache: Option<Arc<dyn TranslationCache>>,
    /// Pieces that wait because an engine has their text already, by that text. There is an entry only while a batch with it is under way.
    twins: HashMap<CacheKey, Vec<Item>>,
}

impl Known {
    pub(super) fn new(cache: Option<Arc<dyn TranslationCache>>) -> Self {
        Self {
            cache,
            twins: HashMap::new(),
        }
    }

    /// The translation of a piece by engines of this numeric type, if it is at hand.
    pub(super) fn get(&self, item: &Item, numeric: Option<&str>) -> Option<Translation> {
        let cache = self.cache.as_ref()?;
        let found = cache.get(&item.key?.made_in(numeric?));
        found.filter(Translation::is_whole)
    }

    /// Whether pieces that are not at hand should be asked for now.
    pub(super) fn is_shared(&self, numeric: Option<&str>) -> bool {
        let cache = self.cache.as_ref();
        numeric.is_some() && cache.is_some_and(|cache| cache.is_shared())
    }

    /// Remembers what a batch made in this numeric type, and returns the pieces that waited for it, each with its translation.
    fn made(
        &mut self,
        items: &[Item],
        translations: &[Translation],
        numeric: Option<&str>,
    ) -> Vec<(Item, Translation)> {
        let Some(cache) = &self.cache else {
            return Vec::new();
        };
        let (mut made, mut waited) = (Vec::with_capacity(items.len()), Vec::new());
        for (item, translation) in items.iter().zip(translations) {
            let Some(key) = item.key else { continue };
            let twins = self.twins.remove(&key).unwrap_or_default();
            waited.extend(twins.into_iter().map(|twin| (twin, translation.clone())));
            if let Some(numeric) = numeric {
                made.push((key.made_in(numeric), translation.clone()));
            }
        }
        cache.put(made);
        waited
    }

    /// The pieces that wait for what a batch was to make.
    pub(super) fn part(&mut self, items: &[Item]) -> Vec<Item> {
        let keys = items.iter().filter_map(|item| item.key);
        keys.filter_map(|key| self.twins.remove(&key))
            .flatten()
            .collect()
    }

    /// Forgets pieces that wait.
    pub(super) fn forget_twins(&mut self) {
        self.twins.clear();
    }
}

impl Pool {
    /// Takes those items out of a batch that need no engine: their translation is at hand by now, or on its way with an earlier batch or item.
    pub(super) fn leave_out_known(&mut self, items: &mut Vec<Item>) {
        let numeric = self.numeric().map(str::to_owned);
        let mut found = Vec::new();
        items.retain(|item| {
            let Some(key) = item.key else { return true };
            if let Some(translation) = self.known.get(item, numeric.as_deref()) {
                found.push((*item, translation));
                return false;
            }
            match self.known.twins.entry(key) {
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
        self.note_pieces(PieceSource::Memory, found.len());
        self.finish_known(found);
    }

    /// Remembers what a batch made and ends the jobs that waited for it.
    pub(super) fn remember(&mut self, items: &[Item], translations: &[Translation]) {
        let numeric = self.numeric().map(str::to_owned);
        let waited = self.known.made(items, translations, numeric.as_deref());
        self.note_pieces(PieceSource::Twin, waited.len());
        self.finish_known(waited);
    }

    /// A batch will not be done now: what waits for it gets its own turn.
    pub(super) fn part_twins(&mut self, items: &[Item]) {
        let mut twins = self.known.part(items);
        self.held.keep_back(&mut twins, &self.jobs);
        if !twins.is_empty() {
            self.backlog.restore(twins);
        }
    }

    /// Asks for these where nodes share translations. Each of them has a key.
    pub(super) fn ask(&self, items: Vec<Item>, myself: &ActorRef<PoolMessage>) {
        let (Some(cache), Some(numeric)) = (self.known.cache.clone(), self.numeric()) else {
            return;
        };
        let keys = items.iter().filter_map(|item| item.key);
        let keys = keys.map(|key| key.made_in(numeric)).collect();
        let asked = Asked {
            keys,
            found: Found {
                items,
                answers: Vec::new(),
            },
            pool: myself.clone(),
        };
        tokio::spawn(asked.ask(cache));
    }

    /// Takes the answer: what was found is done, all else is queued.
    pub(super) fn found(&mut self, Found { items, answers }: Found) {
        let mut answers = answers.into_iter();
        let mut found = Vec::new();
        for item in items {
            match answers.next().flatten() {
                _ if !self.jobs.is_active(item.job) => {}
                Some(translation) if translation.is_whole() => found.push((item, translation)),
                _ => self.queue(item),
            }
        }
        self.note_pieces(PieceSource::Shared, found.len());
        self.finish_known(found);
    }

    /// Queues an item where its turn comes, or where it is held back.
    pub(super) fn queue(&mut self, item: Item) {
        let target = self.jobs.target(item.job);
        match target.and_then(|target| self.held.of(target)) {
            Some(held) => held.push(item),
            None => self.backlog.push(item),
        }
    }

    fn finish_known(&mut self, known: Vec<(Item, Translation)>) {
        if known.is_empty() {
            return;
        }
        let worker = self.worker(Arc::from(""));
        let outcomes = self
            .jobs
            .complete(known, Origin::Known, &worker, Instant::now());
        self.finish(outcomes);
    }

    pub(super) fn worker(&self, actor: Arc<str>) -> Worker {
        Worker {
            model_id: self.pool(),
            model_type: self.spec.model_type,
            actor,
        }
    }

    pub(super) fn note_pieces(&self, source: PieceSource, pieces: usize) {
        if pieces > 0 {
            let pool = self.pool();
            self.observe(Event::PiecesKnown {
                pool,
                source,
                pieces,
            });
        }
    }
}

/// Pieces that are asked for. However the question ends, the pool gets them back.
struct Asked {
    /// A key for each piece.
    keys: Vec<CacheKey>,
    found: Found,
    pool: ActorRef<PoolMessage>,
}

impl Asked {
    async fn ask(mut self, cache: Arc<dyn TranslationCache>) {
        self.found.answers = cache.ask(&self.keys).await;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let found = std::mem::take(&mut self.found);
        // A pool that is gone has ended its jobs.
        let _ = self.pool.cast(PoolMessage::Found(found));
    }
}

/// What was asked for, and what came of it: an answer for each piece, or none for all.
#[derive(Default)]
pub struct Found {
    items: Vec<Item>,
    answers: Vec<Option<Translation>>,
}
