//! Looks at the topics of a node every few seconds, and so at whether the brokers answer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use rdkafka::{error::RDKafkaErrorCode, metadata::MetadataTopic};

use super::{
    client::Clients,
    contact::Contact,
    topic_health::{Change, Problem, TopicHealth},
};
use crate::events::NodeEvent;

/// How often it looks. With two looks that must agree, a topic that goes missing is known within ten seconds.
const EVERY: Duration = Duration::from_secs(3);
/// How long the brokers may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at topics on a thread of its own until it is dropped. It does not wait for a broker then.
pub struct TopicWatch {
    _stop: Sender<()>,
}

impl TopicWatch {
    /// Starts to look.
    ///
    /// # Errors
    /// When librdkafka refuses the client, or there can be no more threads.
    pub fn start(clients: &Clients, health: Arc<TopicHealth>) -> anyhow::Result<Self> {
        let mut contact = Contact::open(clients)?;
        let clients = clients.clone();
        let (stop, stopped) = mpsc::channel::<()>();
        let watch = move || {
            loop {
                match contact.metadata(None, PATIENCE) {
                    Ok(metadata) => {
                        let topics = metadata.topics().iter();
                        let found = topics
                            .map(|topic| (topic.name().to_owned(), problem(topic)))
                            .collect::<BTreeMap<_, _>>();
                        health.look(&found).iter().for_each(tell);
                    }
                    // Brokers that do not answer say nothing about topics. A client that knew them may believe for ever that there are none.
                    Err(_) => {
                        if let Ok(another) = Contact::open(&clients) {
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

fn tell(change: &Change) {
    match change {
        Change::Unusable(topic, problem) => {
            let problem = &problem.to_string();
            NodeEvent::TopicUnusable { topic, problem }.emit();
        }
        Change::Usable(topic) => NodeEvent::TopicUsable { topic }.emit(),
    }
}
