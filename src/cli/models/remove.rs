//! `babelmesh models remove`

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use babelmesh_models::Model;
use clap::Args;

use crate::{
    config::Config,
    node::{ask, default_socket, registry},
};

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Id of the model
    id: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Remove it although a node on this machine has it loaded
    #[arg(long)]
    force: bool,
}

pub(super) fn run(config: &Config, args: &RemoveArgs) -> Result<ExitCode> {
    let registry = registry(config)?;
    let Some(model) = registry.get(&args.id) else {
        bail!("there is no model {}", args.id);
    };
    let users = nodes_with(config, &args.id);
    if !users.is_empty() && !args.force {
        let id = &args.id;
        bail!(
            "{id} is loaded by {}; unload it first (babelmesh cluster unload {} {id}), or use --force",
            users.join(", "),
            users[0]
        );
    }
    if !args.yes && !confirmed(model)? {
        bail!("{} was not removed", args.id);
    }
    remove(model.directory())?;
    writeln!(io::stdout(), "{} is removed", args.id)?;
    Ok(ExitCode::SUCCESS)
}

/// Nodes on this machine, of this user, that have a model loaded. A node that does not answer is passed over.
fn nodes_with(config: &Config, id: &str) -> Vec<String> {
    let own = config.status.socket.clone();
    let own = own.unwrap_or_else(|| default_socket(&config.node.name));
    let mut sockets = others(&default_socket("any"));
    sockets.push(own);
    sockets.sort();
    sockets.dedup();
    let statuses = sockets.iter().filter_map(|socket| ask(socket).ok());
    let mut nodes: Vec<_> = statuses
        .filter(|status| status.pools.iter().any(|pool| pool.model_id == id))
        .map(|status| status.node)
        .collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Sockets in the folder of a socket.
fn others(socket: &Path) -> Vec<PathBuf> {
    let folder = socket.parent().and_then(|folder| fs::read_dir(folder).ok());
    let paths = folder
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "sock"))
        .collect()
}

fn confirmed(model: &Model) -> Result<bool> {
    let input = io::stdin();
    if !input.is_terminal() {
        bail!("standard input is not a terminal; confirm with --yes");
    }
    let folder = model.directory().display();
    write!(
        io::stderr(),
        "Delete {folder} ({:.1} MB)? [y/N] ",
        model.bytes() as f64 / 1e6
    )?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Deletes a folder; of a link, the link alone. It disappears at once: a node that scans the folder never sees half of it.
fn remove(directory: &Path) -> Result<()> {
    let context = || format!("removing {}", directory.display());
    if fs::symlink_metadata(directory)
        .with_context(context)?
        .is_symlink()
    {
        return fs::remove_file(directory).with_context(context);
    }
    let parent = directory
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let scratch = tempfile::Builder::new()
        .prefix(".removing-")
        .tempdir_in(parent.unwrap_or(Path::new(".")))
        .with_context(context)?;
    fs::rename(directory, scratch.path().join("model")).with_context(context)?;
    scratch.close().with_context(context)
}
