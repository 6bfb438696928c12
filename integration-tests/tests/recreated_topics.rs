//! Topics that are deleted and created again while a node runs.

use babelmesh::events::NodeEvent;
use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, PATIENCE, Record, Sandbox, TopicWriter, block_on, request,
};
use rdkafka::{
    admin::{AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
};

/// Deletes a topic and creates it again at once.
fn recreate(kafka: &Kafka, topic: &str) {
    let admin = kafka.admin();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    kafka.delete_topic(topic);
    let new = NewTopic::new(topic, 4, TopicReplication::Fixed(1));
    loop {
        let created = block_on(admin.create_topics([&new], &options)).unwrap();
        match &created[..] {
            [Err((_, RDKafkaErrorCode::TopicAlreadyExists))] => {}
            created => break assert!(created.iter().all(Result::is_ok), "{created:?}"),
        }
    }
}

/// Writes requests to `topic` with a producer that knows it as it is now.
fn write(kafka: &Kafka, topic: &str, ids: impl Iterator<Item = String>) {
    let writer = TopicWriter::new(&kafka.clients());
    for (number, id) in ids.enumerate() {
        let key = format!("c{}", number % 40);
        let body = request(&id, "hello", &["fr"], &key).to_string();
        writer.write(&Record::to(topic, &key, body));
    }
    writer.flush();
}

#[test]
fn the_records_of_a_recreated_topic_are_all_read() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    let names = kafka.topics();
    for topic in [names.requests.clone(), format!("{}.fr", names.jobs)] {
        // The fewer records the old topic has, the sooner the new one has more.
        for round in 0..6 {
            if round > 0 {
                recreate(&kafka, &topic);
            }
            let count = if round % 2 == 0 { 12 } else { 400 };
            let ids = (0..count).map(|number| format!("{topic}-{round}-{number}"));
            ids.clone().for_each(|id| backend.ids.ask(&id, "fr"));
            write(&kafka, &topic, ids);
            backend.read_all(PATIENCE);
            backend.ids.assert_exactly_once();
        }
    }
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    let noticed = NodeEvent::counts().find(|(event, _)| *event == "topic_recreated");
    assert_eq!(
        noticed,
        Some(("topic_recreated", 10)),
        "each is warned about once"
    );
    node.drain();
}
