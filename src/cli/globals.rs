//! Options that every command accepts, before or after its name.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow};
use clap::Args;

use crate::{
    config::{self, Config, DeprecatedKey},
    node::{EMBEDDED, ask, default_socket},
};

const HEADING: &str = "Global options";

/// Options that every command accepts.
#[derive(Debug, Clone, Args)]
pub(super) struct Globals {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    by: SocketArgs,
}

/// Where configuration comes from.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file; missing keys use their defaults
    #[arg(long, short, value_name = "FILE", env = "BABELMESH_CONFIG", global = true, help_heading = HEADING)]
    config: Option<PathBuf>,
    /// Override a configuration key (wins over file and environment), such as --set engine.threads=2
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value, global = true, help_heading = HEADING)]
    set: Vec<(String, String)>,
}

/// Which running node is asked.
#[derive(Debug, Clone, Args)]
struct SocketArgs {
    /// Name of the node on this machine to ask (default: node.name of the configuration)
    #[arg(long = "node", value_name = "NAME", global = true, help_heading = HEADING)]
    asked: Option<String>,
    /// Path of the status socket of that node (default: status.socket of the configuration)
    #[arg(long, value_name = "PATH", conflicts_with = "asked", global = true, help_heading = HEADING)]
    socket: Option<PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl Globals {
    /// The socket of the node to ask.
    pub(super) fn socket(&self) -> Result<PathBuf> {
        match (&self.by.socket, &self.by.asked) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(node)) => Ok(default_socket(node)),
            (None, None) => Ok(socket_of(&self.config.load(&[])?)),
        }
    }

    /// Asks the node; when none answers, names those that run on this machine.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let socket = self.socket()?;
        ask(&socket).map_err(|error| match is_absent(&error) {
            true => anyhow!("{error:#}; {}", absent(&running())),
            false => error,
        })
    }

    /// Takes the broker of the running node in place of the configured one, if the command line names the node or the configured one is embedded.
    ///
    /// # Errors
    /// When a node that the command line names does not answer.
    pub(super) fn find_broker(&self, config: &mut Config) -> Result<()> {
        let status = match self.names_a_node() {
            true => Some(self.ask(ask)?),
            false if config.kafka.bootstrap_servers == EMBEDDED => {
                self.socket().and_then(|socket| ask(&socket)).ok()
            }
            false => None,
        };
        if let Some(status) = status {
            config.kafka.bootstrap_servers = status.bootstrap;
            config.kafka.delivery = status.delivery;
        }
        Ok(())
    }

    /// Whether the command line names a running node.
    pub(super) const fn names_a_node(&self) -> bool {
        self.by.socket.is_some() || self.by.asked.is_some()
    }

    /// Finds uses that the parser accepts and then ignores: of an option that is given both before and after the name of the command, it
    /// keeps the values of one place only.
    pub(super) fn check(&self, arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
        let given = arguments
            .take_while(|argument| argument != "--")
            .filter(|argument| {
                let argument = argument.to_string_lossy();
                argument == "--set" || argument.starts_with("--set=")
            });
        match given.count() > self.config.set.len() {
            true => {
                Err("give all --set options in one place: before or after the command".to_owned())
            }
            false => Ok(()),
        }
    }
}

/// Whether no process listens on the socket.
fn is_absent(error: &anyhow::Error) -> bool {
    let causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    let mut kinds = causes.map(io::Error::kind);
    kinds.any(|kind| {
        matches!(
            kind,
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        )
    })
}

/// Names of the nodes whose sockets are in the user's runtime folder.
fn running() -> Vec<String> {
    let folder = default_socket("").parent().map(Path::to_owned);
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    let sockets = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let sockets = sockets.filter(|path| path.extension().is_some_and(|end| end == "sock"));
    let running = sockets.filter(|path| UnixStream::connect(path).is_ok());
    let names = running.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn absent(running: &[String]) -> String {
    match running {
        [] => "is the node running? use --node NAME or --socket PATH to choose one".to_owned(),
        _ => format!(
            "use --node to choose a running node ({})",
            running.join(", ")
        ),
    }
}

/// The socket that a node of this configuration listens on.
fn socket_of(config: &Config) -> PathBuf {
    let named = config.status.socket.clone();
    named.unwrap_or_else(|| default_socket(&config.node.name))
}

impl ConfigArgs {
    /// Reads the configuration; `presets` apply below the file, the environment and flags. Warns about deprecated keys.
    pub(super) fn load(&self, presets: &[(&str, &str)]) -> Result<Config> {
        let (config, deprecated) = self.load_with_deprecations(presets)?;
        for key in deprecated {
            // A standard error that is closed must not stop the command.
            let _ = writeln!(io::stderr(), "babelmesh: warning: {key}");
        }
        Ok(config)
    }

    /// Reads the configuration and the deprecated keys in it.
    pub(super) fn load_with_deprecations(
        &self,
        presets: &[(&str, &str)],
    ) -> Result<(Config, Vec<DeprecatedKey>)> {
        let presets: Vec<_> = presets
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Ok(config::load_with_deprecations(
            self.config.as_deref(),
            &presets,
            environment,
            &self.set,
        )?)
    }
}
