//! Spans of actors that fail and are replaced, and of pools that scale.

use babelmesh_integration_tests::{Collector, PATIENCE, ProcessNode, Sandbox, request};

use super::has;

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
