//! Nodes with broken models, engines or environments: startup, reporting and shutdown.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use babelmesh::events::NodeEvent;
use babelmesh_integration_tests::{
    Broker, LocalNode, PATIENCE, ProcessNode, Sandbox, Settings, executables,
    faults::{HANG, UNLOADABLE},
    processes, repository, request, wait_until,
};
use rustix::process::Signal;

/// A node with CTranslate2 and the demo model.
fn real_engine(sandbox: &Sandbox) -> Settings {
    let settings = sandbox.node().actors(1);
    settings
        .set("engine.kind", "ctranslate2")
        .set("engine.directory", executables::folder().display())
        .set("pool.restart_initial_backoff_ms", 20)
        .set("pool.restart_max_backoff_ms", 200)
}

/// The folder with the forms of the demo model.
fn forms(sandbox: &Sandbox) -> PathBuf {
    sandbox.folder().join("cache").join("demo-en-fr-de")
}

/// The weights of the only form.
fn weights(sandbox: &Sandbox) -> PathBuf {
    let entries = fs::read_dir(forms(sandbox)).unwrap();
    let mut found = entries
        .map(|entry| entry.unwrap().path().join("model.bin"))
        .filter(|path| path.is_file());
    found.next().unwrap()
}

fn count(event: &str) -> u64 {
    NodeEvent::counts()
        .find(|(name, _)| *name == event)
        .map_or(0, |(_, count)| count)
}

fn assert_translates(node: &LocalNode) {
    let mut backend = node.backend();
    backend.ask(&request("m", "Good morning.", &["de"], "c"));
    backend.read_all(PATIENCE);
    let translation = backend.ids.of("m", "de").text().to_lowercase();
    assert!(translation.contains("morgen"), "{translation}");
}

#[test]
fn a_form_that_is_damaged_between_two_starts_is_derived_again() {
    let sandbox = Sandbox::new();
    drop(LocalNode::start(&real_engine(&sandbox)));
    assert_eq!(count("form_repaired"), 0);
    let mut content = fs::read(weights(&sandbox)).unwrap();
    content[300_000..500_000].fill(0);
    fs::write(weights(&sandbox), content).unwrap();
    let node = LocalNode::start(&real_engine(&sandbox));
    assert_eq!(count("form_repaired"), 1);
    assert_eq!(node.events().failures(), []);
    assert_translates(&node);
}

#[test]
fn a_form_that_is_damaged_while_a_node_runs_is_derived_again_before_the_next_load() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&real_engine(&sandbox));
    let engine = node.wait_for_strength(1)[0];
    fs::remove_file(weights(&sandbox)).unwrap();
    processes::signal(engine, Signal::KILL);
    wait_until("the engine is dead", PATIENCE, || {
        !processes::is_alive(engine)
    });
    assert_translates(&node);
    assert_eq!(count("form_repaired"), 1);
    assert_ne!(node.wait_for_strength(1)[0], engine);
}

#[test]
fn a_form_that_does_not_load_is_read_whole_and_derived_again() {
    let sandbox = Sandbox::new();
    drop(LocalNode::start(&real_engine(&sandbox)));
    let path = weights(&sandbox);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100_000)
        .unwrap();
    // The memo of verified files says that the file has not changed, as one on a file system with coarse times could.
    let memo = forms(&sandbox).join(".verified.json");
    let mut known: serde_json::Value = serde_json::from_slice(&fs::read(&memo).unwrap()).unwrap();
    let found = fs::metadata(&path).unwrap();
    known[path.to_str().unwrap()]["stamp"] = serde_json::json!({
        "device": found.dev(),
        "inode": found.ino(),
        "bytes": found.len(),
        "modified": [found.mtime(), found.mtime_nsec()],
        "status_changed": [found.ctime(), found.ctime_nsec()],
    });
    fs::write(&memo, known.to_string()).unwrap();
    let node = LocalNode::start(&real_engine(&sandbox));
    assert_eq!(count("form_repaired"), 1);
    assert_translates(&node);
}

/// A folder below the sandbox's models with the demo model under another id.
fn copy_demo(sandbox: &Sandbox, folder: &str, id: &str) -> PathBuf {
    let (from, to) = (
        repository().join("models/demo-en-fr-de"),
        sandbox.folder().join("models").join(folder),
    );
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let manifest = fs::read_to_string(to.join("model.toml")).unwrap();
    let manifest = manifest.replace("id = \"demo-en-fr-de\"", &format!("id = {id:?}"));
    fs::write(to.join("model.toml"), manifest).unwrap();
    to
}

/// The same node, with every model in the sandbox's own folder.
fn own_models(sandbox: &Sandbox, settings: Settings) -> Settings {
    let folder = sandbox.folder().join("models").display().to_string();
    settings
        .set("models.directories", format_args!("[{folder:?}]"))
        .set("models.load", "[]")
}

#[test]
fn broken_models_are_reported_and_the_rest_is_served() {
    let sandbox = Sandbox::new();
    copy_demo(&sandbox, "good", "good");
    copy_demo(&sandbox, "later", "good");
    let damaged = copy_demo(&sandbox, "damaged", "damaged");
    fs::write(damaged.join("vocab.json"), "{}").unwrap();
    let unreadable = copy_demo(&sandbox, "unreadable", "unreadable");
    fs::write(unreadable.join("model.toml"), "id = ").unwrap();
    let settings = own_models(&sandbox, real_engine(&sandbox)).set("http.listen", "127.0.0.1:0");
    let node = LocalNode::start(&settings);
    assert_translates(&node);
    let broken = node.status().broken_models;
    let named: Vec<_> = broken.iter().map(|b| b.model.as_str()).collect();
    // The second of two models with one id is not served either.
    assert_eq!(named, ["good", "unreadable", "damaged"]);
    assert!(broken[0].error.contains("used twice"), "{broken:?}");
    assert!(broken[1].error.contains("not valid TOML"), "{broken:?}");
    assert!(broken[2].error.contains("vocab.json"), "{broken:?}");
    assert_eq!(count("model_broken"), 3);

    wait_until("the node is ready", PATIENCE, || {
        node.http().get("/ready").status == 200
    });
    let ready = node.http().get("/ready").json();
    assert_eq!(ready["broken"], serde_json::json!(named), "{ready}");
    let told = node.http().get("/status").json().to_string();
    assert!(!told.contains("vocab.json"), "clients see paths: {told}");
    let metrics = node.http().get("/metrics").body;
    assert!(metrics.contains("babelmesh_models_broken 3"), "{metrics}");
}

#[test]
fn a_node_without_any_usable_model_ends_and_names_each() {
    let sandbox = Sandbox::new();
    for folder in ["one", "two"] {
        let model = copy_demo(&sandbox, folder, folder);
        fs::write(model.join("model.toml"), "id = ").unwrap();
    }
    let settings = own_models(&sandbox, sandbox.node());
    let mut command = sandbox.command();
    command.arg("node");
    for (key, value) in settings.pairs() {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let error = String::from_utf8_lossy(&ended.stderr).into_owned();
    for folder in ["one/model.toml", "two/model.toml"] {
        assert!(error.contains(folder), "{error}");
    }
}

/// Asks a node whose only model cannot be loaded: the answer is an error, and comes at once.
fn assert_unrecoverable(node: &LocalNode, reason: &str) {
    let mut backend = node.backend();
    let started = Instant::now();
    for message in 0..20 {
        let id = format!("m{message}");
        backend.ask(&request(&id, "Good morning.", &["de"], "c"));
    }
    backend.read_all(PATIENCE);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(backend.ids.all().all(|a| a.error() == "model_unavailable"));
    let status = node.status();
    assert!(status.pools[0].broken, "{status:?}");
    let error = &status.broken_models[0].error;
    assert!(error.contains(reason), "{error}");
    assert_eq!(node.http().get("/ready").status, 503);
}

#[test]
fn an_engine_that_never_loads_is_answered_for_at_once() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.faulty_engines().join(UNLOADABLE), "").unwrap();
    let settings = sandbox.faulty_node().set("http.listen", "127.0.0.1:0");
    let node = LocalNode::start_cold(&settings);
    assert_unrecoverable(&node, "the faulty engine was told to fail");
    assert!(
        node.events().failures().len() < 3,
        "it starts again and again"
    );
}

#[test]
fn a_device_that_does_not_exist_is_answered_for_at_once() {
    let sandbox = Sandbox::new();
    let settings = real_engine(&sandbox)
        .set("engine.device", "cuda:7")
        .set("pool.restart_max_backoff_ms", 30_000)
        .set("http.listen", "127.0.0.1:0");
    let node = LocalNode::start_cold(&settings);
    assert_unrecoverable(&node, "CUDA");
}

#[test]
fn a_node_whose_engine_hangs_and_whose_broker_is_gone_ends_within_its_budget() {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    let settings = broker
        .node(sandbox.faulty_node().actors(1))
        .set("engine.batch_timeout_ms", 600_000)
        .set("node.drain_timeout_ms", 2_000)
        .set("node.shutdown_timeout_ms", 6_000);
    let mut node = ProcessNode::start(&sandbox, &settings);
    let mut backend = broker.backend();
    backend.ask(&request("m", HANG, &["fr"], "c"));
    backend.flush();
    wait_until("an actor is busy", PATIENCE, || {
        node.status().pools[0].jobs > 0
    });
    let engines = node.engines();
    assert_eq!(engines.len(), 1);
    drop(backend);
    drop(broker);
    let told = Instant::now();
    node.signal(Signal::TERM);
    let status = node.wait(PATIENCE);
    let took = told.elapsed();
    // Its budget, and what a busy machine adds.
    assert!(took < Duration::from_secs(9), "{took:?}: {}", node.log());
    assert_eq!(status.code(), Some(0), "{}", node.log());
    wait_until("the engine is dead", Duration::from_secs(2), || {
        engines.iter().all(|engine| !processes::is_alive(*engine))
    });
}
