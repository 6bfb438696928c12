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

fn existing(config: &ClientConfig, within: Duration) -> Result<HashSet<String>> {
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer
        .fetch_metadata(None, within)
        .context("asking which topics exist")?;
    Ok(metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .collect())
}
