//! What a pool supervisor does, message by message.

use std::{collections::VecDeque, error::Error, sync::Arc, time::Duration};

use babelmesh_engine_protocol::{LoadReport, Translation};
use ractor::{ActorId, ActorRef};
use tokio::time::Instant;

use crate::{
    domain::{ErrorCode, JobOutcome, Lane, deliver_all},
    engine::{EngineError, EngineFactory, Segment, Usage},
    events::{Event, Observer, PieceSource, StopReason, WatchedBatch},
    offload::PeerError,
    scaling::{Decision, ScalingPolicy, Totals},
};

use super::{
    backlog::{Backlog, Item},
    batching::Turn,
    budget::NodeBudget,
    caching::Known,
    closing::Closing,
    failure::{AfterFailure, Attempt, after_failure, restart_delay},
    holding::Held,
    jobs::{Jobs, Origin, Submission},
    lag::PoolLag,
    lending::Loans,
    member::{InFlight, Members, Phase, Work},
    model_actor::{ModelMessage, ModelReport},
    offloading::Help,
    spec::PoolSpec,
    supervisor::{PoolMessage, PoolStart},
};

/// How long after their last message the urgent lanes count as in use.
const URGENT_MEMORY: Duration = Duration::from_secs(2);

/// The state of a pool.
pub struct Pool {
    pub(super) spec: PoolSpec,
    pub(super) engines: Arc<dyn EngineFactory>,
    pub(super) policy: Box<dyn ScalingPolicy>,
    pub(super) budget: Arc<NodeBudget>,
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
    has_stale: bool,
    pub(super) members: Members,
    /// Numbers the actors; names are never used twice.
    pub(super) spawned: u64,
    pub(super) wanted: u32,
    pub(super) next_decision: Instant,
    pub(super) decision: Option<Decision>,
    pub(super) totals: Totals,
    pub(super) failed_jobs: u64,
    pub(super) cold_start: Option<Duration>,
    pub(super) actor_memory: u64,
    pub(super) idle_since: Option<Instant>,
    pub(super) restart: Restart,
    last_warm: Instant,
    last_urgent: Option<Instant>,
    /// Jobs that are held back.
    pub(super) held: Held,
    /// What peers do for this pool.
    pub(super) help: Help,
    /// What it does for them.
    pub(super) loans: Loans,
    pub(super) closing: Option<Closing>,
}

/// A batch that was done: by whom, how large it was, how long it took and how long its oldest item had waited.
pub(super) struct Done {
    pub(super) actor: Arc<str>,
    pub(super) tokens: u32,
    pub(super) elapsed: Duration,
    pub(super) waited: Duration,
}

/// Failures of actors since the last batch that was done.
#[derive(Default)]
pub(super) struct Restart {
    failures: u32,
    pub(super) not_before: Option<Instant>,
    pub(super) last_error: Option<String>,
}

impl Pool {
    pub(super) fn new(start: PoolStart) -> Self {
        let now = Instant::now();
        Self {
            backlog: Backlog::new(start.spec.weights),
            wanted: start.spec.bounds.min,
            actor_memory: start.spec.expected_memory,
            spec: start.spec,
            engines: start.engines,
            policy: start.policy,
            budget: start.budget,
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
            idle_since: Some(now),
            restart: Restart::default(),
            last_warm: now,
            last_urgent: None,
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
        let (mut ended, mut asked, mut at_hand) = (Vec::new(), Vec::new(), 0);
        for submission in submissions {
            self.totals.arrived_jobs += 1;
            if submission.job.lane() != Lane::Any {
                self.last_urgent = Some(now);
            }
            let mut held = self.held.of(submission.job.target);
            let queue = &mut |item: Item| {
                if held.is_none()
                    && let Some(translation) = self.known.get(&item)
                {
                    at_hand += 1;
                    return Some(translation);
                }
                self.totals.arrived_tokens += u64::from(item.tokens);
                match &mut held {
                    Some(held) => held.push(item),
                    None if self.known.should_ask(&item) => asked.push(item),
                    None => self.backlog.push(item),
                }
                None
            };
            if let Err(outcome) = self.jobs.admit(submission, now, &worker, queue) {
                ended.push(*outcome);
            }
        }
        self.idle_since = None;
        self.note_pieces(PieceSource::Memory, at_hand);
        self.finish(ended);
        if !asked.is_empty() {
            self.ask(asked, myself);
        }
    }

    /// Hands work to every idle actor, the pool's own first.
    pub(super) fn dispatch(&mut self) {
        // Nothing that is late reaches an engine, however short the time since the last look.
        self.expire(Instant::now());
        while let Some(id) = self.members.idle() {
            let work = self.next_work();
            self.note_abandoned();
            let Some(work) = work else {
                self.note_idleness();
                break;
            };
            self.hand_over(id, work);
        }
        self.dispatch_to_guests();
    }

    fn note_abandoned(&mut self) {
        let jobs = self.jobs.take_abandoned();
        if jobs > 0 {
            self.has_stale = true;
            let pool = self.pool();
            self.observe(Event::JobsAbandoned { pool, jobs });
        }
    }

    fn next_work(&mut self) -> Option<Work> {
        let turn = self.turn();
        let bulk = turn.allows(Lane::Any);
        if bulk && let Some(loan) = self.loans.overdue() {
            return Some(Work::Lent(loan));
        }
        if let Some(attempt) = self.next_attempt(turn) {
            self.loans.pass_over();
            return Some(Work::Own(attempt));
        }
        bulk.then(|| self.loans.next())?.map(Work::Lent)
    }

    fn turn(&self) -> Turn {
        let urgent = self
            .last_urgent
            .is_some_and(|at| at.elapsed() < URGENT_MEMORY);
        let warm = self.members.counts().warm() as usize;
        Turn::of(warm, self.members.on_bulk(), urgent)
    }

    fn next_attempt(&mut self, turn: Turn) -> Option<Attempt> {
        while let Some(mut attempt) = self.retries.pop_front() {
            self.jobs.keep_wanted(&mut attempt.items);
            self.held.keep_back(&mut attempt.items, &self.jobs);
            if !attempt.items.is_empty() {
                return Some(attempt);
            }
        }
        let budget = self.spec.batch;
        loop {
            let mut items = self.backlog.take(
                |lane| turn.budget(lane, budget),
                |lane| turn.allows(lane),
                turn.mixes(),
            );
            if items.is_empty() {
                return None;
            }
            self.jobs.keep_wanted(&mut items);
            self.leave_out_known(&mut items);
            if !items.is_empty() {
                return Some(Attempt { items, failures: 0 });
            }
        }
    }

    fn hand_over(&mut self, id: ActorId, work: Work) {
        let now = Instant::now();
        let (mut batch, watched, lane, oldest) = match &work {
            Work::Own(attempt) => {
                let (batch, watched) = self.jobs.batch(&attempt.items, now);
                let oldest = attempt.oldest().unwrap_or(now);
                (batch, watched, attempt.lane(), oldest)
            }
            Work::Lent(loan) => (loan.batch(), Vec::new(), Lane::Any, loan.queued),
        };
        let Some(member) = self.members.all.get_mut(&id) else {
            return self.put_back(work);
        };
        let lent_by = match &work {
            Work::Own(_) => None,
            Work::Lent(loan) => loan.watched_by(),
        };
        let mut watch = None;
        if !watched.is_empty() || lent_by.is_some() {
            watch = self.observer.batch(&WatchedBatch {
                pool: &self.spec.model_id,
                actor: &member.name,
                at: None,
                segments: batch.segments.len(),
                tokens: batch.tokens,
                waited: now.saturating_duration_since(oldest),
                jobs: &watched,
                lent_by,
            });
            batch.span = watch.as_ref().map(|watch| watch.span());
        }
        member.phase = Phase::Busy(InFlight {
            work,
            tokens: batch.tokens,
            lane,
            oldest,
            since: now,
            watch,
        });
        // An actor that is gone answers with a supervision event, which brings the batch back.
        let _ = member.actor.cast(ModelMessage::Translate(batch));
    }

    fn put_back(&mut self, work: Work) {
        match work {
            Work::Own(attempt) => self.put_back_own(attempt),
            Work::Lent(loan) => self.loans.put_back(loan),
        }
    }

    /// Takes back a batch that was not done, through no fault of its own.
    pub(super) fn put_back_own(&mut self, attempt: Attempt) {
        self.part_twins(&attempt.items);
        self.retries.push_front(attempt);
    }

    /// Takes a model actor's report.
    pub(super) fn report(&mut self, id: ActorId, report: ModelReport) {
        if self.help.guests.contains_key(&id) {
            return self.guest_report(id, report);
        }
        match report {
            ModelReport::Ready {
                report,
                usage,
                cold_start,
                warm_up,
            } => {
                self.ready(id, report, usage, (cold_start, warm_up));
            }
            ModelReport::Answered {
                answer,
                usage,
                elapsed,
            } => {
                self.answered(id, answer, usage, elapsed);
            }
        }
    }

    fn ready(
        &mut self,
        id: ActorId,
        report: LoadReport,
        usage: Usage,
        (cold_start, warm_up): (Duration, Duration),
    ) {
        let Some(member) = self.members.all.get_mut(&id) else {
            return;
        };
        if matches!(member.phase, Phase::Starting) {
            member.phase = Phase::Idle;
        }
        member.usage = usage;
        member.numeric = Some(report.numeric.clone());
        if usage.resident_bytes > 0 {
            member.permit.measured(usage.resident_bytes);
            self.actor_memory = usage.resident_bytes;
        }
        self.cold_start = Some(cold_start);
        self.last_warm = Instant::now();
        let actor = Arc::clone(&member.name);
        self.observe(Event::ActorReady {
            pool: self.pool(),
            actor,
            pid: usage.pid,
            numeric: report.numeric,
            cold_start,
            warm_up,
        });
    }

    fn answered(
        &mut self,
        id: ActorId,
        answer: Result<Vec<Translation>, EngineError>,
        usage: Usage,
        elapsed: Duration,
    ) {
        let Some(member) = self.members.all.get_mut(&id) else {
            return;
        };
        let Some(mut batch) = member.take_batch() else {
            return;
        };
        batch.unwatch(answer.as_ref().err().map(|error| error as _));
        member.usage = usage;
        member.batches += 1;
        self.totals.busy += elapsed;
        self.last_warm = Instant::now();
        let actor = Arc::clone(&member.name);
        if answer.is_ok() {
            self.restart = Restart::default();
            self.totals.completed_tokens += u64::from(batch.tokens);
        }
        match (batch.work, answer) {
            (Work::Own(attempt), Ok(translations)) => {
                let done = Done {
                    actor,
                    tokens: batch.tokens,
                    elapsed,
                    waited: batch.since.saturating_duration_since(batch.oldest),
                };
                self.translated(&attempt, translations, done);
            }
            (Work::Own(attempt), Err(error)) => {
                self.retry(attempt, &error.to_string(), ErrorCode::EngineFailed);
            }
            (Work::Lent(loan), answer) => self.lent(loan, answer, (actor, batch.tokens, elapsed)),
        }
        if usage.resident_bytes > self.spec.memory_limit {
            self.retire(id, StopReason::MemoryLimit);
        }
    }

    /// Takes the translations of a batch, whoever made them.
    pub(super) fn translated(
        &mut self,
        attempt: &Attempt,
        translations: Vec<Translation>,
        done: Done,
    ) {
        let now = Instant::now();
        // What comes too late is of no use to its sender any more.
        self.expire(now);
        let worker = self.worker(Arc::clone(&done.actor));
        let items = &attempt.items;
        self.remember(items, &translations);
        let origin = Origin::Batch(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let translated = items.iter().copied().zip(translations);
        let outcomes = self.jobs.complete(translated, origin, &worker, now);
        self.observe(Event::BatchDone {
            pool: self.pool(),
            actor: done.actor,
            segments: items.len(),
            tokens: done.tokens,
            elapsed: done.elapsed,
            waited: done.waited,
        });
        self.finish(outcomes);
    }

    /// An actor failed: by a panic, or because its engine did.
    pub(super) fn lost(&mut self, id: ActorId, error: &(dyn Error + Send + Sync + 'static)) {
        let Some(mut member) = self.members.all.remove(&id) else {
            return self.guest_lost(id, error);
        };
        let now = Instant::now();
        self.restart.failures += 1;
        let (first, most) = self.spec.restart;
        let delay = restart_delay(self.restart.failures, first, most);
        self.restart.not_before = Some(now + delay);
        self.restart.last_error = Some(error.to_string());
        let batch = member.take_batch();
        self.observe(Event::ActorFailed {
            pool: self.pool(),
            actor: Arc::clone(&member.name),
            error: error.to_string(),
            requeued: batch.as_ref().map_or(0, |b| b.work.own_items()),
            restart_in: delay,
        });
        if let Some(mut batch) = batch {
            batch.unwatch(Some(&error));
            self.totals.busy += now.saturating_duration_since(batch.since);
            match batch.work {
                Work::Own(attempt) => {
                    self.retry(attempt, &error.to_string(), ErrorCode::PoisonText);
                }
                Work::Lent(loan) => self.loan_failed(loan, PeerError::Failed(error.to_string())),
            }
        }
    }

    /// An actor ended without failing: as it was told to, or killed from outside.
    pub(super) fn ended(&mut self, id: ActorId) {
        if self.help.guests.contains_key(&id) {
            return self.guest_ended(id);
        }
        let drained = self
            .members
            .all
            .get(&id)
            .is_none_or(|m| matches!(m.phase, Phase::Draining));
        if drained {
            self.members.all.remove(&id);
        } else {
            self.lost(id, &EngineError::Ended("the actor was killed".to_owned()));
        }
    }

    fn retry(&mut self, attempt: Attempt, error: &str, code: ErrorCode) {
        self.part_twins(&attempt.items);
        match after_failure(attempt) {
            AfterFailure::Retry(attempts) => self.retries.extend(attempts),
            AfterFailure::Poison(item) => self.poisoned(&item, error, code),
        }
    }

    fn poisoned(&mut self, item: &Item, error: &str, code: ErrorCode) {
        if let Some(message_id) = self.jobs.message_id(item.job) {
            let message_id = message_id.to_owned();
            let error = error.to_owned();
            self.observe(Event::TextPoisoned {
                pool: self.pool(),
                message_id,
                error,
            });
        }
        let outcome = self.jobs.fail(
            item.job,
            code,
            &format!("the text makes the engine fail: {error}"),
        );
        self.finish(outcome.into_iter().collect());
    }

    /// Answers jobs that lost their use, or whose model cannot be had.
    pub(super) fn sweep(&mut self) {
        let now = Instant::now();
        self.expire(now);
        // What waits for its turn is asked about then; what is held back might never have one.
        let jobs = &mut self.jobs;
        self.held.retain(|item| jobs.is_wanted(item.job));
        self.note_abandoned();
        if std::mem::take(&mut self.has_stale) {
            let jobs = &self.jobs;
            self.backlog.remove(|item| jobs.is_active(item.job));
            self.held.retain(|item| jobs.is_active(item.job));
        }
        if self.members.counts().warm() > 0 {
            self.last_warm = now;
        } else if now.saturating_duration_since(self.last_warm) > self.spec.unavailable_after {
            self.give_up(now);
        }
        self.hand_back_in_time(now);
    }

    /// Answers jobs whose deadline has passed. Their pieces are passed over from now on, and what an engine still makes of them is dropped.
    fn expire(&mut self, now: Instant) {
        let late = self.jobs.expire(now);
        if late.is_empty() {
            return;
        }
        self.has_stale = true;
        let (pool, jobs) = (self.pool(), late.len());
        self.observe(Event::JobsExpired { pool, jobs });
        self.finish(late);
    }

    fn give_up(&mut self, now: Instant) {
        let patience = self.spec.unavailable_after;
        let waits = |item: &Item| now.saturating_duration_since(item.queued) > patience;
        // Guests may do what is queued; what failed is only for own actors.
        let mut stuck = match self.help.is_at_work() {
            true => Vec::new(),
            false => self.backlog.remove(|item| !waits(item)),
        };
        stuck.extend(
            self.retries
                .iter()
                .flat_map(|a| &a.items)
                .filter(|i| waits(i))
                .copied(),
        );
        let error = self
            .restart
            .last_error
            .as_deref()
            .unwrap_or("no model actor is warm");
        let message = format!("model {} is not available: {error}", self.spec.model_id);
        let code = ErrorCode::ModelUnavailable;
        let failed = stuck
            .into_iter()
            .filter_map(|item| self.jobs.fail(item.job, code, &message));
        let outcomes = failed.collect();
        self.finish(outcomes);
    }

    pub(super) fn finish(&mut self, outcomes: Vec<JobOutcome>) {
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

    /// Tells an actor without a batch to end.
    pub(super) fn retire(&mut self, id: ActorId, reason: StopReason) {
        let Some(member) = self.members.all.get_mut(&id) else {
            return;
        };
        member.phase = Phase::Draining;
        let _ = member.actor.cast(ModelMessage::Retire);
        let actor = Arc::clone(&member.name);
        self.observe(Event::ActorStopped {
            pool: self.pool(),
            actor,
            reason,
        });
    }

    fn note_idleness(&mut self) {
        let busy = self.members.in_flight().next().is_some();
        if !busy && self.jobs.len() == 0 && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
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
