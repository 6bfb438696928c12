//! Checks the topics of a node, and the brokers, every few seconds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use rdkafka::{ClientConfig, Offset, error::RDKafkaErrorCode, metadata::MetadataTopic};

use super::{
    client::{self, Clients},
    metadata_client::MetadataClient,
    probe::{self, First, Place},
    topic_health::{Change, Problem, TopicHealth},
};

/// How often it looks. With two looks that must agree, a topic that goes missing is known within ten seconds.
const EVERY: Duration = Duration::from_secs(3);
/// How long brokers may take when it tries to read. Short, so that a topic of which nothing is heard does not delay the next look.
const TRY: Duration = Duration::from_secs(2);
/// How long the brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at topics on a thread of its own until it is dropped. It does not wait for a broker then.
pub struct TopicWatch {
    _stop: Sender<()>,
}

impl TopicWatch {
    /// Starts to look. `sources` are the topics that this node reads, as a member of `group`.
    ///
    /// # Errors
    /// When librdkafka refuses the client, or there can be no more threads.
    pub fn start(
        clients: &Clients,
        health: Arc<TopicHealth>,
        (group, sources): (&str, Vec<String>),
    ) -> anyhow::Result<Self> {
        let mut contact = MetadataClient::open(clients)?;
        let reading = clients.consumer(group);
        let clients = clients.clone();
        let (stop, stopped) = mpsc::channel::<()>();
        let watch = move || {
            loop {
                match contact.metadata(None, TIMEOUT) {
                    Ok(metadata) => {
                        let topics = metadata.topics().iter();
                        let found = topics
                            .map(|topic| (topic.name().to_owned(), problem(topic)))
                            .collect::<BTreeMap<_, _>>();
                        health.set_partitions(partitions(&sources, metadata.topics()));
                        health.look(&found).iter().for_each(Change::emit);
                        if health.suspects_reading() {
                            try_reading(&reading, &sources, &health);
                        }
                    }
                    // Without an answer the topics are unknown. A client that lost its brokers may stay disconnected
                    // permanently.
                    Err(_) => {
                        if let Ok(another) = MetadataClient::open(&clients) {
                            contact = another;
                        }
                    }
                }
                let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) else {
                    return;
                };
            }
        };
        thread::Builder::new()
            .name("topic-watch".to_owned())
            .spawn(watch)?;
        Ok(Self { _stop: stop })
    }
}

/// The number of partitions of the topics that are read and can be.
fn partitions(sources: &[String], topics: &[MetadataTopic]) -> BTreeMap<String, i32> {
    let read = topics
        .iter()
        .filter(|topic| topic.error().is_none() && sources.iter().any(|s| s == topic.name()));
    let counts = read.filter_map(|topic| {
        let count = i32::try_from(topic.partitions().len()).ok()?;
        Some((topic.name().to_owned(), count))
    });
    counts.collect()
}

fn problem(topic: &MetadataTopic) -> Option<Problem> {
    if let Some(error) = topic.error() {
        return Some(match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                Problem::Missing
            }
            RDKafkaErrorCode::LeaderNotAvailable => Problem::NoLeader(Vec::new()),
            code => Problem::Refused(code.to_string()),
        });
    }
    let orphans = topic.partitions().iter().filter(|p| p.leader() < 0);
    let orphans: Vec<i32> = orphans.map(|partition| partition.id()).collect();
    (!orphans.is_empty()).then_some(Problem::NoLeader(orphans))
}

/// Finds out which topics may not be read: a consumer that is refused one is not told which.
fn try_reading(config: &ClientConfig, sources: &[String], health: &TopicHealth) {
    let place = |topic: &String| -> Place { (Arc::from(topic.as_str()), 0, Offset::End) };
    let places: Vec<_> = sources.iter().map(place).collect();
    let found = match probe::look(config, &places, TRY) {
        Ok(found) => found,
        Err(error) => return client::error(&error, "trying to read topics"),
    };
    let answers = found.into_iter().filter_map(|((topic, ..), first)| {
        let refusal = match first {
            First::Record(_) | First::End => None,
            First::Error(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Some(code.to_string())
            }
            First::Error(_) => return None,
        };
        Some((topic.to_string(), refusal))
    });
    let found: BTreeMap<_, _> = answers.collect();
    let is_all = found.len() == sources.len();
    let changes = health.tried_reading(&found, is_all);
    changes.iter().for_each(Change::emit);
}
