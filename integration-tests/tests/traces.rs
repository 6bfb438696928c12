//! Traces, as a real OpenTelemetry collector has them.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use babelmesh_integration_tests::{
    Cluster, Collector, Kafka, PATIENCE, ProcessNode, Record, Sandbox, Settings, Span,
    free_address, free_addresses, http::HttpClient, meet, request, wait_for, wait_until,
};
use rustix::process::Signal;
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The producer's header of a trace of this number.
fn sampled(number: u64) -> (String, String) {
    let trace = format!("{number:08x}{}", &TRACE[8..]);
    (format!("00-{trace}-{PARENT}-01"), trace)
}

fn record(topic: &str, id: &str, targets: &[&str], parent: &str) -> Record {
    let body = request(id, "Good morning.", targets, "c1");
    let mut record = Record::to(topic, "", body.to_string());
    let headers = [("traceparent", parent), ("tracestate", "vendor=1")];
    let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned()));
    record.headers.extend(headers);
    record
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("{name} is missing"));
    assert!(found.next().is_none(), "{name} is there twice");
    span
}

/// Whether so many spans have a name.
fn has(spans: &[Span], name: &str, count: usize) -> bool {
    spans.iter().filter(|span| span.name == name).count() >= count
}

fn below(spans: &[Span], parent: &Span) -> Vec<Span> {
    let children = spans.iter().filter(|span| span.is_below(parent));
    children.cloned().collect()
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

#[test]
fn actors_that_fail_are_replaced_and_pools_that_scale_say_why() {
    let sandbox = Sandbox::new();
    let Some(collector) = Collector::start(&sandbox) else {
        return;
    };
    let settings = sandbox
        .node()
        .set("pool.max_actors", 4)
        .set("pool.batch.segments", 4)
        .set("engine.fake.segment_us", 5_000)
        .set("engine.fake.crash_on", "\"[[crash]]\"")
        .set("scaling.delay_target.shrink_window_ms", 2_000);
    let mut node = ProcessNode::start(&sandbox, &collector.of(settings, "grpc"));
    let mut backend = node.backend();
    backend.ask(&request("crash", "A [[crash]] here.", &["fr"], "c"));
    for number in 0..1_500 {
        let id = format!("m{number}");
        backend.ask(&request(
            &id,
            "Good morning.",
            &["fr"],
            &format!("c{number}"),
        ));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let spawned = node.log().matches("model actor spawned").count();
    node.stop(PATIENCE);
    let spans = collector.all("lives of all actors", |spans| has(spans, "actor", spawned));
    let actors: Vec<_> = spans.iter().filter(|span| span.name == "actor").collect();
    let failed = actors.iter().find(|span| span.error.is_some());
    let failed = failed.expect("an actor failed");
    assert!(
        failed.error.as_ref().unwrap().contains("crash"),
        "{failed:?}"
    );
    assert!(
        actors.iter().any(|actor| actor.is_linked_to(failed)),
        "another one took its place"
    );
    let scaled = spans.iter().filter(|span| span.name == "scale");
    let up: Vec<_> = scaled
        .filter(|span| {
            let number = |name| span.attribute(name).parse::<u32>().unwrap();
            number("babelmesh.to") > number("babelmesh.from")
        })
        .collect();
    assert!(!up.is_empty(), "the pool grew");
    for span in up {
        let inputs: serde_json::Value =
            serde_json::from_str(span.attribute("babelmesh.inputs")).unwrap();
        assert!(inputs["owned"].is_number(), "{inputs}");
        assert!(!span.attribute("babelmesh.reason").is_empty());
    }
}

#[test]
fn requests_by_http_are_spans_that_their_jobs_are_below() {
    let sandbox = Sandbox::new();
    let Some(collector) = Collector::start(&sandbox) else {
        return;
    };
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("cache.memory_mb", 8);
    let node = ProcessNode::start(
        &sandbox,
        &collector
            .of(settings, "grpc")
            .set("telemetry.traces.sampling_ratio", 0),
    );
    let http = http_of(&node);
    let unseen = json!({"q": "Nobody follows this.", "source": "en", "target": "fr"}).to_string();
    let body = json!({"q": ["Good morning.", "Good evening."], "source": "en", "target": "fr"})
        .to_string();
    let (parent, trace) = sampled(2);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(http.send("POST", "/translate", json, &unseen).status, 200);
    let headers = format!("{json}traceparent: {parent}\r\n");
    assert_eq!(http.send("POST", "/translate", &headers, &body).status, 200);
    let span = collector.wait_for(&trace, "POST /translate", 1).remove(0);
    assert_eq!((span.parent.as_str(), span.kind), (PARENT, 2));
    assert_eq!(span.attribute("http.response.status_code"), "200");
    let jobs = collector.wait_for(&trace, "job", 2);
    for job in &jobs {
        assert!(job.is_below(&span));
        assert!(job.start >= span.start && job.end <= span.end + 1_000_000);
        let stages = below(&collector.spans(), job);
        let (queue, inference) = (named(&stages, "job.queue"), named(&stages, "job.inference"));
        assert!(queue.end <= inference.end);
    }
    // What is remembered needs no inference, and says so.
    let (parent, trace) = sampled(3);
    let headers = format!("{json}traceparent: {parent}\r\n");
    assert_eq!(http.send("POST", "/translate", &headers, &body).status, 200);
    for job in collector.wait_for(&trace, "job", 2) {
        assert_eq!(job.attribute("babelmesh.from_cache"), "true");
        let stages = below(&collector.spans(), &job);
        assert!(stages.iter().any(|stage| stage.name == "job.queue"));
        assert!(stages.iter().all(|stage| stage.name != "job.inference"));
    }
    let spans = collector.spans();
    let requests = spans.iter().filter(|s| s.name == "POST /translate").count();
    assert_eq!(requests, 2, "the first one is not sampled");
}

/// The HTTP edge that a node tells of in its log.
fn http_of(node: &ProcessNode) -> HttpClient {
    wait_for("the node tells where it listens", PATIENCE, || {
        let log = node.log();
        let (_, rest) = log.split_once("http=\"http://")?;
        rest.split_once('/')?.0.parse().ok().map(HttpClient)
    })
}

/// Nodes of one cluster with brokers of their own, of which only the first has work.
fn pair(sandbox: &Sandbox, collector: &Collector) -> Vec<ProcessNode> {
    let listen = free_addresses::<2>();
    let mut nodes: Vec<_> = listen
        .iter()
        .map(|at| {
            let settings = sandbox.node().clustered(at, listen[0]).actors(1);
            let settings = settings
                .set("engine.fake.segment_us", 5_000)
                .set("pool.batch.segments", 8)
                .set("offload.sustain_ms", 300)
                .set("telemetry.traces.sampling_ratio", 0);
            ProcessNode::start_cold(sandbox, &collector.of(settings, "grpc"))
        })
        .collect();
    for node in &mut nodes {
        node.wait_ready();
    }
    meet(&nodes);
    nodes
}

#[test]
fn a_trace_goes_on_at_the_node_that_helps_or_is_asked() {
    let sandbox = Sandbox::new();
    let Some(collector) = Collector::start(&sandbox) else {
        return;
    };
    let nodes = pair(&sandbox, &collector);
    let mut backend = nodes[0].backend();
    let topic = backend.topics.requests.clone();
    let (parent, trace) = sampled(3);
    for number in 0..1_500 {
        let mut record = record(&topic, &format!("m{number}"), &["fr"], &parent);
        // One conversation each, so that all partitions are used.
        let body = request(
            &format!("m{number}"),
            "Good morning.",
            &["fr"],
            &format!("c{number}"),
        );
        record.payload = Some(body.to_string().into_bytes());
        backend.ask_by(record);
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let lent = nodes[1].status().pools[0].loans.batches;
    assert!(lent > 0, "the other node did not help");
    let _ = collector.wait_for(&trace, "job", 1_500);
    let helped = wait_for("a batch of the other node", PATIENCE, || {
        let spans = collector.spans();
        let there = |span: &&Span| span.name == "batch" && span.node == nodes[1].name();
        let child = spans.iter().find(there)?;
        let here = spans.iter().find(|span| child.is_below(span))?;
        Some((here.clone(), child.clone(), spans))
    });
    let (here, there, spans) = helped;
    assert_eq!(here.node, nodes[0].name());
    assert_eq!(here.attribute("babelmesh.peer"), nodes[1].name());
    assert_eq!(there.attribute("babelmesh.lent_by"), nodes[0].name());
    let member = spans
        .iter()
        .find(|s| s.name == "job" && here.is_linked_to(s));
    let member = member.expect("the batch knows its jobs");
    assert_eq!(
        (member.trace.as_str(), member.node.as_str()),
        (trace.as_str(), nodes[0].name().as_str())
    );

    let (parent, trace) = sampled(4);
    let output = sandbox
        .command()
        .args(["translate", "--from", "en", "--to", "fr", "--via-node"])
        .arg(nodes[1].name())
        .arg("--socket")
        .arg(nodes[0].socket())
        .arg("Good night.")
        .env("TRACEPARENT", parent)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let job = collector.wait_for(&trace, "job", 1).remove(0);
    let forward = collector.wait_for(&trace, "forward", 1).remove(0);
    assert_eq!(
        (forward.parent.as_str(), forward.node.clone()),
        (PARENT, nodes[0].name())
    );
    assert!(job.is_below(&forward));
    assert_eq!(job.node, nodes[1].name());
}

/// Bytes of memory that a process has resident.
fn resident(node: &ProcessNode) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn dropped(http: HttpClient) -> f64 {
    let page = http.get("/metrics").body;
    let lines = page
        .lines()
        .filter(|l| l.starts_with("babelmesh_spans_dropped_total{"));
    lines
        .map(|l| l.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

/// A node that traces everything for a collector that is of no use.
fn serve_without(endpoint: &str, protocol: &str) {
    let sandbox = Sandbox::new();
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("telemetry.traces.endpoint", endpoint)
        .set("telemetry.traces.protocol", protocol)
        .set("telemetry.traces.sampling_ratio", 1)
        .set("telemetry.traces.export_timeout_ms", 1_000)
        .set("telemetry.traces.queue_spans", 1_024)
        .set("telemetry.traces.batch_spans", 128);
    let mut node = ProcessNode::start(&sandbox, &settings);
    let http = http_of(&node);
    let mut backend = node.backend();
    let (started, mut sizes) = (Instant::now(), Vec::new());
    for round in 0..5 {
        for number in 0..2_000 {
            let id = format!("{round}-{number}");
            backend.ask(&request(
                &id,
                "Good morning.",
                &["fr"],
                &format!("c{number}"),
            ));
        }
        backend.read_all(PATIENCE);
        sizes.push(resident(&node));
    }
    backend.ids.assert_exactly_once();
    let page = http.get("/metrics").body;
    assert!(
        page.contains("babelmesh_spans_exported_total 0\n"),
        "{page}"
    );
    // Each message has ten spans or so.
    wait_until("drops are counted", PATIENCE, || dropped(http) > 50_000.0);
    let grown = sizes[4].saturating_sub(sizes[1]);
    assert!(grown < 64 << 20, "it grew by {grown} bytes: {sizes:?}");
    let told = node.log().matches("dropping spans").count();
    let most = usize::try_from(started.elapsed().as_secs() / 30).unwrap() + 2;
    assert!(
        (1..=most).contains(&told),
        "told {told} times: {}",
        node.log()
    );
    let stopping = Instant::now();
    node.signal(Signal::TERM);
    assert!(node.wait(PATIENCE).success());
    let took = stopping.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?} to stop");
}

#[test]
fn a_collector_that_is_away_costs_neither_service_nor_memory() {
    let endpoint = format!("http://{}", free_address());
    serve_without(&endpoint, "grpc");
    serve_without(&endpoint, "http");
}

#[test]
fn a_collector_that_never_answers_costs_neither_service_nor_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // It reads, and says nothing.
            thread::spawn(move || stream.unwrap().read_to_end(&mut Vec::new()));
        }
    });
    serve_without(&endpoint, "grpc");
}
