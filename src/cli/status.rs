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
use crate::{
    config::Delivery,
    node::{NodeStatus, SourceStatus, ask, default_socket},
};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Name of the node; that of the configuration when absent
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Path of the node's socket
    #[arg(long, value_name = "PATH", conflicts_with = "node")]
    socket: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let config = args.config.load(&[])?;
    let socket = match (&args.socket, &args.node, config.status.socket) {
        (Some(socket), ..) => socket.clone(),
        (None, Some(node), _) => default_socket(node),
        (None, None, Some(socket)) => socket,
        (None, None, None) => default_socket(&config.node.name),
    };
    let status = ask(&socket)?;
    let mut output = io::stdout().lock();
    if args.json {
        writeln!(output, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write!(output, "{}", text(&status))?;
    }
    Ok(ExitCode::SUCCESS)
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
    for pool in &status.pools {
        let _ = writeln!(text, "\n{}", pool_text(pool));
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
         {name}: {} records answered, {} transactions committed, {} aborted, producer replaced {} times",
        source.partitions,
        source.queued_tokens,
        source.lag_records,
        source.lag_tokens,
        source.oldest_age_ms,
        counts.published,
        counts.transactions_committed,
        counts.transactions_aborted,
        counts.producer_restarts,
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
