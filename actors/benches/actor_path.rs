//! Throughput of the actors alone, in jobs per second: an in-memory source, the intake, one pool of fake engines, an
//! in-memory sink.
//!
//! `cargo bench -p babelmesh-actors`. The number of elements is jobs; two threads, as the runtime of a node on two cores has.

#![allow(missing_docs, reason = "made by criterion's macros")]
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot start has nothing to report"
)]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use babelmesh_actors::{
    domain::{
        JobOutcome, Leg, Locality, ModelType, Order, OutcomeSink, Ticket, TranslationRequest,
    },
    engine::{Engine, EngineFactory, FakeEngine, FakeSpec, Segment},
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    pool::{NodeBudget, PoolLag, PoolSpec, PoolStart, PoolSupervisor},
    retry::RetryPolicy,
    routing::{Capability, EscalationPolicy, PivotPolicy},
    scaling::{DelayTarget, DelayTargetConfig},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ractor::{Actor, ActorRef};
use tokio::sync::Notify;

const JOBS: u64 = 20_000;
/// The batch size of a Kafka reader.
const RUN: usize = 512;

struct Fakes;

impl EngineFactory for Fakes {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(FakeEngine::new(FakeSpec::default()))
    }
}

#[derive(Default)]
struct Counter {
    done: AtomicU64,
    full: Notify,
}

impl OutcomeSink for Counter {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let before = self
            .done
            .fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        if before + outcomes.len() as u64 >= JOBS {
            self.full.notify_one();
        }
        black_box(outcomes);
    }
}

async fn start(actors: u32) -> ActorRef<IntakeMessage> {
    let mut spec = PoolSpec::new("bench", actors);
    spec.bounds.min = actors;
    let language = |tag: &str| tag.parse().unwrap();
    let segment = |text: &str| Segment {
        text: text.into(),
        source: "en".into(),
        target: "fr".into(),
        align: false,
        alternatives: 0,
    };
    let text = Arc::clone(&spec.text);
    let start = PoolStart {
        spec,
        engines: Arc::new(Fakes),
        policy: Box::new(DelayTarget::new(DelayTargetConfig::default())),
        budget: NodeBudget::new(64, u64::MAX),
        observer: Arc::new(()),
        lag: PoolLag::default(),
        peers: Arc::new(()),
        cache: None,
        warm_up: segment("hello"),
    };
    let (pool, _) = Actor::spawn(None, PoolSupervisor, start).await.unwrap();
    let ability = Capability {
        sources: vec![language("en")],
        targets: vec![language("fr")],
        tier: ModelType::Basic,
    };
    let routes = vec![Route {
        model: Arc::from("bench"),
        ability,
        pool,
        text,
        space: None,
    }];
    let start = IntakeStart {
        routes,
        max_text_chars: 10_000,
        retry: RetryPolicy::default(),
        observer: Arc::new(()),
        escalation: EscalationPolicy::default(),
        pivot: PivotPolicy::default(),
        glossaries: Arc::default(),
        remote_nodes: Arc::new(()),
        max_wait: Duration::from_secs(30),
    };
    Actor::spawn(None, Intake, start).await.unwrap().0
}

const TEXT: &str = "I will be ten minutes late, please start without me.";

fn order(number: u64, sink: &Arc<dyn OutcomeSink>) -> Order {
    Order {
        ticket: Ticket {
            partition: 1,
            offset: number.cast_signed(),
            epoch: 1,
        },
        request: TranslationRequest {
            source_language: "en".to_owned(),
            ..TranslationRequest::new(number.to_string(), TEXT, "fr")
        },
        submitted: tokio::time::Instant::now(),
        trace: None,
        replays: 0,
        fresh: false,
        locality: Locality::Node,
        leg: Leg::Whole,
        sink: Arc::clone(sink),
    }
}

/// Jobs are prepared in advance: creating them is the source's work, not the actors'.
async fn carry(intake: &ActorRef<IntakeMessage>) -> Duration {
    let counter = Arc::new(Counter::default());
    let sink: Arc<dyn OutcomeSink> = Arc::clone(&counter) as _;
    let mut orders: Vec<Order> = (0..JOBS).map(|number| order(number, &sink)).collect();
    let started = Instant::now();
    while !orders.is_empty() {
        let rest = orders.split_off(orders.len().saturating_sub(RUN));
        intake.cast(IntakeMessage::Offer(rest)).unwrap();
    }
    counter.full.notified().await;
    started.elapsed()
}

fn actor_path(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("actor path");
    group.throughput(Throughput::Elements(JOBS)).sample_size(20);
    for actors in [1, 2] {
        let intake = runtime.block_on(start(actors));
        group.bench_function(format!("{actors} model actor(s)"), |bencher| {
            bencher.to_async(&runtime).iter_custom(|rounds| {
                let intake = intake.clone();
                async move {
                    let mut total = Duration::ZERO;
                    for _ in 0..rounds {
                        total += carry(&intake).await;
                    }
                    total
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, actor_path);
criterion_main!(benches);
