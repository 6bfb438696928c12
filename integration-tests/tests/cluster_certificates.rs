//! Cluster certificates: authentication, rotation at run time, and expiry.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use babelmesh::cluster::certs;
use babelmesh_integration_tests::{
    LocalNode, PATIENCE, ProcessNode, Sandbox, Settings, executables, free_address, wait_until,
};

fn with_certificate(settings: Settings, folder: &Path, name: &str) -> Settings {
    let file = |file: &str| format!("{:?}", folder.join(file).display().to_string());
    settings
        .set("node.name", name)
        .set("cluster.tls.ca_file", file(certs::CA))
        .set("cluster.tls.certificate_file", file(&format!("{name}.pem")))
        .set("cluster.tls.key_file", file(&format!("{name}.key")))
        .set("cluster.tls.reload_interval_ms", 100)
}

fn is_full(nodes: &[ProcessNode]) -> bool {
    nodes.iter().all(|node| {
        node.view().is_some_and(|view| {
            let linked = view.members.iter().filter(|m| m.state.is_up() && m.linked);
            view.members.len() == nodes.len() && linked.count() == nodes.len()
        })
    })
}

fn certs_command(folder: &Path, rest: &[&str]) -> (bool, String) {
    let output = Command::new(executables::babelmesh())
        .args(["cluster", "certs", "--out"])
        .arg(folder)
        .args(rest)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Puts the files of another authority into the place of a folder's.
fn replace(folder: &Path, by: &Path, names: &[&str]) {
    for name in names {
        fs::copy(by.join(name), folder.join(name)).unwrap();
    }
}

#[test]
fn certificates_of_one_authority_let_nodes_in_and_those_of_another_do_not() {
    let sandbox = Sandbox::new();
    let (ours, theirs) = (
        sandbox.folder().join("ours"),
        sandbox.folder().join("theirs"),
    );
    let (good, text) = certs_command(&ours, &["--node", "one"]);
    assert!(good && text.contains("one.key"), "{text}");
    // A node that comes later.
    let (good, text) = certs_command(&ours, &["--add", "two"]);
    assert!(good && text.lines().count() == 2, "{text}");
    certs::make(&theirs, &["three".to_owned()], 1).unwrap();
    let seed = free_address();
    let node = |folder, name, listen| {
        let settings = sandbox.node().clustered(listen, seed);
        ProcessNode::start_cold(&sandbox, &with_certificate(settings, folder, name))
    };
    let friends = [node(&ours, "one", seed), node(&ours, "two", free_address())];
    wait_until("friends meet", PATIENCE, || is_full(&friends));
    let [one, two] = friends;
    drop(two);
    let pair = [one, node(&theirs, "three", free_address())];
    wait_until("both answer", PATIENCE, || {
        pair.iter().all(|node| node.view().is_some())
    });
    let stranger = &pair[1];
    wait_until("both logs say why", PATIENCE, || {
        let refused = pair[0].log();
        let told = stranger.log();
        refused.contains("a connection of another node was refused")
            && refused.contains("certificate")
            && told.contains("no connection to another node")
            && told.contains("certificate")
    });
    assert_eq!(stranger.view().unwrap().members.len(), 1);
    // The stranger dials on, five times a second at first.
    thread::sleep(Duration::from_secs(3));
    for node in &pair {
        let log = node.log();
        let lines = log.lines().filter(|line| {
            line.contains("certificate rejected") || line.contains("rejected the certificate")
        });
        assert!(lines.count() <= 2, "{log}");
    }
}

#[test]
fn certificates_are_replaced_while_nodes_run() {
    let sandbox = Sandbox::new();
    let (old, new) = (sandbox.folder().join("old"), sandbox.folder().join("new"));
    let names = ["one".to_owned(), "two".to_owned()];
    certs::make(&old, &names, 40).unwrap();
    certs::make(&new, &names, 80).unwrap();
    let seed = free_address();
    let node = |name, listen| {
        let settings = sandbox.node().clustered(listen, seed);
        ProcessNode::start_cold(&sandbox, &with_certificate(settings, &old, name))
    };
    let mut nodes = [node("one", seed), node("two", free_address())];
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let expiry = |node: &ProcessNode| node.view().unwrap().certificate_not_after.unwrap();
    let before = expiry(&nodes[0]);
    // A key without its certificate.
    replace(&old, &new, &["one.key"]);
    wait_until("the broken pair is warned about", PATIENCE, || {
        nodes[0].log().contains("keeping the previous certificate")
    });
    assert_eq!(expiry(&nodes[0]), before);
    replace(
        &old,
        &new,
        &[certs::CA, "one.pem", "one.key", "two.pem", "two.key"],
    );
    wait_until("both have read the new ones", PATIENCE, || {
        nodes.iter().all(|node| expiry(node) > before + 30 * 86_400)
    });
    // Links stay: a node that lost one would have told so.
    thread::sleep(Duration::from_millis(500));
    assert!(is_full(&nodes));
    for node in &nodes {
        let log = node.log();
        assert!(log.contains("certificate reloaded"), "{log}");
        assert!(
            !log.contains("suspect") && !log.contains("to=\"down\""),
            "{log}"
        );
    }
    // One that only ever knew the new authority is let in: new connections use what was read.
    nodes[1].kill();
    nodes[1].start_again();
    wait_until("they meet again", PATIENCE, || is_full(&nodes));
}

#[test]
fn an_expired_certificate_is_refused_at_start_and_one_that_expires_soon_is_warned_about() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder().join("certs");
    certs::make(&folder, &["soon".to_owned()], 12).unwrap();
    let (seed, names) = (free_address(), ["over".to_owned()]);
    certs::add(&folder, &names, 0).unwrap();
    let settings = |name| with_certificate(sandbox.node().clustered(seed, seed), &folder, name);
    let node = LocalNode::start_cold(&settings("soon").set("http.listen", "\"127.0.0.1:0\""));
    let page = node.http().get("/metrics").body;
    let sample = "\nbabelmesh_certificate_expiry_timestamp_seconds ";
    assert!(page.contains(sample), "{page}");
    let view = ProcessNode::start_cold(
        &sandbox,
        &with_certificate(
            sandbox.node().clustered(free_address(), seed),
            &folder,
            "soon",
        )
        .set("node.name", "soon"),
    );
    wait_until("the log warns", PATIENCE, || {
        view.log()
            .contains("the certificate of this node expires in 1")
    });
    thread::sleep(Duration::from_secs(1));
    let mut over = sandbox.command();
    over.arg("node");
    for (key, value) in settings("over").pairs() {
        over.arg("--set").arg(format!("{key}={value}"));
    }
    let output = over.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("over.pem expired at 20"), "{error}");
}
