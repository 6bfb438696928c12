//! Transient failures are retried.

use std::time::Duration;

use babelmesh_actors::{
    domain::ErrorCode, engine::FakeSpec, events::Event, intake::IntakeMessage, retry::RetryPolicy,
};
use tokio::time::Instant;

use crate::bench::{Bench, texts};

const QUICK: RetryPolicy = RetryPolicy {
    attempts: 100,
    first: Duration::from_millis(50),
    most: Duration::from_millis(200),
};

const fn retried(event: &Event) -> bool {
    matches!(event, Event::JobsRetried { .. })
}

/// A pool that cannot load its model, and says so soon.
async fn broken(policy: RetryPolicy) -> Bench {
    let fake = FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    };
    let soon = Duration::from_millis(150);
    Bench::start_with(fake, policy, |spec| spec.unavailable_after = soon).await
}

async fn until_retried(bench: &Bench, times: usize) {
    while bench.count(retried) < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_failures_are_translated_in_the_end_and_once() {
    let mut bench = broken(QUICK).await;
    bench.offer(texts(40));
    until_retried(&bench, 2).await;
    assert!(bench.outcomes.0.lock().unwrap().is_empty(), "no error left");
    bench.engines.spec.lock().unwrap().fail_load = false;
    assert!(bench.settle().await.is_empty());
    assert_eq!(bench.seen().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_loads_is_an_error_in_the_end() {
    let mut bench = broken(RetryPolicy {
        attempts: 2,
        ..QUICK
    })
    .await;
    bench.offer(texts(10));
    let errors = bench.settle().await;
    assert_eq!(errors.len(), 10);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::ModelUnavailable),
        "{errors:?}"
    );
    assert!(ErrorCode::ModelUnavailable.retriable());
    assert_eq!(bench.count(retried), 2, "it was tried twice more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_the_next_try() {
    let mut bench = broken(RetryPolicy {
        attempts: 3,
        first: Duration::from_secs(600),
        most: Duration::from_secs(600),
    })
    .await;
    bench.offer(texts(10));
    until_retried(&bench, 1).await;
    let told = Instant::now();
    bench.intake.cast(IntakeMessage::StopRetrying).unwrap();
    // What comes later is not tried again either.
    bench.offer(texts(10));
    let errors = bench.settle().await;
    assert!(told.elapsed() < Duration::from_secs(5));
    assert_eq!(errors.len(), 20);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::ModelUnavailable)
    );
    assert_eq!(bench.count(retried), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_errors_are_not_retried() {
    let fake = FakeSpec {
        refuse_on: Some("[[refuse]]".to_owned()),
        ..FakeSpec::default()
    };
    let mut bench = Bench::start_with(fake, QUICK, |_| {}).await;
    bench.offer(texts(5).chain(["A [[refuse]] text.".to_owned()]));
    let errors = bench.settle().await;
    assert_eq!(errors["6"], ErrorCode::EngineFailed);
    assert_eq!((errors.len(), bench.count(retried)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unloadable_model_fails_at_once_and_recovers_when_it_can_be_loaded() {
    let fake = FakeSpec {
        unloadable: true,
        ..FakeSpec::default()
    };
    let minutes = Duration::from_secs(120);
    let mut bench = Bench::start_with(fake, RetryPolicy::default(), |spec| {
        spec.unavailable_after = minutes;
        spec.restart = (Duration::from_millis(1), Duration::from_millis(700));
    })
    .await;
    let started = std::time::Instant::now();
    bench.offer(texts(40));
    let errors = bench.settle().await;
    assert!(started.elapsed() < Duration::from_millis(600));
    assert_eq!(errors.len(), 40);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::ModelUnavailable)
    );
    let status = bench.status().await;
    assert!(status.broken && status.failing.is_some(), "{status:?}");
    assert_eq!(bench.count(retried), 0);
    bench.engines.spec.lock().unwrap().unloadable = false;
    tokio::time::sleep(Duration::from_millis(800)).await;
    bench.offer(texts(10));
    let errors = bench.settle().await;
    assert_eq!(errors.len(), 40, "no new one");
    assert!(!bench.status().await.broken);
}
