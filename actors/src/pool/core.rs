//! A pool: its state, what comes in, and what goes out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio::time::Instant;

use crate::{
    domain::{JobOutcome, Lane, deliver_all},
    engine::{EngineFactory, LoadReport, Segment},
    events::{Event, Observer, PieceSource, Stage},
    scaling::{Decision, ScalingPolicy, Totals},
};

use super::{
    backlog::{Backlog, Item},
    budget::{Seat, Slot},
    caching::Known,
    closing::Closing,
    failover::Watched,
    failure::Attempt,
    holding::Held,
    jobs::{Jobs, Submission},
    lag::PoolLag,
    lending::Loans,
    member::Members,
    offloading::Help,
    sharing::Sharing,
    spec::PoolSpec,
    supervisor::{PoolMessage, PoolStart},
};

/// The state of a pool.
pub struct Pool {
    pub(super) spec: PoolSpec,
    pub(super) engines: Arc<dyn EngineFactory>,
    pub(super) policy: Box<dyn ScalingPolicy>,
    /// Its place in the node's budget.
    pub(super) seat: Seat,
    /// A slot that came and is not used yet.
    pub(super) slot: Option<Slot>,
    /// Whether it may wait for a slot, for memory, and whether it has nothing to do, as the budget knows it.
    pub(super) is_asking: bool,
    pub(super) waits_for_memory: bool,
    pub(super) is_idle: bool,
    /// What memory pressure asks of the pool.
    pub(super) eviction: Eviction,
    /// Which chain of housekeeping ticks counts, and whether it is the slow one.
    pub(super) ticks: Ticks,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) warm_up: Arc<Segment>,
    pub(super) lag: PoolLag,
    pub(super) started: Instant,
    pub(super) backlog: Backlog,
    /// Batches that failed, each to be tried apart from everything else.
    pub(super) retries: VecDeque<Attempt>,
    pub(super) jobs: Jobs,
    /// What needs no engine.
    pub(super) known: Known,
    /// Whether the backlog may hold pieces of jobs that have ended.
    pub(super) has_stale: bool,
    pub(super) members: Members,
    /// Numbers the actors; names are never used twice.
    pub(super) spawned: u64,
    pub(super) wanted: u32,
    pub(super) next_decision: Instant,
    pub(super) decision: Option<Decision>,
    pub(super) totals: Totals,
    pub(super) failed_jobs: u64,
    pub(super) cold_start: Option<Duration>,
    /// What an engine reported last: its numeric type, what it can do, and the characters that the model covers.
    pub(super) last_report: Option<LoadReport>,
    pub(super) actor_memory: u64,
    pub(super) idle_since: Option<Instant>,
    pub(super) restart: Restart,
    pub(super) watched: Watched,
    pub(super) last_warm: Instant,
    pub(super) last_urgent: Option<Instant>,
    /// How clients share the pool.
    pub(super) sharing: Sharing,
    /// Jobs that are held back.
    pub(super) held: Held,
    /// What peers do for this pool.
    pub(super) help: Help,
    /// What it does for them.
    pub(super) loans: Loans,
    pub(super) closing: Option<Closing>,
}

/// What memory pressure asks of a pool.
#[derive(Default)]
pub(super) struct Eviction {
    /// An actor goes as soon as it has no batch.
    pub(super) due: bool,
    /// The pool gave up its actors, or got none, and starts none until it has work.
    pub(super) resting: bool,
}

/// The housekeeping ticks of a pool: slow while nothing happens.
#[derive(Default)]
pub(super) struct Ticks {
    pub(super) chain: u64,
    pub(super) slow: bool,
}

/// Failures of actors since the last batch that was done.
#[derive(Default)]
pub(super) struct Restart {
    pub(super) failures: u32,
    /// Failures of engines that were never warm, since the last one that was.
    pub(super) failed_starts: u32,
    pub(super) not_before: Option<Instant>,
    pub(super) last_error: Option<String>,
    /// The same in the words for clients.
    pub(super) reason: Option<String>,
    /// Whether the last failure cannot heal: another start would fail in the same way.
    pub(super) is_permanent: bool,
}

impl Pool {
    pub(super) fn new(start: PoolStart, seat: Seat) -> Self {
        let now = Instant::now();
        Self {
            backlog: Backlog::new(start.spec.weights),
            wanted: start.spec.bounds.min.max(start.spec.initial),
            actor_memory: start.spec.expected_memory,
            spec: start.spec,
            engines: start.engines,
            policy: start.policy,
            seat,
            slot: None,
            is_asking: false,
            waits_for_memory: false,
            is_idle: true,
            eviction: Eviction::default(),
            ticks: Ticks::default(),
            observer: start.observer,
            warm_up: Arc::new(start.warm_up),
            lag: start.lag,
            started: now,
            retries: VecDeque::new(),
            jobs: Jobs::default(),
            known: Known::new(start.cache),
            has_stale: false,
            members: Members::default(),
            spawned: 0,
            next_decision: now,
            decision: None,
            totals: Totals::default(),
            failed_jobs: 0,
            cold_start: None,
            last_report: None,
            idle_since: Some(now),
            restart: Restart::default(),
            watched: Watched::default(),
            last_warm: now,
            last_urgent: None,
            sharing: Sharing::default(),
            held: Held::default(),
            help: Help::new(start.peers),
            loans: Loans::default(),
            closing: None,
        }
    }

    /// Queues jobs.
    pub(super) fn submit(&mut self, submissions: Vec<Submission>, myself: &ActorRef<PoolMessage>) {
        let now = Instant::now();
        let worker = self.worker(Arc::from(""));
        let numeric = self.numeric().map(str::to_owned);
        let numeric = numeric.as_deref();
        let shared = self.known.is_shared(numeric);
        let (mut ended, mut asked) = (Vec::new(), Vec::new());
        let (mut at_hand, mut refused) = (0, 0);
        for submission in submissions {
            self.totals.arrived_jobs += 1;
            if submission.job.lane() != Lane::Any {
                self.last_urgent = Some(now);
            }
            self.note_client(&submission, now);
            let is_held = self.held.of(submission.job.target).is_some();
            let (known, pieces) = (&self.known, submission.pieces());
            let at_hand_of = |item: &Item| known.get(item, numeric).filter(|_| !is_held);
            let prepared = self.jobs.prepare(submission, now, &worker, at_hand_of);
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(outcome) => {
                    at_hand += pieces;
                    ended.push(*outcome);
                    continue;
                }
            };
            at_hand += pieces - prepared.items.len();
            // What other nodes know of it, and when it is let go on, is not known yet.
            if !shared
                && !is_held
                && let Some(error) = self.refusal(prepared.job(), prepared.tokens(), now)
            {
                refused += 1;
                ended.push(prepared.refuse(error));
                continue;
            }
            for item in self.jobs.accept(prepared) {
                self.totals.arrived_tokens += u64::from(item.tokens);
                match shared && item.key.is_some() && !is_held {
                    true => asked.push(item),
                    false => self.queue(item),
                }
            }
        }
        self.note_refused(refused);
        self.idle_since = None;
        self.note_pieces(PieceSource::Memory, at_hand);
        self.finish(ended);
        if !asked.is_empty() {
            self.ask(asked, myself);
        }
    }

    pub(super) fn finish(&mut self, outcomes: Vec<JobOutcome>) {
        for panic in self.jobs.take_panics() {
            let stage = Stage::Pool;
            self.observe(Event::PanicContained { stage, panic });
        }
        if outcomes.is_empty() {
            return;
        }
        self.observer.answered(Some(&self.spec.model_id), &outcomes);
        for outcome in &outcomes {
            match outcome.result {
                Ok(_) => self.totals.completed_jobs += 1,
                Err(_) => self.failed_jobs += 1,
            }
        }
        deliver_all(outcomes);
    }

    /// Whether anything waits for an own actor.
    pub(super) fn has_queued(&self) -> bool {
        !self.retries.is_empty() || !self.backlog.is_empty() || self.loans.is_waiting()
    }

    pub(super) fn has_jobs(&self) -> bool {
        self.jobs.len() > 0
    }

    pub(super) fn pool(&self) -> Arc<str> {
        Arc::clone(&self.spec.model_id)
    }

    pub(super) fn observe(&self, event: Event) {
        self.observer.observe(&event);
    }
}
