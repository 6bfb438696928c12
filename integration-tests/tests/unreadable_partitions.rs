//! A partition whose data no client can read.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Cluster, Kafka, LocalNode, PATIENCE, Record, Sandbox, TopicReader, TopicWriter, measured,
    request, wait_until,
};

/// Where the attributes of a batch are, and what they are for a codec that nobody knows.
const ATTRIBUTES: (u64, [u8; 2]) = (21, [0, 7]);

/// The folder of this name below another one.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.path()).find_map(|path| {
        if !path.is_dir() {
            None
        } else if path.ends_with(name) {
            Some(path)
        } else {
            find(&path, name)
        }
    })
}

/// Damages the first batch of a partition.
fn damage(sandbox: &Sandbox, topic: &str, partition: i32) {
    let folder = find(sandbox.folder(), &format!("{topic}-{partition}")).unwrap();
    let segment = folder.join("00000000000000000000.log");
    let segment = File::options().write(true).open(segment).unwrap();
    segment.write_all_at(&ATTRIBUTES.1, ATTRIBUTES.0).unwrap();
}

#[test]
fn a_partition_that_cannot_be_read_is_seen_and_holds_up_no_other() {
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let topic = kafka.topics().requests;
    let writer = TopicWriter::new(&kafka.clients());
    for number in 0..40 {
        let (id, key) = (format!("m{number}"), format!("c{number}"));
        let body = request(&id, "hello", &["fr"], &key).to_string();
        writer.write(&Record::to(&topic, &key, body));
    }
    writer.flush();
    let written = TopicReader::new(&kafka.clients(), &topic).take(40, PATIENCE);
    damage(&sandbox, &topic, 0);
    let readable = written.iter().filter(|record| record.partition != 0);
    let readable: Vec<_> = readable
        .map(|record| record.key.replace('c', "m"))
        .collect();
    assert!(!readable.is_empty() && readable.len() < 40);
    readable.iter().for_each(|id| backend.ids.ask(id, "fr"));

    let settings = kafka.node(sandbox.node());
    let node = LocalNode::start(&settings.set("http.listen", "\"127.0.0.1:0\""));
    let started = Instant::now();
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let problem = format!("topic {topic} partition 0 is stalled");
    wait_until("the partition is in /ready", PATIENCE, || {
        let missing = node.http().get("/ready").json()["missing"].clone();
        missing
            .as_array()
            .unwrap()
            .contains(&problem.clone().into())
    });
    let took = started.elapsed();
    measured(
        "unreadable partition: it is in /ready after",
        format_args!("{took:.1?}"),
    );
    assert!(took < Duration::from_secs(12), "{took:?}");
    let problems = node.status().topic_problems;
    assert_eq!((problems.len(), &problems[0].topic), (1, &topic));
    // The others are still read.
    for id in &readable {
        let (again, key) = (format!("again-{id}"), id.replace('m', "c"));
        backend.ids.ask(&again, "fr");
        let body = request(&again, "hello", &["fr"], &key).to_string();
        writer.write(&Record::to(&topic, &key, body));
    }
    writer.flush();
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    node.drain();
}
