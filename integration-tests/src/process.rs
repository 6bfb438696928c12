//! A node in a process of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use babelmesh::{
    cluster::ClusterView,
    kafka::client::Clients,
    node::{EMBEDDED, NodeStatus, ask, ask_cluster},
};
use rustix::process::Signal;

use crate::{Backend, PATIENCE, Sandbox, Settings, executables, processes, wait_for};

/// A `babelmesh node`. It is killed when dropped.
pub struct ProcessNode {
    child: Child,
    settings: Settings,
    socket: PathBuf,
    log: PathBuf,
}

impl ProcessNode {
    /// Starts the executable and waits until the node is ready.
    #[must_use]
    pub fn start(sandbox: &Sandbox, settings: &Settings) -> Self {
        let mut this = Self::start_cold(sandbox, settings);
        this.wait_ready();
        this
    }

    /// Starts the executable.
    #[must_use]
    pub fn start_cold(sandbox: &Sandbox, settings: &Settings) -> Self {
        Self::start_by(Command::new(executables::babelmesh()), sandbox, settings)
    }

    /// Starts the executable in a network namespace.
    #[must_use]
    pub fn start_in(namespace: &str, sandbox: &Sandbox, settings: &Settings) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        command.arg(executables::babelmesh());
        Self::start_by(command, sandbox, settings)
    }

    fn start_by(mut command: Command, sandbox: &Sandbox, settings: &Settings) -> Self {
        let config = settings.config();
        let log = sandbox.folder().join(format!("{}.log", config.node.name));
        command
            .arg("node")
            .current_dir(sandbox.folder())
            .stdin(Stdio::null());
        for (key, value) in settings.pairs() {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let file = File::create(&log).expect("the sandbox is writable");
        let child = command.stdout(Stdio::null()).stderr(file).spawn();
        Self {
            child: child.expect("babelmesh can be started"),
            settings: settings.clone(),
            socket: config
                .status
                .socket
                .expect("every sandbox names the socket"),
            log,
        }
    }

    /// Waits until the node reads and its pools are at their least strength.
    pub fn wait_ready(&mut self) -> NodeStatus {
        let least = self.settings.config().pool.min_actors as usize;
        let (socket, log) = (self.socket.clone(), self.log.clone());
        let child = &mut self.child;
        wait_for("the node is ready", PATIENCE, || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_none(),
                "the node ended: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            let status = ask(&socket).ok()?;
            let warm = status.pools.iter().all(|pool| {
                pool.actors
                    .iter()
                    .filter(|actor| actor.phase.is_warm())
                    .count()
                    >= least
            });
            let reads = status.requests.partitions > 0 && status.jobs.partitions > 0;
            (warm && reads && !status.pools.is_empty()).then_some(status)
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.settings.config().node.name
    }

    /// What it was started with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The cluster as it sees it, once it answers.
    #[must_use]
    pub fn view(&self) -> Option<ClusterView> {
        ask_cluster(&self.socket).ok()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes of its engines, found in `/proc`.
    #[must_use]
    pub fn engines(&self) -> Vec<u32> {
        processes::engines_of(self.pid())
    }

    /// What it says of itself.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        match ask(&self.socket) {
            Ok(status) => status,
            Err(error) => panic!("{error:#}: {}", self.log()),
        }
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A backend of its cluster.
    #[must_use]
    pub fn backend(&self) -> Backend {
        let kafka = self.settings.config().kafka;
        let embedded = kafka.bootstrap_servers == EMBEDDED;
        let clients = Clients::new(&kafka, &self.status().bootstrap, "backend", embedded);
        Backend::of(&clients, kafka.topics)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        processes::signal(self.pid(), signal);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the node has ended", within, || {
            child.try_wait().expect("a child can be waited for")
        })
    }
}

impl Drop for ProcessNode {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
