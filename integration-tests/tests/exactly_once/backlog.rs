//! More work than can be done at once: a backlog that was there before the nodes, and nodes that hold back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use babelmesh::load::{Answer, Oracle};
use babelmesh_actors::domain::TranslationResult;
use babelmesh_integration_tests::{
    Cluster, Ids, Kafka, MachineLock, ProcessNode, Record, Sandbox, TopicReader, TopicWriter,
    measured, processes, request, wait_until,
};

use super::{SETTLE, fake, seconds, short_lived, start};

const MESSAGES: usize = 1_000_000;
/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(400);
/// Resident memory of the node: what it needs at all, what is on its way, and what librdkafka has read ahead.
const MOST_MEMORY: u64 = 500 << 20;

#[test]
fn a_backlog_of_a_million_messages_drains_with_bounded_memory() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::wait();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    kafka.create_topics(4);
    let (clients, topics) = (kafka.clients(), kafka.topics());
    let mut oracle = Oracle::new("backlog", &["fr".to_owned()]);
    let began = Instant::now();
    let writer = TopicWriter::new(&clients);
    for number in 0..MESSAGES {
        let id = oracle.send(Instant::now());
        let conversation = format!("c{}", number % 1_000);
        let body = request(&id, "See you at six?", &["fr"], &conversation);
        writer.write(&Record::to(
            &topics.requests,
            &conversation,
            body.to_string(),
        ));
    }
    writer.flush();
    drop(writer);
    println!("written within {}", seconds(began.elapsed()));
    let results = TopicReader::new(&clients, &topics.results);
    let node = ProcessNode::start_cold(&sandbox, &kafka.node(sandbox.node()).actors(1));
    let started = Instant::now();
    let memory = Memory::watch(node.pid());
    let mut lag = 0;
    let mut answered = 0;
    while answered < MESSAGES && started.elapsed() < PATIENCE {
        let Some(record) = results.next(Duration::from_millis(500)) else {
            continue;
        };
        let payload = record.payload.unwrap_or_default();
        let result: TranslationResult = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            result.translated_text.as_deref(),
            Some("fr:See you at six?")
        );
        let now = Instant::now();
        match oracle.receive(&result.message_id, &result.target_language, now) {
            Answer::First(_) => answered += 1,
            other => panic!("{other:?}: {result:?}"),
        }
        if answered % 20_000 == 0 {
            lag = lag.max(node.status().requests.lag_records);
        }
    }
    let drained = started.elapsed();
    let seen = memory.end();
    assert_eq!(answered, MESSAGES, "some are lost");
    assert!(results.rest().is_empty(), "some came twice");
    assert!(
        TopicReader::new(&clients, &topics.dead_letters)
            .rest()
            .is_empty()
    );
    assert!(
        lag > MESSAGES as u64 / 2,
        "there was no backlog: {lag} records"
    );
    let most = seen.iter().max().copied().unwrap_or(0);
    // Bounded: what it takes in the second half is not more than in the first.
    let (first, second) = seen.split_at(seen.len() / 2);
    let [first, second] = [first, second].map(|half| half.iter().max().copied().unwrap_or(0));
    println!(
        "{} MiB in the first half, {} MiB in the second",
        first >> 20,
        second >> 20
    );
    assert!(most > 0 && most < MOST_MEMORY, "{} MiB", most >> 20);
    assert!(second < first + (64 << 20), "memory grows");
    measured(
        "backlog of a million messages, drained within",
        seconds(drained),
    );
    measured(
        "backlog of a million messages, messages a second",
        (MESSAGES as f64 / drained.as_secs_f64()).round(),
    );
    measured(
        "backlog of a million messages, most memory of the node",
        format_args!("{} MiB", most >> 20),
    );
}

/// Tokens above which the nodes of this test read no more, and below which they go on.
const WATER: (u64, u64) = (8_000, 4_000);

#[test]
fn a_node_that_holds_back_reads_nothing_of_partitions_that_come_meanwhile() {
    let sandbox = Sandbox::new();
    let _turn = MachineLock::share();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let slow = || {
        short_lived(fake(&kafka, &sandbox))
            .actors(1)
            .set("engine.fake.segment_us", 40_000)
            .set("intake.high_water_tokens", WATER.0)
            .set("intake.low_water_tokens", WATER.1)
    };
    let mut backend = kafka.backend();
    let [mut first, second] = start(&sandbox, [slow(), slow()]);
    backend.ask_many(300, &["fr", "de"]);
    let jobs = |node: &ProcessNode| node.status().jobs;
    wait_until("both hold back", SETTLE, || {
        jobs(&first).paused && jobs(&second).paused
    });
    let before = jobs(&second).partitions;
    first.kill();
    let (mut looks, mut queued) = (0, None);
    let killed = Instant::now();
    let look = Duration::from_millis(20);
    while !backend.read_until(look, Ids::is_complete) && killed.elapsed() < SETTLE {
        let jobs = jobs(&second);
        let holds_back = jobs.partitions > before && jobs.paused && jobs.lag_records > 0;
        looks += u32::from(holds_back);
        let last = queued.replace(jobs.queued_tokens).filter(|_| holds_back);
        if let Some(last) = last {
            assert!(jobs.queued_tokens <= last, "it reads on: {jobs:?}");
        }
        queued = queued.filter(|_| holds_back);
    }
    backend.read_all(SETTLE);
    backend.ids.assert_exactly_once();
    assert!(looks > 1, "it never held back what came");
    wait_until("nothing is unread or unanswered", SETTLE, || {
        let jobs = jobs(&second);
        (jobs.lag_records, jobs.oldest_age_ms, jobs.paused) == (0, 0, false)
    });
}

/// Watches the memory of a process.
struct Memory {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Memory {
    fn watch(pid: u32) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ours = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            while !ours.load(Ordering::Relaxed) {
                seen.extend(processes::memory_of(pid));
                thread::sleep(Duration::from_millis(50));
            }
            seen
        });
        Self { done, thread }
    }

    /// What it saw, in bytes, one after another.
    fn end(self) -> Vec<u64> {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
