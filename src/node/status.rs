//! The status socket: whoever connects gets one JSON document.

use std::{
    fs,
    io::Read,
    os::unix::{fs::DirBuilderExt, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use babelmesh_actors::pool::{PoolMessage, PoolStatus};
use ractor::ActorRef;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::UnixListener, task::JoinHandle};

use super::{
    actors,
    source::{SourceStatus, Sources},
};
use crate::{config::Delivery, events::NodeEvent};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Version of babelmesh.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Brokers it talks to.
    pub bootstrap: String,
    /// Its delivery guarantee.
    pub delivery: Delivery,
    /// Requests that become jobs.
    pub requests: SourceStatus,
    /// Jobs that become results.
    pub jobs: SourceStatus,
    /// Its pools.
    pub pools: Vec<PoolStatus>,
}

/// Where a node's status is read, whenever and by whomever it is asked for.
#[derive(Clone)]
pub struct StatusSource(Arc<About>);

/// What is known of the node.
pub(super) struct About {
    pub(super) node: String,
    pub(super) bootstrap: String,
    pub(super) delivery: Delivery,
    pub(super) sources: Sources,
    pub(super) pools: Vec<ActorRef<PoolMessage>>,
    pub(super) started: Instant,
}

impl StatusSource {
    pub(super) fn new(about: About) -> Self {
        Self(Arc::new(about))
    }

    /// The node now. A pool that does not answer in time is left out.
    pub async fn read(&self) -> NodeStatus {
        let about = &*self.0;
        let asked = about.pools.iter().map(actors::status);
        let pools = futures_util::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect();
        NodeStatus {
            node: about.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(about.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bootstrap: about.bootstrap.clone(),
            delivery: about.delivery,
            requests: about.sources.requests.status(),
            jobs: about.sources.jobs.status(),
            pools,
        }
    }
}

/// Answers on a Unix socket. The socket's file goes with it.
pub(super) struct StatusServer {
    socket: PathBuf,
    task: JoinHandle<()>,
}

impl StatusServer {
    pub(super) fn start(socket: PathBuf, source: StatusSource) -> Result<Self> {
        let listener = listen(&socket)
            .with_context(|| format!("opening the status socket {}", socket.display()))?;
        let task = tokio::spawn(serve(listener, source));
        Ok(Self { socket, task })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn stop(self) {
        drop(self);
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.socket);
    }
}

fn listen(socket: &Path) -> Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        // Only this user's processes may ask.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    if socket.exists() {
        if BlockingStream::connect(socket).is_ok() {
            bail!("another node answers there: give this one another node.name or status.socket");
        }
        fs::remove_file(socket)?;
    }
    Ok(UnixListener::bind(socket)?)
}

async fn serve(listener: UnixListener, source: StatusSource) {
    loop {
        let mut stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                NodeEvent::StatusFailed {
                    error: &error.to_string(),
                }
                .emit();
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let status = source.read().await;
        // Whoever asked may have gone.
        let _ = stream.write_all(&crate::kafka::record::json(&status)).await;
    }
}

/// Asks the node at a socket.
///
/// # Errors
/// When no node answers there.
pub fn ask(socket: &Path) -> Result<NodeStatus> {
    let mut stream = BlockingStream::connect(socket)
        .with_context(|| format!("no node answers at {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .context("reading the node's status")?;
    serde_json::from_slice(&answer).context("reading the node's status")
}

/// The socket of the node of this name, in the user's own runtime folder.
#[must_use]
pub fn default_socket(node: &str) -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|p| p.is_dir());
    let folder = match runtime {
        Some(folder) => folder.join("babelmesh"),
        None => {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("babelmesh-{user}"))
        }
    };
    folder.join(format!("{node}.sock"))
}
