//! Reads the headers and the time of a consumed record.

use std::sync::Arc;

use babelmesh_actors::{domain, flow::Flow};
use babelmesh_telemetry::{
    Traces,
    traces::{Arrival, is_traceparent},
};
use rdkafka::Message;

use super::{REPLAYS, SUBMITTED_AT, TRACEPARENT, TRACESTATE, Trace};
use crate::headers::{self, header};

/// Longest `tracestate` that is passed on, in bytes: what W3C asks for at least.
const MAX_TRACESTATE_BYTES: usize = 512;

/// The trace context of a record, as it stands there.
pub(crate) fn trace(message: &impl Message) -> Trace {
    let parent = traceparent(message)?;
    plain(parent, tracestate(message))
}

/// A valid `traceparent`; an invalid one counts as absent and is not forwarded.
fn traceparent(message: &impl Message) -> Option<&str> {
    header(message, TRACEPARENT).filter(|parent| is_traceparent(parent))
}

/// The `tracestate`; empty when there is none, or a longer one than has to be passed on.
fn tracestate(message: &impl Message) -> &str {
    let state = header(message, TRACESTATE).filter(|state| state.len() <= MAX_TRACESTATE_BYTES);
    state.unwrap_or_default()
}

pub(super) fn plain(parent: &str, state: &str) -> Trace {
    Some(Arc::new(domain::Trace {
        parent: parent.to_owned(),
        state: state.to_owned(),
        watched: None,
    }))
}

/// The trace context of an accepted record. A job from a splitter without one was not sampled, and does not start a trace.
pub(crate) fn accepted(message: &impl Message, traces: &Traces) -> Trace {
    let parent = traceparent(message);
    traces.accept(Arrival {
        parent,
        state: parent.map_or("", |_| tracestate(message)),
        is_decided: header(message, SUBMITTED_AT).is_some(),
        written_ms: message.timestamp().to_millis(),
    })
}

/// Back-pressure weight of a record: its value and its headers, which its jobs keep.
pub(crate) fn weight(message: &impl Message) -> u64 {
    Flow::weight_of(message.payload().map_or(0, <[u8]>::len) + headers::bytes(message))
}

/// How often a record was published again from the dead letters.
pub(crate) fn replays(message: &impl Message) -> u32 {
    header(message, REPLAYS)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// When the sender's request was written, in milliseconds since 1970: the header that splitters set, else the record's own time.
pub(crate) fn submitted_at(message: &impl Message) -> Option<i64> {
    let told: Option<i64> = header(message, SUBMITTED_AT).and_then(|text| text.parse().ok());
    // An invalid time counts as absent.
    told.filter(|at| *at > 0)
        .or_else(|| message.timestamp().to_millis())
}
