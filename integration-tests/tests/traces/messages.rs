//! A message can be followed from its producer to its results, and the times of its spans add up.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use babelmesh_integration_tests::{
    Cluster, Collector, Kafka, PATIENCE, ProcessNode, Sandbox, Settings, Span, request,
};

use super::{PARENT, TRACE, below, has, named, record, sampled};

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// Whether two times differ by at most a twentieth of the second.
fn about(what: &str, one: Duration, other: Duration) {
    let apart = one.abs_diff(other).as_secs_f64();
    assert!(
        apart <= other.as_secs_f64() * 0.05,
        "{what}: {one:?} and {other:?}"
    );
}

/// A message for two languages, from its producer to its results.
fn follow(settings: impl FnOnce(Settings) -> Settings, protocol: &str) -> Option<Vec<Span>> {
    let sandbox = Sandbox::new();
    let collector = Collector::start(&sandbox)?;
    let slow = sandbox
        .node()
        .actors(1)
        .set("engine.fake.segment_us", 700_000);
    let settings = collector.of(settings(slow), protocol);
    let mut node = ProcessNode::start(
        &sandbox,
        &settings.set("telemetry.traces.sampling_ratio", 0),
    );
    let mut backend = node.backend();
    let topic = backend.topics.requests.clone();
    // Whatever is only done for the first message is done; its producer does not sample, nor does the node.
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    backend.ask_by(record(&topic, "unsampled", &["fr"], &unsampled));
    backend.ask(&request("untraced", "Good evening.", &["de"], "c1"));
    backend.read_all(PATIENCE);
    let (parent, trace) = sampled(1);
    let began = now_ns();
    backend.ask_by(record(&topic, "m1", &["fr", "de"], &parent));
    backend.flush();
    assert!(backend.read_until(PATIENCE, |ids| ids.is_complete()));
    let took = Duration::from_nanos(now_ns() - began);
    backend.ids.assert_exactly_once();
    let answer = backend.ids.of("unsampled", "fr");
    assert_eq!(answer.record.header("traceparent"), unsampled);
    assert_eq!(
        backend
            .ids
            .of("untraced", "de")
            .record
            .header("traceparent"),
        ""
    );

    let jobs = collector.wait_for(&trace, "job", 2);
    for job in &jobs {
        // Results name the span of their job, so that the backend can go on.
        let answer = backend.ids.of("m1", job.attribute("babelmesh.target"));
        let header = format!("00-{trace}-{}-01", job.id);
        assert_eq!(answer.record.header("traceparent"), header);
        assert_eq!(answer.record.header("tracestate"), "vendor=1");
    }
    node.stop(PATIENCE);
    let spans = collector.all("the actor's life", |spans| has(spans, "actor", 1));
    let of_trace: Vec<_> = spans.iter().filter(|s| s.trace == trace).cloned().collect();
    let request = named(&of_trace, "request");
    assert_eq!((request.parent.as_str(), request.kind), (PARENT, 5));
    assert_eq!(request.attribute("messaging.destination.name"), topic);
    assert_eq!(request.attribute("babelmesh.jobs"), "2");
    let parts = below(&spans, request);
    let mut names: Vec<_> = parts.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "job",
        "job",
        "request.publish",
        "request.split",
        "request.transit",
    ];
    assert_eq!(names, expected);
    for job in &jobs {
        check_job(job, request, &spans, took);
    }
    // Of the other two nothing was kept.
    let messages = spans.iter().map(|s| s.attribute("messaging.message.id"));
    assert!(messages.into_iter().all(|id| id.is_empty() || id == "m1"));
    assert!(spans.iter().all(|span| span.node == node.name()));
    check_life(&spans);
    Some(spans)
}

fn check_job(job: &Span, request: &Span, spans: &[Span], took: Duration) {
    assert_eq!((job.parent.as_str(), job.kind), (request.id.as_str(), 5));
    let target = job.attribute("babelmesh.target");
    let topic = job.attribute("messaging.destination.name");
    let expected = format!("translation.jobs.{target}");
    assert!(topic.ends_with(&expected), "{topic}");
    let stages = below(spans, job);
    let stage = |name| named(&stages, name);
    let inference = stage("job.inference");
    assert_eq!(inference.attribute("babelmesh.model"), "demo-en-fr-de");
    let batch = spans.iter().find(|span| inference.is_linked_to(span));
    let batch = batch.expect("the job knows its batch");
    assert_eq!(batch.name, "batch");
    assert!(batch.is_linked_to(job), "the batch knows its jobs");
    assert!(batch.parent.is_empty(), "a batch has jobs of many traces");
    let actor = spans
        .iter()
        .find(|s| s.name == "actor" && batch.is_linked_to(s));
    let actor = actor.expect("the batch knows its actor");
    assert_eq!(
        actor.attribute("babelmesh.actor"),
        inference.attribute("babelmesh.actor")
    );
    // The whole way: its stages lie one behind the other, and cover it.
    let of_request = below(spans, request);
    let way = [
        named(&of_request, "request.transit"),
        named(&of_request, "request.split"),
        stage("job.transit"),
        stage("job.queue"),
        inference,
        stage("job.publish"),
    ];
    let whole = Duration::from_nanos(job.end - request.start);
    for pair in way.windows(2) {
        let gap = Duration::from_nanos(pair[1].start.abs_diff(pair[0].end));
        let (one, other) = (&pair[0].name, &pair[1].name);
        assert!(gap < whole / 20, "{gap:?} between {one} and {other}");
    }
    about(
        "the stages and the whole",
        way.iter().map(|s| s.duration()).sum(),
        whole,
    );
    // The slower one of the two jobs ends when the backend has both.
    assert!(whole <= took.mul_f64(1.05), "{whole:?} of {took:?}");
    about(
        "inference and its batch",
        inference.duration(),
        batch.duration(),
    );
}

/// What is known of actors in the end.
fn check_life(spans: &[Span]) {
    let actor = named(spans, "actor");
    assert_eq!(actor.attribute("babelmesh.stop_reason"), "drained");
    let start = below(spans, actor);
    let start = named(&start, "actor.start");
    let parts = below(spans, start);
    let (load, warm_up) = (named(&parts, "actor.load"), named(&parts, "actor.warm_up"));
    assert_eq!((load.start, warm_up.end), (start.start, start.end));
    assert!(
        warm_up.duration() >= Duration::from_millis(700),
        "one segment takes so long"
    );
}

#[test]
fn a_message_can_be_followed_by_grpc_and_its_times_add_up() {
    follow(|settings| settings, "grpc");
}

#[test]
fn a_message_can_be_followed_by_http_and_its_times_add_up() {
    follow(|settings| settings, "http");
}

#[test]
fn answers_are_linked_to_the_transaction_that_they_are_in() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let Some(spans) = follow(|settings| kafka.node(settings), "grpc") else {
        return;
    };
    for name in ["request.publish", "job.publish"] {
        for publish in spans.iter().filter(|span| span.name == name) {
            let transaction = spans.iter().find(|span| publish.is_linked_to(span));
            let transaction = transaction.expect("the answer knows its transaction");
            assert_eq!(transaction.attribute("babelmesh.outcome"), "committed");
            assert!(transaction.start >= publish.start && transaction.end >= publish.end);
            let whole = spans.iter().find(|span| publish.is_below(span)).unwrap();
            assert!(transaction.is_linked_to(whole));
        }
    }
}
