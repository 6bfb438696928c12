//! A node with many models: time to start, memory and processor time while idle, the first translation of each pair, and all pairs in random
//! order at a fixed rate. Latency counts from the moment a request was due.
//!
//! The models are copies of the real model from English to Portuguese under other names and languages, each with files of its own.
//!
//! `cargo bench -p babelmesh-integration-tests --bench many_models` after `make build`; `-- MODELS RATE SECONDS` for others than 100 models, 20
//! requests a second and 60 s.
#![allow(clippy::print_stdout, reason = "a benchmark's report")]

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use babelmesh::load::everyday;
use babelmesh_integration_tests::{
    Cluster, Kafka, ProcessNode, Sandbox,
    http::HttpClient,
    processes::{memory_of, processor_time_of},
    real_models::{self, EN_PT},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

/// Languages whose pairs have a model each.
const LANGUAGES: [&str; 16] = [
    "af", "ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hu", "it", "nl",
];
/// Requests that can be under way at once.
const CLIENTS: usize = 64;
/// How long the idle node is watched.
const IDLE: Duration = Duration::from_secs(20);
const SEED: u64 = 13;

type Pair = (&'static str, &'static str);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs benchmarks too, to see that they still build.
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    let mut numbers = arguments.iter().filter_map(|a| a.parse::<f64>().ok());
    let mut number = |default| numbers.next().unwrap_or(default);
    let (models, rate, seconds) = (number(100.0) as usize, number(20.0), number(60.0));
    let Some(real) = real_models::imported() else {
        return Ok(());
    };
    let mut pairs = pairs();
    ensure!(models <= pairs.len(), "at most {} models", pairs.len());
    pairs.truncate(models);
    let sandbox = Sandbox::new();
    let folder = copies(&real.join(EN_PT), &sandbox.folder().join("models"), &pairs)?;
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    // The embedded broker would count as the node's own work.
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return Ok(());
    };
    let settings = kafka
        .node(sandbox.node())
        .of_the_machine()
        .set("kafka.partitions", 1)
        .set(
            "models.directories",
            format_args!("[{:?}]", folder.display().to_string()),
        )
        .set("models.load", "[]")
        // The default of a node with more models than cores.
        .set("pool.min_actors", 0)
        .set("http.requests_per_minute", 0)
        .set("http.listen", format_args!("\"{at}\""));

    // The first start verifies the files, and forms are derived where an engine needs them.
    for start in ["first start", "start"] {
        let begun = Instant::now();
        let mut node = ProcessNode::start_cold(&sandbox, &settings);
        let first = first_translation(at, pairs[0])?;
        node.wait_ready();
        println!(
            "{start}, {models} models: the first translation over HTTP after {:.2} s, ready after {:.2} s",
            first.duration_since(begun).as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        if start == "start" {
            measure(&node, at, &mut pairs, rate, seconds)?;
        }
    }
    Ok(())
}

fn measure(
    node: &ProcessNode,
    at: SocketAddr,
    pairs: &mut [Pair],
    rate: f64,
    seconds: f64,
) -> Result<()> {
    thread::sleep(Duration::from_secs(5));
    let spent = || processor_time_of(node.pid()).context("the node is gone");
    let (before, begun) = (spent()?, Instant::now());
    thread::sleep(IDLE);
    let spent = spent()? - before;
    println!(
        "idle: {:.2} % of a core, {} MiB, {} engines",
        spent.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0,
        mebibytes(node.pid())?,
        node.engines().len(),
    );
    pairs.shuffle(&mut StdRng::seed_from_u64(SEED));
    for round in ["cold", "again"] {
        let times = pairs.iter().map(|pair| {
            let begun = Instant::now();
            ensure!(
                ask(at, *pair, "Where is the train station?") == 200,
                "{pair:?}"
            );
            Ok(begun.elapsed())
        });
        println!(
            "each pair, {round}: {}",
            report(times.collect::<Result<_>>()?)
        );
    }
    let (latencies, failed) = run(at, pairs, rate, seconds);
    println!(
        "{rate:.0} requests/s for {seconds:.0} s, pairs in random order: {} answered, {failed} failed; {}",
        latencies.len(),
        report(latencies),
    );
    let engines: Result<Vec<u64>> = node.engines().into_iter().map(mebibytes).collect();
    let engines = engines?;
    println!(
        "afterwards: node {} MiB, {} engines with {} MiB",
        mebibytes(node.pid())?,
        engines.len(),
        engines.iter().sum::<u64>(),
    );
    Ok(())
}

/// When a pair was translated for the first time.
fn first_translation(at: SocketAddr, pair: Pair) -> Result<Instant> {
    let until = Instant::now() + Duration::from_secs(120);
    while Instant::now() < until {
        let is_there = TcpStream::connect(at).is_ok();
        if is_there && ask(at, pair, "Good morning.") == 200 {
            return Ok(Instant::now());
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("no translation within two minutes")
}

fn mebibytes(pid: u32) -> Result<u64> {
    Ok(memory_of(pid).context("a process is gone")? >> 20)
}

fn pairs() -> Vec<Pair> {
    let to = |source| LANGUAGES.into_iter().map(move |target| (source, target));
    let all = LANGUAGES.into_iter().flat_map(to);
    all.filter(|(source, target)| source != target).collect()
}

/// Copies of a model, one for each pair, with files of their own.
fn copies(model: &Path, into: &Path, pairs: &[Pair]) -> Result<PathBuf> {
    let manifest = fs::read_to_string(model.join("model.toml"))?;
    for (source, target) in pairs {
        let (id, folder) = (
            format!("{source}-{target}"),
            into.join(format!("{source}-{target}")),
        );
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(model)? {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        let own = manifest
            .replace(&format!("id = {EN_PT:?}"), &format!("id = {id:?}"))
            .replace(
                "source_languages = [\"en\"]",
                &format!("source_languages = [{source:?}]"),
            )
            .replace(
                "target_languages = [\"pt\"]",
                &format!("target_languages = [{target:?}]"),
            );
        fs::write(folder.join("model.toml"), own)?;
    }
    Ok(into.to_owned())
}

fn ask(at: SocketAddr, (source, target): Pair, text: &str) -> u16 {
    let body = json!({"q": text, "source": source, "target": target});
    HttpClient(at).post("/translate", &body).status
}

/// Latencies of the requests that were answered, and the number of those that were not.
fn run(at: SocketAddr, pairs: &[Pair], rate: f64, seconds: f64) -> (Vec<Duration>, usize) {
    let (texts, mut random) = (everyday(), StdRng::seed_from_u64(SEED));
    let requests = (rate * seconds) as usize;
    let order: Vec<Pair> = (0..requests)
        .map(|_| pairs[random.random_range(0..pairs.len())])
        .collect();
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let client = || {
        let (mut latencies, mut failed) = (Vec::new(), 0);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(pair) = order.get(number) else {
                return (latencies, failed);
            };
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match ask(at, *pair, &texts[number % texts.len()]) {
                200 => latencies.push(due.elapsed()),
                _ => failed += 1,
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let told = clients.into_iter().filter_map(|client| client.join().ok());
        told.fold((Vec::new(), 0), |(mut all, failed), (latencies, more)| {
            all.extend(latencies);
            (all, failed + more)
        })
    })
}

fn report(mut latencies: Vec<Duration>) -> String {
    latencies.sort_unstable();
    let quantile = |q: f64| {
        let index = (latencies.len() as f64 * q) as usize;
        let latency = latencies.get(index.min(latencies.len().saturating_sub(1)));
        latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    format!(
        "p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, most {:.0} ms",
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        quantile(1.0),
    )
}
