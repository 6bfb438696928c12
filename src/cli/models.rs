//! `babelmesh models`

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Result, bail};
use babelmesh_models::{Model, ModelRegistry};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use super::{ConfigArgs, registry};

#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List the models in the configured folders
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare the files of models with their manifests
    Verify {
        /// Ids of models; all when none is given
        ids: Vec<String>,
    },
}

pub(super) fn run(args: ModelsArgs) -> Result<ExitCode> {
    let config = args.config.load(&[])?;
    match args.command {
        ModelsCommand::List { json } => list(&registry(&config)?, json),
        ModelsCommand::Verify { ids } => verify(&registry(&config)?, &ids),
    }
}

fn list(registry: &ModelRegistry, json: bool) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    if json {
        let manifests: Vec<_> = registry.iter().map(Model::manifest).collect();
        writeln!(output, "{}", serde_json::to_string_pretty(&manifests)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["model", "from", "to", "tier", "MB", "licence", "folder"]);
    for model in registry.iter() {
        let manifest = model.manifest();
        table.add_row([
            model.id().to_owned(),
            manifest.source_languages.join(", "),
            manifest.target_languages.join(", "),
            model.tier().to_string(),
            format!("{:.1}", model.bytes() as f64 / 1e6),
            manifest.licence.clone(),
            model.directory().display().to_string(),
        ]);
    }
    writeln!(output, "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn verify(registry: &ModelRegistry, ids: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = ids.iter().find(|id| registry.get(id).is_none()) {
        bail!("there is no model {unknown}");
    }
    let mut output = io::stdout().lock();
    let mut bad = 0;
    for model in registry.iter().filter(|model| ids.is_empty() || ids.iter().any(|id| id == model.id())) {
        match model.verify() {
            Ok(()) => writeln!(output, "{}: every file is as its manifest says", model.id())?,
            Err(error) => {
                bad += 1;
                writeln!(output, "{}: {}", model.id(), crate::node::error_chain(&error))?;
            }
        }
    }
    match bad {
        0 => Ok(ExitCode::SUCCESS),
        bad => bail!("{bad} model(s) differ from their manifests"),
    }
}
