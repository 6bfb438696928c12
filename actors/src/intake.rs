//! The intake: an actor that routes every order to a pool and retries transient failures.

mod commands;
mod escalation;
mod failover;
mod job_forwarding;
mod message;
mod pending;
mod pivot;
mod placement;
mod resolution;
mod retrying;
mod segmentation;
mod step_flow;
mod terms;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use tokio::{sync::watch, time::Instant};

use crate::{
    containment::contain,
    domain::{
        ErrorCode, Job, JobOutcome, Lane, Lanes, Language, Leg, Locality, Order, RequestError,
        deliver_all,
    },
    events::{Event, Stage},
    pool::{ParsedText, PoolMessage, Submission},
    retry::{AfterError, decide},
};
use commands::{OperatorOverrides, sources};
pub use message::{IntakeMessage, IntakeStart, IntakeStatus, Route};
use pending::Pending;
use placement::Placement;
use retrying::{Run, Waiting, Wrapper};
pub use segmentation::SegmentedJob;
use segmentation::{SegmentationQueue, Turn, is_long};
use step_flow::StepCompletion;

/// Bytes of text that the intake looks at in one step: between two steps it takes messages, and orders of other clients among them.
const STEP_BYTES: usize = 16 << 10;
/// Orders that it looks at in one step.
const STEP_ORDERS: usize = 512;

/// The actor.
pub struct Intake;

/// Its state. Orders that wait for a retry are lost with it, and delivered again by their source.
pub struct IntakeState {
    start: IntakeStart,
    overrides: OperatorOverrides,
    /// Languages that some model reads.
    sources: Vec<Language>,
    waiting: Waiting,
    pending: Pending,
    /// Orders whose long texts are segmented on another thread. They move here from `pending` when it is their turn.
    segmentation: SegmentationQueue,
    /// Whether a `Continue` message is on its way.
    continues: bool,
    /// Models whose pools are broken.
    broken: BTreeSet<Arc<str>>,
    /// Whether retries have stopped; observed by forwarded jobs.
    stopping: watch::Sender<bool>,
}

impl Actor for Intake {
    type Msg = IntakeMessage;
    type State = IntakeState;
    type Arguments = IntakeStart;

    async fn pre_start(
        &self,
        myself: ActorRef<IntakeMessage>,
        start: IntakeStart,
    ) -> Result<IntakeState, ActorProcessingErr> {
        for route in &start.routes {
            failover::watch(route, &myself)?;
        }
        Ok(IntakeState {
            sources: sources(&start.routes),
            start,
            overrides: OperatorOverrides::default(),
            waiting: Waiting::default(),
            pending: Pending::default(),
            segmentation: SegmentationQueue::default(),
            continues: false,
            broken: BTreeSet::new(),
            stopping: watch::Sender::new(false),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<IntakeMessage>,
        message: IntakeMessage,
        state: &mut IntakeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            IntakeMessage::Offer(orders) => state.offered(&myself, orders)?,
            IntakeMessage::Doubtful(outcome) => state.escalate(&myself, *outcome)?,
            IntakeMessage::Step { step, tries } => {
                state.accept(&myself, vec![*step], tries)?;
            }
            IntakeMessage::Continue => {
                state.continues = false;
                state.step(&myself)?;
            }
            IntakeMessage::SegmentedText(text) => state.segmentation_done(&myself, *text)?,
            IntakeMessage::CutTaken => state.segmentation_ended(&myself)?,
            IntakeMessage::Failed { outcomes, tries } => {
                state.failed(&myself, outcomes, tries)?;
            }
            IntakeMessage::Condition {
                model,
                pool,
                broken,
            } => state.condition(model, pool, broken)?,
            IntakeMessage::Due(number) => {
                if let Some(Run { outcomes, tries }) = state.waiting.take(number) {
                    let orders = outcomes.into_iter().map(|outcome| outcome.order);
                    state.accept(&myself, orders.collect(), tries)?;
                }
            }
            IntakeMessage::StopRetrying => {
                state.place_all(&myself)?;
                state.stopping.send_replace(true);
                // Nothing could resume them later.
                state.release()?;
                deliver_all(state.waiting.take_all());
            }
            IntakeMessage::Pause(target, reply) => {
                let _ = reply.send(state.pause(target)?);
            }
            IntakeMessage::Resume(target, reply) => {
                let _ = reply.send(state.resume(target)?);
            }
            IntakeMessage::Load(route, reply) => {
                let _ = reply.send(state.load(*route, &myself)?);
            }
            IntakeMessage::Replace {
                route,
                within,
                reply,
            } => {
                let turn = Turn::Replace {
                    route,
                    within,
                    reply,
                };
                state.in_turn(&myself, turn)?;
            }
            IntakeMessage::Unload {
                model,
                within,
                reply,
            } => {
                let turn = Turn::Unload {
                    model,
                    within,
                    reply,
                };
                state.in_turn(&myself, turn)?;
            }
            IntakeMessage::Status(reply) => {
                let _ = reply.send(state.status());
            }
        }
        Ok(())
    }
}

impl IntakeState {
    /// Whether retries have stopped.
    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Accepts new orders.
    fn offered(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        mut orders: Vec<Order>,
    ) -> Result<(), ActorProcessingErr> {
        self.watch_confidence(myself, &mut orders);
        self.accept(myself, orders, 0)
    }

    /// Queues orders. A small amount of text is processed at once; more is left to a later step, so that orders that arrive meanwhile get their turn.
    fn accept(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        orders: Vec<Order>,
        tries: u32,
    ) -> Result<(), ActorProcessingErr> {
        let bytes: usize = orders.iter().map(|order| order.request.text.len()).sum();
        for order in orders {
            self.pending.push(order, tries);
        }
        match self.continues || bytes > STEP_BYTES {
            true => self.go_on(myself, &[]),
            false => self.step(myself),
        }
    }

    /// Processes as many pending orders as one step allows, and schedules the next step if more are pending.
    fn step(&mut self, myself: &ActorRef<IntakeMessage>) -> Result<(), ActorProcessingErr> {
        let (mut orders, mut bytes) = (Vec::new(), 0);
        while orders.len() < STEP_ORDERS
            && bytes < STEP_BYTES
            && let Some((order, tries)) = self.pending.pop()
        {
            if let Some((order, tries)) = self.segmentation.keep(order, tries) {
                bytes += order.request.text.len();
                orders.push((order, tries));
            }
        }
        orders.extend(self.segmentation.next());
        let pools = self.offer(myself, orders, false)?;
        self.go_on(myself, &pools)
    }

    /// Processes all pending orders, and segments their texts on this thread.
    fn place_all(&mut self, myself: &ActorRef<IntakeMessage>) -> Result<(), ActorProcessingErr> {
        let mut orders = Vec::with_capacity(self.pending.len());
        while let Some(order) = self.segmentation.take().or_else(|| self.pending.pop()) {
            orders.push(order);
        }
        self.offer_here(myself, orders)
    }

    /// Like [`Self::offer`], but segments every text on this thread.
    fn offer_here(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        orders: Vec<(Order, u32)>,
    ) -> Result<(), ActorProcessingErr> {
        self.offer(myself, orders, true)?;
        Ok(())
    }

    /// Schedules the next step, if orders are pending, for when these pools have accepted what they were given.
    fn go_on(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        pools: &[ActorRef<PoolMessage>],
    ) -> Result<(), ActorProcessingErr> {
        let has_more = self.pending.len() > 0 || self.segmentation.can_go_on();
        if !self.continues && has_more {
            self.continues = true;
            let taken = StepCompletion::new(myself, || IntakeMessage::Continue);
            for pool in pools {
                match pool.cast(PoolMessage::Reached(taken.clone())) {
                    // The pools of a node that stops end while the last orders are placed; the guard is dropped either way.
                    Err(_) if self.is_stopping() => {}
                    cast => cast?,
                }
            }
        }
        Ok(())
    }

    /// Finds pools for orders, and returns the pools that were given some. Long texts are cut on another thread unless `alone` is set.
    fn offer(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        orders: Vec<(Order, u32)>,
        alone: bool,
    ) -> Result<Vec<ActorRef<PoolMessage>>, ActorProcessingErr> {
        let now = Instant::now();
        let mut wrapper = Wrapper::new(myself);
        let mut submissions: Vec<Vec<Submission>> = Vec::new();
        submissions.resize_with(self.start.routes.len(), Vec::new);
        let mut ended = Vec::new();
        // By how often they were tried.
        let mut early: BTreeMap<u32, Vec<JobOutcome>> = BTreeMap::new();
        let mut accepted = Lanes::<usize>::default();
        let mut steps = Vec::new();
        for (order, tries) in orders {
            let may_retry = !self.is_stopping() && !matches!(order.locality, Locality::Model(_));
            match self.place(order, now, tries) {
                Placement::In(route, job) if !alone && is_long(&job.order) => {
                    accepted[job.lane()] += is_new(&job.order, tries);
                    self.segment_in_background(myself, route, *job, tries);
                }
                Placement::In(route, mut job) => match self.parse(route, &job) {
                    Ok(text) => {
                        if may_retry {
                            wrapper.wrap(&mut job.order, tries);
                        }
                        accepted[job.lane()] += is_new(&job.order, tries);
                        submissions[route].push(Submission::new(*job, text));
                    }
                    Err(error) => ended.push(job.order.failed(error)),
                },
                Placement::Away(mut job, nearer_than) => {
                    if may_retry {
                        wrapper.wrap(&mut job.order, tries);
                    }
                    self.forward(*job, nearer_than);
                }
                Placement::Over(job, pivot) => {
                    let step = self.first_step(myself, *job, pivot, tries);
                    steps.extend(step.map(|step| (step, tries)));
                }
                Placement::Early(outcome) if self.is_stopping() => ended.push(*outcome),
                Placement::Early(outcome) => early.entry(tries).or_default().push(*outcome),
                Placement::Ended(outcome) => ended.push(*outcome),
            }
        }
        for (tries, outcomes) in early {
            self.defer(myself, outcomes, tries);
        }
        for (step, tries) in steps {
            self.pending.push(step, tries);
        }
        if !ended.is_empty() {
            self.start.observer.answered(None, &ended);
            deliver_all(ended);
        }
        for lane in Lane::ALL {
            let jobs = accepted[lane];
            if jobs > 0 {
                self.start.observer.observe(&Event::Accepted { lane, jobs });
            }
        }
        let mut pools = Vec::new();
        for (route, submissions) in self.start.routes.iter().zip(submissions) {
            if !submissions.is_empty() {
                self.submit(route, submissions)?;
                pools.push(route.pool.clone());
            }
        }
        Ok(pools)
    }

    /// Schedules retries, and ends jobs for which a retry is pointless.
    fn failed(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        outcomes: Vec<JobOutcome>,
        tries: u32,
    ) -> Result<(), ActorProcessingErr> {
        let outcomes = self.fail_over(myself, outcomes, tries)?;
        let (now, jitter) = (Instant::now(), rand::random());
        let policy = &self.start.retry;
        // The delay is the same for all of them; whether a retry is still in time is not.
        let mut wait = None;
        let (again, ended): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|outcome| {
            let Err(error) = &outcome.result else {
                return false;
            };
            let deadline = outcome.order.deadline();
            match decide(tries, error.code, now, deadline, policy, jitter) {
                AfterError::Retry { after } if !self.is_stopping() && !error.is_lasting => {
                    wait = Some((error.code, after));
                    true
                }
                _ => false,
            }
        });
        deliver_all(ended);
        if let Some((code, after)) = wait {
            let jobs = again.len();
            self.start.observer.observe(&Event::JobsRetried {
                code,
                tries,
                jobs,
                after,
            });
            let number = self.waiting.put(Run {
                outcomes: again,
                tries: tries + 1,
            });
            myself.send_after(after, move || IntakeMessage::Due(number));
        }
        Ok(())
    }

    /// Hands jobs to a pool.
    fn submit(
        &self,
        route: &Route,
        submissions: Vec<Submission>,
    ) -> Result<(), ActorProcessingErr> {
        match route.pool.cast(PoolMessage::Submit(submissions)) {
            // The pools of a node that stops end while the last orders are placed.
            Err(MessagingErr::SendErr(PoolMessage::Submit(left))) if self.is_stopping() => {
                let message = "the node is shutting down";
                let error = || RequestError::new(ErrorCode::ShuttingDown, message);
                let ended: Vec<_> = left.into_iter().map(|s| s.failed(error())).collect();
                self.start.observer.answered(None, &ended);
                deliver_all(ended);
                Ok(())
            }
            // If a pool fails, the node exits; its work is delivered again.
            done => Ok(done?),
        }
    }

    /// Parses a job's text for a route.
    fn parse(&self, route: usize, job: &Job) -> Result<ParsedText, RequestError> {
        let Route { text, space, .. } = &self.start.routes[route];
        let glossary = self
            .terms()
            .dictionary(&job.order.request, (job.source, job.target))?;
        self.contained(|| ParsedText::of(job, text, space.as_ref(), glossary))
    }

    /// Does something with the text of one order. A panic of it concerns this order alone.
    fn contained<T>(&self, task: impl FnOnce() -> T) -> Result<T, RequestError> {
        contain(task).map_err(|panic| {
            let (stage, panic) = (Stage::Intake, panic.to_string());
            let observer = &self.start.observer;
            observer.observe(&Event::PanicContained { stage, panic });
            let message = "internal error while processing the text";
            RequestError::new(ErrorCode::InternalError, message)
        })
    }
}

/// 1 if the order counts as newly accepted, else 0: only the first try counts, and only the first leg of a pivoted or escalated order.
fn is_new(order: &Order, tries: u32) -> usize {
    usize::from(tries == 0 && !matches!(order.leg, Leg::FromPivot | Leg::Escalated))
}
