//! Which topics are to blame when records of a run were not taken. Pure: what is known of each record goes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use rdkafka::error::RDKafkaErrorCode;

use super::reports::Fate;

/// A record that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// The partition whose record it answers.
    pub(super) source: u32,
    /// Where it was sent.
    pub(super) topic: Arc<str>,
    pub(super) fate: Fate,
}

/// A topic that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blame {
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
    /// Whether waiting for it would be waiting for an operator.
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
                f.write_str("accepts no records: check its leaders and its min.insync.replicas")
            }
        }
    }
}

/// The topics that the brokers refuse.
pub(super) fn refusing(sent: &[Sent]) -> Vec<Blame> {
    blame(sent, |fate| match fate {
        Fate::Failed(code) => Some(Reason::Refused(code)).filter(|reason| reason.is_of_topic()),
        Fate::Pending | Fate::Taken => None,
    })
}

/// The topics of which nothing is heard. If nothing is heard of any record, that says nothing of a topic.
pub(super) fn silent(sent: &[Sent]) -> Vec<Blame> {
    match sent.iter().any(|record| record.fate == Fate::Taken) {
        true => all_silent(sent),
        false => Vec::new(),
    }
}

/// The topics of which nothing is heard, where it is known that the brokers answer.
pub(super) fn all_silent(sent: &[Sent]) -> Vec<Blame> {
    blame(sent, |fate| match fate {
        Fate::Pending | Fate::Failed(RDKafkaErrorCode::MessageTimedOut) => Some(Reason::Silent),
        Fate::Failed(_) | Fate::Taken => None,
    })
}

/// One for each topic with a record for which there is a reason; of a topic that has taken others, only the sources of such records are meant.
fn blame(sent: &[Sent], reason: impl Fn(Fate) -> Option<Reason>) -> Vec<Blame> {
    let mut blamed: BTreeMap<&Arc<str>, (Reason, BTreeSet<u32>)> = BTreeMap::new();
    for record in sent {
        if let Some(reason) = reason(record.fate) {
            let (_, sources) = blamed
                .entry(&record.topic)
                .or_insert((reason, BTreeSet::new()));
            sources.insert(record.source);
        }
    }
    let taken = sent.iter().filter(|record| record.fate == Fate::Taken);
    let taken: BTreeSet<&Arc<str>> = taken.map(|record| &record.topic).collect();
    let blamed = blamed.into_iter().map(|(topic, (reason, sources))| Blame {
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
        let fate = prop_oneof![
            Just(Fate::Pending),
            Just(Fate::Taken),
            Just(Fate::Failed(RDKafkaErrorCode::TopicAuthorizationFailed)),
            Just(Fate::Failed(RDKafkaErrorCode::PurgeQueue)),
            Just(Fate::Failed(RDKafkaErrorCode::MessageTimedOut)),
        ];
        let record = (0_u32..4, 0_usize..4, fate).prop_map(|(source, topic, fate)| Sent {
            source,
            topic: Arc::from(["results", "letters", "jobs.de", "jobs.fr"][topic]),
            fate,
        });
        prop::collection::vec(record, 0..20)
    }

    proptest! {
        #[test]
        fn only_what_was_not_taken_is_blamed_and_each_topic_once(sent in run()) {
            for blames in [refusing(&sent), silent(&sent), all_silent(&sent)] {
                let topics: BTreeSet<_> = blames.iter().map(|b| b.topic.clone()).collect();
                prop_assert_eq!(topics.len(), blames.len());
                for blame in &blames {
                    let of_topic = || sent.iter().filter(|s| s.topic == blame.topic);
                    let taken = of_topic().any(|s| s.fate == Fate::Taken);
                    match &blame.scope {
                        Scope::All => prop_assert!(!taken && of_topic().count() > 0),
                        Scope::Only(sources) => {
                            prop_assert!(taken && !sources.is_empty());
                            for source in sources {
                                let mut theirs = of_topic().filter(|s| s.source == *source);
                                prop_assert!(theirs.any(|s| s.fate != Fate::Taken));
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn silence_of_all_blames_nothing_and_a_record_that_is_missing_beside_taken_ones_is_blamed(
            sent in run(),
        ) {
            let blames = silent(&sent);
            if !sent.iter().any(|s| s.fate == Fate::Taken) {
                prop_assert!(blames.is_empty());
            } else {
                for record in sent.iter().filter(|s| s.fate == Fate::Pending) {
                    let blame = blames.iter().find(|b| b.topic == record.topic);
                    let is_meant = blame.is_some_and(|b| match &b.scope {
                        Scope::All => true,
                        Scope::Only(sources) => sources.contains(&record.source),
                    });
                    prop_assert!(is_meant, "it is not blamed");
                }
            }
        }
    }

    #[test]
    fn what_was_purged_for_the_sake_of_others_is_not_blamed() {
        let sent = |topic: &str, code| Sent {
            source: 1,
            topic: Arc::from(topic),
            fate: Fate::Failed(code),
        };
        let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
        let run = [sent("a", RDKafkaErrorCode::PurgeQueue), sent("b", denied)];
        let blames = refusing(&run);
        assert_eq!((blames.len(), &*blames[0].topic), (1, "b"));
        assert!(blames[0].reason.needs_operator());
    }
}
