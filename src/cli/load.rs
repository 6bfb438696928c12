//! `babelmesh load`

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
use babelmesh_actors::domain::Language;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{ConfigArgs, runtime, told_to_stop};
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

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// Open loop: messages per second, regardless of replies
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<f64>,
    /// Closed loop: unanswered messages at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    in_flight: u64,
    /// Number of messages
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    messages: Option<u64>,
    /// How long, in seconds; needs --rate
    #[arg(long, value_name = "SECONDS", requires = "rate")]
    duration: Option<f64>,
    #[command(flatten)]
    texts: TextArgs,
    /// Send the same texts again and again; by default each message is made distinct, so that no cache answers it
    #[arg(long)]
    repeat_texts: bool,
    /// Share of messages for the any lane, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    bulk: f64,
    /// Conversations that messages belong to in turn
    #[arg(long, default_value_t = 64, value_name = "N")]
    conversations: u64,
    /// Upper limit of unanswered messages, also with --rate (the embedded broker retains little)
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    max_in_flight: u64,
    /// Idle timeout: report missing answers as lost after this many seconds
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    patience: f64,
    /// Run a node with an embedded broker in this process, instead of talking to a cluster; without a cache unless cache.memory_mb is set
    #[arg(long)]
    with_node: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl LoadArgs {
    fn plan(&self) -> Result<Plan> {
        ensure!(
            (0.0..=1.0).contains(&self.bulk),
            "--bulk must be between 0 and 1"
        );
        ensure!(
            self.patience > 0.0 && self.patience <= MAX_PATIENCE,
            "--patience must be above 0 and at most {MAX_PATIENCE}"
        );
        let pace = match self.rate {
            Some(rate) => {
                ensure!(
                    (MIN_RATE..=MAX_RATE).contains(&rate),
                    "--rate must be between {MIN_RATE} and {MAX_RATE}"
                );
                Pace::Rate(rate)
            }
            None => Pace::InFlight(self.in_flight.max(1)),
        };
        let messages = match (self.messages, self.duration, self.rate) {
            (None, Some(seconds), Some(rate)) => (seconds * rate).round() as u64,
            (messages, ..) => messages.unwrap_or(2_000),
        };
        ensure!(messages > 0, "there is nothing to send");
        Ok(Plan {
            texts: match self.repeat_texts {
                true => Texts::repeated(self.texts.read()?),
                false => Texts::distinct(self.texts.read()?),
            },
            source: self.texts.from.clone(),
            targets: self.texts.targets(&["fr".to_owned(), "de".to_owned()])?,
            phases: vec![Phase { messages, pace }],
            conversations: self.conversations,
            bulk: self.bulk,
            max_in_flight: self.max_in_flight,
            patience: Duration::from_secs_f64(self.patience),
        })
    }
}

/// The longest patience, in seconds: a year.
const MAX_PATIENCE: f64 = 31_536_000.0;
/// The lowest rate, in messages a second.
const MIN_RATE: f64 = 1e-3;
/// The highest: no client is faster.
const MAX_RATE: f64 = 1e7;

/// What is translated.
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
        ensure!((1..=64).contains(&to.len()), "--to takes 1 to 64 languages");
        let mut targets: Vec<String> = Vec::with_capacity(to.len());
        for tag in to {
            tag.parse::<Language>()
                .with_context(|| format!("--to {tag}"))?;
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

pub(super) fn run(args: LoadArgs) -> Result<ExitCode> {
    let plan = args.plan()?;
    let embedded = [
        // What is measured are the models, and the texts repeat.
        ("cache.memory_mb", "0"),
        ("kafka.bootstrap_servers", EMBEDDED),
        ("node.name", "load"),
        ("log.filter", "warn"),
    ];
    let presets = if args.with_node {
        &embedded[..]
    } else {
        &[("log.filter", "warn")]
    };
    let config = args.config.load(presets)?;
    ensure!(
        args.with_node || config.kafka.bootstrap_servers != EMBEDDED,
        "the configuration has an embedded broker, which exists only inside a node: use --with-node to run one here, or give the address \
         that the node printed at start (--set kafka.bootstrap_servers=\"127.0.0.1:PORT\")"
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

/// A flag that is set when the process is told to stop.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    tokio::spawn(async move {
        told_to_stop().await;
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
