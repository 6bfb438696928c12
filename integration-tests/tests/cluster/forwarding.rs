//! Requests are forwarded to a node that has the model.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    PATIENCE, ProcessNode, Sandbox, free_address, http::HttpClient, wait_until,
};
use rustix::process::Signal;
use serde_json::json;

use super::{cli, is_full};

/// Asks a node to have a text translated by one that is named, or by any.
fn translate(socket: &Path, to: &str, via: &str) -> (bool, String) {
    let arguments = [
        "translate",
        "--from",
        "en",
        "--to",
        to,
        "--via-node",
        via,
        "Good morning.",
    ];
    cli(&arguments, socket)
}

/// A model for Spanish alone, which only the fake engine can run.
fn spanish(sandbox: &Sandbox) -> String {
    sandbox.model("models", "only-es", &["en"], &["es"])
}

#[test]
fn a_request_goes_to_a_node_that_has_the_model_and_single_copies_are_warned_about() {
    let sandbox = Sandbox::new();
    let seed = free_address();
    let french = sandbox.node().clustered(seed, seed);
    let spanish = sandbox
        .node()
        .clustered(free_address(), seed)
        .set("models.directories", spanish(&sandbox))
        .set("models.load", "[\"only-es\"]");
    let mut nodes = [french, spanish].map(|s| ProcessNode::start_cold(&sandbox, &s));
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let socket = nodes[0].socket().to_owned();
    let translate = |to: &str, via: &str| translate(&socket, to, via);
    let mut served = String::new();
    wait_until("both are warm", PATIENCE, || {
        served = cli(&["status", "--cluster"], &socket).1;
        served.contains("only one node serves es") && served.contains("only one node serves fr")
    });
    for language in ["es", "fr"] {
        let (good, text) = translate(language, "any");
        assert!(
            good && text.contains(language) && text.contains("Good morning"),
            "{text}"
        );
    }
    let (good, text) = translate("fr", &nodes[1].name());
    assert!(
        !good && text.contains("unsupported"),
        "it is asked all the same: {text}"
    );
    nodes[1].signal(Signal::KILL);
    nodes[1].wait(PATIENCE);
    let asked = Instant::now();
    let (good, text) = translate("es", "any");
    assert!(!good, "{text}");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "nobody waits for the dead"
    );
    wait_until("nobody has it now", PATIENCE, || {
        let (_, text) = translate("es", "any");
        text.contains("no node in the cluster supports es")
    });
}

#[test]
fn a_request_whose_node_hangs_is_answered_by_another_one() {
    let sandbox = Sandbox::new();
    let (seed, models) = (free_address(), spanish(&sandbox));
    let node = |at| {
        let settings = sandbox.node().clustered(at, seed);
        // Nobody is suspected so soon.
        settings.set("cluster.call_timeout_ms", 1_000)
    };
    let spanish = || {
        node(free_address())
            .set("models.directories", &models)
            .set("models.load", "[\"only-es\"]")
    };
    let nodes = [node(seed), spanish(), spanish()];
    let mut nodes = nodes.map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    for node in &mut nodes {
        node.wait_ready();
    }
    let translate = || translate(nodes[0].socket(), "es", "any");
    wait_until("Spanish is served", PATIENCE, || {
        is_full(&nodes) && translate().0
    });
    let failed = || {
        nodes[0]
            .log()
            .matches("remote node failed to translate")
            .count()
    };
    let before = failed();
    // One of them is the first to be asked.
    let hung = nodes[1..].iter().find(|node| {
        wait_until("they see each other", PATIENCE, || is_full(&nodes));
        node.signal(Signal::STOP);
        let (good, text) = translate();
        node.signal(Signal::CONT);
        assert!(good && text.contains("es:"), "{text}");
        failed() > before
    });
    assert!(hung.is_some(), "a node was asked in vain");
}

#[test]
fn http_requests_are_answered_by_a_node_that_has_the_model() {
    let sandbox = Sandbox::new();
    let seed = free_address();
    let edge = free_address();
    let settings = |at: SocketAddr| {
        let settings = sandbox.node().clustered(at, seed);
        settings.set(
            "http.listen",
            format_args!("\"{}\"", if at == seed { edge } else { free_address() }),
        )
    };
    let french = settings(seed);
    let spanish = settings(free_address())
        .set("models.directories", spanish(&sandbox))
        .set("models.load", "[\"only-es\"]");
    let mut nodes = [french, spanish].map(|s| ProcessNode::start_cold(&sandbox, &s));
    for node in &mut nodes {
        node.wait_ready();
    }
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let client = HttpClient(edge);
    wait_until("all languages are listed", PATIENCE, || {
        let listed = client.get("/languages").json();
        let codes = listed.as_array().unwrap().iter().map(|l| l["code"].clone());
        ["de", "es", "fr"]
            .iter()
            .all(|code| codes.clone().any(|c| c == *code))
    });
    let translate = |source: &str, target: &str| {
        let body = json!({"q": "Good morning, my friend.", "source": source, "target": target});
        client.post("/translate", &body)
    };
    for (source, target) in [("en", "fr"), ("en", "es"), ("auto", "es")] {
        let answer = translate(source, target);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = answer.json()["translatedText"].to_string();
        assert!(
            text.contains(target) && text.contains("Good morning"),
            "{text}"
        );
    }
    let of = |node: &ProcessNode| node.status().pools[0].translated;
    assert_eq!(of(&nodes[1]), 2, "the other node translated");
    let answer = translate("fr", "es");
    assert_eq!(answer.status, 400, "{}", answer.body);
    nodes[1].signal(Signal::KILL);
    nodes[1].wait(PATIENCE);
    let asked = Instant::now();
    let answer = translate("en", "es");
    assert!([400, 503].contains(&answer.status), "{}", answer.body);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "nobody waits for the dead"
    );
    assert_eq!(translate("en", "fr").status, 200);
}
