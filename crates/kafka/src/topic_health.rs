//! Topic health, from broker metadata.
//!
//! A missing topic affects only what depends on it: jobs for it are answered with an error that may be retried, and
//! operators see it in readiness, status and metrics. A single answer of a broker that has just started is unreliable,
//! so two in a row are required.
//!
//! Brokers describe a topic also to a client that may not read it. That shows only when somebody tries: [`super::topic_watch`] does when a reader
//! was refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use babelmesh_telemetry::{events::NodeEvent, status::TopicProblem};

/// Consecutive checks before a topic counts as unusable.
const LOOKS: u32 = 2;
/// Brokers that have not answered for this long count as unreachable. A node that has lost its brokers is not ready within ten seconds; brokers
/// that take as long as they may for each answer still count as reachable.
const AWAY_AFTER: Duration = Duration::from_secs(9);

/// Why a topic cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The cluster has no such topic.
    Missing,
    /// The brokers refuse to speak of it, for example because this client may not use it.
    Refused(String),
    /// These partitions have no leader: they can be neither read nor written for now.
    NoLeader(Vec<i32>),
}

impl Problem {
    /// Whether an operator has to fix it.
    const fn needs_operator(&self) -> bool {
        matches!(self, Self::Missing | Self::Refused(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Refused(error) => write!(f, "cannot be used: {error}"),
            Self::NoLeader(partitions) => {
                let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
                write!(f, "has no leader for partition {}", partitions.join(", "))
            }
        }
    }
}

/// Changes found by a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A topic became unusable; the reason, phrased to follow its name.
    Unusable(String, String),
    /// A topic can be used again.
    Usable(String),
}

impl Change {
    /// Tells of it.
    pub(super) fn emit(&self) {
        match self {
            Self::Unusable(topic, problem) => NodeEvent::TopicUnusable { topic, problem }.emit(),
            Self::Usable(topic) => NodeEvent::TopicUsable { topic }.emit(),
        }
    }

    /// Between what was wrong with a topic before and what is wrong now.
    fn between(topic: &str, before: Option<&String>, now: Option<String>) -> Option<Self> {
        match (before, now) {
            (None, Some(problem)) => Some(Self::Unusable(topic.to_owned(), problem)),
            (Some(_), None) => Some(Self::Usable(topic.to_owned())),
            (_, _) => None,
        }
    }
}

/// The topics of a node.
#[derive(Debug, Default)]
pub struct TopicHealth {
    topics: Mutex<BTreeMap<String, TopicRecord>>,
    /// The number of partitions of each, as far as it is known.
    partitions: Mutex<BTreeMap<String, i32>>,
    /// When the brokers answered last.
    answered: Mutex<Option<Instant>>,
    /// Whether any of them waits for an operator.
    has_unavailable: AtomicBool,
    /// Whether any of them cannot be read.
    has_unreadable: AtomicBool,
    /// Whether a reader was refused a topic, and it is not known which.
    suspects_reading: AtomicBool,
    /// Why the brokers refuse a client. Keyed by a topic that represents all topics of its pipeline.
    clients: Mutex<BTreeMap<(String, Client), String>>,
}

/// A client of a pipeline, as brokers know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// By its consumer group.
    Reader,
    /// By its transactional id.
    Publisher,
}

#[derive(Debug, Default)]
struct TopicRecord {
    /// Looks in a row that found a problem.
    looks: u32,
    problem: Option<Problem>,
    /// Why it cannot be read.
    unreadable: Option<String>,
}

impl TopicRecord {
    fn confirmed(&self) -> Option<&Problem> {
        self.problem.as_ref().filter(|_| self.looks >= LOOKS)
    }

    fn is_unavailable(&self) -> bool {
        self.confirmed().is_some_and(Problem::needs_operator)
    }

    /// The problem, phrased to follow its name.
    fn describe(&self) -> Option<String> {
        let confirmed = self.confirmed().map(ToString::to_string);
        confirmed.or_else(|| Some(format!("cannot be read: {}", self.unreadable.as_ref()?)))
    }
}

impl TopicHealth {
    /// The health of these topics, all of which count as usable at first.
    #[must_use]
    pub fn new(topics: impl IntoIterator<Item = String>) -> Self {
        let topics = topics
            .into_iter()
            .map(|topic| (topic, TopicRecord::default()));
        Self {
            topics: Mutex::new(topics.collect()),
            ..Self::default()
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<String, TopicRecord>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what brokers say: the problem of each topic, `None` where it has none. A topic that they do not name is missing.
    pub(super) fn look(&self, found: &BTreeMap<String, Option<Problem>>) -> Vec<Change> {
        *self.answered() = Some(Instant::now());
        let mut topics = self.topics();
        let mut changes = Vec::new();
        for (topic, known) in topics.iter_mut() {
            let problem = match found.get(topic) {
                Some(problem) => problem.clone(),
                None => Some(Problem::Missing),
            };
            let before = known.describe();
            known.looks = match problem {
                Some(_) => known.looks.saturating_add(1),
                None => 0,
            };
            known.problem = problem;
            changes.extend(Change::between(topic, before.as_ref(), known.describe()));
        }
        let unavailable = topics.values().any(TopicRecord::is_unavailable);
        self.has_unavailable.store(unavailable, Ordering::Relaxed);
        changes
    }

    /// Takes the number of partitions of topics.
    pub(super) fn set_partitions(&self, counts: BTreeMap<String, i32>) {
        *self.counts() = counts;
    }

    /// The number of partitions of a topic, if it is known and the topic exists.
    pub(super) fn partitions(&self, topic: &str) -> Option<i32> {
        self.counts().get(topic).copied()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, i32>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader was refused some topic.
    pub(super) fn suspect_reading(&self) {
        self.suspects_reading.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be found out which topics cannot be read.
    pub(super) fn suspects_reading(&self) -> bool {
        self.suspects_reading.load(Ordering::Relaxed)
    }

    /// Records why topics cannot be read, `None` for readable ones. If all topics were tried and are readable, the suspicion ends.
    pub(super) fn tried_reading(
        &self,
        found: &BTreeMap<String, Option<String>>,
        are_all: bool,
    ) -> Vec<Change> {
        let mut topics = self.topics();
        let mut changes = Vec::new();
        for (topic, error) in found {
            let known = topics.entry(topic.clone()).or_default();
            let before = known.describe();
            known.unreadable.clone_from(error);
            changes.extend(Change::between(topic, before.as_ref(), known.describe()));
        }
        let any = topics.values().any(|known| known.unreadable.is_some());
        self.has_unreadable.store(any, Ordering::Relaxed);
        if are_all && !any {
            self.suspects_reading.store(false, Ordering::Relaxed);
        }
        changes
    }

    /// The topics that cannot be read until an operator does something.
    pub(super) fn unreadable(&self) -> BTreeSet<String> {
        if !self.has_unreadable.load(Ordering::Relaxed) {
            return BTreeSet::new();
        }
        let topics = self.topics();
        let such = topics
            .iter()
            .filter(|(_, known)| known.unreadable.is_some());
        such.map(|(topic, _)| topic.clone()).collect()
    }

    /// Takes why the brokers refuse a client of the pipeline that reads `source` and others; `None` when they do not any more.
    pub(super) fn set_client_problem(&self, source: &str, client: Client, problem: Option<String>) {
        let key = (source.to_owned(), client);
        let mut clients = self.clients();
        match problem {
            Some(problem) => clients.insert(key, problem),
            None => clients.remove(&key),
        };
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<(String, Client), String>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the brokers have answered lately.
    #[must_use]
    pub fn brokers_answer(&self) -> bool {
        self.answered().is_some_and(|at| at.elapsed() <= AWAY_AFTER)
    }

    /// Whether the brokers have answered after a moment.
    pub(super) fn have_answered_since(&self, moment: Instant) -> bool {
        self.answered().is_some_and(|at| at > moment)
    }

    /// Whether any topic cannot be written until an operator does something.
    pub(super) fn has_unavailable(&self) -> bool {
        self.has_unavailable.load(Ordering::Relaxed)
    }

    /// Whether a topic cannot be written until an operator does something.
    pub(super) fn is_unavailable(&self, topic: &str) -> bool {
        self.has_unavailable()
            && self
                .topics()
                .get(topic)
                .is_some_and(TopicRecord::is_unavailable)
    }

    /// Every topic with whether it can be used.
    #[must_use]
    pub fn all(&self) -> Vec<(String, bool)> {
        let topics = self.topics();
        let topics = topics.iter();
        topics
            .map(|(topic, known)| (topic.clone(), known.describe().is_none()))
            .collect()
    }

    /// Problems of topics.
    #[must_use]
    pub fn problems(&self) -> Vec<TopicProblem> {
        let problem = |(topic, known): (&String, &TopicRecord)| {
            let problem = known.describe()?;
            let topic = topic.clone();
            Some(TopicProblem { topic, problem })
        };
        let mut problems: Vec<_> = self.topics().iter().filter_map(problem).collect();
        let clients = self.clients();
        problems.extend(clients.iter().map(|((topic, _), problem)| TopicProblem {
            topic: topic.clone(),
            problem: problem.clone(),
        }));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> TopicHealth {
        TopicHealth::new(["a", "b"].map(str::to_owned))
    }

    fn found(topics: &[(&str, Option<Problem>)]) -> BTreeMap<String, Option<Problem>> {
        let topics = topics.iter();
        topics
            .map(|(topic, problem)| ((*topic).to_owned(), problem.clone()))
            .collect()
    }

    #[test]
    fn a_topic_that_is_missing_twice_is_unavailable_until_it_is_there_again() {
        let health = health();
        assert!(!health.brokers_answer());
        let both = found(&[("a", None), ("b", None)]);
        let one = found(&[("a", None)]);
        assert_eq!(health.look(&both), []);
        assert_eq!(health.look(&one), []);
        assert!(!health.is_unavailable("b") && health.problems().is_empty());
        assert!(health.brokers_answer());
        let gone = Change::Unusable("b".to_owned(), "does not exist".to_owned());
        assert_eq!(health.look(&one), [gone]);
        assert!(health.is_unavailable("b") && !health.is_unavailable("a"));
        assert_eq!(health.problems()[0].problem, "does not exist");
        assert_eq!(
            health.all(),
            [("a".to_owned(), true), ("b".to_owned(), false)]
        );
        assert_eq!(health.look(&one), []);
        assert_eq!(health.look(&both), [Change::Usable("b".to_owned())]);
        assert!(!health.is_unavailable("b") && !health.has_unavailable());
    }

    #[test]
    fn a_partition_without_a_leader_is_a_transient_problem() {
        let health = health();
        let problem = Problem::NoLeader(vec![0, 3]);
        let looked = found(&[("a", Some(problem)), ("b", None)]);
        let _ = (health.look(&looked), health.look(&looked));
        assert_eq!(
            health.problems()[0].problem,
            "has no leader for partition 0, 3"
        );
        assert!(!health.is_unavailable("a"));
    }

    #[test]
    fn a_topic_that_cannot_be_read_is_a_problem_until_it_can_and_suspicion_ends_with_the_last() {
        let health = health();
        let (good, bad) = (
            ("a".to_owned(), None),
            ("b".to_owned(), Some("no".to_owned())),
        );
        health.suspect_reading();
        let both = BTreeMap::from([good.clone(), bad]);
        let gone = Change::Unusable("b".to_owned(), "cannot be read: no".to_owned());
        assert_eq!(health.tried_reading(&both, true), [gone]);
        assert!(health.suspects_reading() && !health.is_unavailable("b"));
        assert_eq!(health.unreadable(), ["b".to_owned()].into());
        let looked = found(&[("a", None), ("b", None)]);
        assert_eq!(
            health.look(&looked),
            [],
            "a description is no permission to read"
        );
        assert_eq!(health.problems().len(), 1);
        let b = ("b".to_owned(), None);
        let usable = Change::Usable("b".to_owned());
        assert_eq!(health.tried_reading(&[b.clone()].into(), false), [usable]);
        assert!(health.suspects_reading() && health.problems().is_empty());
        assert_eq!(health.tried_reading(&[good, b].into(), true), []);
        assert!(!health.suspects_reading() && health.unreadable().is_empty());
    }

    #[test]
    fn a_rejected_client_is_reported_as_a_problem_of_its_source() {
        let health = health();
        let set = |client, problem: Option<&str>| {
            health.set_client_problem("a", client, problem.map(str::to_owned));
        };
        set(Client::Reader, Some("cannot be read: no group"));
        set(Client::Publisher, Some("cannot be answered: no id"));
        assert_eq!(health.problems().len(), 2);
        set(Client::Publisher, None);
        assert_eq!(health.problems()[0].problem, "cannot be read: no group");
        set(Client::Reader, None);
        assert!(health.problems().is_empty());
    }

    #[test]
    fn a_problem_that_changes_is_reported_once() {
        let health = health();
        let refused = Problem::Refused("not authorised".to_owned());
        let refused = found(&[("a", Some(refused)), ("b", None)]);
        let _ = health.look(&refused);
        assert_eq!(health.look(&refused).len(), 1);
        assert_eq!(health.look(&found(&[("b", None)])), []);
        assert_eq!(health.problems()[0].problem, "does not exist");
    }
}
