//! A sample node for the tests of the metrics page: its telemetry after events of every kind, and a status with everything that a page can show.

use std::{sync::Arc, time::Duration};

use babelmesh_actors::{
    domain::{
        ErrorCode, JobOutcome, Lanes, Leg, Locality, Order, OutcomeSink, Priority, RequestError,
        Ticket, Translated, TranslationRequest,
    },
    events::{Event, Observer, PieceSource, SentenceCounts, Stage, StopReason},
    offload::{Offer, OffloadReason},
    pool::{ActorPhase, ActorStatus, LaneStatus, PausedStatus, PeerQueueStatus, PoolStatus},
    scaling::{Decision, Estimates, Inputs, Reason},
};
use tokio::time::Instant;

use crate::{
    Telemetry,
    status::{CacheStatus, Delivery, NodeStatus, SharedStatus, SourceStatus, TopicLag},
};

struct Nobody;

impl OutcomeSink for Nobody {
    fn deliver(&self, _: Vec<JobOutcome>) {}
}

fn outcome(target: &str, error: Option<ErrorCode>) -> JobOutcome {
    let order = Order {
        ticket: Ticket::default(),
        request: TranslationRequest {
            priority: Some(Priority::High),
            ..TranslationRequest::new("secret-id", "secret text", target)
        },
        submitted: Instant::now(),
        trace: None,
        replays: 0,
        fresh: false,
        locality: Locality::Node,
        leg: Leg::Whole,
        sink: Arc::new(Nobody),
    };
    let translated = Translated {
        alternatives: Vec::new(),
        text: "secret".to_owned(),
        confidence: 1.0,
        source: "en".parse().unwrap(),
        target: "fr".parse().unwrap(),
        via: None,
        detected: None,
        model_id: Arc::from("m"),
        model_type: Default::default(),
        worker: Arc::from("m-1"),
        batch_size: 1,
        from_cache: false,
        checks: None,
        segments: 1,
        queue_time: Duration::from_millis(3),
        processing_time: Duration::from_millis(30),
    };
    JobOutcome {
        order,
        result: error.map_or(Ok(translated), |code| Err(RequestError::new(code, "no"))),
    }
}

fn decision() -> Decision {
    Decision {
        target: 3,
        reason: Reason::Idle { idle_seconds: 1.0 },
        unmet_actors: 1,
        inputs: Inputs {
            owned: 2,
            warm: 1,
            estimates: Estimates::default(),
        },
    }
}

/// A node with everything that a page can show.
pub(super) fn node() -> (Telemetry, NodeStatus) {
    let telemetry = Telemetry::default();
    let metrics = telemetry.metrics();
    let pool: Arc<str> = Arc::from("m");
    let actor: Arc<str> = Arc::from("m-1");
    for event in [
        Event::ActorSpawned {
            pool: Arc::clone(&pool),
            actor: Arc::clone(&actor),
        },
        Event::ActorReady {
            pool: Arc::clone(&pool),
            actor: Arc::clone(&actor),
            pid: None,
            numeric: "int8".to_owned(),
            cold_start: Duration::from_secs(1),
            warm_up: Duration::from_millis(10),
        },
        Event::ActorStopped {
            pool: Arc::clone(&pool),
            actor: Arc::clone(&actor),
            reason: StopReason::ScaledDown,
        },
        Event::ActorFailed {
            pool: Arc::clone(&pool),
            actor: Arc::clone(&actor),
            error: "secret".to_owned(),
            requeued: 5,
            restart_in: Duration::ZERO,
        },
        Event::PiecesKnown {
            pool: Arc::clone(&pool),
            source: PieceSource::Shared,
            pieces: 5,
        },
        Event::BatchDone {
            pool: Arc::clone(&pool),
            actor,
            segments: 8,
            tokens: 100,
            elapsed: Duration::from_millis(20),
            waited: Duration::from_millis(5),
        },
        Event::Scaled {
            pool: Arc::clone(&pool),
            from: 1,
            decision: decision(),
        },
        Event::PanicContained {
            stage: Stage::Read,
            panic: "secret".to_owned(),
        },
        Event::JobsRefused {
            pool: Arc::clone(&pool),
            jobs: 3,
        },
        Event::JobsExpired {
            pool: Arc::clone(&pool),
            jobs: 2,
        },
        Event::JobsAbandoned {
            pool: Arc::clone(&pool),
            jobs: 1,
        },
        Event::JobsRetried {
            code: ErrorCode::ModelUnavailable,
            tries: 0,
            jobs: 4,
            after: Duration::ZERO,
        },
        Event::PiecesTruncated {
            pool: Arc::clone(&pool),
            pieces: 3,
            given_up: 1,
        },
        Event::SentencesChecked {
            pool: Arc::clone(&pool),
            counts: SentenceCounts {
                ways: [5, 0, 2, 0],
                flags: [2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                kinds: std::array::from_fn(|kind| u32::from(kind == 4) * 2),
            },
        },
        Event::TextPoisoned {
            pool: Arc::clone(&pool),
            message_id: "secret-id".to_owned(),
            error: "secret".to_owned(),
        },
        Event::EngineSaid {
            pool: Arc::clone(&pool),
            line: "secret".to_owned(),
        },
        Event::IntakePaused { tokens: 1 },
        Event::Accepted {
            lane: babelmesh_actors::domain::Lane::Any,
            jobs: 7,
        },
    ] {
        metrics.observe(&event);
    }
    let outcomes = [
        outcome("fr", None),
        outcome("fr", None),
        outcome("fr-CA", None),
        outcome("fr", Some(ErrorCode::PoisonText)),
    ];
    metrics.answered(Some(&pool), &outcomes);
    let senders_own = "secret-language";
    metrics.answered(
        None,
        &[outcome(senders_own, Some(ErrorCode::InvalidLanguage))],
    );
    metrics.http("translate", 200, Duration::from_millis(12));
    let source = SourceStatus {
        topics: vec![TopicLag {
            topic: "translation.requests".to_owned(),
            partitions: 1,
            records: 9,
        }],
        dead_letters: [("text_too_long".to_owned(), 2)].into(),
        oldest_age_ms: 1_500,
        paused: true,
        ..SourceStatus::default()
    };
    let status = NodeStatus {
        brokers_answer: true,
        topics: [("translation.results".to_owned(), false)].into(),
        topic_problems: Vec::new(),
        node: "node-1".to_owned(),
        version: "0.1.0".to_owned(),
        pid: 1,
        uptime_ms: 1,
        bootstrap: "secret-host".to_owned(),
        delivery: Delivery::ExactlyOnce,
        requests: source.clone(),
        jobs: source,
        broken_models: Vec::new(),
        glossaries: 3,
        glossaries_read: true,
        pools: vec![PoolStatus {
            ability: None,
            space: String::new(),
            model_id: "m".to_owned(),
            engine: "fake".to_owned(),
            policy: "delay-target".to_owned(),
            wanted: 1,
            resting: false,
            bounds: [1, 2],
            actors: vec![ActorStatus {
                name: "m-1".to_owned(),
                phase: ActorPhase::Busy,
                pid: Some(2),
                resident_bytes: 1 << 20,
                numeric: None,
                batches: 1,
            }],
            lanes: Lanes {
                any: LaneStatus {
                    segments: 1,
                    tokens: 2,
                    oldest_ms: 500,
                },
                ..Lanes::default()
            },
            jobs: 1,
            translated: 1,
            failed: 0,
            decision: Some(decision()),
            failing: None,
            broken: false,
            guests: Vec::new(),
            offload: OffloadReason::default(),
            offer: Offer::default(),
            loans: PeerQueueStatus {
                batches: 3,
                ..PeerQueueStatus::default()
            },
            held: PausedStatus::default(),
        }],
        cache: Some(CacheStatus {
            entries: 12,
            bytes: 3_400,
            max_bytes: 64 << 20,
            shared: Some(SharedStatus {
                reachable: true,
                found: 6,
                missed: 3,
                failed: 1,
                written: 4,
                dropped: 2,
            }),
        }),
    };
    (telemetry, status)
}
