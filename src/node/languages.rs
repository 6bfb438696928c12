//! The languages whose jobs a node consumes: target languages of its models, except paused ones.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use babelmesh_actors::domain::Language;

use super::pools::Pools;
use crate::{
    events::NodeEvent,
    kafka::{reader::Reading, topics::TopicNames},
};

/// How long a language's partitions may take to be handed over: several rebalances, when one is under way already. Below the time that a command may take.
const HAND_OVER: Duration = Duration::from_secs(40);

/// Subscription of the job reader.
pub(super) struct Languages {
    topics: TopicNames,
    /// Languages that the cluster has topics for.
    served: Vec<Language>,
    pools: Arc<Pools>,
    jobs: Reading,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: BTreeSet<Language>,
    /// Models that are being unloaded.
    leaving: BTreeSet<String>,
    /// Models that cannot be loaded on this node.
    broken: BTreeSet<String>,
    /// Languages that nobody else may change any more: the node ends.
    is_closed: bool,
    /// What is read now, and what was given up because of broken models; none before the first change.
    read: Option<BTreeSet<Language>>,
    given_up: BTreeSet<Language>,
}

/// A model, and what it writes.
type Writes<'a> = (&'a str, &'a [Language]);

/// What models write of the served languages, without some models.
fn written<'a>(
    served: &[Language],
    models: impl IntoIterator<Item = Writes<'a>>,
    without: impl Fn(&str) -> bool,
) -> BTreeSet<Language> {
    let models = models.into_iter().filter(|(model, _)| !without(model));
    let all: BTreeSet<_> = models.flat_map(|(_, targets)| targets).copied().collect();
    let served = served.iter().copied();
    served.filter(|language| all.contains(language)).collect()
}

impl Languages {
    pub(super) fn new(
        topics: &TopicNames,
        served: Vec<Language>,
        pools: Arc<Pools>,
        jobs: Reading,
    ) -> Self {
        Self {
            topics: topics.clone(),
            served,
            pools,
            jobs,
            state: Mutex::default(),
        }
    }

    /// Paused languages.
    pub(super) fn held(&self) -> BTreeSet<Language> {
        self.state().held.clone()
    }

    /// Languages that a model writes and the cluster has no topics for.
    pub(super) fn without_topics(&self, model: &str) -> Vec<Language> {
        let pools = self.pools.all();
        let pool = pools.iter().find(|pool| *pool.model == *model);
        let targets = pool.map(|pool| pool.ability.targets.clone());
        let mut targets = targets.unwrap_or_default();
        targets.retain(|target| !self.served.contains(target));
        targets
    }

    /// Reads no jobs into a language for now, or does again. Its partitions stay; what was read of them already waits in the pools.
    pub(super) fn hold(&self, target: Language, hold: bool) {
        let mut state = self.state();
        match hold {
            true => state.held.insert(target),
            false => state.held.remove(&target),
        };
        let held: Vec<_> = state.held.iter().copied().collect();
        self.jobs.hold(self.topics.all_jobs(&held).collect());
    }

    /// Reads jobs into the languages that models of this node write now.
    ///
    /// # Errors
    /// When librdkafka refuses that, or the node ends.
    pub(super) fn refresh(&self) -> Result<()> {
        self.apply(&mut self.state())
    }

    /// Leaves the jobs that only this model can do to other nodes, and waits until those that were read are finished and their partitions handed over.
    ///
    /// # Errors
    /// When librdkafka refuses that, or it takes too long. Its languages are read again then.
    pub(super) async fn leave(self: &Arc<Self>, model: &str) -> Result<()> {
        let read = {
            let mut state = self.state();
            state.leaving.insert(model.to_owned());
            self.apply(&mut state)
        };
        let gone = match read {
            Ok(()) => self.others_have_gone().await,
            Err(error) => Err(error),
        };
        if gone.is_err() {
            self.has_left(model);
        }
        gone
    }

    /// A model was unloaded, or stays.
    pub(super) fn has_left(&self, model: &str) {
        let mut state = self.state();
        state.leaving.remove(model);
        // If it stays, what it writes is read again; a node that ends reads nothing more.
        let _ = self.apply(&mut state);
    }

    /// These models cannot be loaded here. What no other model of this node writes is left to other nodes, until one of them can.
    pub(super) fn set_broken(&self, broken: BTreeSet<String>) {
        let mut state = self.state();
        if state.broken == broken {
            return;
        }
        state.broken = broken;
        let before = state.given_up.clone();
        if self.apply(&mut state).is_err() {
            return;
        }
        let lost: Vec<_> = state.given_up.difference(&before).copied().collect();
        let regained: Vec<_> = before.difference(&state.given_up).copied().collect();
        if !lost.is_empty() {
            NodeEvent::LanguagesGivenUp { languages: &lost }.emit();
        }
        if !regained.is_empty() {
            NodeEvent::LanguagesRegained {
                languages: &regained,
            }
            .emit();
        }
    }

    /// Changes nothing any more: the node ends, and a subscription now would make it join its group again.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to what is to be read, if that has changed.
    fn apply(&self, state: &mut State) -> Result<()> {
        ensure!(!state.is_closed, "the node is shutting down");
        let pools = self.pools.all();
        let models = || {
            let targets = |entry| -> Writes<'_> {
                let entry: &super::pools::PoolEntry = entry;
                (&entry.model, &entry.ability.targets)
            };
            pools.iter().map(targets)
        };
        let State {
            leaving, broken, ..
        } = state;
        let is_leaving = |model: &str| leaving.contains(model);
        let wished = written(&self.served, models(), is_leaving);
        let read = written(&self.served, models(), |model| {
            is_leaving(model) || broken.contains(model)
        });
        state.given_up = wished.difference(&read).copied().collect();
        if state.read.as_ref() != Some(&read) {
            let own: Vec<_> = read.iter().copied().collect();
            let topics: Vec<_> = self.topics.all_jobs(&own).collect();
            self.jobs.subscribe(&topics)?;
            state.read = Some(read);
        }
        Ok(())
    }

    /// Waits until no partition of a language is left that is not read.
    async fn others_have_gone(self: &Arc<Self>) -> Result<()> {
        let read = self.state().read.clone().unwrap_or_default();
        let others = self.served.iter().filter(|l| !read.contains(l));
        let others: Vec<_> = others.copied().collect();
        let topics: Vec<_> = self.topics.all_jobs(&others).collect();
        let this = Arc::clone(self);
        let wait = move || this.jobs.have_gone(&topics, HAND_OVER);
        let gone = tokio::task::spawn_blocking(wait).await?;
        ensure!(gone, "timed out while handing over its partitions");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAGS: [&str; 4] = ["fr", "de", "es", "it"];

    fn languages(indices: &[usize]) -> Vec<Language> {
        let tags = indices.iter().map(|index| TAGS[*index].parse());
        tags.map(Result::unwrap).collect()
    }

    proptest! {
        #[test]
        fn a_language_is_read_exactly_if_it_is_served_and_a_model_that_stays_writes_it(
            served in prop::collection::vec(0usize..4, 0..5),
            models in prop::collection::vec((prop::collection::vec(0usize..4, 0..4), any::<bool>()), 0..5),
        ) {
            let served = languages(&served);
            let models: Vec<_> = models.iter().enumerate().map(|(number, (targets, stays))| {
                (format!("m{number}"), languages(targets), *stays)
            }).collect();
            let stays = |id: &str| models.iter().any(|(model, _, stays)| model == id && *stays);
            let writes = models.iter().map(|(model, targets, _)| (model.as_str(), targets.as_slice()));
            let read = written(&served, writes, |model| !stays(model));
            for language in languages(&[0, 1, 2, 3]) {
                let writable = models.iter().any(|(_, targets, stays)| *stays && targets.contains(&language));
                prop_assert_eq!(read.contains(&language), writable && served.contains(&language));
            }
        }
    }
}
