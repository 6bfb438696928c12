//! `babelmesh check-config`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;

use super::{Globals, registry};

#[derive(Debug, Args)]
pub(super) struct CheckConfigArgs {
    /// Print the effective configuration including defaults, without the options of Kafka clients, which may be secret
    #[arg(long)]
    print: bool,
}

pub(super) fn run(args: &CheckConfigArgs, globals: &Globals) -> Result<ExitCode> {
    let mut config = globals.config.load(&[])?;
    let models = registry(&config)?;
    let mut output = io::stdout().lock();
    if args.print {
        for value in config.kafka.options.values_mut() {
            *value = "***".to_owned();
        }
        write!(output, "{}", toml::to_string(&config)?)?;
    } else {
        writeln!(
            output,
            "configuration valid; {} model(s) found",
            models.len()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
