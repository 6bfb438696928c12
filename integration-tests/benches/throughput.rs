//! Overhead of a node: sentences a second of the engine alone, fed perfect batches, against the whole way through the
//! embedded broker, in turn in one run; and messages a second of the whole way with an engine that costs nothing.
//!
//! `cargo bench -p babelmesh-integration-tests --bench throughput` after `make build`.
#![allow(clippy::print_stdout, reason = "a benchmark's report")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use babelmesh::{
    config::{self, Config},
    load::{self, LoadReport, Pace, Phase, Plan},
    node::Node,
};
use babelmesh_actors::engine::{
    Device, Engine, EngineBatch, LoadRequest, Precision, ProcessEngine, ProcessSpec, Segment,
    Spellings,
};
use babelmesh_models::{EngineKind, Model, forms};

/// Segments of a perfect batch, as in a pool's default budget.
const BATCH: usize = 64;
/// Messages of a run with the model, each to two languages.
const MESSAGES: u64 = 6_000;
/// Messages of a run with the fake, each to one language.
const FAKE_MESSAGES: u64 = 300_000;
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    // `cargo test` runs benchmarks too, to see that they still build.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let alone = runtime.block_on(engines_alone())?;
        let report = runtime.block_on(through_a_node(
            &[("pool.min_actors", &cores().to_string())],
            model_plan(),
        ))?;
        let whole = report.answers_per_second;
        ratios.push(whole / alone);
        println!(
            "round {round}: engines alone {alone:.0} sentences/s, whole way {whole:.0}/s: {:.0} % (mean batch {:.1})",
            100.0 * whole / alone,
            report.mean_batch
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median: {:.0} % of the engine's own throughput",
        100.0 * ratios[ROUNDS / 2]
    );
    for _ in 0..ROUNDS {
        let fake = [("engine.kind", "fake"), ("pool.min_actors", "2")];
        let report = runtime.block_on(through_a_node(&fake, fake_plan()))?;
        println!(
            "fake engine, whole way: {:.0} messages/s, lost {}",
            report.answers_per_second, report.lost
        );
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One engine process for each core, each with its share of the sentences, sorted by length and cut into full batches.
async fn engines_alone() -> Result<f64> {
    let model = Model::open(&root().join("models/demo-en-fr-de"))?;
    let cache = std::env::temp_dir().join("babelmesh-bench");
    let form = forms::prepare(&model, EngineKind::Ctranslate2, &cache)?.directory;
    let texts = load::everyday();
    let mut segments: Vec<Segment> = (0..MESSAGES)
        .flat_map(|i| {
            let text = &texts[(i % texts.len() as u64) as usize];
            ["fr", "de"].map(|to| Segment {
                text: text.clone(),
                source: "en".into(),
                target: to.into(),
                align: false,
                alternatives: 0,
            })
        })
        .collect();
    let total = segments.len();
    segments.sort_by_key(|segment| segment.text.len());
    let mut batches: Vec<Vec<Vec<Segment>>> = vec![Vec::new(); cores()];
    for (i, batch) in segments.chunks(BATCH).enumerate() {
        batches[i % cores()].push(batch.to_vec());
    }
    let mut engines = Vec::new();
    for share in batches {
        let mut engine = ProcessEngine::new(spec(&form)?);
        engine.load().await?;
        // The first batch warms up.
        engine
            .translate(EngineBatch {
                segments: share[0].clone(),
                tokens: 2_000,
                span: None,
            })
            .await?;
        engines.push((engine, share));
    }
    let started = Instant::now();
    let running = engines.into_iter().map(|(mut engine, share)| {
        tokio::spawn(async move {
            for segments in share {
                engine
                    .translate(EngineBatch {
                        segments,
                        tokens: 2_000,
                        span: None,
                    })
                    .await?;
            }
            anyhow::Ok(())
        })
    });
    for task in running.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

fn spec(form: &Path) -> Result<ProcessSpec> {
    let own = std::env::current_exe()?;
    let folder = own
        .parent()
        .and_then(Path::parent)
        .context("finding the engine")?;
    Ok(ProcessSpec {
        program: folder.join(EngineKind::Ctranslate2.executable()),
        load: LoadRequest {
            directory: form.to_string_lossy().into_owned(),
            precision: Precision::Auto,
            device: Device::Cpu,
            threads: 1,
            beam_size: 1,
            max_input_tokens: 256,
            max_output_tokens: 256,
        },
        spellings: Spellings::default(),
        load_timeout: Duration::from_secs(60),
        batch_timeout: Duration::from_secs(60),
        timeout_per_token: Duration::ZERO,
        memory_limit: u64::MAX / 4,
        on_line: Arc::new(|_| {}),
    })
}

fn model_plan() -> Plan {
    plan(MESSAGES, &["fr", "de"], 2_000)
}

fn fake_plan() -> Plan {
    plan(FAKE_MESSAGES, &["fr"], 8_000)
}

fn plan(messages: u64, targets: &[&str], in_flight: u64) -> Plan {
    Plan {
        texts: load::Texts::repeated(load::everyday()),
        source: "en".to_owned(),
        targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        phases: vec![Phase {
            messages,
            pace: Pace::InFlight(in_flight),
        }],
        conversations: 1_000,
        bulk: 0.0,
        max_in_flight: in_flight,
        patience: Duration::from_secs(30),
    }
}

async fn through_a_node(sets: &[(&str, &str)], plan: Plan) -> Result<LoadReport> {
    let models = root().join("models");
    let folder = format!("[{:?}]", models.to_string_lossy());
    let base = [
        ("node.name", "throughput"),
        ("kafka.bootstrap_servers", "embedded"),
        ("models.directories", folder.as_str()),
    ];
    let sets: Vec<_> = base
        .iter()
        .chain(sets)
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let config: Config = config::load(None, &[], [], &sets)?;
    let node = Node::start(&config, Arc::new(())).await?;
    node.ready(Duration::from_secs(60)).await?;
    let (clients, topics) = (node.clients().clone(), config.kafka.topics.clone());
    let report = tokio::task::spawn_blocking(move || {
        load::run(&clients, &topics, &plan, &|| false, &mut |_| {})
    })
    .await??;
    node.drain().await;
    anyhow::ensure!(
        report.is_success(),
        "lost {}, duplicates {}",
        report.lost,
        report.duplicates
    );
    Ok(report)
}
