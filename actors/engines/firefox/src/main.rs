//! The engine of Firefox Translations as a process of its own.
//!
//! Files are read, and matrices multiplied, by the crate `fxtranslate`. The network is run here, because its own loop does not tell
//! log-probabilities, computes the keys and values of the source again at each step, and needs AVX2. For the same input both
//! choose the same tokens.

#![forbid(unsafe_code)]

mod attention;
mod embedding;
mod engine;
mod layers;
mod linear;
mod network;
mod output;
mod parameters;
mod shape;
mod validation;
mod vocabulary;

use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
};

fn main() -> ExitCode {
    // One line: the node makes each a log event.
    panic::set_hook(Box::new(|info| say(&info.to_string())));
    babelmesh_engine_protocol::executable::run::<engine::Firefox>()
}

/// Writes one line to standard error, which the node logs.
fn say(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    // There is nowhere else to report a failed write.
    let _ = writeln!(io::stderr(), "{line}");
}
