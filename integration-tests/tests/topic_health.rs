//! Topics that go away: what depends on them waits or fails, operators see it, and nothing else is disturbed.

use std::time::{Duration, Instant};

use babelmesh_integration_tests::{
    Backend, Cluster, Ids, Kafka, LocalNode, PATIENCE, Sandbox, measured, request, wait_until,
};

/// Problems are seen within so long.
const SEEN: Duration = Duration::from_secs(10);

fn ask(backend: &mut Backend, name: &str, target: &str) {
    for number in 0..20 {
        let (id, conversation) = (format!("{name}-{number}"), format!("c{number}"));
        backend.ask(&request(&id, "hello", &[target], &conversation));
    }
    backend.flush();
}

fn errors<'b>(backend: &'b Backend, name: &str) -> Vec<&'b str> {
    let such = |id: &str| id.split('-').next() == Some(name);
    let answers = backend.ids.all();
    let mine = answers.filter(|answer| such(&answer.result.message_id));
    mine.map(|answer| answer.error()).collect()
}

/// What `/ready` misses.
fn missing(node: &LocalNode) -> Vec<String> {
    let answer = node.http().get("/ready");
    let missing = answer.json()["missing"].clone();
    assert_eq!(answer.status == 200, missing.as_array().unwrap().is_empty());
    serde_json::from_value(missing).unwrap()
}

fn wait_for(node: &LocalNode, what: &str, wanted: &[String]) -> Duration {
    let started = Instant::now();
    wait_until(what, PATIENCE, || missing(node) == wanted);
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
    ask(&mut backend, "lost", "fr");
    ask(&mut backend, "other", "de");
    let gone = [format!("topic {french} does not exist")];
    let seen = wait_for(&node, "the missing topic is seen", &gone);
    measured(
        "topic health: a missing topic is in /ready after",
        format_args!("{seen:.1?}"),
    );
    assert!(seen < SEEN, "{seen:?}");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(errors(&backend, "other"), [""; 20]);
    assert_eq!(errors(&backend, "lost"), ["topic_unavailable"; 20]);
    // Known by now: nobody waits.
    ask(&mut backend, "again", "fr");
    ask(&mut backend, "more", "de");
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
    ask(&mut backend, "back", "fr");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert_eq!(errors(&backend, "back"), [""; 20]);
    assert_eq!(errors(&backend, "more"), [""; 20]);
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
    ask(&mut backend, "before", "fr");
    backend.read_all(PATIENCE);
    kafka.delete_topic(&format!("{}.fr", kafka.topics().jobs));
    for round in 0..2 {
        ask(&mut backend, &format!("refused{round}"), "fr");
        ask(&mut backend, &format!("other{round}"), "de");
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
    ask(&mut backend, "held", "fr");
    let gone = [format!("topic {results} does not exist")];
    let seen = wait_for(&node, "the missing topic is seen", &gone);
    assert!(seen < SEEN, "{seen:?}");
    kafka.create_topics(4);
    wait_for(&node, "the topic is there again", &[]);
    let mut later = kafka.backend();
    later.ids = std::mem::take(&mut backend.ids).unread();
    later.read_all(PATIENCE);
    later.ids.assert_exactly_once();
    assert_eq!(errors(&later, "held"), [""; 20]);
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
    ask(&mut backend, "before", "fr");
    backend.read_all(PATIENCE);
    kafka.delete_topic(&kafka.topics().requests);
    kafka.create_topics(4);
    std::thread::sleep(Duration::from_secs(3));
    // More than there were before: the old offsets exist in the new topic.
    for name in ["a", "b", "c", "d", "e"] {
        ask(&mut backend, name, "fr");
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    node.drain();
}
