//! A pool and its intake with fake engines: exactly one outcome for every order under every failure.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod bench;
mod caching;
mod commands;
mod deadlines;
mod escalation;
mod failover;
mod fakes;
mod glossary;
mod many;
mod offload;
mod peer_batches;
mod peers;
mod pivot;
mod remote_nodes;
mod retries;
mod segmentation;
mod splitting;
mod text;

use std::collections::BTreeMap;

use babelmesh_actors::{
    domain::{ErrorCode, TranslationRequest},
    engine::FakeSpec,
    events::{Event, StopReason},
    pool::{Applied, PoolMessage},
};
use bench::{Bench, LONG, failed, mark, texts, warm};
use ractor::rpc::CallResult;

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_translated_once_and_put_together_again() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    bench.offer(texts(2_000));
    bench.offer(["Two sentences.  And\n\n- a list, too! 🎉".to_owned()]);
    assert!(bench.settle().await.is_empty());
    let outcomes = bench.outcomes.0.lock().unwrap();
    let last = outcomes
        .iter()
        .find(|o| o.order.ticket.offset == bench.sent)
        .unwrap();
    let translated = last.result.as_ref().unwrap();
    assert_eq!(
        translated.text,
        "fr:Two sentences.  fr:And\n\n- fr:a list, too! 🎉"
    );
    assert!(translated.segments >= 3, "{translated:?}");
    assert!((0.0..=1.0).contains(&translated.confidence));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_crashes_the_engine_is_poison_alone() {
    let fake = FakeSpec {
        crash_on: mark("[[crash]]"),
        batch_us: 500,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    bench.offer(texts(150));
    bench.offer(["This is [[crash]] it.".to_owned()]);
    bench.offer(texts(150));
    let errors = bench.settle().await;
    assert!(bench.count(failed) >= 3, "the engine did not crash");
    assert_eq!(
        errors,
        BTreeMap::from([("151".to_owned(), ErrorCode::PoisonText)])
    );
    bench
        .until("the pool is not whole again", |status| warm(status) == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_while_idle_is_replaced_before_anybody_needs_it() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    bench.until("warm", |status| warm(status) == 2).await;
    bench.engines.kills.add_permits(2);
    bench
        .until("the deaths were not noticed", |_| bench.count(failed) == 2)
        .await;
    bench
        .until("the pool is not whole again", |status| warm(status) == 2)
        .await;
    bench.offer(texts(50));
    assert!(bench.settle().await.is_empty());
    assert_eq!(bench.count(failed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_panics_takes_nothing_with_it() {
    let fake = FakeSpec {
        panic_on: mark("[[panic]]"),
        batch_us: 500,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    bench.offer(
        texts(40)
            .chain(["A [[panic]] attack.".to_owned()])
            .chain(texts(40)),
    );
    let errors = bench.settle().await;
    assert!(bench.count(failed) >= 3, "the actor did not panic");
    assert_eq!(
        errors,
        BTreeMap::from([("41".to_owned(), ErrorCode::PoisonText)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_engine_refuses_fails_alone_and_ends_no_actor() {
    let fake = FakeSpec {
        refuse_on: mark("[[refuse]]"),
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    bench.offer(
        texts(40)
            .chain(["Please [[refuse]] this.".to_owned()])
            .chain(texts(40)),
    );
    let errors = bench.settle().await;
    assert_eq!(
        errors,
        BTreeMap::from([("41".to_owned(), ErrorCode::EngineFailed)])
    );
    assert_eq!(bench.count(failed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_model_that_loads_at_last() {
    let fake = FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    bench.offer(texts(10));
    bench
        .until("loading did not fail", |status| status.failing.is_some())
        .await;
    assert!(
        bench.outcomes.0.lock().unwrap().is_empty(),
        "nothing could be translated yet"
    );
    bench.engines.spec.lock().unwrap().fail_load = false;
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn model_actors_are_really_spawned_and_stopped() {
    let mut bench = Bench::start(FakeSpec::default(), |spec| spec.bounds.min = 1).await;
    bench
        .until("one actor is not warm", |status| warm(status) == 1)
        .await;
    assert_eq!(bench.set_bounds(5, 6).await, Ok(Applied::Changed));
    bench
        .until("five actors are not warm", |status| warm(status) == 5)
        .await;
    bench.offer(texts(500));
    assert_eq!(bench.set_bounds(1, 2).await, Ok(Applied::Changed));
    bench
        .until("two actors are not left", |status| status.actors.len() == 2)
        .await;
    assert!(bench.settle().await.is_empty());
    let stopped = |event: &Event| {
        matches!(
            event,
            Event::ActorStopped {
                reason: StopReason::ScaledDown,
                ..
            }
        )
    };
    assert_eq!(bench.count(stopped), 3);
    assert_eq!(
        bench.count(|event| matches!(event, Event::ActorSpawned { .. })),
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_queued_and_ends_the_pool() {
    let fake = FakeSpec {
        batch_us: 20_000,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |_| {}).await;
    bench.offer(texts(1_000));
    bench
        .until("nothing is queued", |status| status.jobs > 0)
        .await;
    let drained = bench.pool.call(PoolMessage::Drain, Some(LONG)).await;
    assert!(
        matches!(drained, Ok(CallResult::Success(()))),
        "{drained:?}"
    );
    assert!(bench.settle().await.is_empty());
    let stopped = |event: &Event| {
        matches!(
            event,
            Event::ActorStopped {
                reason: StopReason::Drained,
                ..
            }
        )
    };
    assert_eq!(bench.count(stopped), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_no_model_supports_are_rejected_at_once() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    let change: [fn(&mut TranslationRequest); 5] = [
        |r| r.target_language = Some("xx".into()),
        |r| r.source_language = "de".into(),
        |r| r.text = "  ".into(),
        |r| r.text = "a".repeat(20_001),
        |r| r.deadline_ms = Some(0),
    ];
    for change in change {
        bench.offer_with(texts(1), change);
    }
    bench.offer_with(texts(1), |r| r.source_language = "fr".into());
    let errors: Vec<_> = bench.settle().await.into_values().collect();
    let expected = [
        ErrorCode::UnsupportedLanguage,
        ErrorCode::UnsupportedPair,
        ErrorCode::EmptyText,
        ErrorCode::TextTooLong,
        ErrorCode::DeadlineExceeded,
    ];
    assert_eq!(
        errors, expected,
        "the last one is in French already and goes out as it came in"
    );
}
