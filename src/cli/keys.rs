//! `babelmesh keys`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::Globals;
use crate::api::keys;

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create a key and print it once
    Create {
        /// Name of the key, for limits and for revoking it
        name: String,
        #[command(flatten)]
        file: FileArgs,
    },
    /// List the names of all keys
    List {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Revoke a key
    Revoke {
        /// Name of the key
        name: String,
        #[command(flatten)]
        file: FileArgs,
    },
}

#[derive(Debug, Args)]
struct FileArgs {
    /// File with the hashes of the keys (default: http.keys_file)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FileArgs {
    fn path(self, globals: &Globals) -> Result<PathBuf> {
        match self.file {
            Some(file) => Ok(file),
            None => globals
                .config
                .load(&[])?
                .http
                .keys_file
                .context("no key file given: use --file, or set http.keys_file"),
        }
    }
}

pub(super) fn run(args: KeysArgs, globals: &Globals) -> Result<ExitCode> {
    let mut output = io::stdout();
    match args.command {
        KeysCommand::Create { name, file } => {
            let key = keys::create(&file.path(globals)?, &name)?;
            writeln!(output, "{key}")?;
            writeln!(
                io::stderr(),
                "Active within a second. Store it now: it is not shown again."
            )?;
        }
        KeysCommand::List { file } => {
            for name in keys::names(&file.path(globals)?)? {
                writeln!(output, "{name}")?;
            }
        }
        KeysCommand::Revoke { name, file } => {
            keys::revoke(&file.path(globals)?, &name)?;
            writeln!(io::stderr(), "Revoked; nodes reject it within a second.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
