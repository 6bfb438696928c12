//! Counters and histograms, fed by events.

mod labels;
mod registration;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use babelmesh_actors::{
    domain::{ErrorCode, JobOutcome, Language, ModelType},
    events::{Event, Observer, SentenceCounts, StopReason},
};
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use self::labels::{
    CodeLabel, EscalationLabels, FlagLabels, HttpLabels, JobLabels, KindLabels, LaneLabel,
    ModelLabel, OutcomeLabels, PieceLabels, PivotLabel, RouteLabel, ScalingLabels, StageLabel,
    StopLabels, WayLabels,
};

/// From a millisecond to about a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

/// Segments of a batch.
fn segments() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 9))
}

/// Tokens of a batch.
fn tokens() -> Histogram {
    Histogram::new(exponential_buckets(8.0, 2.0, 11))
}

type Counters<L> = Family<L, Counter>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

fn histograms<L: Clone + std::hash::Hash + Eq>(make: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(make)
}

/// Counters and histograms of one node.
#[derive(Debug)]
pub struct Metrics {
    accepted: Counters<LaneLabel>,
    pivoted: Counters<PivotLabel>,
    escalated: Counters<EscalationLabels>,
    jobs: Counters<OutcomeLabels>,
    queue: Histograms<JobLabels>,
    processing: Histograms<JobLabels>,
    /// Cached labels of the last job: the next one is mostly of the same kind.
    last: Mutex<Option<Handles>>,
    refused: Counters<ModelLabel>,
    expired: Counters<ModelLabel>,
    abandoned: Counters<ModelLabel>,
    retried: Counters<CodeLabel>,
    poisoned: Counters<ModelLabel>,
    truncated: Counters<ModelLabel>,
    pieces: Counters<PieceLabels>,
    sentences: Counters<WayLabels>,
    failed_checks: Counters<FlagLabels>,
    lost_tokens: Counters<KindLabels>,
    batches: Histograms<ModelLabel>,
    batch_segments: Histograms<ModelLabel>,
    batch_tokens: Histograms<ModelLabel>,
    batch_wait: Histograms<ModelLabel>,
    busy: Family<ModelLabel, Counter<f64, AtomicU64>>,
    spawned: Counters<ModelLabel>,
    stopped: Counters<StopLabels>,
    failed: Counters<ModelLabel>,
    requeued: Counters<ModelLabel>,
    cold_start: Histograms<ModelLabel>,
    engine_lines: Counters<ModelLabel>,
    scaled: Counters<ScalingLabels>,
    contained_panics: Counters<StageLabel>,
    pauses: Counter,
    http: Counters<HttpLabels>,
    http_duration: Histograms<RouteLabel>,
}

#[derive(Debug, Clone)]
struct Handles {
    labels: JobLabels,
    translated: Counter,
    queue: Histogram,
    processing: Histogram,
}

impl Metrics {
    /// Makes the metrics and registers them. Units are part of the names.
    pub(super) fn register(to: &mut Registry) -> Self {
        let this = Self {
            accepted: Family::default(),
            pivoted: Family::default(),
            escalated: Family::default(),
            jobs: Family::default(),
            queue: histograms(seconds),
            processing: histograms(seconds),
            last: Mutex::default(),
            refused: Family::default(),
            expired: Family::default(),
            contained_panics: Family::default(),
            abandoned: Family::default(),
            retried: Family::default(),
            poisoned: Family::default(),
            truncated: Family::default(),
            pieces: Family::default(),
            sentences: Family::default(),
            failed_checks: Family::default(),
            lost_tokens: Family::default(),
            batches: histograms(seconds),
            batch_segments: histograms(segments),
            batch_tokens: histograms(tokens),
            batch_wait: histograms(seconds),
            busy: Family::default(),
            spawned: Family::default(),
            stopped: Family::default(),
            failed: Family::default(),
            requeued: Family::default(),
            cold_start: histograms(seconds),
            engine_lines: Family::default(),
            scaled: Family::default(),
            pauses: Counter::default(),
            http: Family::default(),
            http_duration: histograms(seconds),
        };
        this.register_jobs(to);
        this.register_texts(to);
        this.register_actors(to);
        this.register_http(to);
        this
    }

    /// An HTTP request was answered.
    pub fn http(&self, route: &'static str, status: u16, elapsed: Duration) {
        self.http.get_or_create(&HttpLabels { route, status }).inc();
        let label = RouteLabel { route };
        let histogram = self.http_duration.get_or_create(&label);
        histogram.observe(elapsed.as_secs_f64());
    }

    fn batch(
        &self,
        pool: &Arc<str>,
        (segments, tokens): (usize, u32),
        (elapsed, waited): (Duration, Duration),
    ) {
        let model = &ModelLabel::of(pool);
        let observe = |histograms: &Histograms<ModelLabel>, value: f64| {
            histograms.get_or_create(model).observe(value);
        };
        observe(&self.batches, elapsed.as_secs_f64());
        observe(&self.batch_segments, segments as f64);
        observe(&self.batch_tokens, f64::from(tokens));
        observe(&self.batch_wait, waited.as_secs_f64());
        let busy = self.busy.get_or_create(model);
        busy.inc_by(elapsed.as_secs_f64());
        self.pieces(pool, "engine", segments);
    }

    fn pieces(&self, pool: &Arc<str>, source: &'static str, pieces: usize) {
        let labels = PieceLabels {
            model: Arc::clone(pool),
            source,
        };
        self.pieces.get_or_create(&labels).inc_by(pieces as u64);
    }

    fn handles(&self, labels: &JobLabels) -> Handles {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = last.as_ref().filter(|last| last.labels == *labels) {
            return handles.clone();
        }
        let outcome = labels.ended("translated");
        let handles = Handles {
            labels: labels.clone(),
            translated: self.jobs.get_or_create_owned(&outcome),
            queue: self.queue.get_or_create_owned(labels),
            processing: self.processing.get_or_create_owned(labels),
        };
        *last = Some(handles.clone());
        handles
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event) {
        let count = |counters: &Counters<ModelLabel>, pool: &Arc<str>, times: usize| {
            counters
                .get_or_create(&ModelLabel::of(pool))
                .inc_by(times as u64);
        };
        match event {
            Event::ActorSpawned { pool, .. } => count(&self.spawned, pool, 1),
            Event::ActorReady {
                pool, cold_start, ..
            } => {
                let histogram = self.cold_start.get_or_create(&ModelLabel::of(pool));
                histogram.observe(cold_start.as_secs_f64());
            }
            Event::ActorStopped { pool, reason, .. } => {
                let labels = StopLabels {
                    model: Arc::clone(pool),
                    reason: stop_reason(*reason),
                };
                self.stopped.get_or_create(&labels).inc();
            }
            Event::ActorFailed { pool, requeued, .. } => {
                count(&self.failed, pool, 1);
                count(&self.requeued, pool, *requeued);
            }
            Event::BatchDone {
                pool,
                segments,
                tokens,
                elapsed,
                waited,
                ..
            } => self.batch(pool, (*segments, *tokens), (*elapsed, *waited)),
            Event::PiecesKnown {
                pool,
                source,
                pieces,
            } => self.pieces(pool, source.name(), *pieces),
            Event::PiecesTruncated { pool, pieces, .. } => {
                count(&self.truncated, pool, *pieces);
            }
            Event::SentencesChecked { pool, counts } => self.sentences(pool, counts),
            Event::TextPoisoned { pool, .. } => count(&self.poisoned, pool, 1),
            Event::Scaled {
                pool,
                from,
                decision,
            } => {
                let up = decision.target as usize > *from;
                let labels = ScalingLabels {
                    model: Arc::clone(pool),
                    direction: if up { "up" } else { "down" },
                    reason: decision.reason.label(),
                };
                self.scaled.get_or_create(&labels).inc();
            }
            Event::JobsAbandoned { pool, jobs } => count(&self.abandoned, pool, *jobs),
            Event::PanicContained { stage, .. } => {
                let stage = stage.name();
                self.contained_panics
                    .get_or_create(&StageLabel { stage })
                    .inc();
            }
            Event::JobsRefused { pool, jobs } => count(&self.refused, pool, *jobs),
            Event::JobsExpired { pool, jobs } => count(&self.expired, pool, *jobs),
            Event::JobsRetried { code, jobs, .. } => {
                let label = CodeLabel { code: code.name() };
                self.retried.get_or_create(&label).inc_by(*jobs as u64);
            }
            Event::EngineSaid { pool, .. } => count(&self.engine_lines, pool, 1),
            Event::IntakePaused { .. } => {
                self.pauses.inc();
            }
            Event::Pivoted { pivot } => {
                let pivot = pivot.to_string();
                self.pivoted.get_or_create(&PivotLabel { pivot }).inc();
            }
            Event::Escalated { from, to } => {
                let labels = EscalationLabels {
                    from: from.as_str(),
                    to: to.map_or("none", ModelType::as_str),
                };
                self.escalated.get_or_create(&labels).inc();
            }
            Event::Accepted { lane, jobs } => {
                let label = LaneLabel { lane: lane.name() };
                self.accepted.get_or_create(&label).inc_by(*jobs as u64);
            }
            _ => {}
        }
    }

    fn answered(&self, pool: Option<&Arc<str>>, outcomes: &[JobOutcome]) {
        let model = pool.map_or_else(|| Arc::from(""), Arc::clone);
        let mut handles: Option<(&str, Handles)> = None;
        for JobOutcome { order, result } in outcomes {
            let lane = order.request.lane().name();
            let tag = order.target_tag();
            let same = handles
                .as_ref()
                .is_some_and(|(last, handles)| *last == tag && handles.labels.lane == lane);
            if !same {
                // Without a pool the tag is whatever the sender wrote: the label would have no bound.
                let language = match pool {
                    Some(_) => tag.parse().map(|language: Language| language.to_string()),
                    None => Ok(String::new()),
                };
                let labels = JobLabels {
                    model: Arc::clone(&model),
                    lane,
                    language: language.unwrap_or_default(),
                };
                handles = Some((tag, self.handles(&labels)));
            }
            let Some((_, handles)) = &handles else {
                continue;
            };
            match result {
                Ok(translated) => {
                    handles.translated.inc();
                    handles.queue.observe(translated.queue_time.as_secs_f64());
                    handles
                        .processing
                        .observe(translated.processing_time.as_secs_f64());
                }
                Err(error) => self.error(&handles.labels, error.code),
            }
        }
    }
}

impl Metrics {
    fn sentences(&self, pool: &Arc<str>, counts: &SentenceCounts) {
        let model = || Arc::clone(pool);
        for (way, count) in counts.by_way().filter(|(_, count)| *count > 0) {
            let (model, way) = (model(), way.label());
            let labels = WayLabels { model, way };
            self.sentences.get_or_create(&labels).inc_by(count.into());
        }
        for (flag, count) in counts.by_flag().filter(|(_, count)| *count > 0) {
            let (model, flag) = (model(), flag.label());
            let labels = FlagLabels { model, flag };
            self.failed_checks
                .get_or_create(&labels)
                .inc_by(count.into());
        }
        for (kind, count) in counts.by_kind().filter(|(_, count)| *count > 0) {
            let (model, kind) = (model(), kind.label());
            let labels = KindLabels { model, kind };
            self.lost_tokens.get_or_create(&labels).inc_by(count.into());
        }
    }

    fn error(&self, labels: &JobLabels, code: ErrorCode) {
        self.jobs.get_or_create(&labels.ended(code.name())).inc();
    }
}

const fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::ScaledDown => "scaled_down",
        StopReason::MemoryLimit => "memory_limit",
        StopReason::Evicted => "evicted",
        StopReason::Drained => "drained",
    }
}
