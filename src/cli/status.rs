//! `babelmesh status`

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use babelmesh_actors::{domain::Lane, pool::PoolStatus};
use clap::Args;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use super::ConfigArgs;
use crate::telemetry::status::TopicProblem;
use crate::{
    cluster::ClusterView,
    config::Delivery,
    node::{NodeStatus, SourceStatus, ask, ask_cluster, default_socket},
    telemetry::status::CacheStatus,
};

/// Which node is asked.
#[derive(Debug, Args)]
pub(super) struct SocketArgs {
    /// Name of the node that is asked, on this machine; that of the configuration when absent
    #[arg(long = "node", value_name = "NAME")]
    asked: Option<String>,
    /// Path of its socket
    #[arg(long, value_name = "PATH", conflicts_with = "asked")]
    socket: Option<PathBuf>,
}

impl SocketArgs {
    /// Its socket.
    pub(super) fn socket(&self, config: &ConfigArgs) -> Result<PathBuf> {
        let config = config.load(&[])?;
        Ok(match (&self.socket, &self.asked, config.status.socket) {
            (Some(socket), ..) => socket.clone(),
            (None, Some(node), _) => default_socket(node),
            (None, None, Some(socket)) => socket,
            (None, None, None) => default_socket(&config.node.name),
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    by: SocketArgs,
    /// The whole cluster as the node sees it, not the node alone
    #[arg(long)]
    cluster: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let socket = args.by.socket(&args.config)?;
    let mut output = io::stdout().lock();
    if args.cluster {
        let view = ask_cluster(&socket)?;
        match args.json {
            true => writeln!(output, "{}", serde_json::to_string_pretty(&view)?)?,
            false => write!(output, "{}", cluster_text(&view))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let status = ask(&socket)?;
    match args.json {
        true => writeln!(output, "{}", serde_json::to_string_pretty(&status)?)?,
        false => write!(output, "{}", text(&status))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn cluster_text(view: &ClusterView) -> String {
    let (up, all) = (view.up(), view.members.len());
    let mut text = format!("{up} of {all} nodes up, seen from {}\n", view.node);
    for warning in &view.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let mut nodes = Table::new();
    nodes.load_style(UTF8_FULL_CONDENSED);
    nodes.set_header([
        "node",
        "state",
        "address",
        "up s",
        "load",
        "MB",
        "partitions",
        "unread",
        "oldest ms",
    ]);
    let mut pools = Table::new();
    pools.load_style(UTF8_FULL_CONDENSED);
    pools.set_header([
        "node",
        "pool",
        "engine",
        "actors",
        "bounds",
        "backlog",
        "delay ms",
        "tokens/s",
        "translated",
    ]);
    for member in &view.members {
        let (node, address) = (member.node.clone(), member.address.clone());
        let Some(report) = &member.report else {
            nodes.add_row([node, member.state.name().to_owned(), address]);
            continue;
        };
        let state = match report.draining {
            true => "draining",
            false => member.state.name(),
        };
        nodes.add_row([
            node.clone(),
            state.to_owned(),
            address,
            (report.uptime_ms / 1_000).to_string(),
            format!("{:.1} of {}", report.load, report.cores),
            format!("{:.0}", report.memory_bytes as f64 / 1e6),
            format!("{}+{}", report.requests.partitions, report.jobs.partitions),
            report.jobs.lag_records.to_string(),
            report.jobs.oldest_age_ms.to_string(),
        ]);
        for pool in &report.pools {
            let guests = match pool.guests {
                0 => String::new(),
                guests => format!(" and {guests} of others"),
            };
            let paused = match pool.paused.as_slice() {
                [] => String::new(),
                paused => format!(", paused {}", paused.join(" ")),
            };
            let [min, max] = pool.bounds;
            pools.add_row([
                node.clone(),
                pool.model.clone(),
                pool.engine.clone(),
                format!("{}{guests}", pool.actors),
                format!("{min} to {max}"),
                format!("{} tokens{paused}", pool.backlog_tokens),
                pool.delay_ms.to_string(),
                format!("{:.0}", pool.tokens_per_second),
                pool.translated.to_string(),
            ]);
        }
    }
    let _ = writeln!(text, "{nodes}\n{pools}");
    let served = view.languages.iter().map(|language| {
        let nodes = language.nodes.len();
        format!("{} by {nodes}", language.language)
    });
    let served: Vec<_> = served.collect();
    let _ = writeln!(text, "languages served: {}", served.join(", "));
    text
}

fn text(status: &NodeStatus) -> String {
    let mut text = format!(
        "node {} (babelmesh {}, pid {}), up {} s, brokers {}\n\
         delivery {}\n",
        status.node,
        status.version,
        status.pid,
        status.uptime_ms / 1000,
        status.bootstrap,
        match status.delivery {
            Delivery::ExactlyOnce => "exactly once",
            Delivery::AtLeastOnce => "at least once",
        },
    );
    for (name, source) in [("requests", &status.requests), ("jobs", &status.jobs)] {
        let _ = writeln!(text, "{}", source_text(name, source));
    }
    for TopicProblem { topic, problem } in &status.topic_problems {
        let _ = writeln!(text, "topic {topic} {problem}");
    }
    if let Some(cache) = &status.cache {
        let _ = writeln!(text, "{}", cache_text(cache));
    }
    for broken in &status.broken_models {
        let _ = writeln!(text, "broken model {}: {}", broken.model, broken.error);
    }
    for pool in &status.pools {
        let _ = writeln!(text, "\n{}", pool_text(pool));
    }
    text
}

fn cache_text(cache: &CacheStatus) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = format!(
        "cache: {} sentences, {:.1} of {:.0} MiB",
        cache.entries,
        mib(cache.bytes),
        mib(cache.max_bytes)
    );
    if let Some(shared) = &cache.shared {
        let state = match shared.reachable {
            true => "answers",
            false => "does not answer",
        };
        let _ = write!(
            text,
            "; Redis {state}, had {}, had not {}, failed for {}, {} written, {} dropped",
            shared.found, shared.missed, shared.failed, shared.written, shared.dropped
        );
    }
    text
}

fn source_text(name: &str, source: &SourceStatus) -> String {
    let state = match (source.paused, source.gate_closed) {
        (true, _) => ", paused",
        (false, true) => ", holding back",
        (false, false) => "",
    };
    let counts = &source.delivery;
    let mut text = format!(
        "{name}: {} partitions{state}, {} tokens accepted and not yet published, {} records unread ({} tokens), oldest {} ms\n\
         {name}: {} records answered, {} transactions committed, {} aborted, producer replaced {} times, consumer {} times, {} records lost to retention",
        source.partitions,
        source.queued_tokens,
        source.lag_records,
        source.lag_tokens,
        source.oldest_age_ms,
        counts.published,
        counts.transactions_committed,
        counts.transactions_aborted,
        counts.producer_restarts,
        counts.consumer_restarts,
        counts.skipped_records,
    );
    for topic in source.topics.iter().filter(|topic| topic.records > 0) {
        let _ = write!(text, "\n{name}: {} of {}", topic.records, topic.topic);
    }
    text
}

fn pool_text(pool: &PoolStatus) -> String {
    let [min, max] = pool.bounds;
    let mut text = format!(
        "pool {} on {}, {} actors wanted ({min} to {max}, {}), {} translated, {} failed\n",
        pool.model_id, pool.engine, pool.wanted, pool.policy, pool.translated, pool.failed
    );
    if let Some(error) = &pool.failing {
        let _ = writeln!(text, "failing: {error}");
    }
    for lane in Lane::ALL {
        let waiting = pool.lanes[lane];
        if waiting.segments > 0 {
            let _ = writeln!(
                text,
                "lane {}: {} segments, {} tokens, oldest {} ms",
                lane.name(),
                waiting.segments,
                waiting.tokens,
                waiting.oldest_ms
            );
        }
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["actor", "phase", "process", "MB", "type", "batches"]);
    for actor in &pool.actors {
        table.add_row([
            actor.name.clone(),
            format!("{:?}", actor.phase).to_lowercase(),
            actor
                .pid
                .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            format!("{:.0}", actor.resident_bytes as f64 / 1e6),
            actor.numeric.clone().unwrap_or_else(|| "-".to_owned()),
            actor.batches.to_string(),
        ]);
    }
    text.push_str(&table.to_string());
    text
}
