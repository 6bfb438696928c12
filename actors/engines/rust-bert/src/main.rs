//! The rust-bert engine as a process of its own.

#![forbid(unsafe_code)]

mod engine;

use std::process::ExitCode;

fn main() -> ExitCode {
    babelmesh_engine_protocol::executable::run::<engine::RustBert>()
}
