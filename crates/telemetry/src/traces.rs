//! Traces: the stages of a message, and the lifetimes of actors, for an OpenTelemetry collector.
//!
//! ```text
//! producer ─► request ─► job ─► (the backend goes on with the result's traceparent)
//!              ├ transit  ├ transit     in Kafka, until it was read
//!              ├ split    ├ queue       until the first batch had a part of it
//!              └ publish  ├ inference ⇄ batch ─► batch of a peer
//!                         └ publish   ⇄ transaction
//! ```
//!
//! Whether a message is watched is decided once, when it is accepted: a sampled `traceparent` is followed, one that is not sampled never
//! is, and of messages without one a share begins a trace. Of the others nothing is kept but the header that goes on.
//!
//! Stages are known at their end: they become spans with explicit times, all told from one reading of the clock (`RequestTrace`). What lives while it is
//! looked at is a span of `tracing`, which the layer of [`Traces::layer`] exports: HTTP requests, actors, batches, transactions. All
//! spans go through one bounded queue to a thread of its own; nothing blocks on the collector.

mod context;
mod counts;
mod export;
mod live_spans;
mod request_trace;
mod span_store;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use babelmesh_actors::{
    domain::{SampledTrace, SpanRef, Trace},
    events::Observer,
};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{
        Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
        TracerProvider as _,
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanLinks},
};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter, registry::LookupSpan};

use context::{Verdict, decide};
use export::{Exporting, Queue};

pub use counts::SpanCounts;
pub use live_spans::{HttpSpan, TransactionSpan, forwarded_to};
pub use request_trace::{Origin, RequestTrace, Split};

use crate::config::TracesConfig;

/// Target of the spans of `tracing` that are exported.
const TARGET: &str = "babelmesh::trace";

/// Longest time for what is left to be exported when a node ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The traces of a node. A clone is the same; by default there are none.
#[derive(Clone, Default)]
pub struct Traces {
    inner: Option<Arc<Inner>>,
    counts: SpanCounts,
}

/// Tracing state.
struct Inner {
    node: Arc<str>,
    ratio: f64,
    scope: InstrumentationScope,
    queue: Queue,
    exporting: Exporting,
    tracer: SdkTracer,
    /// The tracer stops with it.
    _provider: SdkTracerProvider,
}

/// Where a message came from, as far as its trace is concerned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrival<'a> {
    /// Its `traceparent`.
    pub parent: Option<&'a str>,
    /// Its `tracestate`; empty when there is none.
    pub state: &'a str,
    /// Whether the sampling decision was made upstream: then no parent means not sampled.
    pub is_decided: bool,
    /// When its record was written, in milliseconds since 1970.
    pub written_ms: Option<i64>,
}

/// Whether a header is a W3C `traceparent`.
#[must_use]
pub fn is_traceparent(header: &str) -> bool {
    context::parse(header).is_some()
}

impl Traces {
    /// Starts to export, if the configuration says where to. The collector need not be there.
    ///
    /// # Errors
    /// When the exporter cannot be made.
    pub fn start(traces: &TracesConfig, node: &str) -> Result<Self> {
        let counts = SpanCounts::default();
        if traces.endpoint.is_none() {
            return Ok(Self {
                inner: None,
                counts,
            });
        }
        let resource = Resource::builder()
            .with_service_name("babelmesh")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
            .build();
        let (queue, exporting) = export::start(traces, &resource, counts.clone())
            .context("starting to export traces")?;
        // Spans are only created for sampled work.
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .with_span_processor(queue.clone())
            .build();
        let inner = Inner {
            node: Arc::from(node),
            ratio: traces.sampling_ratio,
            scope: InstrumentationScope::builder("babelmesh").build(),
            queue,
            exporting,
            tracer: provider.tracer("babelmesh"),
            _provider: provider,
        };
        Ok(Self {
            inner: Some(Arc::new(inner)),
            counts,
        })
    }

    /// Counters of spans.
    #[must_use]
    pub const fn counts(&self) -> &SpanCounts {
        &self.counts
    }

    /// Exports spans of `tracing`, and what is logged in them; nothing when there are no traces.
    #[must_use]
    pub fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let inner = self.inner.as_ref()?;
        let ours = filter::filter_fn(|metadata| {
            metadata.target() == TARGET
                || metadata.is_event() && metadata.target().starts_with("babelmesh")
        });
        let layer = tracing_opentelemetry::layer()
            .with_tracer(inner.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(ours.with_max_level_hint(tracing::Level::INFO));
        Some(layer)
    }

    /// Observer that traces actors, if enabled.
    #[must_use]
    pub fn observer(&self) -> Option<Arc<dyn Observer>> {
        let inner = self.inner.as_ref()?;
        Some(Arc::new(span_store::SpanStore::new(Arc::clone(inner))))
    }

    /// The trace context that a message has from here on: below its sender's where it is watched, else as it came.
    #[must_use]
    pub fn accept(&self, arrival: Arrival<'_>) -> Option<Arc<Trace>> {
        if let Some(inner) = &self.inner {
            let chance = || rand::random_range(0.0..1.0);
            match decide(arrival.parent, arrival.is_decided, inner.ratio, chance) {
                Verdict::Pass => {}
                Verdict::Begin => return Some(inner.watch(None, &arrival)),
                Verdict::Follow(parent) => return Some(inner.watch(Some(parent), &arrival)),
            }
        }
        let parent = arrival.parent?.to_owned();
        let state = arrival.state.to_owned();
        Some(Arc::new(Trace {
            parent,
            state,
            watched: None,
        }))
    }

    /// The context of a job that another span of this cluster has, if it is watched there.
    #[must_use]
    pub fn below(&self, span: Option<SpanRef>) -> Option<Arc<Trace>> {
        let inner = self.inner.as_ref()?;
        Some(inner.watch(Some(span?), &Arrival::default()))
    }

    /// Exports what is left, but not for long.
    pub fn stop(&self) {
        if let Some(inner) = &self.inner {
            inner.exporting.stop(FAREWELL);
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = self.inner.is_some();
        f.debug_struct("Traces").field("on", &on).finish()
    }
}

/// One span whose end is known.
struct Ended {
    name: &'static str,
    span: SpanRef,
    under: Option<u64>,
    is_remote: bool,
    kind: SpanKind,
    time: (SystemTime, SystemTime),
    attributes: Vec<KeyValue>,
    links: Vec<SpanRef>,
    error: Option<String>,
    state: TraceState,
}

impl Inner {
    fn watch(&self, under: Option<SpanRef>, arrival: &Arrival<'_>) -> Arc<Trace> {
        let trace = under.map_or_else(new_id::<u128>, |under| under.trace);
        let span = SpanRef {
            trace,
            span: new_id(),
        };
        let mut watched = SampledTrace::new(span, under.map(|under| under.span), true);
        watched.written = arrival.written_ms.and_then(|ms| {
            let since = Duration::from_millis(u64::try_from(ms).ok()?);
            // A clock that is ahead of ours cannot have written what was read already.
            Some((SystemTime::UNIX_EPOCH + since).min(watched.at))
        });
        Arc::new(Trace {
            parent: span.to_string(),
            state: arrival.state.to_owned(),
            watched: Some(watched),
        })
    }

    fn export(&self, ended: Ended) {
        let (start_time, end_time) = ended.time;
        let mut links = SpanLinks::default();
        let linked = ended.links.into_iter().map(|to| context_of(to, true));
        links.links = linked.map(Link::with_context).collect();
        self.queue.push(SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(ended.span.trace.to_be_bytes()),
                SpanId::from_bytes(ended.span.span.to_be_bytes()),
                TraceFlags::SAMPLED,
                false,
                ended.state,
            ),
            parent_span_id: ended
                .under
                .map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_be_bytes())),
            parent_span_is_remote: ended.is_remote,
            span_kind: ended.kind,
            name: ended.name.into(),
            start_time,
            // A clock that was set back must not make a span end before it began.
            end_time: end_time.max(start_time),
            attributes: ended.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links,
            status: ended.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// A new id, which zero is none.
fn new_id<T: Default + PartialEq>() -> T
where
    rand::distr::StandardUniform: rand::distr::Distribution<T>,
{
    loop {
        let id = rand::random();
        if id != T::default() {
            return id;
        }
    }
}

/// A span as the exporter knows it.
fn context_of(span: SpanRef, is_remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(span.trace.to_be_bytes()),
        SpanId::from_bytes(span.span.to_be_bytes()),
        TraceFlags::SAMPLED,
        is_remote,
        TraceState::default(),
    )
}

/// A number as attributes have it.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
