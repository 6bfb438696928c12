//! Topics that go away: what depends on them waits or fails, operators see it, and nothing else is disturbed.

use std::time::{Duration, Instant};

use babelmesh_integration_tests::{
    Cluster, Ids, Kafka, LocalNode, PATIENCE, Sandbox, measured, wait_until,
};

/// Problems are seen within so long.
const SEEN: Duration = Duration::from_secs(10);

fn wait_for(node: &LocalNode, what: &str, wanted: &[String]) -> Duration {
    let started = Instant::now();
    wait_until(what, PATIENCE, || node.missing() == wanted);
    started.elapsed()
}

#[test]
fn a_missing_topic_of_one_language_is_seen_and_stops_no_other_language() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = kafka.node(sandbox.node());
    let node = LocalNode::start(&settings.set("http.listen", "\"127.0.0.1:0\""));
    let jobs = kafka.topics().jobs;
    wait_for(&node, "the node is ready", &[]);

    let french = format!("{jobs}.fr");
    kafka.delete_topic(&french);
    backend.ask_named("lost", &["fr"], 20);
    backend.ask_named("other", &["de"], 20);
    let gone = [format!("topic {french} does not exist")];
    let seen = wait_for(&node, "the missing topic is seen", &gone);
    measured(
        "topic health: a missing topic is in /ready after",
        format_args!("{seen:.1?}"),
    );
    assert!(seen < SEEN, "{seen:?}");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.errors_of("other"), [""; 20]);
    assert_eq!(backend.ids.errors_of("lost"), ["topic_unavailable"; 20]);
    // Known by now: nobody waits.
    backend.ask_named("again", &["fr"], 20);
    backend.ask_named("more", &["de"], 20);
    let started = Instant::now();
    backend.read_until(PATIENCE, Ids::is_complete);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let metrics = node.http().get("/metrics").body;
    assert!(metrics.contains(&format!(
        "babelmesh_topic_available{{topic=\"{french}\"}} 0"
    )));
    assert!(metrics.contains("babelmesh_topic_problems 1"));
    let problems = node.status().topic_problems;
    assert_eq!((problems.len(), problems[0].topic.as_str()), (1, &*french));

    kafka.create_topics(4);
    wait_for(&node, "the topic is there again", &[]);
    backend.ask_named("back", &["fr"], 20);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.errors_of("back"), [""; 20]);
    assert_eq!(backend.ids.errors_of("more"), [""; 20]);
    node.drain();
}

#[test]
fn a_missing_topic_stops_no_other_language_with_at_least_once_delivery() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = kafka.node(sandbox.node());
    let node = LocalNode::start(&settings.set("kafka.delivery", "\"at-least-once\""));
    backend.ask_named("before", &["fr"], 20);
    backend.read_all(PATIENCE);
    kafka.delete_topic(&format!("{}.fr", kafka.topics().jobs));
    for round in 0..2 {
        backend.ask_named(&format!("refused{round}"), &["fr"], 20);
        backend.ask_named(&format!("other{round}"), &["de"], 20);
        backend.read_until(PATIENCE, Ids::is_complete);
        backend.ids.assert_nothing_lost();
    }
    for answer in backend.ids.all() {
        let id = &answer.result.message_id;
        let wanted = match id.contains("refused") {
            true => "topic_unavailable",
            false => "",
        };
        assert_eq!(answer.error(), wanted, "{id}");
    }
    node.drain();
}

#[test]
fn without_a_topic_of_results_a_node_is_not_ready_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = kafka.node(sandbox.node());
    let node = LocalNode::start(&settings.set("http.listen", "\"127.0.0.1:0\""));
    let results = kafka.topics().results;
    kafka.delete_topic(&results);
    backend.ask_named("held", &["fr"], 20);
    let gone = [format!("topic {results} does not exist")];
    let seen = wait_for(&node, "the missing topic is seen", &gone);
    assert!(seen < SEEN, "{seen:?}");
    kafka.create_topics(4);
    wait_for(&node, "the topic is there again", &[]);
    let mut later = kafka.backend();
    later.ids = std::mem::take(&mut backend.ids).unread();
    later.read_all(PATIENCE);
    later.ids.assert_exactly_once();
    assert_eq!(later.ids.errors_of("held"), [""; 20]);
    node.drain();
}

#[test]
fn a_topic_that_is_deleted_and_made_again_is_read_from_its_beginning() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    backend.ask_named("before", &["fr"], 20);
    backend.read_all(PATIENCE);
    kafka.delete_topic(&kafka.topics().requests);
    kafka.create_topics(4);
    std::thread::sleep(Duration::from_secs(3));
    // More than there were before: the old offsets exist in the new topic.
    for name in ["a", "b", "c", "d", "e"] {
        backend.ask_named(name, &["fr"], 20);
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    node.drain();
}
