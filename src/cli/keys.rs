//! `babelmesh keys`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::ConfigArgs;
use crate::api::keys;

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it; it cannot be shown again
    Create {
        /// Name of the key, for limits and for revoking it
        name: String,
        #[command(flatten)]
        file: FileArgs,
    },
    /// Print the names of all keys
    List {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Take a key away
    Revoke {
        /// Name of the key
        name: String,
        #[command(flatten)]
        file: FileArgs,
    },
}

#[derive(Debug, Args)]
struct FileArgs {
    /// File of the keys' hashes; http.keys_file by default
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl FileArgs {
    fn path(self) -> Result<PathBuf> {
        match self.file {
            Some(file) => Ok(file),
            None => self
                .config
                .load(&[])?
                .http
                .keys_file
                .context("no file is named: use --file, or set http.keys_file"),
        }
    }
}

pub(super) fn run(args: KeysArgs) -> Result<ExitCode> {
    let mut output = io::stdout();
    match args.command {
        KeysCommand::Create { name, file } => {
            let key = keys::create(&file.path()?, &name)?;
            writeln!(output, "{key}")?;
            writeln!(
                io::stderr(),
                "nodes know it within a second; it cannot be shown again"
            )?;
        }
        KeysCommand::List { file } => {
            for name in keys::names(&file.path()?)? {
                writeln!(output, "{name}")?;
            }
        }
        KeysCommand::Revoke { name, file } => {
            keys::revoke(&file.path()?, &name)?;
            writeln!(io::stderr(), "nodes forget it within a second")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
