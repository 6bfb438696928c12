//! Commands to nodes of a cluster: load, unload, bounds, pause, log filter and drain.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use babelmesh::cluster::MemberState;
use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, faults::HANG, free_address, http::HttpClient, request,
    wait_until,
};
use serde_json::json;

use super::{cli, is_full, start, state_of};

#[test]
fn a_model_that_is_loaded_at_run_time_is_listed_served_by_all_and_part_of_readiness() {
    let sandbox = Sandbox::new();
    let seed = free_address();
    let (edge, other_edge) = (free_address(), free_address());
    let demo = sandbox.model("models", "demo-en-fr-de", &["en"], &["fr", "de"]);
    let models = sandbox.model("models", "late-es", &["en"], &["es"]);
    assert_eq!(demo, models);
    let settings = |at: SocketAddr, edge: SocketAddr| {
        let settings = sandbox.node().clustered(at, seed);
        settings
            .set("http.listen", format_args!("\"{edge}\""))
            .set("kafka.languages", r#"["fr", "de", "es"]"#)
    };
    let here = settings(seed, edge);
    let there = settings(free_address(), other_edge).set("models.directories", models);
    let mut nodes = [here, there].map(|s| ProcessNode::start_cold(&sandbox, &s));
    for node in &mut nodes {
        node.wait_ready();
    }
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let (here, there) = (HttpClient(edge), HttpClient(other_edge));
    let body = json!({"q": "Good morning, my friend.", "source": "en", "target": "es"});
    let lists = |path: &str, what: &str| there.get(path).body.contains(what);
    assert_eq!(here.post("/translate", &body).status, 400);
    assert!(!lists("/models", "late-es") && !lists("/languages", "\"es\""));
    let (socket, name) = (nodes[0].socket().to_owned(), nodes[1].name());
    let command = |what: &str| cli(&["cluster", what, &name, "late-es"], &socket);
    let (good, text) = command("load");
    assert!(good, "{text}");
    for client in [&here, &there] {
        wait_until("its language is listed", PATIENCE, || {
            client.get("/languages").body.contains("\"es\"")
        });
        let answer = client.post("/translate", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("es:Good morning"), "{}", answer.body);
    }
    assert!(lists("/models", "late-es"));
    assert!(!here.get("/models").body.contains("late-es"));
    let ready = there.get("/ready");
    assert_eq!(ready.status, 200, "{}", ready.body);
    let (good, text) = command("unload");
    assert!(good, "{text}");
    assert!(!lists("/models", "late-es"));
    for client in [&here, &there] {
        wait_until("its language is not listed", PATIENCE, || {
            !client.get("/languages").body.contains("\"es\"")
        });
    }
}

#[test]
fn any_node_passes_commands_on_and_each_is_carried_out_once() {
    let sandbox = Sandbox::new();
    let mut nodes = start(&sandbox, 3);
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let (by, target) = (nodes[0].socket().to_owned(), nodes[2].name());
    let command = |arguments: &[&str]| cli(&[&["cluster"], arguments].concat(), &by);
    let bounds = [
        "set-bounds",
        &target,
        "demo-en-fr-de",
        "2",
        "3",
        "--id",
        "b1",
    ];
    let (good, text) = command(&bounds);
    assert!(good && text.contains("2 to 3 actors"), "{text}");
    wait_until("it has two actors", PATIENCE, || {
        nodes[2].status().pools[0].actors.len() == 2
    });
    assert_eq!(
        nodes[1].status().pools[0].actors.len(),
        1,
        "the others do not"
    );
    let (good, text) = command(&bounds);
    assert!(good && text.contains("done before"), "{text}");
    assert_eq!(nodes[2].log().matches("command executed").count(), 1);
    let (good, text) = command(&["set-bounds", &target, "demo-en-fr-de", "3", "2"]);
    let wanted = "min (3) must not exceed max (2)";
    assert!(!good && text.contains(wanted), "{text}");
    let unknown = command(&["set-bounds", &target, "no-such-model", "1", "2"]).1;
    assert!(unknown.contains("the node has demo-en-fr-de"), "{unknown}");
    for tag in ["xx", "en", "it"] {
        let (good, text) = command(&["pause", &target, tag]);
        let wanted = format!("does not serve {tag}: it serves de, fr");
        assert!(!good && text.contains(&wanted), "{text}");
    }
    let (good, text) = command(&["log-filter", &target, "debug"]);
    assert!(good, "{text}");
    let by_it = [
        "translate",
        "--to",
        "fr",
        "--via-node",
        &target,
        "Good morning.",
    ];
    assert!(
        !nodes[2].log().contains("batch done"),
        "it was silent about batches"
    );
    wait_until("it says more", PATIENCE, || {
        let (good, text) = cli(&by_it, &by);
        assert!(good, "{text}");
        nodes[2].log().contains("batch done")
    });
    let (good, text) = command(&["pause", &target, "fr"]);
    assert!(good && text.contains("fr paused"), "{text}");
    wait_until("others know", PATIENCE, || {
        let view = nodes[1].view().unwrap();
        let paused = &view.member(&target).unwrap().report.as_ref().unwrap().pools[0].paused;
        paused.as_slice() == ["fr"]
    });
    let (good, text) = command(&["resume", &target, "fr"]);
    assert!(good, "{text}");
    let (good, text) = command(&["unload", &target, "demo-en-fr-de"]);
    assert!(good && text.contains("is unloaded"), "{text}");
    wait_until("its pool is gone", PATIENCE, || {
        nodes[2].status().pools.is_empty()
    });
    let (good, text) = command(&["load", &target, "demo-en-fr-de"]);
    assert!(good && text.contains("is loaded"), "{text}");
    wait_until("its pool is back", PATIENCE, || {
        !nodes[2].status().pools.is_empty()
    });
    let (good, text) = command(&["load", &target, "no-such-model"]);
    assert!(
        !good && text.contains("no usable model no-such-model"),
        "{text}"
    );
    assert!(text.contains("found demo-en-fr-de"), "{text}");
    let (good, text) = command(&["unload", &target, "no-such-model"]);
    let wanted = "unknown model no-such-model: the node has demo-en-fr-de";
    assert!(!good && text.contains(wanted), "{text}");
    let (good, text) = command(&["drain", "nobody"]);
    assert!(!good && text.contains("unknown node \"nobody\""), "{text}");
    assert!(
        nodes.iter().all(|node| text.contains(&node.name())),
        "{text}"
    );
    let (good, text) = command(&["drain", &target]);
    assert!(good, "{text}");
    let status = nodes[2].wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", nodes[2].log());
    for node in &nodes[..2] {
        assert_eq!(state_of(node, &target), Some(MemberState::Left));
    }
}

#[test]
fn a_command_that_takes_its_time_holds_up_no_other() {
    let sandbox = Sandbox::new();
    let at = free_address();
    let settings = sandbox
        .faulty_node()
        .actors(1)
        .clustered(at, at)
        .set("engine.batch_timeout_ms", 600_000)
        .set("node.drain_timeout_ms", 500);
    let mut node = ProcessNode::start(&sandbox, &settings);
    let mut backend = node.backend();
    backend.ask(&request("m", HANG, &["fr"], "c"));
    backend.flush();
    wait_until("an actor is busy", PATIENCE, || {
        node.status().pools[0].jobs > 0
    });
    let (socket, name) = (node.socket().to_owned(), node.name());
    // It waits for the text that is never translated.
    let unload = {
        let (socket, name) = (socket.clone(), name.clone());
        thread::spawn(move || cli(&["cluster", "unload", &name, "demo-en-fr-de"], &socket))
    };
    thread::sleep(Duration::from_millis(300));
    for command in [
        &["pause", &name, "de"][..],
        &["resume", &name, "de"],
        &["drain", &name],
    ] {
        let asked = Instant::now();
        let (good, text) = cli(&[&["cluster"], command].concat(), &socket);
        assert!(good, "{text}");
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{command:?}: {:?}",
            asked.elapsed()
        );
        assert!(!unload.is_finished(), "unloading takes long");
    }
    let status = node.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", node.log());
    // Whatever becomes of it: the node has ended meanwhile.
    let _ = unload.join().unwrap();
}
