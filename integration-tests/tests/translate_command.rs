//! `babelmesh translate`, with the real engine.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    thread,
};

use babelmesh_integration_tests::{Sandbox, executables, piped};

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What `translate` makes of a text, in French.
fn translate(sandbox: &Sandbox, text_to_translate: &str) -> String {
    assert!(executables::engine("ctranslate2").is_file());
    let mut command = sandbox.command();
    command.args([
        "translate",
        "--from",
        "en",
        "--to",
        "fr",
        "--",
        text_to_translate,
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).to_owned()
}

#[test]
fn a_text_is_translated_whatever_it_looks_like() {
    let sandbox = Sandbox::new();
    assert!(translate(&sandbox, "Where is the train station?").contains("gare"));
    assert_eq!(translate(&sandbox, ""), "\n");
    assert_eq!(translate(&sandbox, "🎉🎉 👍"), "🎉🎉 👍\n");
    let paragraph = "I am very hungry today. Where is the train station?\n\n";
    let long = translate(&sandbox, &format!("{}The end.", paragraph.repeat(30)));
    assert_eq!(long.matches("gare").count(), 30, "{long}");
    assert_eq!(long.matches("\n\n").count(), 30, "{long}");
    assert!(
        !translate(&sandbox, "--to").is_empty(),
        "a text may look like a flag"
    );
    let mut command = sandbox.command();
    command.args(["translate", "--from", "en", "--to", "ja", "hello"]);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let complaint = text(&refused.stderr);
    assert!(
        complaint.contains("unsupported_language: no model supports the target language ja"),
        "{complaint}"
    );
}

#[test]
fn standard_input_is_translated_line_by_line() {
    let sandbox = Sandbox::new();
    assert!(executables::engine("ctranslate2").is_file());
    let mut command = sandbox.command();
    command.args(["translate", "--from", "en", "--to", "fr", "-"]);
    let mut lines = "I am hungry.\n\n🎉\nWhere is the train station?\n".repeat(100);
    lines.push_str("Thank you very much.");
    let output = piped(command, lines);
    assert!(output.status.success());
    let lines: Vec<_> = text(&output.stdout).split('\n').collect();
    assert_eq!(
        lines.len(),
        401,
        "as many lines as went in, and the last without an end as it was"
    );
    for four in lines.chunks_exact(4) {
        assert!(four[0].contains("faim"), "{four:?}");
        assert_eq!((four[1], four[2]), ("", "🎉"));
        assert!(four[3].contains("gare"), "{four:?}");
    }
    assert!(
        lines[400].to_lowercase().contains("merci"),
        "{}",
        lines[400]
    );
}

#[test]
fn a_closed_output_pipe_is_not_a_failure() {
    let sandbox = Sandbox::new();
    assert!(executables::engine("ctranslate2").is_file());
    let mut command = sandbox.command();
    command.args(["translate", "--from", "en", "--to", "fr", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // Ends when nobody reads any more.
    let writer =
        thread::spawn(move || (0..20_000).all(|_| input.write_all(b"I am hungry.\n").is_ok()));
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    assert!(first.contains("faim"), "{first}");
    let output = child.wait_with_output().unwrap();
    assert!(
        !writer.join().unwrap(),
        "it ended before it had read everything"
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_pipe_needs_no_dash() {
    let sandbox = Sandbox::new();
    assert!(executables::engine("ctranslate2").is_file());
    let mut command = sandbox.command();
    command.args(["translate", "--from", "en", "--to", "fr"]);
    let output = piped(
        command,
        "I am hungry.\nWhere is the train station?\n".to_owned(),
    );
    assert!(output.status.success());
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("faim") && lines[1].contains("gare"),
        "{lines:?}"
    );
}
