//! Failover: work of a failing model goes to another model of the pair, or to another node.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use babelmesh_actors::events::Event;
use babelmesh_integration_tests::{
    Backend, Kafka, LocalNode, MachineLock, PATIENCE, ProcessNode, Sandbox, Settings,
    faults::{FAIL_LOAD, UNLOADABLE},
    free_address, processes, request, wait_until,
};
use rustix::process::Signal;
use serde_json::json;

/// Two models for the same pairs, of one tier.
fn twins(sandbox: &Sandbox, settings: Settings) -> Settings {
    let first = sandbox.model("models", "first", &["en"], &["fr", "de"]);
    let second = sandbox.model("models", "second", &["en"], &["fr", "de"]);
    assert_eq!(first, second);
    let edge = free_address();
    settings
        .set("models.directories", second)
        .set("models.load", r#"["first", "second"]"#)
        .set("http.listen", format_args!("\"{edge}\""))
        .set("pool.restart_initial_backoff_ms", 20)
        .set("pool.restart_max_backoff_ms", 200)
        .actors(1)
}

/// Texts that the model of this id has translated.
fn translated(node: &LocalNode, model: &str) -> u64 {
    let pools = node.status().pools;
    let pool = pools.iter().find(|pool| pool.model_id == model).unwrap();
    pool.translated
}

#[test]
fn each_of_two_idle_models_of_one_pair_is_probed_for_itself() {
    let sandbox = Sandbox::new();
    let node = LocalNode::start(&twins(&sandbox, sandbox.node()));
    wait_until("both are probed", PATIENCE, || {
        translated(&node, "first") > 0 && translated(&node, "second") > 0
    });
    let ready = node.http().get("/ready");
    assert_eq!(ready.status, 200, "{}", ready.body);
}

/// Asks at the three doors of a node, and returns by which models the texts were translated.
fn ask_everywhere(node: &LocalNode, backend: &mut Backend, round: &str) -> BTreeSet<String> {
    let mut models = BTreeSet::new();
    for number in 0..20 {
        let id = format!("{round}-{number}");
        backend.ask(&request(&id, &format!("Text {id}."), &["fr", "de"], "c"));
    }
    for target in ["fr", "de"] {
        let body = json!({"text": format!("Text {round}."), "source_language": "en", "target_language": target});
        let asked = Instant::now();
        let answer = node.http().post("/translate", &body);
        assert_eq!(answer.status, 200, "{round}: {}", answer.body);
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{round}: {:?}",
            asked.elapsed()
        );
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        if answer.result.message_id.starts_with(round) {
            assert_eq!(answer.error(), "", "{round}: {:?}", answer.result);
            models.insert(answer.result.model_id.clone());
        }
    }
    models
}

#[test]
fn the_work_of_a_model_whose_engine_cannot_start_goes_to_the_other_one_of_the_pair() {
    let sandbox = Sandbox::new();
    let fail = sandbox.faulty_engines().join(FAIL_LOAD);
    let node = LocalNode::start(&twins(&sandbox, sandbox.faulty_node()));
    let mut backend = node.backend();
    let both = ask_everywhere(&node, &mut backend, "before");
    assert_eq!(both, BTreeSet::from(["first".to_owned()]));
    // As when its files are gone: the engine that runs dies, and no other one can load.
    fs::write(&fail, "first").unwrap();
    let status = node.status();
    let pool = status.pools.iter().find(|p| p.model_id == "first").unwrap();
    let pid = pool.actors[0].pid.unwrap();
    processes::signal(pid, Signal::KILL);
    let asked = Instant::now();
    let during = ask_everywhere(&node, &mut backend, "during");
    let took = asked.elapsed();
    assert!(during.contains("second"), "{during:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let broken =
        |event: &Event| matches!(event, Event::PoolBroken { pool, .. } if **pool == *"first");
    assert_eq!(node.events().count(broken), 1);
    let after = ask_everywhere(&node, &mut backend, "after");
    assert_eq!(after, BTreeSet::from(["second".to_owned()]));
    let missing = node.http().get("/ready").body;
    assert!(
        missing.contains("first") && !missing.contains("second"),
        "{missing}"
    );
    fs::remove_file(&fail).unwrap();
    let restored =
        |event: &Event| matches!(event, Event::PoolRestored { pool } if **pool == *"first");
    wait_until("it works again", PATIENCE, || {
        node.events().count(restored) == 1
    });
    let healed = ask_everywhere(&node, &mut backend, "healed");
    assert_eq!(healed, BTreeSet::from(["first".to_owned()]));
    assert!(backend.letters(0, Duration::from_secs(5)).is_empty());
}

/// Messages into French, under ids that begin with a word.
fn ask_some(backend: &mut Backend, word: &str) {
    for number in 0..40 {
        let (id, conversation) = (format!("{word}-{number}"), format!("c{number}"));
        backend.ask(&request(&id, "Good morning.", &["fr"], &conversation));
    }
    backend.flush();
}

#[test]
fn a_node_whose_only_model_cannot_be_loaded_leaves_its_language_to_other_nodes() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let mark = sandbox.faulty_engines().join(UNLOADABLE);
    fs::write(&mark, "").unwrap();
    let settings = kafka.node(sandbox.faulty_node()).actors(1);
    let settings = settings
        .set("http.listen", "127.0.0.1:0")
        .set("pool.restart_initial_backoff_ms", 20)
        .set("pool.restart_max_backoff_ms", 200);
    let broken = LocalNode::start_cold(&settings);
    wait_until("its model is broken", PATIENCE, || {
        broken.status().pools[0].broken
    });
    wait_until("it reads no jobs", PATIENCE, || {
        let status = broken.status();
        status.requests.partitions > 0 && status.jobs.partitions == 0
    });
    assert_eq!(broken.http().get("/ready").status, 503);
    let mut backend = kafka.backend();
    ask_some(&mut backend, "alone");
    assert!(
        !backend.read_until(Duration::from_secs(3), |ids| ids.answered() > 0),
        "they wait for a node that can translate them"
    );
    let healthy = ProcessNode::start(&sandbox, &kafka.node(sandbox.node()));
    ask_some(&mut backend, "beside");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    for answer in backend.ids.all() {
        let by = (answer.error(), answer.result.node.as_str());
        assert_eq!(by, ("", healthy.name().as_str()), "{:?}", answer.result);
    }
    // Once its model can be loaded, it takes its part again.
    fs::remove_file(&mark).unwrap();
    wait_until("it reads jobs again", PATIENCE, || {
        broken.status().jobs.partitions > 0
    });
    wait_until("it is ready", PATIENCE, || {
        broken.http().get("/ready").status == 200
    });
    ask_some(&mut backend, "healed");
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
}
