//! `babelmesh models`

mod download;
mod evaluate;
mod fetch;
mod hub;
mod import;
mod remove;
mod source;
mod store;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Result, bail};
use babelmesh_models::{EngineKind, Model, ModelRegistry, RegistryError};
use clap::{Args, Subcommand};
use comfy_table::Table;

use super::{
    Globals,
    table::{lines, table},
};
use crate::node::{error_chain, error_lines, usable};

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
    /// Download and import models: Firefox Translations models by pair, or models of the Hugging Face Hub
    Fetch(fetch::FetchArgs),
    /// Copy a registry of Firefox Translations models into a folder that `fetch --registry` can use
    Mirror(fetch::MirrorArgs),
    /// Import a model: Hugging Face (Marian, M2M100, NLLB, mBART-50), CTranslate2, Argos, Firefox Translations or Bergamot
    Import(import::ImportArgs),
    /// Delete the directory of a model
    Remove(remove::RemoveArgs),
    /// Measure a model on a file of sentences with reference translations: BLEU, chrF and speed
    Evaluate(evaluate::EvaluateArgs),
    /// Verify the files of models against their manifests
    Verify {
        /// Ids of models (default: all)
        ids: Vec<String>,
    },
}

pub(super) fn run(args: ModelsArgs, globals: &Globals) -> Result<ExitCode> {
    let config = globals.config.load(&[])?;
    match args.command {
        ModelsCommand::List { json } => list(&usable(&config), json),
        ModelsCommand::Show { id, json } => show(&usable(&config).0, &id, json),
        ModelsCommand::Fetch(args) => fetch::fetch(&config, &args),
        ModelsCommand::Mirror(args) => fetch::mirror(&config, &args),
        ModelsCommand::Import(args) => import::run(&config, args),
        ModelsCommand::Remove(args) => remove::run(&config, &args),
        ModelsCommand::Evaluate(args) => evaluate::run(config, &args),
        ModelsCommand::Verify { ids } => verify(&usable(&config), &ids),
    }
}

/// The models that can be used, and what is wrong with the other folders.
type Found = (ModelRegistry, Vec<RegistryError>);

/// Lists what can be used.
///
/// # Errors
/// When there are folders that cannot be used.
fn list((registry, problems): &Found, json: bool) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    if json {
        let manifests: Vec<_> = registry.iter().map(Model::manifest).collect();
        writeln!(output, "{}", serde_json::to_string_pretty(&manifests)?)?;
    } else {
        write!(output, "{}", lines(&listing(registry)))?;
    }
    match problems.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        problems => bail!("reading the model directories{}", error_lines(problems)),
    }
}

fn listing(registry: &ModelRegistry) -> Table {
    let mut table = table(&[
        "model", "kind", "from", "to", "tier", ">MB", "licence", "folder",
    ]);
    for model in registry.iter() {
        let manifest = model.manifest();
        table.add_row([
            model.id().to_owned(),
            manifest.architecture.to_string(),
            listed(&manifest.source_languages),
            listed(&manifest.target_languages),
            model.tier().to_string(),
            format!("{:.1}", model.bytes() as f64 / 1e6),
            manifest.licence.clone(),
            model.directory().display().to_string(),
        ]);
    }
    table
}

/// Languages, or their number where they are too many for a column; `models show` lists them.
fn listed(languages: &[String]) -> String {
    const MOST: usize = 10;
    match languages.len() {
        0..=MOST => languages.join(", "),
        count => format!("{count} languages"),
    }
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

/// Verifies the models of these ids, or all. A folder whose manifest cannot be read counts as bad, by its name.
fn verify((registry, problems): &Found, ids: &[String]) -> Result<ExitCode> {
    let is_asked = |id: &str| ids.is_empty() || ids.iter().any(|asked| asked == id);
    let unreadable: Vec<_> = problems.iter().filter(|p| is_asked(&p.subject())).collect();
    let is_known =
        |id: &String| registry.get(id).is_some() || unreadable.iter().any(|p| p.subject() == *id);
    if let Some(unknown) = ids.iter().find(|id| !is_known(id)) {
        bail!("unknown model \"{unknown}\"; see `babelmesh models list`");
    }
    let mut output = io::stdout().lock();
    let mut bad = unreadable.len();
    for problem in unreadable {
        writeln!(output, "{}: {}", problem.subject(), error_chain(problem))?;
    }
    for model in registry.iter().filter(|model| is_asked(model.id())) {
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
