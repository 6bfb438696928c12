//! The trace of one sampled message: its stages, exported when it is complete.

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use babelmesh_actors::domain::{JobOutcome, SampledTrace, SpanRef, Trace};
use opentelemetry::{
    KeyValue,
    trace::{SpanKind, TraceState},
};
use tokio::time::Instant;

use super::{Ended, Inner, Traces, count, new_id};

/// Where a record was read.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Result of splitting a request.
#[derive(Debug)]
pub struct Split {
    /// Where the request was read.
    pub origin: Origin,
    /// Records that it is answered by: jobs, refusals, dead letters.
    pub records: usize,
    /// Those of them that are jobs.
    pub jobs: usize,
}

/// A stage that is over.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    from: Instant,
    to: Instant,
    attributes: Vec<KeyValue>,
    links: Vec<SpanRef>,
}

/// Names of the spans of a kind of message.
#[derive(Debug)]
struct Names {
    whole: &'static str,
    transit: &'static str,
    publish: &'static str,
}

const REQUEST: Names = Names {
    whole: "request",
    transit: "request.transit",
    publish: "request.publish",
};
const JOB: Names = Names {
    whole: "job",
    transit: "job.transit",
    publish: "job.publish",
};

/// A sampled message whose answer is in flight. Dropped before it is completed, its answer was abandoned.
pub struct RequestTrace {
    inner: Arc<Inner>,
    trace: Arc<Trace>,
    names: &'static Names,
    attributes: Vec<KeyValue>,
    stages: Vec<Stage>,
    /// When its answer was there.
    answered: Instant,
    error: Option<String>,
    /// The transaction that its answer was last written in.
    transaction: Mutex<Option<SpanRef>>,
    is_told: bool,
}

impl Traces {
    /// A request that was split, if it is watched.
    pub fn split(
        &self,
        trace: Option<&Arc<Trace>>,
        split: impl FnOnce() -> Split,
    ) -> Option<Box<RequestTrace>> {
        let inner = self.inner.as_ref()?;
        let trace = trace.filter(|trace| trace.watched.is_some())?;
        let since = trace.watched.as_ref()?.since;
        let Split {
            origin,
            records,
            jobs,
        } = split();
        let now = Instant::now();
        let mut attributes = of_origin(&origin);
        attributes.push(KeyValue::new("babelmesh.jobs", count(jobs)));
        attributes.push(KeyValue::new("babelmesh.records", count(records)));
        Some(Box::new(RequestTrace {
            inner: Arc::clone(inner),
            trace: Arc::clone(trace),
            names: &REQUEST,
            attributes,
            stages: vec![Stage {
                name: "request.split",
                from: since,
                to: now,
                attributes: Vec::new(),
                links: Vec::new(),
            }],
            answered: now,
            error: (jobs == 0).then(|| "no job was made of it".to_owned()),
            transaction: Mutex::default(),
            is_told: false,
        }))
    }

    /// A job that has ended, if it is watched. `origin` is where it was read, if it came by Kafka.
    pub fn answered(
        &self,
        outcome: &JobOutcome,
        origin: Option<&Origin>,
    ) -> Option<Box<RequestTrace>> {
        let inner = self.inner.as_ref()?;
        let trace = outcome.order.trace.as_ref()?;
        let watched = trace.watched.as_ref()?;
        let now = Instant::now();
        let mut attributes = origin.map_or_else(Vec::new, of_origin);
        attributes.extend(of_order(outcome));
        let mut stages = Vec::with_capacity(2);
        let mut queue = Stage {
            name: "job.queue",
            from: watched.since,
            to: now,
            attributes: vec![KeyValue::new(
                "babelmesh.lane",
                outcome.order.request.lane().name(),
            )],
            links: Vec::new(),
        };
        let mut answered = now;
        let mut error = None;
        match &outcome.result {
            Ok(translated) if translated.segments > 0 && !translated.from_cache => {
                let started = outcome.order.submitted + translated.queue_time;
                answered = started + translated.processing_time;
                queue.to = started;
                stages.push(queue);
                stages.push(Stage {
                    name: "job.inference",
                    from: started,
                    to: answered,
                    attributes: vec![
                        KeyValue::new("babelmesh.model", Arc::clone(&translated.model_id)),
                        KeyValue::new("babelmesh.actor", Arc::clone(&translated.worker)),
                        KeyValue::new("babelmesh.segments", i64::from(translated.segments)),
                        KeyValue::new("babelmesh.batch_size", i64::from(translated.batch_size)),
                    ],
                    links: watched.batches(),
                });
            }
            // There was nothing to translate, or nothing that had not been translated.
            Ok(translated) => {
                attributes.push(KeyValue::new("babelmesh.from_cache", translated.from_cache));
                stages.push(queue);
            }
            Err(refused) => {
                // Batches that it was in, and that failed.
                queue.links = watched.batches();
                stages.push(queue);
                attributes.push(KeyValue::new("error.type", refused.code.name()));
                error = Some(refused.message.clone());
            }
        }
        Some(Box::new(RequestTrace {
            inner: Arc::clone(inner),
            trace: Arc::clone(trace),
            names: &JOB,
            attributes,
            stages,
            answered,
            error,
            transaction: Mutex::default(),
            is_told: false,
        }))
    }
}

impl RequestTrace {
    /// The message as a span.
    pub fn span(&self) -> Option<SpanRef> {
        self.trace.watched.as_ref().map(|watched| watched.span)
    }

    /// Its answer is written in this transaction.
    pub fn joins(&self, transaction: SpanRef) {
        let mut joined = self
            .transaction
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *joined = Some(transaction);
    }

    /// Its answer is where it was to go, for good.
    pub fn committed(mut self) {
        self.tell(Some(self.names.publish), None);
    }

    /// Its answer is with whoever waited for it.
    pub fn delivered(mut self) {
        self.tell(None, None);
    }

    fn tell(&mut self, publish: Option<&'static str>, given_up: Option<&str>) {
        self.is_told = true;
        let trace = Arc::clone(&self.trace);
        let Some(watched) = &trace.watched else {
            return;
        };
        let now = Instant::now();
        let state = match trace.state.as_str() {
            "" => TraceState::default(),
            state => TraceState::from_str(state).unwrap_or_default(),
        };
        let part = |name, time, kind| Ended {
            name,
            span: SpanRef {
                span: new_id(),
                ..watched.span
            },
            under: Some(watched.span.span),
            is_remote: false,
            kind,
            time,
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
            state: state.clone(),
        };
        let began = watched.written.unwrap_or(watched.at);
        if watched.written.is_some() {
            let transit = (began, watched.at);
            let stage = part(self.names.transit, transit, SpanKind::Internal);
            self.inner.export(stage);
        }
        for stage in std::mem::take(&mut self.stages) {
            let time = (watched.wall(stage.from), watched.wall(stage.to));
            self.inner.export(Ended {
                attributes: stage.attributes,
                links: stage.links,
                ..part(stage.name, time, SpanKind::Internal)
            });
        }
        if let Some(name) = publish {
            let time = (watched.wall(self.answered), watched.wall(now));
            let joined = *self
                .transaction
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.inner.export(Ended {
                links: joined.into_iter().collect(),
                error: given_up.map(str::to_owned),
                ..part(name, time, SpanKind::Producer)
            });
        }
        let error = given_up.map(str::to_owned).or_else(|| self.error.take());
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.push(KeyValue::new(
            "babelmesh.node",
            Arc::clone(&self.inner.node),
        ));
        self.inner.export(Ended {
            name: self.names.whole,
            span: watched.span,
            under: watched.under,
            is_remote: watched.is_remote && watched.under.is_some(),
            kind: kind_of(watched),
            time: (began, watched.wall(now)),
            attributes,
            links: Vec::new(),
            error,
            state,
        });
    }
}

impl Drop for RequestTrace {
    fn drop(&mut self) {
        if !self.is_told {
            let publish = self.names.publish;
            let why = "it was given up: its partition has gone, and the next owner reads it again";
            self.tell(Some(publish), Some(why));
        }
    }
}

impl std::fmt::Debug for RequestTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Journey").field(&self.span()).finish()
    }
}

/// What came by Kafka was consumed.
const fn kind_of(watched: &SampledTrace) -> SpanKind {
    match watched.written {
        Some(_) => SpanKind::Consumer,
        None => SpanKind::Server,
    }
}

/// Where it was read, in OpenTelemetry's words.
fn of_origin(origin: &Origin) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.destination.name", Arc::clone(&origin.topic)),
        KeyValue::new(
            "messaging.destination.partition.id",
            origin.partition.to_string(),
        ),
        KeyValue::new("messaging.kafka.offset", origin.offset),
    ]
}

/// What was wanted. The text is the sender's.
fn of_order(outcome: &JobOutcome) -> [KeyValue; 3] {
    let request = &outcome.order.request;
    [
        KeyValue::new("messaging.message.id", request.message_id.clone()),
        KeyValue::new("babelmesh.source", request.source_language.clone()),
        KeyValue::new("babelmesh.target", outcome.order.target_tag().to_owned()),
    ]
}
