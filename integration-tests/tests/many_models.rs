//! A node with 60 models on two cores: every pair is answered, cold, warm and in turn, and the idle node costs next to nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Cluster, Kafka, ProcessNode, Sandbox, Settings, free_address, http::HttpClient,
    processes::processor_time_of, repository,
};
use serde_json::json;

/// Languages with a model from and to English each.
const LANGUAGES: [&str; 30] = [
    "af", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "eo", "es", "et",
    "eu", "fa", "fi", "fr", "ga", "gl", "gu", "he", "hi", "hr", "hu", "id", "is", "it",
];

fn pairs() -> Vec<(&'static str, &'static str)> {
    let from = LANGUAGES.iter().map(|other| ("en", *other));
    let to = LANGUAGES.iter().map(|other| (*other, "en"));
    from.chain(to).collect()
}

/// The demo model under other names and languages: what it says in them does not matter here.
fn models(folder: &Path) -> PathBuf {
    let demo = repository().join("models/demo-en-fr-de");
    let manifest = fs::read_to_string(demo.join("model.toml")).unwrap();
    // Its vocabulary has no word for other targets.
    let manifest: String = manifest
        .lines()
        .filter(|line| !line.starts_with("language_token"))
        .map(|line| format!("{line}\n"))
        .collect();
    let models = folder.join("models");
    for (source, target) in pairs() {
        let own = models.join(format!("{source}-{target}"));
        fs::create_dir_all(&own).unwrap();
        let (before, rest) = manifest.split_once("target_languages = [").unwrap();
        let (_, after) = rest.split_once(']').unwrap();
        let manifest = format!("{before}target_languages = [\"{target}\"]{after}")
            .replace(
                "id = \"demo-en-fr-de\"",
                &format!("id = \"{source}-{target}\""),
            )
            .replace(
                "source_languages = [\"en\"]",
                &format!("source_languages = [\"{source}\"]"),
            );
        fs::write(own.join("model.toml"), manifest).unwrap();
        for file in [
            "config.json",
            "model.safetensors",
            "source.spm",
            "vocab.json",
        ] {
            symlink(demo.join(file), own.join(file)).unwrap();
        }
    }
    models
}

fn settings(sandbox: &Sandbox) -> (Settings, HttpClient) {
    let address = free_address();
    let models = models(sandbox.folder());
    let settings = sandbox
        .node()
        .set(
            "models.directories",
            format_args!("[{:?}]", models.display().to_string()),
        )
        .set("models.load", "[]")
        // The default of a node with more models than cores.
        .set("pool.min_actors", 0)
        .set("kafka.partitions", 1)
        .set("limits.cores", 2)
        .set("http.listen", format_args!("\"{address}\""));
    (settings, HttpClient(address))
}

/// Asks for a pair; how long it took.
fn ask(http: &HttpClient, (source, target): (&str, &str), text: &str) -> Duration {
    let begun = Instant::now();
    let answer = http.post(
        "/translate",
        &json!({"q": text, "source": source, "target": target}),
    );
    assert_eq!(answer.status, 200, "{source}-{target}: {}", answer.body);
    begun.elapsed()
}

/// The 50th and 95th of a hundred.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

#[test]
fn all_pairs_of_sixty_models_are_answered_on_two_cores() {
    let sandbox = Sandbox::new();
    let (settings, http) = settings(&sandbox);
    let settings = settings.set("engine.kind", "ctranslate2");
    let node = ProcessNode::start(&sandbox, &settings);
    let (begun, engines) = (Instant::now(), node.engines().len());
    assert!(
        engines <= 2,
        "{engines} engines run before anybody has asked"
    );
    for (round, text) in ["Good night!", "Thank you.", "See you soon."]
        .into_iter()
        .enumerate()
    {
        let times = pairs()
            .into_iter()
            .map(|pair| ask(&http, pair, text))
            .collect();
        let (median, p95) = percentiles(times);
        let which = ["cold", "warm", "warm"][round];
        println!(
            "60 models on two cores, one after another, {which}: median {median:?}, p95 {p95:?}"
        );
    }
    // All at once, in the other order.
    thread::scope(|scope| {
        for pair in pairs().into_iter().rev() {
            let http = &http;
            scope.spawn(move || ask(http, pair, "All at once."));
        }
    });
    println!("240 answers in {:?}", begun.elapsed());
    assert!(!node.log().contains("panicked"));
}

#[test]
fn an_idle_node_with_sixty_models_costs_next_to_nothing() {
    const LOOK: Duration = Duration::from_secs(15);
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let (settings, _) = settings(&sandbox);
    let settings = kafka.node(settings).set("kafka.partitions", 1);
    let node = ProcessNode::start(&sandbox, &settings);
    // Partitions are given out, and topics have been looked at.
    thread::sleep(Duration::from_secs(10));
    let spent = || processor_time_of(node.pid()).unwrap();
    let (before, begun) = (spent(), Instant::now());
    thread::sleep(LOOK);
    let share = (spent() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "an idle node with 60 models takes {:.2} % of a core",
        share * 100.0
    );
    // A thread that spins would take a whole core.
    assert!(share < 0.04, "{:.2} % of a core", share * 100.0);
}
