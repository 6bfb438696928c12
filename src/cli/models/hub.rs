//! Models of the Hugging Face Hub.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use babelmesh_models::{
    Model,
    import::{ImportOptions, import, model_type, recognise},
    remote::hub::{self, Description, File, Repository},
};

use super::{
    download::Client,
    source::{bar, description_limit, file_limit},
    store::Store,
};
use crate::config::{Config, Secret};

/// Where the libraries of the Hub take their token from.
const TOKEN: &str = "HF_TOKEN";

/// Downloads the files of a repository and imports them.
pub(super) fn fetch(
    config: &Config,
    address: Option<&str>,
    repository: &Repository,
    store: &Store,
    into: &Path,
    force: bool,
) -> Result<Model> {
    let fetch = &config.models.fetch;
    let address = address.unwrap_or(&fetch.hub).trim_end_matches('/');
    if !(address.starts_with("https://") || address.starts_with("http://")) {
        bail!("--hub must begin with https:// or http://, not {address:?}");
    }
    let from_environment = || {
        std::env::var(TOKEN)
            .ok()
            .map(|token| Secret::from(token.as_str()))
    };
    let token = fetch.hub_token.clone().or_else(from_environment);
    let client = Client::new(fetch, address, token);
    let url = format!("{address}/{}", repository.description_path());
    let warn = |line: &str| super::source::say(&indicatif::ProgressBar::hidden(), line);
    let bytes = store.list(&client, &url, description_limit(fetch), &warn)?;
    let description = hub::description(&bytes)
        .map_err(|reason| anyhow!("{url} is not a description of a model: {reason}"))?;
    let scratch = tempfile::tempdir()?;
    // The importer may read the languages from the folder's name.
    let named = scratch.path().join(repository.id());
    fs::create_dir(&named)?;
    let bar = bar(None);
    let download = |name: &str, is_optional: bool| -> Result<()> {
        let Some(File { sha256, .. }) = description.files.iter().find(|file| file.name == name)
        else {
            match is_optional {
                true => return Ok(()),
                false => bail!("{}", missing(repository, &description, name)),
            }
        };
        bar.set_message(name.to_owned());
        let sha256 = sha256
            .as_deref()
            .filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let path = repository.file_path(&description.commit, name);
        let url = format!("{address}/{path}");
        let kept = store.file(&client, &url, sha256, file_limit(fetch), &|bytes| {
            bar.inc(bytes)
        })?;
        fs::copy(&kept, named.join(name)).with_context(|| format!("copying {}", kept.display()))?;
        Ok(())
    };
    download(hub::CONFIG, false)?;
    // Before the other files: the configuration tells the kind.
    if let Some(kind) = recognise(&named) {
        bail!("{kind}");
    }
    let files = hub::files(model_type(&named).as_deref());
    let has = |wanted: &str| description.files.iter().any(|file| file.name == wanted);
    let mut required = files.iter().filter(|(_, is_optional)| !is_optional);
    if let Some((name, _)) = required.find(|(name, _)| !has(name)) {
        bail!("{}", missing(repository, &description, name));
    }
    for (name, is_optional) in files {
        download(name, *is_optional)?;
    }
    bar.finish_and_clear();
    let options = ImportOptions {
        licence: description.licence,
        attribution: Some(format!("{repository} (Hugging Face)")),
        force,
        ..ImportOptions::default()
    };
    Ok(import(&named, into, &options)?)
}

fn missing(repository: &Repository, description: &Description, name: &str) -> String {
    let has = |name: &str| description.files.iter().any(|file| file.name == name);
    match name {
        "model.safetensors" if has("pytorch_model.bin") => format!(
            "the weights of {repository} are a PyTorch .bin checkpoint, which is not read because it can run code; name a revision with \
             model.safetensors (many models have one as refs/pr/NUMBER), or convert it: {}",
            babelmesh_models::import::CONVERT
        ),
        name => {
            format!(
                "{repository} has no {name}; it is not a Marian, M2M100, NLLB or mBART-50 model in Hugging Face form"
            )
        }
    }
}
