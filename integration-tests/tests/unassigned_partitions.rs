//! Partitions that the group gives to no member, and such that an open transaction holds up.

use std::time::{Duration, Instant};

use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, PATIENCE, ProcessNode, Record, Sandbox, TopicReader, measured,
    request, wait_until,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Longer than a session, so that no rebalance is due to its end.
const SESSION: &str = "45000";

/// Restarts a node within its session with one language more, and asks for that one.
fn restart_with_one_more_language(end: impl FnOnce(&mut ProcessNode), nodes: usize) {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let models: [(&str, &[&str], &[&str]); 2] =
        [("one", &["en"], &["fr", "de"]), ("two", &["en"], &["pt"])];
    let models = sandbox.node_with_models(&models);
    let (_, folder) = models
        .pairs()
        .filter(|(key, _)| key == "models.directories")
        .last()
        .unwrap();
    let node = || {
        kafka
            .node(sandbox.node())
            .set("kafka.session_timeout_ms", SESSION)
            .set("models.directories", folder)
            .set("models.load", r#"["one"]"#)
    };
    let before = node();
    let others: Vec<_> = (1..nodes)
        .map(|_| ProcessNode::start(&sandbox, &node()))
        .collect();
    let mut first = ProcessNode::start(&sandbox, &before);
    backend.ask(&request("before", "hello", &["fr"], "c"));
    backend.read_all(PATIENCE);
    let jobs = format!("{}.pt", kafka.topics().jobs);
    end(&mut first);
    let started = Instant::now();
    let _second = ProcessNode::start(&sandbox, &before.set("models.load", "[]"));
    for number in 0..20 {
        let (id, key) = (format!("m{number}"), format!("c{number}"));
        backend.ask(&request(&id, "hello", &["fr"], &key));
        // As a job: a node without models for a language refuses requests for it.
        let body = request(&id, "hello", &["pt"], &key).to_string();
        backend.ids.ask(&id, "pt");
        backend.write(&Record::to(&jobs, &key, body));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    let took = started.elapsed();
    measured(
        "restart with one language more: it is translated after",
        format_args!("{took:.1?}"),
    );
    assert!(
        took < Duration::from_secs(40),
        "no session has ended: {took:?}"
    );
    drop(others);
}

#[test]
fn a_node_that_was_stopped_and_comes_back_with_more_languages_reads_them() {
    restart_with_one_more_language(|node| node.stop(PATIENCE), 1);
}

#[test]
fn a_node_that_was_killed_and_comes_back_with_more_languages_beside_another_reads_them() {
    restart_with_one_more_language(ProcessNode::kill, 2);
}

#[test]
fn a_partition_that_an_open_transaction_holds_up_is_seen_and_its_records_count_as_unread() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let settings = kafka.node(sandbox.node());
    let node = LocalNode::start(&settings.set("http.listen", "\"127.0.0.1:0\""));
    let topic = kafka.topics().requests;
    let mut config = kafka.clients().producer();
    config.set("transactional.id", "somebody-else");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let write = |id: &str| {
        let body = request(id, "hello", &["fr"], "c").to_string();
        let record = BaseRecord::to(&topic).key("c").payload(&body).partition(0);
        producer.send(record).unwrap();
    };
    (0..30).for_each(|number| write(&format!("m{number}")));
    producer.flush(PATIENCE).unwrap();
    let started = Instant::now();
    let problem = format!("topic {topic} partition 0 is held up by an open transaction");
    wait_until("it is in /ready", PATIENCE, || {
        node.missing()
            .iter()
            .any(|missing| missing.starts_with(&problem))
    });
    let took = started.elapsed();
    measured(
        "open transaction: it is in /ready after",
        format_args!("{took:.1?}"),
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    let status = node.status();
    assert_eq!(status.topic_problems.len(), 1);
    assert!(status.requests.lag_records > 0, "{:?}", status.requests);
    producer.commit_transaction(PATIENCE).unwrap();
    wait_until("it is over", PATIENCE, || node.missing().is_empty());
    let results = TopicReader::new(&kafka.clients(), &kafka.topics().results);
    assert_eq!(results.take(30, PATIENCE).len(), 30);
    node.drain();
}
