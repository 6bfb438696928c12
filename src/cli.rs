//! The commands.

mod check_config;
mod cluster;
mod dead_letters;
mod demo;
mod keys;
mod load;
mod models;
mod node;
mod status;
mod top;
mod topics;
mod translate;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use babelmesh_actors::domain::{TranslationRequest, TranslationResult};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::{self, Config},
    node::registry,
};

/// Actor-based distributed translation.
///
/// Backends publish texts to Kafka, nodes translate them with pools of model actors that grow and shrink with their backlog,
/// results go back to Kafka.
#[derive(Debug, Parser)]
#[command(
    name = "babelmesh",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch 2,000 chat messages being translated, with an embedded broker and a node in this process
    Demo(demo::DemoArgs),
    /// Run a node (Ctrl-C or SIGTERM drains and stops it)
    Node(node::NodeArgs),
    /// Translate a text, or standard input line by line, without Kafka
    Translate(translate::TranslateArgs),
    /// Publish messages to a cluster and count what comes back
    Load(load::LoadArgs),
    /// Fetch, import, list, verify, evaluate and remove models
    Models(models::ModelsArgs),
    /// Check the configuration and report every error in it
    CheckConfig(check_config::CheckConfigArgs),
    /// Show the status of a running node on this machine, and of its cluster
    Status(status::StatusArgs),
    /// Watch the nodes and pools of a cluster
    Top(top::TopArgs),
    /// Create cluster certificates and send commands to nodes
    Cluster(cluster::ClusterArgs),
    /// Create and describe topics
    Topics(topics::TopicsArgs),
    /// List and replay dead letters
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
    /// What backends publish
    Request,
    /// What they get back
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

/// Where configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file; missing keys use their defaults
    #[arg(long, short, value_name = "FILE", env = "BABELMESH_CONFIG")]
    config: Option<PathBuf>,
    /// Override a configuration key (wins over file and environment), such as --set engine.threads=2
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl ConfigArgs {
    /// Reads the configuration; `defaults` are set below nothing but the file, the environment and flags.
    fn load(&self, presets: &[(&str, &str)]) -> Result<Config> {
        let presets: Vec<_> = presets
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Ok(config::load(
            self.config.as_deref(),
            &presets,
            environment,
            &self.set,
        )?)
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "babelmesh: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Node(args) => node::run(args),
        Command::Translate(args) => translate::run(args),
        Command::Load(args) => load::run(args),
        Command::Models(args) => models::run(args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Topics(args) => topics::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Keys(args) => keys::run(args),
        Command::Schema { message } => {
            writeln!(
                io::stdout(),
                "{}",
                serde_json::to_string_pretty(&message.schema())?
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "babelmesh", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
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

/// Ends when the process is told to: Ctrl-C, SIGTERM or SIGHUP. Says which.
async fn told_to_stop() -> &'static str {
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
