//! Processes as the system sees them.

use std::{fs, path::Path, time::Duration};

use babelmesh_engine_protocol::serve::NODE_PID_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};

/// State of a process as `ps` shows it: `R`, `S`, `T` (stopped), `Z` (dead, but not waited for) and so on; `None` when there is none.
#[must_use]
pub fn state(pid: u32) -> Option<char> {
    state_and_threads(pid).map(|(state, _)| state)
}

/// Whether a process is there and not dead. It is dead when all its threads are: until then its ports are open.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    state_and_threads(pid).is_some_and(|(state, threads)| state != 'Z' || threads > 1)
}

fn state_and_threads(pid: u32) -> Option<(char, u32)> {
    // proc_pid_stat(5): the name stands in parentheses and may hold anything, the state follows it; the number of threads is field 20.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(16)?.parse().ok()?))
}

/// Whether there is no trace of a process: it is dead and was waited for.
#[must_use]
pub fn is_gone(pid: u32) -> bool {
    state(pid).is_none()
}

/// Processes that are alive and were started as engines of the node with this process id. Nodes name themselves in their engines' environment,
/// so that an engine is found even when its node is dead.
#[must_use]
pub fn engines_of(node: u32) -> Vec<u32> {
    let mark = format!("{NODE_PID_VARIABLE}={node}");
    let is_engine = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    all()
        .filter(|pid| is_engine(*pid) && is_alive(*pid))
        .collect()
}

/// Processes that are alive and were started by a path below `folder`.
#[must_use]
pub fn started_from(folder: &Path) -> Vec<u32> {
    let is_ours = |pid: u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
        str::from_utf8(program).is_ok_and(|program| Path::new(program).starts_with(folder))
    };
    all()
        .filter(|pid| is_ours(*pid) && is_alive(*pid))
        .collect()
}

/// Sends a signal.
pub fn signal(pid: u32, signal: Signal) {
    let raw = i32::try_from(pid).expect("process ids are small");
    let pid = Pid::from_raw(raw).expect("process ids are not zero");
    kill_process(pid, signal).expect("the process is there and ours");
}

/// Resident memory of this process in bytes.
#[must_use]
pub fn own_memory() -> u64 {
    memory_of(std::process::id()).expect("this process is there")
}

/// Resident memory of a process in bytes; `None` when there is no such process.
#[must_use]
pub fn memory_of(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Processor time that the living threads of a process have had; `None` when there is no such process. It is as exact as the scheduler's clock.
#[must_use]
pub fn processor_time_of(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(nanoseconds.sum()))
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("the system has /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
