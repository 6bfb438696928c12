//! HTTP requests are spans, and the spans of their jobs are below them.

use babelmesh_integration_tests::{Collector, ProcessNode, Sandbox};
use serde_json::json;

use super::{PARENT, below, http_of, named, sampled};

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
