//! Several models for one pair of languages: the work of a broken one goes to another, and comes back when it works again.

use std::time::{Duration, Instant};

use babelmesh_actors::{domain::ErrorCode, engine::FakeSpec, events::Event};

use crate::{
    bench::{Bench, texts},
    commands::load,
};

fn fails() -> FakeSpec {
    FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    }
}

fn is_broken(event: &Event) -> bool {
    matches!(event, Event::PoolBroken { pool, .. } if **pool == *"fake-model")
}

fn done_by(bench: &Bench, model: &str) -> usize {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let done = outcomes.iter().filter_map(|o| o.result.as_ref().ok());
    done.filter(|done| *done.model_id == *model).count()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_and_new_jobs_of_a_model_that_cannot_start_go_to_another_one_at_once() {
    let mut bench = Bench::start(fails(), |_| {}).await;
    // They are in its queue before it is known to be broken, or before there is another one.
    bench.offer(texts(30));
    let (pool, _) = bench.pool_with("other-model", FakeSpec::default()).await;
    load(&bench, "other-model", pool, ("en", "fr")).await;
    until("it is broken", || bench.count(is_broken) == 1).await;
    bench.offer(texts(30));
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(done_by(&bench, "other-model"), 60);
    let handed = |event: &Event| matches!(event, Event::JobsHandedOver { .. });
    assert!(bench.count(handed) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_works_again_gets_its_jobs_back() {
    let mut bench = Bench::start(fails(), |_| {}).await;
    let (pool, engines) = bench.pool_with("other-model", FakeSpec::default()).await;
    load(&bench, "other-model", pool, ("en", "fr")).await;
    until("it is broken", || bench.count(is_broken) == 1).await;
    bench.engines.spec.lock().unwrap().fail_load = false;
    let restored =
        |event: &Event| matches!(event, Event::PoolRestored { pool } if **pool == *"fake-model");
    until("it works again", || bench.count(restored) == 1).await;
    bench.offer(texts(10));
    assert!(bench.settle().await.is_empty());
    assert_eq!(done_by(&bench, "fake-model"), 10);
    assert!(engines.seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_when_no_model_is_left_jobs_end_as_unavailable_and_each_once() {
    let short = Duration::from_millis(500);
    let mut bench = Bench::start(fails(), |spec| spec.unavailable_after = short).await;
    let (pool, _) = bench.pool_with("other-model", fails()).await;
    load(&bench, "other-model", pool, ("en", "fr")).await;
    let any = |event: &Event| matches!(event, Event::PoolBroken { .. });
    until("both are broken", || bench.count(any) == 2).await;
    let before = Instant::now();
    bench.offer(texts(20));
    let errors = bench.settle().await;
    assert_eq!(errors.len(), 20);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::ModelUnavailable)
    );
    assert!(
        before.elapsed() < Duration::from_secs(10),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_for_another_pair_gets_nothing_of_a_broken_one() {
    let mut bench = Bench::start(fails(), |_| {}).await;
    let (pool, engines) = bench.pool_with("to-german", FakeSpec::default()).await;
    load(&bench, "to-german", pool, ("en", "de")).await;
    until("it is broken", || bench.count(is_broken) == 1).await;
    bench.offer(texts(10));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(engines.seen.lock().unwrap().is_empty());
    bench.engines.spec.lock().unwrap().fail_load = false;
    assert!(bench.settle().await.is_empty());
    assert_eq!(done_by(&bench, "fake-model"), 10);
}
