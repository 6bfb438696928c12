//! `babelmesh demo`

mod board;
mod models;
mod round_trip;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;

use super::{
    Globals,
    bench::{READY, TextArgs, stop_flag},
    runtime,
};
use crate::{
    load::{self, LoadReport, Pace, Phase, Plan, Texts},
    logging,
    node::{EMBEDDED, Node},
    telemetry::Traces,
};
use board::Board;

/// Messages a second before and after the burst.
const TRICKLE: f64 = 20.0;
/// How long to watch the pool shrink when everything is answered.
const SHRINK: Duration = Duration::from_secs(8);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Number of messages
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    #[command(flatten)]
    texts: TextArgs,
}

/// A demonstration is short: the pool shrinks after seconds instead of minutes. Everything else is as in a node.
const PRESETS: &[(&str, &str)] = &[
    // It says the same few things again and again, and is about the models.
    ("cache.memory_mb", "0"),
    ("http.listen", "127.0.0.1:0"),
    ("kafka.bootstrap_servers", EMBEDDED),
    ("kafka.partitions", "4"),
    ("node.name", "demo"),
    ("log.filter", "error"),
    ("scaling.delay_target.shrink_window_ms", "2000"),
    ("scaling.delay_target.shrink_period_ms", "1000"),
    ("scaling.delay_target.slow_window_ms", "2000"),
];

pub(super) fn run(args: DemoArgs, globals: &Globals) -> Result<ExitCode> {
    let config = globals.config.load(&models::presets(PRESETS))?;
    let models = models::Models::select(&config)?;
    let traces = Traces::start(&config.telemetry.traces, &config.node.name)?;
    logging::start_traced(&config.log, &traces);
    let plan = Plan {
        texts: Texts::repeated(args.texts.read()?),
        targets: args.texts.targets(&models.targets(&args.texts.from))?,
        source: args.texts.from.clone(),
        phases: phases(args.messages),
        conversations: 64,
        bulk: 0.0,
        max_in_flight: 10_000,
        patience: Duration::from_secs(60),
    };
    let trips = match args.texts.are_samples() {
        true => models.round_trip(&plan.source, &plan.targets),
        false => None,
    };
    writeln!(io::stderr(), "{models}")?;
    runtime()?.block_on(async {
        let board = Arc::new(Board::new(args.messages, plan.targets.len() as u64));
        let stop = stop_flag();
        let node = Node::start_traced(&config, Arc::clone(&board) as _, traces).await?;
        tokio::select! {
            ready = node.ready(READY) => ready?,
            () = stopped(&stop) => {
                node.drain().await;
                return Ok(ExitCode::from(130));
            }
        }
        if let Some(http) = node.http() {
            writeln!(io::stderr(), "dashboard at http://{http}/ while this runs")?;
        }
        let (clients, topics) = (node.clients().clone(), config.kafka.topics.clone());
        let (shown, told) = (Arc::clone(&board), Arc::clone(&stop));
        let running = tokio::task::spawn_blocking(move || {
            let stopped = || told.load(Ordering::Relaxed);
            load::run(&clients, &topics, &plan, &stopped, &mut |progress| {
                shown.show(progress)
            })
        });
        let report = tokio::select! {
            report = running => report??,
            failure = node.failed() => bail!("{}", failure.0),
            () = stopped(&stop) => {
                board.clear();
                node.drain().await;
                writeln!(io::stderr(), "stopped; in-flight work was finished")?;
                // The generator thread may still wait for answers that will not come.
                std::process::exit(130);
            }
        };
        board.wait_for_shrink(models.count(), SHRINK, &stop).await;
        board.clear();
        if let Some(trip) = trips {
            tokio::select! {
                shown = trip.show(&node) => shown?,
                () = stopped(&stop) => {}
            }
        }
        node.drain().await;
        board.clear();
        finish(&report, &board)
    })
}

fn finish(report: &LoadReport, board: &Board) -> Result<ExitCode> {
    let mut table = report.table();
    for (name, value) in board.rows() {
        table.add_row([name.to_owned(), value]);
    }
    writeln!(io::stdout().lock(), "{table}")?;
    Ok(if report.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A trickle that one actor carries, a burst that it does not, and a trickle again.
fn phases(messages: u64) -> Vec<Phase> {
    let trickle = Phase {
        messages: (messages / 20).min(60),
        pace: Pace::Rate(TRICKLE),
    };
    let burst = Phase {
        messages: messages - 2 * trickle.messages,
        pace: Pace::InFlight(u64::MAX),
    };
    vec![trickle, burst, trickle]
}

async fn stopped(flag: &std::sync::atomic::AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
