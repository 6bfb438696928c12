//! A real Redis that nodes share.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use babelmesh::cluster::certs;
use rustix::process::Signal;

use crate::{PATIENCE, Sandbox, Settings, free_address, processes, report, wait_until};

/// In the environment: a machine that cannot have Redis is a failure.
const REQUIRED: &str = "REDIS_REQUIRED";
/// Its executable, from the system's packages.
const PROGRAM: &str = "redis-server";
/// What it wants to hear before it answers.
const PASSWORD: &str = "a-password-that-nobody-prints";

/// A server that keeps nothing on disk. It is killed when dropped.
pub struct Redis {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
    encrypted: bool,
}

impl Redis {
    /// Starts one. `None` on a machine without it; that the test is skipped is then said on standard error. With `REDIS_REQUIRED=1` in the
    /// environment it panics instead.
    #[must_use]
    pub fn start(sandbox: &Sandbox) -> Option<Self> {
        Self::start_as(sandbox, false)
    }

    /// Starts one that speaks TLS, with a certificate of an authority of its own.
    #[must_use]
    pub fn start_encrypted(sandbox: &Sandbox) -> Option<Self> {
        Self::start_as(sandbox, true)
    }

    fn start_as(sandbox: &Sandbox, encrypted: bool) -> Option<Self> {
        static SERVERS: AtomicU32 = AtomicU32::new(1);
        let there = Command::new(PROGRAM)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            report::skip(
                REQUIRED,
                "there is no Redis",
                &format!("{PROGRAM} is not installed"),
            );
            return None;
        }
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let folder = sandbox.folder().join(format!("redis-{number}"));
        fs::create_dir(&folder).expect("the sandbox is writable");
        fs::write(folder.join("password"), PASSWORD).expect("the sandbox is writable");
        certs::make(&folder, &["127.0.0.1".to_owned()], 1).expect("certificates can be made");
        let mut this = Self {
            child: None,
            folder,
            port: free_address().port(),
            encrypted,
        };
        this.start_again();
        Some(this)
    }

    /// Starts it again, empty, at the same address.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let file = |name: &str| self.folder.join(name).display().to_string();
        let port = self.port.to_string();
        let mut command = Command::new(PROGRAM);
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--requirepass", PASSWORD, "--dir", &file("")]);
        if self.encrypted {
            command
                .args([
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                ])
                .args(["--tls-cert-file", &file("127.0.0.1.pem")])
                .args(["--tls-key-file", &file("127.0.0.1.key")])
                .args(["--tls-ca-cert-file", &file(certs::CA)]);
        } else {
            command.args(["--port", &port]);
        }
        let log = File::create(self.folder.join("log")).expect("the sandbox is writable");
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("it is installed");
        self.child = Some(child);
        wait_until("Redis listens", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Kills it, and waits until it is dead. What it held is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        TcpStream::connect(("127.0.0.1", self.port)).expect_err("nobody listens");
    }

    /// Has it stop where it is, so that it neither answers nor refuses; or go on.
    pub fn suspend(&self, suspended: bool) {
        let pid = self.child.as_ref().expect("it runs").id();
        let signal = match suspended {
            true => Signal::STOP,
            false => Signal::CONT,
        };
        processes::signal(pid, signal);
        let is_so = || (processes::state(pid) == Some('T')) == suspended;
        wait_until("the signal has arrived", PATIENCE, is_so);
    }

    /// A node that remembers, and shares what it remembers here.
    #[must_use]
    pub fn of(&self, settings: Settings) -> Settings {
        let scheme = if self.encrypted { "rediss" } else { "redis" };
        let address = format!("{scheme}://127.0.0.1:{}/0", self.port);
        settings
            .set("cache.memory_mb", 64)
            .set("cache.redis.address", address)
            .set(
                "cache.redis.password_file",
                self.folder.join("password").display(),
            )
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join(certs::CA)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What must never be printed.
    #[must_use]
    pub const fn password(&self) -> &'static str {
        PASSWORD
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
