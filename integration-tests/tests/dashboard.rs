//! The dashboard in a real browser, without a screen. With `SCREENSHOTS=folder` in the environment, pictures of it are left there; with
//! `DASHBOARD=folder`, scripts and styles come from there, not from the node, and can be worked on without a build.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use babelmesh::api::keys;
use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, ProcessNode, Sandbox, Traffic,
    clients::{Interpreter, chromium},
    faults::CRASH,
    free_address, repository, request,
};

const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
/// Whatever a user may send.
const EVIL: &str = "<img src=x onerror=\"globalThis.hit=1\">";

/// A browser, and the program that uses it.
struct Browser {
    child: Child,
    log: PathBuf,
}

impl Browser {
    /// Opens the page at a URL and does with it what a program says. `None` on a machine without a browser.
    fn start(
        sandbox: &Sandbox,
        url: &str,
        program: &str,
        environment: &[(&str, &str)],
    ) -> Option<Self> {
        let chromium = chromium()?;
        let node = Interpreter::node("dashboard", &PACKAGES)?;
        let text = |name: &str| {
            let folder = repository().join("integration-tests/tests/dashboard");
            fs::read_to_string(folder.join(name).with_extension("mjs")).unwrap()
        };
        let program = [text("browser"), text(program)].concat();
        let log = sandbox.folder().join("browser.log");
        let mut command = node.command(&program);
        for name in ["SCREENSHOTS", "DASHBOARD"] {
            if let Some(folder) = env::var_os(name) {
                command.env(name, repository().join(folder));
            }
        }
        let child = command
            .envs(environment.iter().copied())
            .env("URL", url)
            .env("CHROMIUM", chromium)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Some(Self { child, log })
    }

    /// Does what the program asks for, until it has ended well.
    fn run(mut self, mut act: impl FnMut(&str)) {
        let mut input = self.child.stdin.take().unwrap();
        let output = BufReader::new(self.child.stdout.take().unwrap());
        let mut is_well = false;
        for line in output.lines().map(Result::unwrap) {
            is_well = line == "all is well";
            if !is_well {
                act(&line);
                writeln!(input, "done").unwrap();
            }
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        assert!(is_well, "{said}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url(node: &LocalNode) -> String {
    format!("http://{}/", node.http().0)
}

#[test]
fn it_shows_the_cluster_and_its_pools_live_in_light_and_dark_and_on_a_phone() {
    let sandbox = Sandbox::new();
    let (http, seed) = (free_address(), free_address());
    let settings = |listen: SocketAddr| {
        let settings = sandbox.node().clustered(listen, seed);
        settings
            .set("pool.min_actors", 1)
            .set("pool.max_actors", 4)
            .set("engine.fake.segment_us", 8_000)
            .set("offload.borrow", false)
            .set("kafka.languages", "[\"fr\", \"de\"]")
            .set("cache.memory_mb", 8)
            // Nobody listens there.
            .set("cache.redis.address", "redis://127.0.0.1:1")
    };
    let first = settings(seed).set("http.listen", format_args!("\"{http}\""));
    let mut nodes = [first, settings(free_address())]
        .map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    for node in &mut nodes {
        node.wait_ready();
    }
    let names = nodes.each_ref().map(ProcessNode::name).join(" ");
    let url = format!("http://{http}/");
    let program = "overview";
    let Some(browser) = Browser::start(&sandbox, &url, program, &[("NODES", &names)]) else {
        return;
    };
    let mut traffic = None;
    browser.run(|what| match what {
        "start the load" => traffic = Some(Traffic::of(100).start(nodes[0].backend())),
        "kill the other node" => nodes[1].kill(),
        _ => panic!("{what}"),
    });
    drop(traffic);
}

#[test]
fn it_shows_failures_and_what_users_send_is_text() {
    let sandbox = Sandbox::new();
    let settings = sandbox
        .faulty_node()
        .actors(1)
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("pool.restart_initial_backoff_ms", 20)
        .set("pool.restart_max_backoff_ms", 200);
    let node = LocalNode::start(&settings);
    let program = "failures";
    let Some(browser) = Browser::start(&sandbox, &url(&node), program, &[("EVIL", EVIL)]) else {
        return;
    };
    let mut backend = node.backend();
    browser.run(|what| {
        assert_eq!(what, "have a text crash the engine");
        let text = format!("Here it ends. {CRASH}");
        backend.ask(&request(EVIL, &text, &["fr"], "c1"));
        backend.flush();
    });
}

#[test]
fn a_keyboard_is_enough_to_translate_and_a_key_is_asked_for_where_one_is_needed() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("keys.toml");
    let key = keys::create(&file, "operator").unwrap();
    let settings = sandbox
        .node()
        .set("http.listen", "\"127.0.0.1:0\"")
        .set("http.keys_file", file.display());
    let node = LocalNode::start(&settings);
    let program = "keyboard";
    let Some(browser) = Browser::start(&sandbox, &url(&node), program, &[("KEY", &key)]) else {
        return;
    };
    browser.run(|what| panic!("{what}"));
}

#[test]
fn operators_act_with_a_key_of_their_own_after_a_confirmation() {
    let sandbox = Sandbox::new();
    let file = sandbox.folder().join("operators.toml");
    let key = keys::create(&file, "operator").unwrap();
    let (http, seed) = (free_address(), free_address());
    let settings = sandbox
        .node()
        .clustered(seed, seed)
        .set("pool.min_actors", 1)
        .set("pool.max_actors", 2)
        .set("http.listen", format_args!("\"{http}\""))
        .set("http.operator_keys_file", file.display());
    let node = ProcessNode::start(&sandbox, &settings);
    let (url, name) = (format!("http://{http}/"), node.name());
    let environment = [("KEY", key.as_str()), ("NODE", name.as_str())];
    let Some(browser) = Browser::start(&sandbox, &url, "operate", &environment) else {
        return;
    };
    browser.run(|what| assert_eq!(what, "expect the node to end"));
    // The log says who it was.
    assert!(node.log().contains("id=\"operator-"), "{}", node.log());
}

#[test]
fn it_finds_its_node_again_after_a_restart() {
    let sandbox = Sandbox::new();
    let http = free_address();
    let settings = sandbox
        .node()
        .set("http.listen", format_args!("\"{http}\""));
    let mut node = ProcessNode::start(&sandbox, &settings);
    let url = format!("http://{http}/");
    let program = "restart";
    let Some(browser) = Browser::start(&sandbox, &url, program, &[]) else {
        return;
    };
    browser.run(|what| match what {
        "kill the node" => node.kill(),
        "start the node" => {
            node.start_again();
            node.wait_ready();
        }
        _ => panic!("{what}"),
    });
}

/// The demo model translates to and fro between more and less load until there is something to see.
#[test]
#[ignore = "makes the picture of the README, in six minutes"]
fn the_picture_of_the_readme() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let (http, seed) = (free_address(), free_address());
    let settings = |listen: SocketAddr| {
        sandbox
            .node()
            .clustered(listen, seed)
            .set("kafka.bootstrap_servers", kafka.bootstrap())
            .set("engine.kind", "ctranslate2")
            .set("pool.max_actors", 4)
            .set("limits.cores", 4)
    };
    let first = settings(seed).set("http.listen", format_args!("\"{http}\""));
    let mut nodes = [first, settings(free_address()), settings(free_address())]
        .map(|settings| ProcessNode::start_cold(&sandbox, &settings));
    for node in &mut nodes {
        node.wait_ready();
    }
    let url = format!("http://{http}/");
    let picture = repository().join("docs/src/dashboard.png");
    let environment = [("PICTURE", picture.to_str().unwrap())];
    let Some(browser) = Browser::start(&sandbox, &url, "picture", &environment) else {
        return;
    };
    let mut running = None;
    browser.run(|_| {
        for (rate, seconds) in [(40, 50), (250, 60), (80, 200), (120, 30)] {
            drop(running.take());
            running = Some(Traffic::of(rate).start(nodes[0].backend()));
            std::thread::sleep(Duration::from_secs(seconds));
        }
    });
    drop(running);
    let size = fs::metadata(&picture).unwrap().len();
    assert!(size < 200_000, "{size} bytes");
}
