//! Requests for several languages come back as one result for each.

use std::collections::{BTreeMap, BTreeSet};

use babelmesh_integration_tests::{LocalNode, PATIENCE, Record, Sandbox, request};
use serde_json::{Value, json};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn requests_for_two_languages_come_back_exactly_once_in_each() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    for number in 0..2_000 {
        let conversation = format!("c{}", number % 20);
        backend.ask(&request(
            &format!("m{number}"),
            &format!("hello {number}"),
            &["fr", "de"],
            &conversation,
        ));
    }
    backend.read_all(PATIENCE);
    assert_eq!(backend.ids.asked(), 4_000);
    backend.ids.assert_exactly_once();
    for number in 0..2_000 {
        for target in ["fr", "de"] {
            let answer = backend.ids.of(&format!("m{number}"), target);
            assert_eq!(answer.text(), format!("{target}:hello {number}"));
        }
    }
    assert!(backend.letters(0, PATIENCE).is_empty());
}

#[test]
fn results_of_a_conversation_leave_in_the_order_of_its_requests() {
    let sandbox = Sandbox::new();
    // Several actors with small batches finish in any order; long texts wait for several batches.
    let slow = sandbox.node().actors(4).set("pool.batch.segments", 2);
    let node = LocalNode::start(
        &slow
            .set("engine.fake.segment_us", 2_000)
            .set("kafka.partitions", 2),
    );
    let mut backend = node.backend();
    for number in 0..400 {
        let text = if number % 7 == 0 {
            "One sentence. ".repeat(20)
        } else {
            format!("hello {number}")
        };
        let conversation = format!("c{}", number % 10);
        backend.ask(&request(
            &format!("{number}"),
            &text,
            &["fr", "de"],
            &conversation,
        ));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let workers: BTreeSet<_> = backend
        .ids
        .all()
        .map(|answer| &answer.result.worker_name)
        .collect();
    assert_eq!(
        workers.len(),
        4,
        "order was at risk: every actor had a part in it"
    );
    let mut newest: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for (message, target) in backend.ids.in_order() {
        let number: usize = message.parse().unwrap();
        let before = newest.insert((number % 10, target), number);
        assert!(
            before.is_none_or(|before| before < number),
            "{number} to {target} came after {before:?}"
        );
    }
}

#[test]
fn the_trace_context_of_a_request_is_copied_to_its_results() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("node.name", "named");
    let node = LocalNode::start(&settings);
    let mut backend = node.backend();
    let body = json!({
        "taskId": "t1", "messageId": "m1", "text": "The weather is lovely, shall we go for a walk together?", "sourceLanguage": "auto",
        "targetLanguages": ["fr-CA", "DE"], "conversationId": "c1", "modelType": "premium",
        "userId": "unknown fields are ignored", "timestamp": 12,
    });
    let mut record = Record::to(&backend.topics.requests, "", body.to_string());
    record
        .headers
        .insert("traceparent".to_owned(), PARENT.to_owned());
    record
        .headers
        .insert("tracestate".to_owned(), "vendor=1".to_owned());
    backend.ask_by(record);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for (target, language) in [("fr-CA", "fr"), ("DE", "de")] {
        let answer = backend.ids.of("m1", target);
        let result: Value =
            serde_json::from_slice(answer.record.payload.as_deref().unwrap()).unwrap();
        let expected = json!({
            "taskId": "t1", "messageId": "m1", "sourceLanguage": "auto", "detectedLanguage": "en",
            "targetLanguage": target, "modelType": "basic", "modelId": "demo-en-fr-de",
            "route": ["en", language], "poolType": "normal", "node": "named", "fromCache": false,
            "segmentsCount": 1, "translatedText": format!("{language}:The weather is lovely, shall we go for a walk together?"),
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&result[field], value, "{field}");
        }
        let confidence = result["confidenceScore"].as_f64().unwrap();
        assert!(confidence > 0.0 && confidence <= 1.0, "{confidence}");
        assert!(
            result["workerName"]
                .as_str()
                .unwrap()
                .starts_with("demo-en-fr-de/")
        );
        assert!(result["batchSize"].as_u64().unwrap() >= 1);
        assert!(result["queueTimeMs"].as_f64().unwrap() >= 0.0);
        assert!(result["processingTimeMs"].as_f64().unwrap() >= 0.0);
        assert!(result.get("error").is_none());
        assert_eq!(answer.record.key, "c1");
        assert_eq!(answer.record.header("traceparent"), PARENT);
        assert_eq!(answer.record.header("tracestate"), "vendor=1");
        assert_eq!(
            answer.record.header("babelmesh-idempotency-key"),
            format!("m1:{target}")
        );
    }
}

#[test]
fn a_job_may_be_published_straight_to_its_language_topic() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let topics = [
        ("normal", "translation.jobs.fr"),
        ("bulk", "translation.jobs.fr.any"),
    ];
    for (id, topic) in topics {
        let body =
            json!({"messageId": id, "text": "Hi", "sourceLanguage": "en", "targetLanguage": "fr"});
        backend.ask_by(Record::to(topic, "", body.to_string()));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for (id, _) in topics {
        assert_eq!(backend.ids.of(id, "fr").text(), "fr:Hi");
    }
}

#[test]
fn text_without_language_is_passed_through() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    let untouched = ["🎉🎉", "👩‍👩‍👧‍👦", "https://example.org/a?b=c", "  \n\t…  "];
    for (number, text) in untouched.iter().enumerate() {
        backend.ask(&request(&format!("m{number}"), text, &["fr"], "c"));
    }
    backend.ask(&request(
        "mixed",
        "\n\n  Hello  \n\n`code here`\n\nBye 👋\n",
        &["fr"],
        "c",
    ));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for (number, text) in untouched.iter().enumerate() {
        let answer = backend.ids.of(&format!("m{number}"), "fr");
        assert_eq!(answer.text(), *text);
        assert_eq!(answer.result.segments_count, 0);
    }
    let mixed = backend.ids.of("mixed", "fr").text();
    assert!(mixed.starts_with("\n\n  fr:Hello  \n\n"), "{mixed:?}");
    assert!(
        mixed.contains("\n\n`code here`\n\n") || mixed.contains("`code here`"),
        "{mixed:?}"
    );
    assert!(
        mixed.ends_with('\n') && mixed.contains("fr:Bye"),
        "{mixed:?}"
    );
}

#[test]
fn text_without_language_is_passed_through_for_any_pair() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node());
    let mut backend = node.backend();
    for (number, text) in ["🎉🎉", "https://example.org/a?b=c", "12:30", "…"]
        .iter()
        .enumerate()
    {
        let mut body = request(&format!("m{number}"), text, &["fr"], "c");
        body["sourceLanguage"] = json!("auto");
        backend.ask(&body);
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    assert!(backend.letters(0, PATIENCE).is_empty());
}
