//! Topics that answers cannot be written to: what has to be written there waits or is answered, operators see it, and everything else goes on.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Backend, Cluster, Ids, Kafka, LocalNode, PATIENCE, Record, Sandbox, Settings, measured,
    request, wait_until,
};

/// Problems are seen within so long.
const SEEN: Duration = Duration::from_secs(10);

fn http(settings: &Settings) -> Settings {
    settings.clone().set("http.listen", "\"127.0.0.1:0\"")
}

/// Conversations by the partition of four that their records are in, so that a test can tell which wait.
struct Conversations(BTreeMap<u32, Vec<String>>);

impl Conversations {
    fn new() -> Self {
        let mut by_partition = BTreeMap::<u32, Vec<String>>::new();
        for number in 0..200 {
            let name = format!("c{number}");
            let partition = crc32(name.as_bytes()) % 4;
            by_partition.entry(partition).or_default().push(name);
        }
        Self(by_partition)
    }

    fn ask(&self, backend: &mut Backend, name: &str, target: &str, partition: u32) {
        for (number, conversation) in self.0[&partition].iter().take(10).enumerate() {
            let id = format!("{name}-{number}");
            backend.ask(&request(&id, "hello", &[target], conversation));
        }
        backend.flush();
    }
}

/// How librdkafka chooses partitions.
fn crc32(bytes: &[u8]) -> u32 {
    let table = |mut value: u32| {
        for _ in 0..8 {
            let carry = value & 1;
            value >>= 1;
            if carry == 1 {
                value ^= 0xedb8_8320;
            }
        }
        value
    };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        table((crc ^ u32::from(*byte)) & 0xff) ^ (crc >> 8)
    });
    !crc
}

/// Waits until `/ready` says of a topic that it cannot be written; returns what it says and after which time.
fn wait_for_problem(node: &LocalNode, topic: &str) -> (String, Duration) {
    let (started, mut said) = (Instant::now(), String::new());
    wait_until("the topic that cannot be written is seen", PATIENCE, || {
        let found = node.missing().into_iter().find(|m| m.contains(topic));
        said = found.unwrap_or_default();
        !said.is_empty()
    });
    (said, started.elapsed())
}

fn wait_until_ready(node: &LocalNode) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE && !node.missing().is_empty() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(node.missing(), [""; 0], "the node is ready");
}

#[test]
fn too_few_replicas_of_one_languages_topic_stop_no_other_language_and_all_is_answered_once() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(3)) else {
        return;
    };
    let (mut backend, all) = (kafka.backend(), Conversations::new());
    let node = LocalNode::start(&http(&kafka.node(sandbox.node())));
    wait_until_ready(&node);
    all.ask(&mut backend, "before", "de", 0);
    all.ask(&mut backend, "warm", "fr", 1);
    backend.read_all(PATIENCE);

    // One broker less, which German alone cannot do without.
    let german = format!("{}.de", kafka.topics().jobs);
    kafka.configure_topic(&german, &[("min.insync.replicas", "3")]);
    kafka.stop(3);
    all.ask(&mut backend, "held", "de", 0);
    let (said, seen) = wait_for_problem(&node, &german);
    measured(
        "unwritable topics: in /ready after",
        format_args!("{seen:.1?}"),
    );
    assert!(
        said.contains("accepts no records") && seen < SEEN,
        "{said} {seen:?}"
    );
    let waits = format!("{} [0]", kafka.topics().requests);
    wait_until("who waits is told", PATIENCE, || {
        node.missing().iter().any(|m| m.contains(&waits))
    });
    // Partitions without German before it go on, at their usual pace.
    for partition in 1..4 {
        all.ask(&mut backend, &format!("other{partition}"), "fr", partition);
    }
    let started = Instant::now();
    let others = |ids: &Ids| (1..4).all(|p| ids.answered_of(&format!("other{p}")) == 10);
    assert!(backend.read_until(PATIENCE, others), "{:?}", node.missing());
    let took = started.elapsed();
    measured(
        "unwritable topics: others answered after",
        format_args!("{took:.1?}"),
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(backend.ids.answered_of("held"), 0);
    let metrics = node.http().get("/metrics").body;
    assert!(metrics.contains("babelmesh_topic_problems 1"));
    assert!(
        node.status()
            .topic_problems
            .iter()
            .any(|p| p.topic == german)
    );

    kafka.configure_topic(&german, &[("min.insync.replicas", "1")]);
    backend.read_until(PATIENCE, Ids::is_complete);
    wait_until_ready(&node);
    all.ask(&mut backend, "after", "de", 0);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for name in ["held", "other1", "other2", "other3", "after"] {
        assert_eq!(backend.ids.errors_of(name), [""; 10], "{name}");
    }
    node.drain();
}

#[test]
fn a_node_that_is_stopped_while_a_topic_takes_no_records_leaves_all_to_its_successor() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(3)) else {
        return;
    };
    let (mut backend, all) = (kafka.backend(), Conversations::new());
    let settings = http(&kafka.node(sandbox.node()));
    let node = LocalNode::start(&settings);
    wait_until_ready(&node);
    let german = format!("{}.de", kafka.topics().jobs);
    kafka.configure_topic(&german, &[("min.insync.replicas", "3")]);
    kafka.stop(3);
    all.ask(&mut backend, "held", "de", 0);
    let _ = wait_for_problem(&node, &german);
    let started = Instant::now();
    node.drain();
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "nobody waits for what cannot be written: {took:?}"
    );
    // Its transactional ids are of no use to its successor yet.
    let started = Instant::now();
    let successor = LocalNode::start(&settings);
    measured(
        "unwritable topics: a successor is ready after",
        format_args!("{:.1?}", started.elapsed()),
    );
    all.ask(&mut backend, "other", "fr", 1);
    let other = |ids: &Ids| ids.answered_of("other") == 10;
    assert!(
        backend.read_until(PATIENCE, other),
        "{:?}",
        successor.missing()
    );
    assert_eq!(backend.ids.answered_of("held"), 0);
    kafka.configure_topic(&german, &[("min.insync.replicas", "1")]);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.errors_of("held"), [""; 10]);
    successor.drain();
}

#[test]
fn jobs_do_not_wait_for_long_for_a_topic_that_takes_no_records() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(3)) else {
        return;
    };
    let (mut backend, all) = (kafka.backend(), Conversations::new());
    let settings = http(&kafka.node(sandbox.node()));
    let node = LocalNode::start(&settings.set("kafka.answer_jobs_after_ms", 3_000));
    wait_until_ready(&node);
    let german = format!("{}.de", kafka.topics().jobs);
    kafka.configure_topic(&german, &[("min.insync.replicas", "3")]);
    kafka.stop(3);
    for partition in 0..4 {
        all.ask(&mut backend, &format!("lost{partition}"), "de", partition);
        all.ask(&mut backend, &format!("other{partition}"), "fr", partition);
    }
    let (said, seen) = wait_for_problem(&node, &german);
    assert!(
        said.contains("accepts no records") && seen < SEEN,
        "{said} {seen:?}"
    );
    backend.read_until(PATIENCE, Ids::is_complete);
    kafka.configure_topic(&german, &[("min.insync.replicas", "1")]);
    wait_until_ready(&node);
    all.ask(&mut backend, "after", "de", 0);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for partition in 0..4 {
        assert_eq!(
            backend.ids.errors_of(&format!("lost{partition}")),
            ["topic_unavailable"; 10]
        );
        assert_eq!(
            backend.ids.errors_of(&format!("other{partition}")),
            [""; 10]
        );
    }
    assert_eq!(backend.ids.errors_of("after"), [""; 10]);
    node.drain();
}

/// Records that are no requests wait while there are no dead letters; those of other partitions do not.
fn bad_records_wait(delivery: &str) {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let (mut backend, all) = (kafka.backend(), Conversations::new());
    let settings = http(&kafka.node(sandbox.node()));
    let node = LocalNode::start(&settings.set("kafka.delivery", format_args!("{delivery:?}")));
    wait_until_ready(&node);
    all.ask(&mut backend, "before", "fr", 0);
    backend.read_all(PATIENCE);
    let topics = kafka.topics();
    kafka.delete_topic(&topics.dead_letters);
    let conversation = &all.0[&2][0];
    backend.write(&Record::to(&topics.requests, conversation, "{"));
    backend.flush();
    // Behind the bad record, and elsewhere.
    all.ask(&mut backend, "behind", "fr", 2);
    for partition in [0, 1, 3] {
        all.ask(&mut backend, &format!("other{partition}"), "fr", partition);
    }
    let others = |ids: &Ids| {
        [0, 1, 3]
            .iter()
            .all(|p| ids.answered_of(&format!("other{p}")) == 10)
    };
    assert!(backend.read_until(PATIENCE, others), "{:?}", node.missing());
    let gone = format!("topic {} does not exist", topics.dead_letters);
    wait_until("the missing topic is seen", SEEN, || {
        node.missing().contains(&gone)
    });
    // Long enough for everything to be tried again several times.
    std::thread::sleep(Duration::from_secs(8));
    all.ask(&mut backend, "later", "fr", 1);
    let later = |ids: &Ids| ids.answered_of("later") == 10;
    assert!(backend.read_until(PATIENCE, later), "{:?}", node.missing());
    kafka.create_topics(4);
    wait_until_ready(&node);
    let mut reader = kafka.backend();
    reader.ids = std::mem::take(&mut backend.ids).unread();
    reader.read_all(PATIENCE);
    reader.ids.assert_exactly_once();
    let letters = reader.letters(1, PATIENCE);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload.as_deref(), Some(&b"{"[..]));
    node.drain();
}

#[test]
fn without_dead_letters_only_partitions_with_bad_records_wait() {
    bad_records_wait("exactly-once");
}

#[test]
fn without_dead_letters_only_partitions_with_bad_records_wait_and_nothing_is_answered_twice() {
    bad_records_wait("at-least-once");
}

#[test]
fn a_rejected_result_leaves_its_dead_letter_whole() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = kafka.node(sandbox.node());
    let node = LocalNode::start(&settings.set("intake.max_text_chars", 10_000));
    kafka.configure_topic(&kafka.topics().results, &[("max.message.bytes", "200")]);
    let text = "word ".repeat(40_000);
    let long = request("long", &text, &["fr"], "c");
    backend.write(&Record::to(&kafka.topics().requests, "c", long.to_string()));
    backend.flush();
    let letters = backend.letters(1, PATIENCE);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("babelmesh-error-code"), "text_too_long");
    assert_eq!(letters[0].header("babelmesh-original-bytes"), "");
    let payload = letters[0].payload.as_deref().unwrap();
    let kept: serde_json::Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(kept["text"], text);
    kafka.configure_topic(&kafka.topics().results, &[]);
    backend.ask(&request("after", "hello", &["fr"], "c"));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    node.drain();
}

#[test]
fn of_the_jobs_of_a_request_only_the_one_that_is_refused_is_replaced() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    let french = format!("{}.fr", kafka.topics().jobs);
    kafka.configure_topic(&french, &[("max.message.bytes", "1000")]);
    let text = "A sentence of some words. ".repeat(200);
    for number in 0..20 {
        let (id, conversation) = (format!("long-{number}"), format!("c{number}"));
        backend.ask(&request(&id, &text, &["fr", "de"], &conversation));
        let id = format!("short-{number}");
        backend.ask(&request(&id, "hello", &["fr", "de"], &conversation));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        let is_long = answer.result.message_id.starts_with("long");
        let refused = is_long && answer.result.target_language == "fr";
        let wanted = if refused { "result_too_large" } else { "" };
        assert_eq!(answer.error(), wanted, "{:?}", answer.result.message_id);
    }
    let letters = backend.letters(20, PATIENCE);
    assert_eq!(letters.len(), 20);
    for letter in letters {
        let kept: serde_json::Value = serde_json::from_slice(&letter.payload.unwrap()).unwrap();
        assert_eq!(kept["text"], text);
    }
    node.drain();
}
