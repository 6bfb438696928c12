//! Back-pressure: an overloaded source is paused, and memory stays bounded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use babelmesh_actors::{
    domain::{
        JobOutcome, Leg, Locality, ModelType, Order, OutcomeSink, Ticket, TranslationRequest,
    },
    engine::{Engine, EngineFactory, FakeEngine, FakeSpec, Segment},
    events::Event,
    flow::{Flow, Gate, WaterMarks},
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    pool::{NodeBudget, PoolLag, PoolMessage, PoolSpec, PoolStart, PoolSupervisor},
    retry::RetryPolicy,
    routing::{Capability, EscalationPolicy, PivotPolicy},
    scaling::{Bounds, DelayTarget, DelayTargetConfig},
};
use babelmesh_integration_tests::{LocalNode, PATIENCE, Sandbox, processes, request};
use ractor::{Actor, ActorRef};

const JOBS: usize = 1_000_000;
/// What a reader hands on at once.
const RUN: usize = 512;
const MARKS: WaterMarks = WaterMarks {
    high: 400_000,
    low: 200_000,
};
const MOST_MEMORY: u64 = 100 << 20;

struct Fakes;

impl EngineFactory for Fakes {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn create(&self) -> Box<dyn Engine> {
        Box::new(FakeEngine::new(FakeSpec::default()))
    }
}

/// Ticks off every job and gives its weight back, as a publisher does.
struct Sink {
    flow: Arc<Flow>,
    weight: u64,
    seen: Vec<AtomicBool>,
    count: AtomicU64,
    repeated: AtomicU64,
    failed: AtomicU64,
}

impl OutcomeSink for Sink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        for outcome in &outcomes {
            let number = usize::try_from(outcome.order.ticket.offset).unwrap();
            let before = self.seen[number].swap(true, Ordering::Relaxed);
            self.repeated
                .fetch_add(u64::from(before), Ordering::Relaxed);
            self.failed
                .fetch_add(u64::from(outcome.result.is_err()), Ordering::Relaxed);
            self.flow.done(self.weight);
        }
        self.count
            .fetch_add(outcomes.len() as u64, Ordering::Relaxed);
    }
}

async fn start_actors() -> ActorRef<IntakeMessage> {
    let language = |tag: &str| tag.parse().unwrap();
    let pool = PoolStart {
        spec: PoolSpec {
            bounds: Bounds { min: 2, max: 2 },
            ..PoolSpec::new("fake", 2)
        },
        engines: Arc::new(Fakes),
        policy: Box::new(DelayTarget::new(DelayTargetConfig::default())),
        budget: NodeBudget::new(64, u64::MAX),
        observer: Arc::new(()),
        lag: PoolLag::default(),
        peers: Arc::new(()),
        cache: None,
        warm_up: Segment {
            text: "1".to_owned(),
            source: "en".to_owned(),
            target: "fr".to_owned(),
            align: false,
            alternatives: 0,
        },
    };
    let (pool, _): (ActorRef<PoolMessage>, _) =
        Actor::spawn(None, PoolSupervisor, pool).await.unwrap();
    let ability = Capability {
        sources: vec![language("en")],
        targets: vec![language("fr")],
        tier: ModelType::Basic,
    };
    let routes = vec![Route {
        model: Arc::from("fake"),
        ability,
        pool,
        text: Arc::default(),
        space: None,
    }];
    let start = IntakeStart {
        routes,
        max_text_chars: 1_000,
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

#[test]
fn a_source_of_a_million_jobs_is_paused_and_memory_stays_bounded() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let intake = runtime.block_on(start_actors());
    let body = request("m", "How are you today, my friend?", &["fr"], "c").to_string();
    let request = TranslationRequest::decode(body.as_bytes()).unwrap();
    let weight = Flow::weight_of(body.len());
    let flow = Arc::new(Flow::new(MARKS));
    let seen = (0..JOBS).map(|_| AtomicBool::new(false)).collect();
    let [count, repeated, failed] = [(); 3].map(|()| AtomicU64::new(0));
    let sink = Arc::new(Sink {
        flow: Arc::clone(&flow),
        weight,
        seen,
        count,
        repeated,
        failed,
    });
    let before = processes::own_memory();
    let done = Arc::new(AtomicBool::new(false));
    let most = watch_memory(&done);
    let started = Instant::now();
    let (mut closed, mut opened, mut gate) = (0, 0, Gate::Open);
    let mut offered = 0;
    while offered < JOBS {
        let next = flow.gate();
        closed += u32::from(gate == Gate::Open && next == Gate::Closed);
        opened += u32::from(gate == Gate::Closed && next == Gate::Open);
        gate = next;
        if gate == Gate::Closed {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let order = |number: usize| {
            flow.add(weight);
            Order {
                ticket: Ticket {
                    partition: 0,
                    offset: i64::try_from(number).unwrap(),
                    epoch: 0,
                },
                request: request.clone(),
                submitted: tokio::time::Instant::now(),
                trace: None,
                replays: 0,
                fresh: false,
                locality: Locality::Node,
                leg: Leg::Whole,
                sink: Arc::clone(&sink) as Arc<dyn OutcomeSink>,
            }
        };
        let run = offered..JOBS.min(offered + RUN);
        offered = run.end;
        intake
            .cast(IntakeMessage::Offer(run.map(order).collect()))
            .unwrap();
    }
    let end = Instant::now() + PATIENCE;
    while sink.count.load(Ordering::Relaxed) < JOBS as u64 && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    done.store(true, Ordering::Relaxed);
    let more = most.join().unwrap().saturating_sub(before);
    println!(
        "{:.0} jobs/s, {} MiB more, closed {closed} times",
        JOBS as f64 / started.elapsed().as_secs_f64(),
        more >> 20
    );
    assert!(more < MOST_MEMORY, "{} MiB more than before", more >> 20);
    let lost = sink
        .seen
        .iter()
        .filter(|seen| !seen.load(Ordering::Relaxed))
        .count();
    assert_eq!(lost, 0, "jobs are lost");
    assert_eq!(sink.repeated.load(Ordering::Relaxed), 0, "jobs came twice");
    assert_eq!(sink.failed.load(Ordering::Relaxed), 0, "jobs failed");
    assert!(
        closed >= 2 && opened >= 2,
        "the gate closed {closed} times and opened {opened} times"
    );
    assert_eq!(flow.queued(), 0);
}

/// Looks at this process's memory until it is told that all is done; ends with the most that it saw.
fn watch_memory(done: &Arc<AtomicBool>) -> thread::JoinHandle<u64> {
    let done = Arc::clone(done);
    thread::spawn(move || {
        let mut most = 0;
        while !done.load(Ordering::Relaxed) {
            most = most.max(processes::own_memory());
            thread::sleep(Duration::from_millis(5));
        }
        most
    })
}

#[test]
fn a_node_that_has_too_much_stops_reading_and_goes_on_when_it_has_less() {
    let sandbox = Sandbox::new();
    let settings = sandbox.node().actors(1).set("engine.fake.segment_us", 500);
    let node = LocalNode::start(
        &settings
            .set("intake.high_water_tokens", 8_000)
            .set("intake.low_water_tokens", 4_000),
    );
    let mut backend = node.backend();
    for number in 0..4_000 {
        backend.ask(&request(
            &format!("m{number}"),
            "How are you?",
            &["fr"],
            &format!("c{}", number % 10),
        ));
    }
    backend.flush();
    let mut most = 0;
    let mut looks = 0;
    while !backend.read_until(Duration::from_millis(50), |ids| ids.is_complete()) && looks < 400 {
        most = most.max(node.status().jobs.queued_tokens);
        looks += 1;
    }
    backend.read_all(PATIENCE);
    backend.ids.assert_exactly_once();
    let paused = node
        .events()
        .count(|event| matches!(event, Event::IntakePaused { .. }));
    let resumed = node
        .events()
        .count(|event| matches!(event, Event::IntakeResumed { .. }));
    println!("paused {paused} times, resumed {resumed} times, at most {most} tokens");
    assert!(
        paused >= 2 && resumed >= 2,
        "paused {paused} times, resumed {resumed} times"
    );
    // One run of records may be on its way when the gate closes.
    assert!(
        most > 4_000 && most < 8_000 + 512 * 60,
        "{most} tokens were queued"
    );
}
