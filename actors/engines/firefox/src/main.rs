//! The engine of Firefox Translations as a process of its own.
//!
//! The crate `fxtranslate` reads the files and multiplies the matrices. The network itself runs here: the crate's loop returns no
//! log-probabilities, recomputes the keys and values of the source at each step, and has no run-time fallback for processors without
//! AVX2. Both choose the same tokens for the same input.

#![forbid(unsafe_code)]

mod alignment;
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
