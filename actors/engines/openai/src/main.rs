//! A client of OpenAI-compatible chat completions as an engine process.
//!
//! A server such as vLLM, Ollama or llama.cpp's runs the model. This process asks it for one completion per segment, several at once, and
//! accepts an answer only as far as it is a translation: see [`answer`].

#![forbid(unsafe_code)]

mod answer;
mod batch;
mod client;
mod engine;
mod prompt;
mod retry;
mod wire;

use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
};

fn main() -> ExitCode {
    // One line: the node makes each a log event.
    panic::set_hook(Box::new(|info| say(&info.to_string())));
    babelmesh_engine_protocol::executable::run::<engine::Openai>()
}

/// Writes one line to standard error, which the node logs.
fn say(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    // There is nowhere else to report a failed write.
    let _ = writeln!(io::stderr(), "{line}");
}
