//! `babelmesh models import`

use std::{
    ffi::OsStr,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use babelmesh_models::{EngineKind, Model, Tier, forms, import::ImportOptions};
use clap::Args;

use crate::{
    config::Config,
    node::{cache_directory, error_chain},
};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Folder of a Marian, M2M100, NLLB or mBART-50 model in Hugging Face form (config.json, model.safetensors and the tokeniser's files), of a
    /// CTranslate2 model (model.bin, vocabularies, sentencepiece.model or source.spm with target.spm), or of a Firefox or Bergamot model
    /// (model.*.intgemm*.bin, vocab.*.spm or srcvocab.*.spm with trgvocab.*.spm, optionally lex.*.s2t.bin); or an Argos package (.argosmodel)
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
    /// Keep the weights of a model in Hugging Face form in 32 bits instead of 16
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

/// The name of the new folder: that of the source, without the ending of a package.
fn folder_name(from: &Path) -> Option<&OsStr> {
    match from.extension().is_some_and(|end| end == "argosmodel") {
        true => from.file_stem(),
        false => from.file_name(),
    }
}

pub(super) fn run(config: &Config, args: ImportArgs) -> Result<ExitCode> {
    let into = match (
        args.into,
        config.models.directories.first(),
        folder_name(&args.from),
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
        max_unpacked_bytes: Some(config.models.fetch.max_file_mb << 20),
        force: args.force,
    };
    let model = babelmesh_models::import::import(&args.from, &into, &options)?;
    report(config, &model)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the engines' forms of a new model, so that the first start of a node need not, and says where it is and under which licence.
pub(super) fn report(config: &Config, model: &Model) -> Result<()> {
    let cache = cache_directory(config);
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "{} is in {}",
        model.id(),
        model.directory().display()
    )?;
    let manifest = model.manifest();
    writeln!(
        output,
        "licence: {}; attribution: {}",
        manifest.licence, manifest.attribution
    )?;
    for kind in EngineKind::for_architecture(manifest.architecture) {
        match forms::prepare(model, *kind, &cache) {
            Ok(_) => writeln!(output, "{kind}: model form created")?,
            Err(error) => writeln!(output, "{kind}: {}", error_chain(&error))?,
        }
    }
    Ok(())
}
