//! `babelmesh models fetch` and `babelmesh models mirror`

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};
use babelmesh_models::{
    Model, Tier,
    import::{ImportOptions, import},
    remote::{
        hub::Repository,
        records::{self, RECORDS, Record, Size},
        selection::{self, Offer},
        unpack,
    },
};
use clap::Args;
use indicatif::ProgressBar;

use super::{
    hub,
    source::{Registry, SourceArgs, bar, file_limit, record_limit, say},
    store::{self, Store},
};
use crate::config::{Config, FetchConfig};

/// Licence of Mozilla's models.
const LICENCE: &str = "MPL-2.0";
const ATTRIBUTION: &str =
    "Mozilla, Firefox Translations models (https://github.com/mozilla/translations)";
/// How words that name a repository of the Hub begin.
const HUB: &str = "hf:";

#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    /// Pairs of languages such as en-fr, all, or hf:OWNER/NAME[@REVISION] for a model of the Hugging Face Hub
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// Folder of the new model directories; the first of models.directories when absent
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Replace existing folders
    #[arg(long)]
    force: bool,
    /// The Hugging Face Hub, or a server with its addresses; models.fetch.hub when absent
    #[arg(long, value_name = "URL")]
    pub(super) hub: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct MirrorArgs {
    /// Folder to fill; serve it over HTTP or name it with --registry file:///FOLDER
    folder: PathBuf,
    /// Pairs of languages such as en-fr; all when none is given
    pairs: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn fetch(config: &Config, args: &FetchArgs) -> Result<ExitCode> {
    let folder = match (&args.into, config.models.directories.first()) {
        (Some(folder), _) | (None, Some(folder)) => folder.clone(),
        (None, None) => bail!("name the folder of the models with --into"),
    };
    let is_hub = |word: &&String| word.starts_with(HUB);
    let repositories = args.models.iter().filter(is_hub);
    let repositories =
        repositories.map(|word| Repository::parse(&word[HUB.len()..]).map_err(anyhow::Error::msg));
    let repositories = repositories.collect::<Result<Vec<_>>>()?;
    let pairs: Vec<_> = args
        .models
        .iter()
        .filter(|word| !is_hub(word))
        .cloned()
        .collect();
    let store = args.source.store(config)?;
    let mut done = Vec::new();
    let mut failed = Vec::new();
    if !pairs.is_empty() {
        let warn = |line: &str| say(&ProgressBar::hidden(), line);
        let registry = Registry::open(&args.source, config, &store, &warn)?;
        let offers = registry.choose(&pairs, &args.source.wanted())?;
        let target = Target {
            folder: &folder,
            force: args.force,
        };
        let jobs = args.source.jobs(&config.models.fetch);
        let bytes = offers.iter().map(Offer::bytes).fold(0, u64::saturating_add);
        let bar = bar(Some(bytes));
        for (offer, result) in in_parallel(&offers, jobs, |offer| {
            bar.set_message(offer.pair.to_string());
            one_model(&registry, &store, &config.models.fetch, offer, target, &bar)
        }) {
            match result {
                Ok(Some(model)) => done.push(model),
                Ok(None) => say(
                    &bar,
                    &format!("{} is there already; --force replaces it", offer.pair.id()),
                ),
                Err(error) => {
                    failed.push(format!("{}: {}", offer.pair, super::super::chain(&error)))
                }
            }
        }
        bar.finish_and_clear();
    }
    for repository in &repositories {
        let into = folder.join(repository.id());
        if into.exists() && !args.force {
            say(
                &ProgressBar::hidden(),
                &format!("{} is there already; --force replaces it", repository.id()),
            );
            continue;
        }
        match hub::fetch(
            config,
            args.hub.as_deref(),
            repository,
            &store,
            &into,
            args.force,
        ) {
            Ok(model) => done.push(model),
            Err(error) => failed.push(format!(
                "{HUB}{repository}: {}",
                super::super::chain(&error)
            )),
        }
    }
    report(config, &done)?;
    match failed.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => bail!("{}", failed.join("\n")),
    }
}

fn report(config: &Config, models: &[Model]) -> Result<()> {
    for model in models {
        super::import::report(config, model)?;
    }
    io::stdout().flush()?;
    Ok(())
}

#[derive(Clone, Copy)]
struct Target<'a> {
    folder: &'a Path,
    force: bool,
}

/// Downloads, unpacks and imports a model; none if it is there.
fn one_model(
    registry: &Registry,
    store: &Store,
    config: &FetchConfig,
    offer: &Offer<'_>,
    target: Target<'_>,
    bar: &ProgressBar,
) -> Result<Option<Model>> {
    let into = target.folder.join(offer.pair.id());
    if into.exists() && !target.force {
        bar.inc(offer.bytes());
        return Ok(None);
    }
    let scratch = tempfile::tempdir()?;
    for record in offer.files.values() {
        let packed = download(registry, store, config, record, bar)?;
        let unpacked = scratch
            .path()
            .join(selection::file_name(&offer.pair, record));
        let url = || registry.url(record);
        unpack::unpack(&packed, &unpacked, file_limit(config).bytes).with_context(url)?;
        if let Some(sha256) = &record.unpacked_sha256 {
            unpack::check(&unpacked, sha256).with_context(|| format!("{}, unpacked", url()))?;
        }
    }
    let options = ImportOptions {
        description: Some(format!(
            "{} to {}, Firefox Translations {} {}",
            offer.pair.source,
            offer.pair.target,
            offer.size.name(),
            offer.version.text()
        )),
        tier: tier(offer.size),
        source_languages: vec![offer.pair.source.clone()],
        target_languages: vec![offer.pair.target.clone()],
        licence: Some(LICENCE.to_owned()),
        attribution: Some(ATTRIBUTION.to_owned()),
        force: target.force,
        ..ImportOptions::default()
    };
    Ok(Some(import(scratch.path(), &into, &options)?))
}

/// What requests ask for with `modelType`.
const fn tier(size: Size) -> Tier {
    match size {
        Size::Tiny => Tier::Basic,
        Size::BaseMemory | Size::Base => Tier::Medium,
    }
}

fn download(
    registry: &Registry,
    store: &Store,
    config: &FetchConfig,
    record: &Record,
    bar: &ProgressBar,
) -> Result<PathBuf> {
    let limit = record_limit(config, record);
    let progress = |bytes| bar.inc(bytes);
    store.file(
        &registry.client,
        &registry.url(record),
        Some(&record.sha256),
        limit,
        &progress,
    )
}

/// Does something for each of these, several at a time, and returns the results in order.
fn in_parallel<'i, I: Sync, R: Send>(
    items: &'i [I],
    jobs: u16,
    work: impl Fn(&'i I) -> R + Sync,
) -> Vec<(&'i I, R)> {
    let waiting = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let lock = |error: PoisonError<_>| error.into_inner();
    thread::scope(|scope| {
        for _ in 0..usize::from(jobs).min(items.len()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(lock).next();
                    let Some((index, item)) = next else { return };
                    let result = work(item);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((index, item, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, ..)| *index);
    done.into_iter()
        .map(|(_, item, result)| (item, result))
        .collect()
}

pub(super) fn mirror(config: &Config, args: &MirrorArgs) -> Result<ExitCode> {
    let store = args.source.store(config)?;
    let warn = |line: &str| say(&ProgressBar::hidden(), line);
    let registry = Registry::open(&args.source, config, &store, &warn)?;
    let pairs = match args.pairs.is_empty() {
        true => vec!["all".to_owned()],
        false => args.pairs.clone(),
    };
    let offers = registry.choose(&pairs, &args.source.wanted())?;
    let bytes = offers.iter().map(Offer::bytes).fold(0, u64::saturating_add);
    let bar = bar(Some(bytes));
    let fetch = &config.models.fetch;
    let results = in_parallel(&offers, args.source.jobs(fetch), |offer| -> Result<()> {
        bar.set_message(offer.pair.to_string());
        for record in offer.files.values() {
            let kept = download(&registry, &store, fetch, record, &bar)?;
            // A location was checked when its record was read.
            let to = args.folder.join(&record.location);
            store::write(&to, fs::File::open(&kept)?)?;
        }
        Ok(())
    });
    bar.finish_and_clear();
    let (mut whole, mut failed) = (Vec::new(), Vec::new());
    for (offer, result) in results {
        match result {
            Ok(()) => whole.push(offer),
            Err(error) => failed.push(format!("{}: {}", offer.pair, super::super::chain(&error))),
        }
    }
    // The list at last, of what is there, with what an earlier run has put there.
    let list = args.folder.join(RECORDS);
    let earlier = fs::read(&list)
        .ok()
        .and_then(|bytes| records::parse(&bytes).ok())
        .unwrap_or_default();
    let mut records: Vec<_> = whole
        .iter()
        .flat_map(|offer| offer.files.values().copied())
        .collect();
    let is_new = |record: &&Record| {
        records
            .iter()
            .all(|other| other.location != record.location)
    };
    let mut kept: Vec<_> = earlier.records.iter().filter(is_new).collect();
    kept.retain(|record| args.folder.join(&record.location).is_file());
    records.append(&mut kept);
    store::write(&list, records::list(&records).as_slice())?;
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "{} model(s), {} files in {}",
        whole.len(),
        records.len(),
        args.folder.display()
    )?;
    match failed.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => bail!("{}", failed.join("\n")),
    }
}
