//! Reading and writing topics, without any knowledge of what is in them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use babelmesh::kafka::client::Clients;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

const BROKER: Duration = Duration::from_secs(20);

/// A record, read or to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Partition; that of the key when it is written.
    pub partition: i32,
    /// Offset; given by the broker when it is written.
    pub offset: i64,
    /// Key; none when it is empty.
    pub key: String,
    /// Value, when there is one.
    pub payload: Option<Vec<u8>>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// When it was written, in milliseconds since 1970; now when absent.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A record to write.
    #[must_use]
    pub fn to(topic: &str, key: &str, payload: impl Into<Vec<u8>>) -> Self {
        let (topic, key) = (topic.to_owned(), key.to_owned());
        Self {
            topic,
            key,
            payload: Some(payload.into()),
            ..Self::default()
        }
    }

    /// A header's value; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn read(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: text(message.key().unwrap_or_default()),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| {
                    (
                        header.key.to_owned(),
                        text(header.value.unwrap_or_default()),
                    )
                })
                .collect(),
            timestamp: message.timestamp().to_millis(),
        }
    }
}

/// Writes to topics.
pub struct TopicWriter {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl TopicWriter {
    /// A writer.
    #[must_use]
    pub fn new(clients: &Clients) -> Self {
        Self {
            producer: clients
                .producer()
                .create()
                .expect("the producer's configuration is good"),
        }
    }

    /// A writer that compresses with a codec of librdkafka's, such as `zstd`.
    #[must_use]
    pub fn compressed(clients: &Clients, codec: &str) -> Self {
        let mut config = clients.producer();
        // One batch of many records: librdkafka sends what does not get smaller uncompressed.
        config
            .set("compression.type", codec)
            .set("linger.ms", "100");
        Self {
            producer: config.create().expect("librdkafka knows the codec"),
        }
    }

    /// Number of records that were given to it and are not with the broker yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Queues a record; [`flush`](Self::flush) has it written.
    pub fn write(&self, record: &Record) {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let mut pending = BaseRecord::to(&record.topic).headers(headers);
        if !record.key.is_empty() {
            pending = pending.key(&record.key);
        }
        if let Some(payload) = &record.payload {
            pending = pending.payload(payload);
        }
        if let Some(timestamp) = record.timestamp {
            pending = pending.timestamp(timestamp);
        }
        while let Err((error, back)) = self.producer.send(pending) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "writing to {}", record.topic);
            std::thread::sleep(Duration::from_millis(1));
            pending = back;
        }
    }

    /// Waits until everything is written.
    pub fn flush(&self) {
        self.producer
            .flush(BROKER)
            .expect("the broker takes records");
    }
}

/// Reads all partitions of a topic from their beginning.
pub struct TopicReader {
    consumer: BaseConsumer,
}

impl TopicReader {
    /// A reader that is in no group.
    #[must_use]
    pub fn new(clients: &Clients, topic: &str) -> Self {
        let mut config = clients.consumer("reader");
        config.set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config
            .create()
            .expect("the consumer's configuration is good");
        let metadata = consumer
            .fetch_metadata(Some(topic), BROKER)
            .expect("the broker answers");
        let mut list = TopicPartitionList::new();
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            let added = list.add_partition_offset(topic, partition.id(), Offset::Beginning);
            added.expect("the beginning is an offset");
        }
        assert!(list.count() > 0, "topic {topic} does not exist");
        consumer.assign(&list).expect("the partitions exist");
        Self { consumer }
    }

    /// The next record, if one comes in time.
    pub fn next(&self, within: Duration) -> Option<Record> {
        let end = Instant::now() + within;
        loop {
            match self
                .consumer
                .poll(end.saturating_duration_since(Instant::now()))
            {
                Some(Ok(message)) => return Some(Record::read(&message)),
                // Errors repeat for as long as a broker is away; the caller decides how long that may be.
                Some(Err(_)) if Instant::now() < end => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Reads so many records.
    #[must_use]
    pub fn take(&self, count: usize, within: Duration) -> Vec<Record> {
        let end = Instant::now() + within;
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            let Some(record) = self.next(end.saturating_duration_since(Instant::now())) else {
                panic!(
                    "{} of {count} records came within {} s: {records:#?}",
                    records.len(),
                    within.as_secs()
                );
            };
            records.push(record);
        }
        records
    }

    /// Reads until nothing more comes for a while.
    #[must_use]
    pub fn rest(&self) -> Vec<Record> {
        std::iter::from_fn(|| self.next(Duration::from_millis(1_200))).collect()
    }
}
