//! Resource detection.

use std::fs;

use babelmesh_actors::pool::NodeBudget;

use crate::config::LimitsConfig;

/// Engine threads that the configuration or the machine allows.
pub(super) fn cores(limits: &LimitsConfig) -> usize {
    match limits.cores {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        cores => cores,
    }
}

/// The budget of the node's engines.
pub(super) fn budget(limits: &LimitsConfig) -> std::sync::Arc<NodeBudget> {
    let memory = match limits.memory_mb {
        0 => machine_memory() / 4 * 3,
        megabytes => megabytes << 20,
    };
    NodeBudget::new(cores(limits), memory)
}

/// Bytes of memory of the machine, or of the container if that is less.
fn machine_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    let total = u64::from(machine.mem_unit) * machine.totalram;
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = container.and_then(|text| text.trim().parse().ok());
    limit.unwrap_or(total).min(total)
}
