//! `babelmesh demo`, on real models where they are fetched and on the toy model elsewhere.

use std::{os::unix::fs::symlink, process::Command};

use babelmesh_integration_tests::{Sandbox, real_models::imported};

/// Runs the demo; returns its standard error and standard output.
fn run(sandbox: &Sandbox, command: &mut Command) -> (String, String) {
    // All demonstrations have one name, and so one socket.
    let socket = sandbox.folder().join("demo.sock");
    let output = command
        .env("BABELMESH_STATUS__SOCKET", socket)
        .args(["demo", "--messages", "40"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    (told, String::from_utf8(output.stdout).unwrap())
}

fn assert_says(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "{text}: {said}");
    }
}

#[test]
fn real_models_are_used_and_named_where_they_are_fetched() {
    let Some(models) = imported() else {
        return;
    };
    let sandbox = Sandbox::new();
    symlink(models, sandbox.folder().join(".models")).unwrap();
    let mut command = sandbox.command();
    let (told, table) = run(
        &sandbox,
        command.env_remove("BABELMESH_MODELS__DIRECTORIES"),
    );
    let named = [
        "firefox-en-pt: en → pt",
        "firefox-pt-en: pt → en",
        "a Firefox Translations model",
        " → pt: ",
        "round trips",
        "  pt: A lua ",
    ];
    assert_says(&told, &named);
    assert!(!told.contains("toy"), "{told}");
    assert_says(&table, &["40 of 40"]);
}

#[test]
fn the_toy_model_is_called_one() {
    let sandbox = Sandbox::new();
    let (told, table) = run(&sandbox, &mut sandbox.command());
    assert_says(&told, &["demo-en-fr-de: en → fr, de", "a toy"]);
    // A short demo shows one of the two.
    let pairs = [" → fr: ", " → de: "];
    assert!(pairs.iter().any(|pair| told.contains(pair)), "{told}");
    assert!(!told.contains("round trips"), "{told}");
    assert_says(&table, &["80 of 80"]);
}
