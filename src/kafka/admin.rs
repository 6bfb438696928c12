//! Topics of a real cluster.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, bail};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};

use super::client::Clients;
use crate::events::NodeEvent;

/// Creates the topics that are missing. Those that exist are left as they are, and when none is missing nothing is asked for:
/// not every operator lets nodes create topics, and the embedded broker of another process cannot.
///
/// # Errors
/// When the brokers do not answer in time or refuse.
pub async fn create_missing(
    clients: &Clients,
    topics: &[String],
    partitions: i32,
    replication: i32,
    within: Duration,
) -> Result<()> {
    let config = clients.admin();
    let there = tokio::task::spawn_blocking(move || existing(&config, within)).await??;
    let new: Vec<_> = topics
        .iter()
        .filter(|name| !there.contains(*name))
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(replication)))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = clients.admin().create()?;
    let options = AdminOptions::new()
        .operation_timeout(Some(within))
        .request_timeout(Some(within));
    let results = admin
        .create_topics(&new, &options)
        .await
        .with_context(|| format!("creating topics at {}", clients.bootstrap()))?;
    for result in results {
        match result {
            Ok(topic) => NodeEvent::TopicCreated {
                topic: &topic,
                partitions,
            }
            .emit(),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => bail!("creating topic {topic}: {error}"),
        }
    }
    Ok(())
}

/// Names of the topics that are there. A node's first question to the brokers: it also tells whether they can be reached.
fn existing(config: &ClientConfig, within: Duration) -> Result<HashSet<String>> {
    let consumer: BaseConsumer = config.create()?;
    let brokers = config.get("bootstrap.servers").unwrap_or_default();
    let metadata = consumer.fetch_metadata(None, within).with_context(|| {
        let within = within.as_millis();
        format!("no Kafka broker answers at {brokers} within {within} ms")
    })?;
    let topics = metadata.topics().iter();
    Ok(topics.map(|topic| topic.name().to_owned()).collect())
}
