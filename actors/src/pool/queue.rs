//! The work queue of a pool: new work, failed batches to retry, and work for paused languages.
//!
//! An item is in one of the three, or in none: with an engine, or waiting for another piece of the same text (`dedup.rs`). Items of jobs that
//! have ended may stay for a while; the caller that takes a batch checks that each item still has its job.

mod paused;

use std::collections::VecDeque;

use crate::domain::{ClientId, Lane, Lanes, Language};

use super::{
    backlog::{Backlog, BatchLimits},
    batching::LanePolicy,
    failure::Attempt,
    item::Item,
    status::PausedStatus,
};
use paused::Paused;

/// The queue of a pool.
#[derive(Debug)]
pub(super) struct WorkQueue {
    backlog: Backlog,
    /// Batches that failed, each to be tried apart from everything else.
    retries: VecDeque<Attempt>,
    paused: Paused,
}

impl WorkQueue {
    pub(super) fn new(weights: Lanes<u32>) -> Self {
        Self {
            backlog: Backlog::new(weights),
            retries: VecDeque::new(),
            paused: Paused::default(),
        }
    }

    /// Queues an item where its turn comes, or where it is paused.
    pub(super) fn push(&mut self, item: Item) {
        if let Some(item) = self.paused.keep(item) {
            self.backlog.push(item);
        }
    }

    /// Takes back items that had left it: they get the place that their time gives them.
    pub(super) fn restore(&mut self, mut items: Vec<Item>) {
        self.paused.keep_of(&mut items);
        if !items.is_empty() {
            self.backlog.restore(items);
        }
    }

    /// Takes back a batch that was not done, through no fault of its own: it is the next one.
    pub(super) fn put_back(&mut self, attempt: Attempt) {
        self.retries.push_front(attempt);
    }

    /// Takes batches that failed.
    pub(super) fn retry(&mut self, attempts: Vec<Attempt>) {
        self.retries.extend(attempts);
    }

    /// The next batch that failed before. Items whose language is paused are left out; `keep_wanted` takes out those that are of no use.
    pub(super) fn next_retry(
        &mut self,
        mut keep_wanted: impl FnMut(&mut Vec<Item>),
    ) -> Option<Attempt> {
        while let Some(mut attempt) = self.retries.pop_front() {
            keep_wanted(&mut attempt.items);
            self.paused.keep_of(&mut attempt.items);
            if !attempt.items.is_empty() {
                return Some(attempt);
            }
        }
        None
    }

    /// A batch of fresh work for an own actor. Empty when the policy allows none of what waits.
    pub(super) fn next_fresh(
        &mut self,
        limits: &Lanes<BatchLimits>,
        policy: LanePolicy,
    ) -> Vec<Item> {
        let limits = |lane| {
            let limits = limits[lane];
            let budget = policy.budget(lane, limits.budget);
            BatchLimits { budget, ..limits }
        };
        self.backlog
            .take(limits, |lane| policy.allows(lane), policy.mixes())
    }

    /// A batch of new work for a remote worker: no interactive work, unless `everything` is allowed.
    pub(super) fn next_remote(
        &mut self,
        limits: &Lanes<BatchLimits>,
        everything: bool,
    ) -> Vec<Item> {
        let allowed = |lane| everything || lane != Lane::Interactive;
        self.backlog.take(|lane| limits[lane], allowed, true)
    }

    /// Whether anything waits for an own actor.
    pub(super) fn has_work(&self) -> bool {
        !self.retries.is_empty() || !self.backlog.is_empty()
    }

    /// The most urgent lane that has work.
    pub(super) fn first_lane(&self) -> Option<Lane> {
        let mut lanes = Lane::ALL.into_iter();
        let fresh = lanes.find(|lane| self.backlog.items(*lane) > 0);
        let again = self.retries.front().map(Attempt::lane);
        fresh.into_iter().chain(again).min()
    }

    /// The fresh work, to look at.
    pub(super) const fn fresh(&self) -> &Backlog {
        &self.backlog
    }

    /// Items of retries, in no particular place of the queue.
    pub(super) fn retried(&self) -> impl Iterator<Item = &Item> {
        self.retries.iter().flat_map(|attempt| &attempt.items)
    }

    /// Takes fresh items out that `keep` refuses.
    pub(super) fn remove_fresh(&mut self, keep: impl FnMut(&Item) -> bool) -> Vec<Item> {
        self.backlog.remove(keep)
    }

    /// Forgets the fresh work of a job that has ended.
    pub(super) fn forget(&mut self, lane: Lane, client: ClientId, job: u64) {
        self.backlog.forget(lane, client, job);
    }

    /// Forgets fresh and paused items that `keep` refuses.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Item) -> bool) {
        self.backlog.remove(&mut keep);
        self.paused.retain(keep);
    }

    /// Forgets all that is not paused.
    pub(super) fn clear(&mut self) {
        self.backlog.remove(|_| false);
        self.retries.clear();
    }

    /// Pauses a language: its items wait until it is resumed. Changes nothing if it is paused already.
    pub(super) fn pause(&mut self, target: Language) {
        if !self.is_paused(target) {
            let items = self.backlog.remove(|item| item.target != target);
            self.paused.pause(target, items);
        }
    }

    /// Resumes a language.
    pub(super) fn resume(&mut self, target: Language) {
        self.backlog.restore(self.paused.resume(target));
    }

    /// Resumes all languages.
    pub(super) fn resume_all(&mut self) {
        self.backlog.restore(self.paused.resume_all());
    }

    pub(super) fn is_paused(&self, target: Language) -> bool {
        self.paused.contains(target)
    }

    /// Items whose language is paused.
    pub(super) fn paused(&self) -> impl Iterator<Item = &Item> {
        self.paused.items()
    }

    /// Forgets paused items that `keep` refuses.
    pub(super) fn retain_paused(&mut self, keep: impl FnMut(&Item) -> bool) {
        self.paused.retain(keep);
    }

    pub(super) fn paused_status(&self) -> PausedStatus {
        self.paused.status()
    }
}

#[cfg(test)]
mod tests;
