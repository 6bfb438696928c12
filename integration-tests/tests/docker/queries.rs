//! Every query of the dashboard and the alerts is about metrics that a node has, with the labels that they have there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use babelmesh_integration_tests::{
    LocalNode, PATIENCE, Sandbox, free_address, repository, skip, wait_until,
};
use serde_json::{Value, json};

use super::{docker, list, read, text, yaml};

/// Names of samples, each with its labels.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// What a healthy node has no sample of, with the labels that it would have.
const RARE: [(&str, &[&str]); 9] = [
    // Without certificates.
    ("babelmesh_certificate_expiry_timestamp_seconds", &[]),
    ("babelmesh_dead_letters_total", &["source", "code"]),
    ("babelmesh_retried_jobs_total", &["code"]),
    ("babelmesh_actor_failures_total", &["model"]),
    ("babelmesh_poisoned_texts_total", &["model"]),
    ("babelmesh_refused_jobs_total", &["model"]),
    ("babelmesh_expired_jobs_total", &["model"]),
    ("babelmesh_abandoned_jobs_total", &["model"]),
    (
        "babelmesh_scaling_decisions_total",
        &["model", "direction", "reason"],
    ),
];

/// Metrics and labels that Prometheus itself adds.
const ADDED: [&str; 2] = ["up", "ALERTS"];
const ADDED_LABELS: [&str; 5] = ["instance", "job", "le", "alertname", "alertstate"];

fn set(labels: &[&str]) -> BTreeSet<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// What a node shows that has translated a sentence.
fn scraped() -> Metrics {
    let sandbox = Sandbox::new();
    let free = free_address();
    let settings = sandbox
        .node()
        .clustered(free, free)
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("cache.memory_mb", 8)
        // Nobody listens there.
        .set("cache.redis.address", "redis://127.0.0.1:1");
    let node = LocalNode::start(&settings);
    let http = node.http();
    let question = json!({"q": "Good night!", "source": "en", "target": "fr"});
    assert_eq!(http.post("/translate", &question).status, 200);
    let mut metrics = Metrics::new();
    wait_until("the node has decided and counted", PATIENCE, || {
        for line in http.get("/metrics").body.lines() {
            if line.starts_with('#') {
                continue;
            }
            let sample = line.rsplit_once(' ').map_or(line, |(sample, _)| sample);
            for (name, labels) in selectors(sample) {
                metrics.entry(name).or_default().extend(labels);
            }
        }
        [
            "babelmesh_scaling_pressure_ratio",
            "babelmesh_source_lag_records",
        ]
        .iter()
        .all(|name| metrics.contains_key(*name))
    });
    let source = [
        "metrics/registration.rs",
        "snapshot.rs",
        "snapshot/cluster_metrics.rs",
    ]
    .map(|file| fs::read_to_string(repository().join("crates/telemetry/src").join(file)).unwrap());
    let source = source.concat();
    for (name, labels) in RARE {
        let short = name
            .strip_prefix("babelmesh_")
            .map(|n| n.strip_suffix("_total").unwrap_or(n));
        assert!(
            source.contains(&format!("\"{}\"", short.unwrap())),
            "{name} is no metric"
        );
        metrics
            .entry(name.to_owned())
            .or_insert_with(|| set(labels));
    }
    metrics
}

/// Splits a query into words, with quoted texts left out.
fn words(query: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut escaped = false;
    for c in query.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$' {
            words.last_mut().unwrap().push(c);
        } else {
            quoted = c == '"';
            words.push(if c.is_whitespace() || quoted {
                String::new()
            } else {
                c.to_string()
            });
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The metrics that a query names, each with the labels between its braces.
fn selectors(query: &str) -> Vec<(String, BTreeSet<String>)> {
    let words = words(query);
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let ours = word.starts_with("babelmesh_") || word.starts_with("process_");
        if !ours && !ADDED.contains(&word.as_str()) {
            continue;
        }
        let braced = words.get(i + 1).is_some_and(|next| next == "{");
        let inside = words[i + 1..]
            .iter()
            .take_while(|word| braced && *word != "}");
        let labels = inside.filter(|word| is_name(word)).cloned();
        found.push((word.clone(), labels.collect()));
    }
    found
}

/// The labels that a query keeps by `by`.
fn kept(query: &str) -> BTreeSet<String> {
    let words = words(query);
    let mut labels = BTreeSet::new();
    for (i, _) in words.iter().enumerate().filter(|(_, word)| *word == "by") {
        let inside = words[i + 1..].iter().take_while(|word| *word != ")");
        labels.extend(inside.filter(|word| is_name(word)).cloned());
    }
    labels
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/dashboards/babelmesh.json")).unwrap()
}

/// Every query, with what is made of its labels beside it.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for group in list(&yaml("prometheus/alerts.yml")["groups"]) {
        for rule in list(&group["rules"]) {
            let annotations = rule["annotations"].to_string();
            queries.push((
                text(&rule["expr"]).to_owned(),
                annotations.replace("$labels.", ""),
            ));
        }
    }
    let dashboard = dashboard();
    let panels = list(&dashboard["panels"]).iter();
    for target in panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
    {
        queries.push((
            text(&target["expr"]).to_owned(),
            text(&target["legendFormat"]).to_owned(),
        ));
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        queries.push((text(&annotation["expr"]).to_owned(), String::new()));
    }
    assert!(queries.len() > 50, "only {} queries", queries.len());
    queries
}

/// Names between double braces.
fn placeholders(template: &str) -> Vec<&str> {
    let parts = template.split("{{").skip(1);
    let names = parts
        .filter_map(|part| part.split("}}").next())
        .map(str::trim);
    names.filter(|name| !name.starts_with('$')).collect()
}

/// What is wrong with a query.
fn mistakes(query: &str, template: &str, metrics: &Metrics) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut available = set(&ADDED_LABELS);
    let selectors = selectors(query);
    if selectors.is_empty() {
        mistakes.push("it names no metric".to_owned());
    }
    for (name, labels) in selectors {
        let has = match metrics.get(&name) {
            Some(has) => has.clone(),
            None if ADDED.contains(&name.as_str()) => BTreeSet::new(),
            None => {
                mistakes.push(format!("there is no metric {name}"));
                continue;
            }
        };
        for label in &labels {
            if !has.contains(label) && !ADDED_LABELS.contains(&label.as_str()) {
                mistakes.push(format!("{name} has no label {label}"));
            }
        }
        available.extend(has);
    }
    let kept = kept(query);
    let lost = kept.iter().filter(|label| !available.contains(*label));
    mistakes.extend(lost.map(|label| format!("no metric in it has a label {label}")));
    let left = if kept.is_empty() { &available } else { &kept };
    let absent = placeholders(template)
        .into_iter()
        .filter(|name| !left.contains(*name));
    mistakes.extend(absent.map(|name| format!("{name} is shown and is no label of the result")));
    mistakes
        .into_iter()
        .map(|mistake| format!("{query}: {mistake}"))
        .collect()
}

#[test]
fn every_query_names_metrics_and_labels_that_a_node_has() {
    let metrics = scraped();
    // Break a query in each way first, to verify the check itself.
    for (query, template) in [
        ("babelmesh_jobz_total", ""),
        ("rate(babelmesh_jobs_total{modell=\"m\"}[5m])", ""),
        ("sum by (colour) (babelmesh_jobs_total)", ""),
        ("sum by (lane) (babelmesh_jobs_total)", "{{language}}"),
        ("vector(1)", ""),
    ] {
        assert_eq!(mistakes(query, template, &metrics).len(), 1, "{query}");
    }
    let found: Vec<String> = queries()
        .iter()
        .flat_map(|(query, template)| mistakes(query, template, &metrics))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for variable in list(&dashboard()["templating"]["list"]) {
        let query = text(&variable["definition"]);
        let named = selectors(query);
        assert!(
            named.iter().all(|(name, _)| metrics.contains_key(name)) && !named.is_empty(),
            "{query}"
        );
    }
}

#[test]
fn alerts_have_a_severity_and_a_summary() {
    for group in list(&yaml("prometheus/alerts.yml")["groups"]) {
        for rule in list(&group["rules"]) {
            assert!(
                ["warning", "critical"].contains(&text(&rule["labels"]["severity"])),
                "{rule}"
            );
            assert!(!text(&rule["annotations"]["summary"]).is_empty(), "{rule}");
        }
    }
}

#[test]
fn promtool_accepts_configuration_rules_and_queries_and_the_alerts_fire() {
    if Command::new("promtool").arg("--version").output().is_err() {
        let why = "it is in Debian's package prometheus";
        return skip("PROMTOOL_REQUIRED", "there is no promtool", why);
    }
    let sandbox = Sandbox::new();
    let rules: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(i, (query, _))| {
            let query = query
                .replace("$__rate_interval", "1m")
                .replace("$instance", ".*")
                .replace("$model", ".*");
            json!({"record": format!("query:{i}"), "expr": query})
        })
        .collect();
    // JSON is YAML.
    let dashboard = sandbox.folder().join("dashboard.yml");
    fs::write(
        &dashboard,
        json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string(),
    )
    .unwrap();
    for (command, file) in [
        (["check", "config"], docker("prometheus/prometheus.yml")),
        (["check", "rules"], docker("prometheus/alerts.yml")),
        (["test", "rules"], docker("prometheus/alerts_test.yml")),
        (["check", "rules"], dashboard),
    ] {
        let output = Command::new("promtool")
            .args(command)
            .arg(&file)
            .output()
            .unwrap();
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{}: {told}", file.display());
    }
}
