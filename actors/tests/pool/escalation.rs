//! Translations of low confidence are made again by a model of a higher tier, and each order has one outcome.

use std::{sync::Arc, time::Duration};

use babelmesh_actors::{
    domain::{JobOutcome, ModelType, Translated},
    engine::{FakeSpec, Translation},
    events::Event,
    intake::{IntakeMessage, Route},
    pool::Applied,
    routing::{Capability, EscalationPolicy},
};

use crate::{
    bench::{Bench, capability},
    commands::ask,
    fakes::Fakes,
};

const POLICY: EscalationPolicy = EscalationPolicy {
    below: 0.3,
    within: Duration::from_secs(20),
};

/// Has engines doubt texts with this word.
fn doubt(engines: &Fakes, word: &'static str) {
    let flaw = move |text: &str, translation: &mut Translation| {
        translation.score = if text.contains(word) { -5.0 } else { -0.1 };
    };
    *engines.flaw.lock().unwrap() = Some(Box::new(flaw));
}

async fn bench(policy: EscalationPolicy) -> Bench {
    let bench = Bench::start_escalating(FakeSpec::default(), policy).await;
    doubt(&bench.engines, "hard");
    bench
}

/// Adds a model of a tier.
async fn model(bench: &Bench, id: &str, tier: ModelType, fake: FakeSpec) -> Arc<Fakes> {
    let (pool, engines) = bench.pool_of((id, tier), fake).await;
    let route = Route {
        model: Arc::from(id),
        ability: Capability {
            tier,
            ..capability("en", "fr")
        },
        pool,
        text: Arc::default(),
        space: None,
    };
    let message = |reply| IntakeMessage::Load(Box::new(route), reply);
    assert_eq!(ask(bench, message).await, Applied::Changed);
    engines
}

fn sentences(kind: &str, count: usize) -> Vec<String> {
    let letters = ('a'..='z').take(count);
    letters
        .map(|letter| format!("A {kind} sentence {letter}."))
        .collect()
}

/// The results by their text, and that every order is the sender's.
fn results(bench: &Bench) -> Vec<(String, Translated)> {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let result = |outcome: &JobOutcome| {
        assert_eq!(outcome.order.request.model_type, ModelType::Basic);
        assert_eq!(outcome.order.request.deadline_ms, None);
        let text = outcome.order.request.text.clone();
        (text, outcome.result.clone().unwrap())
    };
    outcomes.iter().map(result).collect()
}

fn escalations(bench: &Bench, wanted: (ModelType, Option<ModelType>)) -> usize {
    bench.count(|event| matches!(event, Event::Escalated { from, to } if (*from, *to) == wanted))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_doubtful_translations_are_made_again_by_the_next_tier() {
    let mut bench = bench(POLICY).await;
    let premium = model(&bench, "large", ModelType::Premium, FakeSpec::default()).await;
    let medium = model(&bench, "middle", ModelType::Medium, FakeSpec::default()).await;
    doubt(&medium, "hardest");
    doubt(&premium, "nothing");
    for kind in ["easy", "hard", "harder", "hardest"] {
        bench.offer(sentences(kind, 10));
    }
    assert!(bench.settle().await.is_empty());
    for (text, result) in results(&bench) {
        let model = match &text {
            easy if easy.contains("easy") => "fake-model",
            text if text.contains("hardest") => "large",
            _ => "middle",
        };
        assert_eq!(*result.model_id, *model, "{text}");
        assert_eq!(result.text, format!("fr:{text}"));
        assert!(result.queue_time + result.processing_time < Duration::from_secs(20));
    }
    let (low, middle, high) = (ModelType::Basic, ModelType::Medium, ModelType::Premium);
    assert_eq!(escalations(&bench, (low, Some(middle))), 30);
    assert_eq!(escalations(&bench, (middle, Some(high))), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_translation_is_the_answer_where_there_is_no_second_in_time() {
    let policy = EscalationPolicy {
        within: Duration::from_millis(300),
        ..POLICY
    };
    let mut alone = bench(policy).await;
    alone.offer(sentences("hard", 10));
    assert!(alone.settle().await.is_empty());
    assert!(
        results(&alone)
            .iter()
            .all(|(_, result)| *result.model_id == *"fake-model")
    );
    assert_eq!(
        alone.count(|event| matches!(event, Event::Escalated { .. })),
        0
    );

    let mut slow = bench(policy).await;
    let hour = FakeSpec {
        batch_us: 3_600_000_000,
        ..FakeSpec::default()
    };
    let _engines = model(&slow, "large", ModelType::Premium, hour).await;
    slow.offer(sentences("hard", 10));
    assert!(slow.settle().await.is_empty());
    assert!(
        results(&slow)
            .iter()
            .all(|(_, result)| *result.model_id == *"fake-model")
    );
    assert_eq!(escalations(&slow, (ModelType::Basic, None)), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_start_is_not_asked_again() {
    let mut bench = bench(POLICY).await;
    let broken = FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    };
    let _engines = model(&bench, "large", ModelType::Premium, broken).await;
    bench.offer(sentences("hard", 10));
    assert!(bench.settle().await.is_empty());
    assert!(
        results(&bench)
            .iter()
            .all(|(_, result)| *result.model_id == *"fake-model")
    );
}
