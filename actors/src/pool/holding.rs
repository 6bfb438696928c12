//! Jobs that are held back by their target language: they wait apart until an operator lets them go on.

use std::collections::BTreeMap;

use crate::domain::Language;

use super::{backlog::Item, core::Pool, jobs::Jobs, status::HeldStatus};

/// Held items, by language. A language is held when it has an entry.
#[derive(Default)]
pub(super) struct Held(BTreeMap<Language, Vec<Item>>);

impl Held {
    /// Where items of a language wait, if it is held.
    pub(super) fn of(&mut self, target: Language) -> Option<&mut Vec<Item>> {
        self.0.get_mut(&target)
    }

    /// Takes those items out that are held.
    pub(super) fn keep_back(&mut self, items: &mut Vec<Item>, jobs: &Jobs) {
        if self.0.is_empty() {
            return;
        }
        items.retain(|item| {
            let held = jobs.target(item.job).and_then(|target| self.of(target));
            let goes_on = held.is_none();
            held.into_iter().for_each(|held| held.push(*item));
            goes_on
        });
    }

    /// Forgets items that `keep` refuses.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Item) -> bool) {
        for items in self.0.values_mut() {
            items.retain(|item| keep(item));
        }
    }

    pub(super) fn status(&self) -> HeldStatus {
        let items = || self.0.values().flatten();
        HeldStatus {
            targets: self.0.keys().copied().collect(),
            segments: items().count(),
            tokens: items().map(|item| u64::from(item.tokens)).sum(),
        }
    }
}

impl Pool {
    /// Holds jobs into a language back, or lets them go on. A batch that an engine has is finished.
    pub(super) fn hold_back(&mut self, target: Language, hold: bool) {
        if !hold {
            let held = self.held.0.remove(&target);
            return self.backlog.restore(held.unwrap_or_default());
        }
        if self.is_closing() || self.held.0.contains_key(&target) {
            return;
        }
        let jobs = &self.jobs;
        let items = self
            .backlog
            .remove(|item| jobs.target(item.job) != Some(target));
        self.held.0.insert(target, items);
    }

    /// Lets everything go on.
    pub(super) fn release_held(&mut self) {
        for items in std::mem::take(&mut self.held.0).into_values() {
            self.backlog.restore(items);
        }
    }
}
