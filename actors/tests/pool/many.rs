//! Many pools on a small node: idle actors do not block others, and memory goes to pools with work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use babelmesh_actors::{
    domain::{JobOutcome, ModelType, TranslationRequest},
    engine::{
        Engine, EngineBatch, EngineError, EngineFactory, LoadReport, Segment, Translation, Usage,
    },
    events::{Event, StopReason},
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    pool::{NodeBudget, PoolLag, PoolMessage, PoolSpec, PoolStart, PoolStatus, PoolSupervisor},
    retry::RetryPolicy,
    routing::{Capability, EscalationPolicy, PivotPolicy},
    scaling::{DelayTarget, DelayTargetConfig},
};
use ractor::{Actor, ActorRef, rpc::CallResult};
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{Events, LONG, Outcomes, WARM_UP, order};

const BYTES: u64 = 100;

/// Counts actors and batches of all pools.
#[derive(Default)]
struct Gauge {
    busy: AtomicUsize,
    most_busy: AtomicUsize,
    alive: AtomicUsize,
    most_alive: AtomicUsize,
}

struct Counting {
    gauge: Arc<Gauge>,
    batch: Duration,
    loaded: bool,
}

fn up(count: &AtomicUsize, most: &AtomicUsize) {
    let now = count.fetch_add(1, Ordering::SeqCst) + 1;
    most.fetch_max(now, Ordering::SeqCst);
}

#[async_trait]
impl Engine for Counting {
    async fn load(&mut self) -> Result<LoadReport, EngineError> {
        up(&self.gauge.alive, &self.gauge.most_alive);
        self.loaded = true;
        sleep(Duration::from_millis(5)).await;
        Ok(LoadReport {
            numeric: "none".to_owned(),
            load_ms: 5,
            ..LoadReport::default()
        })
    }

    async fn translate(&mut self, batch: EngineBatch) -> Result<Vec<Translation>, EngineError> {
        let is_warm_up = batch.segments.iter().all(|s| s.text == WARM_UP);
        if !is_warm_up {
            up(&self.gauge.busy, &self.gauge.most_busy);
            sleep(self.batch).await;
            self.gauge.busy.fetch_sub(1, Ordering::SeqCst);
        }
        let translation = |s: Segment| Translation {
            text: format!("{}:{}", s.target, s.text),
            score: 0.0,
            input_tokens: 1,
            output_tokens: 1,
            completeness: babelmesh_actors::engine::Completeness::Whole,
            alignment: None,
            alternatives: Vec::new(),
        };
        Ok(batch.segments.into_iter().map(translation).collect())
    }

    fn usage(&self) -> Usage {
        Usage {
            pid: None,
            resident_bytes: BYTES,
        }
    }

    async fn shutdown(&mut self) {}
}

impl Drop for Counting {
    fn drop(&mut self) {
        if self.loaded {
            self.gauge.alive.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

struct Factory(Arc<Gauge>, Duration);

impl EngineFactory for Factory {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(Counting {
            gauge: Arc::clone(&self.0),
            batch: self.1,
            loaded: false,
        })
    }
}

struct Node {
    pools: Vec<ActorRef<PoolMessage>>,
    intake: ActorRef<IntakeMessage>,
    outcomes: Arc<Outcomes>,
    events: Arc<Events>,
    gauge: Arc<Gauge>,
    sent: i64,
}

/// A language, of those for private use, that only the pool of this number writes.
fn target(pool: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n).unwrap());
    format!("q{}{}", letter(pool / 10), letter(pool % 10))
}

impl Node {
    /// Pools from zero actors on two cores, with memory for so many actors.
    async fn start(pools: usize, actors: u64, batch: Duration) -> Self {
        let gauge = Arc::new(Gauge::default());
        let events = Arc::new(Events::default());
        let budget = NodeBudget::new(2, actors * BYTES);
        let mut routes = Vec::new();
        for number in 0..pools {
            let mut spec = PoolSpec::new(&format!("model-{number}"), 2);
            spec.bounds.min = 0;
            spec.expected_memory = BYTES;
            let start = PoolStart {
                spec,
                engines: Arc::new(Factory(Arc::clone(&gauge), batch)),
                policy: Box::new(DelayTarget::new(DelayTargetConfig::default())),
                budget: Arc::clone(&budget),
                observer: Arc::clone(&events) as _,
                lag: PoolLag::default(),
                peers: Arc::new(()),
                cache: None,
                warm_up: Segment {
                    text: WARM_UP.into(),
                    source: "en".into(),
                    target: "fr".into(),
                    align: false,
                    alternatives: 0,
                },
            };
            let (pool, _) = Actor::spawn(None, PoolSupervisor, start).await.unwrap();
            routes.push(Route {
                model: Arc::from(format!("model-{number}")),
                ability: Capability {
                    sources: vec!["en".parse().unwrap()],
                    targets: vec![target(number).parse().unwrap()],
                    tier: ModelType::Basic,
                },
                pool,
                text: Arc::default(),
                space: None,
            });
        }
        let pools = routes.iter().map(|route| route.pool.clone()).collect();
        let start = IntakeStart {
            routes,
            max_text_chars: 1_000,
            retry: RetryPolicy {
                attempts: 0,
                ..RetryPolicy::default()
            },
            observer: Arc::clone(&events) as _,
            escalation: EscalationPolicy::default(),
            pivot: PivotPolicy::default(),
            glossaries: Arc::default(),
            remote_nodes: Arc::new(()),
            max_wait: Duration::from_secs(30),
        };
        let (intake, _) = Actor::spawn(None, Intake, start).await.unwrap();
        Self {
            pools,
            intake,
            outcomes: Arc::default(),
            events,
            gauge,
            sent: 0,
        }
    }

    fn send(&mut self, pool: usize, texts: usize) {
        let orders = (0..texts).map(|_| {
            self.sent += 1;
            let request = TranslationRequest {
                source_language: "en".to_owned(),
                ..TranslationRequest::new(
                    self.sent.to_string(),
                    format!("Message {}.", self.sent),
                    target(pool),
                )
            };
            order(self.sent, request, &self.outcomes)
        });
        let orders = orders.collect();
        self.intake.cast(IntakeMessage::Offer(orders)).unwrap();
    }

    fn answered(&self) -> usize {
        self.outcomes.0.lock().unwrap().len()
    }

    /// Waits until everything is answered; nothing may have failed.
    async fn settle(&self) {
        let all = async {
            while self.answered() < self.sent as usize {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(
            timeout(LONG, all).await.is_ok(),
            "{} of {} are answered",
            self.answered(),
            self.sent
        );
        let outcomes = self.outcomes.0.lock().unwrap();
        let failed: Vec<&JobOutcome> = outcomes.iter().filter(|o| o.result.is_err()).collect();
        assert!(failed.is_empty(), "{:?}", failed.first().map(|o| &o.result));
    }

    async fn status(&self, pool: usize) -> PoolStatus {
        match self.pools[pool].call(PoolMessage::Status, Some(LONG)).await {
            Ok(CallResult::Success(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    fn evicted(&self) -> usize {
        self.events.count(|event| {
            matches!(
                event,
                Event::ActorStopped {
                    reason: StopReason::Evicted,
                    ..
                }
            )
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_pools_on_two_cores_are_served_cold_warm_and_in_turn() {
    let mut node = Node::start(60, 1_000, Duration::from_millis(2)).await;
    assert!(node.status(7).await.resting);
    // Cold, one after the other: every earlier pool keeps its idle actor.
    for pool in 0..60 {
        node.send(pool, 1);
        let asked = Instant::now();
        node.settle().await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "pool {pool}: {took:?}");
    }
    assert!(!node.status(7).await.resting);
    // Warm, all at once and with more work than cores.
    for pool in 0..60 {
        node.send(pool, 100);
    }
    node.settle().await;
    let most = node.gauge.most_busy.load(Ordering::SeqCst);
    assert!(most <= 2, "{most} batches at once on two cores");
    assert_eq!(node.evicted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_cold_pools_are_served_when_all_are_asked_at_once() {
    let mut node = Node::start(60, 1_000, Duration::from_millis(2)).await;
    for pool in 0..60 {
        node.send(pool, 3);
    }
    node.settle().await;
    assert!(node.gauge.most_busy.load(Ordering::SeqCst) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_pool_leaves_others_their_turn() {
    let mut node = Node::start(3, 1_000, Duration::from_millis(20)).await;
    node.send(0, 20_000);
    sleep(Duration::from_millis(300)).await;
    let before = node.answered();
    node.send(1, 1);
    node.send(2, 1);
    let others = async {
        loop {
            let done = |pool: usize| {
                let outcomes = node.outcomes.0.lock().unwrap();
                outcomes
                    .iter()
                    .any(|o| o.order.request.target_language.as_deref() == Some(&target(pool)))
            };
            if done(1) && done(2) {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(LONG, others).await.is_ok());
    let meanwhile = node.answered() - before;
    assert!(
        meanwhile < 15_000,
        "{meanwhile} texts of the hot pool came first"
    );
    node.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_idle_actor_is_evicted_when_memory_is_short() {
    let mut node = Node::start(6, 3, Duration::from_millis(2)).await;
    for pool in [0, 1, 2, 0] {
        node.send(pool, 1);
        node.settle().await;
    }
    node.send(3, 1);
    node.settle().await;
    assert!(
        node.status(1).await.resting,
        "pool 1 was used least recently"
    );
    for pool in [0, 2, 3] {
        assert_eq!(node.status(pool).await.actors.len(), 1, "pool {pool}");
    }
    for round in 0..3 {
        for pool in 0..6 {
            node.send(pool, 1 + round);
            node.settle().await;
        }
    }
    let most = node.gauge.most_alive.load(Ordering::SeqCst);
    assert!(most <= 3, "{most} actors where there is memory for three");
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_that_all_have_work_take_turns_in_memory_for_one() {
    let mut node = Node::start(4, 1, Duration::from_millis(2)).await;
    for pool in 0..4 {
        node.send(pool, 50);
    }
    node.settle().await;
    assert_eq!(node.gauge.most_alive.load(Ordering::SeqCst), 1);
}
