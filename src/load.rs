//! The load generator: publishes requests, reads results, and counts every id.
//!
//! It acts as a backend and uses only topics. Every request has a unique id, every answer is matched to it, and the
//! report shows lost and duplicate answers and latencies. At a fixed rate, latency counts from the moment a message was
//! *due*, so a stall of the generator itself is not hidden.

mod client;
mod oracle;
mod report;
mod run;
mod texts;

pub use oracle::{Answer, Oracle};
pub use report::{Latency, LoadReport};
pub use run::{Pace, Phase, Plan, Progress, run};
pub use texts::Texts;

/// Everyday messages in English, written for this project.
#[must_use]
pub fn everyday() -> Vec<String> {
    include_str!("corpus/everyday.txt")
        .lines()
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect()
}
