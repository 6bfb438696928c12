//! What tests tell whoever looks, past the capture of what they print.

use std::{env, fmt::Display, io::Write};

/// Tells what was measured, in the form from which the README's tables are filled: `measured: <what>: <value>`.
pub fn measured(what: &str, value: impl Display) {
    say(&format!("measured: {what}: {value}"));
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

/// Writes a line to standard error.
pub(crate) fn say(line: &str) {
    // Nobody to tell it to otherwise.
    let _ = writeln!(std::io::stderr(), "{line}");
}
