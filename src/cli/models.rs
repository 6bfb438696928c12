//! `babelmesh models`

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Result, bail};
use babelmesh_models::{EngineKind, Model, ModelRegistry, Tier, forms, import::ImportOptions};
use clap::{Args, Subcommand};

use super::{
    Globals, registry,
    table::{lines, table},
};
use crate::{
    config::Config,
    node::{cache_directory, error_chain},
};

#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List the models in the configured folders
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one model: languages, licence, limits, files and engines
    Show {
        /// Id of the model
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Import a Hugging Face Marian model, or a Firefox Translations or Bergamot model
    Import(ImportArgs),
    /// Verify the files of models against their manifests
    Verify {
        /// Ids of models (default: all)
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// Folder of a Marian model in Hugging Face form (config.json, model.safetensors, vocab.json, source.spm, target.spm), or of a Firefox or Bergamot
    /// model (model.*.intgemm*.bin, vocab.*.spm or srcvocab.*.spm with trgvocab.*.spm, optionally lex.*.s2t.bin)
    from: PathBuf,
    /// Folder to create (default: in the first folder of models.directories, with the name of the source)
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Id of the model (default: name of the new folder)
    #[arg(long)]
    id: Option<String>,
    /// Description of the model
    #[arg(long)]
    description: Option<String>,
    /// Quality tier: basic, medium or premium
    #[arg(long, default_value = "basic", value_parser = tier)]
    tier: Tier,
    /// Source languages (default: read from the model's files or their names)
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    from_languages: Vec<String>,
    /// Target languages (default: read from the model's files or their names)
    #[arg(long, value_delimiter = ',', value_name = "LANGUAGES")]
    to_languages: Vec<String>,
    /// Licence of the weights
    #[arg(long)]
    licence: Option<String>,
    /// Attribution required by the licence
    #[arg(long)]
    attribution: Option<String>,
    /// Keep the weights of a Marian model in 32 bits instead of 16
    #[arg(long)]
    float32: bool,
    /// Replace an existing folder
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

pub(super) fn run(args: ModelsArgs, globals: &Globals) -> Result<ExitCode> {
    let config = globals.config.load(&[])?;
    match args.command {
        ModelsCommand::List { json } => list(&registry(&config)?, json),
        ModelsCommand::Show { id, json } => show(&registry(&config)?, &id, json),
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
    let mut table = table(&[
        "model", "kind", "from", "to", "tier", ">MB", "licence", "folder",
    ]);
    for model in registry.iter() {
        let manifest = model.manifest();
        table.add_row([
            model.id().to_owned(),
            manifest.architecture.to_string(),
            manifest.source_languages.join(", "),
            manifest.target_languages.join(", "),
            model.tier().to_string(),
            format!("{:.1}", model.bytes() as f64 / 1e6),
            manifest.licence.clone(),
            model.directory().display().to_string(),
        ]);
    }
    write!(output, "{}", lines(&table))?;
    Ok(ExitCode::SUCCESS)
}

fn show(registry: &ModelRegistry, id: &str, json: bool) -> Result<ExitCode> {
    let Some(model) = registry.get(id) else {
        bail!("unknown model \"{id}\"; see `babelmesh models list`");
    };
    let mut output = io::stdout().lock();
    let manifest = model.manifest();
    if json {
        writeln!(output, "{}", serde_json::to_string_pretty(manifest)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let engines = EngineKind::for_architecture(manifest.architecture).iter();
    let engines: Vec<_> = engines.map(|engine| engine.name()).collect();
    let limits = manifest.limits;
    let mut table = table(&["field", "value"]);
    for (name, value) in [
        ("model", model.id().to_owned()),
        ("name", manifest.name.clone()),
        ("description", manifest.description.clone()),
        ("kind", manifest.architecture.to_string()),
        ("engines", engines.join(", ")),
        ("from", manifest.source_languages.join(", ")),
        ("to", manifest.target_languages.join(", ")),
        ("tier", model.tier().to_string()),
        ("licence", manifest.licence.clone()),
        ("attribution", manifest.attribution.clone()),
        (
            "longest source",
            format!("{} tokens", limits.max_input_tokens),
        ),
        (
            "longest translation",
            format!("{} tokens", limits.max_output_tokens),
        ),
        ("folder", model.directory().display().to_string()),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    for (role, file) in &manifest.files {
        let megabytes = file.bytes as f64 / 1e6;
        let text = format!("{}, {megabytes:.1} MB, SHA-256 {}", file.name, file.sha256);
        table.add_row([role.to_string(), text]);
    }
    write!(output, "{}", lines(&table))?;
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
        _ => bail!("give the folder to create with --into"),
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
    // The engines' forms now, so that the first start of a node need not make them.
    let cache = cache_directory(config);
    let mut output = io::stdout().lock();
    writeln!(output, "imported {} into {}", model.id(), into.display())?;
    for kind in EngineKind::for_architecture(model.manifest().architecture) {
        match forms::prepare(&model, *kind, &cache) {
            Ok(_) => writeln!(output, "{kind}: converted")?,
            Err(error) => writeln!(output, "{kind}: {}", error_chain(&error))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(registry: &ModelRegistry, ids: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = ids.iter().find(|id| registry.get(id).is_none()) {
        bail!("unknown model \"{unknown}\"; see `babelmesh models list`");
    }
    let mut output = io::stdout().lock();
    let mut bad = 0;
    for model in registry
        .iter()
        .filter(|model| ids.is_empty() || ids.iter().any(|id| id == model.id()))
    {
        match model.verify() {
            Ok(()) => writeln!(output, "{}: verified", model.id())?,
            Err(error) => {
                bad += 1;
                writeln!(output, "{}: {}", model.id(), error_chain(&error))?;
            }
        }
    }
    match bad {
        0 => Ok(ExitCode::SUCCESS),
        bad => bail!("{bad} model(s) do not match their manifests"),
    }
}
