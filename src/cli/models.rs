//! `babelmesh models`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Result, bail};
use babelmesh_models::{EngineKind, Model, ModelRegistry, Tier, forms, import::ImportOptions};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use super::{ConfigArgs, registry};
use crate::{
    config::Config,
    node::{cache_directory, error_chain},
};

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
    /// Make a model directory of a Marian model in Hugging Face form
    Import(ImportArgs),
    /// Compare the files of models with their manifests
    Verify {
        /// Ids of models; all when none is given
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// Folder with config.json, model.safetensors, vocab.json, source.spm and target.spm
    from: PathBuf,
    /// Folder to make; by default below the first folder of models.directories, named as the source's
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Id of the model; the new folder's name when absent
    #[arg(long)]
    id: Option<String>,
    /// What the model is good for
    #[arg(long)]
    description: Option<String>,
    /// Quality tier: basic, medium or premium
    #[arg(long, default_value = "basic", value_parser = tier)]
    tier: Tier,
    /// Source languages; read from the model's own files when absent
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    from_languages: Vec<String>,
    /// Target languages; read from the model's own files when absent
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    to_languages: Vec<String>,
    /// Licence of the weights
    #[arg(long)]
    licence: Option<String>,
    /// Whom the licence wants named
    #[arg(long)]
    attribution: Option<String>,
    /// Keep the weights in 32 bits instead of 16
    #[arg(long)]
    float32: bool,
    /// Replace a folder that is there already
    #[arg(long)]
    force: bool,
}

fn tier(text: &str) -> Result<Tier, String> {
    let tiers = [Tier::Basic, Tier::Medium, Tier::Premium];
    tiers
        .into_iter()
        .find(|tier| tier.to_string() == text)
        .ok_or_else(|| "expected basic, medium or premium".to_owned())
}

pub(super) fn run(args: ModelsArgs) -> Result<ExitCode> {
    let config = args.config.load(&[])?;
    match args.command {
        ModelsCommand::List { json } => list(&registry(&config)?, json),
        ModelsCommand::Import(args) => import(&config, args),
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

fn import(config: &Config, args: ImportArgs) -> Result<ExitCode> {
    let into = match (
        args.into,
        config.models.directories.first(),
        args.from.file_name(),
    ) {
        (Some(into), ..) => into,
        (None, Some(folder), Some(name)) => folder.join(name),
        _ => bail!("say with --into which folder to make"),
    };
    let options = ImportOptions {
        id: args.id,
        name: None,
        description: args.description,
        tier: args.tier,
        source_languages: args.from_languages,
        target_languages: args.to_languages,
        licence: args.licence,
        attribution: args.attribution,
        float32: args.float32,
        force: args.force,
    };
    let model = babelmesh_models::import::import(&args.from, &into, &options)?;
    // Both engines' forms now, so that the first start of a node need not make them.
    let cache = cache_directory(config);
    let mut output = io::stdout().lock();
    writeln!(output, "{} is in {}", model.id(), into.display())?;
    for kind in EngineKind::ALL {
        match forms::prepare(&model, kind, &cache) {
            Ok(_) => writeln!(output, "{kind}: its form of the model is made")?,
            Err(error) => writeln!(output, "{kind}: {}", error_chain(&error))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(registry: &ModelRegistry, ids: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = ids.iter().find(|id| registry.get(id).is_none()) {
        bail!("there is no model {unknown}");
    }
    let mut output = io::stdout().lock();
    let mut bad = 0;
    for model in registry
        .iter()
        .filter(|model| ids.is_empty() || ids.iter().any(|id| id == model.id()))
    {
        match model.verify() {
            Ok(()) => writeln!(output, "{}: every file is as its manifest says", model.id())?,
            Err(error) => {
                bad += 1;
                writeln!(output, "{}: {}", model.id(), error_chain(&error))?;
            }
        }
    }
    match bad {
        0 => Ok(ExitCode::SUCCESS),
        bad => bail!("{bad} model(s) differ from their manifests"),
    }
}
