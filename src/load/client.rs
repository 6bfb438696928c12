//! The generator's ends of Kafka.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, ThreadedProducer},
};

use crate::kafka::{client::Clients, metadata_client::MetadataClient, topics::TopicNames};

/// How long brokers may take to say where topics end.
const METADATA: Duration = Duration::from_secs(10);

/// How long a broker may hold an empty fetch. A node's embedded broker holds it to the end whatever arrives meanwhile: with librdkafka's
/// default of half a second, that wait would be most of the latency that is measured.
const FETCH_WAIT: &str = "fetch.wait.max.ms";
const FETCH_WAIT_MS: &str = "10";

/// Publishes requests and reads results from now on.
pub(super) struct Backend {
    producer: ThreadedProducer<DefaultProducerContext>,
    pub(super) consumer: BaseConsumer,
    requests: String,
}

impl Backend {
    pub(super) fn connect(clients: &Clients, topics: &TopicNames) -> Result<Self> {
        // First of all: it says what is wrong when the brokers do not answer.
        let metadata = MetadataClient::open(clients)?.metadata(Some(&topics.results), METADATA)?;
        let producer = clients.producer().create()?;
        // No group: the generator reads all partitions, from where they end before it sends anything.
        let mut reading = clients.consumer("babelmesh-load");
        reading.set("enable.auto.commit", "false");
        if reading.get(FETCH_WAIT).is_none() {
            reading.set(FETCH_WAIT, FETCH_WAIT_MS);
        }
        let consumer: BaseConsumer = reading.create()?;
        let partitions = metadata
            .topics()
            .first()
            .map(|t| t.partitions())
            .unwrap_or_default();
        anyhow::ensure!(
            !partitions.is_empty(),
            "topic {} does not exist: is a node running?",
            topics.results
        );
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let (_, end) = consumer.fetch_watermarks(&topics.results, partition.id(), METADATA)?;
            list.add_partition_offset(&topics.results, partition.id(), Offset::Offset(end))?;
        }
        consumer.assign(&list)?;
        Ok(Self {
            producer,
            consumer,
            requests: topics.requests.clone(),
        })
    }

    /// Queues a record; `false` when librdkafka's queue is full at the moment.
    pub(super) fn send(&self, key: &str, payload: &[u8]) -> Result<bool> {
        let record = BaseRecord::to(&self.requests).key(key).payload(payload);
        match self.producer.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error).context("publishing a request"),
        }
    }
}
