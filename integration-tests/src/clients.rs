//! Programs in other languages, with packages from their registries.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{executables, report, repository};

/// In the environment: a machine that cannot have them is a failure.
const REQUIRED: &str = "CLIENTS_REQUIRED";

/// An interpreter with packages, in a folder beside the executables that is kept from run to run.
#[derive(Debug, Clone)]
pub struct Interpreter {
    program: PathBuf,
    folder: PathBuf,
    /// What a program's text comes after.
    before: &'static [&'static str],
}

impl Interpreter {
    /// Python with packages such as `name==1.2.3`: what a registry has tomorrow is not what was tested. `None` on a machine that cannot have
    /// it; that the test is skipped is then said on standard error. With `CLIENTS_REQUIRED=1` in the environment it panics instead.
    #[must_use]
    pub fn python(name: &str, packages: &[&str]) -> Option<Self> {
        let folder = folder(name);
        let this = Self {
            program: folder.join("bin/python"),
            folder,
            before: &["-c"],
        };
        let mut environment = Command::new("python3");
        environment.args(["-m", "venv"]).arg(&this.folder);
        let mut install = Command::new(&this.program);
        install.args(["-m", "pip", "install", "--quiet"]);
        this.with(packages, vec![environment, install])
    }

    /// Node.js with packages such as `name@1.2.3`, for programs that are modules; otherwise like [`Interpreter::python`].
    #[must_use]
    pub fn node(name: &str, packages: &[&str]) -> Option<Self> {
        let this = Self {
            program: PathBuf::from("node"),
            folder: folder(name),
            before: &["--input-type=module", "-e"],
        };
        let mut install = Command::new("npm");
        install
            .args(["install", "--silent", "--no-save", "--prefix"])
            .arg(&this.folder);
        this.with(packages, vec![install])
    }

    /// Has the last of the commands install packages, unless an earlier run has.
    fn with(self, packages: &[&str], mut commands: Vec<Command>) -> Option<Self> {
        // Tests run in processes of their own.
        let guard = File::options()
            .create(true)
            .append(true)
            .open(self.folder.with_extension("lock"))
            .expect("the target folder is writable");
        guard.lock().expect("a file can be locked");
        let (stamp, wanted) = (self.folder.join("installed"), packages.join("\n"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Some(self);
        }
        if let Some(install) = commands.last_mut() {
            install.args(packages);
        }
        if commands.iter_mut().all(succeeds) {
            fs::write(&stamp, wanted).expect("the target folder is writable");
            return Some(self);
        }
        drop(guard);
        report::skip(
            REQUIRED,
            "packages cannot be installed",
            &packages.join(", "),
        );
        None
    }

    /// A program of this text, which finds the packages.
    #[must_use]
    pub fn command(&self, text: &str) -> Command {
        self.beginning(Command::new(&self.program), text)
    }

    fn beginning(&self, mut command: Command, text: &str) -> Command {
        command
            .args(self.before)
            .arg(text)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs a program, which must succeed, with variables in its environment; returns what it printed.
    #[must_use]
    pub fn run(&self, text: &str, environment: &[(&str, &str)]) -> String {
        let mut command = self.beginning(limited(&self.program), text);
        command.envs(environment.iter().copied());
        printed(&mut command)
    }
}

/// Runs a command that must succeed; returns what it printed.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("an interpreter can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Java, which compiles and runs programs of one file, with the libraries of the brokers that tests run.
#[derive(Debug, Clone)]
pub struct Java {
    libraries: PathBuf,
}

impl Java {
    /// `None` on a machine without a compiler for Java, like [`Interpreter::python`]. The brokers must have been started before.
    #[must_use]
    pub fn with_kafka() -> Option<Self> {
        let releases = fs::read_dir(repository().join(".kafka"))
            .into_iter()
            .flatten();
        let mut libraries = releases.filter_map(|release| Some(release.ok()?.path().join("jars")));
        let libraries = libraries.find(|jars| jars.is_dir());
        match libraries {
            Some(libraries) if succeeds(Command::new("javac").arg("--version")) => {
                Some(Self { libraries })
            }
            _ => {
                let why = "a JDK and the jars in .kafka are needed";
                report::skip(REQUIRED, "there is no compiler for Java", why);
                None
            }
        }
    }

    /// Runs the program in a file, which must succeed; returns what it printed.
    #[must_use]
    pub fn run(&self, file: &Path) -> String {
        let mut command = limited(Path::new("java"));
        command
            .arg("-cp")
            .arg(self.libraries.join("*"))
            .arg(file)
            .stdin(Stdio::null());
        printed(&mut command)
    }
}

/// A program that is ended after two minutes: those that wait for answers may do so for ever.
#[must_use]
pub fn limited(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg("120").arg(program);
    command
}

/// Chromium, or a browser made of it. `None` on a machine that has none, like [`Interpreter::python`].
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = NAMES.iter().find_map(|name| {
        let mut files = env::split_paths(&paths).map(|path| path.join(name));
        files.find(|file| file.is_file())
    });
    if found.is_none() {
        report::skip(REQUIRED, "there is no Chromium", "it is not in PATH");
    }
    found
}

fn folder(name: &str) -> PathBuf {
    let folder = executables::folder().join("clients").join(name);
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

fn succeeds(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
