//! Writes the topic of glossaries.

use std::{sync::mpsc, time::Duration};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::Glossary,
    glossaries::{GlossaryLog, LogError, Position},
};
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, ProducerContext},
};

use crate::{
    client::{self, Clients},
    polled_producer::PolledProducer,
};

/// The topic of glossaries, as a log.
#[derive(Clone)]
pub struct GlossaryTopic {
    clients: Clients,
    topic: String,
    within: Duration,
}

impl GlossaryTopic {
    /// The topic of this name. What brokers do not take `within` this time is given up.
    #[must_use]
    pub fn new(clients: &Clients, topic: &str, within: Duration) -> Self {
        Self {
            clients: clients.clone(),
            topic: topic.to_owned(),
            within,
        }
    }

    /// Writes a record with a producer of its own: glossaries are seldom written.
    fn write_record(&self, id: &str, value: Option<&[u8]>) -> Result<Position, LogError> {
        let mut config = self.clients.producer();
        let timeout = self.within.as_millis().max(1).to_string();
        config
            .set("message.timeout.ms", timeout)
            .set("linger.ms", "0");
        let (sender, delivered) = mpsc::channel();
        let producer = PolledProducer::new(&config, Confirming)
            .map_err(|error| LogError::Failed(format!("making a Kafka client: {error:#}")))?;
        let record = BaseRecord::with_opaque_to(self.topic.as_str(), Box::new(sender));
        let record: BaseRecord<'_, str, [u8], _> = record.key(id);
        let record = match value {
            Some(value) => record.payload(value),
            None => record,
        };
        let sent = producer.send(record);
        sent.map_err(|(error, _)| self.error(&error))?;
        // The producer reports on every record: the channel does not stay empty.
        match delivered.recv() {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => Err(LogError::Failed("the Kafka client has ended".to_owned())),
        }
    }

    fn error(&self, error: &KafkaError) -> LogError {
        let topic = &self.topic;
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::MessageBatchTooLarge,
            ) => LogError::TooLarge(format!("the glossary is too large for topic {topic}")),
            _ => LogError::Failed(format!("writing to topic {topic}: {error}")),
        }
    }
}

#[async_trait]
impl GlossaryLog for GlossaryTopic {
    async fn write(&self, id: &str, glossary: Option<&Glossary>) -> Result<Position, LogError> {
        let value = glossary.map(serde_json::to_vec).transpose();
        let value = value.map_err(|error| LogError::Failed(error.to_string()))?;
        let (topic, id) = (self.clone(), id.to_owned());
        let writing =
            tokio::task::spawn_blocking(move || topic.write_record(&id, value.as_deref()));
        writing
            .await
            .unwrap_or_else(|error| Err(LogError::Failed(error.to_string())))
    }
}

type Delivered = mpsc::Sender<Result<Position, KafkaError>>;

/// Tells the writer of a record where it is.
struct Confirming;

impl ClientContext for Confirming {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }
}

impl ProducerContext for Confirming {
    type DeliveryOpaque = Box<Delivered>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Box<Delivered>) {
        let position = match result {
            Ok(record) => Ok(Position {
                partition: record.partition(),
                offset: record.offset(),
            }),
            Err((error, _)) => Err(error.clone()),
        };
        // The writer waits for it.
        let _ = sender.send(position);
    }
}
