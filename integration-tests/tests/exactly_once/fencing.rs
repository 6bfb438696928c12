//! Members that are fenced: by a request to join of their own that a network delivers late, and by a second node with the same name.

use std::time::{Duration, Instant};

use babelmesh::kafka::client::Clients;
use babelmesh_integration_tests::{
    Cluster, Kafka, MachineLock, PATIENCE, ProcessNode, Sandbox, Traffic, measured, wait_for,
    wait_until,
};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::{RATE, SETTLE, fake, seconds, start};

fn fences(node: &ProcessNode) -> usize {
    node.log().matches("WARN fenced by ").count()
}

/// Joins a group under a node's name and says nothing more: what a request is to the group that arrives when its sender has asked anew
/// already. Returns once the group has a member there that is not the node.
fn join_late(kafka: &Kafka, node: &ProcessNode, group: &str, topics: &[String]) {
    let settings = node.settings().config().kafka;
    let clients = Clients::new(&settings, kafka.bootstrap(), &node.name(), false);
    let consumer: BaseConsumer = clients.member(group).create().unwrap();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).unwrap();
    wait_until("the late request is answered", PATIENCE, || {
        let polled = consumer.poll(Duration::from_millis(20));
        let fenced = matches!(polled, Some(Err(KafkaError::MessageConsumptionFatal(_))));
        fenced || consumer.assignment().unwrap().count() > 0
    });
}

#[test]
fn a_node_that_is_fenced_by_its_own_late_request_joins_again_and_moves_no_partition() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let backend = kafka.backend();
    let nodes = start(&sandbox, [(); 2].map(|()| fake(&kafka, &sandbox)));
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(3), SETTLE);
    let before = nodes[1].rebalances();
    let languages = ["fr", "de"].map(|tag| tag.parse().unwrap());
    let jobs: Vec<_> = kafka.topics().all_jobs(&languages).collect();
    let splitter = format!("{}-splitter", kafka.group());
    for (fenced, group, topics) in [
        (1, kafka.group(), jobs),
        (2, &splitter, vec![kafka.topics().requests]),
    ] {
        join_late(&kafka, &nodes[0], group, &topics);
        let at = wait_for("the node is fenced", PATIENCE, || {
            (fences(&nodes[0]) == fenced).then(Instant::now)
        });
        let resumed = traffic.wait_until_resumed(at, SETTLE);
        traffic.flow(Duration::from_secs(4), SETTLE);
        // What it had read before it was fenced may be answered a little later.
        let since = at + Duration::from_secs(3);
        traffic.wait_until_works(&nodes[0].name(), since, SETTLE);
        let stage = ["jobs", "requests"][fenced - 1];
        measured(
            &format!("a node is fenced as reader of {stage}, flow resumes after"),
            seconds(resumed),
        );
    }
    assert_eq!(nodes[1].rebalances(), before, "no partition moved");
    let status = nodes[0].status();
    let restarts = [&status.jobs, &status.requests].map(|s| s.delivery.consumer_restarts);
    assert_eq!(restarts, [1, 1]);
    let _ = traffic.settle(SETTLE);
}

#[test]
fn of_two_nodes_with_one_name_the_first_gives_way_and_says_why() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let backend = kafka.backend();
    let [mut first] = start(&sandbox, [fake(&kafka, &sandbox)]);
    let traffic = Traffic::of(RATE).start(backend);
    traffic.flow(Duration::from_secs(3), SETTLE);
    let elsewhere = Sandbox::new();
    // A machine refuses the second node of a name that it knows the same brokers by. As if on another machine, this one knows them by another name.
    let brokers = kafka.bootstrap().replace("127.0.0.1", "localhost");
    assert_ne!(brokers, kafka.bootstrap());
    let twin = fake(&kafka, &elsewhere)
        .set("node.name", first.name())
        .set("kafka.bootstrap_servers", format_args!("{brokers:?}"));
    let second = ProcessNode::start(&elsewhere, &twin);
    let status = first.wait(PATIENCE);
    assert!(!status.success(), "{status}");
    let log = first.log();
    assert!(log.contains("set a unique node.name"), "{log}");
    assert!(fences(&first) >= 2, "it had tried to come back");
    // Answers that are read until then may be those of its namesake.
    let gone = Instant::now() + Duration::from_secs(2);
    traffic.wait_until_works(&second.name(), gone, SETTLE);
    traffic.flow(Duration::from_secs(5), SETTLE);
    let delivery = second.status().jobs.delivery;
    assert!(delivery.producer_restarts > 0, "{delivery:?}");
    let _ = traffic.settle(SETTLE);
}
