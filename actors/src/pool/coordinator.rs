//! The coordinator of a pool: connects its components. Each component owns its state; actions that concern several are
//! here, one file per trigger.
//!
//! | file | occasion |
//! |---|---|
//! | this one | jobs come in and go out, operators' commands, status |
//! | `dispatching.rs` | an actor is free: the next batch |
//! | `reports.rs` | an actor answers or fails: how a batch ends |
//! | `sizing.rs` | the number of own actors |
//! | `offloading.rs` | work for peers, and by peers |
//! | `sweeping.rs` | time passes: deadlines, senders that have gone, the end of the pool |

mod dispatching;
mod offloading;
mod reports;
mod sizing;
mod sweeping;

use std::{sync::Arc, time::Duration};

use ractor::{ActorRef, RpcReplyPort};
use tokio::time::Instant;

use crate::{
    domain::{JobOutcome, Lane, Lanes, Language, deliver_all},
    events::{Event, PieceSource, SentenceCounts, Stage},
    offload::PeerError,
    scaling::{Bounds, Totals},
};

use super::{
    autoscaler::Autoscaler,
    budget::{BudgetHandle, Slot},
    capacity::Capacity,
    closing::Closing,
    command::{Applied, BoundsError, Unloaded},
    dedup::{Found, SingleFlight},
    health::{ConditionWatch, Health, HealthLimits},
    item::{Answered, Item},
    jobs::{Admission, Completed, Jobs, Origin, Submission, Worker},
    lag::PoolLag,
    message::PoolMessage,
    peer_queue::PeerQueue,
    pool_events::PoolEvents,
    queue::WorkQueue,
    remote_workers::RemoteWorkers,
    sharing::Sharing,
    spec::{PoolSpec, PoolStart},
    status::{LaneStatus, PoolStatus},
    workers::Workers,
};

/// A pool.
pub(super) struct Pool {
    spec: PoolSpec,
    events: PoolEvents,
    /// Work for the pool that is not read yet.
    lag: PoolLag,
    /// The jobs that it has.
    jobs: Jobs,
    /// Pieces of them that wait for an engine.
    queue: WorkQueue,
    /// Pieces of them that need none.
    dedup: SingleFlight,
    /// Its own model actors, how many there should be, and whether they can work.
    workers: Workers,
    autoscaler: Autoscaler,
    health: Health,
    /// Its part of the node's cores and memory.
    capacity: Capacity,
    /// How clients share it.
    sharing: Sharing,
    /// Offload in both directions.
    remote: RemoteWorkers,
    peer_queue: PeerQueue,
    closing: Closing,
    counters: Counters,
    last_urgent: Option<Instant>,
    /// Whether the queue may hold pieces of jobs that have ended.
    has_stale: bool,
}

/// How jobs come to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// They are new.
    New,
    /// They were admitted and counted before.
    Again,
}

/// Counters since the start.
#[derive(Default)]
struct Counters {
    totals: Totals,
    failed_jobs: u64,
    /// Numbers actors, own ones and remote ones; no number is used twice.
    actors: u64,
}

impl Counters {
    const fn next_actor(&mut self) -> u64 {
        self.actors += 1;
        self.actors
    }
}

impl Pool {
    pub(super) fn new(start: PoolStart, budget_handle: BudgetHandle) -> Self {
        let now = Instant::now();
        let spec = start.spec;
        let (initial_backoff, max_backoff) = spec.restart;
        let limits = HealthLimits {
            initial_backoff,
            max_backoff,
            unavailable_after: spec.unavailable_after,
        };
        let target = spec.offload.target_delay();
        if start.engines.aligns() {
            spec.text.assume_alignments();
        }
        Self {
            events: PoolEvents::new(start.observer, Arc::clone(&spec.model_id)),
            lag: start.lag,
            jobs: Jobs::default(),
            queue: WorkQueue::new(spec.weights),
            dedup: SingleFlight::new(start.cache),
            workers: Workers::new(start.engines, start.warm_up),
            autoscaler: Autoscaler::new(start.policy, spec.bounds, spec.initial, now),
            health: Health::new(limits, now),
            capacity: Capacity::new(budget_handle, spec.threads, target, spec.expected_memory),
            sharing: Sharing::new(spec.sharing, spec.batch),
            remote: RemoteWorkers::new(
                Arc::clone(&spec.model_id),
                start.peers,
                spec.offload.clone(),
                spec.batch,
                now,
            ),
            peer_queue: PeerQueue::default(),
            closing: Closing::default(),
            counters: Counters::default(),
            last_urgent: None,
            has_stale: false,
            spec,
        }
    }

    /// Queues new jobs.
    pub(super) fn submit(&mut self, submissions: Vec<Submission>, myself: &ActorRef<PoolMessage>) {
        let now = Instant::now();
        for submission in &submissions {
            self.note_arrival(submission, now);
        }
        self.admit(submissions, Arrival::New, myself);
    }

    /// Parses the texts of jobs that no engine has started again, because more is known about the model now.
    fn read_waiting_again(&mut self, myself: &ActorRef<PoolMessage>) {
        let waiting = self.jobs.take_waiting();
        if !waiting.is_empty() {
            self.has_stale = true;
            self.admit(waiting, Arrival::Again, myself);
        }
    }

    fn admit(
        &mut self,
        submissions: Vec<Submission>,
        arrival: Arrival,
        myself: &ActorRef<PoolMessage>,
    ) {
        let now = Instant::now();
        let worker = self.worker(Arc::from(""));
        let shared = self.dedup.is_shared();
        let (mut ended, mut asked) = (Vec::new(), Vec::new());
        let (mut at_hand, mut refused) = (0, 0);
        let mut checked = SentenceCounts::default();
        for submission in submissions {
            let is_paused = self.queue.is_paused(submission.job.target);
            let pieces = submission.pieces();
            let dedup = &self.dedup;
            let known = |item: &mut Item| match is_paused {
                true => None,
                false => dedup.look_up(item),
            };
            let model = &self.spec.text;
            let prepared = match self.jobs.prepare(submission, now, &worker, model, known) {
                Admission::Open(prepared) => *prepared,
                Admission::Ended(outcome, sentences) => {
                    at_hand += pieces;
                    checked.add(&sentences);
                    ended.push(*outcome);
                    continue;
                }
            };
            at_hand += pieces.saturating_sub(prepared.pieces());
            // The remaining work is unknown before the lookup in the shared cache, and the wait is unknown while the language is paused.
            if !shared && !is_paused && arrival == Arrival::New {
                let job = prepared.job();
                let left = job.deadline.map(|at| at.saturating_duration_since(now));
                let load = || self.queue.fresh().load(job.lane(), job.client());
                let error = left.and_then(|left| {
                    let actors = || self.possible_actors();
                    self.sharing
                        .refusal(load(), prepared.tokens(), left, actors)
                });
                if let Some(error) = error {
                    refused += 1;
                    ended.push(prepared.refuse(error));
                    continue;
                }
            }
            checked.add(prepared.sentences());
            for item in self.jobs.accept(prepared) {
                if arrival == Arrival::New {
                    self.counters.totals.arrived_tokens += u64::from(item.tokens);
                }
                match shared && item.key.is_some() && !is_paused {
                    true => asked.push(item),
                    false => self.queue.push(item),
                }
            }
        }
        if refused > 0 {
            let (pool, jobs) = (self.events.pool(), refused);
            self.events.observe(Event::JobsRefused { pool, jobs });
        }
        self.autoscaler.note_work();
        self.events.pieces_known(PieceSource::Memory, at_hand);
        self.events.sentences_checked(checked);
        self.finish(ended);
        if !asked.is_empty() {
            let pool = myself.clone();
            self.dedup.ask(asked, move |found| {
                // A stopped pool has ended its jobs.
                let _ = pool.cast(PoolMessage::Found(found));
            });
        }
    }

    fn note_arrival(&mut self, submission: &Submission, now: Instant) {
        self.counters.totals.arrived_jobs += 1;
        let lane = submission.lane();
        if lane != Lane::Any {
            self.last_urgent = Some(now);
        }
        // Health probes of the node do not count.
        if lane == Lane::Interactive && !submission.job.order.fresh {
            self.sharing.note_client(submission.job.client(), now);
        }
    }

    /// Handles the result of a shared cache lookup: completes the pieces that were found and queues the others.
    pub(super) fn found(&mut self, found: Found) {
        let (mut known, others) = self.dedup.found(found);
        known.retain(|answered| self.jobs.is_active(answered.item.job));
        for item in others {
            if self.jobs.is_active(item.job) {
                self.queue.push(item);
            }
        }
        self.finish_known(PieceSource::Shared, known);
    }

    /// Takes translations that needed no engine.
    fn finish_known(&mut self, source: PieceSource, known: Vec<Answered>) {
        if known.is_empty() {
            return;
        }
        self.events.pieces_known(source, known.len());
        let worker = self.worker(Arc::from(""));
        let now = Instant::now();
        let completed = self.jobs.complete(known, Origin::Cached, &worker, now);
        self.take_completed(completed);
    }

    /// Applies the results of translations: stores them, queues further pieces and delivers complete jobs.
    fn take_completed(&mut self, completed: Completed) {
        let Completed {
            outcomes,
            items,
            verified,
            sentences,
        } = completed;
        self.dedup.store(verified);
        self.queue_further(items);
        self.events.sentences_checked(sentences);
        self.finish(outcomes);
    }

    /// Queues further pieces of jobs that have begun.
    fn queue_further(&mut self, items: Vec<Item>) {
        for item in items {
            self.counters.totals.arrived_tokens += u64::from(item.tokens);
            self.queue.push(item);
        }
    }

    /// Ends jobs.
    fn finish(&mut self, outcomes: Vec<JobOutcome>) {
        for panic in self.jobs.take_panics() {
            let stage = Stage::Pool;
            self.events.observe(Event::PanicContained { stage, panic });
        }
        if outcomes.is_empty() {
            return;
        }
        self.events.answered(&outcomes);
        for outcome in &outcomes {
            match outcome.result {
                Ok(_) => self.counters.totals.completed_jobs += 1,
                Err(_) => self.counters.failed_jobs += 1,
            }
        }
        deliver_all(outcomes);
    }

    /// Pauses jobs into a language, or resumes them. A batch that an engine has is finished.
    pub(super) fn pause(&mut self, target: Language, pause: bool) {
        match pause {
            false => self.queue.resume(target),
            // Nothing could resume it later.
            true if self.closing.is_closing() => {}
            true => self.queue.pause(target),
        }
    }

    /// Changes the bounds; the policy brings the pool into them at once.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) -> Result<Applied, BoundsError> {
        let from = self.autoscaler.set_bounds(bounds, Instant::now())?;
        if from != bounds {
            let (pool, to) = (self.events.pool(), bounds);
            self.events.observe(Event::BoundsSet { pool, from, to });
        }
        Ok(Applied::of(from != bounds))
    }

    /// Subscribes to the condition of the pool.
    pub(super) fn watch(&mut self, watch: ConditionWatch) {
        self.health.watch(watch);
    }

    /// A slot that the pool waited for.
    pub(super) fn put_slot(&mut self, slot: Slot) {
        self.capacity.put_slot(slot);
    }

    /// Accepts a request to finish all work and end.
    pub(super) fn drain(&mut self, reply: RpcReplyPort<()>) {
        if self.closing.drain(reply) {
            self.close();
        }
    }

    /// Accepts a request to end, with whatever work can be finished within a time.
    pub(super) fn unload(&mut self, within: Duration, reply: RpcReplyPort<Unloaded>) {
        if self.closing.unload(Instant::now() + within, reply) {
            self.close();
        }
    }

    fn close(&mut self) {
        // Nothing could resume them later: accepted work is finished.
        self.queue.resume_all();
        self.peer_queue
            .refuse_all(&PeerError::Closing, &self.events);
    }

    /// Whether anything waits for an own actor.
    fn has_work(&self) -> bool {
        self.queue.has_work() || self.peer_queue.is_waiting()
    }

    fn has_jobs(&self) -> bool {
        self.jobs.len() > 0
    }

    /// Whether the pool is idle at zero actors without being broken.
    pub(super) fn is_resting(&self) -> bool {
        self.autoscaler.wanted() == 0
            && self.workers.counts().owned() == 0
            && self.health.failing().is_none()
    }

    /// Whether anything may have to be done in less than a second.
    pub(super) fn is_active(&self) -> bool {
        self.has_jobs()
            || self.has_work()
            || self.closing.is_closing()
            || self.remote.len() > 0
            || !self.workers.all_idle()
            || self.workers.counts().owned() != self.autoscaler.wanted()
            || self.lag.tokens() > 0
    }

    fn worker(&self, actor: Arc<str>) -> Worker {
        Worker {
            model_id: self.events.pool(),
            model_type: self.spec.model_type,
            confidence: self.spec.confidence.clone(),
            actor,
        }
    }

    /// Names the space that its engines translate in; empty while that is not known.
    fn space(&self) -> String {
        let space = self.spec.space.as_ref().zip(self.workers.numeric());
        space.map_or_else(String::new, |(space, numeric)| space.digest(numeric))
    }

    /// Status of the pool.
    pub(super) fn status(&self) -> PoolStatus {
        let lanes = self.lane_status(Instant::now());
        let bounds = self.autoscaler.bounds();
        let counts = self.workers.counts();
        PoolStatus {
            model_id: self.spec.model_id.to_string(),
            engine: self.workers.engine().to_owned(),
            ability: Some(self.spec.ability.clone()),
            space: self.space(),
            policy: self.autoscaler.policy().to_owned(),
            wanted: self.autoscaler.wanted(),
            resting: self.is_resting(),
            bounds: [bounds.min, bounds.max],
            actors: self.workers.status(),
            lanes,
            jobs: self.jobs.len() as u64,
            translated: self.counters.totals.completed_jobs,
            failed: self.counters.failed_jobs,
            decision: self.autoscaler.decision().cloned(),
            failing: self.health.failing().cloned(),
            broken: self.health.is_permanent() && counts.warm() == 0,
            guests: self.remote.status(),
            offload: self.remote.reason(),
            offer: self
                .peer_queue
                .offer(self.remote.tokens_per_second(), self.spec.batch),
            loans: self.peer_queue.status(self.workers.lent()),
            held: self.queue.paused_status(),
        }
    }

    fn lane_status(&self, now: Instant) -> Lanes<LaneStatus> {
        let fresh = self.queue.fresh();
        let mut lanes = Lanes::<LaneStatus>::default();
        for lane in Lane::ALL {
            let oldest = fresh.oldest(lane);
            let waited = oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            lanes[lane] = LaneStatus {
                segments: fresh.items(lane),
                tokens: fresh.tokens(lane),
                oldest_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            };
        }
        lanes
    }
}
