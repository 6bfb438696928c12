//! Spans of actors, scaling decisions, and batches of sampled jobs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use babelmesh_actors::{
    domain::SpanRef,
    events::{BatchSpan, Event, Observer, TracedBatch},
};
use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status, TraceState},
};
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    Ended, Inner, TARGET, context_of, count,
    live_spans::{put_below, reference},
    new_id,
};
use crate::events::stop_reason;

/// Traces all actors from start to end, independent of message sampling: there are few.
pub(super) struct SpanStore {
    inner: Arc<Inner>,
    known: Mutex<OpenSpans>,
}

#[derive(Default)]
struct OpenSpans {
    /// By the actor's name.
    actors: HashMap<Arc<str>, ActorSpan>,
    /// Failed actors that have not been replaced yet.
    failed: HashMap<Arc<str>, SpanRef>,
}

/// An actor that lives.
struct ActorSpan {
    span: Span,
    reference: Option<SpanRef>,
}

impl SpanStore {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            known: Mutex::default(),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut OpenSpans) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn spawned(&self, pool: &Arc<str>, actor: &Arc<str>, peer: Option<&str>) {
        let span = info_span!(
            target: TARGET, parent: None, "actor",
            babelmesh.pool = %pool,
            babelmesh.actor = %actor,
            babelmesh.node = %self.inner.node,
            babelmesh.peer = peer,
            babelmesh.numeric = Empty,
            babelmesh.stop_reason = Empty,
            babelmesh.requeued = Empty,
        );
        let reference = reference(&span);
        let before = self.with(|known| known.failed.remove(pool));
        if let Some(before) = before {
            // It takes the place of one that failed.
            span.add_link(context_of(before, false));
        }
        let life = ActorSpan { span, reference };
        self.with(|known| known.actors.insert(Arc::clone(actor), life));
    }

    /// Shows how the time until an actor was ready was spent.
    fn ready(&self, actor: &Arc<str>, numeric: &str, (cold_start, warm_up): (Duration, Duration)) {
        let now = SystemTime::now();
        let life = self.with(|known| {
            let life = known.actors.get(actor)?;
            life.span.record("babelmesh.numeric", numeric);
            life.reference
        });
        let Some(life) = life else { return };
        let (began, loaded) = (now - cold_start, now - warm_up.min(cold_start));
        let start = SpanRef {
            span: new_id(),
            ..life
        };
        let part = |name, span, under, time| Ended {
            name,
            span,
            under: Some(under),
            is_remote: false,
            kind: SpanKind::Internal,
            time,
            attributes: vec![
                KeyValue::new("babelmesh.actor", Arc::clone(actor)),
                KeyValue::new("babelmesh.node", Arc::clone(&self.inner.node)),
            ],
            links: Vec::new(),
            error: None,
            state: TraceState::default(),
        };
        let below = || SpanRef {
            span: new_id(),
            ..life
        };
        let (inner, under) = (&self.inner, start.span);
        inner.export(part("actor.load", below(), under, (began, loaded)));
        inner.export(part("actor.warm_up", below(), under, (loaded, now)));
        inner.export(part("actor.start", start, life.span, (began, now)));
    }

    fn ended(&self, actor: &Arc<str>, end: impl FnOnce(&Span)) -> Option<SpanRef> {
        let life = self.with(|known| known.actors.remove(actor))?;
        end(&life.span);
        life.reference
    }

    fn failed(&self, pool: &Arc<str>, actor: &Arc<str>, error: &str, requeued: usize) {
        let life = self.ended(actor, |span| {
            span.record("babelmesh.requeued", count(requeued));
            span.set_status(Status::error(error.to_owned()));
        });
        if let Some(life) = life {
            self.with(|known| known.failed.insert(Arc::clone(pool), life));
        }
    }
}

impl Observer for SpanStore {
    fn observe(&self, event: &Event) {
        match event {
            Event::ActorSpawned { pool, actor } => self.spawned(pool, actor, None),
            Event::RemoteWorkerStarted { pool, guest, peer } => {
                self.spawned(pool, guest, Some(peer))
            }
            Event::ActorReady {
                actor,
                numeric,
                cold_start,
                warm_up,
                ..
            } => self.ready(actor, numeric, (*cold_start, *warm_up)),
            Event::ActorStopped { actor, reason, .. } => {
                let reason = stop_reason(*reason);
                self.ended(actor, |span| {
                    span.record("babelmesh.stop_reason", reason);
                });
            }
            Event::RemoteWorkerStopped { guest, reason, .. } => {
                self.ended(guest, |span| {
                    span.record("babelmesh.stop_reason", tracing::field::debug(reason));
                });
            }
            Event::ActorFailed {
                pool,
                actor,
                error,
                requeued,
                ..
            } => self.failed(pool, actor, error, *requeued),
            Event::RemoteWorkerFailed {
                guest,
                error,
                requeued,
                ..
            } => {
                self.ended(guest, |span| {
                    span.record("babelmesh.requeued", count(*requeued));
                    span.set_status(Status::error(error.clone()));
                });
            }
            Event::Scaled {
                pool,
                from,
                decision,
            } => {
                let inputs = serde_json::to_string(&decision.inputs).unwrap_or_default();
                // A moment: it begins and ends here.
                let _ = info_span!(
                    target: TARGET, parent: None, "scale",
                    babelmesh.pool = %pool,
                    babelmesh.node = %self.inner.node,
                    babelmesh.from = count(*from),
                    babelmesh.to = i64::from(decision.target),
                    babelmesh.reason = decision.reason.label(),
                    babelmesh.unmet_actors = i64::from(decision.unmet_actors),
                    babelmesh.inputs = inputs,
                );
            }
            _ => {}
        }
    }

    fn batch(&self, batch: &TracedBatch<'_>) -> Option<Box<dyn BatchSpan>> {
        let span = info_span!(
            target: TARGET, parent: None, "batch",
            babelmesh.pool = %batch.pool,
            babelmesh.actor = %batch.actor,
            babelmesh.node = %self.inner.node,
            babelmesh.peer = batch.at.map(|peer| &**peer),
            babelmesh.lent_by = batch.lent_by.map(|(peer, _)| &**peer),
            babelmesh.segments = count(batch.segments),
            babelmesh.tokens = i64::from(batch.tokens),
            babelmesh.waited_ms = batch.waited.as_secs_f64() * 1_000.0,
        );
        if let Some((_, lent)) = batch.lent_by {
            put_below(&span, lent);
        }
        let reference = reference(&span)?;
        let actor = self.with(|known| known.actors.get(batch.actor)?.reference);
        if let Some(actor) = actor {
            span.add_link(context_of(actor, false));
        }
        let jobs = batch.jobs.iter();
        for watched in jobs.filter_map(|trace| trace.watched.as_ref()) {
            span.add_link(context_of(watched.span, false));
            watched.joined(reference);
        }
        Some(Box::new(Batch {
            span,
            reference,
            is_over: false,
        }))
    }
}

/// A batch that an engine has.
struct Batch {
    span: Span,
    reference: SpanRef,
    is_over: bool,
}

impl BatchSpan for Batch {
    fn span(&self) -> SpanRef {
        self.reference
    }

    fn ended(mut self: Box<Self>, error: Option<&str>) {
        self.is_over = true;
        if let Some(error) = error {
            self.span.set_status(Status::error(error.to_owned()));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.set_status(Status::error("it was given up"));
        }
    }
}
