//! Partitions that wait for unwritable topics, as shown to operators.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use babelmesh_telemetry::events::NodeEvent;
use babelmesh_telemetry::status::TopicProblem;

use super::{partition::Partition, topic_failures::Reason};

/// Most partitions that are listed of those that wait for one topic.
const LISTED: usize = 8;

/// Waiting partitions and their topics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Topics that cannot be written. Those that [`TopicHealth`](crate::topic_health::TopicHealth) tells of are not among them.
    topics: BTreeMap<Arc<str>, Reason>,
    /// By the reader's number of the partition.
    partitions: BTreeMap<u32, Parked>,
}

/// A partition that waits.
#[derive(Debug, PartialEq, Eq)]
struct Parked {
    source: Arc<str>,
    number: i32,
    /// The topic that it waits for.
    topic: Arc<str>,
}

impl Waiting {
    /// Nothing waits yet for these topics.
    pub(super) fn of_topics<'t>(topics: impl Iterator<Item = (&'t Arc<str>, Reason)>) -> Self {
        let topics = topics.map(|(topic, reason)| (Arc::clone(topic), reason));
        Self {
            topics: topics.collect(),
            partitions: BTreeMap::new(),
        }
    }

    /// A partition waits for a topic, for a reason that is not reported elsewhere.
    pub(super) fn add(
        &mut self,
        id: u32,
        partition: &Partition,
        topic: &Arc<str>,
        reason: Option<Reason>,
    ) {
        if let Some(reason) = reason {
            self.topics.entry(Arc::clone(topic)).or_insert(reason);
        }
        let parked = Parked {
            source: Arc::clone(&partition.topic),
            number: partition.number,
            topic: Arc::clone(topic),
        };
        self.partitions.insert(id, parked);
    }

    /// Whether a partition waits.
    pub(super) fn has(&self, id: u32) -> bool {
        self.partitions.contains_key(&id)
    }

    /// Whether no partition waits.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The partitions that wait.
    pub(super) fn partitions(&self) -> BTreeSet<(Arc<str>, i32)> {
        let parked = self.partitions.values();
        parked.map(|p| (Arc::clone(&p.source), p.number)).collect()
    }

    /// Problems for operators.
    pub(super) fn problems(&self) -> Vec<TopicProblem> {
        let topics = self.topics.keys();
        let problem = |topic: &Arc<str>| TopicProblem {
            topic: topic.to_string(),
            problem: self.problem(topic),
        };
        topics.map(problem).collect()
    }

    fn problem(&self, topic: &Arc<str>) -> String {
        let mut text = self
            .topics
            .get(topic)
            .map_or_else(String::new, Reason::to_string);
        let parked = self.partitions.values().filter(|p| p.topic == *topic);
        let mut parked: Vec<_> = parked.map(|p| (&p.source, p.number)).collect();
        parked.sort_unstable();
        for (index, (source, number)) in parked.iter().take(LISTED).enumerate() {
            let before = if index == 0 {
                "; waiting for it: "
            } else {
                ", "
            };
            let _ = write!(text, "{before}{source} [{number}]");
        }
        if parked.len() > LISTED {
            let _ = write!(text, " and {} more", parked.len() - LISTED);
        }
        text
    }

    /// Tells how this differs from what was before.
    pub(super) fn tell(&self, before: &Self) {
        for topic in self.topics.keys() {
            if !before.topics.contains_key(topic) {
                let problem = &self.problem(topic);
                NodeEvent::TopicUnusable { topic, problem }.emit();
            }
        }
        for topic in before.topics.keys() {
            if !self.topics.contains_key(topic) {
                NodeEvent::TopicUsable { topic }.emit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_told_with_its_reason_and_the_first_partitions_that_wait_for_it() {
        let topic: Arc<str> = Arc::from("jobs.de");
        let mut waiting = Waiting::of_topics([(&topic, Reason::Silent)].into_iter());
        let reason = Reason::Silent.to_string();
        assert_eq!(waiting.problems()[0].problem, reason);
        for number in (0..10).rev() {
            let parked = Parked {
                source: Arc::from("requests"),
                number,
                topic: Arc::clone(&topic),
            };
            waiting.partitions.insert(number as u32, parked);
        }
        let problem = &waiting.problems()[0].problem;
        let waits = problem.strip_prefix(&reason).unwrap();
        assert!(
            waits.starts_with("; waiting for it: requests [0], requests [1],"),
            "{waits}"
        );
        assert!(waits.ends_with("requests [7] and 2 more"), "{waits}");
        assert_eq!(waiting.partitions().len(), 10);
    }
}
