//! Reads the topic of glossaries.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use babelmesh_actors::{
    containment::contain,
    domain::Glossary,
    glossaries::{Glossaries, Position},
};
use babelmesh_telemetry::events::NodeEvent;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::runtime::Handle;

use crate::{
    admin::create_missing, client::Clients, polled_producer::OVER, probe::Quiet,
    topic_settings::PlannedTopic,
};

/// How long a poll waits for a record.
const POLL: Duration = Duration::from_millis(200).saturating_add(OVER);
/// How long brokers may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait before a topic is tried again that could not be read.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest key of a record, in bytes.
const MAX_ID_BYTES: usize = 100;

pub(super) struct Reader {
    pub(super) clients: Clients,
    pub(super) topic: PlannedTopic,
    pub(super) glossaries: Arc<Glossaries>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn run(&self, runtime: &Handle) {
        while !self.is_stopped() {
            if let Err(error) = self.read(runtime) {
                let (topic, error) = (self.topic.name.as_str(), format!("{error:#}"));
                let error = error.as_str();
                NodeEvent::GlossariesUnreadable { topic, error }.emit();
                self.rest();
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        let until = Instant::now() + AGAIN;
        while !self.is_stopped() && Instant::now() < until {
            thread::sleep(POLL);
        }
    }

    /// Reads the topic from its beginning, until it cannot be read any more.
    fn read(&self, runtime: &Handle) -> Result<()> {
        // A topic that is there is left as it is, and without a permission to create one, so is the node.
        let topics = std::slice::from_ref(&self.topic);
        let created = runtime.block_on(create_missing(&self.clients, topics, ANSWER));
        created.map(drop)?;
        let consumer = self.consumer()?;
        let mut unread = self.assign(&consumer)?;
        self.glossaries.begin_reading();
        if unread.is_empty() {
            self.glossaries.set_read();
        }
        while !self.is_stopped() {
            let ended = match consumer.poll(POLL) {
                None => None,
                Some(Ok(record)) => {
                    self.take(&record);
                    None
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::Fatal,
                    ) => bail!(error),
                    // librdkafka connects again by itself.
                    _ => None,
                },
            };
            if ended.is_some_and(|partition| unread.remove(&partition)) && unread.is_empty() {
                self.glossaries.set_read();
            }
        }
        Ok(())
    }

    fn consumer(&self) -> Result<BaseConsumer<Quiet>> {
        // It joins no group: its partitions are assigned by hand, and it commits nothing.
        let mut config = self.clients.consumer(self.clients.client_id());
        for key in ["group.instance.id", "statistics.interval.ms"] {
            config.remove(key);
        }
        config
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let consumer = config.create_with_context(Quiet);
        consumer
            .map_err(crate::client::without_value)
            .context("making a Kafka client")
    }

    /// Has all partitions read from their beginning, and returns those that hold records.
    fn assign(&self, consumer: &BaseConsumer<Quiet>) -> Result<BTreeSet<i32>> {
        let name = self.topic.name.as_str();
        let metadata = consumer.fetch_metadata(Some(name), ANSWER)?;
        let mut topics = metadata.topics().iter();
        let found = topics.find(|topic| topic.name() == name);
        let found = found.context("the topic does not exist")?;
        if let Some(error) = found.error() {
            bail!("{}", RDKafkaErrorCode::from(error));
        }
        let (mut list, mut unread) = (TopicPartitionList::new(), BTreeSet::new());
        for partition in found.partitions() {
            list.add_partition_offset(name, partition.id(), Offset::Beginning)?;
            let (begin, end) = consumer.fetch_watermarks(name, partition.id(), ANSWER)?;
            if begin < end {
                unread.insert(partition.id());
            }
        }
        if list.count() == 0 {
            bail!("the topic has no partitions");
        }
        consumer.assign(&list)?;
        Ok(unread)
    }

    fn take(&self, record: &BorrowedMessage<'_>) {
        let position = Position {
            partition: record.partition(),
            offset: record.offset(),
        };
        let taken = contain(|| {
            let (id, glossary) = decode(record.key(), record.payload())?;
            let applied = self.glossaries.apply(position, id, glossary);
            applied.map_err(|error| error.to_string())
        });
        let error = match taken {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => panic.to_string(),
        };
        self.glossaries.skip(position);
        NodeEvent::GlossarySkipped {
            topic: &self.topic.name,
            partition: position.partition,
            offset: position.offset,
            error: &error,
        }
        .emit();
    }
}

/// The id of a record, and its glossary; none where it is deleted. An error quotes nothing of the record.
fn decode<'a>(
    key: Option<&'a [u8]>,
    value: Option<&[u8]>,
) -> Result<(&'a str, Option<Glossary>), String> {
    let id = key.and_then(|key| std::str::from_utf8(key).ok());
    let id = id.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
    let id = id.ok_or("the key is not the id of a glossary")?;
    let Some(value) = value else {
        return Ok((id, None));
    };
    match serde_json::from_slice(value) {
        Ok(glossary) => Ok((id, Some(glossary))),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let place = format!("line {line}, column {column}");
            Err(format!("the value is not a glossary ({place})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_names_a_glossary_or_deletes_it() {
        let json = r#"{"name":"Shop","createdMs":5,"more":1,"dictionaries":[
            {"sourceLanguage":"en","targetLanguage":"fr","terms":[{"source":"a","target":"b"}]}]}"#;
        let (id, glossary) = decode(Some(b"g"), Some(json.as_bytes())).unwrap();
        let glossary = glossary.unwrap();
        assert_eq!((id, glossary.name.as_str()), ("g", "Shop"));
        let again = serde_json::to_vec(&glossary).unwrap();
        assert_eq!(decode(Some(b"g"), Some(&again)), Ok(("g", Some(glossary))));
        assert_eq!(decode(Some(b"g"), None), Ok(("g", None)));
        let long = [b'x'; MAX_ID_BYTES + 1];
        for key in [None, Some(&b""[..]), Some(b"\xff"), Some(&long)] {
            assert!(decode(key, None).is_err());
        }
        let error = decode(Some(b"g"), Some(br#"{"name": "secret"}"#)).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    proptest! {
        #[test]
        fn no_record_makes_reading_panic(key in prop::option::of("\\PC{0,5}"), value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(key.as_deref().map(str::as_bytes), Some(&value));
        }
    }
}
