//! Clusters: discovery, failure detection, authentication and forwarding.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use babelmesh::{
    cluster::{
        MemberState, certs,
        handshake::{self, Identity, Incarnation, PROTOCOL, PeerVerifier},
    },
    config::Secret,
};
use babelmesh_integration_tests::{
    COOKIE, PATIENCE, ProcessNode, Sandbox, Settings, executables, faults::HANG, free_address,
    http::HttpClient, request, wait_until,
};
use rustix::process::Signal;
use serde_json::json;

/// Nodes with one seed, the first one's address; every second one finds it by its name.
fn start(sandbox: &Sandbox, count: usize) -> Vec<ProcessNode> {
    let seed = free_address();
    let listen = |number| if number == 0 { seed } else { free_address() };
    let name = format!("localhost:{}", seed.port());
    let seed = |number| {
        if number % 2 == 0 {
            seed.to_string()
        } else {
            name.clone()
        }
    };
    (0..count)
        .map(|number| sandbox.node().clustered(listen(number), seed(number)))
        .map(|settings| ProcessNode::start_cold(sandbox, &settings))
        .collect()
}

/// Whether every node sees every other one, has a connection to it, and knows how it does.
fn is_full(nodes: &[ProcessNode]) -> bool {
    nodes.iter().all(|node| {
        node.view().is_some_and(|view| {
            let others = view.members.iter();
            let good = others.filter(|m| m.state.is_up() && m.linked && m.report.is_some());
            view.members.len() == nodes.len() && good.count() == nodes.len()
        })
    })
}

fn state_of(node: &ProcessNode, other: &str) -> Option<MemberState> {
    Some(node.view()?.member(other)?.state)
}

fn answers(nodes: &[ProcessNode]) -> bool {
    nodes.iter().all(|node| node.view().is_some())
}

fn cli(arguments: &[&str], socket: &Path) -> (bool, String) {
    let output = Command::new(executables::babelmesh())
        .args(arguments)
        .arg("--socket")
        .arg(socket)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn five_nodes_see_each_other_within_three_seconds_and_a_killed_one_is_seen_by_all_within_five() {
    let sandbox = Sandbox::new();
    let mut nodes = start(&sandbox, 5);
    wait_until("all nodes answer", PATIENCE, || answers(&nodes));
    let started = Instant::now();
    wait_until("all see all", Duration::from_secs(3), || is_full(&nodes));
    println!(
        "full mesh {} ms after all answer",
        started.elapsed().as_millis()
    );
    let mut killed = nodes.remove(2);
    killed.signal(Signal::KILL);
    killed.wait(PATIENCE);
    let (name, started) = (killed.name(), Instant::now());
    wait_until("all know it", Duration::from_secs(5), || {
        nodes
            .iter()
            .all(|n| state_of(n, &name) == Some(MemberState::Down))
    });
    println!("seen by all after {} ms", started.elapsed().as_millis());
    let (good, text) = cli(&["status", "--cluster"], nodes[3].socket());
    assert!(
        good && text.contains("4 of 5 nodes up") && text.contains("down"),
        "{text}"
    );
    let (good, text) = cli(&["top", "--once"], nodes[0].socket());
    assert!(
        good && text.contains(&name) && text.contains("demo-en-fr-de"),
        "{text}"
    );
    // It comes back under its name, with its old address.
    let back = ProcessNode::start_cold(&sandbox, killed.settings());
    nodes.push(back);
    wait_until("it is back", PATIENCE, || is_full(&nodes));
}

fn assert_apart(nodes: &[ProcessNode], reasons: &[&str]) {
    wait_until("both logs say why", PATIENCE, || {
        nodes.iter().all(|node| {
            let log = node.log();
            reasons.iter().any(|reason| log.contains(reason))
        })
    });
    for node in nodes {
        let view = node.view().unwrap();
        assert!(
            view.members
                .iter()
                .all(|m| !m.linked || m.state == MemberState::Own),
            "{view:?}"
        );
    }
}

#[test]
fn a_wrong_cookie_is_refused_and_both_logs_say_so() {
    let sandbox = Sandbox::new();
    let (a, b) = (free_address(), free_address());
    let settings = [
        sandbox.node().clustered(a, b),
        sandbox
            .node()
            .clustered(b, b)
            .set("cluster.cookie", "another cookie of another cluster"),
    ];
    let nodes = settings.map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    wait_until("both answer", PATIENCE, || answers(&nodes));
    assert_apart(&nodes, &["cluster.cookie mismatch"]);
    for node in &nodes {
        assert!(!node.log().contains("another cookie") && !node.log().contains(COOKIE));
    }
}

fn with_certificate(settings: Settings, folder: &Path, name: &str) -> Settings {
    let file = |file: &str| format!("{:?}", folder.join(file).display().to_string());
    settings
        .set("node.name", name)
        .set("cluster.tls.ca_file", file(certs::CA))
        .set("cluster.tls.certificate_file", file(&format!("{name}.pem")))
        .set("cluster.tls.key_file", file(&format!("{name}.key")))
}

#[test]
fn a_certificate_of_another_node_is_rejected() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder().join("certs");
    certs::make(&folder, &["one".to_owned(), "two".to_owned()], 1).unwrap();
    let seed = free_address();
    let one = with_certificate(sandbox.node().clustered(seed, seed), &folder, "one");
    let thief = with_certificate(
        sandbox.node().clustered(free_address(), seed),
        &folder,
        "two",
    );
    let nodes = [one, thief.set("node.name", "three")]
        .map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    wait_until("both answer", PATIENCE, || answers(&nodes));
    assert_apart(&nodes, &["the peer certificate does not name three"]);
}

/// A frame of another version, as far as any version agrees.
fn hello_of_another_version() -> Vec<u8> {
    let mut frame = b"bmsh".to_vec();
    frame.extend_from_slice(&(PROTOCOL + 1).to_be_bytes());
    frame.extend_from_slice(&[1, 0, 3, 7, 7, 7]);
    frame
}

#[test]
fn another_version_of_the_protocol_is_refused_whoever_dials_and_the_other_side_is_told() {
    let sandbox = Sandbox::new();
    let (listen, stranger) = (free_address(), TcpListener::bind("127.0.0.1:0").unwrap());
    let seed = stranger.local_addr().unwrap();
    let node = ProcessNode::start_cold(&sandbox, &sandbox.node().clustered(listen, seed));
    // It dials, and hears another version.
    let (mut dialled, _) = stranger.accept().unwrap();
    dialled.write_all(&hello_of_another_version()).unwrap();
    let mut said = Vec::new();
    dialled.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    let (theirs, ours) = (PROTOCOL + 1, PROTOCOL);
    let theirs = format!("speaks version {theirs}");
    let ours = format!("this node version {ours}");
    assert!(said.contains(&theirs) && said.contains(&ours), "{said}");
    // It is dialled.
    let mut dialling = TcpStream::connect(listen).unwrap();
    dialling.write_all(&hello_of_another_version()).unwrap();
    let mut told = Vec::new();
    dialling.read_to_end(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains(&theirs), "{told}");
    wait_until("the log says both", PATIENCE, || {
        let log = node.log();
        log.contains("no connection to another node")
            && log.contains("a connection of another node was refused")
    });
}

#[test]
fn unauthenticated_connections_neither_crash_nor_block_a_node() {
    let sandbox = Sandbox::new();
    let seed = free_address();
    let first = ProcessNode::start_cold(&sandbox, &sandbox.node().clustered(seed, seed));
    wait_until("it answers", PATIENCE, || first.view().is_some());
    // Malformed and oversized frames.
    let mark = |length: u16| {
        [
            b"bmsh".as_slice(),
            &PROTOCOL.to_be_bytes(),
            &[1],
            &length.to_be_bytes(),
        ]
        .concat()
    };
    let frames: [Vec<u8>; 5] = [
        vec![0xff; 64 << 10],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [mark(u16::MAX), vec![0; 70_000]].concat(),
        [mark(40), vec![0xff; 40]].concat(),
        u64::MAX.to_be_bytes().to_vec(),
    ];
    for frame in frames {
        let mut stream = TcpStream::connect(seed).unwrap();
        // The node may hang up in the middle.
        let _ = stream.write_all(&frame);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset,
                "it hangs up"
            );
        }
    }
    // A thousand that say nothing, or half a word, and stay.
    let silent: Vec<TcpStream> = (0..1_000)
        .map(|number| {
            let mut stream = TcpStream::connect(seed).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"bms").unwrap();
            }
            stream
        })
        .collect();
    let second = ProcessNode::start_cold(&sandbox, &sandbox.node().clustered(free_address(), seed));
    wait_until("the second answers", PATIENCE, || second.view().is_some());
    let nodes = [first, second];
    wait_until("they meet all the same", Duration::from_secs(3), || {
        is_full(&nodes)
    });
    assert_eq!(silent.len(), 1_000);
    assert!(!nodes[0].log().contains("panicked"), "{}", nodes[0].log());
}

struct Open;

impl PeerVerifier for Open {
    fn fits(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn admit(&self, _: &str, _: u64) -> Result<Option<u64>, String> {
        Ok(None)
    }
}

#[test]
fn only_a_member_that_sends_malformed_or_oversized_frames_is_disconnected() {
    let sandbox = Sandbox::new();
    let nodes = start(&sandbox, 2);
    wait_until("they meet", PATIENCE, || is_full(&nodes));
    let seed: SocketAddr = nodes[0].settings().config().cluster.listen.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for frame in [
        u64::MAX.to_be_bytes().to_vec(),
        (64_u64 << 20).to_be_bytes().to_vec(),
        [8_u64.to_be_bytes(), [0xff; 8]].concat(),
    ] {
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(seed).await.unwrap();
            let me = Identity {
                // It sorts before all: its connection is kept.
                name: "aaa".to_owned(),
                address: "127.0.0.1:1".to_owned(),
                incarnation: Incarnation::default(),
                cookie: Secret::from(COOKIE),
                protocol: PROTOCOL,
            };
            let peer = handshake::dial(&mut stream, &me, &Open, b"").await.unwrap();
            assert!(peer.kept);
            stream.write_all(&frame).await.unwrap();
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            // The library may have begun to talk; then it hangs up.
            let _ = tokio::time::timeout(Duration::from_secs(5), end)
                .await
                .expect("it hangs up");
        });
    }
    thread::sleep(Duration::from_secs(1));
    assert!(
        is_full(&nodes)
            || nodes
                .iter()
                .all(|n| state_of(n, &nodes[1].name()).is_some_and(MemberState::is_up))
    );
    assert!(!nodes[0].log().contains("panicked"), "{}", nodes[0].log());
}

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
