//! Commands that read standard input.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    thread,
};

/// The output of a command with this standard input.
#[must_use]
pub fn piped(mut command: Command, input: String) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command exists");
    let mut stdin = child.stdin.take().expect("it is piped");
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the command ends");
    let written = writer.join().expect("nothing in it panics");
    written.expect("the command reads all of its input");
    output
}
