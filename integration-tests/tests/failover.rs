//! Several models for one pair of languages: each is probed for itself, and the work of one that fails goes to another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use babelmesh_actors::events::Event;
use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, Settings, free_address, wait_until,
};

/// Two models for the same pairs, of one tier.
fn twins(sandbox: &Sandbox, settings: Settings) -> Settings {
    let first = sandbox.model("models", "first", &["en"], &["fr", "de"]);
    let second = sandbox.model("models", "second", &["en"], &["fr", "de"]);
    assert_eq!(first, second);
    let edge = free_address();
    settings
        .set("models.directories", second)
        .set("models.load", r#"["first", "second"]"#)
        .set("http.listen", format_args!("\"{edge}\""))
        .set("pool.restart_first_ms", 20)
        .set("pool.restart_most_ms", 200)
        .actors(1)
}

/// Whether the model of this id did a batch.
fn worked(node: &LocalNode, model: &str, since: usize) -> bool {
    let of = |event: &Event| matches!(event, Event::BatchDone { pool, .. } if **pool == *model);
    node.events().count(of) > since
}

#[test]
fn each_of_two_idle_models_of_one_pair_is_probed_for_itself() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&twins(&sandbox, sandbox.node()));
    let started = Instant::now();
    wait_until(
        "both are probed",
        PATIENCE.max(Duration::from_secs(60)),
        || worked(&node, "first", 0) && worked(&node, "second", 0),
    );
    assert!(
        started.elapsed() < Duration::from_secs(45),
        "{:?}",
        started.elapsed()
    );
    let ready = node.http().get("/ready");
    assert_eq!(ready.status, 200, "{}", ready.body);
}
