//! The intake: an actor that finds the pool for every order, and tries again what failed for now.

mod commands;
mod errands;
mod failover;
mod placing;
mod retrying;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

use crate::{
    cache::CacheSpace,
    containment::contain,
    domain::{ErrorCode, Job, JobOutcome, Language, Order, Reach, RequestError, deliver_all},
    elsewhere::Elsewhere,
    events::{Event, Observer, Stage},
    pool::{Applied, Cut, PoolMessage, Submission, Unloaded},
    retry::{AfterError, RetryPolicy, decide},
    routing::Ability,
};
use commands::{Commanded, sources};
use placing::Placed;
use retrying::{Run, Waiting, Wrapper};

/// A pool and what its model can do.
#[derive(Clone)]
pub struct Route {
    /// Model id.
    pub model: Arc<str>,
    /// What the model can do.
    pub ability: Ability,
    /// Its pool.
    pub pool: ActorRef<PoolMessage>,
    /// Longest piece of text that the model takes at once, in estimated tokens.
    pub max_piece_tokens: usize,
    /// What its translations depend on beside text and languages, where they are remembered.
    pub space: Option<CacheSpace>,
}

/// What an intake is told.
pub enum IntakeMessage {
    /// Find pools for these. Every one of them ends in its sink, once.
    Offer(Vec<Order>),
    /// These failed in a way that may heal. Sent by the sinks that the intake puts before those of its orders.
    Failed {
        /// What they end with if they are not tried again.
        outcomes: Vec<JobOutcome>,
        /// How often they were tried before.
        tries: u32,
    },
    /// The pool of this model is broken, or works again. Sent by pools.
    Condition {
        /// Model id.
        model: Arc<str>,
        /// Whether it is broken.
        broken: bool,
    },
    /// The jobs of this number have waited long enough. Sent by the intake to itself.
    Due(u64),
    /// Nothing is tried again from now on: what waits for that ends with its error at once. A drain does not wait for it.
    StopRetrying,
    /// Hold back jobs into this language: they are accepted and wait, in their pools. Deadlines are kept.
    Pause(Language, RpcReplyPort<Applied>),
    /// Do jobs into this language again.
    Resume(Language, RpcReplyPort<Applied>),
    /// Use this pool from now on. Changes nothing if there is one of the same model.
    Load(Box<Route>, RpcReplyPort<Applied>),
    /// Use the pool of this model no more and end it. Told when it has ended, or at once if there is none.
    Unload {
        /// Model id.
        model: Arc<str>,
        /// How long the pool goes on with what it has. What is left then is handed back: another model does it, or
        /// it is answered as a model that is unavailable.
        within: Duration,
        /// Told at the end.
        reply: RpcReplyPort<Unloaded>,
    },
    /// Tell about the intake.
    Status(RpcReplyPort<IntakeStatus>),
}

/// An intake at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntakeStatus {
    /// Models in use.
    pub models: Vec<Arc<str>>,
    /// Languages whose jobs are held back.
    pub paused: Vec<Language>,
    /// Jobs that wait to be tried again.
    pub waiting: usize,
}

impl ractor::Message for IntakeMessage {}

/// What an intake starts with.
pub struct IntakeStart {
    /// The pools of this node.
    pub routes: Vec<Route>,
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// How often and how soon jobs are tried again that failed for now.
    pub retry: RetryPolicy,
    /// Gets the events.
    pub observer: Arc<dyn Observer>,
    /// Other nodes; `()` for none.
    pub elsewhere: Arc<dyn Elsewhere>,
    /// How long jobs wait for another node that is missing, each time they are tried.
    pub patience: Duration,
}

/// The actor.
pub struct Intake;

/// Its state. Orders that wait to be tried again are lost with it, and delivered again by their source.
pub struct IntakeState {
    start: IntakeStart,
    commanded: Commanded,
    /// Languages that some model reads.
    sources: Vec<Language>,
    waiting: Waiting,
    /// Models whose pools are broken.
    broken: BTreeSet<Arc<str>>,
    stopping: bool,
    /// The same for jobs that are with other nodes.
    stop: watch::Sender<bool>,
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
            commanded: Commanded::default(),
            waiting: Waiting::default(),
            broken: BTreeSet::new(),
            stopping: false,
            stop: watch::Sender::new(false),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<IntakeMessage>,
        message: IntakeMessage,
        state: &mut IntakeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            IntakeMessage::Offer(orders) => state.offer(&myself, orders, 0)?,
            IntakeMessage::Failed { outcomes, tries } => {
                state.failed(&myself, outcomes, tries)?;
            }
            IntakeMessage::Condition { model, broken } => state.condition(model, broken)?,
            IntakeMessage::Due(number) => {
                if let Some(Run { outcomes, tries }) = state.waiting.take(number) {
                    let orders = outcomes.into_iter().map(|outcome| outcome.order);
                    state.offer(&myself, orders.collect(), tries)?;
                }
            }
            IntakeMessage::StopRetrying => {
                state.stopping = true;
                state.stop.send_replace(true);
                // Nobody could let them go on later.
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
            IntakeMessage::Unload {
                model,
                within,
                reply,
            } => state.unload(&model, within, reply)?,
            IntakeMessage::Status(reply) => {
                let _ = reply.send(state.status());
            }
        }
        Ok(())
    }
}

impl IntakeState {
    fn offer(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        orders: Vec<Order>,
        tries: u32,
    ) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        let mut wrapper = Wrapper::new(myself, tries);
        let mut submissions: Vec<Vec<Submission>> = Vec::new();
        submissions.resize_with(self.start.routes.len(), Vec::new);
        let (mut ended, mut early) = (Vec::new(), Vec::new());
        for order in orders {
            let may_retry = !self.stopping && !matches!(order.reach, Reach::Model(_));
            match self.place(order, now, tries) {
                Placed::In(route, mut job) => match self.cut(route, &job) {
                    Ok(cut) => {
                        if may_retry {
                            wrapper.wrap(&mut job.order);
                        }
                        submissions[route].push(Submission::new(*job, cut));
                    }
                    Err(error) => ended.push(job.order.failed(error)),
                },
                Placed::Away(mut job) => {
                    if may_retry {
                        wrapper.wrap(&mut job.order);
                    }
                    self.send_away(*job);
                }
                Placed::Early(outcome) if self.stopping => ended.push(*outcome),
                Placed::Early(outcome) => early.push(*outcome),
                Placed::Ended(outcome) => ended.push(*outcome),
            }
        }
        self.hold_early(myself, early, tries);
        if !ended.is_empty() {
            self.start.observer.answered(None, &ended);
            deliver_all(ended);
        }
        for (route, submissions) in self.start.routes.iter().zip(submissions) {
            if let Some(first) = submissions.first() {
                let (lane, jobs) = (first.lane(), submissions.len());
                if tries == 0 {
                    self.start.observer.observe(&Event::Accepted { lane, jobs });
                }
                // A pool that is gone takes its node down; what it had is delivered again.
                route.pool.cast(PoolMessage::Submit(submissions))?;
            }
        }
        Ok(())
    }

    /// Has jobs that failed for now wait, and ends those for which that is of no use.
    fn failed(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        outcomes: Vec<JobOutcome>,
        tries: u32,
    ) -> Result<(), ActorProcessingErr> {
        let outcomes = self.fail_over(myself, outcomes, tries)?;
        let (now, jitter) = (Instant::now(), rand::random());
        let policy = &self.start.retry;
        // The delay is the same for all of them; whether it is worth it is not.
        let mut wait = None;
        let (again, ended): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|outcome| {
            let Err(error) = &outcome.result else {
                return false;
            };
            let deadline = outcome.order.deadline();
            match decide(tries, error.code, now, deadline, policy, jitter) {
                AfterError::Retry { after } if !self.stopping => {
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

    /// Cuts a job's text into pieces for a route.
    fn cut(&self, route: usize, job: &Job) -> Result<Cut, RequestError> {
        let Route {
            max_piece_tokens,
            space,
            ..
        } = &self.start.routes[route];
        self.contained(|| Cut::of(job, *max_piece_tokens, space.as_ref()))
    }

    /// Does something with the text of one order. A panic of it concerns this order alone.
    fn contained<T>(&self, task: impl FnOnce() -> T) -> Result<T, RequestError> {
        contain(task).map_err(|panic| {
            let (stage, panic) = (Stage::Intake, panic.to_string());
            let observer = &self.start.observer;
            observer.observe(&Event::PanicContained { stage, panic });
            let message = "handling the text failed inside the node";
            RequestError::new(ErrorCode::InternalError, message)
        })
    }
}
