//! Administration of topics: calls to the brokers. Decisions are made elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    admin::{
        AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions,
        NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication, TopicResult,
    },
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    metadata::MetadataTopic,
};

use super::{
    client::{self, Clients},
    metadata_client::MetadataClient,
    topic_settings::PlannedTopic,
    topic_state::{ConfigValue, PartitionState, TopicState},
};

/// Administers the topics of one cluster.
pub struct Admin {
    clients: Clients,
    within: Duration,
}

impl Admin {
    /// For brokers that must answer each question `within` this time.
    #[must_use]
    pub fn new(clients: &Clients, within: Duration) -> Self {
        Self {
            clients: clients.clone(),
            within,
        }
    }

    /// The topics that are there, with their numbers of partitions.
    ///
    /// # Errors
    /// When the brokers do not answer in time or refuse this client.
    pub async fn existing(&self) -> Result<HashMap<String, i32>> {
        let (clients, within) = (self.clients.clone(), self.within);
        tokio::task::spawn_blocking(move || {
            let metadata = MetadataClient::open(&clients)?.metadata(None, within)?;
            let topics = metadata.topics().iter();
            let counted = |topic: &MetadataTopic| (topic.name().to_owned(), count(topic));
            Ok(topics.map(counted).collect())
        })
        .await?
    }

    /// Creates topics; with `rehearse`, the brokers only say whether they would. One that is there already is left as it is.
    ///
    /// # Errors
    /// When the brokers do not answer in time or refuse; all that they refused is in it.
    pub async fn create(&self, topics: &[&PlannedTopic], rehearse: bool) -> Result<()> {
        if topics.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = topics.iter().map(|t| t.settings.entries()).collect();
        let new = topics.iter().zip(&entries).map(|(topic, entries)| {
            let settings = &topic.settings;
            let replication = TopicReplication::Fixed(settings.replication);
            let new = NewTopic::new(&topic.name, settings.partitions, replication);
            let entries = entries.iter();
            entries.fold(new, |new, (name, value)| new.set(name, value))
        });
        let new: Vec<_> = new.collect();
        let options = self.options().validate_only(rehearse);
        let doing = format!("creating topics at {}", self.clients.bootstrap());
        let results = self.client()?.create_topics(&new, &options).await;
        let mut refused = Vec::new();
        for result in results.map_err(|e| unable(e, doing))? {
            match result {
                Ok(topic) if !rehearse => created(&topic, topics),
                // Another node created it first.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => refused.push(refusal(&name, error, topics)),
            }
        }
        ensure!(refused.is_empty(), "{}", refused.join("; "));
        Ok(())
    }

    /// Describes topics. Missing topics are not in the answer.
    ///
    /// # Errors
    /// When the brokers do not answer in time or refuse.
    pub async fn describe(&self, names: &[&str]) -> Result<BTreeMap<String, TopicState>> {
        let (clients, within) = (self.clients.clone(), self.within);
        let wanted: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let partitions =
            tokio::task::spawn_blocking(move || partitions(&clients, &wanted, within)).await??;
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked: Vec<_> = partitions
            .keys()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let doing = format!("asking {} for settings of topics", self.clients.bootstrap());
        let answer = self
            .client()?
            .describe_configs(&asked, &self.options())
            .await;
        let mut configs = HashMap::new();
        for resource in answer.map_err(|e| unable(e, doing))? {
            let resource = resource.map_err(|error| anyhow!("asking for settings: {error}"))?;
            if let OwnedResourceSpecifier::Topic(name) = &resource.specifier {
                configs.insert(name.clone(), values(&resource));
            }
        }
        let described = |(name, partitions): (String, Vec<PartitionState>)| {
            let config: BTreeMap<_, _> = configs.remove(&name).unwrap_or_default();
            // The client library keeps the brokers' reason to itself.
            ensure!(
                !config.is_empty(),
                "the brokers return no settings of topic {name}: check the client's DescribeConfigs permission"
            );
            Ok((name, TopicState { partitions, config }))
        };
        partitions.into_iter().map(described).collect()
    }

    /// Adds partitions to a topic until it has `partitions`.
    ///
    /// # Errors
    /// When the brokers do not answer in time or refuse.
    pub async fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        let doing = || format!("giving topic {topic} {partitions} partitions");
        let count = usize::try_from(partitions).with_context(doing)?;
        let new = [NewPartitions::new(topic, count)];
        let client = self.client()?;
        let results = client.create_partitions(&new, &self.options()).await;
        let results = results.map_err(|e| unable(e, doing()))?;
        first_refusal(results).with_context(doing)
    }

    /// Replaces the configuration of a topic: settings that are not in it return to their defaults.
    ///
    /// # Errors
    /// When the brokers do not answer in time or refuse.
    pub async fn configure(&self, topic: &str, config: &BTreeMap<String, String>) -> Result<()> {
        let doing = || format!("configuring topic {topic}");
        let all = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let all = config
            .iter()
            .fold(all, |all, (name, value)| all.set(name, value));
        let client = self.client()?;
        let results = client.alter_configs(&[all], &self.options()).await;
        match results.map_err(|e| unable(e, doing()))?.into_iter().next() {
            Some(Err((_, error))) => Err(error).with_context(doing),
            _ => Ok(()),
        }
    }

    fn client(&self) -> Result<AdminClient<DefaultClientContext>> {
        let config = self.clients.admin();
        config
            .create()
            .map_err(client::without_value)
            .context("making a Kafka client")
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .operation_timeout(Some(self.within))
            .request_timeout(Some(self.within))
    }
}

/// Creates the topics that are missing and says how many partitions each has then. Those that exist are left as they are, and when none
/// is missing nothing is asked for: not every operator lets nodes create topics, and the embedded broker of another process cannot.
///
/// # Errors
/// When the brokers do not answer in time or refuse.
pub async fn create_missing(
    clients: &Clients,
    topics: &[PlannedTopic],
    within: Duration,
) -> Result<HashMap<String, i32>> {
    let admin = Admin::new(clients, within);
    let mut there = admin.existing().await?;
    let missing: Vec<_> = topics
        .iter()
        .filter(|topic| !there.contains_key(&topic.name))
        .collect();
    admin.create(&missing, false).await?;
    let made = missing.iter();
    there.extend(made.map(|topic| (topic.name.clone(), topic.settings.partitions)));
    Ok(there)
}

fn created(name: &str, topics: &[&PlannedTopic]) {
    let planned = topics.iter().find(|topic| topic.name == name);
    NodeEvent::TopicCreated {
        topic: name,
        partitions: planned.map_or(0, |topic| topic.settings.partitions),
    }
    .emit();
}

fn refusal(name: &str, error: RDKafkaErrorCode, topics: &[&PlannedTopic]) -> String {
    let planned = topics.iter().find(|topic| topic.name == name);
    let wanted = planned.map_or_else(String::new, |topic| {
        let settings = &topic.settings;
        format!(
            " with {} partitions and {} replicas",
            settings.partitions, settings.replication
        )
    });
    format!("creating topic {name}{wanted}: {error}")
}

fn first_refusal(results: Vec<TopicResult>) -> Result<(), RDKafkaErrorCode> {
    let refused = results.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |(_, error)| Err(error))
}

/// An error of an administrative question, with a likely cause when the broker does not know or not answer the question.
fn unable(error: KafkaError, doing: String) -> anyhow::Error {
    match error.rdkafka_error_code() {
        Some(
            code @ (RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::OperationTimedOut),
        ) => {
            anyhow!("{doing}: {code}; not supported by the embedded broker")
        }
        _ => anyhow::Error::from(error).context(doing),
    }
}

/// Partitions of those topics that are there.
fn partitions(
    clients: &Clients,
    names: &[String],
    within: Duration,
) -> Result<BTreeMap<String, Vec<PartitionState>>> {
    let contact = MetadataClient::open(clients)?;
    let started = Instant::now();
    let metadata = contact.metadata(None, within)?;
    ensure!(
        !contact.is_embedded(within),
        "the broker at {} is embedded and does not support administration",
        clients.bootstrap()
    );
    let mut all = BTreeMap::new();
    for topic in metadata.topics() {
        if !names.iter().any(|name| name == topic.name()) {
            continue;
        }
        let mut states = Vec::new();
        for partition in topic.partitions() {
            let leader = Some(partition.leader()).filter(|leader| *leader >= 0);
            let left = within.saturating_sub(started.elapsed());
            // A partition without a reachable leader has no offsets.
            let offsets =
                leader.and_then(|_| contact.offsets(topic.name(), partition.id(), left).ok());
            states.push(PartitionState {
                partition: partition.id(),
                leader,
                replicas: partition.replicas().to_vec(),
                in_sync: partition.isr().to_vec(),
                begin: offsets.map(|(begin, _)| begin),
                end: offsets.map(|(_, end)| end),
            });
        }
        states.sort_by_key(|state| state.partition);
        all.insert(topic.name().to_owned(), states);
    }
    Ok(all)
}

fn count(topic: &MetadataTopic) -> i32 {
    i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)
}

fn values(resource: &ConfigResource) -> BTreeMap<String, ConfigValue> {
    let shown = resource.entries.iter().filter(|entry| !entry.is_sensitive);
    let value = |entry: &rdkafka::admin::ConfigEntry| {
        let value = ConfigValue {
            value: entry.value.clone()?,
            own: entry.source == ConfigSource::DynamicTopic,
        };
        Some((entry.name.clone(), value))
    };
    shown.filter_map(value).collect()
}
