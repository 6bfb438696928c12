//! What the README shows works as it stands there.

use std::fs;

use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, Sandbox, Settings,
    clients::{Interpreter, limited},
    executables, repository,
};

const PYTHON: [&str; 1] = ["confluent-kafka==2.16.1"];
const NODE: [&str; 1] = ["kafkajs@2.2.4"];
/// Where the README's examples look for Kafka, and the message that they send.
const BROKERS: &str = "127.0.0.1:9092";
const MESSAGE: &str = "\"m-1\"";

/// The README's only program in a language.
fn example(language: &str) -> String {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let begin = format!("```{language}\n");
    let mut blocks = readme.split(&begin).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("{language}"));
    assert_eq!(blocks.next(), None, "two programs in {language}");
    block.split("```").next().unwrap().to_owned()
}

/// A program that asks the brokers of a test, and no two of them with the same id.
fn adapted(language: &str, brokers: &str) -> String {
    let text = example(language);
    for written in [BROKERS, MESSAGE] {
        assert!(text.contains(written), "{language}: {written}");
    }
    let message = format!("\"m-{language}\"");
    text.replace(BROKERS, brokers).replace(MESSAGE, &message)
}

fn start(settings: &Settings) -> (LocalNode, String) {
    let node = LocalNode::start(settings);
    let brokers = node.status().bootstrap;
    (node, brokers)
}

/// Every example gets its translation from these brokers, of which a node is a client.
fn run_all(brokers: &str, python_and_node: (Option<Interpreter>, Option<Interpreter>)) {
    let output = limited(&executables::folder().join("readme-example"))
        .arg(brokers)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "\"fr:Good morning!\"", "{output:?}");
    let (python, node) = python_and_node;
    for (interpreter, language) in [(python, "python"), (node, "js")] {
        if let Some(interpreter) = interpreter {
            let said = interpreter.run(&adapted(language, brokers), &[]);
            let is_there = said.lines().any(|line| line == "fr:Good morning!");
            assert!(is_there, "{language}: {said}");
        }
    }
}

#[test]
fn the_program_in_rust_is_the_one_that_is_compiled() {
    let file = repository().join("integration-tests/src/bin/readme-example.rs");
    let compiled = fs::read_to_string(file).unwrap();
    let (_, program) = compiled.split_once("\n\nuse ").unwrap();
    assert_eq!(example("rust"), format!("use {program}"));
}

#[test]
fn its_programs_get_translations_from_an_embedded_broker() {
    let sandbox = Sandbox::new();
    let (_node, brokers) = start(&sandbox.node());
    let python = Interpreter::python("readme-python", &PYTHON);
    // What the client of Node.js asks for, the embedded broker does not know.
    run_all(&brokers, (python, None));
}

#[test]
fn its_programs_get_translations_from_apache_kafka() {
    let sandbox = Sandbox::new();
    // Of its own: the programs know the topics by their usual names.
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let settings = sandbox
        .node()
        .set("kafka.bootstrap_servers", kafka.bootstrap());
    let (_node, brokers) = start(&settings);
    let python = Interpreter::python("readme-python", &PYTHON);
    let node = Interpreter::node("readme-node", &NODE);
    run_all(&brokers, (python, node));
}
