//! Starts that fail: what is taken is noticed before anything else is done, and what was started is ended.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use babelmesh::node::{Node, ask};
use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, Settings, free_addresses, processes, wait_until,
};

/// Far less than a node waits for brokers.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A node that waits for its broker.
fn waiting(sandbox: &Sandbox) -> Settings {
    sandbox
        .node_without_broker()
        .set("kafka.startup_timeout_ms", 600_000)
}

fn command(sandbox: &Sandbox, settings: &Settings) -> Command {
    let mut command = sandbox.command();
    command.arg("node");
    for (key, value) in settings.pairs() {
        command.args(["--set", &format!("{key}={value}")]);
    }
    command
}

/// Starts a node that ends at once, and returns what it says.
fn refused(sandbox: &Sandbox, settings: &Settings) -> String {
    let mut child = command(sandbox, settings)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > AT_ONCE {
            child.kill().unwrap();
            let Output { stderr, .. } = child.wait_with_output().unwrap();
            panic!("it goes on: {}", String::from_utf8_lossy(&stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8_lossy(&stderr).into_owned()
}

#[test]
fn a_port_that_is_taken_ends_the_start_before_brokers_are_waited_for() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let [free, _] = free_addresses();
    let http = waiting(&sandbox).set("http.listen", format_args!("\"{taken}\""));
    let error = refused(&sandbox, &http);
    assert!(error.contains(&format!("listening on {taken}")), "{error}");
    let cluster = waiting(&sandbox).clustered(taken, free);
    let error = refused(&sandbox, &cluster);
    let wanted = format!("listening for other nodes at {taken}");
    assert!(error.contains(&wanted), "{error}");
}

#[test]
fn a_second_node_of_a_name_ends_at_once_and_harms_nothing() {
    let sandbox = Sandbox::new();
    let first = waiting(&sandbox);
    let second = first.clone().set(
        "status.socket",
        sandbox.folder().join("another.sock").display(),
    );
    let mut node = ProcessNode::start_cold(&sandbox, &first);
    wait_until("it starts", PATIENCE, || {
        ask(node.socket()).is_err_and(|error| error.to_string() == "the node is starting")
    });
    let error = refused(&sandbox, &first);
    assert!(error.contains("set a unique node.name"), "{error}");
    let error = refused(&sandbox, &second);
    assert!(error.contains("set a unique node.name"), "{error}");
    let other = first.clone().set("node.name", "another");
    let error = refused(&sandbox, &other);
    assert!(error.contains("another node is listening there"), "{error}");
    assert!(node.socket().exists());
    // A node that is killed gives its name back.
    node.kill();
    let again = ProcessNode::start_cold(&sandbox, &first);
    wait_until("it starts again", PATIENCE, || {
        ask(again.socket()).is_err_and(|error| error.to_string() == "the node is starting")
    });
    // One that is told to stop takes its socket with it.
    let mut again = again;
    again.stop(PATIENCE);
    assert!(!again.socket().exists());
}

/// Names of this process's threads that belong to a node.
fn threads() -> Vec<String> {
    const OF_A_NODE: [&str; 6] = ["reader", "publisher", "topic-watch", "http", "lag", "leave"];
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| {
            OF_A_NODE
                .iter()
                .any(|of| name == of || name.starts_with("http-"))
        })
        .collect()
}

#[test]
fn a_start_that_fails_half_way_ends_what_was_started() {
    let sandbox = Sandbox::new();
    let keys = sandbox.folder().join("keys");
    fs::write(&keys, "this is no list of keys\n").unwrap();
    let [http, peers] = free_addresses();
    let settings = sandbox
        .faulty_node()
        .actors(1)
        .clustered(peers, peers)
        .set("http.listen", format_args!("\"{http}\""))
        .set("http.keys_file", keys.display())
        .set("node.shutdown_timeout_ms", 20_000);
    let config = settings.config();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let started = Instant::now();
    let failed = runtime.block_on(Node::start(&config, Arc::new(())));
    let error = format!("{:#}", failed.err().unwrap());
    assert!(error.contains("keys"), "the first error is told: {error}");
    assert!(started.elapsed() < Duration::from_secs(25));
    // This is so when the error is told, and not some time later.
    assert!(processes::engines_of(std::process::id()).is_empty());
    assert!(!config.status.socket.as_ref().unwrap().exists());
    for address in [http, peers] {
        TcpListener::bind(address).unwrap();
    }
    // One that was asking a broker ends when that has answered.
    wait_until("its threads have ended", PATIENCE, || threads().is_empty());
    // The same process can start a node again.
    fs::write(&keys, "").unwrap();
    let node = runtime.block_on(Node::start(&config, Arc::new(())));
    runtime.block_on(node.unwrap().drain());
    wait_until("its threads have ended", PATIENCE, || threads().is_empty());
}
