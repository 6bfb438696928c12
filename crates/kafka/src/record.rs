//! Records: their headers, what a node makes of them, and what it publishes.

mod encoder;
mod incoming;

use std::sync::Arc;

use babelmesh_actors::domain::{self, TranslationRequest};
use rdkafka::message::{Header, OwnedHeaders};

pub use self::encoder::Encoder;
pub(crate) use self::incoming::{accepted, replays, submitted_at, trace, weight};
pub use super::headers::header;
pub use babelmesh_telemetry::traces::Origin;

/// Header: the same for every delivery of one target of one message.
pub const IDEMPOTENCY_KEY: &str = "babelmesh-idempotency-key";
/// Header of a job: when the sender's request was written, in milliseconds since 1970.
pub const SUBMITTED_AT: &str = "babelmesh-submitted-at";
/// Header of a dead letter: [`babelmesh_actors::domain::ErrorCode`].
pub const ERROR_CODE: &str = "babelmesh-error-code";
/// Header of a dead letter: one line for people.
pub const ERROR_MESSAGE: &str = "babelmesh-error-message";
/// Header of a dead letter: the topic it was read from.
pub const ORIGIN_TOPIC: &str = "babelmesh-origin-topic";
/// Header of a dead letter: the partition it was read from.
pub const ORIGIN_PARTITION: &str = "babelmesh-origin-partition";
/// Header of a dead letter: its offset there.
pub const ORIGIN_OFFSET: &str = "babelmesh-origin-offset";
/// Header of a dead letter that holds only the beginning of the record: how many bytes the record had.
pub const ORIGINAL_BYTES: &str = "babelmesh-original-bytes";
/// Header of a dead letter: the node that gave up.
pub const NODE: &str = "babelmesh-node";
/// Header of a record that was published again from the dead letters: partition and offset of its letter there.
pub const REPLAYED_FROM: &str = "babelmesh-replayed-from";
/// Header of such a record, of its jobs, and of the letter that it becomes if it fails again: how often that has happened.
pub const REPLAYS: &str = "babelmesh-replays";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context.
pub const TRACESTATE: &str = "tracestate";

/// W3C trace context of a record.
pub type Trace = Option<Arc<domain::Trace>>;

/// A record to publish.
#[derive(Debug, Clone)]
pub struct OutRecord {
    /// Topic.
    pub topic: Arc<str>,
    /// Key; what shares it stays in order.
    pub key: Vec<u8>,
    /// Value.
    pub payload: Vec<u8>,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The request that a result answers, unless a dead letter of the same outcome contains it. If the broker rejects even the error that replaces
    /// the result, the request is dead-lettered.
    pub asked: Option<Box<AnsweredRequest>>,
}

/// The request that a result answers.
#[derive(Debug, Clone)]
pub struct AnsweredRequest {
    request: TranslationRequest,
    /// How often it was replayed.
    replays: u32,
}

impl OutRecord {
    /// The same record of something that was replayed so often.
    #[must_use]
    pub fn replayed(mut self, replays: u32) -> Self {
        if replays > 0 {
            self.headers.push((REPLAYS, replays.to_string()));
        }
        self
    }

    /// Bytes of its key, value and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(key, value)| key.len() + value.len()).sum();
        self.key.len() + self.payload.len() + headers
    }

    /// Replaces the description of a dead letter.
    pub(super) fn describe(&mut self, message: String) {
        let mut headers = self.headers.iter_mut();
        if let Some((_, value)) = headers.find(|(key, _)| *key == ERROR_MESSAGE) {
            *value = message;
        }
    }

    /// Error code, if it is a dead letter.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, code) = headers.find(|(key, _)| *key == ERROR_CODE)?;
        Some(code)
    }

    /// The headers as librdkafka wants them.
    #[must_use]
    pub fn kafka_headers(&self) -> OwnedHeaders {
        let empty = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(empty, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value.as_bytes()),
            })
        })
    }
}

/// Our own types hold nothing that JSON cannot.
#[must_use]
pub fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Adds the trace context to headers.
pub(crate) fn push_trace(headers: &mut Vec<(&'static str, String)>, trace: &Trace) {
    if let Some(trace) = trace {
        headers.push((TRACEPARENT, trace.parent.clone()));
        if !trace.state.is_empty() {
            headers.push((TRACESTATE, trace.state.clone()));
        }
    }
}
