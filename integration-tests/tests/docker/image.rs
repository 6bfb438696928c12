//! The image.

use std::{collections::BTreeSet, fs, net::SocketAddr, process::Command};

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, executables, repository, wait_until,
};
use babelmesh_models::EngineKind;

use super::{Environment, docker, good, read};

/// Instructions with what follows them, continued lines joined.
pub(super) fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(char::is_whitespace)?;
        Some((name.to_owned(), rest.trim().to_owned()))
    });
    instructions.collect()
}

fn arguments(name: &str) -> Vec<String> {
    let all = instructions().into_iter();
    all.filter_map(|(instruction, rest)| (instruction == name).then_some(rest))
        .collect()
}

/// What `ENV` sets.
pub(super) fn environment() -> Environment {
    let mut variables = Environment::new();
    for rest in arguments("ENV") {
        let mut rest = rest.as_str();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('\'') {
                Some(quoted) => quoted.split_once('\'').unwrap(),
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            variables.insert(name.trim().to_owned(), value.to_owned());
            rest = after;
        }
    }
    variables
}

/// The port on which a node in the image answers HTTP.
pub(super) fn port() -> u16 {
    let config = good(&Environment::new());
    config.http.listen.parse::<SocketAddr>().unwrap().port()
}

/// The user that processes of the image run as.
pub(super) fn user() -> u64 {
    let user = arguments("USER").pop().unwrap();
    user.split(':').next().unwrap().parse().unwrap()
}

/// Folders of the workspace's packages.
fn members() -> Vec<String> {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let names = members.split(',').map(|name| name.trim().trim_matches('"'));
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_image_builds_packages_of_the_workspace_and_copies_what_they_make() {
    let packages: BTreeSet<String> = members()
        .iter()
        .filter_map(|folder| {
            let manifest = repository().join(folder).join("Cargo.toml");
            let manifest = fs::read_to_string(manifest).unwrap();
            let (_, package) = manifest.split_once("[package]").unwrap();
            let line = package.lines().find(|line| line.starts_with("name = "))?;
            Some(line.split('"').nth(1)?.to_owned())
        })
        .collect();
    let (mut built, mut copied) = (BTreeSet::new(), BTreeSet::new());
    for run in arguments("RUN") {
        let words: Vec<&str> = run.split_whitespace().collect();
        if run.contains("cargo build") {
            let named = words
                .windows(2)
                .filter(|pair| pair[0] == "-p" && !pair[1].starts_with('/'));
            built.extend(named.map(|pair| pair[1].to_owned()));
        }
        let files = words
            .iter()
            .filter_map(|word| word.strip_prefix("target/release/"));
        copied.extend(files.map(str::to_owned));
    }
    assert!(built.is_subset(&packages), "{built:?} in {packages:?}");
    // The packages with executables are named after them.
    assert_eq!(built, copied);
    let mut wanted: BTreeSet<String> = ["babelmesh".to_owned()].into();
    wanted.extend(EngineKind::ALL.map(|kind| kind.executable().to_owned()));
    assert_eq!(copied, wanted);
    for name in &copied {
        let path = executables::folder().join(name);
        assert!(path.is_file(), "{} was not built", path.display());
    }
}

#[test]
fn everything_that_the_image_is_built_from_is_there_and_is_sent_to_the_builder() {
    let ignore = read("Dockerfile.dockerignore");
    let sent: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let is_sent = |path: &str| {
        let inside = |folder: &&str| path == *folder || path.starts_with(&format!("{folder}/"));
        sent.iter().any(inside)
    };
    for path in &sent {
        assert!(repository().join(path).exists(), "{path}");
    }
    let mut needed = members();
    needed.retain(|folder| folder != ".");
    needed.extend(
        [
            "Cargo.toml",
            "Cargo.lock",
            "rust-toolchain.toml",
            ".cargo/config.toml",
            "src",
        ]
        .map(str::to_owned),
    );
    for copy in arguments("COPY") {
        if copy.contains("--from") {
            continue;
        }
        let paths: Vec<&str> = copy
            .split_whitespace()
            .filter(|word| !word.starts_with("--"))
            .collect();
        let (_, sources) = paths.split_last().unwrap();
        needed.extend(
            sources
                .iter()
                .filter(|path| **path != ".")
                .map(|p| (*p).to_owned()),
        );
    }
    needed.extend(["LICENSE", "models"].map(str::to_owned));
    for path in needed {
        assert!(repository().join(&path).exists(), "{path} is not there");
        assert!(is_sent(&path), "{path} is not sent");
    }
    let toolchain = fs::read_to_string(repository().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain
        .lines()
        .find(|l| l.starts_with("channel"))
        .unwrap();
    let channel = channel.split('"').nth(1).unwrap();
    let from = arguments("FROM");
    assert!(
        from[0].starts_with(&format!("rust:{channel}-slim-")),
        "{from:?}"
    );
}

#[test]
fn the_image_runs_a_node_without_root_and_watches_it() {
    assert_ne!(user(), 0);
    let all = instructions();
    let position = |name: &str| all.iter().rposition(|(instruction, _)| instruction == name);
    assert!(
        position("USER") > position("RUN"),
        "what runs after USER is not for root"
    );
    assert_eq!(arguments("HEALTHCHECK").len(), 1);
    assert!(arguments("HEALTHCHECK")[0].ends_with("CMD [\"healthcheck\", \"/live\"]"));
    let config = good(&Environment::new());
    assert!(
        arguments("EXPOSE")[0]
            .split(' ')
            .any(|p| p == port().to_string())
    );
    let made = arguments("RUN").pop().unwrap();
    let kept = config.models.cache_directory.unwrap();
    assert!(made.contains(kept.to_str().unwrap()), "{made}");
}

#[test]
fn the_health_check_says_how_the_node_does() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&sandbox.node().set("http.listen", "\"127.0.0.1:0\""));
    let address = node.http().0.to_string();
    let check = |path: &str, listen: &str| {
        let mut command = Command::new(docker("healthcheck"));
        command.arg(path).env("BABELMESH_HTTP__LISTEN", listen);
        command.output().unwrap().status.success()
    };
    assert!(check("/live", &address));
    // The same with the quotes that a value of TOML may have, and the address that the image listens on.
    let everywhere = format!("\"0.0.0.0:{}\"", node.http().0.port());
    assert!(check("/live", &everywhere));
    wait_until("the node is ready", PATIENCE, || check("/ready", &address));
    assert!(!check("/nothing-here", &address));
    drop(node);
    assert!(!check("/live", &address));
}
