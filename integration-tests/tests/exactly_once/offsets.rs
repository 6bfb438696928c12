//! Offsets that the groups have committed, as monitors outside see them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Backend, Cluster, Ids, Kafka, LocalNode, MachineLock, PATIENCE, ProcessNode, Sandbox,
    SeededRng, request, wait_until,
};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{fake, short_lived};

/// Lag is gone within so long after the last answer.
const SEEN: Duration = Duration::from_secs(15);
/// Kafka's numbers of requests.
const OFFSET_COMMIT: i16 = 8;
const TXN_OFFSET_COMMIT: i16 = 28;
/// Partitions of each topic.
const PARTITIONS: i32 = 4;

/// The offsets of the groups of a cluster's nodes.
struct Monitor {
    /// A client of each group, and what the group reads.
    groups: [(BaseConsumer, Vec<String>); 2],
}

impl Monitor {
    fn new(kafka: &Kafka) -> Self {
        let (topics, group) = (kafka.topics(), kafka.group());
        let jobs = ["fr", "de"].map(|language| format!("{}.{language}", topics.jobs));
        let reads = [
            (group.to_owned(), jobs.to_vec()),
            (format!("{group}-splitter"), vec![topics.requests]),
        ];
        let groups = reads.map(|(group, topics)| {
            let mut config = kafka.clients().consumer(&group);
            config.set("enable.auto.commit", "false");
            (config.create().unwrap(), topics)
        });
        Self { groups }
    }

    /// Every partition with the offset that its group has committed; none before the first.
    fn committed(&self) -> Vec<(String, i32, Option<i64>)> {
        let mut found = Vec::new();
        for (client, topics) in &self.groups {
            let mut list = TopicPartitionList::new();
            for topic in topics {
                (0..PARTITIONS).for_each(|number| {
                    list.add_partition(topic, number);
                });
            }
            let committed = client.committed_offsets(list, PATIENCE).unwrap();
            found.extend(committed.elements().iter().map(|element| {
                let offset = element.offset().to_raw().filter(|offset| *offset >= 0);
                (element.topic().to_owned(), element.partition(), offset)
            }));
        }
        found
    }

    /// What `kafka-consumer-groups --describe` shows as lag, of the partitions that have any.
    fn lags(&self) -> Vec<(String, i32, i64)> {
        let client = &self.groups[0].0;
        let lag = |(topic, number, committed): (String, i32, Option<i64>)| {
            let (_, end) = client.fetch_watermarks(&topic, number, PATIENCE).unwrap();
            let lag = end - committed.unwrap_or(0);
            (lag != 0).then_some((topic, number, lag))
        };
        self.committed().into_iter().filter_map(lag).collect()
    }

    fn wait_for_no_lag(&self) {
        let started = Instant::now();
        let mut lags = self.lags();
        while !lags.is_empty() {
            assert!(started.elapsed() < SEEN, "{lags:?}");
            thread::sleep(Duration::from_millis(100));
            lags = self.lags();
        }
    }
}

/// Writes requests in transactions of five, as a backend may that uses them.
fn ask_in_transactions(kafka: &Kafka, backend: &mut Backend, name: &str) {
    let mut config = kafka.clients().producer();
    config
        .set("transactional.id", format!("backend-{name}"))
        .set("message.timeout.ms", "30000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let requests = kafka.topics().requests;
    for round in 0..4 {
        producer.begin_transaction().unwrap();
        for number in 0..5 {
            let (id, key) = (format!("{name}-{round}-{number}"), format!("c{number}"));
            let body = request(&id, "hello", &["fr", "de"], &key).to_string();
            ["fr", "de"]
                .iter()
                .for_each(|target| backend.ids.ask(&id, target));
            let record = BaseRecord::to(&requests).key(&key).payload(&body);
            producer.send(record).unwrap();
        }
        producer.commit_transaction(PATIENCE).unwrap();
    }
}

#[test]
fn monitors_see_no_lag_when_nothing_is_left_to_do_whoever_wrote_the_last_transaction() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let monitor = Monitor::new(&kafka);
    for delivery in ["exactly-once", "at-least-once"] {
        let settings = kafka.node(sandbox.node());
        let node = LocalNode::start(&settings.set("kafka.delivery", format!("{delivery:?}")));
        ask_in_transactions(&kafka, &mut backend, delivery);
        backend.read_all(PATIENCE);
        backend.ids.assert_exactly_once();
        monitor.wait_for_no_lag();
        // Offsets that were committed beyond the last record lose nothing that comes later.
        backend.ask_named(&format!("{delivery}-later"), &["fr", "de"], 20);
        backend.read_all(PATIENCE);
        backend.ids.assert_exactly_once();
        assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
        monitor.wait_for_no_lag();
        node.drain();
    }
}

#[test]
fn a_node_that_starts_where_only_markers_are_left_shows_no_lag() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let monitor = Monitor::new(&kafka);
    let settings = kafka.node(sandbox.node());
    let mut node = ProcessNode::start(&sandbox, &settings);
    ask_in_transactions(&kafka, &mut backend, "before");
    assert!(backend.read_until(PATIENCE, Ids::is_complete));
    // Before it has moved its offsets.
    node.kill();
    let before = monitor.lags();
    assert!(!before.is_empty(), "markers are left");
    let _node = ProcessNode::start(&sandbox, &settings);
    monitor.wait_for_no_lag();
    backend.ask_named("after", &["fr", "de"], 20);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    monitor.wait_for_no_lag();
}

#[test]
fn offsets_are_committed_in_transactions_and_in_no_other_way() {
    let sandbox = Sandbox::new();
    let cluster = Cluster {
        proxied: true,
        ..Cluster::default()
    };
    let Some(kafka) = Kafka::start(&sandbox, cluster) else {
        return;
    };
    let mut backend = kafka.backend();
    let monitor = Monitor::new(&kafka);
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    backend.ask_named("a", &["fr", "de"], 20);
    backend.read_all(PATIENCE);
    monitor.wait_for_no_lag();
    // A node that has nothing to do commits nothing.
    let commits = kafka.requests(TXN_OFFSET_COMMIT);
    assert!(commits > 0, "the node's requests are seen");
    thread::sleep(Duration::from_secs(4));
    assert_eq!(kafka.requests(TXN_OFFSET_COMMIT), commits);
    node.drain();
    assert_eq!(kafka.requests(OFFSET_COMMIT), 0);
}

/// Watches committed offsets until it is told to stop; returns how often it looked, and every one that went back.
fn watch(monitor: &Monitor, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut last, mut looks, mut back) = (HashMap::new(), 0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for (topic, number, committed) in monitor.committed() {
            let before = last.insert((topic.clone(), number), committed);
            if before.is_some_and(|before| committed < before) {
                back.push(format!("{topic}/{number}: {before:?}, then {committed:?}"));
            }
        }
        looks += 1;
        thread::sleep(Duration::from_millis(10));
    }
    (looks, back)
}

#[test]
fn committed_offsets_never_go_back_while_the_network_is_cut_between_bursts() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let cluster = Cluster {
        proxied: true,
        ..Cluster::default()
    };
    let Some(kafka) = Kafka::start(&sandbox, cluster) else {
        return;
    };
    let mut backend = kafka.backend();
    let monitor = Monitor::new(&kafka);
    let mut chance = SeededRng::of("cuts between bursts");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let watching = thread::spawn(move || {
        let found = watch(&monitor, &stopped);
        (monitor, found)
    });
    let settings = short_lived(fake(&kafka, &sandbox)).set("kafka.session_timeout_ms", 30_000);
    let mut node = ProcessNode::start(&sandbox, &settings);
    for round in 0..8 {
        backend.ask_named(&format!("burst{round}"), &["fr", "de"], 10);
        // Offsets behind markers are committed one to three seconds after the last answer.
        backend.read_until(PATIENCE, Ids::is_complete);
        thread::sleep(chance.millis(0..3_000));
        kafka.cut();
        backend.ask_named(&format!("cut{round}"), &["fr", "de"], 10);
        thread::sleep(chance.millis(500..7_000));
        kafka.heal();
        if round % 3 == 2 {
            node.kill();
            node = ProcessNode::start(&sandbox, &settings);
        }
    }
    backend.read_all(PATIENCE);
    stop.store(true, Ordering::Relaxed);
    let (monitor, (looks, back)) = watching.join().unwrap();
    backend.ids.assert_exactly_once();
    assert!(looks > 100, "{looks}");
    assert!(back.is_empty(), "{back:#?}");
    wait_until("no lag is left", SEEN, || monitor.lags().is_empty());
}
