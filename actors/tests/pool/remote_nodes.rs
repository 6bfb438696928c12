//! Forwarded jobs: exactly one outcome for each, whatever happens to other nodes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::{ErrorCode, ModelType, RequestError, Translated},
    engine::FakeSpec,
    intake::IntakeMessage,
    remote_nodes::{ForwardedJob, RemoteCapabilities, RemoteNodes},
    retry::RetryPolicy,
};

use crate::bench::{Bench, capability, far, texts};

const QUICK: RetryPolicy = RetryPolicy {
    attempts: 3,
    first: Duration::from_millis(20),
    most: Duration::from_millis(100),
};

/// A cluster with one other node, which reads German.
struct Other {
    remote_capabilities: Mutex<RemoteCapabilities>,
    /// What it does with errands that it gets, in turns; the last one for ever.
    answers: Mutex<Vec<Doing>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Translate,
    Fail(ErrorCode),
    Panic,
    Wait,
}

/// Another node translates this into French.
fn knows(source: &str) -> RemoteCapabilities {
    RemoteCapabilities::new(vec![capability(source, "fr")], Vec::new(), false)
}

impl Other {
    fn new(answers: &[Doing]) -> Arc<Self> {
        Arc::new(Self {
            remote_capabilities: Mutex::new(knows("de")),
            answers: Mutex::new(answers.to_vec()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl RemoteNodes for Other {
    fn remote_capabilities(&self) -> Arc<RemoteCapabilities> {
        Arc::new(self.remote_capabilities.lock().unwrap().clone())
    }

    async fn translate(&self, mut forwarded: ForwardedJob) -> Result<Translated, RequestError> {
        let doing = {
            let mut answers = self.answers.lock().unwrap();
            match answers.len() {
                1 => answers[0],
                _ => answers.remove(0),
            }
        };
        self.asked
            .lock()
            .unwrap()
            .push(forwarded.request.message_id.clone());
        match doing {
            Doing::Translate => Ok(far(&forwarded)),
            Doing::Fail(code) => Err(RequestError::new(code, "it does not")),
            Doing::Panic => panic!("a bug on the way to another node"),
            Doing::Wait => {
                forwarded
                    .stopping
                    .wait_for(|stopping| *stopping)
                    .await
                    .unwrap();
                Err(RequestError::new(ErrorCode::ModelUnavailable, "it stops"))
            }
        }
    }
}

async fn bench(other: &Arc<Other>) -> Bench {
    bench_with(other, QUICK).await
}

async fn bench_with(other: &Arc<Other>, retry: RetryPolicy) -> Bench {
    let remote_nodes = Arc::clone(other) as _;
    let alone = (Arc::new(()) as _, None);
    Bench::start_beside(FakeSpec::default(), retry, alone, remote_nodes, |_| {}).await
}

fn done_by(bench: &Bench, model: &str) -> usize {
    let outcomes = bench.outcomes.0.lock().unwrap();
    let done = outcomes.iter().filter_map(|o| o.result.as_ref().ok());
    done.filter(|done| *done.model_id == *model).count()
}

/// Another node has a better model for English than this one.
fn has_premium() -> RemoteCapabilities {
    let mut capabilities = knows("en").now().to_vec();
    capabilities[0].tier = ModelType::Premium;
    RemoteCapabilities::new(capabilities, Vec::new(), false)
}

fn premium(request: &mut babelmesh_actors::domain::TranslationRequest) {
    request.model_type = ModelType::Premium;
}

fn in_german(request: &mut babelmesh_actors::domain::TranslationRequest) {
    request.source_language = "de".to_owned();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_jobs_without_a_model_here_leave_and_each_ends_once() {
    let other = Other::new(&[Doing::Translate]);
    let mut bench = bench(&other).await;
    bench.offer_to_all(texts(50), |_| {});
    bench.offer_to_all(texts(50), in_german);
    bench.offer_to_all(
        ["Wo ist bitte der nächste Bahnhof?".to_owned()],
        |request| {
            request.source_language = "auto".to_owned();
        },
    );
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(done_by(&bench, "far"), 51);
    assert_eq!(done_by(&bench, "fake-model"), 50);
    let outcomes = bench.outcomes.0.lock().unwrap();
    let last = outcomes
        .iter()
        .find(|o| o.order.ticket.offset == 101)
        .unwrap();
    assert!(last.result.as_ref().unwrap().detected.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_to_a_node_with_a_better_model_of_the_tier_that_it_asks_for() {
    let other = Other::new(&[Doing::Translate]);
    *other.remote_capabilities.lock().unwrap() = has_premium();
    let mut bench = bench(&other).await;
    bench.offer_to_all(texts(20), premium);
    bench.offer_to_all(texts(20), |_| {});
    bench.offer_with(texts(20), premium);
    let errors = bench.settle().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!((done_by(&bench, "far"), other.asked()), (20, 20));
    assert_eq!(done_by(&bench, "fake-model"), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_better_node_does_not_do_at_once_is_done_here() {
    for retry in [
        QUICK,
        RetryPolicy {
            attempts: 0,
            ..QUICK
        },
    ] {
        let other = Other::new(&[Doing::Fail(ErrorCode::ModelUnavailable)]);
        *other.remote_capabilities.lock().unwrap() = has_premium();
        let mut bench = bench_with(&other, retry).await;
        bench.offer_to_all(texts(20), premium);
        let errors = bench.settle().await;
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!((done_by(&bench, "fake-model"), other.asked()), (20, 20));
        // It does not wait for what the cluster may yet turn out to have either.
        *other.remote_capabilities.lock().unwrap() =
            RemoteCapabilities::new(Vec::new(), Vec::new(), true);
        bench.offer_to_all(texts(20), premium);
        assert!(bench.settle().await.is_empty());
        assert_eq!((done_by(&bench, "fake-model"), other.asked()), (40, 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn local_orders_are_not_forwarded() {
    let other = Other::new(&[Doing::Translate]);
    let mut bench = bench(&other).await;
    bench.offer_with(texts(5), in_german);
    let errors = bench.settle().await;
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::UnsupportedPair)
    );
    assert_eq!((errors.len(), other.asked()), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_errors_are_retried_and_permanent_ones_are_not() {
    let unavailable = Doing::Fail(ErrorCode::ModelUnavailable);
    let other = Other::new(&[unavailable, unavailable, Doing::Translate]);
    let mut bench = bench(&other).await;
    bench.offer_to_all(texts(1), in_german);
    assert!(bench.settle().await.is_empty());
    assert_eq!(other.asked(), 3);
    for (doing, code) in [
        (Doing::Fail(ErrorCode::PoisonText), ErrorCode::PoisonText),
        (Doing::Panic, ErrorCode::InternalError),
    ] {
        *other.answers.lock().unwrap() = vec![doing];
        let before = other.asked();
        bench.offer_to_all(texts(1), in_german);
        let errors = bench.settle().await;
        assert_eq!(errors[&bench.sent.to_string()], code);
        assert_eq!(other.asked(), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_while_the_cluster_is_not_known_and_is_refused_when_nobody_can_do_it() {
    let other = Other::new(&[Doing::Translate]);
    *other.remote_capabilities.lock().unwrap() =
        RemoteCapabilities::new(Vec::new(), Vec::new(), true);
    let mut bench = bench(&other).await;
    bench.offer_to_all(
        ["Wo ist bitte der nächste Bahnhof?".to_owned()],
        |request| {
            request.source_language = "auto".to_owned();
        },
    );
    // That nobody else can do it is not known yet either, whoever asks.
    bench.offer_with(texts(1), in_german);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(bench.outcomes.0.lock().unwrap().is_empty());
    *other.remote_capabilities.lock().unwrap() = knows("de");
    let errors = bench.settle().await;
    assert_eq!(
        errors.into_iter().collect::<Vec<_>>(),
        [("2".to_owned(), ErrorCode::UnsupportedPair)]
    );
    assert_eq!(done_by(&bench, "far"), 1);
    *other.remote_capabilities.lock().unwrap() = RemoteCapabilities::default();
    bench.offer_to_all(texts(1), in_german);
    assert_eq!(bench.settle().await["3"], ErrorCode::UnsupportedPair);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_waits_for_no_other_one() {
    let other = Other::new(&[Doing::Wait]);
    let mut bench = bench(&other).await;
    bench.offer_to_all(texts(3), in_german);
    while other.asked() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.intake.cast(IntakeMessage::StopRetrying).unwrap();
    let errors = bench.settle().await;
    assert!(
        errors
            .values()
            .all(|code| *code == ErrorCode::ModelUnavailable)
    );
    assert_eq!((errors.len(), other.asked()), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_broken_model_go_to_another_node_when_no_model_here_is_left() {
    let other = Other::new(&[Doing::Translate]);
    *other.remote_capabilities.lock().unwrap() = knows("en");
    let mut bench = bench(&other).await;
    bench.engines.spec.lock().unwrap().fail_load = true;
    bench
        .intake
        .cast(IntakeMessage::Condition {
            model: Arc::from("fake-model"),
            pool: bench.pool.get_id(),
            broken: true,
        })
        .unwrap();
    bench.offer_to_all(texts(10), |_| {});
    assert!(bench.settle().await.is_empty());
    assert_eq!(done_by(&bench, "far"), 10);
}
