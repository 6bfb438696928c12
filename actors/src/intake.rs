//! The intake: an actor that finds the pool for every order.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::{
    detect::detect,
    domain::{
        ErrorCode, Job, JobOutcome, Language, Order, RequestError, deliver_all, parse_language,
    },
    events::{Event, Observer},
    pool::{PoolMessage, Submission},
    routing::{self, Ability},
    text::{self, Piece},
};

/// A pool and what its model can do.
#[derive(Clone)]
pub struct Route {
    /// What the model can do.
    pub ability: Ability,
    /// Its pool.
    pub pool: ActorRef<PoolMessage>,
    /// Longest piece of text that the model takes at once, in estimated tokens.
    pub max_piece_tokens: usize,
}

/// What an intake is told.
pub enum IntakeMessage {
    /// Find pools for these. Every one of them ends in its sink, once.
    Offer(Vec<Order>),
}

/// What an intake starts with.
pub struct IntakeStart {
    /// The pools of this node.
    pub routes: Vec<Route>,
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// Gets the events.
    pub observer: Arc<dyn Observer>,
}

/// The actor.
pub struct Intake;

/// Its state: nothing that could be lost.
pub struct IntakeState {
    start: IntakeStart,
    sources: Vec<Language>,
}

impl Actor for Intake {
    type Msg = IntakeMessage;
    type State = IntakeState;
    type Arguments = IntakeStart;

    async fn pre_start(
        &self,
        _: ActorRef<IntakeMessage>,
        start: IntakeStart,
    ) -> Result<IntakeState, ActorProcessingErr> {
        let abilities = || start.routes.iter().map(|route| &route.ability);
        let mut sources: Vec<_> = abilities().flat_map(|a| &a.sources).copied().collect();
        sources.sort_unstable();
        sources.dedup();
        Ok(IntakeState { start, sources })
    }

    async fn handle(
        &self,
        _: ActorRef<IntakeMessage>,
        IntakeMessage::Offer(orders): IntakeMessage,
        state: &mut IntakeState,
    ) -> Result<(), ActorProcessingErr> {
        state.offer(orders)
    }
}

impl IntakeState {
    fn offer(&self, orders: Vec<Order>) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        let mut submissions: Vec<Vec<Submission>> = Vec::new();
        submissions.resize_with(self.start.routes.len(), Vec::new);
        let mut ended = Vec::new();
        for order in orders {
            match self.place(order, now) {
                Placed::In(route, job) => {
                    let limit = self.start.routes[route].max_piece_tokens;
                    submissions[route].push(Submission::new(*job, limit));
                }
                Placed::Ended(outcome) => ended.push(*outcome),
            }
        }
        deliver_all(ended);
        for (route, submissions) in self.start.routes.iter().zip(submissions) {
            if let Some(first) = submissions.first() {
                let (lane, jobs) = (first.lane(), submissions.len());
                self.start.observer.observe(&Event::Accepted { lane, jobs });
                // A pool that is gone takes its node down; what it had is delivered again.
                route.pool.cast(PoolMessage::Submit(submissions))?;
            }
        }
        Ok(())
    }

    fn place(&self, order: Order, now: Instant) -> Placed {
        match self.resolve(&order, now) {
            Ok(Resolved {
                source,
                target,
                detected,
                deadline,
                route,
            }) => {
                let job = Job {
                    order,
                    source,
                    target,
                    detected,
                    deadline,
                };
                match route {
                    Some(route) => Placed::In(route, Box::new(job)),
                    None => Placed::Ended(Box::new(job.untouched())),
                }
            }
            Err(error) => Placed::Ended(Box::new(order.failed(error))),
        }
    }

    fn resolve(&self, order: &Order, now: Instant) -> Result<Resolved, RequestError> {
        let request = &order.request;
        request.validate(self.start.max_text_chars)?;
        let target = parse_language("targetLanguage", order.target_tag())?;
        let deadline = order.deadline();
        if deadline.is_some_and(|at| at <= now) {
            return Err(RequestError::new(
                ErrorCode::DeadlineExceeded,
                "the deadline passed before the message was read",
            ));
        }
        let told = request.source()?;
        let source = match told {
            Some(source) => source,
            None => self.detect(&request.text, target)?,
        };
        let route = if source == target {
            None
        } else {
            let abilities = self.start.routes.iter().map(|route| &route.ability);
            Some(routing::choose(
                abilities,
                source,
                target,
                request.model_type,
            )?)
        };
        Ok(Resolved {
            source,
            target,
            detected: told.is_none(),
            deadline,
            route,
        })
    }

    /// The language of a text. One without any word is in every language, the target among them.
    fn detect(&self, text: &str, target: Language) -> Result<Language, RequestError> {
        if let Some(language) = detect(text, &self.sources, target) {
            return Ok(language);
        }
        if !text::segment(text, usize::MAX)
            .iter()
            .any(Piece::is_translatable)
        {
            return Ok(target);
        }
        Err(RequestError::new(
            ErrorCode::UndetectedLanguage,
            format!(
                "the text is in none of the languages {}",
                routing::list(&self.sources)
            ),
        ))
    }
}

enum Placed {
    In(usize, Box<Job>),
    Ended(Box<JobOutcome>),
}

struct Resolved {
    source: Language,
    target: Language,
    detected: bool,
    deadline: Option<Instant>,
    /// Index of the route; none when the text is in the target language already.
    route: Option<usize>,
}
