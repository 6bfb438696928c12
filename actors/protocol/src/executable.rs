//! The `main` of an engine executable.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use crate::serve::{Engine, serve};

/// Answers `--version` and `--help`, and serves the engine when there is no argument.
#[must_use]
pub fn run<E: Engine>() -> ExitCode {
    let name = format!("babelmesh-engine-{}", E::NAME);
    let version = env!("CARGO_PKG_VERSION");
    match env::args().nth(1).as_deref() {
        None => match serve::<E>() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&format!("{name}: {error}")),
        },
        Some("--version" | "-V") => say(&format!("{name} {version}")),
        Some("--help" | "-h") => say(&format!(
            "{name} runs translation models for a babelmesh node, which starts it and speaks to it over \
             its standard input and output. It is not meant to be started by hand and takes no \
             arguments but --help and --version."
        )),
        Some(other) => refuse(&format!("{name}: unexpected argument {other}; see --help")),
    }
}

fn say(line: &str) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(line: &str) -> ExitCode {
    // There is nowhere left to report this error.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::FAILURE
}
