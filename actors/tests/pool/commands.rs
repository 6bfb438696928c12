//! Operator commands: bounds, paused languages, loading and unloading of models.

use std::{sync::Arc, time::Duration};

use babelmesh_actors::{
    domain::ErrorCode,
    engine::FakeSpec,
    events::Event,
    intake::{IntakeMessage, IntakeStatus, Route},
    pool::{Applied, BoundsError, PoolMessage, PoolSpec, Unloaded},
    retry::RetryPolicy,
};
use ractor::{ActorRef, RpcReplyPort, rpc::CallResult};

use crate::bench::{Bench, LONG, capability, texts, warm};

const QUICK: RetryPolicy = RetryPolicy {
    attempts: 5,
    first: Duration::from_millis(20),
    most: Duration::from_millis(50),
};

pub(crate) async fn ask<T: Send + 'static>(
    bench: &Bench,
    message: impl FnOnce(RpcReplyPort<T>) -> IntakeMessage,
) -> T {
    match bench.intake.call(message, Some(LONG)).await {
        Ok(CallResult::Success(answer)) => answer,
        _ => panic!("no answer came"),
    }
}

pub(crate) async fn pause(bench: &Bench, tag: &str) -> Applied {
    let target = tag.parse().unwrap();
    ask(bench, |reply| IntakeMessage::Pause(target, reply)).await
}

pub(crate) async fn resume(bench: &Bench, tag: &str) -> Applied {
    let target = tag.parse().unwrap();
    ask(bench, |reply| IntakeMessage::Resume(target, reply)).await
}

pub(crate) async fn unload(bench: &Bench, model: &str, within: Duration) -> Unloaded {
    let model = Arc::from(model);
    ask(bench, |reply| IntakeMessage::Unload {
        model,
        within,
        reply,
    })
    .await
}

pub(crate) async fn load(
    bench: &Bench,
    model: &str,
    pool: ActorRef<PoolMessage>,
    (source, target): (&str, &str),
) -> Applied {
    let route = Route {
        model: Arc::from(model),
        ability: capability(source, target),
        pool,
        text: Arc::default(),
        space: None,
    };
    ask(bench, |reply| IntakeMessage::Load(Box::new(route), reply)).await
}

/// Has a new pool of the bench's model take over.
async fn replace(bench: &Bench, pool: ActorRef<PoolMessage>, within: Duration) -> Unloaded {
    let route = Box::new(Route {
        model: Arc::from("fake-model"),
        ability: capability("en", "fr"),
        pool,
        text: Arc::default(),
        space: None,
    });
    ask(bench, |reply| IntakeMessage::Replace {
        route,
        within,
        reply,
    })
    .await
}

fn slow() -> FakeSpec {
    FakeSpec {
        batch_us: 100_000,
        ..FakeSpec::default()
    }
}

fn single(spec: &mut PoolSpec) {
    spec.bounds.min = 1;
    spec.bounds.max = 1;
    spec.batch.items = 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_may_be_set_twice_and_not_to_nonsense() {
    let bench = Bench::start(FakeSpec::default(), |_| {}).await;
    assert_eq!(bench.set_bounds(3, 4).await, Ok(Applied::Changed));
    assert_eq!(bench.set_bounds(3, 4).await, Ok(Applied::Unchanged));
    let error = Err(BoundsError { min: 5, max: 4 });
    assert_eq!(bench.set_bounds(5, 4).await, error);
    assert_eq!(
        bench.set_bounds(0, 0).await,
        Err(BoundsError { min: 0, max: 0 })
    );
    bench
        .until("three actors are not warm", |status| warm(status) == 3)
        .await;
    assert_eq!(bench.count(|e| matches!(e, Event::BoundsSet { .. })), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_language_waits_without_loss_and_goes_on() {
    let mut bench = Bench::start(slow(), single).await;
    bench
        .until("no actor is warm", |status| warm(status) == 1)
        .await;
    bench.offer(texts(10));
    bench
        .until("nothing is done", |status| status.translated >= 1)
        .await;
    assert_eq!(pause(&bench, "fr").await, Applied::Changed);
    assert_eq!(pause(&bench, "fr").await, Applied::Unchanged);
    bench.offer(texts(10));
    // What an engine has at this moment is finished.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let done = bench.outcomes.0.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.outcomes.0.lock().unwrap().len(), done);
    let status = bench.status().await;
    assert_eq!(status.held.segments, 20 - done);
    assert_eq!(status.held.targets, ["fr".parse().unwrap()]);
    let intake: IntakeStatus = ask(&bench, IntakeMessage::Status).await;
    assert_eq!(intake.paused, ["fr".parse().unwrap()]);
    assert_eq!(resume(&bench, "fr").await, Applied::Changed);
    assert_eq!(resume(&bench, "fr").await, Applied::Unchanged);
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_of_a_paused_language_are_kept() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    pause(&bench, "fr").await;
    bench.offer_with(texts(10), |request| request.deadline_ms = Some(200));
    bench.offer(texts(1));
    let late = |event: &Event| matches!(event, Event::JobsExpired { .. });
    while bench.count(late) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench
        .until("late ones are still held", |status| {
            status.held.segments == 1
        })
        .await;
    resume(&bench, "fr").await;
    let errors = bench.settle().await;
    assert_eq!(errors.len(), 10);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::DeadlineExceeded)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_a_paused_language() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    pause(&bench, "fr").await;
    bench.offer(texts(20));
    bench
        .until("nothing is held", |status| status.held.segments == 20)
        .await;
    let drained = bench.pool.call(PoolMessage::Drain, Some(LONG)).await;
    assert!(matches!(drained, Ok(CallResult::Success(()))));
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unloaded_model_finishes_what_it_can_and_answers_the_rest_as_unavailable() {
    let mut bench = Bench::start(slow(), single).await;
    bench.offer(texts(20));
    bench
        .until("nothing is done", |status| status.translated >= 1)
        .await;
    let unloaded = unload(&bench, "fake-model", Duration::from_millis(300)).await;
    assert!(unloaded.was_loaded);
    assert!((5..19).contains(&unloaded.handed_back), "{unloaded:?}");
    assert_eq!(
        unload(&bench, "fake-model", Duration::ZERO).await,
        Unloaded::default()
    );
    bench.offer(texts(1));
    let errors = bench.settle().await;
    assert_eq!(errors.len(), unloaded.handed_back + 1);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::ModelUnavailable)
    );
    assert!(ErrorCode::ModelUnavailable.retriable());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_takes_over_what_an_unloaded_one_hands_back() {
    let mut bench = Bench::start_with(slow(), QUICK, single).await;
    bench
        .until("no actor is warm", |status| warm(status) == 1)
        .await;
    bench.engines.spec.lock().unwrap().batch_us = 0;
    let other = bench.another_pool("other-model").await;
    assert_eq!(
        load(&bench, "other-model", other.clone(), ("en", "fr")).await,
        Applied::Changed
    );
    assert_eq!(
        load(&bench, "other-model", other, ("en", "fr")).await,
        Applied::Unchanged
    );
    bench.offer(texts(30));
    bench
        .until("nothing is queued", |status| status.jobs > 0)
        .await;
    let unloaded = unload(&bench, "fake-model", Duration::ZERO).await;
    assert!(unloaded.handed_back > 0);
    assert!(bench.settle().await.is_empty());
    let outcomes = bench.outcomes.0.lock().unwrap();
    let by_other = outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok())
        .filter(|translated| &*translated.model_id == "other-model");
    assert!(by_other.count() >= unloaded.handed_back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_a_model_takes_what_the_old_one_does_not_finish() {
    let mut bench = Bench::start_with(slow(), QUICK, single).await;
    bench.offer(texts(30));
    bench
        .until("nothing is done", |status| status.translated >= 1)
        .await;
    let (pool, engines) = bench.pool_with("fake-model", FakeSpec::default()).await;
    let old = bench.pool.get_id();
    let Unloaded { handed_back, .. } = replace(&bench, pool, Duration::from_millis(300)).await;
    assert!((1..29).contains(&handed_back), "{handed_back}");
    // What the old pool says of itself is of no account any more.
    let condition = IntakeMessage::Condition {
        model: Arc::from("fake-model"),
        pool: old,
        broken: true,
    };
    bench.intake.cast(condition).unwrap();
    bench.offer(texts(10));
    assert!(bench.settle().await.is_empty());
    assert!(engines.seen.lock().unwrap().len() >= handed_back + 10);
    let status: IntakeStatus = ask(&bench, IntakeMessage::Status).await;
    assert_eq!(status.models, [Arc::from("fake-model")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_in_use_is_not_replaced() {
    let mut bench = Bench::start(FakeSpec::default(), single).await;
    unload(&bench, "fake-model", Duration::ZERO).await;
    let pool = bench.another_pool("fake-model").await;
    let replaced = replace(&bench, pool, Duration::ZERO).await;
    assert_eq!(replaced, Unloaded::default());
    bench.offer(texts(1));
    assert_eq!(bench.settle().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_loaded_while_a_language_is_paused_holds_it_back_too() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    pause(&bench, "de").await;
    let pool = bench.another_pool("to-german").await;
    load(&bench, "to-german", pool, ("en", "de")).await;
    bench.offer_with(texts(10), |request| {
        request.target_language = Some("de".into());
    });
    bench.offer(texts(10));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        bench.outcomes.0.lock().unwrap().len(),
        10,
        "French goes on, German waits"
    );
    resume(&bench, "de").await;
    assert!(bench.settle().await.is_empty());
}
