//! Deadlines: late jobs are answered and never reach an engine.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use babelmesh_actors::{domain::ErrorCode, engine::FakeSpec, events::Event, retry::RetryPolicy};
use tokio::time::Instant;

use crate::bench::{Bench, texts, warm};

#[tokio::test(flavor = "multi_thread")]
async fn late_requests_are_answered_and_not_translated() {
    let fake = FakeSpec {
        batch_us: 300_000,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |spec| spec.batch.items = 1).await;
    bench
        .until("no actor is warm", |status| warm(status) == 2)
        .await;
    bench.offer_with(texts(20), |request| request.deadline_ms = Some(450));
    let errors = bench.settle().await;
    assert!(errors.len() >= 14, "{} were late", errors.len());
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::DeadlineExceeded)
    );
    // Two actors, and time for two batches of each at most.
    let seen = bench.seen();
    assert!(seen.len() <= 4, "engines were given {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_jobs_are_skipped() {
    let fake = FakeSpec {
        batch_us: 300_000,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |spec| spec.batch.items = 1).await;
    bench
        .until("no actor is warm", |status| warm(status) == 2)
        .await;
    bench.offer_with(texts(20), |_| {});
    bench
        .until("the jobs are there", |status| status.jobs == 20)
        .await;
    bench.outcomes.1.store(true, Ordering::Relaxed);
    bench
        .until("nothing is left", |status| status.jobs == 0)
        .await;
    let seen = bench.seen();
    assert!(seen.len() <= 4, "engines were given {seen:?}");
    assert!(bench.outcomes.0.lock().unwrap().len() <= seen.len());
}

/// Deadlines pass at other moments than the pool looks at them: what an actor takes next is looked at again.
#[tokio::test(flavor = "multi_thread")]
async fn no_engine_is_given_what_is_late_by_a_moment() {
    let fake = FakeSpec {
        batch_us: 30_000,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |spec| spec.batch.items = 1).await;
    bench
        .until("no actor is warm", |status| warm(status) == 2)
        .await;
    let started = Instant::now();
    let number = AtomicU64::new(0);
    // Deadlines 7 ms apart, batches of 30 ms: the longer it goes on, the more are late.
    bench.offer_with(texts(60), |request| {
        let deadline = 60 + 7 * number.fetch_add(1, Ordering::Relaxed);
        request.deadline_ms = Some(deadline);
        request.text = format!("Deadline {deadline}");
    });
    let errors = bench.settle().await;
    assert!(
        (10..=58).contains(&errors.len()),
        "{} were late",
        errors.len()
    );
    assert_nothing_came_late(&bench, started);
}

/// Texts name their deadline, in milliseconds from the start.
fn assert_nothing_came_late(bench: &Bench, started: Instant) {
    for (at, text) in bench.seen() {
        let deadline = text.strip_prefix("Deadline ").unwrap().parse().unwrap();
        // From the pool's decision to the engine it takes a moment; the pool's own rounds are 100 ms apart.
        let late = at.saturating_duration_since(started + Duration::from_millis(deadline));
        assert!(
            late < Duration::from_millis(40),
            "{text} came {late:?} late"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_ready_at_last_is_given_nothing_that_is_late() {
    let fake = FakeSpec {
        // Between two rounds of the pool, so that some are late that it has not seen.
        load_ms: 390,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    let started = Instant::now();
    let number = AtomicU64::new(0);
    bench.offer_with(texts(200), |request| {
        let deadline = 4 * number.fetch_add(1, Ordering::Relaxed);
        request.deadline_ms = Some(deadline);
        request.text = format!("Deadline {deadline}");
    });
    let errors = bench.settle().await;
    assert!(
        (80..=199).contains(&errors.len()),
        "{} were late",
        errors.len()
    );
    assert!(!bench.seen().is_empty(), "others were in time");
    assert_nothing_came_late(&bench, started);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_late_in_the_middle_is_answered_and_the_rest_of_it_is_left() {
    let fake = FakeSpec {
        batch_us: 100_000,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |spec| {
        spec.batch.items = 1;
        spec.bounds.min = 1;
        spec.bounds.max = 1;
    })
    .await;
    bench
        .until("no actor is warm", |status| warm(status) == 1)
        .await;
    let long = "This is a sentence. ".repeat(12);
    bench.offer_with([long], |request| request.deadline_ms = Some(350));
    let errors = bench.settle().await;
    assert_eq!(errors["1"], ErrorCode::DeadlineExceeded);
    // One more is there for what an engine is given in the very moment.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = bench.seen().len();
    assert!(
        (2..=4).contains(&seen),
        "{seen} of 12 sentences were translated"
    );
    bench.offer(texts(1));
    assert_eq!(bench.settle().await.len(), 1, "only the late one failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_in_an_engine_are_answered_at_their_deadline() {
    let fake = FakeSpec {
        batch_us: 2_000_000,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    bench
        .until("no actor is warm", |status| warm(status) == 2)
        .await;
    let started = Instant::now();
    bench.offer_with(texts(1), |request| request.deadline_ms = Some(300));
    let errors = bench.settle().await;
    let took = started.elapsed();
    assert_eq!(bench.seen().len(), 1, "an engine has it");
    assert_eq!(errors["1"], ErrorCode::DeadlineExceeded);
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_millis(1_500),
        "{took:?}"
    );
    // Nothing more comes of it when the engine is done.
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert_eq!(bench.settle().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_expire_while_waiting_for_a_retry_reach_no_engine() {
    let fake = FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    };
    let policy = RetryPolicy {
        first: Duration::from_millis(100),
        ..RetryPolicy::default()
    };
    let mut bench = Bench::start_with(fake, policy, |spec| {
        spec.unavailable_after = Duration::from_millis(200);
    })
    .await;
    let started = Instant::now();
    bench.offer_with(texts(10), |request| request.deadline_ms = Some(1_000));
    let errors = bench.settle().await;
    let took = started.elapsed();
    assert!(took < Duration::from_millis(1_400), "{took:?}");
    assert!(bench.count(|event| matches!(event, Event::JobsRetried { .. })) >= 1);
    assert_eq!(errors.len(), 10);
    let late = [ErrorCode::DeadlineExceeded, ErrorCode::ModelUnavailable];
    assert!(
        errors.values().all(|code| late.contains(code)),
        "{errors:?}"
    );
    bench.engines.spec.lock().unwrap().fail_load = false;
    bench
        .until("no actor is warm", |status| warm(status) == 2)
        .await;
    assert!(bench.seen().is_empty(), "{:?}", bench.seen());
}
