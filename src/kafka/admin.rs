//! Topics of a real cluster.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};

use super::client::Clients;
use crate::events::NodeEvent;

/// Creates the topics that are missing. Those that exist are left as they are.
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
    let admin: AdminClient<DefaultClientContext> = clients.admin().create()?;
    let new: Vec<_> = topics
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(replication)))
        .collect();
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
