//! Caching and in-flight deduplication: every order has exactly one outcome, whatever happens to batch or cache.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    cache::{CacheKey, TranslationCache},
    domain::ErrorCode,
    engine::{FakeSpec, Translation},
    events::{Event, PieceSource},
    intake::IntakeMessage,
    pool::{PoolMessage, PoolSpec},
    retry::RetryPolicy,
};

use crate::{
    bench::{Bench, LONG, mark, texts},
    commands::{ask, pause, resume},
};

/// How the shared place behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Absent,
    Answers,
    /// Takes long, and then knows nothing.
    Slow,
    Panics,
}

/// A memory with a shared place beside it; what is put is in both.
struct Memory {
    at_hand: Mutex<HashMap<CacheKey, Translation>>,
    remote_nodes: Mutex<HashMap<CacheKey, Translation>>,
    shared: Shared,
    asked: AtomicUsize,
}

impl Memory {
    fn new(shared: Shared) -> Arc<Self> {
        Arc::new(Self {
            at_hand: Mutex::default(),
            remote_nodes: Mutex::default(),
            shared,
            asked: AtomicUsize::new(0),
        })
    }

    /// As if its node had been started anew.
    fn forget(&self) {
        self.at_hand.lock().unwrap().clear();
    }
}

#[async_trait]
impl TranslationCache for Memory {
    fn get(&self, key: &CacheKey) -> Option<Translation> {
        self.at_hand.lock().unwrap().get(key).cloned()
    }

    fn is_shared(&self) -> bool {
        self.shared != Shared::Absent
    }

    async fn ask(&self, keys: &[CacheKey]) -> Vec<Option<Translation>> {
        self.asked.fetch_add(keys.len(), Ordering::Relaxed);
        match self.shared {
            Shared::Absent => Vec::new(),
            Shared::Answers => {
                let known = self.remote_nodes.lock().unwrap();
                keys.iter().map(|key| known.get(key).cloned()).collect()
            }
            Shared::Slow => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                vec![None; keys.len()]
            }
            Shared::Panics => panic!("the memory was told to panic"),
        }
    }

    fn put(&self, made: Vec<(CacheKey, Translation)>) {
        self.at_hand.lock().unwrap().extend(made.clone());
        self.remote_nodes.lock().unwrap().extend(made);
    }
}

async fn start(fake: FakeSpec, memory: &Arc<Memory>, change: impl FnOnce(&mut PoolSpec)) -> Bench {
    let retry = RetryPolicy {
        attempts: 0,
        ..RetryPolicy::default()
    };
    let cache = Some(Arc::clone(memory) as _);
    let bench = Bench::start_whole(fake, retry, (Arc::new(()), cache), change).await;
    // What is remembered of an engine is known once one has told its numeric type.
    bench.until("warm", |s| crate::bench::warm(s) > 0).await;
    bench
}

async fn start_cold(fake: FakeSpec, memory: &Arc<Memory>) -> Bench {
    let cache = Some(Arc::clone(memory) as _);
    let retry = RetryPolicy::default();
    Bench::start_whole(fake, retry, (Arc::new(()), cache), |_| {}).await
}

fn computes_in(numeric: &str) -> FakeSpec {
    FakeSpec {
        numeric: numeric.to_owned(),
        ..FakeSpec::default()
    }
}

/// How often engines were given each text.
fn given(bench: &Bench) -> BTreeMap<String, usize> {
    let mut given = BTreeMap::new();
    for (_, text) in bench.seen() {
        *given.entry(text).or_default() += 1;
    }
    given
}

/// Orders of which no piece needed an engine, and all that were translated. Each of them has the right text.
fn known(bench: &Bench) -> (usize, usize) {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let (mut known, mut all) = (0, 0);
    for outcome in outcomes.iter() {
        let Ok(translated) = &outcome.result else {
            continue;
        };
        all += 1;
        known += usize::from(translated.from_cache);
        let text = &outcome.order.request.text;
        if !text.contains('\n') {
            assert_eq!(translated.text, format!("fr:{text}"));
        }
        assert_eq!(translated.from_cache, translated.worker.is_empty());
        assert_eq!(translated.from_cache, translated.batch_size == 0);
        assert!(translated.segments > 0 && translated.confidence > 0.0);
    }
    (known, all)
}

fn pieces(bench: &Bench, wanted: PieceSource) -> bool {
    bench.count(|event| matches!(event, Event::PiecesKnown { source, .. } if *source == wanted)) > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_translations_reach_no_engine() {
    let memory = Memory::new(Shared::Absent);
    let mut bench = start(FakeSpec::default(), &memory, |_| {}).await;
    bench.offer(texts(100));
    assert!(bench.settle().await.is_empty());
    assert_eq!(known(&bench), (0, 100));
    bench.offer(texts(100));
    bench.offer(texts(101));
    assert!(bench.settle().await.is_empty());
    assert_eq!(known(&bench), (200, 301));
    assert_eq!(given(&bench).len(), 101);
    assert!(given(&bench).values().all(|times| *times == 1));
    assert!(pieces(&bench, PieceSource::Memory));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_known_in_part_is_put_together_from_both() {
    let memory = Memory::new(Shared::Absent);
    let mut bench = start(FakeSpec::default(), &memory, |_| {}).await;
    bench.offer(["One sentence.".to_owned(), "Another one.".to_owned()]);
    assert!(bench.settle().await.is_empty());
    bench.offer(["- One sentence.\n- A new one. 🎉\n- Another one.".to_owned()]);
    assert!(bench.settle().await.is_empty());
    let outcomes = bench.outcomes.0.lock().unwrap();
    let last = outcomes.last().unwrap().result.as_ref().unwrap();
    assert_eq!(
        last.text,
        "- fr:One sentence.\n- fr:A new one. 🎉\n- fr:Another one."
    );
    assert_eq!((last.segments, last.from_cache), (3, false));
    assert!(!last.worker.is_empty());
    drop(outcomes);
    assert_eq!(given(&bench).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_many_want_at_once_is_translated_once() {
    let memory = Memory::new(Shared::Absent);
    let fake = FakeSpec {
        batch_us: 100_000,
        ..FakeSpec::default()
    };
    let mut bench = start(fake, &memory, |_| {}).await;
    for _ in 0..10 {
        bench.offer((0..50).map(|_| "The same for all.".to_owned()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(bench.settle().await.is_empty());
    assert_eq!(
        given(&bench),
        BTreeMap::from([("The same for all.".to_owned(), 1)])
    );
    assert_eq!(known(&bench), (499, 500));
    assert!(pieces(&bench, PieceSource::Twin));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_asked_for_a_fresh_answer_gives_one() {
    let memory = Memory::new(Shared::Absent);
    let mut bench = start(FakeSpec::default(), &memory, |_| {}).await;
    for _ in 0..3 {
        bench.offer_fresh(["Are you there?".to_owned()]);
        assert!(bench.settle().await.is_empty());
    }
    assert_eq!(given(&bench)["Are you there?"], 3);
    assert_eq!(known(&bench), (0, 3));
}

/// A poison text must not affect duplicates in the same batch, and its own duplicates must not wait forever.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_text_that_kills_engines_are_all_answered_and_nothing_else_suffers() {
    for (crash, refuse) in [(mark("poison"), None), (None, mark("poison"))] {
        let memory = Memory::new(Shared::Absent);
        let fake = FakeSpec {
            crash_on: crash,
            refuse_on: refuse,
            batch_us: 2_000,
            ..FakeSpec::default()
        };
        let mut bench = start(fake, &memory, |_| {}).await;
        for round in 0..4 {
            bench.offer((0..40).map(|i| match i % 10 {
                0 => "This one is poison.".to_owned(),
                i => format!("Message number {i} of round {}.", round / 2),
            }));
        }
        let errors = bench.settle().await;
        assert_eq!(errors.len(), 16);
        assert!(
            errors
                .values()
                .all(|code| *code == ErrorCode::EngineFailed || *code == ErrorCode::PoisonText)
        );
        assert_eq!(known(&bench).1, 144);
        assert_eq!(bench.status().await.jobs, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_answered_after_the_first_sender_gave_up() {
    let memory = Memory::new(Shared::Absent);
    let fake = FakeSpec {
        batch_us: 300_000,
        ..FakeSpec::default()
    };
    let mut bench = start(fake, &memory, |_| {}).await;
    bench.until("warm", |s| crate::bench::warm(s) == 2).await;
    let text = || ["It takes a while.".to_owned()];
    bench.offer_with(text(), |request| request.deadline_ms = Some(100));
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.offer(text());
    let errors = bench.settle().await;
    assert_eq!(
        errors,
        BTreeMap::from([("1".to_owned(), ErrorCode::DeadlineExceeded)])
    );
    assert_eq!(given(&bench)["It takes a while."], 1);
    assert_eq!(known(&bench), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_language_is_paused_even_if_everything_is_cached() {
    let memory = Memory::new(Shared::Absent);
    let mut bench = start(FakeSpec::default(), &memory, |_| {}).await;
    bench.offer(texts(10));
    assert!(bench.settle().await.is_empty());
    pause(&bench, "fr").await;
    bench.offer(texts(10));
    bench.until("held", |s| s.held.segments == 10).await;
    assert_eq!(known(&bench), (0, 10));
    resume(&bench, "fr").await;
    assert!(bench.settle().await.is_empty());
    assert_eq!(known(&bench), (10, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translation_of_another_node_is_reused() {
    let memory = Memory::new(Shared::Answers);
    let mut bench = start(FakeSpec::default(), &memory, |_| {}).await;
    bench.offer(texts(50));
    assert!(bench.settle().await.is_empty());
    memory.forget();
    bench.offer(texts(60));
    assert!(bench.settle().await.is_empty());
    assert_eq!(known(&bench), (50, 110));
    assert!(given(&bench).values().all(|times| *times == 1));
    assert!(pieces(&bench, PieceSource::Shared));
    assert_eq!(memory.asked.load(Ordering::Relaxed), 110);
}

#[tokio::test(flavor = "multi_thread")]
async fn translations_of_another_numeric_type_are_not_reused() {
    let memory = Memory::new(Shared::Answers);
    for (round, numeric) in ["int8", "float32", "int8"].into_iter().enumerate() {
        let mut bench = start(computes_in(numeric), &memory, |_| {}).await;
        bench.offer(texts(20));
        assert!(bench.settle().await.is_empty());
        let expected = if round < 2 { 0 } else { 20 };
        assert_eq!(known(&bench), (expected, 20), "{numeric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_looked_for_before_an_engine_has_told_its_numeric_type() {
    let memory = Memory::new(Shared::Answers);
    let mut bench = start(computes_in("int8"), &memory, |_| {}).await;
    bench.offer(texts(20));
    assert!(bench.settle().await.is_empty());
    let asked = memory.asked.load(Ordering::Relaxed);
    memory.forget();
    let slow = FakeSpec {
        load_ms: 300,
        batch_us: 20_000,
        ..computes_in("float32")
    };
    let mut bench = start_cold(slow, &memory).await;
    bench.offer(texts(20).chain(texts(20)));
    assert!(bench.settle().await.is_empty());
    assert_eq!(memory.asked.load(Ordering::Relaxed), asked);
    assert_eq!(
        known(&bench),
        (20, 40),
        "each text was given to an engine once"
    );
    assert!(given(&bench).values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_of_a_failed_text_are_paused_with_their_language() {
    let memory = Memory::new(Shared::Absent);
    let fake = FakeSpec {
        batch_us: 300_000,
        crash_on: mark("crash"),
        ..FakeSpec::default()
    };
    let mut bench = start(fake, &memory, |_| {}).await;
    bench.until("warm", |s| crate::bench::warm(s) == 2).await;
    let text = || ["It will crash.".to_owned()];
    bench.offer(text());
    bench
        .until("an engine has it", |_| given(&bench).len() == 1)
        .await;
    bench.offer(text());
    ask(&bench, IntakeMessage::Status).await;
    pause(&bench, "fr").await;
    bench.until("both are held", |s| s.held.segments == 2).await;
    assert_eq!(given(&bench)["It will crash."], 1);
    resume(&bench, "fr").await;
    assert_eq!(bench.settle().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_memory_that_is_slow_or_breaks_costs_time_and_nothing_else() {
    for shared in [Shared::Slow, Shared::Panics] {
        let memory = Memory::new(shared);
        let mut bench = start(FakeSpec::default(), &memory, |_| {}).await;
        bench.offer(texts(50));
        bench.offer_with(["Too late.".to_owned()], |request| {
            request.deadline_ms = Some(20)
        });
        let errors = bench.settle().await;
        assert!(memory.asked.load(Ordering::Relaxed) >= 51);
        let late = usize::from(shared == Shared::Slow);
        assert!(
            errors.len() >= late && errors.keys().all(|id| id == "51"),
            "{errors:?}"
        );
        // A pool that is told to end waits for what is still being asked.
        bench.offer((0..50).map(|i| format!("Something else, number {i}.")));
        // The intake has given away what it was offered.
        ask(&bench, IntakeMessage::Status).await;
        bench
            .pool
            .call(PoolMessage::Drain, Some(LONG))
            .await
            .unwrap();
        bench.settle().await;
        assert!(known(&bench).1 >= 100);
    }
}

/// Few texts, wanted again and again while engines die, panic and refuse, deadlines pass, senders go and languages are held back.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_has_exactly_one_outcome() {
    for seed in 0..3u32 {
        let shared = [Shared::Absent, Shared::Answers, Shared::Slow][seed as usize];
        let memory = Memory::new(shared);
        let fake = FakeSpec {
            batch_us: 3_000,
            crash_on: mark("crash"),
            refuse_on: mark("refuse"),
            panic_on: mark("panic"),
            ..FakeSpec::default()
        };
        let mut bench = start(fake, &memory, |spec| spec.bounds.max = 3).await;
        let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
        let mut next = |below: u32| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random % below
        };
        for _ in 0..40 {
            let texts: Vec<_> = (0..next(30))
                .map(|_| match next(150) {
                    0 => "It will crash.".to_owned(),
                    1 => "They refuse it.".to_owned(),
                    2 => "Do not panic.".to_owned(),
                    n => format!("Text number {}.", n % 50),
                })
                .collect();
            let deadline = (next(4) == 0).then(|| u64::from(next(20)));
            bench.offer_with(texts, |request| request.deadline_ms = deadline);
            match next(8) {
                0 => memory.forget(),
                1 => _ = pause(&bench, "fr").await,
                2 | 3 => _ = resume(&bench, "fr").await,
                _ => tokio::time::sleep(Duration::from_millis(u64::from(next(6)))).await,
            }
        }
        resume(&bench, "fr").await;
        bench.settle().await;
        known(&bench);
        bench.until("nothing is left", |s| s.jobs == 0).await;
        let left = bench.status().await;
        assert!(
            left.lanes.normal.segments == 0 && left.held.segments == 0,
            "{left:?}"
        );
    }
}
