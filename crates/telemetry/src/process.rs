//! Process metrics, with the standard names of Prometheus client libraries.

use std::{
    fs,
    sync::atomic::AtomicU64,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// This process now. What the system does not tell is left out.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::with_prefix("process");
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
    };
    let page = rustix::param::page_size() as f64;
    let memory = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = |field: usize| {
        let pages = memory.split_ascii_whitespace().nth(field)?;
        Some(pages.parse::<f64>().ok()? * page)
    };
    gauge(
        "resident_memory_bytes",
        "Resident memory of the node without its engines",
        pages(1),
    );
    gauge("virtual_memory_bytes", "Virtual memory", pages(0));
    let open = fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64);
    gauge("open_fds", "Open file descriptors", open.ok());
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    gauge(
        "max_fds",
        "Limit of open file descriptors",
        limit.map(|limit| limit as f64),
    );
    let stat = Stat::read();
    gauge(
        "threads",
        "Threads",
        stat.as_ref().and_then(|stat| stat.field(20)),
    );
    let started = stat.as_ref().and_then(Stat::started);
    gauge(
        "start_time_seconds",
        "When the process started, in seconds since 1970",
        started,
    );
    if let Some(seconds) = stat.as_ref().and_then(Stat::cpu_seconds) {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(seconds);
        registry.register(
            "cpu_seconds",
            "CPU time of the node, without its engines",
            counter,
        );
    }
    registry
}

/// `/proc/self/stat` from its third field on: the second, a name in parentheses, may hold anything.
struct Stat(String);

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        Some(Self(fields.to_owned()))
    }

    /// A field by its number in proc_pid_stat(5).
    fn field(&self, number: usize) -> Option<f64> {
        let index = number.checked_sub(3)?;
        self.0.split_ascii_whitespace().nth(index)?.parse().ok()
    }

    fn cpu_seconds(&self) -> Option<f64> {
        Some((self.field(14)? + self.field(15)?) / ticks())
    }

    fn started(&self) -> Option<f64> {
        let up = fs::read_to_string("/proc/uptime").ok()?;
        let up: f64 = up.split_ascii_whitespace().next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(now.as_secs_f64() - up + self.field(22)? / ticks())
    }
}

/// Ticks of a second.
fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}
