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

use crate::{
    Backend, PATIENCE, Sandbox, Settings, Share, executables, processes,
    rebalances::{self, Rebalance},
    report, wait_for, wait_until,
};

/// Lines of a node's log that a test which fails shows.
const LAST_LINES: usize = 40;

/// A `babelmesh node`. It is killed when dropped.
pub struct ProcessNode {
    child: Child,
    /// What the executable's command line comes after: a command that runs it somewhere else.
    before: Vec<String>,
    settings: Settings,
    folder: PathBuf,
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
        Self::start_by(Vec::new(), sandbox, settings)
    }

    /// Starts the executable in a network namespace.
    #[must_use]
    pub fn start_in(namespace: &str, sandbox: &Sandbox, settings: &Settings) -> Self {
        let before = ["ip", "netns", "exec", namespace].map(str::to_owned);
        Self::start_by(before.to_vec(), sandbox, settings)
    }

    /// Starts the executable with a share of the cores.
    #[must_use]
    pub fn start_with(share: &Share, sandbox: &Sandbox, settings: &Settings) -> Self {
        Self::start_by(share.command(), sandbox, settings)
    }

    /// Starts the executable with at most so many bytes of memory for data, in mebibytes: more cannot be allocated. Engines have the same limit.
    #[must_use]
    pub fn start_limited(mebibytes: u32, sandbox: &Sandbox, settings: &Settings) -> Self {
        let script = format!("ulimit -d {}; exec \"$0\" \"$@\"", mebibytes * 1024);
        let mut this = Self::start_behind(&["sh", "-c", &script], sandbox, settings);
        this.wait_ready();
        this
    }

    /// Starts the executable by a command that takes it and its arguments as its own last arguments and becomes it.
    #[must_use]
    pub fn start_behind(before: &[&str], sandbox: &Sandbox, settings: &Settings) -> Self {
        let before = before.iter().map(|word| (*word).to_owned());
        Self::start_by(before.collect(), sandbox, settings)
    }

    fn start_by(before: Vec<String>, sandbox: &Sandbox, settings: &Settings) -> Self {
        let config = settings.config();
        let folder = sandbox.folder().to_owned();
        let log = folder.join(format!("{}.log", config.node.name));
        Self {
            child: spawn(&before, &folder, settings, &log),
            before,
            settings: settings.clone(),
            folder,
            socket: config
                .status
                .socket
                .expect("every sandbox names the socket"),
            log,
        }
    }

    /// Starts the executable again, under the same name and with the same settings, after it has ended. Its log begins anew.
    pub fn start_again(&mut self) {
        let ended = self.child.try_wait().expect("a child can be waited for");
        assert!(ended.is_some(), "the node has not ended");
        self.child = spawn(&self.before, &self.folder, &self.settings, &self.log);
    }

    /// Waits until the node reads and its pools are at their least strength.
    pub fn wait_ready(&mut self) -> NodeStatus {
        let least = self.settings.config().pool.min_actors.unwrap_or(1) as usize;
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

    /// What it says of itself, if it answers.
    #[must_use]
    pub fn try_status(&self) -> Option<NodeStatus> {
        ask(&self.socket).ok()
    }

    /// Partitions that came and went since it was started, by its log.
    #[must_use]
    pub fn rebalances(&self) -> Vec<Rebalance> {
        rebalances::of_log(&self.name(), &self.log())
    }

    /// Its log since it was started.
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

    /// Kills it, and waits until it is dead.
    pub fn kill(&mut self) {
        assert!(processes::is_alive(self.pid()), "the node runs");
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(5));
        assert!(!processes::is_alive(self.pid()), "the node is dead");
    }

    /// Tells it to end, as an operator would, and waits until it has.
    pub fn stop(&mut self, within: Duration) {
        assert!(processes::is_alive(self.pid()), "the node runs");
        self.signal(Signal::TERM);
        let status = self.wait(within);
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits until it has ended.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the node has ended", within, || {
            child.try_wait().expect("a child can be waited for")
        })
    }
}

/// Waits until each of these nodes sees all of them.
pub fn meet(nodes: &[ProcessNode]) {
    wait_until("they meet", PATIENCE, || {
        let all = |node: &ProcessNode| node.view().is_some_and(|v| v.up() == nodes.len());
        nodes.iter().all(all)
    });
}

impl Drop for ProcessNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            report::say(&format!("{} said last:\n{}", self.name(), last.join("\n")));
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(before: &[String], folder: &Path, settings: &Settings, log: &Path) -> Child {
    let mut command = match before {
        [] => Command::new(executables::babelmesh()),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(executables::babelmesh());
            command
        }
    };
    command.arg("node").current_dir(folder).stdin(Stdio::null());
    for (key, value) in settings.pairs() {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let file = File::create(log).expect("the sandbox is writable");
    let child = command.stdout(Stdio::null()).stderr(file).spawn();
    child.expect("babelmesh can be started")
}
