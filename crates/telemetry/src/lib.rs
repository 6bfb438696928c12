//! Telemetry: events as log lines and counters, metrics for Prometheus, [`traces`] for an OpenTelemetry collector, and
//! status types ([`status`]).
//!
//! Counters and histograms are kept by [`Metrics`], an observer of the actors' events. Everything that has a value at every moment (queue
//! lengths, lag, actors, memory) is read when it is asked for, from the [`NodeStatus`] that `babelmesh status` shows too:
//! nothing is stored twice, and no stale gauge remains.
//!
//! This is on the floor above the actors and below Kafka, the cluster and HTTP, which report here and know nothing of each other.
//!
//! ```
//! use babelmesh_telemetry::{Telemetry, Traces, config::TracesConfig, events::NodeEvent};
//!
//! # fn main() -> anyhow::Result<()> {
//! // Without an endpoint nothing is traced.
//! let traces = Traces::start(&TracesConfig::default(), "node-1")?;
//! let telemetry = Telemetry::new(&traces);
//! NodeEvent::Stopped.emit();
//! telemetry.metrics().http("translate", 200, std::time::Duration::from_millis(12));
//! # Ok(())
//! # }
//! ```

pub mod command;
pub mod config;
pub mod events;
mod exposition;
pub mod failure;
mod metrics;
mod process;
mod snapshot;
pub mod status;
#[cfg(test)]
mod tests;
pub mod throttle;
pub mod traces;

use std::sync::Arc;

pub use exposition::Format;
pub use metrics::Metrics;
use prometheus_client::{encoding::text::encode_registry, registry::Registry};
pub use traces::Traces;

use crate::status::{ClusterView, NodeStatus};

/// Prefix of all names but those of the process itself.
const PREFIX: &str = "babelmesh";

/// A label set that is made while metrics are read.
type Labels = Vec<(&'static str, String)>;

/// The metrics of one node.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    metrics: Arc<Metrics>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new(&Traces::default())
    }
}

impl Telemetry {
    /// The metrics of a node with these traces.
    #[must_use]
    pub fn new(traces: &Traces) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let metrics = Arc::new(Metrics::register(&mut registry));
        traces.counts().register(&mut registry);
        Self { registry, metrics }
    }

    /// Observer of the actors.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// All metrics now, as text.
    #[must_use]
    pub fn render(
        &self,
        status: &NodeStatus,
        cluster: Option<&ClusterView>,
        ready: bool,
        format: Format,
    ) -> String {
        let mut text = String::with_capacity(32 << 10);
        let now = snapshot::registry(status, cluster, ready);
        for registry in [&self.registry, &now, &process::registry()] {
            // Writing to a string does not fail.
            let _ = encode_registry(&mut text, registry);
        }
        exposition::finish(text, format)
    }
}
