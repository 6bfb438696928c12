use std::sync::Mutex;

use babelmesh_actors::{domain::Ticket, splitting::Limits};
use rdkafka::{
    ClientConfig, Offset,
    consumer::BaseConsumer,
    message::BorrowedMessage,
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::*;
use crate::{
    config::KafkaConfig,
    embedded::EmbeddedBroker,
    publisher_handle::{Completed, CompletedBatch},
    record::Encoder,
    rejected_records::Refusals,
    topic_settings::plan,
    topics::TopicNames,
};

/// Panics on every record whose value has this word.
struct Fragile {
    refusals: Refusals,
    read: Vec<i64>,
    completed: CompletedBatch,
}

impl Handler for Fragile {
    fn read(&mut self, ticket: Ticket, message: &BorrowedMessage<'_>) -> u64 {
        let value = message.payload().unwrap_or_default();
        assert!(!value.starts_with(b"{\"messageId\":\"bad\""), "a bug");
        self.read.push(ticket.offset);
        1
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn completed(&mut self) -> &mut CompletedBatch {
        &mut self.completed
    }

    fn flush(&mut self) {}
}

#[derive(Default)]
struct Panics(Mutex<Vec<String>>);

impl Observer for Panics {
    fn observe(&self, event: &Event) {
        if let Event::PanicContained { panic, .. } = event {
            self.0.lock().unwrap().push(panic.clone());
        }
    }
}

const TOPIC: &str = "translation.requests";

/// A consumer of a topic with these values.
fn reading(values: &[&str]) -> (EmbeddedBroker, BaseConsumer) {
    let topics = plan(&KafkaConfig::default(), &[]);
    let broker = EmbeddedBroker::start(&topics).unwrap();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "g");
    let producer: BaseProducer = config.create().unwrap();
    for value in values {
        producer
            .send(BaseRecord::<(), str>::to(TOPIC).payload(value).partition(0))
            .unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    (broker, consumer)
}

#[test]
fn a_handler_that_panics_fails_one_record_and_its_sender_is_answered() {
    let values = [
        r#"{"messageId":"good"}"#,
        r#"{"messageId":"bad","targetLanguages":["fr","de"]}"#,
        r#"{"messageId":"good"}"#,
    ];
    let (_broker, consumer) = reading(&values);
    let limits = Limits {
        text_chars: 100,
        targets: 64,
        id_bytes: 64,
    };
    let mut handler = Fragile {
        refusals: Refusals::new(Encoder::new(&TopicNames::default(), "n1"), limits),
        read: Vec::new(),
        completed: CompletedBatch::default(),
    };
    let panics = Panics::default();
    for _ in 0..values.len() {
        let message = consumer.poll(Duration::from_secs(20)).unwrap().unwrap();
        let ticket = Ticket {
            partition: 0,
            epoch: 0,
            offset: message.offset(),
        };
        assert!(handle(&mut handler, &panics, ticket, &message) > 0);
    }
    assert_eq!(handler.read, [0, 2]);
    let [(ticket, Completed::Records { records, .. })] = &*handler.completed.0 else {
        panic!("{:?}", handler.completed);
    };
    assert_eq!(ticket.offset, 1);
    let topics: Vec<_> = records.iter().map(|record| &*record.topic).collect();
    let (results, letters) = ("translation.results", "translation.dead-letters");
    assert_eq!(topics, [results, results, letters]);
    assert_eq!(records[2].payload, values[1].as_bytes());
    let panics = panics.0.into_inner().unwrap();
    assert!(
        panics.len() == 1 && panics[0].contains("a bug"),
        "{panics:?}"
    );
}
