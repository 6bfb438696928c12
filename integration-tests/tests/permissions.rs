//! Brokers that check permissions: what a node may not do is seen, and stops nothing that does not depend on it.

use std::time::{Duration, Instant};

use babelmesh_integration_tests::{
    Backend, Cluster, Ids, Kafka, LocalNode, Operation, PATIENCE, Resource, Sandbox, Settings,
    request, wait_until,
};

/// Problems are seen within so long.
const SEEN: Duration = Duration::from_secs(10);

fn start(sandbox: &Sandbox) -> Option<Kafka> {
    let cluster = Cluster {
        secure: true,
        ..Cluster::default()
    };
    let kafka = Kafka::start(sandbox, cluster)?;
    kafka.check_permissions_of(&kafka.security().plain);
    Some(kafka)
}

/// A node that is a user whose permissions are checked.
fn node(sandbox: &Sandbox, kafka: &Kafka) -> Settings {
    let security = kafka.security();
    kafka
        .node(sandbox.node())
        .set(
            "kafka.bootstrap_servers",
            format_args!("{:?}", security.sasl_ssl),
        )
        .set("kafka.security.protocol", "sasl_ssl")
        .set("kafka.security.ca_file", security.ca.display())
        .set("kafka.security.sasl.mechanism", "PLAIN")
        .set("kafka.security.sasl.username", &security.plain.name)
        .set("kafka.security.sasl.password", &security.plain.password)
        .set("http.listen", "\"127.0.0.1:0\"")
}

/// Waits until `/ready` names one thing, of this topic and with these words; returns how long that took.
fn wait_for(node: &LocalNode, topic: &str, words: &[&str]) -> Duration {
    let started = Instant::now();
    wait_until(
        &format!("{topic} is in /ready: {words:?}"),
        PATIENCE,
        || {
            let missing = node.missing();
            let is_it = |line: &String| {
                line.contains(topic) && words.iter().all(|word| line.contains(word))
            };
            missing.len() == 1 && missing.iter().all(is_it)
        },
    );
    started.elapsed()
}

fn wait_until_ready(node: &LocalNode) {
    wait_until("the node is ready", PATIENCE, || node.missing().is_empty());
}

fn assert_metric(node: &LocalNode, topic: &str, available: u8) {
    let metrics = node.http().get("/metrics").body;
    let line = format!("babelmesh_topic_available{{topic=\"{topic}\"}} {available}");
    assert!(metrics.contains(&line), "{metrics}");
}

#[test]
fn a_topic_that_may_not_be_read_is_seen_and_stops_no_other_language() {
    let sandbox = Sandbox::new();
    let Some(kafka) = start(&sandbox) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = LocalNode::start(&node(&sandbox, &kafka));
    wait_until_ready(&node);
    let user = &kafka.security().plain;
    let french = format!("{}.fr", kafka.topics().jobs);
    backend.ask_named("before", &["fr"], 20);
    kafka.forbid(user, Resource::Topic(&french), Operation::Read);
    // Some of these may have been fetched before.
    backend.ask_named("held", &["fr"], 20);
    let took = wait_for(&node, &french, &["cannot be read", "authorization failed"]);
    assert!(took < SEEN, "{took:?}");
    assert_metric(&node, &french, 0);
    let problems = node.status().topic_problems;
    assert_eq!((problems.len(), problems[0].topic.as_str()), (1, &*french));
    backend.ask_named("other", &["de"], 20);
    let others = |ids: &Ids| {
        ids.all()
            .filter(|a| a.result.message_id.starts_with("other"))
            .count()
    };
    let went_on = backend.read_until(PATIENCE, |ids| others(ids) == 20);
    assert!(went_on, "{}", others(&backend.ids));
    kafka.allow(user, Resource::Topic(&french), Operation::Read);
    wait_until_ready(&node);
    assert_metric(&node, &french, 1);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for name in ["before", "held", "other"] {
        assert_eq!(backend.ids.errors_of(name), [""; 20], "{name}");
    }
    node.drain();
}

#[test]
fn a_group_and_a_transactional_id_that_may_not_be_used_are_named() {
    let sandbox = Sandbox::new();
    let Some(kafka) = start(&sandbox) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = node(&sandbox, &kafka);
    let name = settings.config().node.name;
    let user = &kafka.security().plain;
    let transactions = format!("{}-{name}", kafka.group());
    let group = Resource::Group(kafka.group());
    let id = Resource::TransactionalId(&transactions);
    kafka.forbid(user, group, Operation::Read);
    let node = LocalNode::start_cold(&settings);
    let jobs = kafka.topics().jobs;
    let took = wait_for(&node, &jobs, &["cannot be read", kafka.group()]);
    assert!(took < SEEN, "{took:?}");
    kafka.allow(user, group, Operation::Read);
    wait_until_ready(&node);
    node.drain();

    kafka.forbid(user, id, Operation::Write);
    let node = LocalNode::start_cold(&settings);
    let took = wait_for(&node, &jobs, &["cannot be answered", "Transactional Id"]);
    assert!(took < SEEN, "{took:?}");
    backend.ask_named("held", &["fr"], 20);
    kafka.allow(user, id, Operation::Write);
    wait_until_ready(&node);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.errors_of("held"), [""; 20]);
    node.drain();
}

/// A topic that a node may not write to; with what is written to it, and to others, by twenty requests each. At least so many of the others are
/// answered meanwhile: requests behind one that waits, in the same partition, wait too.
fn assert_others_go_on(topic: &str, answered: usize, ask_for_it: impl Fn(&mut Backend)) {
    let sandbox = Sandbox::new();
    let Some(kafka) = start(&sandbox) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = LocalNode::start(&node(&sandbox, &kafka));
    wait_until_ready(&node);
    let user = &kafka.security().plain;
    let topic = topic
        .replace("JOBS", &kafka.topics().jobs)
        .replace("LETTERS", &kafka.topics().dead_letters);
    kafka.forbid(user, Resource::Topic(&topic), Operation::Write);
    ask_for_it(&mut backend);
    backend.ask_named("other", &["de"], 20);
    let went_on = backend.read_until(PATIENCE, |ids| ids.answered_of("other") >= answered);
    assert!(went_on, "{} of 20 others", backend.ids.answered_of("other"));
    let took = wait_for(&node, &topic, &["authorization failed"]);
    assert!(took < SEEN, "{took:?}");
    kafka.allow(user, Resource::Topic(&topic), Operation::Write);
    wait_until_ready(&node);
    backend.ask_named("back", &["fr"], 20);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.errors_of("back"), [""; 20]);
    node.drain();
}

#[test]
fn a_jobs_topic_that_may_not_be_written_stops_no_other_language() {
    assert_others_go_on("JOBS.fr", 20, |backend| {
        backend.ask_named("refused", &["fr"], 20)
    });
}

#[test]
fn dead_letters_that_may_not_be_written_stop_no_other_language() {
    // Some conversations of the others are in the partition of this one, one of four.
    assert_others_go_on("LETTERS", 10, |backend| {
        for number in 0..20 {
            let id = format!("refused-{number}");
            backend.ask(&request(&id, "hello", &["xx"], "c0"));
        }
        backend.flush();
    });
}
