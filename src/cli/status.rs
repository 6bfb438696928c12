//! `babelmesh status`

mod cluster;
mod node;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;

use super::Globals;
use crate::node::{ask, ask_cluster};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Show the whole cluster as the node sees it
    #[arg(long)]
    cluster: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs, globals: &Globals) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    if args.cluster {
        let view = globals.ask(ask_cluster)?;
        match args.json {
            true => writeln!(output, "{}", serde_json::to_string_pretty(&view)?)?,
            false => write!(output, "{}", cluster::text(&view))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let status = globals.ask(ask)?;
    match args.json {
        true => writeln!(output, "{}", serde_json::to_string_pretty(&status)?)?,
        false => write!(output, "{}", node::text(&status))?,
    }
    Ok(ExitCode::SUCCESS)
}
