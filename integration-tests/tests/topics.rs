//! `babelmesh topics`, and topics that nodes make.

use std::{collections::BTreeMap, process::Output};

use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, PATIENCE, ProcessNode, Sandbox, Settings, block_on, wait_until,
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
};
use serde_json::Value;

fn topics(sandbox: &Sandbox, settings: &Settings, arguments: &[&str]) -> Output {
    let mut command = sandbox.command();
    command.arg("topics").args(arguments);
    for (key, value) in settings.pairs() {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command.output().unwrap()
}

/// Runs a command that must end well; what it printed on both streams.
fn good(sandbox: &Sandbox, settings: &Settings, arguments: &[&str]) -> (String, String) {
    let output = topics(sandbox, settings, arguments);
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// What is described as JSON, by topic, and the code that it ended with.
fn described(
    sandbox: &Sandbox,
    settings: &Settings,
) -> (BTreeMap<String, Value>, Value, Option<i32>) {
    let output = topics(sandbox, settings, &["describe", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let all = report["topics"].as_array().unwrap().iter();
    let by_name = all.map(|topic| (topic["topic"].as_str().unwrap().to_owned(), topic.clone()));
    (
        by_name.collect(),
        report["tooFewPartitions"].clone(),
        output.status.code(),
    )
}

/// What the broker itself says of a topic's settings.
fn settings_of(kafka: &Kafka, topic: &str) -> BTreeMap<String, String> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let answer = block_on(kafka.admin().describe_configs(&asked, &AdminOptions::new())).unwrap();
    let entries = answer.into_iter().next().unwrap().unwrap().entries;
    let known = entries.into_iter().filter_map(|e| Some((e.name, e.value?)));
    known.collect()
}

#[test]
fn topics_are_created_as_configured_and_only_once() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let names = kafka.topics();
    let (french, bulk) = (
        format!("{}.fr", names.jobs),
        format!("{}.fr.any", names.jobs),
    );
    let german = format!("{}.de", names.jobs);
    let settings = kafka
        .node(sandbox.node())
        .set("kafka.partitions", 3)
        .set("kafka.languages", "[\"fr\", \"de\"]")
        .set("kafka.topic_settings.retention_ms", 7_200_000)
        .set("kafka.topic_settings.jobs.retention_ms", 3_600_000)
        .set("kafka.topic_settings.jobs.max_message_bytes", 2_000_000)
        .set(
            "kafka.topic_settings.results.cleanup_policy",
            "\"compact,delete\"",
        )
        .set(
            "kafka.topic_settings.languages",
            "{fr={partitions=5, retention_ms=60000, cleanup_policy=\"compact\"}}",
        );

    let (dry, _) = good(&sandbox, &settings, &["create", "--dry-run"]);
    assert_eq!(dry.matches(": would be created: ").count(), 8, "{dry}");
    let (states, _, code) = described(&sandbox, &settings);
    assert_eq!((states.len(), code), (8, Some(1)));
    assert!(
        states.values().all(|topic| topic["exists"] == false),
        "a dry run makes nothing"
    );

    let (made, warnings) = good(&sandbox, &settings, &["create"]);
    assert_eq!(made.matches(": created: ").count(), 8, "{made}");
    assert_eq!(warnings, "");
    wait_until("every partition has a leader", PATIENCE, || {
        let (states, ..) = described(&sandbox, &settings);
        states.values().all(|topic| topic["offsets"].is_i64())
    });
    let (states, few, code) = described(&sandbox, &settings);
    assert_eq!(code, Some(0), "{states:?}");
    assert_eq!(few, Value::Array(Vec::new()));

    let expected = [
        (&names.requests, 3, "7200000", "delete", "10485760"),
        (&names.results, 3, "7200000", "compact,delete", "10485760"),
        (&names.dead_letters, 3, "2592000000", "delete", "10485760"),
        (&names.glossaries, 1, "-1", "compact", "10485760"),
        (&french, 5, "60000", "compact", "2000000"),
        (&bulk, 5, "60000", "compact", "2000000"),
        (&german, 3, "3600000", "delete", "2000000"),
    ];
    for (name, partitions, retention, policy, bytes) in expected {
        let state = &states[name];
        assert_eq!(
            state["partitions"].as_array().unwrap().len(),
            partitions,
            "{name}"
        );
        assert_eq!(state["offsets"], 0, "{name}");
        assert_eq!(state["underReplicatedPartitions"], 0, "{name}");
        assert!(state["partitions"][0]["leader"].is_i64(), "{state}");
        let held = settings_of(&kafka, name);
        assert_eq!(held["retention.ms"], retention, "{name}");
        assert_eq!(held["cleanup.policy"], policy, "{name}");
        assert_eq!(held["max.message.bytes"], bytes, "{name}");
        assert_eq!(state["retentionMs"], retention, "{name}");
    }

    let (again, warnings) = good(&sandbox, &settings, &["create", "--alter"]);
    assert_eq!(again.matches(": ok").count(), 8, "{again}");
    assert_eq!(again.lines().count(), 8, "{again}");
    assert_eq!(warnings, "");
    let (table, _) = good(&sandbox, &settings, &["describe"]);
    for part in ["as configured", "2 h", "30 d", "1 h", "1 min", "compact"] {
        assert!(table.contains(part), "no {part}: {table}");
    }
}

#[test]
fn topics_that_differ_are_named_and_changed_only_when_asked_for() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let names = kafka.topics();
    let french = format!("{}.fr", names.jobs);
    let settings = kafka
        .node(sandbox.node())
        .set("kafka.partitions", 3)
        .set("kafka.languages", "[\"fr\"]");
    // Made by somebody else, with a setting that we know nothing of.
    let admin: AdminClient<DefaultClientContext> = kafka.clients().admin().create().unwrap();
    let theirs = NewTopic::new(&french, 2, TopicReplication::Fixed(1))
        .set("retention.ms", "1000")
        .set("compression.type", "gzip");
    let more = NewTopic::new(&names.results, 4, TopicReplication::Fixed(1));
    let made = block_on(admin.create_topics([&theirs, &more], &AdminOptions::new()));
    assert!(made.unwrap().iter().all(Result::is_ok));
    wait_until("the topic is there", PATIENCE, || {
        described(&sandbox, &settings).0[&french]["exists"] == true
    });

    let (said, _) = good(&sandbox, &settings, &["create"]);
    for part in [
        format!("{french}: partitions is 2, configured: 3; use --alter to change it"),
        format!("{french}: retention.ms is 1000, configured: 604800000; use --alter to change it"),
        format!(
            "{}: partitions is 4, configured: 3; Kafka cannot remove partitions",
            names.results
        ),
    ] {
        assert!(said.contains(&part), "no {part}: {said}");
    }
    assert_eq!(
        settings_of(&kafka, &french)["retention.ms"],
        "1000",
        "nothing is changed silently"
    );
    let output = topics(&sandbox, &settings, &["describe"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        table.contains("different") && table.contains("retention.ms is 1000"),
        "{table}"
    );

    let (_, warned) = good(&sandbox, &settings, &["create", "--alter", "--dry-run"]);
    assert!(warned.contains("added partitions move keys"), "{warned}");
    assert_eq!(
        settings_of(&kafka, &french)["retention.ms"],
        "1000",
        "a dry run changes nothing"
    );
    let (said, warned) = good(&sandbox, &settings, &["create", "--alter"]);
    assert!(
        said.contains("retention.ms is 1000, configured: 604800000; set to 604800000"),
        "{said}"
    );
    assert!(
        warned.contains(&format!("warning: {french}: added partitions move keys")),
        "{warned}"
    );
    wait_until("the topic is changed", PATIENCE, || {
        let (states, ..) = described(&sandbox, &settings);
        states[&french]["differences"] == Value::Array(Vec::new())
    });
    let held = settings_of(&kafka, &french);
    assert_eq!(held["retention.ms"], "604800000");
    assert_eq!(held["compression.type"], "gzip", "what others set stays");
    let (states, _, code) = described(&sandbox, &settings);
    assert_eq!(states[&french]["partitions"].as_array().unwrap().len(), 3);
    // What cannot be changed is still different.
    assert_eq!(
        (
            states[&names.results]["differences"][0]["remedy"].as_str(),
            code
        ),
        (Some("byHand"), Some(1))
    );
}

#[test]
fn fewer_partitions_than_the_wished_parallelism_are_warned_about() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    let french = format!("{}.fr", kafka.topics().jobs);
    let settings = kafka
        .node(sandbox.node())
        .set("kafka.partitions", 6)
        .set("kafka.languages", "[\"fr\", \"de\"]")
        .set("kafka.topic_settings.languages", "{fr={partitions=2}}")
        .set("kafka.parallelism", 4);
    let warning = format!("{french} has 2 partitions, fewer than kafka.parallelism (4)");
    let (_, warned) = good(&sandbox, &settings, &["create"]);
    assert!(warned.contains(&warning), "{warned}");
    assert_eq!(warned.lines().count(), 2, "{warned}");
    let (_, few, _) = described(&sandbox, &settings);
    assert_eq!(few.as_array().unwrap().len(), 2, "{few}");
    assert_eq!(few[0]["topic"], french.as_str());
    let (table, _) = good(&sandbox, &settings, &["describe"]);
    assert!(table.contains(&warning), "{table}");
    let node = ProcessNode::start(&sandbox, &settings);
    let log = node.log();
    let warnings = log
        .lines()
        .filter(|line| line.contains("fewer partitions than kafka.parallelism"));
    assert_eq!(
        warnings.filter(|line| line.contains(&french)).count(),
        2,
        "{log}"
    );
}

#[test]
fn more_replicas_than_brokers_are_refused_with_the_topics_name() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let settings = kafka.node(sandbox.node()).set("kafka.replication", 3);
    for arguments in [&["create"][..], &["create", "--dry-run"]] {
        let output = topics(&sandbox, &settings, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let named = format!(
            "creating topic {} with 4 partitions and 3 replicas: ",
            kafka.topics().requests
        );
        assert!(
            said.contains(&named) && said.contains("eplication factor"),
            "{said}"
        );
    }
}

#[test]
fn the_embedded_broker_is_said_to_have_no_administration() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node();
    for arguments in [&["create"][..], &["describe"]] {
        let output = topics(&sandbox, &settings, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("kafka.bootstrap_servers: the embedded broker"),
            "{said}"
        );
    }
    // That of another process is found out only when it is asked.
    let node = LocalNode::start(&settings);
    let address = node.clients().bootstrap().to_owned();
    let there = sandbox
        .node()
        .set("kafka.bootstrap_servers", format_args!("{address:?}"));
    for (settings, arguments) in [
        (there.clone(), &["describe"][..]),
        (there.set("kafka.topics.results", "others"), &["create"]),
    ] {
        let output = topics(&sandbox, &settings, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("is embedded and does not support administration"),
            "{said}"
        );
    }
    node.drain();
}
