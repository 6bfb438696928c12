//! What tests report past the capture of their output: to standard error, and to the file that `TEST_REPORT` names.

use std::{env, fmt::Display, fs::File, io::Write};

/// Tells what was measured, in the form from which the tables of the documentation are filled: `measured: <what>: <value>`.
pub fn measured(what: &str, value: impl Display) {
    say(&format!("measured: {what}: {value}"));
}

/// Whether tests that inject faults at random go on for as long as the figures in the documentation do (`FAULT_LONG=1`), or for half of that.
#[must_use]
pub fn is_long() -> bool {
    env::var_os("FAULT_LONG").is_some_and(|value| value == "1")
}

/// Says that a test is skipped, what is missing and why; panics where the environment has `required` at 1.
pub fn skip(required: &str, missing: &str, why: &str) {
    let why = why.trim();
    assert!(
        env::var_os(required).is_none_or(|value| value != "1"),
        "{required} is 1, but {missing}: {why}"
    );
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    say(&format!("SKIPPED: {test}: {missing}: {why}"));
}

/// Writes a line to standard error and, since a test runner hides the output of tests that pass, to the file that `TEST_REPORT` names.
pub(crate) fn say(line: &str) {
    // There is nowhere else to report a failed write.
    let _ = writeln!(std::io::stderr(), "{line}");
    if let Some(path) = env::var_os("TEST_REPORT")
        && let Ok(mut file) = File::options().create(true).append(true).open(path)
    {
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}
