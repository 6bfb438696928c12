//! Work into languages that an operator has paused: it waits apart until they are resumed.

use std::collections::BTreeMap;

use crate::domain::Language;

use crate::pool::{item::Item, status::PausedStatus};

/// Paused items, by language. A language is paused while it has an entry.
#[derive(Debug, Default)]
pub(super) struct Paused(BTreeMap<Language, Vec<Item>>);

impl Paused {
    /// Pauses a language whose waiting items are these.
    pub(super) fn pause(&mut self, target: Language, items: Vec<Item>) {
        self.0.entry(target).or_default().extend(items);
    }

    /// Resumes a language, and returns what has waited for that.
    pub(super) fn resume(&mut self, target: Language) -> Vec<Item> {
        self.0.remove(&target).unwrap_or_default()
    }

    /// Resumes all languages.
    pub(super) fn resume_all(&mut self) -> Vec<Item> {
        let all = std::mem::take(&mut self.0);
        all.into_values().flatten().collect()
    }

    pub(super) fn contains(&self, target: Language) -> bool {
        self.0.contains_key(&target)
    }

    /// Keeps an item whose language is paused; gives others back.
    pub(super) fn keep(&mut self, item: Item) -> Option<Item> {
        match self.0.get_mut(&item.target) {
            Some(items) => {
                items.push(item);
                None
            }
            None => Some(item),
        }
    }

    /// Keeps those of some items whose language is paused, and leaves the others.
    pub(super) fn keep_of(&mut self, items: &mut Vec<Item>) {
        if !self.0.is_empty() {
            items.retain(|item| self.keep(*item).is_some());
        }
    }

    /// Forgets items that `keep` refuses.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Item) -> bool) {
        for items in self.0.values_mut() {
            items.retain(|item| keep(item));
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.0.values().flatten()
    }

    pub(super) fn status(&self) -> PausedStatus {
        PausedStatus {
            targets: self.0.keys().copied().collect(),
            segments: self.items().count(),
            tokens: self.items().map(|item| u64::from(item.tokens)).sum(),
        }
    }
}
