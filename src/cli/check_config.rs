//! `babelmesh check-config`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;

use super::{ConfigArgs, registry};

#[derive(Debug, Args)]
pub(super) struct CheckConfigArgs {
    /// Print the whole configuration that results, defaults included; options of Kafka clients, which may be secret, are left out
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &CheckConfigArgs) -> Result<ExitCode> {
    let mut config = args.config.load(&[])?;
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
            "the configuration is good; {} model(s) found",
            models.len()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
