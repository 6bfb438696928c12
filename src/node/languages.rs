//! The languages whose jobs a node reads from Kafka: those that its models write, without those that are held back.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use babelmesh_actors::domain::Language;

use crate::kafka::{reader::Reading, topics::TopicNames};

/// How long a language's partitions may take to be handed over.
const HAND_OVER: Duration = Duration::from_secs(10);

/// What the reader of jobs reads.
pub(super) struct Languages {
    topics: TopicNames,
    /// Languages that the cluster has topics for.
    served: Vec<Language>,
    held: Mutex<BTreeSet<Language>>,
    jobs: Reading,
}

impl Languages {
    pub(super) fn new(topics: &TopicNames, served: Vec<Language>, jobs: Reading) -> Self {
        Self {
            topics: topics.clone(),
            served,
            held: Mutex::default(),
            jobs,
        }
    }

    /// Reads no jobs into a language for now, or does again. Its partitions stay; what was read of them already waits in the pools.
    pub(super) fn hold(&self, target: Language, hold: bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match hold {
            true => held.insert(target),
            false => held.remove(&target),
        };
        let held: Vec<_> = held.iter().copied().collect();
        self.jobs.hold(self.topics.all_jobs(&held).collect());
    }

    /// Reads jobs into the languages that these models write, of those that the cluster has topics for.
    ///
    /// # Errors
    /// When librdkafka refuses that.
    pub(super) fn read(&self, written: &[Language]) -> Result<()> {
        let own = self.own(written);
        let topics: Vec<_> = self.topics.all_jobs(&own).collect();
        self.jobs.subscribe(&topics)?;
        Ok(())
    }

    /// The same, and waits until jobs into all other languages are finished and their partitions handed over. Blocks.
    ///
    /// # Errors
    /// When librdkafka refuses that, or it takes too long.
    pub(super) fn read_only(&self, written: &[Language]) -> Result<()> {
        self.read(written)?;
        let own = self.own(written);
        let others = self.served.iter().filter(|l| !own.contains(l));
        let others: Vec<_> = others.copied().collect();
        let topics: Vec<_> = self.topics.all_jobs(&others).collect();
        let gone = self.jobs.have_gone(&topics, HAND_OVER);
        ensure!(gone, "its partitions were not handed over in time");
        Ok(())
    }

    fn own(&self, written: &[Language]) -> Vec<Language> {
        let own = self.served.iter().filter(|l| written.contains(l));
        own.copied().collect()
    }
}
