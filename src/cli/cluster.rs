//! `babelmesh cluster`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Globals;
use crate::{
    cluster::{
        certs,
        command::{Action, Command},
    },
    node::ask_command,
};

#[derive(Debug, Args)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Create a certificate authority, a cookie and node certificates, or add certificates
    Certs(CertsArgs),
    /// Drain a node: stop consuming, finish in-flight work, leave the cluster, exit
    Drain {
        /// Name of the node
        node: String,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Set the minimum and maximum number of actors of a pool
    SetBounds {
        /// Name of the node
        node: String,
        /// Id of the pool's model
        model: String,
        /// Minimum number of actors
        min: u32,
        /// Maximum number of actors
        max: u32,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Pause a language on a node: its jobs wait in Kafka
    Pause {
        /// Name of the node
        node: String,
        /// The language
        language: String,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Resume a paused language on a node
    Resume {
        /// Name of the node
        node: String,
        /// The language
        language: String,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Load a model from the configured folders of a node
    Load {
        /// Name of the node
        node: String,
        /// Id of the model
        model: String,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Unload a model from a node; unfinished work moves to other models or nodes
    Unload {
        /// Name of the node
        node: String,
        /// Id of the model
        model: String,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Replace a loaded model by the version that is in its folder now; the old one serves until the new one is warm
    Reload {
        /// Name of the node
        node: String,
        /// Id of the model
        model: String,
        #[command(flatten)]
        how: SendOptions,
    },
    /// Change which log lines a node writes
    LogFilter {
        /// Name of the node
        node: String,
        /// The filter, as in log.filter
        filter: String,
        #[command(flatten)]
        how: SendOptions,
    },
}

#[derive(Debug, Args)]
struct CertsArgs {
    /// Folder for the certificates; existing files are kept
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Node to create a certificate for, with a new authority; may be repeated
    // The id of the global option, which has another meaning and is replaced by this one here.
    #[arg(id = "asked", long = "node", value_name = "NAME", required_unless_present = "add", conflicts_with = "add", num_args = 1..)]
    nodes: Vec<String>,
    /// Name of a node to add, signed by the authority in the folder; repeat for each node
    #[arg(long, value_name = "NAME", num_args = 1..)]
    add: Vec<String>,
    /// Validity in days
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// Options of every command for a node.
#[derive(Debug, Args)]
struct SendOptions {
    /// Idempotency key: a command that is sent twice with the same id is executed once
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

pub(super) fn run(args: ClusterArgs, globals: &Globals) -> Result<ExitCode> {
    let (node, action, how) = match args.command {
        ClusterCommand::Certs(args) => {
            let files = match args.add.is_empty() {
                true => certs::make(&args.out, &args.nodes, args.days)?,
                false => certs::add(&args.out, &args.add, args.days)?,
            };
            for file in files {
                writeln!(io::stdout(), "{}", file.display())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        ClusterCommand::Drain { node, how } => (node, Action::Drain, how),
        ClusterCommand::SetBounds {
            node,
            model,
            min,
            max,
            how,
        } => (node, Action::SetBounds { model, min, max }, how),
        ClusterCommand::Pause {
            node,
            language,
            how,
        } => (node, Action::Pause { language }, how),
        ClusterCommand::Resume {
            node,
            language,
            how,
        } => (node, Action::Resume { language }, how),
        ClusterCommand::Load { node, model, how } => (node, Action::Load { model }, how),
        ClusterCommand::Unload { node, model, how } => (node, Action::Unload { model }, how),
        ClusterCommand::Reload { node, model, how } => (node, Action::Reload { model }, how),
        ClusterCommand::LogFilter { node, filter, how } => {
            (node, Action::LogFilter { filter }, how)
        }
    };
    let id = how.id.unwrap_or_else(|| {
        let number: u64 = rand::random();
        format!("{number:016x}")
    });
    let command = Command { id, node, action };
    let done = globals.ask(|socket| ask_command(socket, command))?;
    let before = if done.repeated { " (done before)" } else { "" };
    writeln!(io::stdout(), "{}: {}{before}", done.node, done.outcome)?;
    Ok(ExitCode::SUCCESS)
}
