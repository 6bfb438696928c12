//! API keys: random, and only their hashes are kept.
//!
//! A key has 256 random bits, so a plain SHA-256 cannot be turned back by guessing, and looking a hash up tells nothing of the keys that are
//! there.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use babelmesh_telemetry::events::NodeEvent;

/// How often the file is looked at while requests come, to see whether it has changed.
const LOOK: Duration = Duration::from_secs(1);
/// Key prefix, so that leaked keys can be recognised.
const PREFIX: &str = "bm_";

/// The file's form.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Hash of a key, in hexadecimal, by the key's name.
    #[serde(default)]
    keys: BTreeMap<String, String>,
}

/// A client of the API.
#[derive(Debug)]
pub struct Client {
    /// Name of the key; empty where no keys are needed.
    pub name: String,
    characters: AtomicU64,
}

impl Client {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            characters: AtomicU64::new(0),
        }
    }

    /// Characters were translated.
    pub fn bill(&self, characters: u64) {
        self.characters.fetch_add(characters, Ordering::Relaxed);
    }

    /// Characters translated since the node started.
    #[must_use]
    pub fn characters(&self) -> u64 {
        self.characters.load(Ordering::Relaxed)
    }
}

/// Access to the API.
#[derive(Debug)]
pub enum Keys {
    /// Everybody.
    Open(Arc<Client>),
    /// Those with a key.
    Needed(KeyFile),
}

/// A file of keys, as it was when last read.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// By the hash of their key.
    clients: RwLock<Clients>,
    seen: Mutex<FileVersion>,
}

type Clients = HashMap<[u8; 32], Arc<Client>>;

/// When a file was looked at, and what tells it from its next version.
#[derive(Debug)]
struct FileVersion {
    at: Instant,
    version: Option<Version>,
}

/// Inode, bytes, and time of the last change.
type Version = (u64, u64, i64, i64);

/// Why a key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is none.
    Missing,
    /// It is not known.
    Unknown,
}

impl Keys {
    /// Reads the file of keys; without a file, everybody may.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        Ok(match file {
            None => Self::Open(Arc::new(Client::new(""))),
            Some(file) => Self::Needed(KeyFile::load(file)?),
        })
    }

    /// Whether keys are needed.
    #[must_use]
    pub const fn are_needed(&self) -> bool {
        matches!(self, Self::Needed(_))
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// [`Refused`] where keys are needed and this is none.
    pub fn client(&self, key: Option<&str>) -> Result<Arc<Client>, Refused> {
        self.client_at(key, Instant::now())
    }

    fn client_at(&self, key: Option<&str>, now: Instant) -> Result<Arc<Client>, Refused> {
        match (self, key.filter(|key| !key.is_empty())) {
            (Self::Open(everybody), _) => Ok(Arc::clone(everybody)),
            (Self::Needed(_), None) => Err(Refused::Missing),
            (Self::Needed(file), Some(key)) => {
                file.look(now);
                let clients = file.clients.read().unwrap_or_else(PoisonError::into_inner);
                clients.get(&hash(key)).cloned().ok_or(Refused::Unknown)
            }
        }
    }
}

impl KeyFile {
    fn load(path: &Path) -> Result<Self> {
        // The version first: a change in between is found by the next look.
        let version = version(path);
        warn_if_open(path);
        Ok(Self {
            path: path.to_owned(),
            clients: RwLock::new(clients(path, &Clients::new())?),
            seen: Mutex::new(FileVersion {
                at: Instant::now(),
                version,
            }),
        })
    }

    /// Reads the file again if it has changed. One that cannot be read changes nothing: an error does not lock clients
    /// out.
    fn look(&self, now: Instant) {
        // Concurrent requests use the current state.
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        if now.saturating_duration_since(seen.at) < LOOK {
            return;
        }
        let version = version(&self.path);
        let changed = version != seen.version;
        *seen = FileVersion { at: now, version };
        if !changed {
            return;
        }
        let mut known = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        match clients(&self.path, &known) {
            Ok(clients) => {
                *known = clients;
                let keys = known.len();
                NodeEvent::KeysRead { keys }.emit();
                warn_if_open(&self.path);
            }
            Err(error) => {
                let error = format!("{error:#}");
                NodeEvent::KeysUnreadable { error: &error }.emit();
            }
        }
    }
}

/// Hashes do not reveal keys, but write access allows adding a key, and key names are private.
fn warn_if_open(file: &Path) {
    if let Some(mode) = open_to_others(file) {
        NodeEvent::KeysOpen { file, mode }.emit();
    }
}

/// The permissions of a file, if others than its owner have any.
fn open_to_others(file: &Path) -> Option<u32> {
    let mode = fs::metadata(file).ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

fn version(file: &Path) -> Option<Version> {
    let about = fs::metadata(file).ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

/// The clients of a file. Counters of existing clients are kept.
fn clients(file: &Path, before: &Clients) -> Result<Clients> {
    let client = |(name, hash): (String, String)| {
        let hash = from_hex(&hash)
            .with_context(|| format!("{}: key {name} has no SHA-256", file.display()))?;
        let known = before.get(&hash).filter(|client| client.name == name);
        let client = known.map_or_else(|| Arc::new(Client::new(&name)), Arc::clone);
        Ok((hash, client))
    };
    read(file)?.keys.into_iter().map(client).collect()
}

fn read(file: &Path) -> Result<File> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    // The parser's own message would repeat the line.
    toml::from_str(&text)
        .map_err(|error| anyhow::anyhow!("reading {}: {}", file.display(), error.message()))
}

/// Makes a key of this name, puts its hash into the file and returns it. It cannot be shown again.
///
/// # Errors
/// When there is a key of this name, or the file cannot be read or written.
pub fn create(file: &Path, name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        (1..=100).contains(&name.len()) && name.chars().all(plain),
        "a key's name is 1 to 100 letters, digits, dots, dashes or underscores"
    );
    let key = format!("{PREFIX}{}", to_hex(&rand::random::<[u8; 32]>()));
    edit(file, |keys| {
        if keys.keys.contains_key(name) {
            bail!("{} already has a key named {name}", file.display());
        }
        keys.keys.insert(name.to_owned(), to_hex(&hash(&key)));
        Ok(())
    })?;
    Ok(key)
}

/// Takes a key out of the file.
///
/// # Errors
/// When there is none of this name, or the file cannot be read or written.
pub fn revoke(file: &Path, name: &str) -> Result<()> {
    read(file)?;
    edit(file, |keys| {
        if keys.keys.remove(name).is_none() {
            bail!("{} has no key named {name}", file.display());
        }
        Ok(())
    })
}

/// Names of the keys in the file.
///
/// # Errors
/// When the file cannot be read.
pub fn names(file: &Path) -> Result<Vec<String>> {
    Ok(read(file)?.keys.into_keys().collect())
}

/// Changes the file, or makes it. Two commands at the same time take turns, so that neither loses the other's change, and a node that
/// reads meanwhile sees the old file or the new one.
fn edit(file: &Path, change: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let writing = || format!("writing {}", file.display());
    // A symbolic link goes on pointing at the file.
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let turn = fs::File::open(folder).with_context(writing)?;
    turn.lock().with_context(writing)?;
    let mut keys = match real.exists() {
        true => read(&real)?,
        false => File::default(),
    };
    change(&mut keys)?;
    // Temporary files have a random name and are readable for their owner only.
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
    new.write_all(toml::to_string(&keys)?.as_bytes())
        .and_then(|()| new.as_file().sync_all())
        .with_context(writing)?;
    new.persist(&real)
        .map_err(|error| error.error)
        .with_context(writing)?;
    Ok(())
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_until_it_is_revoked_and_its_file_holds_only_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        let first = create(&file, "backend").unwrap();
        let second = create(&file, "phone").unwrap();
        assert!(first.starts_with(PREFIX) && first != second);
        assert!(create(&file, "phone").is_err(), "the name is taken");
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&first[3..]) && text.contains("backend"));
        let keys = Keys::load(Some(&file)).unwrap();
        assert_eq!(keys.client(Some(&first)).unwrap().name, "backend");
        assert_eq!(keys.client(Some("bm_wrong")).unwrap_err(), Refused::Unknown);
        assert_eq!(keys.client(None).unwrap_err(), Refused::Missing);
        assert_eq!(keys.client(Some("")).unwrap_err(), Refused::Missing);
        revoke(&file, "backend").unwrap();
        let keys = Keys::load(Some(&file)).unwrap();
        assert_eq!(keys.client(Some(&first)).unwrap_err(), Refused::Unknown);
        assert_eq!(names(&file).unwrap(), ["phone"]);
    }

    #[test]
    fn a_file_that_others_may_read_or_write_is_noticed() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        create(&file, "backend").unwrap();
        assert_eq!(open_to_others(&file), None);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_to_others(&file), Some(mode));
        }
        assert_eq!(open_to_others(&folder.path().join("none")), None);
    }

    #[test]
    fn commands_at_the_same_time_lose_no_key_and_leave_nothing_else_behind() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || create(file, &format!("k{number}")).unwrap());
            }
        });
        assert_eq!(names(&file).unwrap().len(), 8);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_one_that_is_broken_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        let first = create(&file, "backend").unwrap();
        let keys = Keys::load(Some(&file)).unwrap();
        keys.client(Some(&first)).unwrap().bill(7);
        let second = create(&file, "phone").unwrap();
        let now = Instant::now();
        let early = keys.client_at(Some(&second), now);
        assert_eq!(early.unwrap_err(), Refused::Unknown, "it was just read");
        let mut now = now + LOOK;
        assert_eq!(keys.client_at(Some(&second), now).unwrap().name, "phone");
        let counted = keys.client_at(Some(&first), now).unwrap().characters();
        assert_eq!(counted, 7, "who stays goes on counting");
        revoke(&file, "backend").unwrap();
        now += LOOK;
        let revoked = keys.client_at(Some(&first), now);
        assert_eq!(revoked.unwrap_err(), Refused::Unknown);
        for broken in ["[keys", "[keys]\nphone = 1\n"] {
            fs::write(&file, broken).unwrap();
            now += LOOK;
            assert!(keys.client_at(Some(&second), now).is_ok(), "{broken}");
        }
        fs::remove_file(&file).unwrap();
        now += LOOK;
        assert!(keys.client_at(Some(&second), now).is_ok());
    }

    #[test]
    fn an_invalid_key_file_is_rejected_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        for text in [
            "[keys]\na = \"hunter2\"\n",
            "hunter2",
            "[other]\nhunter2 = 1\n",
        ] {
            fs::write(&file, text).unwrap();
            let error = format!("{:#}", Keys::load(Some(&file)).unwrap_err());
            assert!(!error.contains("\"hunter2\""), "{error}");
        }
    }

    #[test]
    fn without_a_key_file_no_key_is_required() {
        let keys = Keys::load(None).unwrap();
        assert!(keys.client(None).is_ok() && !keys.are_needed());
    }
}
