//! The README is short, its request over HTTP is answered, and the programs in `examples/`, which README and book show, get translations.

use std::{
    fs,
    path::{Path, PathBuf},
};

use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, Sandbox, Settings,
    clients::{Interpreter, Java, limited},
    executables, repository,
};

const PYTHON: [&str; 1] = ["confluent-kafka==2.16.1"];
const NODE: [&str; 1] = ["kafkajs@2.2.4"];
/// Programs for which a test has an interpreter, in folders of `examples/`.
const PROGRAMS: [&str; 5] = [
    "java/KafkaExample.java",
    "nodejs/kafka.mjs",
    "python/html.py",
    "python/kafka.py",
    "rust/kafka.rs",
];
/// Where the examples look for Kafka, and the message that they send.
const BROKERS: &str = "127.0.0.1:9092";
const MESSAGE: &str = "\"m-1\"";
/// What the fake engine makes of the text that they send.
const TRANSLATION: &str = "fr:Good morning!";
/// Most lines of the README.
const MOST_LINES: usize = 150;

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn example(program: &str) -> String {
    read(&format!("examples/{program}"))
}

/// The blocks of a page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("\n```{language}\n");
    let blocks = page.split(&begin).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// A program that asks the brokers of a test, and no two of them with the same id.
fn adapted(program: &str, brokers: &str) -> String {
    let text = example(program);
    for written in [BROKERS, MESSAGE] {
        assert!(text.contains(written), "{program}: {written}");
    }
    let name = Path::new(program).extension().unwrap().to_str().unwrap();
    let message = format!("\"m-{name}\"");
    text.replace(BROKERS, brokers).replace(MESSAGE, &message)
}

fn start(settings: &Settings) -> (LocalNode, String) {
    let node = LocalNode::start(settings);
    let brokers = node.status().bootstrap;
    (node, brokers)
}

fn is_translated(program: &str, said: &str) {
    let is_there = said.lines().any(|line| line == TRANSLATION);
    assert!(is_there, "{program}: {said}");
}

/// The programs that work with any broker get their translations from these.
fn run_on_any(brokers: &str) {
    let output = limited(&executables::folder().join("kafka-example"))
        .arg(brokers)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), format!("{TRANSLATION:?}"), "{output:?}");
    if let Some(python) = Interpreter::python("readme-python", &PYTHON) {
        let program = "python/kafka.py";
        is_translated(program, &python.run(&adapted(program, brokers), &[]));
    }
}

/// The others, which ask what the embedded broker does not know.
fn run_on_kafka(brokers: &str, folder: &Path) {
    if let Some(node) = Interpreter::node("readme-node", &NODE) {
        let program = "nodejs/kafka.mjs";
        is_translated(program, &node.run(&adapted(program, brokers), &[]));
    }
    if let Some(java) = Java::with_kafka() {
        let program = "java/KafkaExample.java";
        let file = folder.join("KafkaExample.java");
        fs::write(&file, adapted(program, brokers)).unwrap();
        is_translated(program, &java.run(&file));
    }
}

/// The fields of a form that a `curl` command sends, as the body of a request.
fn form(command: &str) -> String {
    let fields = command.split(" -d ").skip(1).map(|field| {
        let (name, value) = field.trim().split_once('=').unwrap();
        let value = value.trim_matches('\'').replace(' ', "+");
        format!("{name}={value}")
    });
    fields.collect::<Vec<_>>().join("&")
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= MOST_LINES, "{lines} lines");
}

#[test]
fn the_readme_shows_the_program_in_python_as_it_is_run() {
    let readme = read("README.md");
    assert_eq!(blocks(&readme, "python"), [example("python/kafka.py")]);
}

#[test]
fn the_book_shows_every_program_as_it_is_run() {
    let (page, list) = (read("docs/src/examples.md"), example("README.md"));
    let mut programs: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(repository().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.is_dir() {
            let files = fs::read_dir(folder).unwrap();
            programs.extend(files.map(|file| file.unwrap().path()));
        }
    }
    programs.sort();
    let names = programs.iter().map(|path| {
        let path = path.strip_prefix(repository().join("examples")).unwrap();
        path.to_str().unwrap()
    });
    assert!(
        names.eq(PROGRAMS),
        "{programs:?} are not those that are run"
    );
    for program in PROGRAMS {
        let shown = format!("{{{{#include ../../examples/{program}}}}}");
        assert!(page.contains(&shown), "docs/src/examples.md: {program}");
        let linked = format!("]({program})");
        assert!(list.contains(&linked), "examples/README.md: {program}");
    }
}

#[test]
fn the_request_over_http_is_answered() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let node = LocalNode::start(&settings);
    let mut commands = Vec::new();
    for page in ["README.md", "docs/src/http-api.md", "docs/src/examples.md"] {
        let text = read(page);
        let lines = blocks(&text, "sh").into_iter().flat_map(str::lines);
        let is_text = |line: &&str| line.starts_with("curl ") && line.contains("/translate -d ");
        let curl: Vec<_> = lines.filter(is_text).collect();
        assert_eq!(curl.len(), 1, "{page}: {curl:?}");
        commands.push(curl[0].to_owned());
    }
    commands.dedup();
    assert_eq!(commands.len(), 1, "{commands:?}");
    let address = "http://127.0.0.1:8080/translate -d";
    assert!(commands[0].contains(address), "{commands:?}");
    let answer = node.http().form("/translate", &form(&commands[0]));
    let expected = serde_json::json!({"translatedText": "fr:Where is the train station?"});
    assert_eq!((answer.status, answer.json()), (200, expected));
}

#[test]
fn a_program_gets_a_translation_over_http() {
    const ADDRESS: &str = "http://127.0.0.1:8080";
    let sandbox = Sandbox::new();
    let settings = sandbox.node().set("http.listen", "\"127.0.0.1:0\"");
    let node = LocalNode::start(&settings);
    let Some(python) = Interpreter::python("readme-python", &PYTHON) else {
        return;
    };
    let program = example("python/html.py");
    assert!(program.contains(ADDRESS), "{program}");
    let address = format!("http://{}", node.http().0);
    let said = python.run(&program.replace(ADDRESS, &address), &[]);
    for kept in [
        "<h1>fr:Good morning!</h1>",
        "<a href=\"/map\">",
        "<code>make</code>",
    ] {
        assert!(said.contains(kept), "{kept}: {said}");
    }
}

#[test]
fn programs_get_translations_from_an_embedded_broker() {
    let sandbox = Sandbox::new();
    let (_node, brokers) = start(&sandbox.node());
    run_on_any(&brokers);
}

#[test]
fn programs_get_translations_from_apache_kafka() {
    let sandbox = Sandbox::new();
    // Of its own: the programs know the topics by their usual names.
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let settings = sandbox
        .node()
        .set("kafka.bootstrap_servers", kafka.bootstrap());
    let (_node, brokers) = start(&settings);
    run_on_any(&brokers);
    run_on_kafka(&brokers, sandbox.folder());
}
