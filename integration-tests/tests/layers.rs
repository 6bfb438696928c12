//! The workspace keeps its layers: a crate uses only crates of lower floors, and modules of a crate do not use each other in a circle.
//!
//! Crates are read from the `Cargo.toml` files, modules from the text of the code.

mod modules;
mod sizes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use babelmesh_integration_tests::repository;
use toml::{Table, Value};

/// Every crate of the workspace, by its folder, and its floor.
const FLOORS: [(&str, u8); 20] = [
    // Whole nodes, from outside.
    ("integration-tests", 7),
    // The node: command line and composition root.
    (".", 6),
    // The outside world. These do not know each other.
    ("crates/http", 5),
    ("crates/kafka", 5),
    ("crates/cluster", 5),
    ("crates/cache", 5),
    // Events, metrics, traces, and what nodes say about themselves.
    ("crates/telemetry", 4),
    // Executables with an ML library each, and what those for Marian models share.
    ("actors/engines/ctranslate2", 4),
    ("actors/engines/firefox", 4),
    ("actors/engines/openai", 4),
    ("actors/engines/rust-bert", 4),
    ("actors/engines/marian", 3),
    // Actors and ports.
    ("actors", 3),
    // Files of several kinds, made of texts.
    ("actors/documents", 3),
    // Decisions, formats, manifests.
    ("actors/models", 2),
    ("actors/scaling", 2),
    ("actors/text", 2),
    // Types.
    ("actors/domain", 1),
    ("actors/protocol", 1),
    ("crates/settings", 1),
];

/// Functions that are tables, with a line or more for each event or metric.
const TABLES: [(&str, &str); 5] = [
    ("crates/telemetry/src/events.rs", "write"),
    ("crates/telemetry/src/events/log.rs", "observe"),
    ("crates/telemetry/src/metrics.rs", "observe"),
    ("crates/telemetry/src/snapshot.rs", "sources"),
    ("crates/http/src/dashboard/feed.rs", "observe"),
];

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    folder: String,
    /// Folders of the crates of the workspace that it uses, in its tests and build script too.
    uses: BTreeSet<String>,
}

fn read(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse()
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The crates of the workspace, as their manifests have them.
fn packages() -> Vec<Package> {
    let root = read(&repository().join("Cargo.toml"));
    let workspace = &root["workspace"];
    let shared = workspace["dependencies"].as_table().unwrap();
    let members = workspace["members"].as_array().unwrap();
    let members = members.iter().filter_map(Value::as_str);
    let package = |folder: &str| Package {
        folder: folder.to_owned(),
        uses: uses(&read(&repository().join(folder).join("Cargo.toml")), shared),
    };
    members.map(package).collect()
}

/// The folders of a crate's dependencies in the workspace. They are given by `workspace = true`.
fn uses(manifest: &Table, shared: &Table) -> BTreeSet<String> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sections.iter().filter_map(|name| manifest.get(*name));
    let named = tables.filter_map(Value::as_table).flatten();
    let folder = |(name, dependency): (&String, &Value)| {
        let path = dependency.get("path");
        assert!(path.is_none(), "{name} must come from the workspace");
        let path = shared.get(name)?.get("path")?;
        Some(path.as_str()?.to_owned())
    };
    named.filter_map(folder).collect()
}

/// What is wrong with the floors of these crates.
fn problems(packages: &[Package], floors: &[(&str, u8)]) -> Vec<String> {
    let floors: BTreeMap<&str, u8> = floors.iter().copied().collect();
    let mut problems = Vec::new();
    for Package { folder, uses } in packages {
        let Some(floor) = floors.get(folder.as_str()) else {
            problems.push(format!("{folder} has no floor in FLOORS"));
            continue;
        };
        for used in uses {
            match floors.get(used.as_str()) {
                Some(below) if below < floor => {}
                Some(other) => problems.push(format!(
                    "{folder} on floor {floor} uses {used} on floor {other}"
                )),
                None => problems.push(format!("{folder} uses {used}, which has no floor")),
            }
        }
    }
    problems
}

#[test]
fn a_crate_uses_only_crates_of_lower_floors() {
    let packages = packages();
    assert_eq!(problems(&packages, &FLOORS), Vec::<String>::new());
    // A folder that is gone leaves the table too.
    for (folder, _) in FLOORS {
        let is_there = packages.iter().any(|package| package.folder == folder);
        assert!(is_there, "{folder} is in FLOORS and not in the workspace");
    }
}

#[test]
fn a_crate_that_uses_its_own_or_a_higher_floor_or_has_none_is_named() {
    let package = |folder: &str, uses: &[&str]| Package {
        folder: folder.to_owned(),
        uses: uses.iter().map(|used| (*used).to_owned()).collect(),
    };
    let floors = [("node", 3), ("http", 2), ("kafka", 2), ("domain", 1)];
    let good = [
        package("node", &["http", "kafka", "domain"]),
        package("http", &["domain"]),
    ];
    assert_eq!(problems(&good, &floors), Vec::<String>::new());
    let bad = [
        package("http", &["kafka"]),
        package("domain", &["node"]),
        package("new", &["domain"]),
    ];
    let expected = [
        "http on floor 2 uses kafka on floor 2",
        "domain on floor 1 uses node on floor 3",
        "new has no floor in FLOORS",
    ];
    assert_eq!(problems(&bad, &floors), expected);
}

#[test]
fn modules_of_a_crate_do_not_use_each_other_in_a_circle() {
    for (folder, _) in FLOORS {
        let circles = modules::circles(&repository().join(folder).join("src"));
        assert!(
            circles.is_empty(),
            "{folder}: these modules use each other in a circle: {circles:?}"
        );
    }
}

#[test]
fn no_file_and_no_function_is_too_long_to_read() {
    let mut problems = Vec::new();
    let mut lengths = Vec::new();
    for path in sizes::sources(repository()) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        lengths.push(lines);
        if lines > sizes::MOST_LINES {
            problems.push(format!("{} has {lines} lines", path.display()));
        }
        let is_test = |part: &str| matches!(part, "tests" | "tests.rs" | "benches");
        if path.iter().any(|part| is_test(&part.to_string_lossy())) {
            continue;
        }
        for (name, lines) in sizes::long_functions(&text) {
            let is_table = |(file, table): &(&str, &str)| path.ends_with(file) && name == *table;
            if !TABLES.iter().any(is_table) {
                problems.push(format!("{}: {name} has {lines} lines", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= sizes::MOST_MEDIAN, "the median is {median} lines");
}
