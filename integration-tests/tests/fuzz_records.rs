//! Records of every kind that a producer can write, good and bad, many at a time: each good one is answered, each bad one is dead-lettered with
//! its reason, and the node goes on.

mod cases;
mod writers;

use std::{
    collections::BTreeMap,
    env, fs,
    time::{Duration, Instant},
};

use babelmesh_integration_tests::{
    Backend, Cluster, Kafka, ProcessNode, Sandbox, SeededRng, clients::Interpreter, measured,
    wait_until,
};

use self::{
    cases::{Cases, Expected},
    writers::Writers,
};

/// In the environment: how many records are written.
const COUNT: &str = "FUZZ_RECORDS";
/// Most memory for data of the node, in MiB.
const MEMORY: u32 = 1_024;
/// Longest time without another answer.
const STALLED: Duration = Duration::from_secs(60);
/// Records on their way at a time, answered ones not counted.
const AHEAD: usize = 20_000;

fn count() -> usize {
    match env::var(COUNT) {
        Ok(count) => count
            .parse()
            .unwrap_or_else(|_| panic!("{COUNT} is not a number: {count}")),
        Err(_) => 100_000,
    }
}

/// What the answers and letters must be.
#[derive(Default)]
struct Book {
    /// Error code of each answer; empty for a translation.
    codes: BTreeMap<(String, String), &'static str>,
    /// Letters by code.
    letters: BTreeMap<&'static str, usize>,
}

impl Book {
    fn expect(&mut self, expected: Expected, backend: &mut Backend) {
        for (id, target, code) in expected.answers {
            backend.ids.ask(&id, &target);
            self.codes.insert((id, target), code);
        }
        if let Some(code) = expected.letter {
            *self.letters.entry(code).or_default() += 1;
        }
    }

    fn check(&self, backend: &Backend) {
        backend.ids.assert_exactly_once();
        for answer in backend.ids.all() {
            let result = &answer.result;
            let id = (result.message_id.clone(), result.target_language.clone());
            assert_eq!(Some(&answer.error()), self.codes.get(&id), "{result:?}");
        }
        let mut letters: BTreeMap<String, usize> = BTreeMap::new();
        for letter in backend.letters(self.letters.values().sum(), STALLED) {
            let code = letter.header("babelmesh-error-code").to_owned();
            *letters.entry(code).or_default() += 1;
        }
        let wanted = self.letters.iter();
        let wanted: BTreeMap<_, _> = wanted
            .map(|(code, count)| ((*code).to_owned(), *count))
            .collect();
        assert_eq!(letters, wanted);
    }
}

/// Most resident memory that a process has had, in MiB.
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
    kibibytes.unwrap().parse::<usize>().unwrap() / 1_024
}

/// Reads answers until at most `open` are missing.
fn read_until(backend: &mut Backend, open: usize) {
    let (mut answered, mut since) = (0, Instant::now());
    while backend.ids.asked() > backend.ids.answered() + open {
        backend.read_until(Duration::from_millis(500), |ids| {
            ids.asked() <= ids.answered() + open
        });
        if backend.ids.answered() > answered {
            (answered, since) = (backend.ids.answered(), Instant::now());
        }
        if since.elapsed() > STALLED {
            return backend.ids.assert_nothing_lost();
        }
    }
}

#[test]
fn records_of_any_kind_are_answered_or_dead_lettered_and_disturb_nothing() {
    let packages = ["kafka-python==2.2.15"];
    let Some(python) = Interpreter::python("kafka-python", &packages) else {
        return;
    };
    let sandbox = Sandbox::new();
    let Some(kafka) = Kafka::start(&sandbox, Cluster::default()) else {
        return;
    };
    let mut backend = kafka.backend();
    let settings = kafka
        .node(sandbox.node())
        .set("intake.max_text_chars", cases::MAX_TEXT_CHARS);
    let node = ProcessNode::start_limited(MEMORY, &sandbox, &settings);
    let mut cases = Cases::new(kafka.topics(), SeededRng::of("records"));
    let mut writers = Writers::new(&kafka.clients(), sandbox.folder());
    let mut book = Book::default();
    let started = Instant::now();
    let records = count();
    for _ in 0..records {
        let case = cases.next();
        book.expect(case.expected, &mut backend);
        writers.write(case.record);
        read_until(&mut backend, AHEAD);
    }
    writers.finish(&python, kafka.bootstrap());
    read_until(&mut backend, 0);
    let took = started.elapsed().as_secs_f64();
    backend.read_all(STALLED);
    book.check(&backend);

    let failed = ["panic", "record_given_up"]
        .iter()
        .find(|word| node.log().contains(**word));
    assert_eq!(failed, None, "{}", node.log());
    wait_until("nothing waits", STALLED, || {
        let status = node.status();
        let idle = |source: &babelmesh::node::SourceStatus| {
            source.lag_records == 0 && source.queued_tokens == 0
        };
        idle(&status.requests) && idle(&status.jobs)
    });
    measured("fuzz: records", records);
    measured("fuzz: answers", backend.ids.answered());
    measured(
        "fuzz: records/s",
        format_args!("{:.0}", records as f64 / took),
    );
    measured("fuzz: peak memory of the node, MiB", peak(node.pid()));
}
