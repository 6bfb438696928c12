//! The command line, as people and scripts use it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use babelmesh_integration_tests::{ProcessNode, Sandbox, repository};
use serde_json::Value;

const COMMANDS: [&str; 38] = [
    "demo",
    "node",
    "translate",
    "bench",
    "load",
    "models",
    "models list",
    "models show",
    "models fetch",
    "models mirror",
    "models import",
    "models remove",
    "models evaluate",
    "models verify",
    "check-config",
    "status",
    "top",
    "cluster",
    "cluster certs",
    "cluster drain",
    "cluster set-bounds",
    "cluster pause",
    "cluster resume",
    "cluster load",
    "cluster unload",
    "cluster log-filter",
    "topics",
    "topics create",
    "topics describe",
    "dead-letters",
    "dead-letters list",
    "dead-letters show",
    "dead-letters replay",
    "keys",
    "keys create",
    "keys list",
    "keys revoke",
    "completions",
];

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A command that must fail, and what it says.
fn complaint(command: &mut Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    text(&output.stderr).to_owned()
}

fn assert_says(complaint: &str, parts: &[&str]) {
    for part in parts {
        assert!(complaint.contains(part), "{part} is not in: {complaint}");
    }
    let lines: Vec<_> = complaint.lines().collect();
    assert!(
        lines[0].starts_with("babelmesh: ") && !complaint.contains("panicked"),
        "{complaint}"
    );
}

/// A folder with a copy of the demonstration model.
fn copy_of_model(sandbox: &Sandbox) -> PathBuf {
    let from = repository().join("models/demo-en-fr-de");
    let to = sandbox.folder().join("models/copy");
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn with_models(command: &mut Command, folder: &Path) {
    let folder = folder.parent().unwrap().display().to_string();
    command.env("BABELMESH_MODELS__DIRECTORIES", format!("[{folder:?}]"));
}

#[test]
fn every_mistake_of_a_configuration_is_reported_at_once_with_its_path() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("bad.toml");
    let bad = "nonsense = 1\n[node]\nname = \"a b\"\n[kafka]\nbootstrap = \"x\"\n[engine]\nthreads = \"two\"\n\
               kind = \"none\"\n[pool.batch]\nsegments = 0\n";
    fs::write(&file, bad).unwrap();
    let mut command = sandbox.command();
    command
        .arg("check-config")
        .arg("--config")
        .arg(&file)
        .args(["--set", "kafka.partitions=0"]);
    let complaint = complaint(command.env("BABELMESH_INTAKE__HIGH_WATER", "5"));
    let paths = [
        "nonsense: ",
        "node.name: ",
        "kafka.bootstrap: ",
        "engine.threads: ",
        "engine.kind: ",
        "pool.batch.segments: ",
        "kafka.partitions: ",
        "intake.high_water: ",
        "invalid configuration (8 errors)",
    ];
    assert_says(&complaint, &paths);
    assert_eq!(complaint.lines().count(), 9, "one line each: {complaint}");
}

#[test]
fn a_good_configuration_is_called_good_and_can_be_printed_and_read_again() {
    let sandbox = Sandbox::new();
    let output = run(sandbox.command().arg("check-config"));
    assert!(
        output.status.success() && text(&output.stdout).contains("1 model(s) found"),
        "{output:?}"
    );
    let output =
        run(sandbox
            .command()
            .args(["check-config", "--print", "--set", "node.name=printed"]));
    let file = sandbox.folder().join("printed.toml");
    fs::write(&file, &output.stdout).unwrap();
    let again = run(sandbox
        .command()
        .args(["check-config", "--print", "--config"])
        .arg(&file));
    assert_eq!(text(&output.stdout), text(&again.stdout));
    assert!(text(&again.stdout).contains("name = \"printed\""));
}

#[test]
fn every_command_has_help() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let output = run(sandbox.command().args(command.split(' ')).arg("--help"));
        assert!(output.status.success(), "{command}: {output:?}");
        let help = text(&output.stdout);
        assert!(help.contains("Usage: babelmesh"), "{command}: {help}");
    }
    let output = run(&mut sandbox.command());
    assert_eq!(
        output.status.code(),
        Some(2),
        "no command at all is a mistake that shows the help"
    );
}

#[test]
fn completions_are_a_script_that_bash_accepts() {
    let sandbox = Sandbox::new();
    let output = run(sandbox.command().args(["completions", "bash"]));
    assert!(output.status.success());
    let script = sandbox.folder().join("completions");
    fs::write(&script, &output.stdout).unwrap();
    let checked = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .status()
        .unwrap();
    assert!(checked.success() && text(&output.stdout).contains("check-config"));
}

#[test]
fn models_are_listed_and_verified() {
    let sandbox = Sandbox::new();
    let output = run(sandbox.command().args(["models", "list", "--json"]));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list[0]["id"], "demo-en-fr-de");
    let output = run(sandbox.command().args(["models", "list"]));
    assert!(text(&output.stdout).contains("demo-en-fr-de"));
    let output = run(sandbox.command().args(["models", "verify"]));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_model_whose_weights_have_changed_by_one_bit_is_found() {
    let sandbox = Sandbox::new();
    let copy = copy_of_model(&sandbox);
    let weights = copy.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let mut command = sandbox.command();
    with_models(&mut command, &copy);
    let output = run(command.args(["models", "verify"]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stdout).contains("model.safetensors"),
        "{output:?}"
    );
}

#[test]
fn a_model_file_or_folder_that_is_missing_is_named() {
    let sandbox = Sandbox::new();
    let copy = copy_of_model(&sandbox);
    fs::remove_file(copy.join("vocab.json")).unwrap();
    let mut command = sandbox.command();
    with_models(&mut command, &copy);
    assert_says(
        &complaint(command.args(["translate", "--to", "fr", "hello"])),
        &["vocab.json"],
    );
    let nowhere = sandbox.folder().join("nowhere/models");
    let mut command = sandbox.command();
    with_models(&mut command, &nowhere.join("x"));
    assert_says(
        &complaint(command.args(["translate", "--to", "fr", "hello"])),
        &["nowhere/models"],
    );
    let mut command = sandbox.command();
    command.args([
        "translate",
        "--set",
        "models.load=[\"absent\"]",
        "--to",
        "fr",
        "hello",
    ]);
    assert_says(
        &complaint(&mut command),
        &["unknown model absent", "demo-en-fr-de"],
    );
}

#[test]
fn an_engine_executable_that_is_missing_is_named() {
    let sandbox = Sandbox::new();
    let directory = format!("engine.directory={}", sandbox.folder().display());
    let mut command = sandbox.command();
    command.args(["translate", "--set", &directory, "--to", "fr", "hello"]);
    assert_says(
        &complaint(&mut command),
        &["babelmesh-engine-ctranslate2 does not exist", "make build"],
    );
}

#[test]
fn a_node_answers_status_and_a_node_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    let socket = sandbox.folder().join("status.sock");
    let mut command = sandbox.command();
    command.args(["status", "--socket"]).arg(&socket);
    assert_says(
        &complaint(&mut command),
        &["no node answers at", "status.sock"],
    );
    let node = ProcessNode::start(
        &sandbox,
        &sandbox.node().set("status.socket", socket.display()),
    );
    let output = run(sandbox
        .command()
        .args(["status", "--json", "--socket"])
        .arg(&socket));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["pid"], node.pid());
    assert_eq!(status["pools"][0]["engine"], "fake");
    assert!(
        status["bootstrap"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let output = run(sandbox.command().args(["status", "--socket"]).arg(&socket));
    assert!(
        text(&output.stdout).contains("pool demo-en-fr-de on fake"),
        "{output:?}"
    );
}

#[test]
fn the_load_generator_counts_every_answer_of_a_node() {
    let sandbox = Sandbox::new();
    let node = ProcessNode::start(&sandbox, &sandbox.node());
    let bootstrap = format!("kafka.bootstrap_servers={:?}", node.status().bootstrap);
    let mut command = sandbox.command();
    command.args([
        "load",
        "--messages",
        "300",
        "--to",
        "fr,de",
        "--json",
        "--set",
        &bootstrap,
    ]);
    let output = run(&mut command);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts =
        ["expected", "translated", "lost", "duplicates"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [600, 600, 0, 0]);
    assert!(report["errors"].as_object().unwrap().is_empty());
}

#[test]
fn the_load_generator_fails_when_answers_are_errors() {
    let sandbox = Sandbox::new();
    let node = ProcessNode::start(&sandbox, &sandbox.node());
    let bootstrap = format!("kafka.bootstrap_servers={:?}", node.status().bootstrap);
    let mut command = sandbox.command();
    // No model translates to Hungarian.
    command.args(["load", "--messages", "5", "--to", "fr,hu", "--json"]);
    let output = run(command.args(["--set", &bootstrap]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["translated"], 5);
    assert_eq!(report["errors"]["unsupported_language"], 5);
    assert_eq!(report["lost"], 0);
}

#[test]
fn the_load_generator_says_what_to_do_without_a_broker_to_talk_to() {
    let sandbox = Sandbox::new();
    for (arguments, wanted) in [
        (["--set", "kafka.bootstrap_servers=embedded"], "--with-node"),
        (["--to", "klingon"], "klingon"),
    ] {
        let output = run(sandbox.command().arg("load").args(arguments));
        assert!(!output.status.success(), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(wanted), "{said}");
    }
}

/// The exit status of a command, and what it says on standard error.
fn status_of(command: &mut Command) -> (Option<i32>, String) {
    let output = run(command);
    let said = text(&output.stderr).to_owned();
    (output.status.code(), said)
}

#[test]
fn wrong_usage_exits_with_status_2_and_a_failure_with_1() {
    let sandbox = Sandbox::new();
    let wrong: [&[&str]; 11] = [
        &["nonsense"],
        &["translate", "hello"],
        &["bench", "--rate", "0"],
        &["bench", "--bulk", "2"],
        &["bench", "--to", "klingon"],
        &["bench", "--messages", "0"],
        &["demo", "--messages", "0"],
        &["dead-letters", "show", "first"],
        &["cluster", "set-bounds", "node-1", "model", "few", "many"],
        &["status", "--set", "nothing"],
        &["--set", "a=1", "check-config", "--set", "b=2"],
    ];
    for arguments in wrong {
        let (status, said) = status_of(sandbox.command().args(arguments));
        assert_eq!(status, Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
    let failing: [&[&str]; 5] = [
        &["status", "--node", "nobody"],
        &["top", "--once", "--node", "nobody"],
        &["cluster", "drain", "node-9", "--node", "nobody"],
        &["models", "show", "nothing"],
        &["check-config", "--set", "pool.max_actor=3"],
    ];
    for arguments in failing {
        let (status, said) = status_of(sandbox.command().args(arguments));
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
        assert_says(&said, &[]);
    }
}

#[test]
fn global_options_work_before_and_after_the_name_of_a_command() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("named.toml");
    fs::write(&file, "[node]\nname = \"from-file\"\n").unwrap();
    let config = file.to_str().unwrap();
    for arguments in [
        [
            "--config",
            config,
            "--set",
            "log.filter=warn",
            "check-config",
            "--print",
        ],
        [
            "check-config",
            "--print",
            "--set",
            "log.filter=warn",
            "--config",
            config,
        ],
        [
            "--config",
            config,
            "check-config",
            "--print",
            "--set",
            "log.filter=warn",
        ],
    ] {
        let output = run(sandbox.command().args(arguments));
        let printed = text(&output.stdout);
        assert!(
            printed.contains("\"from-file\"") && printed.contains("filter = \"warn\""),
            "{arguments:?}: {output:?}"
        );
    }
    for command in COMMANDS {
        let output = run(sandbox.command().args(command.split(' ')).arg("--help"));
        for option in [
            "--config <FILE>",
            "--set <KEY=VALUE>",
            "--node <NAME>",
            "--socket <PATH>",
        ] {
            let is_there = text(&output.stdout).contains(option);
            // Certificates have a --node of their own.
            assert!(
                is_there || command == "cluster certs",
                "{command}: {option}"
            );
        }
    }
}

#[test]
fn deprecated_keys_are_warned_about_and_work() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["check-config", "--print", "--set", "retry.first_ms=77"]);
    let output = run(&mut command);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("initial_backoff_ms = 77"));
    let said = text(&output.stderr);
    assert!(
        said.contains("warning: --set: retry.first_ms is deprecated")
            && said.contains("use retry.initial_backoff_ms"),
        "{said}"
    );
}
