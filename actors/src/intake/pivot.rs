//! Translation over a pivot language: two orders in a row, with one outcome for the sender.
//!
//! The first order is for the pivot language. Its translation is the text of the second one, which is for the language
//! that was asked for. Each of the two finds its model, its retries and its node as any order does. The sender's order
//! waits in the sink of the one that is under way, so it ends exactly once, whatever happens to either.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::ActorRef;

use crate::{
    domain::{
        ErrorCode, Job, JobOutcome, Language, Leg, Order, OutcomeSink, RequestError, Term,
        TextChecks, Ticket, Translated,
    },
    events::Event,
    routing::choose_pivot,
};

use super::{
    IntakeMessage, IntakeState,
    placement::Wanted,
    terms::{TermSource, has_terms, kept},
};

/// The models that a route may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Models {
    /// Those that work now.
    Working,
    /// Also those that are broken or away: the route waits for their return.
    Known,
}

impl IntakeState {
    /// The pivot for a pair of an order that has no working model of its own; `None` where it cannot be translated over one.
    pub(super) fn pivot(&self, wanted: Wanted, order: &Order, models: Models) -> Option<Language> {
        if order.leg != Leg::Whole {
            return None;
        }
        let is_known = models == Models::Known;
        let local = self.start.routes.iter();
        let local = local.filter(|route| is_known || self.works(route));
        let local = local.map(|route| &route.ability);
        let may_leave = order.locality.may_leave();
        let remote = may_leave.then(|| self.start.remote_nodes.remote_capabilities());
        let remote = remote.iter().flat_map(|remote| {
            let later = remote.later().iter().filter(|_| is_known);
            remote.now().iter().chain(later)
        });
        let pair = (wanted.source, wanted.target);
        choose_pivot(local.chain(remote), pair, wanted.tier, &self.start.pivot)
    }

    /// The order of a pivoted job's first step; `tries` counts its earlier tries. With glossary terms, returns `None` and sends the step to the
    /// intake later.
    ///
    /// In the first step, terms of the glossary are replaced by their targets, which the second step keeps.
    pub(super) fn first_step(
        &self,
        myself: &ActorRef<IntakeMessage>,
        job: Job,
        pivot: Language,
        tries: u32,
    ) -> Option<Order> {
        self.start.observer.observe(&Event::Pivoted { pivot });
        let Job {
            order,
            source,
            target,
            detected,
            ..
        } = job;
        let route = PivotRoute {
            source,
            pivot,
            target,
            detected,
        };
        let intake = myself.clone();
        let pivoted = PivotedOrder {
            order,
            tries,
            route,
            intake: intake.clone(),
            terms: Vec::new(),
            step: Step::First,
        };
        if !has_terms(&pivoted.order.request) {
            return Some(pivoted.into_step());
        }
        let terms = self.terms();
        tokio::task::spawn_blocking(move || {
            if let Some(step) = pivoted.with_terms(&terms) {
                let step = Box::new(step);
                // If the intake fails, the node exits; the records are delivered again.
                let _ = intake.cast(IntakeMessage::Step { step, tries });
            }
        });
        None
    }
}

/// The languages of a job over a pivot.
#[derive(Clone, Copy)]
struct PivotRoute {
    source: Language,
    pivot: Language,
    target: Language,
    /// How sure the detection of the source is, from 0 to 1; `None` if it was given.
    detected: Option<f64>,
}

impl PivotRoute {
    /// The error of a step, for the sender. An unsupported pair becomes a retriable error: the sender did not ask for the pair of a step, and the
    /// model may come back.
    fn error(&self, error: RequestError) -> RequestError {
        match error.code {
            ErrorCode::UnsupportedPair | ErrorCode::UnsupportedLanguage => {
                let Self {
                    source,
                    pivot,
                    target,
                    ..
                } = self;
                let message = format!(
                    "the route {source} to {target} over {pivot} is no longer available: {}",
                    error.message
                );
                RequestError::new(ErrorCode::ModelUnavailable, message)
            }
            _ => error,
        }
    }

    /// The translation of the whole, of those of its steps.
    fn joined(&self, first: Translated, second: Translated) -> Translated {
        // Both are counted from the submission of the whole.
        let ended = second.queue_time + second.processing_time;
        let models = [&first.model_id, &second.model_id].map(|model| model.to_string());
        let used: Vec<_> = models.into_iter().filter(|id| !id.is_empty()).collect();
        let checks = match (first.checks, second.checks) {
            (Some(first), Some(second)) => Some(TextChecks::merged(first, second)),
            (first, second) => first.or(second),
        };
        Translated {
            text: second.text,
            alternatives: second.alternatives,
            confidence: first.confidence * second.confidence,
            source: self.source,
            target: self.target,
            via: Some(self.pivot),
            detected: self.detected,
            model_id: Arc::from(used.join("+")),
            model_type: first.model_type.min(second.model_type),
            worker: second.worker,
            batch_size: first.batch_size.max(second.batch_size),
            segments: second.segments,
            from_cache: first.from_cache && second.from_cache,
            checks,
            queue_time: first.queue_time,
            processing_time: ended.saturating_sub(first.queue_time),
        }
    }
}

/// The sender's order of a job over a pivot, while a step of it is under way.
struct PivotedOrder {
    order: Order,
    /// How often it was tried before. Its steps start with that, so that they are not tried more often than any order.
    tries: u32,
    route: PivotRoute,
    /// Receives the second step, or the whole order if its route is no longer available.
    intake: ActorRef<IntakeMessage>,
    /// Terms of its glossary that are in its text.
    terms: Vec<Term>,
    step: Step,
}

/// The step that is under way.
enum Step {
    /// Into the pivot language.
    First,
    /// Out of it, after this translation.
    Second(Box<Translated>),
}

impl PivotedOrder {
    /// The order of the current step, with the glossary terms that are in its text. If the glossary cannot be used, delivers the error and returns
    /// `None`.
    fn with_terms(mut self, terms: &TermSource) -> Option<Order> {
        let request = self.order.request.clone();
        match terms.with_own_terms(request, (self.route.source, self.route.target)) {
            Ok(request) => {
                self.terms = request.terms;
                Some(self.into_step())
            }
            Err(error) => {
                self.step_ended(Err(error));
                None
            }
        }
    }

    /// The order of the step.
    fn into_step(self) -> Order {
        let (order, pivot) = (&self.order, self.route.pivot);
        let (mut request, leg) = match &self.step {
            Step::First => {
                let mut request = order.request.only_for(pivot.as_str());
                request.source_language = self.route.source.to_string();
                request.terms.clone_from(&self.terms);
                // Only the second step is asked for alternatives.
                request.alternatives = 0;
                (request, Leg::ToPivot)
            }
            Step::Second(first) => {
                let mut request = order.request.only_for(order.target_tag());
                request.source_language = pivot.to_string();
                request.text.clone_from(&first.text);
                request.terms = kept(&self.terms);
                (request, Leg::FromPivot)
            }
        };
        request.glossary_id = None;
        Order {
            ticket: order.ticket,
            request,
            submitted: order.submitted,
            trace: order.trace.clone(),
            replays: order.replays,
            fresh: order.fresh,
            locality: order.locality.clone(),
            leg,
            sink: Arc::new(StepSink {
                sender: Arc::clone(&order.sink),
                pending: Mutex::new(Some(self)),
            }),
        }
    }

    /// Goes on after the step has ended.
    fn step_ended(self, result: Result<Translated, RequestError>) {
        let Self {
            order,
            tries,
            route,
            intake,
            terms,
            step,
        } = self;
        let result = match (step, result) {
            (Step::First, Ok(first)) => {
                let second = Self {
                    order,
                    tries,
                    route,
                    intake: intake.clone(),
                    terms,
                    step: Step::Second(Box::new(first)),
                };
                let step = Box::new(second.into_step());
                // If the intake fails, the node exits; the records are delivered again.
                let _ = intake.cast(IntakeMessage::Step { step, tries });
                return;
            }
            (Step::Second(first), Ok(second)) => Ok(route.joined(*first, second)),
            (_, Err(error)) if has_lost_its_model(&error) => {
                let result = Err(route.error(error));
                let outcomes = vec![JobOutcome { order, result }];
                let _ = intake.cast(IntakeMessage::Failed { outcomes, tries });
                return;
            }
            (_, Err(error)) => Err(route.error(error)),
        };
        let sink = Arc::clone(&order.sink);
        sink.deliver(vec![JobOutcome { order, result }]);
    }
}

/// Whether a step failed because no model for it is left. The order is then placed again: it may use another pivot, or have a model of its own by
/// then. A step whose retries are used up ends the order instead.
fn has_lost_its_model(error: &RequestError) -> bool {
    match error.code {
        ErrorCode::UnsupportedPair | ErrorCode::UnsupportedLanguage => true,
        ErrorCode::ModelUnavailable => error.is_lasting,
        _ => false,
    }
}

/// The sink of a step.
struct StepSink {
    /// The sink of the whole.
    sender: Arc<dyn OutcomeSink>,
    /// Taken by the only outcome of the step.
    pending: Mutex<Option<PivotedOrder>>,
}

impl OutcomeSink for StepSink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        for outcome in outcomes {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = pending.take();
            drop(pending);
            if let Some(pending) = taken {
                pending.step_ended(outcome.result);
            }
        }
    }

    fn wants(&self, ticket: Ticket) -> bool {
        self.sender.wants(ticket)
    }
}
