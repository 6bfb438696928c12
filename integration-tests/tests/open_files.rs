//! Open file limits, and file permissions.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use babelmesh::api::keys;
use babelmesh_integration_tests::{PATIENCE, ProcessNode, Sandbox, executables, wait_until};

#[test]
fn a_node_that_may_open_too_few_files_says_so_and_does_not_start() {
    let sandbox = Sandbox::new();
    let node = sandbox.command();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let mut command = Command::new("bash");
    command
        .args(["-c", "ulimit -n 60; exec \"$@\"", "bash"])
        .arg(executables::babelmesh())
        .arg("node")
        .current_dir(sandbox.folder());
    for (name, value) in node.get_envs() {
        command.env(name, value.unwrap());
    }
    for (key, value) in settings.pairs() {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("the limit of 60 open files is below the required 136"),
        "{error}"
    );
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn a_node_raises_its_limit_of_open_files_and_warns_of_keys_that_others_can_read() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    keys::create(&file, "backend").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"").set(
        "http.keys_file",
        format_args!("{:?}", file.display().to_string()),
    );
    let before = ["prlimit", "--nofile=100:2000"];
    let mut node = ProcessNode::start_behind(&before, &sandbox, &settings);
    node.wait_ready();
    let limits = fs::read_to_string(format!("/proc/{}/limits", node.pid())).unwrap();
    let open = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let open: Vec<&str> = open.unwrap().split_ascii_whitespace().collect();
    assert_eq!(open[3..5], ["2000", "2000"], "{limits}");
    wait_until("it warns", PATIENCE, || {
        let log = node.log();
        log.contains("http.max_connections is lowered to what fits")
            && log.contains("connections=1864")
            && log.contains("limit=2000")
            && log.contains("API key file is accessible by other users")
            && log.contains("0644")
    });
}
