//! Peers with a different cookie, certificate or protocol version are rejected.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use babelmesh::cluster::{MemberState, certs, handshake::PROTOCOL};
use babelmesh_integration_tests::{
    COOKIE, PATIENCE, ProcessNode, Sandbox, Settings, free_address, wait_until,
};

use super::answers;

fn assert_apart(nodes: &[ProcessNode], reasons: &[&str]) {
    wait_until("both logs say why", PATIENCE, || {
        nodes.iter().all(|node| {
            let log = node.log();
            reasons.iter().any(|reason| log.contains(reason))
        })
    });
    for node in nodes {
        let view = node.view().unwrap();
        assert!(
            view.members
                .iter()
                .all(|m| !m.linked || m.state == MemberState::Own),
            "{view:?}"
        );
    }
}

#[test]
fn a_wrong_cookie_is_refused_and_both_logs_say_so() {
    let sandbox = Sandbox::new();
    let (a, b) = (free_address(), free_address());
    let settings = [
        sandbox.node().clustered(a, b),
        sandbox
            .node()
            .clustered(b, b)
            .set("cluster.cookie", "another cookie of another cluster"),
    ];
    let nodes = settings.map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    wait_until("both answer", PATIENCE, || answers(&nodes));
    assert_apart(&nodes, &["cluster.cookie mismatch"]);
    for node in &nodes {
        assert!(!node.log().contains("another cookie") && !node.log().contains(COOKIE));
    }
}

fn with_certificate(settings: Settings, folder: &Path, name: &str) -> Settings {
    let file = |file: &str| format!("{:?}", folder.join(file).display().to_string());
    settings
        .set("node.name", name)
        .set("cluster.tls.ca_file", file(certs::CA))
        .set("cluster.tls.certificate_file", file(&format!("{name}.pem")))
        .set("cluster.tls.key_file", file(&format!("{name}.key")))
}

#[test]
fn a_certificate_of_another_node_is_rejected() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder().join("certs");
    certs::make(&folder, &["one".to_owned(), "two".to_owned()], 1).unwrap();
    let seed = free_address();
    let one = with_certificate(sandbox.node().clustered(seed, seed), &folder, "one");
    let thief = with_certificate(
        sandbox.node().clustered(free_address(), seed),
        &folder,
        "two",
    );
    let nodes = [one, thief.set("node.name", "three")]
        .map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    wait_until("both answer", PATIENCE, || answers(&nodes));
    assert_apart(&nodes, &["the peer certificate does not name three"]);
}

/// A frame of another version, as far as any version agrees.
fn hello_of_another_version() -> Vec<u8> {
    let mut frame = b"bmsh".to_vec();
    frame.extend_from_slice(&(PROTOCOL + 1).to_be_bytes());
    frame.extend_from_slice(&[1, 0, 3, 7, 7, 7]);
    frame
}

#[test]
fn another_version_of_the_protocol_is_refused_whoever_dials_and_the_other_side_is_told() {
    let sandbox = Sandbox::new();
    let (listen, stranger) = (free_address(), TcpListener::bind("127.0.0.1:0").unwrap());
    let seed = stranger.local_addr().unwrap();
    let node = ProcessNode::start_cold(&sandbox, &sandbox.node().clustered(listen, seed));
    // It dials, and hears another version.
    let (mut dialled, _) = stranger.accept().unwrap();
    dialled.write_all(&hello_of_another_version()).unwrap();
    let mut said = Vec::new();
    dialled.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    let (theirs, ours) = (PROTOCOL + 1, PROTOCOL);
    let theirs = format!("speaks version {theirs}");
    let ours = format!("this node version {ours}");
    assert!(said.contains(&theirs) && said.contains(&ours), "{said}");
    // It is dialled.
    let mut dialling = TcpStream::connect(listen).unwrap();
    dialling.write_all(&hello_of_another_version()).unwrap();
    let mut told = Vec::new();
    dialling.read_to_end(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains(&theirs), "{told}");
    wait_until("the log says both", PATIENCE, || {
        let log = node.log();
        log.contains("no connection to another node")
            && log.contains("a connection of another node was refused")
    });
}
