//! Live spans: `tracing` spans created by typed events, so that business code contains no macros.

use std::sync::atomic::{AtomicBool, Ordering};

use babelmesh_actors::domain::SpanRef;
use opentelemetry::{
    Context,
    trace::{Status, TraceContextExt as _},
};
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    RequestTrace, TARGET, Traces,
    context::{Verdict, decide},
    context_of, count,
};

/// The reference of the span; none if `tracing` spans are not exported.
pub(super) fn reference(span: &Span) -> Option<SpanRef> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| SpanRef {
        trace: u128::from_be_bytes(context.trace_id().to_bytes()),
        span: u64::from_be_bytes(context.span_id().to_bytes()),
    })
}

/// Makes a span a child of one that is told of.
pub(super) fn put_below(span: &Span, parent: SpanRef) {
    let context = Context::new().with_remote_span_context(context_of(parent, true));
    // Without export there is nothing to do.
    let _ = span.set_parent(context);
}

/// Has a span's log lines name its trace.
fn name_trace(span: &Span) {
    if let Some(reference) = reference(span) {
        span.record("trace_id", format_args!("{:032x}", reference.trace));
    }
}

/// A request by HTTP that is watched.
pub struct HttpSpan(Span);

impl Traces {
    /// A request by HTTP that begins, if it is watched.
    pub fn http(
        &self,
        (method, route): (&str, &'static str),
        parent: Option<&str>,
    ) -> Option<HttpSpan> {
        let below = self.decided(parent)?;
        let span = info_span!(
            target: TARGET, parent: None, "http",
            otel.name = %format_args!("{method} {route}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            trace_id = Empty,
        );
        Some(HttpSpan(begun(span, below)))
    }

    /// The span of a forwarded request, if it is sampled.
    pub fn forward(&self, parent: Option<&str>) -> Option<Span> {
        let below = self.decided(parent)?;
        let span = info_span!(
            target: TARGET, parent: None, "forward",
            otel.kind = "client",
            babelmesh.forwarded_to = Empty,
            trace_id = Empty,
        );
        Some(begun(span, below))
    }

    /// What a span of this kind is to be a child of, if there is to be one: `Some(None)` begins a trace.
    #[allow(
        clippy::option_option,
        reason = "the two absences mean different things"
    )]
    fn decided(&self, parent: Option<&str>) -> Option<Option<SpanRef>> {
        let inner = self.inner.as_ref()?;
        let chance = || rand::random_range(0.0..1.0);
        match decide(parent, false, inner.ratio, chance) {
            Verdict::Pass => None,
            Verdict::Begin => Some(None),
            Verdict::Follow(parent) => Some(Some(parent)),
        }
    }

    /// The span that the current task works in, if it is one of ours.
    pub fn current(&self) -> Option<SpanRef> {
        self.inner.as_ref()?;
        let span = Span::current();
        let is_ours = span.metadata()?.target() == TARGET;
        is_ours.then(|| reference(&span)).flatten()
    }
}

fn begun(span: Span, below: Option<SpanRef>) -> Span {
    if let Some(parent) = below {
        put_below(&span, parent);
    }
    name_trace(&span);
    span
}

impl HttpSpan {
    /// What the request is worked on in.
    pub fn span(&self) -> Span {
        self.0.clone()
    }

    /// It is answered.
    pub fn answered(self, status: u16) {
        self.0
            .record("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.0.set_status(Status::error(status.to_string()));
        }
    }
}

/// The node that a request is forwarded to.
pub fn forwarded_to(node: &str) {
    Span::current().record("babelmesh.forwarded_to", node);
}

/// A transaction with sampled answers. Dropped without [`committed`](Self::committed), it was aborted or its outcome is
/// unknown.
#[derive(Debug)]
pub struct TransactionSpan {
    span: Span,
    is_committed: AtomicBool,
}

impl TransactionSpan {
    /// A transaction that begins with these answers; none when there are none.
    pub fn of<'j>(
        records: usize,
        mut journeys: impl Iterator<Item = &'j RequestTrace>,
    ) -> Option<Self> {
        let first = journeys.next()?;
        let span = info_span!(
            target: TARGET, parent: None, "transaction",
            messaging.system = "kafka",
            babelmesh.records = count(records),
            babelmesh.outcome = Empty,
        );
        let reference = reference(&span)?;
        for request_trace in std::iter::once(first).chain(journeys) {
            if let Some(answer) = request_trace.span() {
                span.add_link(context_of(answer, false));
            }
            request_trace.joins(reference);
        }
        Some(Self {
            span,
            is_committed: AtomicBool::new(false),
        })
    }

    /// The brokers have all of it.
    pub fn committed(&self) {
        self.is_committed.store(true, Ordering::Relaxed);
    }
}

impl Drop for TransactionSpan {
    fn drop(&mut self) {
        let outcome = match self.is_committed.load(Ordering::Relaxed) {
            true => "committed",
            false => {
                self.span.set_status(Status::error("it was given up"));
                "given up"
            }
        };
        self.span.record("babelmesh.outcome", outcome);
    }
}
