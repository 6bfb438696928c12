//! A pool and its intake with fake engines: exactly one outcome for every order, whatever fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use babelmesh_actors::{
    domain::{ErrorCode, JobOutcome, ModelType, Order, OutcomeSink, Ticket, TranslationRequest},
    engine::{Engine, EngineFactory, FakeEngine, FakeSpec, Segment},
    events::{Event, Observer, StopReason},
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    pool::{NodeBudget, PoolLag, PoolMessage, PoolSpec, PoolStart, PoolStatus, PoolSupervisor},
    routing::Ability,
    scaling::{Bounds, DelayTarget, DelayTargetConfig},
};
use ractor::{Actor, ActorRef, rpc::CallResult};
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(30);

struct Fakes(Mutex<FakeSpec>);

impl EngineFactory for Fakes {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(FakeEngine::new(self.0.lock().unwrap().clone()))
    }
}

#[derive(Default)]
struct Outcomes(Mutex<Vec<JobOutcome>>);

impl OutcomeSink for Outcomes {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        self.0.lock().unwrap().extend(outcomes);
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct Bench {
    pool: ActorRef<PoolMessage>,
    intake: ActorRef<IntakeMessage>,
    outcomes: Arc<Outcomes>,
    events: Arc<Events>,
    engines: Arc<Fakes>,
    sent: i64,
}

impl Bench {
    async fn start(fake: FakeSpec, change: impl FnOnce(&mut PoolSpec)) -> Self {
        let mut spec = PoolSpec::new("fake-model", 2);
        spec.bounds.min = 2;
        spec.restart = (Duration::from_millis(20), Duration::from_millis(200));
        change(&mut spec);
        let engines = Arc::new(Fakes(Mutex::new(fake)));
        let events = Arc::new(Events::default());
        let language = |tag: &str| tag.parse().unwrap();
        let start = PoolStart {
            spec,
            engines: Arc::clone(&engines) as _,
            policy: Box::new(DelayTarget::new(DelayTargetConfig::default())),
            budget: NodeBudget::new(8, u64::MAX),
            observer: Arc::clone(&events) as _,
            lag: PoolLag::default(),
            warm_up: Segment {
                text: "1".into(),
                source: "en".into(),
                target: "fr".into(),
            },
        };
        let (pool, _) = Actor::spawn(None, PoolSupervisor, start).await.unwrap();
        let ability = Ability {
            sources: vec![language("en")],
            targets: vec![language("fr")],
            tier: ModelType::Basic,
        };
        let route = Route {
            ability,
            pool: pool.clone(),
            max_piece_tokens: 64,
        };
        let start = IntakeStart {
            routes: vec![route],
            max_text_chars: 1_000,
            observer: Arc::clone(&events) as _,
        };
        let (intake, _) = Actor::spawn(None, Intake, start).await.unwrap();
        Self {
            pool,
            intake,
            outcomes: Arc::default(),
            events,
            engines,
            sent: 0,
        }
    }

    fn offer(&mut self, texts: impl IntoIterator<Item = String>) {
        self.offer_with(texts, |_| {});
    }

    fn offer_with(
        &mut self,
        texts: impl IntoIterator<Item = String>,
        change: impl Fn(&mut TranslationRequest),
    ) {
        let orders = texts.into_iter().map(|text| {
            self.sent += 1;
            let mut request = TranslationRequest {
                task_id: None,
                message_id: self.sent.to_string(),
                text,
                source_language: "en".to_owned(),
                target_languages: Vec::new(),
                target_language: Some("fr".to_owned()),
                model_type: ModelType::Basic,
                conversation_id: None,
                priority: None,
                deadline_ms: None,
            };
            change(&mut request);
            Order {
                ticket: Ticket {
                    partition: 0,
                    offset: self.sent,
                    epoch: 0,
                },
                request,
                submitted: Instant::now(),
                trace: None,
                sink: Arc::clone(&self.outcomes) as _,
            }
        });
        self.intake
            .cast(IntakeMessage::Offer(orders.collect()))
            .unwrap();
    }

    /// Waits for all outcomes, asserts that each order has exactly one, returns errors by message id.
    async fn settle(&self) -> BTreeMap<String, ErrorCode> {
        let all = async {
            while self.outcomes.0.lock().unwrap().len() < self.sent as usize {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, all)
            .await
            .expect("some orders had no outcome");
        // What comes twice comes late.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let outcomes = self.outcomes.0.lock().unwrap();
        let mut offsets: Vec<_> = outcomes.iter().map(|o| o.order.ticket.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (1..=self.sent).collect::<Vec<_>>());
        let error = |o: &JobOutcome| {
            let error = o.result.as_ref().err()?;
            Some((o.order.request.message_id.clone(), error.code))
        };
        outcomes.iter().filter_map(error).collect()
    }

    fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.events
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|event| matches(event))
            .count()
    }

    async fn status(&self) -> PoolStatus {
        match self.pool.call(PoolMessage::Status, Some(LONG)).await {
            Ok(CallResult::Success(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn until(&self, what: &str, reached: impl Fn(&PoolStatus) -> bool) {
        let wait = async {
            while !reached(&self.status().await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(
            timeout(LONG, wait).await.is_ok(),
            "{what}: {:?}",
            self.status().await
        );
    }
}

fn warm(status: &PoolStatus) -> usize {
    status
        .actors
        .iter()
        .filter(|actor| actor.phase.is_warm())
        .count()
}

fn texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("Message number {i} is here."))
}

const fn failed(event: &Event) -> bool {
    matches!(event, Event::ActorFailed { .. })
}

fn mark(text: &str) -> Option<String> {
    Some(text.to_owned())
}

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
    bench.engines.0.lock().unwrap().fail_load = false;
    assert!(bench.settle().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_loads_is_an_error_in_the_end() {
    let fake = FakeSpec {
        fail_load: true,
        ..FakeSpec::default()
    };
    let mut bench = Bench::start(fake, |spec| {
        spec.unavailable_after = Duration::from_millis(300)
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
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_is_answered_and_not_translated() {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn model_actors_are_really_spawned_and_stopped() {
    let mut bench = Bench::start(FakeSpec::default(), |spec| spec.bounds.min = 1).await;
    bench
        .until("one actor is not warm", |status| warm(status) == 1)
        .await;
    bench
        .pool
        .cast(PoolMessage::SetBounds(Bounds { min: 5, max: 6 }))
        .unwrap();
    bench
        .until("five actors are not warm", |status| warm(status) == 5)
        .await;
    bench.offer(texts(500));
    bench
        .pool
        .cast(PoolMessage::SetBounds(Bounds { min: 1, max: 2 }))
        .unwrap();
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
async fn what_no_model_can_do_is_refused_at_once() {
    let mut bench = Bench::start(FakeSpec::default(), |_| {}).await;
    let change: [fn(&mut TranslationRequest); 5] = [
        |r| r.target_language = Some("xx".into()),
        |r| r.source_language = "de".into(),
        |r| r.text = "  ".into(),
        |r| r.text = "a".repeat(1_001),
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
