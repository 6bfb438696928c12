//! Models that come and go while a node on its embedded broker runs.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use babelmesh::{
    cluster::command::{Action, Command},
    node::ask_command,
};
use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, Traffic, faults::FAIL_LOAD, free_address, http::HttpClient,
};
use serde_json::json;

#[test]
fn a_model_is_served_as_soon_as_it_is_loaded_and_may_come_and_go_quickly() {
    let sandbox = Sandbox::new();
    let (at, edge) = (free_address(), free_address());
    let demo = sandbox.model("models", "demo-en-fr-de", &["en"], &["fr", "de"]);
    let models = sandbox.model("models", "late-es", &["en"], &["es"]);
    assert_eq!(demo, models);
    let settings = sandbox.node().clustered(at, at);
    let settings = settings
        .set("http.listen", format_args!("\"{edge}\""))
        .set("kafka.languages", r#"["fr", "de", "es"]"#)
        .set("models.directories", models);
    let node = ProcessNode::start(&sandbox, &settings);
    let http = HttpClient(edge);
    let command = |number: usize, action: Action| {
        let command = Command {
            id: format!("{number}"),
            node: node.name(),
            action,
        };
        let asked = Instant::now();
        let what = format!("{command:?}");
        let done = ask_command(node.socket(), command);
        println!("{what}: {} ms", asked.elapsed().as_millis());
        done.unwrap_or_else(|error| panic!("{what}: {error:#}\n{}", node.log()));
    };
    let model = || "late-es".to_owned();
    let body = json!({"q": "Good morning.", "source": "en", "target": "es"});
    // While a rebalance is under way, and after it.
    for (round, pause_ms) in [0, 300, 1_000, 2_000, 3_500, 0].into_iter().enumerate() {
        // Right after an unload the cluster may still list the model.
        let before = http.post("/translate", &body);
        assert!([400, 503].contains(&before.status), "{before:?}");
        command(2 * round, Action::Load { model: model() });
        let answer = http.post("/translate", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(http.get("/languages").body.contains("\"es\""));
        thread::sleep(Duration::from_millis(pause_ms));
        command(2 * round + 1, Action::Unload { model: model() });
    }
    // A rebalance that is interrupted takes some twenty seconds on the embedded broker: an unload waits for it.
    let demo = || "demo-en-fr-de".to_owned();
    command(100, Action::Load { model: model() });
    command(101, Action::Unload { model: demo() });
}

#[test]
fn a_model_is_replaced_under_traffic_and_a_version_that_does_not_start_never_takes_over() {
    let sandbox = Sandbox::new();
    let fail = sandbox.faulty_engines().join(FAIL_LOAD);
    let at = free_address();
    let node = ProcessNode::start(&sandbox, &sandbox.faulty_node().clustered(at, at));
    let reload = |number: usize, model: &str| {
        let command = Command {
            id: format!("{number}"),
            node: node.name(),
            action: Action::Reload {
                model: model.to_owned(),
            },
        };
        ask_command(node.socket(), command)
    };
    let engines = || -> Vec<u32> {
        let pools = node.status().pools;
        assert_eq!(pools.len(), 1, "{pools:?}");
        pools[0].actors.iter().filter_map(|a| a.pid).collect()
    };
    let traffic = Traffic::of(100).start(node.backend());
    traffic.flow(Duration::from_secs(2), PATIENCE);
    for number in 0..3 {
        let before = engines();
        let done = reload(number, "demo-en-fr-de");
        let done = done.unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
        assert!(done.outcome.contains("is reloaded"), "{done:?}");
        let after = engines();
        assert!(!after.is_empty() && after.iter().all(|pid| !before.contains(pid)));
        traffic.flow(Duration::from_secs(1), PATIENCE);
    }
    fs::write(&fail, "demo-en-fr-de").unwrap();
    let before = engines();
    let refused = format!("{:#}", reload(3, "demo-en-fr-de").unwrap_err());
    assert!(
        refused.contains("does not start, the old one stays"),
        "{refused}"
    );
    assert!(engines().iter().any(|pid| before.contains(pid)));
    let unknown = format!("{:#}", reload(4, "nothing").unwrap_err());
    assert!(unknown.contains("unknown model nothing"), "{unknown}");
    traffic.flow(Duration::from_secs(1), PATIENCE);
    let ids = traffic.settle(PATIENCE);
    assert!(ids.all().count() > 500);
}
