//! Consistency of the files in `docker/`: files that parse, keys that the configuration has, executables that the
//! workspace builds, queries about metrics that a node has. No Docker engine is needed.

mod compose;
mod image;
mod kubernetes;
mod queries;

use std::{collections::BTreeMap, fs, path::PathBuf};

use babelmesh::config::{self, Config, ConfigErrors};
use babelmesh_integration_tests::{COOKIE, Sandbox, repository};
use serde_json::Value;

/// Variables of a container.
type Environment = BTreeMap<String, String>;

fn docker(path: &str) -> PathBuf {
    repository().join("docker").join(path)
}

fn read(path: &str) -> String {
    let path = docker(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The only document of a YAML file.
fn yaml(path: &str) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("{value} is no list"))
}

fn table(value: &Value) -> &serde_json::Map<String, Value> {
    value
        .as_object()
        .unwrap_or_else(|| panic!("{value} is no table"))
}

/// The configuration that a node reads in a container of the image with these variables.
fn load(environment: &Environment) -> Result<Config, ConfigErrors> {
    let sandbox = Sandbox::new();
    let cookie = sandbox.folder().join("cookie");
    fs::write(&cookie, COOKIE).unwrap();
    let mut all = image::environment();
    all.extend(environment.clone());
    if let Some(file) = all.get_mut("BABELMESH_CLUSTER__COOKIE_FILE") {
        *file = cookie.display().to_string();
    }
    config::load(None, &[], all, &[])
}

fn good(environment: &Environment) -> Config {
    load(environment).unwrap_or_else(|e| panic!("{environment:?}: {e}"))
}

#[test]
fn every_file_parses() {
    let mut folders = vec![docker("")];
    let mut parsed = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(docker("")).unwrap().to_str().unwrap();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => folders.push(path.clone()),
                Some("yml" | "yaml") => assert!(!documents(relative).is_empty(), "{relative}"),
                Some("json") => {
                    let _: Value = serde_json::from_str(&read(relative)).unwrap();
                }
                _ => continue,
            }
            parsed += 1;
        }
    }
    assert!(parsed >= 10, "only {parsed} files");
}

#[test]
fn a_key_that_does_not_exist_is_noticed() {
    let wrong = [("BABELMESH_KAFKA__BOOTSTRAP".to_owned(), "x:1".to_owned())];
    let error = load(&wrong.into()).unwrap_err();
    assert_eq!(error.0[0].path, "kafka.bootstrap", "{error}");
}
