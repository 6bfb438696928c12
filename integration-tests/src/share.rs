//! A share of the machine's cores for a node and its engines.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::report;

/// Where the two versions of control groups have their controller of cores.
const V1: &str = "/sys/fs/cgroup/cpu";
const V2: &str = "/sys/fs/cgroup";
/// Time after which a share is given out anew, in microseconds.
const PERIOD: u32 = 20_000;

/// A control group that gets so much processor time and no more. It is taken away when dropped, if its processes have ended.
pub struct Share {
    folder: PathBuf,
}

impl Share {
    /// So many hundredths of a core. `None`, loudly, where that cannot be had, unless `CPU_SHARES_REQUIRED=1`.
    #[must_use]
    pub fn of(percent: u32) -> Option<Self> {
        match make(percent) {
            Ok(folder) => Some(Self { folder }),
            Err(error) => {
                report::skip(
                    "CPU_SHARES_REQUIRED",
                    "there are no shares of cores",
                    &error.to_string(),
                );
                None
            }
        }
    }

    /// A command line that runs what follows it in this share.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let processes = self.folder.join("cgroup.procs").display().to_string();
        let run = r#"echo $$ > "$0" && exec "$@""#;
        ["sh", "-c", run, &processes].map(str::to_owned).to_vec()
    }

    /// Number of processes in it.
    #[must_use]
    pub fn processes(&self) -> usize {
        let listed = fs::read_to_string(self.folder.join("cgroup.procs"));
        listed.unwrap_or_default().lines().count()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A group with processes stays.
        let _ = fs::remove_dir(&self.folder);
    }
}

fn make(percent: u32) -> Result<PathBuf, String> {
    static SHARES: AtomicU32 = AtomicU32::new(1);
    let number = SHARES.fetch_add(1, Ordering::Relaxed);
    let name = format!("babelmesh-{}-{number}", std::process::id());
    let quota = PERIOD * percent / 100;
    if Path::new(V1).join("cpu.cfs_quota_us").exists() {
        let folder = folder(V1, &name)?;
        write(&folder, "cpu.cfs_period_us", &PERIOD.to_string())?;
        write(&folder, "cpu.cfs_quota_us", &quota.to_string())?;
        return Ok(folder);
    }
    // Where it is given on already, this changes nothing.
    write(Path::new(V2), "cgroup.subtree_control", "+cpu")?;
    let folder = folder(V2, &name)?;
    write(&folder, "cpu.max", &format!("{quota} {PERIOD}"))?;
    Ok(folder)
}

fn folder(root: &str, name: &str) -> Result<PathBuf, String> {
    let folder = Path::new(root).join(name);
    fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn write(folder: &Path, file: &str, value: &str) -> Result<(), String> {
    let path = folder.join(file);
    fs::write(&path, value).map_err(|error| format!("{}: {error}", path.display()))
}
