//! Jobs over a pivot language: one outcome for each, made of two steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::{ErrorCode, Leg, Locality, Order, RequestError, Translated, TranslationRequest},
    engine::FakeSpec,
    events::Event,
    pool::Applied,
    remote_nodes::{ForwardedJob, RemoteCapabilities, RemoteNodes},
    retry::RetryPolicy,
};
use tokio::time::sleep;

use crate::{
    bench::{Bench, capability, far, texts},
    commands::{load, unload},
};

/// A bench whose second step is done by these engines.
async fn portuguese(fake: FakeSpec) -> Bench {
    let bench = Bench::start(fake, |_| {}).await;
    let (pool, _) = bench.pool_with("pt-en", FakeSpec::default()).await;
    let applied = load(&bench, "pt-en", pool, ("pt", "en")).await;
    assert_eq!(applied, Applied::Changed);
    bench
}

fn in_portuguese(request: &mut TranslationRequest) {
    request.source_language = "pt".to_owned();
}

fn is_pivoted(event: &Event) -> bool {
    matches!(event, Event::Pivoted { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_without_a_model_is_translated_in_two_steps_with_one_outcome() {
    let mut bench = portuguese(FakeSpec::default()).await;
    bench.offer_with(texts(30), in_portuguese);
    bench.offer(texts(10));
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(bench.count(is_pivoted), 30);
    let outcomes = bench.outcomes.0.lock().unwrap();
    let pivoted: Vec<_> = outcomes
        .iter()
        .filter(|o| o.order.request.source_language == "pt")
        .collect();
    assert_eq!(pivoted.len(), 30);
    for outcome in pivoted {
        let order = &outcome.order;
        let translated = outcome.result.as_ref().unwrap();
        assert_eq!(order.request.target_language.as_deref(), Some("fr"));
        assert_eq!(translated.text, format!("fr:en:{}", order.request.text));
        assert_eq!(translated.source.as_str(), "pt");
        assert_eq!(
            translated.via.map(|via| via.to_string()).as_deref(),
            Some("en")
        );
        assert_eq!(&*translated.model_id, "pt-en+fake-model");
        assert!(translated.confidence > 0.0 && translated.confidence <= 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_for_good_ends_its_job_alone() {
    let mut bench = portuguese(FakeSpec {
        crash_on: Some("poison".to_owned()),
        ..FakeSpec::default()
    })
    .await;
    let good = texts(5);
    let bad = ["This is poison for the second step.".to_owned()];
    bench.offer_with(good.into_iter().chain(bad), in_portuguese);
    let errors = bench.settle().await;
    let errors: Vec<_> = errors.into_iter().collect();
    assert_eq!(errors, [("6".to_owned(), ErrorCode::PoisonText)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_has_three_steps() {
    let mut bench = portuguese(FakeSpec::default()).await;
    let (pool, _) = bench.pool_with("es-pt", FakeSpec::default()).await;
    let applied = load(&bench, "es-pt", pool, ("es", "pt")).await;
    assert_eq!(applied, Applied::Changed);
    bench.offer_with(texts(3), |request| {
        request.source_language = "es".to_owned()
    });
    let errors = bench.settle().await;
    assert_eq!(errors.len(), 3);
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::UnsupportedPair)
    );
    assert_eq!(bench.count(is_pivoted), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translation_that_outgrows_the_limit_for_texts_is_still_translated() {
    let mut bench = portuguese(FakeSpec::default()).await;
    // The bench takes 20,000 characters; the first step adds three to each sentence.
    let text = "A small word. ".repeat(1_428);
    assert!(text.len() < 20_000 && text.len() + 3 * 1_428 > 20_000);
    bench.offer_with([text], in_portuguese);
    assert!(bench.settle().await.is_empty());
}

/// Another node with the model of the first step, which may be away.
struct Portuguese {
    is_away: AtomicBool,
}

#[async_trait]
impl RemoteNodes for Portuguese {
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities> {
        let all = vec![capability("pt", "en")];
        Arc::new(match self.is_away.load(Relaxed) {
            true => RemoteCapabilities::new(Vec::new(), all, false),
            false => RemoteCapabilities::new(all, Vec::new(), false),
        })
    }

    async fn translate(&self, forwarded: ForwardedJob) -> Result<Translated, RequestError> {
        while self.is_away.load(Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(far(&forwarded))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_route_may_be_done_by_different_nodes() {
    let alone = (Arc::new(()) as _, None);
    let retry = RetryPolicy::default();
    let remote = Arc::new(Portuguese {
        is_away: AtomicBool::new(true),
    });
    let port = Arc::clone(&remote) as _;
    let mut bench = Bench::start_beside(FakeSpec::default(), retry, alone, port, |_| {}).await;
    bench.offer_to_all(texts(20), in_portuguese);
    // A step whose only node is away waits for it, as a job of a pair with one model does.
    sleep(Duration::from_millis(200)).await;
    assert!(bench.outcomes.0.lock().unwrap().is_empty());
    remote.is_away.store(false, Relaxed);
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    // One that may not leave this node finds only half a route on it.
    bench.offer_with(texts(1), in_portuguese);
    assert_eq!(bench.settle().await.len(), 1);
    let outcomes = bench.outcomes.0.lock().unwrap();
    let mut done = outcomes.iter().filter_map(|o| o.result.as_ref().ok());
    assert!(done.all(|done| &*done.model_id == "far+fake-model" && done.via.is_some()));
}

/// A bench with two routes from Portuguese to French: over English, which is preferred, and over Spanish.
async fn two_routes(first: FakeSpec) -> Bench {
    let retry = RetryPolicy {
        attempts: 3,
        ..RetryPolicy::default()
    };
    let bench = Bench::start_with(FakeSpec::default(), retry, |_| {}).await;
    let models = [
        ("pt-en", ("pt", "en"), first),
        ("pt-es", ("pt", "es"), FakeSpec::default()),
        ("es-fr", ("es", "fr"), FakeSpec::default()),
    ];
    for (model, pair, fake) in models {
        let (pool, _) = bench.pool_with(model, fake).await;
        load(&bench, model, pool, pair).await;
    }
    bench
}

/// The models of all translations, each once.
fn models_used(bench: &Bench) -> Vec<String> {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let done = outcomes.iter().filter_map(|o| o.result.as_ref().ok());
    let mut models: Vec<_> = done.map(|done| done.model_id.to_string()).collect();
    models.sort();
    models.dedup();
    models
}

fn is_accepted(event: &Event) -> bool {
    matches!(event, Event::Accepted { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_route_loses_a_model_go_over_another_pivot() {
    // Their first steps wait in the pool of the model that is unloaded.
    let mut bench = two_routes(FakeSpec {
        load_ms: 1_000,
        ..FakeSpec::default()
    })
    .await;
    bench.offer_with(texts(20), in_portuguese);
    while bench.count(is_accepted) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let unloaded = unload(&bench, "pt-en", Duration::ZERO).await;
    assert_eq!(unloaded.handed_back, 20);
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(models_used(&bench), ["pt-es+es-fr"]);
    let accepted = |event: &Event| matches!(event, Event::Accepted { jobs: 20, .. });
    assert_eq!((bench.count(accepted), bench.count(is_accepted)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_route_has_a_broken_model_go_over_another_pivot() {
    let broken = FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    };
    let mut bench = two_routes(broken).await;
    bench.offer_with(texts(20), in_portuguese);
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(models_used(&bench), ["pt-es+es-fr"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_jobs_of_a_broken_model_go_over_a_pivot() {
    let mut bench = portuguese(FakeSpec::default()).await;
    // They are in its queue before it is known to be broken.
    let broken = FakeSpec {
        load_ms: 300,
        fail_load: true,
        ..FakeSpec::default()
    };
    let (pool, _) = bench.pool_with("pt-fr", broken).await;
    load(&bench, "pt-fr", pool, ("pt", "fr")).await;
    bench.offer_with(texts(20), in_portuguese);
    let handed_over = |event: &Event| matches!(event, Event::JobsHandedOver { .. });
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(models_used(&bench), ["pt-en+fake-model"]);
    assert!(bench.count(handed_over) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_no_node_fails_at_once_while_the_only_one_is_away() {
    let alone = (Arc::new(()) as _, None);
    let remote = Arc::new(Portuguese {
        is_away: AtomicBool::new(true),
    });
    let port = Arc::clone(&remote) as _;
    let retry = RetryPolicy::default();
    let mut bench = Bench::start_beside(FakeSpec::default(), retry, alone, port, |_| {}).await;
    let reachable = |order| Order {
        locality: Locality::Reachable,
        ..order
    };
    let in_english = |request: &mut TranslationRequest| {
        in_portuguese(request);
        request.target_language = Some("en".to_owned());
    };
    bench.offer_all(texts(2), in_portuguese, reachable);
    bench.offer_all(texts(2), in_english, reachable);
    let errors = tokio::time::timeout(Duration::from_secs(5), bench.settle());
    let errors = errors.await.expect("a job waits for a node that is away");
    let codes: Vec<_> = errors.into_values().collect();
    assert_eq!(
        codes,
        [
            ErrorCode::UnsupportedPair,
            ErrorCode::UnsupportedPair,
            ErrorCode::ModelUnavailable,
            ErrorCode::ModelUnavailable
        ]
    );
    remote.is_away.store(false, Relaxed);
    bench.offer_all(texts(2), in_portuguese, reachable);
    assert_eq!(bench.settle().await.len(), 4);
    assert_eq!(models_used(&bench), ["far+fake-model"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_node_has_no_limit_of_length_and_gets_no_pivot_here() {
    let mut bench = portuguese(FakeSpec::default()).await;
    let forwarded = |order| Order {
        leg: Leg::Forwarded,
        ..order
    };
    let long = "A small word. ".repeat(1_500);
    assert!(long.len() > 20_000);
    bench.offer_all([long], |_| {}, forwarded);
    bench.offer_all(texts(1), in_portuguese, forwarded);
    let errors = bench.settle().await;
    let errors: Vec<_> = errors.into_iter().collect();
    assert_eq!(errors, [("2".to_owned(), ErrorCode::UnsupportedPair)]);
}
