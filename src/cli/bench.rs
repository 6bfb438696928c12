//! `babelmesh bench`

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use babelmesh_actors::domain::{Format, Language};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Globals, format_names, runtime, stop_requested, usage};
use crate::{
    events::EventLog,
    kafka::client::Clients,
    load::{self, LoadReport, Pace, Phase, Plan, Texts},
    logging,
    node::{EMBEDDED, Node},
    telemetry::Traces,
};

/// How long the node in this process may take to read partitions and warm its models up.
pub(super) const READY: Duration = Duration::from_secs(120);
/// Largest rate and number of seconds.
const MAX_NUMBER: f64 = 1e9;

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Open loop: messages per second, regardless of replies
    #[arg(long, value_name = "N", conflicts_with = "in_flight", value_parser = above_zero)]
    rate: Option<f64>,
    /// Closed loop: unanswered messages at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    in_flight: u64,
    /// Number of messages (default: 2000)
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Length of the run in seconds; needs --rate
    #[arg(long, value_name = "SECONDS", requires = "rate", value_parser = above_zero)]
    duration: Option<f64>,
    #[command(flatten)]
    texts: TextArgs,
    /// Format of the texts
    #[arg(long, value_name = "FORMAT", default_value_t, ignore_case = true, value_parser = format_names())]
    format: Format,
    /// Repeat the texts unchanged; by default each message is distinct, so that no cache answers it
    #[arg(long)]
    repeat_texts: bool,
    /// Share of messages for the bulk lane, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    bulk: f64,
    /// Number of conversations to spread the messages over
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    conversations: u64,
    /// Upper limit of unanswered messages, also with --rate (the embedded broker retains little)
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_in_flight: u64,
    /// Idle timeout: report missing answers as lost after this many seconds
    #[arg(long, alias = "patience", default_value_t = 30.0, value_name = "SECONDS", value_parser = above_zero)]
    idle_timeout: f64,
    /// Start a node with an embedded broker in this process instead of using a cluster; its cache is off unless cache.memory_mb is set
    #[arg(long)]
    with_node: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let valid = number.filter(|number| *number > 0.0 && *number <= MAX_NUMBER);
    valid.ok_or_else(|| "expected a number above zero".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let valid = number.filter(|number| (0.0..=1.0).contains(number));
    valid.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl BenchArgs {
    fn plan(&self) -> Result<Plan> {
        let pace = match self.rate {
            Some(rate) => Pace::Rate(rate),
            None => Pace::InFlight(self.in_flight),
        };
        let messages = match (self.messages, self.duration, self.rate) {
            (None, Some(seconds), Some(rate)) => (seconds * rate).round() as u64,
            (messages, ..) => messages.unwrap_or(2_000),
        };
        if messages == 0 {
            return Err(usage(
                "--duration is too short for one message at this --rate",
            ));
        }
        Ok(Plan {
            texts: match self.repeat_texts {
                true => Texts::repeated(self.texts.read()?),
                false => Texts::distinct(self.texts.read()?),
            }
            .in_format(self.format),
            source: self.texts.from.clone(),
            targets: self.texts.targets(&["fr".to_owned(), "de".to_owned()])?,
            phases: vec![Phase { messages, pace }],
            conversations: self.conversations,
            bulk: self.bulk,
            max_in_flight: self.max_in_flight,
            patience: Duration::from_secs_f64(self.idle_timeout),
        })
    }
}

/// The texts and their languages.
#[derive(Debug, Args)]
pub(super) struct TextArgs {
    /// Source language of the texts
    #[arg(long, default_value = "en", value_name = "LANGUAGE")]
    pub(super) from: String,
    /// Target languages (default: fr,de; of the demo: those of its models)
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    pub(super) to: Vec<String>,
    /// File with one text per line (default: built-in samples)
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

impl TextArgs {
    /// Whether the built-in samples are used.
    pub(super) fn are_samples(&self) -> bool {
        self.input.is_none()
    }

    /// The target languages, each once; these where the command line names none.
    pub(super) fn targets(&self, default: &[String]) -> Result<Vec<String>> {
        let to = match self.to.is_empty() {
            true => default,
            false => &self.to,
        };
        if !(1..=64).contains(&to.len()) {
            return Err(usage("--to takes 1 to 64 languages"));
        }
        let mut targets: Vec<String> = Vec::with_capacity(to.len());
        for tag in to {
            tag.parse::<Language>()
                .map_err(|error| usage(format!("--to {tag}: {error}")))?;
            if !targets.contains(tag) {
                targets.push(tag.clone());
            }
        }
        Ok(targets)
    }

    /// The lines of the file, or everyday messages.
    pub(super) fn read(&self) -> Result<Vec<String>> {
        let Some(path) = &self.input else {
            return Ok(load::everyday());
        };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        ensure!(!lines.is_empty(), "{} holds no text", path.display());
        Ok(lines)
    }
}

pub(super) fn run(args: BenchArgs, globals: &Globals) -> Result<ExitCode> {
    let plan = args.plan()?;
    let embedded = [
        // What is measured are the models, and the texts repeat.
        ("cache.memory_mb", "0"),
        ("kafka.bootstrap_servers", EMBEDDED),
        ("node.name", "bench"),
        ("log.filter", "warn"),
    ];
    let presets = if args.with_node {
        &embedded[..]
    } else {
        &[("log.filter", "warn")]
    };
    let mut config = globals.config.load(presets)?;
    if !args.with_node {
        globals.find_broker(&mut config)?;
    }
    ensure!(
        args.with_node || config.kafka.bootstrap_servers != EMBEDDED,
        "kafka.bootstrap_servers is \"embedded\", and an embedded broker exists only while its node runs: use --with-node to run one here, \
         start the node, or give the address of a broker"
    );
    // Only a node of this process has anything to trace.
    let traces = match args.with_node {
        true => Traces::start(&config.telemetry.traces, &config.node.name)?,
        false => Traces::default(),
    };
    logging::start_traced(&config.log, &traces);
    let report = runtime()?.block_on(async {
        let node = match args.with_node {
            true => {
                let node = Node::start_traced(&config, Arc::new(EventLog), traces).await?;
                node.ready(READY).await?;
                Some(node)
            }
            false => None,
        };
        let bootstrap = &config.kafka.bootstrap_servers;
        let clients = node.as_ref().map_or_else(
            || Clients::new(&config.kafka, bootstrap, "load", false),
            |node| node.clients().clone(),
        );
        let topics = config.kafka.topics.clone();
        let stop = stop_flag();
        let report = tokio::task::spawn_blocking(move || {
            let bar = bar(
                plan.phases.iter().map(|p| p.messages).sum::<u64>() * plan.targets.len() as u64
            );
            let report = load::run(
                &clients,
                &topics,
                &plan,
                &|| stop.load(Ordering::Relaxed),
                &mut |now| {
                    bar.set_position(now.oracle.answered());
                    bar.set_message(format!("{} sent", now.oracle.sent()));
                },
            );
            bar.finish_and_clear();
            report
        })
        .await??;
        if let Some(node) = node {
            node.drain().await;
        }
        anyhow::Ok(report)
    })?;
    print(&report, args.json)?;
    Ok(if report.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) fn print(report: &LoadReport, json: bool) -> Result<()> {
    let mut output = io::stdout().lock();
    if json {
        writeln!(output, "{}", serde_json::to_string_pretty(report)?)?;
    } else {
        writeln!(output, "{report}")?;
    }
    Ok(())
}

/// A flag that is set on a stop signal.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    tokio::spawn(async move {
        stop_requested().await;
        set.store(true, Ordering::Relaxed);
    });
    flag
}

fn bar(answers: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(answers), target);
    let style = "{bar:30} {pos}/{len} answers, {per_sec}, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}
