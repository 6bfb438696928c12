//! A trace continues at another node when work is offloaded or forwarded to it.

use babelmesh_integration_tests::{
    Collector, PATIENCE, ProcessNode, Sandbox, Span, free_addresses, meet, request, wait_for,
};

use super::{PARENT, record, sampled};

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
