//! The metrics page is what Prometheus' own checks want: `promtool` where it is installed, the same rules by hand everywhere.

mod sample;

use std::{
    collections::{HashMap, HashSet},
    io::Write,
    process::{Command, Stdio},
};

use sample::node;

use super::Format;
use crate::status::{ClusterView, MemberState, MemberView};

fn page(format: Format) -> String {
    let (telemetry, status) = node();
    let member = |node: &str, state| MemberView {
        node: node.to_owned(),
        address: "secret-address:7700".to_owned(),
        incarnation: 1,
        state,
        linked: state == MemberState::Alive,
        since_ms: 1,
        report: None,
    };
    let members = vec![
        member("node-1", MemberState::Own),
        member("node-2", MemberState::Alive),
        member("node-3", MemberState::Down),
    ];
    let view = ClusterView::new("node-1".to_owned(), members);
    telemetry.render(&status, Some(&view), true, format)
}

fn value(page: &str, sample: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("{sample} is not in:\n{page}"));
    line.parse().unwrap()
}

#[test]
fn events_and_status_are_counted_where_a_dashboard_looks_for_them() {
    let page = page(Format::Prometheus);
    let job = "model=\"m\",lane=\"interactive\",language=\"fr\"";
    for (sample, expected) in [
        (
            format!("babelmesh_jobs_total{{{job},outcome=\"translated\"}}"),
            3.0,
        ),
        (
            format!("babelmesh_jobs_total{{{job},outcome=\"poison_text\"}}"),
            1.0,
        ),
        (format!("babelmesh_job_queue_seconds_count{{{job}}}"), 3.0),
        (
            "babelmesh_text_sentences_total{model=\"m\",way=\"cut\"}".to_owned(),
            2.0,
        ),
        (
            "babelmesh_text_checks_failed_total{model=\"m\",flag=\"token\"}".to_owned(),
            2.0,
        ),
        (
            "babelmesh_text_tokens_lost_total{model=\"m\",kind=\"mention\"}".to_owned(),
            2.0,
        ),
        (
            "babelmesh_accepted_jobs_total{lane=\"any\"}".to_owned(),
            7.0,
        ),
        (
            "babelmesh_retried_jobs_total{code=\"model_unavailable\"}".to_owned(),
            4.0,
        ),
        (
            "babelmesh_dead_letters_total{source=\"jobs\",code=\"text_too_long\"}".to_owned(),
            2.0,
        ),
        (
            "babelmesh_source_oldest_age_seconds{source=\"requests\"}".to_owned(),
            1.5,
        ),
        (
            "babelmesh_source_paused{source=\"requests\"}".to_owned(),
            1.0,
        ),
        (
            "babelmesh_source_lag_records{source=\"jobs\",topic=\"translation.requests\"}"
                .to_owned(),
            9.0,
        ),
        (
            "babelmesh_pool_actors{model=\"m\",phase=\"busy\"}".to_owned(),
            1.0,
        ),
        (
            "babelmesh_scaling_decisions_total{model=\"m\",direction=\"up\",reason=\"idle\"}"
                .to_owned(),
            1.0,
        ),
        (
            "babelmesh_scaling_unmet_actors{model=\"m\"}".to_owned(),
            1.0,
        ),
        (
            "babelmesh_pieces_total{model=\"m\",source=\"shared\"}".to_owned(),
            5.0,
        ),
        ("babelmesh_glossaries".to_owned(), 3.0),
        ("babelmesh_glossaries_read".to_owned(), 1.0),
        ("babelmesh_cache_entries".to_owned(), 12.0),
        ("babelmesh_cache_shared_reachable".to_owned(), 1.0),
        ("babelmesh_cluster_members{state=\"down\"}".to_owned(), 1.0),
        ("babelmesh_lent_batches_total{model=\"m\"}".to_owned(), 3.0),
        ("babelmesh_cluster_links".to_owned(), 1.0),
        (
            "babelmesh_cache_shared_lookups_total{outcome=\"missed\"}".to_owned(),
            3.0,
        ),
        (
            "babelmesh_cache_shared_writes_total{outcome=\"dropped\"}".to_owned(),
            2.0,
        ),
        (
            "babelmesh_http_requests_total{route=\"translate\",status=\"200\"}".to_owned(),
            1.0,
        ),
    ] {
        assert!((value(&page, &sample) - expected).abs() < 1e-9, "{sample}");
    }
    assert!((value(&page, "babelmesh_node_ready") - 1.0).abs() < 1e-9);
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
    assert!(value(&page, "process_cpu_seconds_total") >= 0.0);
}

#[test]
fn no_text_id_error_or_language_that_a_sender_wrote_is_on_the_page() {
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let page = page(format);
        assert!(!page.contains("secret"), "{page}");
    }
}

/// The rules of `promtool check metrics` and of the text format that concern a page of ours.
#[test]
fn the_page_keeps_the_rules_of_its_format() {
    let page = page(Format::Prometheus);
    let (mut kinds, mut helped, mut samples) = (HashMap::new(), HashSet::new(), HashSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name), "{name} is described twice");
            assert!(!help.is_empty(), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                kinds.insert(name, kind).is_none(),
                "{name} is declared twice"
            );
            let ours = name.starts_with("babelmesh_") || name.starts_with("process_");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(ours && name.chars().all(plain), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            for part in [
                "gauge",
                "counter",
                "histogram",
                "_ms",
                "millisecond",
                "percent",
                "minute",
            ] {
                assert!(!name.contains(part), "{line}");
            }
            for suffix in ["_count", "_sum", "_bucket"] {
                assert!(!name.ends_with(suffix), "{line}");
            }
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(samples.insert(sample), "{sample} is there twice");
        let name = sample.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| {
                let family = name.strip_suffix(suffix)?;
                (kinds.get(family) == Some(&"histogram")).then_some(family)
            })
            .unwrap_or(name);
        assert!(kinds.contains_key(family), "{line} has no type");
        assert!(helped.contains(family), "{line} has no help");
    }
    assert!(kinds.len() > 50, "only {} families", kinds.len());
}

#[test]
fn openmetrics_is_given_to_those_who_ask_for_it() {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    assert_eq!(Format::wanted_by(accept), Format::OpenMetrics);
    assert_eq!(Format::wanted_by("text/html"), Format::Prometheus);
    let page = page(Format::OpenMetrics);
    assert!(page.ends_with("# EOF\n"));
    assert!(page.contains("# TYPE babelmesh_jobs counter\n"));
    assert!(page.contains("\nbabelmesh_jobs_total{"));
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        let required = std::env::var_os("PROMTOOL_REQUIRED").is_some_and(|value| value == "1");
        assert!(
            !required,
            "PROMTOOL_REQUIRED is 1, but promtool is not there"
        );
        // Past the capture of what tests print.
        let _ = std::io::stderr().write_all(
            b"SKIPPED: promtool is not installed (Debian's package prometheus has it)\n",
        );
        return;
    };
    let page = page(Format::Prometheus);
    let mut input = child.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && told.is_empty(), "{told}");
}
