//! Telemetry beyond metrics.

mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use babelmesh_settings::Secret;

/// Telemetry beyond metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// Traces, by OTLP.
    pub traces: TracesConfig,
}

/// Where traces go, and which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TracesConfig {
    /// Address of the OpenTelemetry collector, such as `http://127.0.0.1:4317`. Without one nothing is traced.
    pub endpoint: Option<String>,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Share of the messages without a trace of their own that begin one, from 0 to 1.
    pub sampling_ratio: f64,
    /// Longest time for the collector to take a batch of spans, in milliseconds.
    pub export_timeout_ms: u64,
    /// How long spans wait for others to be sent with them, in milliseconds.
    pub export_delay_ms: u64,
    /// Most spans that wait; further ones are dropped and counted.
    pub queue_spans: usize,
    /// Most spans that are sent at once.
    pub batch_spans: usize,
    /// Headers that go along with every batch.
    pub headers: BTreeMap<String, Secret>,
}

impl TelemetryConfig {
    /// Tells what is out of range: whether something is, its key, and what it must be like.
    pub fn check(&self, refuse_if: &mut impl FnMut(bool, &str, &str)) {
        validate::check(&self.traces, refuse_if);
    }
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: OtlpProtocol::Grpc,
            sampling_ratio: 0.001,
            export_timeout_ms: 5_000,
            export_delay_ms: 500,
            queue_spans: 8_192,
            batch_spans: 512,
            headers: BTreeMap::new(),
        }
    }
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// OTLP/gRPC, usually port 4317.
    Grpc,
    /// OTLP/HTTP with protobuf, usually port 4318.
    Http,
}
