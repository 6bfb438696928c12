//! Gauges, read from the node status.

mod cluster_metrics;

use std::sync::atomic::AtomicU64;

use babelmesh_actors::{
    domain::{ErrorCode, Lane},
    pool::{ActorPhase, LaneStatus, PoolStatus},
    scaling::{Decision, Estimates},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Labels, PREFIX};
use crate::{
    events::NodeEvent,
    status::{ClusterView, Delivery, NodeStatus, SourceStatus},
};

/// The node now.
pub(super) fn registry(
    status: &NodeStatus,
    cluster: Option<&ClusterView>,
    ready: bool,
) -> Registry {
    let mut page = Page(Registry::with_prefix(PREFIX));
    let delivery = match status.delivery {
        Delivery::ExactlyOnce => "exactly-once",
        Delivery::AtLeastOnce => "at-least-once",
    };
    let about = vec![
        ("node", status.node.clone()),
        ("version", status.version.clone()),
        ("delivery", delivery.to_owned()),
    ];
    page.gauge("node_info", "Version of the node, always 1", [(about, 1.0)]);
    page.value(
        "node_ready",
        "1 if a warm model answered recently and the brokers are reachable",
        f64::from(u8::from(ready)),
    );
    page.value(
        "models_broken",
        "Configured models that cannot be served",
        status.broken_models.len() as f64,
    );
    page.value(
        "glossaries",
        "Glossaries that the node knows",
        status.glossaries as f64,
    );
    page.value(
        "glossaries_read",
        "1 if the node has read the topic of glossaries, or has none",
        f64::from(u8::from(status.glossaries_read)),
    );
    let events = NodeEvent::counts();
    let events = events.map(|(event, count)| (vec![("event", event.to_owned())], count));
    page.counter("node_events", "Events outside the actors, by kind", events);
    sources(&mut page, status);
    let topics = status.topics.iter();
    let topics = topics.map(|(topic, is_usable)| {
        (
            vec![("topic", topic.clone())],
            f64::from(u8::from(*is_usable)),
        )
    });
    page.gauge(
        "topic_available",
        "1 if the topic exists, has leaders and is accessible",
        topics,
    );
    page.value(
        "topic_problems",
        "Unusable topics, and stalled partitions with unread records",
        status.topic_problems.len() as f64,
    );
    pools(&mut page, &status.pools);
    scaling(&mut page, &status.pools);
    if let Some(cache) = &status.cache {
        cluster_metrics::cache(&mut page, cache);
    }
    cluster_metrics::help(&mut page, &status.pools);
    if let Some(view) = cluster {
        cluster_metrics::cluster(&mut page, view);
    }
    page.0
}

/// Metrics as they are added.
pub(super) struct Page(Registry);

impl Page {
    /// A gauge without labels.
    pub(super) fn value(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }
}

/// Requests and jobs: what is read and how it is answered.
fn sources(page: &mut Page, status: &NodeStatus) {
    let sources = [("requests", &status.requests), ("jobs", &status.jobs)];
    let label = |name: &str| vec![("source", name.to_owned())];
    let mut gauge = |name: &str, help: &str, value: fn(&SourceStatus) -> f64| {
        let values = sources.map(|(source, status)| (label(source), value(status)));
        page.gauge(name, help, values);
    };
    gauge("source_partitions", "Assigned partitions", |s| {
        s.partitions as f64
    });
    gauge(
        "source_gate_closed",
        "1 while intake is paused by back-pressure",
        |s| f64::from(u8::from(s.gate_closed)),
    );
    gauge(
        "source_paused",
        "1 while partitions are paused by back-pressure",
        |s| f64::from(u8::from(s.paused)),
    );
    gauge(
        "source_queued_tokens",
        "Accepted, unpublished work, in tokens",
        |s| s.queued_tokens as f64,
    );
    gauge(
        "source_lag_tokens",
        "Estimated work in unread records, in tokens",
        |s| s.lag_tokens as f64,
    );
    gauge(
        "source_oldest_age_seconds",
        "Age of the oldest unanswered record",
        |s| s.oldest_age_ms as f64 / 1e3,
    );
    let lags = sources.into_iter().flat_map(|(source, status)| {
        status.topics.iter().map(move |lag| {
            let labels = vec![("source", source.to_owned()), ("topic", lag.topic.clone())];
            (labels, lag.records as f64)
        })
    });
    page.gauge("source_lag_records", "Unread records (lag)", lags);
    let mut counter = |name: &str, help: &str, value: fn(&SourceStatus) -> u64| {
        let values = sources.map(|(source, status)| (label(source), value(status)));
        page.counter(name, help, values);
    };
    counter(
        "published_records",
        "Records whose answers and offset are committed",
        |s| s.delivery.published,
    );
    counter(
        "producer_restarts",
        "Producers replaced after a failure",
        |s| s.delivery.producer_restarts,
    );
    counter(
        "consumer_restarts",
        "Consumers replaced because they were fenced or disconnected",
        |s| s.delivery.consumer_restarts,
    );
    counter(
        "skipped_records",
        "Records, at most, that retention deleted before they were read",
        |s| s.delivery.skipped_records,
    );
    let transactions = sources.into_iter().flat_map(|(source, status)| {
        let delivery = status.delivery;
        [
            ("committed", delivery.transactions_committed),
            ("aborted", delivery.transactions_aborted),
        ]
        .map(|(outcome, count)| {
            let labels = vec![
                ("source", source.to_owned()),
                ("outcome", outcome.to_owned()),
            ];
            (labels, count)
        })
    });
    page.counter(
        "transactions",
        "Transactions by outcome; records of an aborted one are written again",
        transactions,
    );
    let letters = sources.into_iter().flat_map(|(source, status)| {
        let dead = ErrorCode::ALL.into_iter().filter(|code| code.is_dead());
        // Codes without letters too: an alert can see the first letter only where there was a zero before it.
        dead.map(move |code| {
            let count = status.dead_letters.get(code.name()).copied();
            let labels = vec![
                ("source", source.to_owned()),
                ("code", code.name().to_owned()),
            ];
            (labels, count.unwrap_or(0))
        })
    });
    page.counter(
        "dead_letters",
        "Dead letters written, by error code",
        letters,
    );
}

fn model(pool: &PoolStatus) -> Labels {
    vec![("model", pool.model_id.clone())]
}

/// A value of each pool.
pub(super) fn each<T>(
    pools: &[PoolStatus],
    value: impl Fn(&PoolStatus) -> T,
) -> impl Iterator<Item = (Labels, T)> {
    pools.iter().map(move |pool| (model(pool), value(pool)))
}

/// Use and saturation of the pools.
fn pools(page: &mut Page, pools: &[PoolStatus]) {
    let phases = [
        ("starting", ActorPhase::Starting),
        ("idle", ActorPhase::Idle),
        ("busy", ActorPhase::Busy),
        ("draining", ActorPhase::Draining),
    ];
    let actors = pools.iter().flat_map(|pool| {
        phases.map(|(name, phase)| {
            let mut labels = model(pool);
            labels.push(("phase", name.to_owned()));
            let count = pool.actors.iter().filter(|a| a.phase == phase).count();
            (labels, count as f64)
        })
    });
    page.gauge("pool_actors", "Model actors by state", actors);
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&PoolStatus) -> f64| {
        page.gauge(name, help, each(pools, value));
    };
    gauge(
        "pool_wanted_actors",
        "Target number of model actors",
        &|pool| f64::from(pool.wanted),
    );
    gauge(
        "pool_min_actors",
        "Minimum number of model actors",
        &|pool| f64::from(pool.bounds[0]),
    );
    gauge(
        "pool_max_actors",
        "Maximum number of model actors",
        &|pool| f64::from(pool.bounds[1]),
    );
    gauge(
        "pool_jobs",
        "Jobs that are queued or being translated",
        &|pool| pool.jobs as f64,
    );
    gauge(
        "pool_failing",
        "1 while a failed actor has not been replaced",
        &|pool| f64::from(u8::from(pool.failing.is_some())),
    );
    gauge(
        "engines_resident_memory_bytes",
        "Resident memory of a pool's engines",
        &|pool| pool.actors.iter().map(|a| a.resident_bytes as f64).sum(),
    );
    let lanes = |value: fn(&LaneStatus) -> f64| {
        pools.iter().flat_map(move |pool| {
            Lane::ALL.map(|lane| {
                let mut labels = model(pool);
                labels.push(("lane", lane.name().to_owned()));
                (labels, value(&pool.lanes[lane]))
            })
        })
    };
    page.gauge(
        "pool_queued_segments",
        "Queued segments",
        lanes(|lane| lane.segments as f64),
    );
    page.gauge(
        "pool_queued_tokens",
        "Queued work, in estimated tokens",
        lanes(|lane| lane.tokens as f64),
    );
    page.gauge(
        "pool_oldest_wait_seconds",
        "Wait of the oldest queued segment",
        lanes(|lane| lane.oldest_ms as f64 / 1e3),
    );
}

/// The newest decision of each pool and the numbers behind it.
fn scaling(page: &mut Page, pools: &[PoolStatus]) {
    let decided = || {
        pools
            .iter()
            .filter_map(|pool| Some((pool, pool.decision.as_ref()?)))
    };
    let mut gauge = |name: &str, help: &str, value: fn(&Decision) -> Option<f64>| {
        let values = decided().filter_map(|(pool, d)| Some((model(pool), value(d)?)));
        page.gauge(name, help, values);
    };
    gauge(
        "scaling_unmet_actors",
        "Model actors that the load needs beyond the bounds and ceilings",
        |d| Some(f64::from(d.unmet_actors)),
    );
    gauge(
        "scaling_target_actors",
        "Target of the last scaling decision",
        |d| Some(f64::from(d.target)),
    );
    let mut input = |name: &str, help: &str, value: fn(&Estimates) -> Option<f64>| {
        let values =
            decided().filter_map(|(pool, d)| Some((model(pool), value(&d.inputs.estimates)?)));
        page.gauge(name, help, values);
    };
    input("scaling_arrival_tokens_per_second", "Arrival rate", |e| {
        Some(e.arrival_tokens_per_second)
    });
    input(
        "scaling_service_tokens_per_second",
        "Measured speed of one busy actor",
        |e| Some(e.service_tokens_per_second),
    );
    input(
        "scaling_completed_tokens_per_second",
        "Completed work",
        |e| Some(e.completed_tokens_per_second),
    );
    input(
        "scaling_waiting_tokens",
        "Waiting work: backlog and lag",
        |e| Some(e.waiting_tokens as f64),
    );
    input(
        "scaling_prompt_delay_seconds",
        "Queue delay of the interactive and the normal lane",
        |e| Some(e.prompt_delay_seconds),
    );
    input(
        "scaling_any_delay_seconds",
        "Queue delay of the any lane",
        |e| Some(e.any_delay_seconds),
    );
    input(
        "scaling_pressure_ratio",
        "Queue delay divided by its target, the larger of both lanes",
        |e| Some(e.pressure),
    );
    input(
        "scaling_needed_actors",
        "Model actors that the load needs, unbounded",
        |e| Some(f64::from(e.needed_actors)),
    );
}
