//! What tests tell whoever looks, past the capture of what they print.

use std::{fmt::Display, io::Write};

/// Tells what was measured, in the form from which the README's tables are filled: `measured: <what>: <value>`.
pub fn measured(what: &str, value: impl Display) {
    say(&format!("measured: {what}: {value}"));
}

/// Writes a line to standard error.
pub(crate) fn say(line: &str) {
    // Nobody to tell it to otherwise.
    let _ = writeln!(std::io::stderr(), "{line}");
}
