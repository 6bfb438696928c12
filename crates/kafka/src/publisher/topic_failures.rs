//! Which topics failed when records of a run were not acknowledged. Pure: the status of each record goes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use rdkafka::error::RDKafkaErrorCode;

use super::reports::RecordStatus;

/// A record that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// The partition whose record it answers.
    pub(super) source: u32,
    /// Where it was sent.
    pub(super) topic: Arc<str>,
    pub(super) status: RecordStatus,
}

/// A topic that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicFailure {
    pub(super) topic: Arc<str>,
    pub(super) scope: Scope,
    pub(super) reason: Reason,
}

/// How much of a topic cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it, as far as is known.
    All,
    /// Some of its partitions: those that records of these source partitions went to.
    Only(BTreeSet<u32>),
}

/// Why a topic cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The brokers say so.
    Refused(RDKafkaErrorCode),
    /// Nothing is heard of its records, while others are taken.
    Silent,
}

impl Reason {
    /// Whether an operator has to fix it.
    pub(super) const fn needs_operator(self) -> bool {
        matches!(
            self,
            Self::Refused(RDKafkaErrorCode::TopicAuthorizationFailed)
        )
    }

    /// Whether it is about the topic or partition that a record was sent to, and not about the record, the producer or the network.
    pub(super) const fn is_of_topic(self) -> bool {
        let Self::Refused(code) = self else {
            return true;
        };
        matches!(
            code,
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::NotEnoughReplicas
                | RDKafkaErrorCode::NotEnoughReplicasAfterAppend
                | RDKafkaErrorCode::KafkaStorageError
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "cannot be written: {code}"),
            Self::Silent => {
                f.write_str("accepts no records: check its leaders and min.insync.replicas")
            }
        }
    }
}

/// The topics that the brokers refuse.
pub(super) fn refusing(sent: &[Sent]) -> Vec<TopicFailure> {
    topic_failure(sent, |status| match status {
        RecordStatus::Failed(code) => {
            Some(Reason::Refused(code)).filter(|reason| reason.is_of_topic())
        }
        RecordStatus::Pending | RecordStatus::Taken => None,
    })
}

/// The topics of which nothing is heard. If nothing is heard of any record, that says nothing of a topic.
pub(super) fn silent(sent: &[Sent]) -> Vec<TopicFailure> {
    match sent
        .iter()
        .any(|record| record.status == RecordStatus::Taken)
    {
        true => all_silent(sent),
        false => Vec::new(),
    }
}

/// The topics of which nothing is heard, where it is known that the brokers answer.
pub(super) fn all_silent(sent: &[Sent]) -> Vec<TopicFailure> {
    topic_failure(sent, |status| match status {
        RecordStatus::Pending | RecordStatus::Failed(RDKafkaErrorCode::MessageTimedOut) => {
            Some(Reason::Silent)
        }
        RecordStatus::Failed(_) | RecordStatus::Taken => None,
    })
}

/// One failure per topic with a failed record. If the topic has taken other records, the failure is limited to the source partitions of the failed
/// ones.
fn topic_failure(
    sent: &[Sent],
    reason: impl Fn(RecordStatus) -> Option<Reason>,
) -> Vec<TopicFailure> {
    let mut blamed: BTreeMap<&Arc<str>, (Reason, BTreeSet<u32>)> = BTreeMap::new();
    for record in sent {
        if let Some(reason) = reason(record.status) {
            let (_, sources) = blamed
                .entry(&record.topic)
                .or_insert((reason, BTreeSet::new()));
            sources.insert(record.source);
        }
    }
    let taken = sent
        .iter()
        .filter(|record| record.status == RecordStatus::Taken);
    let taken: BTreeSet<&Arc<str>> = taken.map(|record| &record.topic).collect();
    let blamed = blamed
        .into_iter()
        .map(|(topic, (reason, sources))| TopicFailure {
            topic: Arc::clone(topic),
            scope: match taken.contains(topic) {
                true => Scope::Only(sources),
                false => Scope::All,
            },
            reason,
        });
    blamed.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records of a run, with few sources and topics.
    pub(in crate::publisher) fn run() -> impl Strategy<Value = Vec<Sent>> {
        let status = prop_oneof![
            Just(RecordStatus::Pending),
            Just(RecordStatus::Taken),
            Just(RecordStatus::Failed(
                RDKafkaErrorCode::TopicAuthorizationFailed
            )),
            Just(RecordStatus::Failed(RDKafkaErrorCode::PurgeQueue)),
            Just(RecordStatus::Failed(RDKafkaErrorCode::MessageTimedOut)),
        ];
        let record = (0_u32..4, 0_usize..4, status).prop_map(|(source, topic, status)| Sent {
            source,
            topic: Arc::from(["results", "letters", "jobs.de", "jobs.fr"][topic]),
            status,
        });
        prop::collection::vec(record, 0..20)
    }

    proptest! {
        #[test]
        fn only_topics_with_unacknowledged_records_fail_and_each_once(sent in run()) {
            for failures in [refusing(&sent), silent(&sent), all_silent(&sent)] {
                let topics: BTreeSet<_> = failures.iter().map(|b| b.topic.clone()).collect();
                prop_assert_eq!(topics.len(), failures.len());
                for topic_failure in &failures {
                    let of_topic = || sent.iter().filter(|s| s.topic == topic_failure.topic);
                    let taken = of_topic().any(|s| s.status == RecordStatus::Taken);
                    match &topic_failure.scope {
                        Scope::All => prop_assert!(!taken && of_topic().count() > 0),
                        Scope::Only(sources) => {
                            prop_assert!(taken && !sources.is_empty());
                            for source in sources {
                                let mut theirs = of_topic().filter(|s| s.source == *source);
                                prop_assert!(theirs.any(|s| s.status != RecordStatus::Taken));
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn silence_of_all_topics_fails_none_and_a_missing_record_among_acknowledged_ones_fails_its_topic(
            sent in run(),
        ) {
            let failures = silent(&sent);
            if !sent.iter().any(|s| s.status == RecordStatus::Taken) {
                prop_assert!(failures.is_empty());
            } else {
                for record in sent.iter().filter(|s| s.status == RecordStatus::Pending) {
                    let topic_failure = failures.iter().find(|b| b.topic == record.topic);
                    let is_meant = topic_failure.is_some_and(|b| match &b.scope {
                        Scope::All => true,
                        Scope::Only(sources) => sources.contains(&record.source),
                    });
                    prop_assert!(is_meant, "it is not blamed");
                }
            }
        }
    }

    #[test]
    fn records_purged_because_of_others_do_not_fail_their_topic() {
        let sent = |topic: &str, code| Sent {
            source: 1,
            topic: Arc::from(topic),
            status: RecordStatus::Failed(code),
        };
        let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
        let run = [sent("a", RDKafkaErrorCode::PurgeQueue), sent("b", denied)];
        let failures = refusing(&run);
        assert_eq!((failures.len(), &*failures[0].topic), (1, "b"));
        assert!(failures[0].reason.needs_operator());
    }
}
