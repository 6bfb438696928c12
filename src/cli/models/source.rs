//! What `fetch` and `mirror` share: the options of a download, the list of a registry, and the choice of models.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use babelmesh_models::remote::{
    records::{self, RECORDS, Record, SERVER, Size},
    selection::{self, Offer, Pair, Wanted},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    download::{Client, DownloadError, Limit},
    store::Store,
};
use crate::{
    config::{Config, FetchConfig},
    node::cache_directory,
};

/// Pairs that are named when one is missing.
const NEAR: usize = 8;

#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Registry of Firefox Translations models, or a mirror of it: https://, http:// or file:///; models.fetch.registry when absent
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Size of the network; the best that is released for each pair when absent
    #[arg(long, value_name = "SIZE", value_parser = ["base", "base-memory", "tiny"])]
    tier: Option<String>,
    /// Take versions before their release too
    #[arg(long)]
    pre_release: bool,
    /// Models downloaded at the same time; models.fetch.jobs when absent
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Use only what was fetched before
    #[arg(long)]
    offline: bool,
}

impl SourceArgs {
    /// The size and the stage of models.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            size: self.tier.as_deref().and_then(Size::parse),
            pre_release: self.pre_release,
        }
    }

    pub(super) fn jobs(&self, config: &FetchConfig) -> u16 {
        self.jobs.unwrap_or(config.jobs)
    }

    pub(super) fn store(&self, config: &Config) -> Result<Store> {
        Store::open(&cache_directory(config), self.offline)
    }

    /// The address of the registry.
    fn registry<'a>(&'a self, config: &'a FetchConfig) -> Result<&'a str> {
        let address = self.registry.as_deref().unwrap_or(&config.registry);
        let schemes = ["https://", "http://", "file:///"];
        match schemes.iter().any(|scheme| address.starts_with(scheme)) {
            true => Ok(address.trim_end_matches('/')),
            false => {
                bail!("--registry must begin with https://, http:// or file:///, not {address:?}")
            }
        }
    }
}

/// A registry and its records.
pub(super) struct Registry {
    pub(super) client: Client,
    pub(super) records: Vec<Record>,
    address: String,
    files: String,
}

impl Registry {
    pub(super) fn open(
        args: &SourceArgs,
        config: &Config,
        store: &Store,
        warn: &dyn Fn(&str),
    ) -> Result<Self> {
        let fetch = &config.models.fetch;
        let address = args.registry(fetch)?.to_owned();
        let client = Client::new(fetch, &address, fetch.token.clone());
        let limit = list_limit(fetch);
        let url = format!("{address}/{RECORDS}");
        let list = store.list(&client, &url, limit, warn);
        let list = list.with_context(|| format!("reading the list of models of {address}"))?;
        let list = records::parse(&list)
            .map_err(|reason| anyhow::anyhow!("{url} is not a list of models: {reason}"))?;
        if list.records.is_empty() {
            bail!(
                "{url} has no models ({} records were not understood)",
                list.skipped
            );
        }
        let files = files_address(&client, store, &address, limit)?;
        Ok(Self {
            client,
            records: list.records,
            address,
            files,
        })
    }

    /// Where a file is.
    pub(super) fn url(&self, record: &Record) -> String {
        format!("{}/{}", self.files, record.location)
    }

    /// The models that these words name: pairs, or `all`.
    pub(super) fn choose<'r>(
        &'r self,
        words: &[String],
        wanted: &Wanted,
    ) -> Result<Vec<Offer<'r>>> {
        let mut offers = selection::best(&self.records, wanted);
        if words.iter().any(|word| word == "all") {
            return Ok(offers.into_values().collect());
        }
        let mut missing = Vec::new();
        let mut chosen: BTreeMap<Pair, Offer<'r>> = BTreeMap::new();
        for word in words {
            let found = selection::find(offers.keys().chain(chosen.keys()), word).cloned();
            match found {
                None => missing.push(self.missing(word, &offers, wanted)),
                Some(pair) => {
                    if let Some(offer) = offers.remove(&pair) {
                        chosen.insert(pair, offer);
                    }
                }
            }
        }
        match missing.is_empty() {
            true => Ok(chosen.into_values().collect()),
            false => bail!("{}", missing.join("\n")),
        }
    }

    fn missing(&self, word: &str, offers: &BTreeMap<Pair, Offer<'_>>, wanted: &Wanted) -> String {
        let size = wanted.size.map_or(String::new(), |size| {
            format!(" of the size {}", size.name())
        });
        let message = format!("{} has no model{size} for {word:?}", self.address);
        let any = Wanted {
            size: None,
            pre_release: true,
        };
        let others = selection::best(&self.records, &any);
        if let Some(offer) = selection::find(others.keys(), word).and_then(|pair| others.get(pair))
        {
            let stage = if offer.version.is_released() {
                ""
            } else {
                " (add --pre-release)"
            };
            return format!(
                "{message}; it has {} {}{stage}",
                offer.size.name(),
                offer.version.text()
            );
        }
        let near = selection::near(offers.keys(), word, NEAR);
        let near: Vec<_> = near.into_iter().map(ToString::to_string).collect();
        match near.is_empty() {
            true => format!(
                "{message}; name pairs such as en-fr, or all ({} pairs)",
                offers.len()
            ),
            false => format!("{message}; near ones are {}", near.join(", ")),
        }
    }
}

/// The address of the files: a registry names it, in a mirror they are next to the list.
fn files_address(client: &Client, store: &Store, address: &str, limit: Limit) -> Result<String> {
    let url = format!("{address}/{SERVER}");
    let server = match store.list(client, &url, limit, &|_| {}) {
        Ok(server) => server,
        Err(error) => match error.downcast_ref::<DownloadError>() {
            Some(DownloadError::Unreachable { .. }) => return Err(error),
            _ => return Ok(address.to_owned()),
        },
    };
    let Some(files) = records::files_address(&server) else {
        return Ok(address.to_owned());
    };
    // A server must not have local files read.
    match files.starts_with("https://") || files.starts_with("http://") {
        true => Ok(files.trim_end_matches('/').to_owned()),
        false => bail!("{url} names {files:?} as the address of its files"),
    }
}

fn list_limit(config: &FetchConfig) -> Limit {
    Limit {
        bytes: config.max_list_mb << 20,
        key: "models.fetch.max_list_mb",
    }
}

/// The bound of the description of a repository of the Hub.
pub(super) fn description_limit(config: &FetchConfig) -> Limit {
    list_limit(config)
}

/// The bound of a file whose size is not known.
pub(super) fn file_limit(config: &FetchConfig) -> Limit {
    Limit {
        bytes: config.max_file_mb << 20,
        key: "models.fetch.max_file_mb",
    }
}

/// The bound of a file of the registry: what its record says, unless that is more than is allowed.
pub(super) fn record_limit(config: &FetchConfig, record: &Record) -> Limit {
    let most = file_limit(config);
    match record.bytes < most.bytes {
        true => Limit {
            bytes: record.bytes,
            key: "the size in its record",
        },
        false => most,
    }
}

/// A bar of bytes on a terminal, and nothing elsewhere.
pub(super) fn bar(bytes: Option<u64>) -> ProgressBar {
    styled(
        bytes,
        "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left, {msg}",
    )
}

/// A bar on a terminal, in this style.
pub(super) fn styled(length: Option<u64>, style: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

/// Writes a line to standard error, above the bar if there is one.
pub(super) fn say(bar: &ProgressBar, line: &str) {
    bar.suspend(|| {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    });
}
