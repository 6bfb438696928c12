//! Dead letters can be looked at, and published again once their cause is gone: each once.

use std::{
    process::Output,
    time::{Duration, Instant},
};

use babelmesh::kafka::{client::Clients, topics::TopicNames};
use babelmesh_actors::domain::TranslationResult;
use babelmesh_integration_tests::{
    Backend, Broker, Kafka, LocalNode, PATIENCE, Record, Sandbox, Settings, TopicReader, request,
};
use serde_json::Value;

/// Longest text that nodes take at first.
const SHORT: usize = 20;
const LONG_TEXT: &str = "This is a text of more than twenty characters.";

/// Brokers with the nodes and commands of one test.
struct World<'a> {
    sandbox: &'a Sandbox,
    settings: Settings,
    clients: Clients,
    topics: TopicNames,
}

impl World<'_> {
    fn node(&self, max_text_chars: usize) -> LocalNode {
        let settings = self.settings.clone();
        LocalNode::start(&settings.set("intake.max_text_chars", max_text_chars))
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.sandbox.command();
        command.arg("dead-letters").args(args);
        for (key, value) in self.settings.pairs() {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.output().unwrap()
    }

    /// What `list` says as JSON.
    fn list(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["list", "--json"], args].concat());
        assert!(output.status.success(), "{output:?}");
        let lines = text(&output.stdout).lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What `replay` says in the end, and whether it is content.
    fn replay(&self, args: &[&str]) -> (String, bool) {
        let output = self.run(&[&["replay"], args].concat());
        let last = text(&output.stdout).lines().last();
        let last = last.unwrap_or_else(|| panic!("{output:?}"));
        (last.to_owned(), output.status.success())
    }

    fn records(&self, topic: &str) -> Vec<Record> {
        TopicReader::new(&self.clients, topic).rest()
    }

    /// Every answer to a message, errors included, in order.
    fn answers(&self, id: &str) -> Vec<Result<String, &'static str>> {
        let records = self.records(&self.topics.results);
        let results = records.iter().map(|record| -> TranslationResult {
            serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap()
        });
        let mine = results.filter(|result| result.message_id == id);
        mine.map(|result| match (result.translated_text, result.error) {
            (Some(text), None) => Ok(text),
            (None, Some(error)) => Err(error.code.name()),
            other => panic!("{other:?}"),
        })
        .collect()
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

fn said(text: &str) -> (String, bool) {
    (text.to_owned(), true)
}

fn wait_for_letters(backend: &Backend, count: usize) {
    let letters = backend.letters(count, PATIENCE);
    assert_eq!(letters.len(), count);
}

fn on_embedded<'a>(sandbox: &'a Sandbox, broker: &Broker) -> World<'a> {
    World {
        sandbox,
        settings: broker.node(sandbox.node()),
        clients: broker.clients(),
        topics: TopicNames::default(),
    }
}

/// Too long → answered and laid aside → the limit is raised → replayed → translated, and never again.
fn a_cause_that_is_gone(world: &World<'_>, mut backend: Backend) {
    let node = world.node(SHORT);
    for number in 0..5 {
        let id = format!("long-{number}");
        backend.ask(&request(
            &id,
            LONG_TEXT,
            &["fr", "de"],
            &format!("c{number}"),
        ));
        let id = format!("short-{number}");
        backend.ask(&request(&id, "hello", &["fr"], &format!("c{number}")));
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    wait_for_letters(&backend, 5);
    let sources = world.records(&world.topics.requests);
    let letters = world.list(&[]);
    assert_eq!(letters.len(), 5);
    for letter in &letters {
        assert_eq!(letter["code"], "text_too_long");
        assert!(
            letter["message"]
                .as_str()
                .unwrap()
                .contains("the limit is 20")
        );
        let origin = &letter["origin"];
        assert_eq!(origin["topic"], world.topics.requests.as_str());
        let source = sources.iter().find(|record| {
            origin["partition"] == record.partition && origin["offset"] == record.offset
        });
        let source = source.unwrap_or_else(|| panic!("nothing is at {origin}"));
        assert_eq!(letter["key"], source.key.as_str());
        let payload = text(source.payload.as_deref().unwrap());
        let shown = letter["payload"].as_str().unwrap();
        assert!(payload.starts_with(shown) && !shown.is_empty());
        assert_eq!(letter["bytes"], payload.len());
        assert_eq!(letter["replays"], 0);
        assert_eq!(letter["handled"], false);
    }
    // A rehearsal changes nothing.
    assert_eq!(
        world.replay(&["--all", "--dry-run"]),
        said("5 would be replayed, 0 skipped")
    );
    assert_eq!(world.records(&world.topics.requests).len(), sources.len());
    node.drain();

    let node = world.node(1_000);
    let one = format!("{}:{}", letters[2]["partition"], letters[2]["offset"]);
    assert_eq!(world.replay(&["--at", &one]), said("1 replayed, 0 skipped"));
    assert_eq!(world.replay(&["--all"]), said("4 replayed, 0 skipped"));
    assert_eq!(world.replay(&["--all"]), said("0 replayed, 0 skipped"));
    assert_eq!(
        world.replay(&["--code", "text_too_long"]),
        said("0 replayed, 0 skipped")
    );
    assert!(
        world
            .list(&[])
            .iter()
            .all(|letter| letter["handled"] == true)
    );
    let again = world.replay(&["--at", &one]);
    assert_eq!(again, ("0 replayed, 1 skipped".to_owned(), false));
    assert_eq!(
        world.replay(&["--all", "--from-beginning", "--dry-run"]),
        said("5 would be replayed, 0 skipped")
    );
    // Both languages of each were refused at first, and both are translated now.
    let end = Instant::now() + PATIENCE;
    let answers = |number: u32| world.answers(&format!("long-{number}"));
    while (0..5).any(|number| answers(number).len() < 4) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    for number in 0..5 {
        let mut answers = answers(number);
        answers.sort();
        let translated =
            |language: &str| Ok(LONG_TEXT.replace("This", &format!("{language}:This")));
        let refused = Err("text_too_long");
        assert_eq!(
            answers,
            [translated("de"), translated("fr"), refused.clone(), refused]
        );
        assert_eq!(world.answers(&format!("short-{number}")).len(), 1);
    }
    let replayed: Vec<_> = world
        .records(&world.topics.requests)
        .into_iter()
        .filter(|record| !record.header("babelmesh-replayed-from").is_empty())
        .collect();
    assert_eq!(replayed.len(), 5);
    for record in &replayed {
        assert_eq!(record.header("babelmesh-replays"), "1");
        let was = |source: &&Record| {
            (source.partition, &source.key, &source.payload)
                == (record.partition, &record.key, &record.payload)
        };
        assert_eq!(sources.iter().filter(was).count(), 1, "{record:?}");
    }
    node.drain();
}

#[test]
fn a_dead_letter_whose_cause_is_fixed_is_replayed_and_translated_once() {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    a_cause_that_is_gone(&on_embedded(&sandbox, &broker), broker.backend());
}

#[test]
fn a_replay_and_its_progress_are_one_transaction_of_a_real_broker() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let backend = kafka.backend();
    let world = World {
        sandbox: &sandbox,
        settings: kafka.node(sandbox.node()),
        clients: kafka.clients(),
        topics: kafka.topics(),
    };
    a_cause_that_is_gone(&world, backend);
}

#[test]
fn repeated_failures_carry_their_count_and_truncated_letters_are_skipped() {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    let world = on_embedded(&sandbox, &broker);
    let node = world.node(1_000);
    let backend = broker.backend();
    let topic = &world.topics.requests;
    // Broken, and trying to take a terminal over; and too long for any letter.
    let nasty = "{broken \u{1b}]0;owned\u{7}";
    backend.write(&Record::to(topic, "k", nasty));
    let giant = request("giant", &"word ".repeat(190_000), &["fr"], "g").to_string();
    backend.write(&Record::to(topic, "g", giant.clone()));
    backend.flush();
    wait_for_letters(&backend, 2);
    let listed = |args: &[&str]| world.list(args).len();
    assert_eq!(listed(&["--code", "invalid_json"]), 1);
    assert_eq!(listed(&["--code", "poison_text"]), 0);
    assert_eq!(listed(&["--since", "1h"]), 2);
    assert_eq!(listed(&["--origin", topic]), 2);
    assert_eq!(listed(&["--origin", "translation.jobs.fr"]), 0);
    assert_eq!(listed(&["--limit", "1"]), 1);
    let cut = &world.list(&["--code", "text_too_long"])[0];
    assert_eq!(
        (&cut["truncated"], &cut["bytes"]),
        (&true.into(), &giant.len().into())
    );
    let table = world.run(&["list"]);
    let shown = text(&table.stdout);
    assert_eq!(
        shown.lines().count(),
        3,
        "a header and a line each: {shown}"
    );
    let at = shown.lines().last().unwrap().split(' ').next().unwrap();
    let one = world.run(&["show", at]);
    let whole = text(&one.stdout);
    assert!(
        one.status.success() && whole.contains(&format!("position  {at}")),
        "{whole}"
    );
    assert!(!whole.contains(['\u{1b}', '\u{7}']), "{whole:?}");
    let none = world.run(&["show", "0:99999"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(
        shown.contains("invalid_json") && shown.contains("owned"),
        "{shown}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");

    for replays in 1..=2 {
        let left_out = if replays == 1 { 1 } else { 0 };
        let (said, content) = world.replay(&["--all"]);
        assert_eq!(said, format!("1 replayed, {left_out} skipped"));
        assert_eq!(content, left_out == 0);
        wait_for_letters(&backend, 1);
        let letters = world.list(&["--code", "invalid_json"]);
        assert_eq!(letters.len(), replays + 1);
        assert_eq!(letters[replays]["replays"], replays);
    }
    drop(node);
}

#[test]
fn one_language_that_failed_is_replayed_without_the_others() {
    let sandbox = Sandbox::new();
    let broker = Broker::start();
    let world = on_embedded(&sandbox, &broker);
    let mut backend = broker.backend();
    let node = world.node(1_000);
    backend.ask(&request("m", "hello", &["fr", "ja"], "c"));
    backend.read_all(PATIENCE);
    wait_for_letters(&backend, 1);
    assert_eq!(world.replay(&["--all"]), said("1 replayed, 0 skipped"));
    wait_for_letters(&backend, 1);
    let (french, refused) = (Ok("fr:hello".to_owned()), Err("unsupported_language"));
    let mut answers = world.answers("m");
    answers.sort();
    assert_eq!(answers, [french, refused.clone(), refused]);
    drop(node);
}

#[test]
fn a_broker_that_is_not_there_is_named_and_not_waited_for_long() {
    let sandbox = Sandbox::new();
    for args in [&["list"][..], &["replay", "--all"]] {
        for delivery in ["at-least-once", "exactly-once"] {
            let started = Instant::now();
            let output = sandbox
                .command()
                .arg("dead-letters")
                .args(args)
                .args(["--set", "kafka.bootstrap_servers=127.0.0.1:1"])
                .args(["--set", "kafka.startup_timeout_ms=1500"])
                .args(["--set", &format!("kafka.delivery={delivery}")])
                .output()
                .unwrap();
            let complaint = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(
                complaint.contains("no Kafka broker answers at 127.0.0.1:1 within 1500 ms"),
                "{complaint}"
            );
            let took = started.elapsed();
            assert!(took < Duration::from_secs(10), "{args:?}: {took:?}");
        }
    }
}
