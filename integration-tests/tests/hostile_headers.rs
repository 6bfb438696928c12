//! Headers of records are bytes of a producer's choice: none of them disturbs anything.
//!
//! Clients in Rust cannot write a header name that is not UTF-8; a Python one can.

use babelmesh_integration_tests::{
    Backend, Cluster, Kafka, LocalNode, PATIENCE, Sandbox, clients::Interpreter,
};

/// Writes records that each have a header which is hard to read, with good ones before and after each. Names that are no UTF-8 are made by a
/// string that encodes itself as other bytes.
const PRODUCER: &str = r#"
import json, os
from kafka import KafkaProducer

class Raw(str):
    def encode(self, *_):
        return bytes.fromhex(str(self))

def request(name):
    return json.dumps({"messageId": name, "text": "hello", "sourceLanguage": "en", "targetLanguages": ["fr"]}).encode()

hostile = {
    "name": [(Raw("6bff"), b"v")],
    "names": [(Raw("ff"), b"v")] * 3000,
    "value": [("k", b"\xc3\x28")],
    "empty": [("", b"")],
    "many": [(f"k{n}", b"v") for n in range(200)],
    "long": [("traceparent", b"x" * 300000), ("tracestate", b"y" * 600)],
    "behind": [(Raw("6bff"), b"v"), ("babelmesh-replays", b"3")],
}
producer = KafkaProducer(bootstrap_servers=os.environ["BOOTSTRAP"])
for topic in os.environ["TOPICS"].split(","):
    short = topic.rsplit(".", 1)[-1]
    for name, headers in hostile.items():
        for suffix, these in (("before", []), ("hostile", headers), ("after", [])):
            producer.send(topic, request(f"{short}-{name}-{suffix}"), key=b"c", headers=these)
    # One that is dead-lettered, with such a header.
    producer.send(topic, b"{", key=b"c", headers=hostile["name"])
producer.flush()
"#;

const NAMES: [&str; 7] = ["name", "names", "value", "empty", "many", "long", "behind"];

fn producer() -> Option<Interpreter> {
    Interpreter::python("kafka-python", &["kafka-python==2.2.15"])
}

fn check(backend: &mut Backend, node: &LocalNode, python: &Interpreter, topics: [&str; 2]) {
    for topic in topics {
        let short = topic.rsplit('.').next().unwrap();
        for name in NAMES {
            for suffix in ["before", "hostile", "after"] {
                backend.ids.ask(&format!("{short}-{name}-{suffix}"), "fr");
            }
        }
    }
    let bootstrap = node.clients().bootstrap().to_owned();
    let _ = python.run(
        PRODUCER,
        &[("BOOTSTRAP", &bootstrap), ("TOPICS", &topics.join(","))],
    );
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        assert_eq!(answer.text(), "fr:hello", "{:?}", answer.result.message_id);
    }
    let letters = backend.letters(2, PATIENCE);
    let codes: Vec<_> = letters
        .iter()
        .map(|letter| letter.header("babelmesh-error-code"))
        .collect();
    assert_eq!(codes, ["invalid_json", "invalid_json"]);
    assert_eq!(node.events().failures(), []);
}

#[test]
fn headers_of_any_bytes_disturb_nothing() {
    let Some(python) = producer() else { return };
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let topics = ["translation.requests", "translation.jobs.fr"];
    check(&mut backend, &node, &python, topics);
    // An invalid trace context is dropped.
    let long = backend.ids.of("requests-long-hostile", "fr");
    assert_eq!(long.record.header("traceparent"), "");
}

#[test]
fn headers_of_any_bytes_disturb_nothing_on_a_real_broker() {
    let Some(python) = producer() else { return };
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    kafka.create_topics(1);
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    let mut backend = kafka.backend();
    let names = kafka.topics();
    let jobs = format!("{}.fr", names.jobs);
    let topics = [names.requests.as_str(), jobs.as_str()];
    check(&mut backend, &node, &python, topics);
    node.drain();
}
