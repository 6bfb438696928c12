//! TLS and users between nodes and real brokers.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Backend, Cluster, Kafka, LocalNode, PATIENCE, ProcessNode, Sandbox, Settings, User, request,
};

/// What librdkafka says of what it does, which is where a secret would be.
const CHATTY: &str = "{debug=\"security,broker,conf\"}";

fn secure(sandbox: &Sandbox) -> Option<Kafka> {
    let cluster = Cluster {
        secure: true,
        ..Cluster::default()
    };
    Kafka::start(sandbox, cluster)
}

/// A node of the cluster at these listeners. Its place is free at once when it ends.
fn node(sandbox: &Sandbox, kafka: &Kafka, listeners: &str, protocol: &str) -> Settings {
    kafka
        .node(sandbox.node())
        .set("kafka.bootstrap_servers", format_args!("{listeners:?}"))
        .set("kafka.static_membership", false)
        .set("kafka.security.protocol", protocol)
        .set("kafka.security.ca_file", kafka.security().ca.display())
}

fn as_user(settings: Settings, mechanism: &str, user: &User) -> Settings {
    settings
        .set("kafka.security.sasl.mechanism", mechanism)
        .set("kafka.security.sasl.username", &user.name)
}

fn with_certificate(settings: Settings, kafka: &Kafka) -> Settings {
    let security = kafka.security();
    settings
        .set(
            "kafka.security.certificate_file",
            security.client_certificate.display(),
        )
        .set("kafka.security.key_file", security.client_key.display())
}

/// Has three texts translated by a node that runs.
fn assert_translates(backend: &mut Backend, way: &str) {
    let before = backend.ids.answered();
    for number in 0..3 {
        backend.ask(&request(&format!("{way}-{number}"), "text", &["fr"], way));
    }
    backend.read_all(PATIENCE);
    assert_eq!(backend.ids.answered(), before + 3, "{way}");
    backend.ids.assert_exactly_once();
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
}

#[test]
fn messages_are_translated_on_every_way_in_that_brokers_have() {
    let sandbox = Sandbox::new();
    let Some(kafka) = secure(&sandbox) else {
        return;
    };
    let security = kafka.security();
    let mut backend = kafka.backend();
    let password_file = sandbox.folder().join("password");
    fs::write(&password_file, format!("{}\n", security.scram.password)).unwrap();
    let tls = node(&sandbox, &kafka, &security.ssl, "ssl");
    let mutual = node(&sandbox, &kafka, &security.mutual_tls, "ssl");
    let sasl = || node(&sandbox, &kafka, &security.sasl_ssl, "sasl_ssl");
    let password = "kafka.security.sasl.password";
    let ways = [
        ("tls", tls),
        ("mutual", with_certificate(mutual, &kafka)),
        (
            "plain",
            as_user(sasl(), "PLAIN", &security.plain).set(password, &security.plain.password),
        ),
        (
            "scram-256",
            as_user(sasl(), "SCRAM-SHA-256", &security.scram)
                .set(password, &security.scram.password),
        ),
        (
            "scram-512",
            as_user(sasl(), "SCRAM-SHA-512", &security.scram)
                .set("kafka.security.sasl.password_file", password_file.display()),
        ),
    ];
    for (way, settings) in ways {
        let node = LocalNode::start(&settings);
        assert_translates(&mut backend, way);
        node.drain();
    }
}

#[test]
fn a_node_that_logs_everything_does_not_log_its_password() {
    let sandbox = Sandbox::new();
    let Some(kafka) = secure(&sandbox) else {
        return;
    };
    let security = kafka.security();
    let mut backend = kafka.backend();
    for (mechanism, user) in [
        ("PLAIN", &security.plain),
        ("SCRAM-SHA-512", &security.scram),
    ] {
        let settings = node(&sandbox, &kafka, &security.sasl_ssl, "sasl_ssl");
        let settings = as_user(settings, mechanism, user)
            .set("kafka.security.sasl.password", &user.password)
            .set("log.filter", "trace")
            .set("kafka.options", CHATTY);
        let node = ProcessNode::start(&sandbox, &settings);
        assert_translates(&mut backend, mechanism);
        let log = node.log();
        let heard = format!("Selected provider {} for SASL mechanism", {
            match mechanism {
                "PLAIN" => "PLAIN (builtin)",
                _ => "SCRAM (builtin)",
            }
        });
        assert!(log.contains(&heard), "librdkafka is not heard: {log}");
        assert!(!log.contains(&user.password));
    }
}

/// Runs a command with settings that brokers refuse, and everything logged. The password is in the environment.
fn complaint(sandbox: &Sandbox, command: &[&str], settings: &Settings, password: &str) -> String {
    let mut process: Command = sandbox.command();
    process.args(command);
    for (key, value) in settings.pairs() {
        process.arg("--set").arg(format!("{key}={value}"));
    }
    process
        .args(["--set", "log.filter=trace", "--set"])
        .arg(format!("kafka.options={CHATTY}"));
    if !password.is_empty() {
        process.env("BABELMESH_KAFKA__SECURITY__SASL__PASSWORD", password);
    }
    let output: Output = process.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_client_that_brokers_refuse_is_told_why_at_once_and_shows_no_password() {
    /// Far more than it takes to be refused.
    const STARTUP: Duration = Duration::from_secs(100);
    let sandbox = Sandbox::new();
    let Some(kafka) = secure(&sandbox) else {
        return;
    };
    let security = kafka.security();
    let wrong = "not-the-passw0rd";
    let sasl = || node(&sandbox, &kafka, &security.sasl_ssl, "sasl_ssl");
    let scram = || as_user(sasl(), "SCRAM-SHA-512", &security.scram);
    let stranger = || scram().set("kafka.security.ca_file", security.other_ca.display());
    let (refused, invalid, certificate) = (
        "check kafka.security.sasl",
        "uthentication failed",
        "certificate verify failed",
    );
    let cases = [
        (scram(), wrong, [invalid, refused]),
        (
            as_user(sasl(), "SCRAM-SHA-256", &security.scram),
            wrong,
            [invalid, refused],
        ),
        (
            as_user(sasl(), "PLAIN", &security.plain),
            wrong,
            [invalid, refused],
        ),
        (
            stranger(),
            security.scram.password.as_str(),
            [certificate, "check kafka.security.ca_file"],
        ),
        (
            node(&sandbox, &kafka, &security.mutual_tls, "ssl"),
            "",
            ["SSL alert number", "check kafka.security.certificate_file"],
        ),
    ];
    for (number, (settings, password, parts)) in cases.iter().enumerate() {
        let settings = settings
            .clone()
            .set("kafka.startup_timeout_ms", STARTUP.as_millis());
        for command in [&["node"][..], &["topics", "describe"]] {
            let started = Instant::now();
            let complaint = complaint(&sandbox, command, &settings, password);
            assert!(started.elapsed() < STARTUP / 3, "{number}: {complaint}");
            // Lines of the log may follow.
            let mut lines = complaint.lines().rev();
            let last = lines.find(|line| line.starts_with("babelmesh: "));
            let last = last.unwrap_or_default();
            assert!(
                last.starts_with("babelmesh: no Kafka broker at ")
                    && last.contains("accepts this client"),
                "{number}: {complaint}"
            );
            for part in parts {
                assert!(last.contains(part), "{number}: no {part} in {last}");
            }
            assert!(complaint.contains("SSL"), "librdkafka is not heard");
            assert!(password.is_empty() || !complaint.contains(password));
        }
    }
}

#[test]
fn a_client_with_another_protocol_than_the_listener_is_told_so() {
    let sandbox = Sandbox::new();
    let Some(kafka) = secure(&sandbox) else {
        return;
    };
    let security = kafka.security();
    let plain = |listeners: &str| {
        kafka
            .node(sandbox.node())
            .set("kafka.bootstrap_servers", format_args!("{listeners:?}"))
    };
    let cases = [
        // Neither encryption nor credentials where both are asked for.
        plain(&security.sasl_ssl),
        plain(&security.ssl),
        // Encryption without credentials, and where there is none.
        node(&sandbox, &kafka, &security.sasl_ssl, "ssl"),
        node(&sandbox, &kafka, kafka.bootstrap(), "ssl"),
    ];
    for (number, settings) in cases.into_iter().enumerate() {
        let settings = settings.set("kafka.startup_timeout_ms", 3_000);
        let complaint = complaint(&sandbox, &["node"], &settings, "");
        let last = complaint.lines().last().unwrap();
        assert!(
            last.contains("within 3000 ms: ") && last.contains("check kafka.security.protocol"),
            "{number}: {complaint}"
        );
    }
}

#[test]
fn a_configuration_that_is_printed_shows_no_secret() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (own, certificate) = (file("password", "s3cret-own\n"), file("node.pem", ""));
    let written = |password: &str, key: &Path| {
        format!(
            "[kafka.security]\nprotocol = \"sasl_ssl\"\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n\
             key_password = \"s3cret-key\"\n[kafka.security.sasl]\nusername = \"someone\"\n{password}\n"
        )
    };
    for (password, variable) in [
        ("password = \"s3cret-in-file\"".to_owned(), None),
        (format!("password_file = {own:?}"), None),
        (String::new(), Some("s3cret-environment")),
    ] {
        let config = file("config.toml", &written(&password, &certificate));
        let mut command = sandbox.command();
        command
            .args(["check-config", "--print", "--config"])
            .arg(&config);
        command.args([
            "--set",
            "kafka.options={\"ssl.keystore.password\"=\"s3cret-option\"}",
        ]);
        if let Some(value) = variable {
            command.env("BABELMESH_KAFKA__SECURITY__SASL__PASSWORD", value);
        }
        let output = command.output().unwrap();
        let shown = format!("{output:?}");
        assert!(output.status.success(), "{shown}");
        assert!(
            shown.contains("someone") && shown.contains("***") && !shown.contains("s3cret"),
            "{shown}"
        );
        // Nor does a mistake elsewhere bring it out.
        let output = command
            .args(["--set", "kafka.security.key_file=/nowhere"])
            .output()
            .unwrap();
        let shown = format!("{output:?}");
        assert!(!output.status.success() && shown.contains("kafka.security.key_file: "));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
