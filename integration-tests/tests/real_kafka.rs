//! Real Kafka brokers: what the other tests of the full tier rely on.

#![allow(clippy::print_stdout, reason = "times are for whoever looks")]

use std::time::{Duration, Instant};

use babelmesh::kafka::admin::Admin;
use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, PATIENCE, Record, Sandbox, TopicReader, TopicWriter, processes,
    request, wait_until,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};

/// Says how long it took.
fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = act();
    println!("{what}: {:.1} s", started.elapsed().as_secs_f32());
    done
}

fn write(kafka: &Kafka, texts: impl Iterator<Item = String>) {
    let writer = TopicWriter::new(&kafka.clients());
    for text in texts {
        writer.write(&Record::to(&kafka.topics().results, &text, text.as_bytes()));
    }
    writer.flush();
}

fn read(kafka: &Kafka, count: usize) -> Vec<String> {
    let reader = TopicReader::new(&kafka.clients(), &kafka.topics().results);
    let mut records = reader.take(count, PATIENCE);
    records.extend(reader.rest());
    let mut keys: Vec<_> = records.into_iter().map(|record| record.key).collect();
    keys.sort_unstable();
    keys
}

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| format!("{number:03}"))
}

#[test]
fn a_node_translates_what_a_real_broker_holds_exactly_once() {
    let sandbox = Sandbox::new();
    let Some(kafka) = timed("a broker starts", || Kafka::any(&sandbox)) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = timed("a node starts", || {
        LocalNode::start(&kafka.node(sandbox.node()))
    });
    for number in 0..200 {
        let conversation = format!("c{}", number % 10);
        let text = format!("text {number}");
        backend.ask(&request(
            &format!("m{number}"),
            &text,
            &["fr"],
            &conversation,
        ));
    }
    timed("200 answers", || backend.read_all(PATIENCE));
    backend.ids.assert_exactly_once();
    assert_eq!(backend.ids.answered(), 200);
    assert!(backend.ids.all().all(|answer| answer.error().is_empty()));
    node.drain();
}

#[test]
fn a_broker_that_was_killed_or_stopped_comes_back_with_its_data() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::mortal(1)) else {
        return;
    };
    kafka.create_topics(4);
    write(&kafka, numbers(0..100));
    let first = kafka.pid(1).unwrap();
    let address = kafka.bootstrap().to_owned();
    kafka.kill(1);
    assert!(!processes::is_alive(first));
    assert_eq!(kafka.pid(1), None);
    std::net::TcpStream::connect(&address).unwrap_err();
    timed("a killed broker comes back", || kafka.start_broker(1));
    let second = kafka.pid(1).unwrap();
    assert_ne!(first, second);
    assert_eq!(read(&kafka, 100), numbers(0..100).collect::<Vec<_>>());
    write(&kafka, numbers(100..200));
    kafka.stop(1);
    assert!(!processes::is_alive(second));
    timed("a stopped broker comes back", || kafka.start_broker(1));
    assert_eq!(read(&kafka, 200), numbers(0..200).collect::<Vec<_>>());
    drop(kafka);
    std::net::TcpStream::connect(&address).unwrap_err();
}

#[test]
fn three_brokers_go_on_when_one_is_killed() {
    let sandbox = Sandbox::new();
    let started = timed("three brokers start", || {
        Kafka::start(&sandbox, Cluster::mortal(3))
    });
    let Some(kafka) = started else {
        return;
    };
    kafka.create_topics(4);
    write(&kafka, numbers(0..100));
    kafka.kill(2);
    timed("100 records after the kill", || {
        write(&kafka, numbers(100..200));
    });
    assert_eq!(kafka.pid(2), None);
    assert_eq!(read(&kafka, 200), numbers(0..200).collect::<Vec<_>>());
    timed("the killed one comes back", || kafka.start_broker(2));
    write(&kafka, numbers(200..300));
    assert_eq!(read(&kafka, 300), numbers(0..300).collect::<Vec<_>>());
}

#[test]
fn a_cut_network_holds_a_node_up_until_it_is_healed() {
    let sandbox = Sandbox::new();
    let cluster = Cluster {
        proxied: true,
        ..Cluster::default()
    };
    let Some(kafka) = Kafka::start(&sandbox, cluster) else {
        return;
    };
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    backend.ask(&request("before", "text", &["fr"], "c"));
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    kafka.cut();
    let passed = kafka.forwarded();
    assert!(
        passed > 0,
        "the node reaches the brokers through the proxies"
    );
    backend.ask(&request("during", "text", &["fr"], "c"));
    backend.flush();
    let came = backend.read_until(Duration::from_secs(3), |ids| ids.answered() == 2);
    assert!(!came, "nothing reaches the node");
    assert_eq!(kafka.forwarded(), passed, "nothing passes");
    kafka.heal();
    timed("an answer after the cut", || backend.read_all(PATIENCE));
    backend.ids.assert_nothing_lost();
    assert!(kafka.forwarded() > passed);
    node.drain();
}

/// Whether a client with these options gets an answer in time. One that is refused tries again until then.
fn answers(bootstrap: &str, options: &[(&str, &str)], within: Duration) -> bool {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (key, value) in options {
        config.set(*key, *value);
    }
    let client: BaseConsumer = config.create().unwrap();
    client
        .fetch_metadata(None, within)
        .is_ok_and(|metadata| metadata.brokers().len() == 1)
}

#[test]
fn secure_listeners_admit_known_clients_only() {
    let sandbox = Sandbox::new();
    let cluster = Cluster {
        secure: true,
        ..Cluster::default()
    };
    let Some(kafka) = Kafka::start(&sandbox, cluster) else {
        return;
    };
    let security = kafka.security();
    let let_in = |to: &str, options: &[_]| answers(to, options, PATIENCE);
    let refused = |to: &str, options: &[_]| !answers(to, options, Duration::from_secs(2));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let ca = path(&security.ca);
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", &ca)];
    assert!(let_in(&security.ssl, &tls));
    let other = path(&security.other_ca);
    assert!(refused(
        &security.ssl,
        &[tls[0], ("ssl.ca.location", &other)]
    ));
    assert!(refused(&security.mutual_tls, &tls));
    let (certificate, key) = (
        path(&security.client_certificate),
        path(&security.client_key),
    );
    let client = [
        ("ssl.certificate.location", certificate.as_str()),
        ("ssl.key.location", &key),
    ];
    assert!(let_in(&security.mutual_tls, &[tls, client].concat()));
    let mechanisms = [
        ("PLAIN", &security.plain),
        ("SCRAM-SHA-256", &security.scram),
        ("SCRAM-SHA-512", &security.scram),
    ];
    for (mechanism, user) in mechanisms {
        let sasl = |password| {
            [
                ("security.protocol", "sasl_ssl"),
                ("ssl.ca.location", &ca),
                ("sasl.mechanism", mechanism),
                ("sasl.username", &user.name),
                ("sasl.password", password),
            ]
        };
        assert!(
            let_in(&security.sasl_ssl, &sasl(&user.password)),
            "{mechanism}"
        );
        assert!(
            refused(&security.sasl_ssl, &sasl("not the password")),
            "{mechanism}"
        );
        assert!(!kafka.log(1).contains(&user.password));
    }
}

#[test]
fn brokers_end_with_the_process_that_they_belong_to() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder().join("cluster");
    let script = babelmesh_integration_tests::repository().join("integration-tests/kafka");
    let mut owner = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let started = std::process::Command::new(script)
        .arg("start")
        .args([
            "--folder",
            folder.to_str().unwrap(),
            "--until-pid",
            &owner.id().to_string(),
        ])
        .output()
        .unwrap();
    if started.status.success() {
        let pid = std::fs::read_to_string(folder.join("broker-1/broker.pid")).unwrap();
        let pid = pid.split(' ').next().unwrap().parse().unwrap();
        assert!(processes::is_alive(pid));
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_until("the broker is dead", PATIENCE, || !processes::is_alive(pid));
        wait_until("its folder is deleted", PATIENCE, || !folder.exists());
    } else {
        owner.kill().unwrap();
        owner.wait().unwrap();
        // The other tests say why, or fail.
        assert_eq!(started.status.code(), Some(3), "{started:?}");
    }
}

#[test]
fn batches_of_every_codec_are_read() {
    const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    kafka.create_topics(2);
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    let clients = kafka.clients();
    let topics = kafka.topics();
    for codec in CODECS {
        let writer = TopicWriter::compressed(&clients, codec);
        for number in 0..50 {
            let id = format!("{codec}-{number}");
            let body = request(&id, "hello", &["fr"], "c").to_string();
            backend.ids.ask(&id, "fr");
            writer.write(&Record::to(&topics.requests, "c", body));
        }
        writer.flush();
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    node.drain();
}

#[test]
fn a_topic_that_the_broker_compresses_is_read() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    kafka.create_topics(2);
    let topics = kafka.topics();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let admin: AdminClient<DefaultClientContext> = kafka.clients().admin().create().unwrap();
    let french = format!("{}.fr", topics.jobs);
    let changes = [&*topics.requests, &french].map(|topic| {
        AlterConfig::new(ResourceSpecifier::Topic(topic)).set("compression.type", "zstd")
    });
    let altered = runtime.block_on(admin.alter_configs(&changes, &AdminOptions::new()));
    assert!(altered.unwrap().iter().all(Result::is_ok));
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    backend.ask_many(200, &["fr"]);
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    node.drain();
}

#[test]
fn partitions_that_are_added_are_read_within_seconds() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::any(&sandbox) else {
        return;
    };
    kafka.create_topics(1);
    let mut backend = kafka.backend();
    let node = LocalNode::start(&kafka.node(sandbox.node()));
    backend.ask_many(20, &["fr"]);
    backend.read_all(PATIENCE);
    let topics = kafka.topics();
    let admin = Admin::new(&kafka.clients(), PATIENCE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for topic in [topics.requests, format!("{}.fr", topics.jobs)] {
        runtime.block_on(admin.add_partitions(&topic, 4)).unwrap();
    }
    // A producer that starts now knows all partitions; its records are spread over them by their keys.
    let writer = TopicWriter::new(&kafka.clients());
    let started = Instant::now();
    for number in 0..100 {
        let (id, key) = (format!("later-{number}"), format!("c{number}"));
        backend.ids.ask(&id, "fr");
        let body = request(&id, "hello", &["fr"], &key).to_string();
        writer.write(&Record::to(&kafka.topics().requests, &key, body));
    }
    writer.flush();
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    println!("read after {:.1} s", started.elapsed().as_secs_f32());
    node.drain();
}
