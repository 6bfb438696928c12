//! The commands.

mod bench;
mod check_config;
mod cluster;
mod dead_letters;
mod demo;
mod globals;
mod keys;
mod models;
mod node;
mod status;
mod table;
mod top;
mod topics;
mod translate;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use babelmesh_actors::domain::{Format, TranslationRequest, TranslationResult};
use clap::{
    CommandFactory, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use clap_complete::Shell;

use crate::node::registry;
use globals::Globals;

/// Self-hosted machine translation for Kafka and HTTP.
///
/// Applications publish texts to Kafka or send them over HTTP. Nodes translate them with auto-scaling pools of workers.
///
/// Exit status: 0 on success, 1 on failure, 2 on a usage error.
#[derive(Debug, Parser)]
#[command(
    name = "babelmesh",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Translate 2,000 chat messages with an embedded broker and a node in this process, and show the pools
    Demo(demo::DemoArgs),
    /// Run a node (Ctrl-C or SIGTERM drains and stops it)
    Node,
    /// Translate a text, standard input (line by line, or as one document with --format), or a document with --file
    Translate(translate::TranslateArgs),
    /// Measure a cluster: publish messages, count the answers, report latencies
    #[command(alias = "load")]
    Bench(bench::BenchArgs),
    /// Fetch, import, list, verify, evaluate and remove models
    Models(models::ModelsArgs),
    /// Check the configuration and report every error in it
    CheckConfig(check_config::CheckConfigArgs),
    /// Show the status of a running node on this machine, or of its cluster
    Status(status::StatusArgs),
    /// Watch the nodes, pools and languages of a cluster
    Top(top::TopArgs),
    /// Create cluster certificates and send commands to nodes
    Cluster(cluster::ClusterArgs),
    /// Create and describe topics
    Topics(topics::TopicsArgs),
    /// List, show and replay dead letters
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Create, list and revoke keys of the HTTP API
    Keys(keys::KeysArgs),
    /// Print the JSON Schema of a message
    Schema {
        /// The message
        message: Message,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A message on the wire.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Message {
    /// A translation request
    Request,
    /// A translation result
    Result,
}

impl Message {
    fn schema(self) -> schemars::Schema {
        match self {
            Self::Request => schemars::schema_for!(TranslationRequest),
            Self::Result => schemars::schema_for!(TranslationResult),
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(misuse) = cli.globals.check(std::env::args_os()) {
        misused(&misuse);
    }
    match run(cli.command, &cli.globals) {
        Ok(code) => code,
        // A reader such as `head` that closes the pipe early is not a failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<UsageError>() => misused(&error.to_string()),
        Err(error) => {
            let _ = writeln!(io::stderr(), "babelmesh: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, globals: &Globals) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args, globals),
        Command::Node => node::run(globals),
        Command::Translate(args) => translate::run(args, globals),
        Command::Bench(args) => bench::run(args, globals),
        Command::Models(args) => models::run(args, globals),
        Command::CheckConfig(args) => check_config::run(&args, globals),
        Command::Status(args) => status::run(&args, globals),
        Command::Top(args) => top::run(args, globals),
        Command::Cluster(args) => cluster::run(args, globals),
        Command::Topics(args) => topics::run(&args, globals),
        Command::DeadLetters(args) => dead_letters::run(&args, globals),
        Command::Keys(args) => keys::run(args, globals),
        Command::Schema { message } => {
            writeln!(
                io::stdout(),
                "{}",
                serde_json::to_string_pretty(&message.schema())?
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "babelmesh", &mut script);
            io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A command line whose values contradict each other or the input: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Reads the name of a format, and lists the names to the user and to shells.
fn format_names() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str))
        .try_map(|name| name.parse::<Format>())
}

fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// Ends as the parser does with an error.
fn misused(message: &str) -> ! {
    let message = format!("{message}\n\nFor more information, try '--help'.\n");
    clap::Error::raw(ErrorKind::ValueValidation, message).exit()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn chain(error: &anyhow::Error) -> String {
    crate::node::error_chain(error.as_ref())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// Waits for a stop signal: Ctrl-C, SIGTERM or SIGHUP. Returns its name.
async fn stop_requested() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return "interrupt";
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "interrupt",
        _ = terminate.recv() => "terminate",
        () = hung_up() => "hangup",
    }
}

/// Ends with SIGHUP; never where the process was started with it ignored, as `nohup` does.
async fn hung_up() {
    use std::sync::LazyLock;
    use tokio::signal::unix::{SignalKind, signal};
    // Read once, before the first handler takes the place of what was inherited.
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
    });
    if !*IGNORED && let Ok(mut hangup) = signal(SignalKind::hangup()) {
        hangup.recv().await;
    } else {
        std::future::pending().await
    }
}

/// Whether the text of `/proc/self/status` says that SIGHUP, the first signal, is ignored.
fn ignores_hangup(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inherited_nohup_is_seen() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
