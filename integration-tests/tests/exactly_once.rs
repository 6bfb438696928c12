//! Delivery through real brokers while nodes, brokers and networks fail. Every test lets messages flow, injects its fault, makes sure that it
//! happened, and then compares the ids that went in with those that a reader of committed records saw.
//!
//! What is random prints its seed; `FAULT_SEED` repeats it. Lines that begin with `measured:` are what the table in docs/src/delivery.md has.

mod backlog;
mod brokers;
mod fencing;
mod hostile;
mod killed_nodes;
mod membership;
mod network;
mod offload;
mod offsets;
mod restarts;

use std::time::Duration;

use babelmesh_integration_tests::{Kafka, ProcessNode, Sandbox, Settings};

/// Messages a second, each into two languages.
const RATE: u32 = 100;
/// How long it may take until all is answered after the last fault, or answers come again after one.
const SETTLE: Duration = Duration::from_secs(120);

/// A node that marks texts: what is tested is delivery. Each batch takes it 5 ms.
fn fake(kafka: &Kafka, sandbox: &Sandbox) -> Settings {
    kafka
        .node(sandbox.node())
        .set("engine.fake.batch_us", 5_000)
}

/// The same, given up by its group and its brokers after seconds.
fn short_lived(settings: Settings) -> Settings {
    settings
        .set("kafka.session_timeout_ms", 6_000)
        .set("kafka.transaction_timeout_ms", 5_000)
}

/// Starts nodes one after another.
fn start<const N: usize>(sandbox: &Sandbox, settings: [Settings; N]) -> [ProcessNode; N] {
    settings.map(|settings| ProcessNode::start(sandbox, &settings))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
