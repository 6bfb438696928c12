//! A place of its own for each test.

use std::{
    env,
    fmt::Display,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use babelmesh::config::{self, Config};
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use tempfile::TempDir;

use crate::executables;

/// A temporary folder with all that nodes of one test share with nobody else.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
}

/// What nodes of a test's cluster share.
pub const COOKIE: &str = "a cookie that only tests have";

/// Files in memory, where there are such. A broker writes to its disk before it answers its controller: while something else keeps a disk busy, a
/// build that has just ended for one, all brokers hang, and tests about other faults have that one too.
const MEMORY: &str = "/dev/shm";
/// What all tests at a time may write, in bytes.
const ROOM: u64 = 4 << 30;

/// Numbers nodes: two of one test process never share a name.
static NODES: AtomicU32 = AtomicU32::new(1);

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let place = match has_room(Path::new(MEMORY)) {
            true => PathBuf::from(MEMORY),
            false => env::temp_dir(),
        };
        let folder = TempDir::with_prefix_in("babelmesh-it-", place);
        Self {
            folder: folder.expect("a temporary folder can be made"),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder in which the faulty engine is linked under the names of all real ones.
    #[must_use]
    pub fn faulty_engines(&self) -> PathBuf {
        let folder = self.folder().join("engines");
        if !folder.is_dir() {
            std::fs::create_dir(&folder).expect("the sandbox is writable");
            for name in ["firefox", "ctranslate2", "rust-bert", "openai"] {
                let link = folder.join(format!("babelmesh-engine-{name}"));
                symlink(executables::faulty_engine(), link).expect("the sandbox is writable");
            }
        }
        folder
    }

    /// Settings of one more node: its own name and socket, an embedded broker, the fake engine, the demo model.
    #[must_use]
    pub fn node(&self) -> Settings {
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let models = repository().join("models");
        Settings(Vec::new())
            .set("node.name", format_args!("node-{number}"))
            .set("node.drain_timeout_ms", 10_000)
            .set(
                "status.socket",
                self.folder().join(format!("node-{number}.sock")).display(),
            )
            .set("kafka.bootstrap_servers", "embedded")
            .set("kafka.partitions", 4)
            .set(
                "models.directories",
                format_args!("[{:?}]", models.display().to_string()),
            )
            .set("models.load", "[\"demo-en-fr-de\"]")
            .set(
                "models.cache_directory",
                self.folder().join("cache").display(),
            )
            .set("engine.kind", "fake")
            // Tests say the same again and mean to have it translated.
            .set("cache.memory_mb", 0)
            // What a test wants of actors does not depend on the machine.
            .set("limits.cores", 64)
            .set("limits.memory_mb", 1_000_000)
    }

    /// Settings of one more node whose broker is never there. Nodes of other tests have the same name and the same broker: its group is its own.
    #[must_use]
    pub fn node_without_broker(&self) -> Settings {
        let folder = self.folder().file_name().unwrap_or_default();
        self.node()
            .set("kafka.group_id", format_args!("\"{}\"", folder.display()))
            .set("kafka.bootstrap_servers", "\"127.0.0.1:1\"")
    }

    /// Settings of one more node whose models are copies of the demo model: an id each, and the tags of the languages that it reads and writes.
    #[must_use]
    pub fn node_with_models(&self, models: &[(&str, &[&str], &[&str])]) -> Settings {
        for (id, sources, targets) in models {
            let _ = self.model("models", id, sources, targets);
        }
        let folder = self.folder().join("models").display().to_string();
        self.node()
            .set("models.directories", format_args!("[{folder:?}]"))
            .set("models.load", "[]")
    }

    /// Puts the demo model into a folder of models of the sandbox, under another id and for other languages, which only the fake and the faulty
    /// engine can translate. Its files are links: a test must not write to them. Returns what `models.directories` says of that folder.
    #[must_use]
    pub fn model(&self, folder: &str, id: &str, sources: &[&str], targets: &[&str]) -> String {
        const MANIFEST: &str = "model.toml";
        let (from, folder) = (
            repository().join("models/demo-en-fr-de"),
            self.folder().join(folder),
        );
        let to = folder.join(id);
        fs::create_dir_all(&to).expect("the sandbox is writable");
        for entry in fs::read_dir(&from).expect("the demo model is there") {
            let path = entry.expect("its folder can be listed").path();
            let name = path.file_name().expect("entries have names");
            if name != MANIFEST {
                symlink(&path, to.join(name)).expect("the sandbox is writable");
            }
        }
        let text = fs::read_to_string(from.join(MANIFEST)).expect("a model has a manifest");
        let replaced = text
            .replace("id = \"demo-en-fr-de\"", &format!("id = {id:?}"))
            .replace("[\"en\"]", &format!("{sources:?}"))
            .replace("[\n    \"fr\",\n    \"de\",\n]", &format!("{targets:?}"));
        assert_ne!(text, replaced, "the demo model's manifest is as it was");
        fs::write(to.join(MANIFEST), replaced).expect("the sandbox is writable");
        format!("[{:?}]", folder.display().to_string())
    }

    /// Settings of a node with one model, of the pair's name, for one pair of languages.
    #[must_use]
    pub fn with_pair(&self, settings: Settings, (source, target): (&str, &str)) -> Settings {
        let id = format!("{source}-{target}");
        let models = self.model(&format!("models-{id}"), &id, &[source], &[target]);
        settings
            .set("models.directories", models)
            .set("models.load", format_args!("[{id:?}]"))
    }

    /// The `babelmesh` executable in the sandbox's own folder, with the demo model and the engines beside the executable.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(executables::babelmesh());
        let models = repository().join("models").display().to_string();
        command
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .env("BABELMESH_MODELS__DIRECTORIES", format!("[{models:?}]"))
            .env(
                "BABELMESH_MODELS__CACHE_DIRECTORY",
                self.folder().join("cache"),
            );
        command
    }

    /// A node with the faulty engine.
    #[must_use]
    pub fn faulty_node(&self) -> Settings {
        let engines = self.faulty_engines();
        self.node()
            .set("engine.kind", "ctranslate2")
            .set("engine.directory", engines.display())
    }
}

/// Configuration keys and their values.
#[derive(Debug, Clone)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// The same with one key set; it wins over what was set before.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    /// In a cluster with all nodes that share a seed; `listen` is where it listens.
    #[must_use]
    pub fn clustered(self, listen: impl Display, seed: impl Display) -> Self {
        self.set("cluster.enabled", true)
            .set("cluster.listen", format_args!("\"{listen}\""))
            .set("cluster.seeds", format_args!("[\"{seed}\"]"))
            .set("cluster.cookie", COOKIE)
    }

    /// With the real engines, as many as the machine carries: for benchmarks.
    #[must_use]
    pub fn of_the_machine(self) -> Self {
        self.set("limits.cores", 0)
            .set("limits.memory_mb", 0)
            .set("engine.kind", "auto")
            .set("engine.directory", executables::folder().display())
    }

    /// Exactly this many actors.
    #[must_use]
    pub fn actors(self, count: u32) -> Self {
        self.set("pool.min_actors", count)
            .set("pool.max_actors", count)
    }

    /// Every key with its value; of a key that is there twice, the last counts.
    pub fn pairs(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }

    /// The configuration that they make.
    #[must_use]
    pub fn config(&self) -> Config {
        match config::load(None, &[], [], &self.0) {
            Ok(config) => config,
            Err(errors) => panic!("{errors}"),
        }
    }
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the repository")
}

/// Whether files can be made and run there, and many of them.
fn has_room(folder: &Path) -> bool {
    let usable = access(folder, Access::WRITE_OK).is_ok();
    usable
        && statvfs(folder).is_ok_and(|at| {
            at.f_bavail * at.f_frsize >= ROOM && !at.f_flag.contains(StatVfsMountFlags::NOEXEC)
        })
}
