//! The node's Unix socket: one request a connection, a line of JSON, and one answer.

mod claim;

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::Shutdown as Closing,
    os::unix::net::UnixStream as BlockingStream,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use babelmesh_actors::domain::{TranslationRequest, TranslationResult};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::{AbortHandle, JoinHandle},
};

use self::claim::SocketFile;
use super::{
    NodeStatus, StatusSource,
    parts::{Part, Shutdown},
    shutdown::Phase,
};
use crate::{
    cluster::{
        Cluster, ClusterView,
        command::{Command, CommandDone},
    },
    events::NodeEvent,
};

/// Longest request, in bytes.
const LONGEST: u64 = 4 << 20;
/// Longest time for a request to arrive.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Client timeout of a status request.
const WAIT: Duration = Duration::from_secs(5);
/// Requests that are answered at once.
const MAX_ANSWERING: usize = 64;
/// Connections whose request has not arrived. One more ends the oldest of them, so that idle connections keep nobody out.
const MAX_IDLE: usize = 64;

/// Requests on the status socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum SocketRequest {
    /// Node status; also the answer to an empty request.
    Status,
    /// The cluster as the node sees it.
    Cluster,
    /// Translate, here or wherever the model is.
    Translate {
        /// The node that is to do it; the one that can do it soonest when absent.
        node: Option<String>,
        /// What, with one target.
        request: Box<TranslationRequest>,
        /// W3C trace context of the requester.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
    },
    /// Have a node do something.
    Command {
        /// What.
        command: Command,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SocketAnswer {
    Ok(Value),
    Error(String),
}

/// Answers on a Unix socket.
pub(super) struct SocketServer {
    path: PathBuf,
    answers: Arc<OnceLock<Answers>>,
}

impl SocketServer {
    /// Listens at a path. Until it [knows answers](Self::answer), it answers that the node starts.
    pub(super) fn open(path: PathBuf) -> Result<(Self, SocketPart)> {
        let (listener, file) = claim::listen(&path, &default_folder())
            .with_context(|| format!("opening the status socket {}", path.display()))?;
        let answers = Arc::default();
        let task = tokio::spawn(serve(listener, Arc::clone(&answers)));
        Ok((Self { path, answers }, SocketPart { file, task }))
    }

    /// Answers what it is asked, from now on.
    pub(super) fn answer(&self, status: Arc<dyn StatusSource>, cluster: Option<Arc<Cluster>>) {
        // A node starts once.
        let _ = self.answers.set(Answers { status, cluster });
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The listening socket. Its file goes with it, if it is still this node's.
pub(super) struct SocketPart {
    file: SocketFile,
    task: JoinHandle<()>,
}

#[async_trait(?Send)]
impl Part for SocketPart {
    fn name(&self) -> &'static str {
        "the status socket"
    }

    fn phase(&self) -> Phase {
        Phase::LeaveCluster
    }

    async fn stop(self: Box<Self>, _: &Shutdown) {}
}

impl Drop for SocketPart {
    fn drop(&mut self) {
        // While this node listens there, no other one takes the path.
        self.file.remove();
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, answers: Arc<OnceLock<Answers>>) {
    let slots = Arc::new(Semaphore::new(MAX_ANSWERING));
    let mut idle = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
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
        idle.retain(|reading: &AbortHandle| !reading.is_finished());
        if idle.len() >= MAX_IDLE
            && let Some(oldest) = idle.pop_front()
        {
            oldest.abort();
        }
        let (answers, slots) = (Arc::clone(&answers), Arc::clone(&slots));
        let reading = tokio::spawn(async move {
            let mut stream = stream;
            let asked = tokio::time::timeout(TIMEOUT, read(&mut stream)).await;
            let asked = asked.unwrap_or_else(|_| bail!("the request did not come in time"));
            // A request that has arrived is answered in a task that is not aborted.
            tokio::spawn(async move {
                let Ok(_slot) = slots.acquire_owned().await else {
                    return;
                };
                // The client may have gone.
                let _ = answer(&answers, asked, stream).await;
            });
        });
        idle.push_back(reading.abort_handle());
    }
}

/// Sources of answers.
struct Answers {
    status: Arc<dyn StatusSource>,
    cluster: Option<Arc<Cluster>>,
}

async fn answer(
    answers: &OnceLock<Answers>,
    asked: Result<SocketRequest>,
    mut stream: UnixStream,
) -> Result<()> {
    let answer = match (asked, answers.get()) {
        (Ok(request), Some(answers)) => answers.answer(request).await,
        (Ok(_), None) => Err(anyhow!("the node is starting")),
        (Err(error), _) => Err(error),
    };
    let answer = match answer {
        Ok(value) => SocketAnswer::Ok(value),
        Err(error) => SocketAnswer::Error(format!("{error:#}")),
    };
    stream
        .write_all(&crate::kafka::record::json(&answer))
        .await?;
    Ok(())
}

impl Answers {
    async fn answer(&self, request: SocketRequest) -> Result<Value> {
        match request {
            SocketRequest::Status => Ok(serde_json::to_value(self.status.read().await)?),
            SocketRequest::Cluster => Ok(serde_json::to_value(self.cluster()?.view())?),
            SocketRequest::Translate {
                node,
                request,
                traceparent,
            } => {
                let (node, parent) = (node.as_deref(), traceparent.as_deref());
                let result = self.cluster()?.translate(*request, node, parent).await?;
                Ok(serde_json::to_value(result)?)
            }
            SocketRequest::Command { command } => {
                let done = self.cluster()?.command(command).await?;
                Ok(serde_json::to_value(done)?)
            }
        }
    }

    fn cluster(&self) -> Result<&Cluster> {
        let cluster = self.cluster.as_deref();
        cluster.context("clustering is disabled on this node; set cluster.enabled = true and cluster.cookie_file (`babelmesh cluster certs` makes one)")
    }
}

/// Reads one line, or all until the other side ends.
async fn read(stream: &mut UnixStream) -> Result<SocketRequest> {
    let mut bytes = Vec::new();
    let mut limited = stream.take(LONGEST);
    let mut chunk = [0; 8_192];
    while !bytes.ends_with(b"\n") {
        match limited.read(&mut chunk).await? {
            0 => break,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
    match bytes.trim_ascii() {
        [] => Ok(SocketRequest::Status),
        line => serde_json::from_slice(line).context("the request cannot be read"),
    }
}

/// Asks the node at a socket how it does.
///
/// # Errors
/// When no node answers there.
pub fn ask(socket: &Path) -> Result<NodeStatus> {
    request(socket, &SocketRequest::Status, WAIT)
}

/// Asks the node at a socket about its cluster.
///
/// # Errors
/// When no node answers there, or it is in no cluster.
pub fn ask_cluster(socket: &Path) -> Result<ClusterView> {
    request(socket, &SocketRequest::Cluster, WAIT)
}

/// Has the node at a socket, or the one of its cluster that is named, translate a request with one target. What the environment variable
/// `TRACEPARENT` says goes along.
///
/// # Errors
/// When no node answers, or none has the model.
pub fn ask_translation(
    socket: &Path,
    node: Option<&str>,
    what: TranslationRequest,
) -> Result<TranslationResult> {
    let what = SocketRequest::Translate {
        node: node.map(str::to_owned),
        request: Box::new(what),
        traceparent: std::env::var("TRACEPARENT").ok(),
    };
    request(socket, &what, Duration::from_secs(120))
}

/// Has the node at a socket pass a command on, or carry it out.
///
/// # Errors
/// When no node answers, or it cannot be done.
pub fn ask_command(socket: &Path, command: Command) -> Result<CommandDone> {
    let command = SocketRequest::Command { command };
    request(socket, &command, Duration::from_secs(60))
}

fn request<T: DeserializeOwned>(socket: &Path, what: &SocketRequest, wait: Duration) -> Result<T> {
    let mut stream = BlockingStream::connect(socket)
        .with_context(|| format!("no node answers at {}", socket.display()))?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    let asking = || format!("asking the node at {}", socket.display());
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let told = |error| late(error, wait);
    stream.write_all(&line).map_err(told).with_context(asking)?;
    stream.shutdown(Closing::Write).with_context(asking)?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .map_err(told)
        .with_context(asking)?;
    match serde_json::from_slice(&answer).with_context(asking)? {
        SocketAnswer::Ok(value) => serde_json::from_value(value).with_context(asking),
        SocketAnswer::Error(error) => Err(anyhow!(error)),
    }
}

/// Explains a socket timeout, whose own text is "Resource temporarily unavailable".
fn late(error: std::io::Error, wait: Duration) -> anyhow::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            anyhow!("the node did not answer within {wait:?}: its process is hung or stopped")
        }
        _ => error.into(),
    }
}

/// The socket of the node of this name, in the user's own runtime folder.
#[must_use]
pub fn default_socket(node: &str) -> PathBuf {
    default_folder().join(format!("{node}.sock"))
}

fn default_folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|p| p.is_dir());
    match runtime {
        Some(folder) => folder.join("babelmesh"),
        None => {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("babelmesh-{user}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    #[tokio::test]
    async fn a_node_that_starts_says_so_and_takes_its_socket_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let (server, part) = SocketServer::open(path.clone()).unwrap();
        let asked = path.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&asked).unwrap_err().to_string());
        assert_eq!(asked.await.unwrap(), "the node is starting");
        assert_eq!(server.path(), path);
        drop(part);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_a_successor_has_bound_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let (_server, part) = SocketServer::open(path.clone()).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(part);
        assert!(path.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn idle_connections_keep_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let (_server, _part) = SocketServer::open(path.clone()).unwrap();
        let idle: Vec<_> = (0..10 * MAX_IDLE)
            .map(|_| BlockingStream::connect(&path).unwrap())
            .collect();
        let asked = path.clone();
        let within = Duration::from_secs(3);
        let asked = tokio::task::spawn_blocking(move || {
            request::<Value>(&asked, &SocketRequest::Status, within)
        });
        let error = asked.await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "the node is starting");
        drop(idle);
    }

    #[test]
    fn a_hanging_node_is_reported_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("node.sock");
        let _silent = UnixListener::bind(&socket).unwrap();
        let asked = request::<Value>(&socket, &SocketRequest::Status, Duration::from_millis(50));
        let error = format!("{:#}", asked.unwrap_err());
        assert!(error.contains("did not answer within 50ms"), "{error}");
    }
}
