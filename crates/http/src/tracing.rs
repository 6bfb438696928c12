//! Requests as spans.

use actix_web::HttpRequest;
use babelmesh_telemetry::{Traces, traces::HttpSpan};

/// Requests that are watched: those that have work done. Metrics scrapes are not traced.
const ROUTES: [&str; 4] = ["/translate", "/detect", "/v2/translate", "/translate/batch"];

/// A watched request that begins, if it is one. Asked once its client is known and let in: a header of somebody else decides nothing.
pub(super) fn begin(traces: &Traces, request: &HttpRequest) -> Option<HttpSpan> {
    let route = ROUTES.iter().find(|route| **route == request.path())?;
    let parent = request.headers().get("traceparent");
    let parent = parent.and_then(|parent| parent.to_str().ok());
    traces.http(("POST", route), parent)
}
