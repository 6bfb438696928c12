//! Missing topics with at-least-once delivery: jobs for them are answered, and no other language is held up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use babelmesh_integration_tests::{
    Backend, Cluster, Ids, Kafka, LocalNode, PATIENCE, Sandbox, Settings, request,
};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    kafka.clients().admin().create().unwrap()
}

fn ask(backend: &mut Backend, name: &str, target: &str) {
    for number in 0..20 {
        let (id, conversation) = (format!("{name}-{number}"), format!("c{number}"));
        backend.ask(&request(&id, "hello", &[target], &conversation));
    }
    backend.flush();
}

/// Asks for a language whose topic takes nothing and for another one; each is answered.
fn check(kafka: &Kafka, settings: Settings, break_topic: impl Fn(&str)) {
    let mut backend = kafka.backend();
    let node = LocalNode::start(&settings);
    ask(&mut backend, "before", "fr");
    backend.read_all(PATIENCE);
    break_topic(&format!("{}.fr", kafka.topics().jobs));
    for round in 0..2 {
        ask(&mut backend, &format!("refused{round}"), "fr");
        ask(&mut backend, &format!("other{round}"), "de");
        backend.read_until(PATIENCE, Ids::is_complete);
        backend.ids.assert_nothing_lost();
    }
    for answer in backend.ids.all() {
        let id = &answer.result.message_id;
        let wanted = if id.contains("refused") {
            "topic_unavailable"
        } else {
            ""
        };
        assert_eq!(answer.error(), wanted, "{id}");
    }
    node.drain();
}

#[test]
fn a_missing_topic_stops_no_other_language_with_at_least_once_delivery() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let settings = kafka.node(sandbox.node());
    let settings = settings.set("kafka.delivery", "\"at-least-once\"");
    check(&kafka, settings, |topic| {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = block_on(admin(&kafka).delete_topics(&[topic], &options));
        assert!(deleted.unwrap().iter().all(Result::is_ok));
    });
}
