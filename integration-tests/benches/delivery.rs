//! Cost of exactly once compared with at least once, on a real Apache Kafka broker, in turn in one run: messages a
//! second in a closed loop, and latency at 100 messages a second. Nodes run as processes of their own, as they do in
//! production.
//!
//! `cargo bench -p babelmesh-integration-tests --bench delivery` after `make build`; `-- fake` or `-- model` for one engine only.
#![allow(clippy::print_stdout, reason = "a benchmark's report")]

use std::time::Duration;

use anyhow::{Context, Result};
use babelmesh::load::{self, LoadReport, Pace, Phase, Plan};
use babelmesh_integration_tests::{Cluster, Kafka, ProcessNode, Sandbox};

const ROUNDS: usize = 3;
/// Messages a second of the latency runs.
const RATE: f64 = 100.0;
/// Seconds of each latency run.
const SECONDS: f64 = 20.0;
const DELIVERIES: [&str; 2] = ["at-least-once", "exactly-once"];

/// An engine, and how much work shows what it can do.
struct Case {
    name: &'static str,
    engine: &'static str,
    messages: u64,
    in_flight: u64,
}

const CASES: [Case; 2] = [
    Case {
        name: "fake",
        engine: "fake",
        messages: 300_000,
        in_flight: 40_000,
    },
    Case {
        name: "model",
        engine: "auto",
        messages: 6_000,
        in_flight: 2_000,
    },
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs benchmarks too, to see that they still build.
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return Ok(());
    };
    let wanted = |case: &&Case| {
        let named = CASES.iter().any(|c| arguments.iter().any(|a| a == c.name));
        !named || arguments.iter().any(|argument| argument == case.name)
    };
    for case in CASES.iter().filter(wanted) {
        throughput(&kafka, &sandbox, case)?;
        latency(&kafka, &sandbox, case)?;
    }
    Ok(())
}

fn throughput(kafka: &Kafka, sandbox: &Sandbox, case: &Case) -> Result<()> {
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let mut rates = Vec::new();
        for delivery in DELIVERIES {
            let pace = Pace::InFlight(case.in_flight);
            let report = run(kafka, sandbox, case, delivery, phase(case.messages, pace))?;
            rates.push(report.answers_per_second);
        }
        let ratio = rates[1] / rates[0];
        println!(
            "{}: round {round}: at least once {:.0}/s, exactly once {:.0}/s: {:.0} %",
            case.name,
            rates[0],
            rates[1],
            100.0 * ratio
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{}: median: exactly once has {:.0} % of the throughput of at least once",
        case.name,
        100.0 * ratios[ROUNDS / 2]
    );
    Ok(())
}

fn latency(kafka: &Kafka, sandbox: &Sandbox, case: &Case) -> Result<()> {
    let mut p99 = Vec::new();
    for delivery in DELIVERIES {
        let messages = (RATE * SECONDS) as u64;
        let latency = run(
            kafka,
            sandbox,
            case,
            delivery,
            phase(messages, Pace::Rate(RATE)),
        )?
        .latency_ms;
        println!(
            "{}: {RATE:.0} messages/s, {delivery}: p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, most {:.0} ms",
            case.name, latency.p50, latency.p95, latency.p99, latency.max
        );
        p99.push(latency.p99);
    }
    println!(
        "{}: exactly once adds {:.0} ms at p99",
        case.name,
        p99[1] - p99[0]
    );
    Ok(())
}

const fn phase(messages: u64, pace: Pace) -> Phase {
    Phase { messages, pace }
}

/// One node with one delivery guarantee and topics of its own.
fn run(
    kafka: &Kafka,
    sandbox: &Sandbox,
    case: &Case,
    delivery: &str,
    measured: Phase,
) -> Result<LoadReport> {
    let kafka = kafka.beside();
    kafka.create_topics(4);
    let settings = kafka
        .node(sandbox.node())
        .set("limits.cores", 0)
        .set("limits.memory_mb", 0)
        .set("engine.kind", case.engine)
        .set("kafka.delivery", delivery);
    let mut node = ProcessNode::start(sandbox, &settings);
    // Caches are warm then, and everything is connected.
    let warm_up = phase(case.messages / 20, Pace::InFlight(case.in_flight));
    load(&kafka, warm_up)?;
    let report = load(&kafka, measured).with_context(|| format!("with {delivery}"))?;
    node.signal(rustix::process::Signal::TERM);
    node.wait(Duration::from_secs(40));
    Ok(report)
}

fn load(kafka: &Kafka, phase: Phase) -> Result<LoadReport> {
    let plan = Plan {
        texts: load::Texts::repeated(load::everyday()),
        source: "en".to_owned(),
        targets: vec!["fr".to_owned()],
        phases: vec![phase],
        conversations: 1_000,
        bulk: 0.0,
        max_in_flight: 20_000,
        patience: Duration::from_secs(30),
    };
    let report = load::run(
        &kafka.clients(),
        &kafka.topics(),
        &plan,
        &|| false,
        &mut |_| {},
    )?;
    anyhow::ensure!(
        report.is_success(),
        "lost {}, duplicates {}",
        report.lost,
        report.duplicates
    );
    Ok(report)
}
