//! Alerts and metrics.

use std::{collections::BTreeSet, fs};

use babelmesh_integration_tests::repository;
use serde_json::Value;

use super::{pages, read};

/// The source of everything that could register a metric.
fn sources() -> String {
    let mut folders: Vec<_> = ["src", "actors", "crates"]
        .map(|folder| repository().join(folder))
        .into();
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        // Not every folder has to be there.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("rs") => text += &fs::read_to_string(path).unwrap(),
                _ => {}
            }
        }
    }
    text
}

/// Names of metrics in a text.
fn metrics(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split(move |c| !is_name(c))
        .filter(|word| word.starts_with("babelmesh_") && word.len() > "babelmesh_".len())
}

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_every_entry_an_alert() {
    let rules: Value = serde_saphyr::from_str(&read("docker/prometheus/alerts.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|g| g["rules"].as_array().unwrap());
    let alerts: Vec<&str> = rules.filter_map(|rule| rule["alert"].as_str()).collect();
    let runbook = read("docs/src/runbook.md");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### "));
    let headings: Vec<&str> = headings.collect();
    // In the same order: both are read from top to bottom.
    assert_eq!(headings, alerts);
    for entry in runbook.split("\n### ").skip(1) {
        for part in ["**Meaning.**", "**Impact.**", "**Do.**"] {
            let name = entry.lines().next().unwrap();
            assert_eq!(entry.matches(part).count(), 1, "{name}: {part}");
        }
    }
}

#[test]
fn alerts_in_the_documentation_exist() {
    let rules = read("docker/prometheus/alerts.yml");
    for page in pages() {
        for code in page.code() {
            let is_name = |c: char| c.is_ascii_alphabetic();
            if code.starts_with("Babelmesh") && code.chars().all(is_name) {
                assert!(
                    rules.contains(&format!("alert: {code}\n")),
                    "{}: {code}",
                    page.path
                );
            }
        }
    }
}

#[test]
fn metrics_in_the_documentation_exist() {
    let sources = sources();
    let mut checked = BTreeSet::new();
    for page in pages() {
        for metric in page.code().into_iter().flat_map(metrics) {
            // Crates are called so too.
            if page.text.contains(&format!("{metric}::")) {
                continue;
            }
            let name = metric.strip_prefix("babelmesh_").unwrap();
            let is_there = [name, name.trim_end_matches("_total")]
                .iter()
                .any(|name| sources.contains(&format!("\"{name}\"")));
            assert!(is_there, "{}: there is no metric {metric}", page.path);
            checked.insert(metric.to_owned());
        }
    }
    assert!(checked.len() > 30, "only {checked:?}");
}
