//! The `babelmesh` executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    babelmesh::cli::main()
}
