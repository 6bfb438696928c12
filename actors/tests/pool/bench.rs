//! A pool and its intake with fake engines, and everything that came of what they were given.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use babelmesh_actors::{
    ModelText,
    cache::{CacheSpace, TranslationCache},
    domain::{
        ErrorCode, JobOutcome, Leg, Locality, ModelType, Order, OutcomeSink, Ticket, Translated,
        TranslationRequest,
    },
    engine::{FakeSpec, Segment},
    events::{Event, Observer},
    glossaries::Glossaries,
    intake::{Intake, IntakeMessage, IntakeStart, Route},
    offload::Peers,
    pool::{
        Applied, BoundsError, NodeBudget, PoolLag, PoolMessage, PoolSpec, PoolStart, PoolStatus,
        PoolSupervisor,
    },
    remote_nodes::{ForwardedJob, RemoteNodes},
    retry::RetryPolicy,
    routing::{Capability, EscalationPolicy, PivotPolicy},
    scaling::{Bounds, DelayTarget, DelayTargetConfig},
};
use ractor::{Actor, ActorRef, rpc::CallResult};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

pub(crate) use crate::fakes::{Fakes, WARM_UP};

pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Outcomes, and whether no further ones are wanted.
#[derive(Default)]
pub(crate) struct Outcomes(pub(crate) Mutex<Vec<JobOutcome>>, pub(crate) AtomicBool);

impl OutcomeSink for Outcomes {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        self.0.lock().unwrap().extend(outcomes);
    }

    fn wants(&self, _: Ticket) -> bool {
        !self.1.load(Ordering::Relaxed)
    }
}

/// An order that was submitted just now, as the only partition's record of this offset.
pub(crate) fn order(offset: i64, request: TranslationRequest, outcomes: &Arc<Outcomes>) -> Order {
    Order {
        ticket: Ticket {
            partition: 0,
            offset,
            epoch: 0,
        },
        request,
        submitted: Instant::now(),
        trace: None,
        replays: 0,
        fresh: false,
        locality: Locality::Node,
        leg: Leg::Whole,
        sink: Arc::clone(outcomes) as _,
    }
}

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Events {
    pub(crate) fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        let events = self.0.lock().unwrap();
        events.iter().filter(|event| matches(event)).count()
    }
}

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

pub(crate) struct Bench {
    pub(crate) pool: ActorRef<PoolMessage>,
    pub(crate) intake: ActorRef<IntakeMessage>,
    pub(crate) outcomes: Arc<Outcomes>,
    events: Arc<Events>,
    pub(crate) engines: Arc<Fakes>,
    pub(crate) sent: i64,
}

impl Bench {
    pub(crate) async fn start(fake: FakeSpec, change: impl FnOnce(&mut PoolSpec)) -> Self {
        let retry = RetryPolicy {
            attempts: 0,
            ..RetryPolicy::default()
        };
        Self::start_with(fake, retry, change).await
    }

    pub(crate) async fn start_with(
        fake: FakeSpec,
        retry: RetryPolicy,
        change: impl FnOnce(&mut PoolSpec),
    ) -> Self {
        Self::start_among(fake, retry, Arc::new(()), change).await
    }

    pub(crate) async fn start_among(
        fake: FakeSpec,
        retry: RetryPolicy,
        peers: Arc<dyn Peers>,
        change: impl FnOnce(&mut PoolSpec),
    ) -> Self {
        Self::start_whole(fake, retry, (peers, None), change).await
    }

    pub(crate) async fn start_whole(
        fake: FakeSpec,
        retry: RetryPolicy,
        peers_and_cache: (Arc<dyn Peers>, Option<Arc<dyn TranslationCache>>),
        change: impl FnOnce(&mut PoolSpec),
    ) -> Self {
        Self::start_beside(fake, retry, peers_and_cache, Arc::new(()), change).await
    }

    pub(crate) async fn start_beside(
        fake: FakeSpec,
        retry: RetryPolicy,
        peers_and_cache: (Arc<dyn Peers>, Option<Arc<dyn TranslationCache>>),
        remote_nodes: Arc<dyn RemoteNodes>,
        change: impl FnOnce(&mut PoolSpec),
    ) -> Self {
        let around = (remote_nodes, Arc::default(), EscalationPolicy::default());
        Self::start_around(fake, retry, peers_and_cache, around, change).await
    }

    pub(crate) async fn start_with_glossaries(
        fake: FakeSpec,
        peers_and_cache: (Arc<dyn Peers>, Option<Arc<dyn TranslationCache>>),
        remote_nodes: Arc<dyn RemoteNodes>,
        glossaries: Arc<Glossaries>,
    ) -> Self {
        let around = (remote_nodes, glossaries, EscalationPolicy::default());
        Self::start_around(
            fake,
            RetryPolicy::default(),
            peers_and_cache,
            around,
            |_| {},
        )
        .await
    }

    pub(crate) async fn start_escalating(fake: FakeSpec, policy: EscalationPolicy) -> Self {
        let around = (Arc::new(()) as _, Arc::default(), policy);
        let peers_and_cache = (Arc::new(()) as _, None);
        Self::start_around(
            fake,
            RetryPolicy::default(),
            peers_and_cache,
            around,
            |_| {},
        )
        .await
    }

    async fn start_around(
        fake: FakeSpec,
        retry: RetryPolicy,
        (peers, cache): (Arc<dyn Peers>, Option<Arc<dyn TranslationCache>>),
        (remote_nodes, glossaries, escalation): (
            Arc<dyn RemoteNodes>,
            Arc<Glossaries>,
            EscalationPolicy,
        ),
        change: impl FnOnce(&mut PoolSpec),
    ) -> Self {
        let space = cache.as_ref().map(|_| CacheSpace::new(["fake-model"]));
        let mut spec = PoolSpec::new("fake-model", 2);
        spec.bounds.min = 2;
        spec.restart = (Duration::from_millis(20), Duration::from_millis(200));
        spec.text = Arc::new(ModelText::new(64, Arc::default()));
        change(&mut spec);
        let text = Arc::clone(&spec.text);
        let engines = Arc::new(Fakes {
            spec: Mutex::new(fake),
            seen: Arc::default(),
            kills: Arc::new(Semaphore::new(0)),
            flaw: Arc::default(),
            is_probed: Arc::default(),
        });
        let events = Arc::new(Events::default());
        let pool = start_pool(spec, &engines, &events, (peers, cache)).await;
        let route = Route {
            model: Arc::from("fake-model"),
            ability: capability("en", "fr"),
            pool: pool.clone(),
            text,
            space,
        };
        let start = IntakeStart {
            routes: vec![route],
            max_text_chars: 20_000,
            retry,
            observer: Arc::clone(&events) as _,
            escalation,
            pivot: PivotPolicy::default(),
            glossaries,
            remote_nodes,
            max_wait: Duration::from_secs(30),
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

    pub(crate) fn offer(&mut self, texts: impl IntoIterator<Item = String>) {
        self.offer_with(texts, |_| {});
    }

    /// Offers English texts, wanted in French, that another node may do.
    pub(crate) fn offer_to_all(
        &mut self,
        texts: impl IntoIterator<Item = String>,
        change: impl Fn(&mut TranslationRequest),
    ) {
        self.offer_all(texts, change, |order| Order {
            locality: Locality::Cluster,
            ..order
        });
    }

    pub(crate) fn offer_with(
        &mut self,
        texts: impl IntoIterator<Item = String>,
        change: impl Fn(&mut TranslationRequest),
    ) {
        self.offer_all(texts, change, |order| order);
    }

    /// Has models translate these whatever is remembered.
    pub(crate) fn offer_fresh(&mut self, texts: impl IntoIterator<Item = String>) {
        self.offer_all(
            texts,
            |_| {},
            |order| Order {
                fresh: true,
                ..order
            },
        );
    }

    /// Offers English texts, wanted in French, that are not to leave this node, with changes of request and order.
    pub(crate) fn offer_all(
        &mut self,
        texts: impl IntoIterator<Item = String>,
        change: impl Fn(&mut TranslationRequest),
        finish: impl Fn(Order) -> Order,
    ) {
        let orders = texts.into_iter().map(|text| {
            self.sent += 1;
            let mut request = TranslationRequest {
                source_language: "en".to_owned(),
                ..TranslationRequest::new(self.sent.to_string(), text, "fr")
            };
            change(&mut request);
            finish(order(self.sent, request, &self.outcomes))
        });
        self.intake
            .cast(IntakeMessage::Offer(orders.collect()))
            .unwrap();
    }

    /// Waits for all outcomes, asserts that each order has exactly one, returns errors by message id.
    pub(crate) async fn settle(&self) -> BTreeMap<String, ErrorCode> {
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

    /// One more pool with the same engines, of another model.
    pub(crate) async fn another_pool(&self, model: &str) -> ActorRef<PoolMessage> {
        let spec = PoolSpec::new(model, 1);
        start_pool(spec, &self.engines, &self.events, (Arc::new(()), None)).await
    }

    /// The same with engines of its own, which can be changed.
    pub(crate) async fn pool_with(
        &self,
        model: &str,
        fake: FakeSpec,
    ) -> (ActorRef<PoolMessage>, Arc<Fakes>) {
        self.pool_of((model, ModelType::Basic), fake).await
    }

    /// The same for a model of a tier.
    pub(crate) async fn pool_of(
        &self,
        (model, tier): (&str, ModelType),
        fake: FakeSpec,
    ) -> (ActorRef<PoolMessage>, Arc<Fakes>) {
        let engines = Arc::new(Fakes {
            spec: Mutex::new(fake),
            seen: Arc::default(),
            kills: Arc::new(Semaphore::new(0)),
            flaw: Arc::default(),
            is_probed: Arc::default(),
        });
        let mut spec = PoolSpec::new(model, 1);
        spec.model_type = tier;
        spec.restart = (Duration::from_millis(20), Duration::from_millis(200));
        let pool = start_pool(spec, &engines, &self.events, (Arc::new(()), None)).await;
        (pool, engines)
    }

    pub(crate) async fn set_bounds(&self, min: u32, max: u32) -> Result<Applied, BoundsError> {
        let message = |reply| PoolMessage::SetBounds(Bounds { min, max }, reply);
        match self.pool.call(message, Some(LONG)).await {
            Ok(CallResult::Success(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// What engines were given so far.
    pub(crate) fn seen(&self) -> Vec<(Instant, String)> {
        self.engines.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.events
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|event| matches(event))
            .count()
    }

    pub(crate) async fn status(&self) -> PoolStatus {
        match self.pool.call(PoolMessage::Status, Some(LONG)).await {
            Ok(CallResult::Success(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&PoolStatus) -> bool) {
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

/// Capabilities of a model of the lowest tier for one pair.
pub(crate) fn capability(source: &str, target: &str) -> Capability {
    let language = |tag: &str| tag.parse().unwrap();
    Capability {
        sources: vec![language(source)],
        targets: vec![language(target)],
        tier: ModelType::Basic,
    }
}

/// The translation of a forwarded job by the model `far` of another node.
pub(crate) fn far(forwarded: &ForwardedJob) -> Translated {
    Translated {
        alternatives: Vec::new(),
        text: format!("far:{}", forwarded.request.text),
        confidence: 1.0,
        source: forwarded.source,
        target: forwarded.target,
        via: None,
        detected: forwarded.detected,
        model_id: Arc::from("far"),
        model_type: ModelType::Basic,
        worker: Arc::from("far"),
        batch_size: 1,
        segments: 1,
        from_cache: false,
        checks: None,
        queue_time: Duration::ZERO,
        processing_time: Duration::ZERO,
    }
}

async fn start_pool(
    spec: PoolSpec,
    engines: &Arc<Fakes>,
    events: &Arc<Events>,
    (peers, cache): (Arc<dyn Peers>, Option<Arc<dyn TranslationCache>>),
) -> ActorRef<PoolMessage> {
    let start = PoolStart {
        spec,
        engines: Arc::clone(engines) as _,
        policy: Box::new(DelayTarget::new(DelayTargetConfig::default())),
        budget: NodeBudget::new(8, u64::MAX),
        observer: Arc::clone(events) as _,
        lag: PoolLag::default(),
        peers,
        cache,
        warm_up: Segment {
            text: WARM_UP.into(),
            source: "en".into(),
            target: "fr".into(),
            align: false,
            alternatives: 0,
        },
    };
    Actor::spawn(None, PoolSupervisor, start).await.unwrap().0
}

pub(crate) fn warm(status: &PoolStatus) -> usize {
    status
        .actors
        .iter()
        .filter(|actor| actor.phase.is_warm())
        .count()
}

pub(crate) fn texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("Message number {i} is here."))
}

pub(crate) const fn failed(event: &Event) -> bool {
    matches!(event, Event::ActorFailed { .. })
}

pub(crate) fn mark(text: &str) -> Option<String> {
    Some(text.to_owned())
}
