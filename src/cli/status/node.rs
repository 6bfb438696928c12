//! The status of a node as text.

use std::fmt::Write as _;

use babelmesh_actors::{
    domain::Lane,
    pool::{ActorStatus, PoolStatus},
};

use crate::{
    cli::table::{lines, short_bytes, short_count, short_duration, table},
    config::Delivery,
    node::{NodeStatus, SourceStatus},
    telemetry::status::{CacheStatus, TopicProblem},
};

pub(super) fn text(status: &NodeStatus) -> String {
    let delivery = match status.delivery {
        Delivery::ExactlyOnce => "exactly once",
        Delivery::AtLeastOnce => "at least once",
    };
    let brokers = match status.brokers_answer {
        true => "",
        false => " (no answer)",
    };
    let mut text = format!(
        "node {}, babelmesh {}, pid {}, up {}\nbrokers {}{brokers}, delivery {delivery}\n\n",
        status.node,
        status.version,
        status.pid,
        short_duration(status.uptime_ms),
        status.bootstrap,
    );
    let sources = [("requests", &status.requests), ("jobs", &status.jobs)];
    let _ = write!(text, "{}\n{}", queues(&sources), deliveries(&sources));
    text.push_str(&topics(&sources));
    let mut notes = String::new();
    for TopicProblem { topic, problem } in &status.topic_problems {
        let _ = writeln!(notes, "topic {topic} {problem}");
    }
    for broken in &status.broken_models {
        let _ = writeln!(notes, "broken model {}: {}", broken.model, broken.error);
    }
    if !notes.is_empty() {
        let _ = write!(text, "\n{notes}");
    }
    if let Some(cache) = &status.cache {
        let _ = write!(text, "\n{}", cache_text(cache));
    }
    for pool in &status.pools {
        let _ = write!(text, "\n{}", pool_text(pool));
    }
    text
}

/// What is read and what waits.
fn queues(sources: &[(&str, &SourceStatus)]) -> String {
    let mut rows = table(&[
        "source",
        "state",
        ">partitions",
        ">unread",
        ">oldest",
        ">unread tok",
        ">in progress tok",
    ]);
    for (name, source) in sources {
        let state = match (source.paused, source.gate_closed) {
            (true, _) => "paused",
            (false, true) => "back-pressure",
            (false, false) => "reading",
        };
        rows.add_row([
            (*name).to_owned(),
            state.to_owned(),
            source.partitions.to_string(),
            short_count(source.lag_records),
            short_duration(source.oldest_age_ms),
            short_count(source.lag_tokens),
            short_count(source.queued_tokens),
        ]);
    }
    lines(&rows)
}

/// Records answered, transactions, replaced clients, and records that retention deleted before they were consumed.
fn deliveries(sources: &[(&str, &SourceStatus)]) -> String {
    let mut rows = table(&[
        "source",
        ">answered",
        ">committed",
        ">aborted",
        ">client restarts",
        ">skipped",
    ]);
    for (name, source) in sources {
        let counts = &source.delivery;
        rows.add_row([
            (*name).to_owned(),
            counts.published.to_string(),
            counts.transactions_committed.to_string(),
            counts.transactions_aborted.to_string(),
            (counts.producer_restarts + counts.consumer_restarts).to_string(),
            counts.skipped_records.to_string(),
        ]);
    }
    lines(&rows)
}

/// Topics with unread records.
fn topics(sources: &[(&str, &SourceStatus)]) -> String {
    let mut rows = table(&["topic", ">unread"]);
    for (_, source) in sources {
        for topic in source.topics.iter().filter(|topic| topic.records > 0) {
            rows.add_row([topic.topic.to_string(), topic.records.to_string()]);
        }
    }
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{}", lines(&rows)),
    }
}

fn cache_text(cache: &CacheStatus) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = format!(
        "cache: {} sentences, {:.1} of {:.0} MiB\n",
        cache.entries,
        mib(cache.bytes),
        mib(cache.max_bytes)
    );
    if let Some(shared) = &cache.shared {
        let state = match shared.reachable {
            true => "reachable",
            false => "unreachable",
        };
        let _ = writeln!(
            text,
            "Redis: {state}, {} hits, {} misses, {} errors, {} written, {} dropped",
            shared.found, shared.missed, shared.failed, shared.written, shared.dropped
        );
    }
    text
}

fn pool_text(pool: &PoolStatus) -> String {
    let [min, max] = pool.bounds;
    let mut text = format!(
        "pool {} on {}\n  {} actors wanted ({min} to {max}, {}), {} translated, {} failed\n",
        pool.model_id, pool.engine, pool.wanted, pool.policy, pool.translated, pool.failed
    );
    if let Some(error) = &pool.failing {
        let _ = writeln!(text, "  failing: {error}");
    }
    if !pool.held.targets.is_empty() {
        let targets: Vec<_> = pool.held.targets.iter().map(ToString::to_string).collect();
        let tokens = pool.held.tokens;
        let _ = writeln!(
            text,
            "  paused: {} ({tokens} tokens wait)",
            targets.join(" ")
        );
    }
    let mut waiting = table(&["  lane", ">segments", ">tokens", ">oldest"]);
    for lane in Lane::ALL {
        let lane_status = pool.lanes[lane];
        if lane_status.segments > 0 {
            waiting.add_row([
                format!("  {}", lane_name(lane)),
                lane_status.segments.to_string(),
                lane_status.tokens.to_string(),
                short_duration(lane_status.oldest_ms),
            ]);
        }
    }
    if !waiting.is_empty() {
        text.push_str(&lines(&waiting));
    }
    let mut actors = table(&["  actor", "phase", ">pid", ">memory", "type", ">batches"]);
    for actor in &pool.actors {
        actors.add_row(actor_cells(actor));
    }
    if !actors.is_empty() {
        text.push_str(&lines(&actors));
    }
    text
}

/// The lane "any" of the wire format is the bulk lane.
const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Any => "bulk",
        other => other.name(),
    }
}

fn actor_cells(actor: &ActorStatus) -> [String; 6] {
    let none = || "-".to_owned();
    [
        format!("  {}", actor.name),
        format!("{:?}", actor.phase).to_lowercase(),
        actor.pid.map_or_else(none, |pid| pid.to_string()),
        short_bytes(actor.resident_bytes),
        actor.numeric.clone().unwrap_or_else(none),
        actor.batches.to_string(),
    ]
}
