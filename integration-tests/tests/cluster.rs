//! Clusters: discovery, failure detection, authentication, forwarding and commands.

mod authentication;
mod commands;
mod forwarding;
mod malformed_frames;
mod membership;

use std::{path::Path, process::Command};

use babelmesh::cluster::MemberState;
use babelmesh_integration_tests::{ProcessNode, Sandbox, executables, free_address};

/// Nodes with one seed, the first one's address; every second one finds it by its name.
fn start(sandbox: &Sandbox, count: usize) -> Vec<ProcessNode> {
    let seed = free_address();
    let listen = |number| if number == 0 { seed } else { free_address() };
    let name = format!("localhost:{}", seed.port());
    let seed = |number| {
        if number % 2 == 0 {
            seed.to_string()
        } else {
            name.clone()
        }
    };
    (0..count)
        .map(|number| sandbox.node().clustered(listen(number), seed(number)))
        .map(|settings| ProcessNode::start_cold(sandbox, &settings))
        .collect()
}

/// Whether every node sees every other one, has a connection to it, and knows how it does.
fn is_full(nodes: &[ProcessNode]) -> bool {
    nodes.iter().all(|node| {
        node.view().is_some_and(|view| {
            let others = view.members.iter();
            let good = others.filter(|m| m.state.is_up() && m.linked && m.report.is_some());
            view.members.len() == nodes.len() && good.count() == nodes.len()
        })
    })
}

fn state_of(node: &ProcessNode, other: &str) -> Option<MemberState> {
    Some(node.view()?.member(other)?.state)
}

fn answers(nodes: &[ProcessNode]) -> bool {
    nodes.iter().all(|node| node.view().is_some())
}

fn cli(arguments: &[&str], socket: &Path) -> (bool, String) {
    let output = Command::new(executables::babelmesh())
        .args(arguments)
        .arg("--socket")
        .arg(socket)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}
