//! Escalation: a model of a higher tier repeats translations of low confidence.
//!
//! The intake wraps the sink of each order. The wrapper passes outcomes on, except translations whose confidence is below the limit: these return to
//! the intake, which orders a second translation if it knows a working model of a higher tier. The sender gets one outcome in any case: the second
//! translation, or the first if no second one succeeds in time.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::{ActorProcessingErr, ActorRef, MessagingErr};
use tokio::time::Instant;

use crate::{
    domain::{
        JobOutcome, Leg, Locality, ModelType, Order, OutcomeSink, Ticket, Translated, deliver_all,
    },
    events::{Event, Observer},
    routing::EscalationPolicy,
};

use super::{IntakeMessage, IntakeState};

impl IntakeState {
    /// Wraps the sinks of these orders, so that translations of low confidence return to the intake. Consecutive orders that share a sink share its
    /// wrapper.
    pub(super) fn watch_confidence(&self, myself: &ActorRef<IntakeMessage>, orders: &mut [Order]) {
        let policy = self.start.escalation;
        if !policy.is_enabled() {
            return;
        }
        let mut last: Option<Arc<ConfidenceSink>> = None;
        let whole = orders.iter_mut().filter(|order| {
            order.leg == Leg::Whole && !matches!(order.locality, Locality::Model(_))
        });
        for order in whole {
            let same = |last: &&Arc<ConfidenceSink>| Arc::ptr_eq(&last.sender, &order.sink);
            let sink = match last.as_ref().filter(same) {
                Some(last) => Arc::clone(last),
                None => Arc::new(ConfidenceSink {
                    sender: Arc::clone(&order.sink),
                    intake: myself.clone(),
                    policy,
                }),
            };
            last = Some(Arc::clone(&sink));
            order.sink = sink;
        }
    }

    /// Orders a second translation, or delivers the first if no model of a higher tier can be used.
    pub(super) fn escalate(
        &mut self,
        myself: &ActorRef<IntakeMessage>,
        outcome: JobOutcome,
    ) -> Result<(), ActorProcessingErr> {
        match self.second(myself, outcome) {
            Ok(order) => self.accept(myself, vec![order], 0),
            Err(outcome) => {
                deliver_all(vec![*outcome]);
                Ok(())
            }
        }
    }

    /// The order of a second translation, or the outcome of the first.
    fn second(
        &self,
        myself: &ActorRef<IntakeMessage>,
        outcome: JobOutcome,
    ) -> Result<Order, Box<JobOutcome>> {
        let JobOutcome { order, result } = outcome;
        let first = match result {
            Ok(first) => first,
            result => return Err(Box::new(JobOutcome { order, result })),
        };
        let policy = self.start.escalation;
        let now = Instant::now();
        let left = order.deadline().map(|at| at.saturating_duration_since(now));
        let tier = EscalationPolicy::next_tier(first.model_type, self.tiers(&order, &first));
        let allowed = policy.allowance(left).filter(|_| !self.is_stopping());
        let (Some(tier), Some(allowed)) = (tier, allowed) else {
            return Err(Box::new(JobOutcome {
                order,
                result: Ok(first),
            }));
        };
        let until = now.saturating_duration_since(order.submitted) + allowed;
        let mut request = order.request.clone();
        request.source_language = first.source.to_string();
        request.model_type = tier;
        request.deadline_ms = u64::try_from(until.as_millis()).ok();
        Ok(Order {
            ticket: order.ticket,
            request,
            submitted: order.submitted,
            trace: order.trace.clone(),
            locality: order.locality.clone(),
            leg: Leg::Escalated,
            replays: order.replays,
            fresh: order.fresh,
            sink: Arc::new(SecondSink {
                sender: Arc::clone(&order.sink),
                intake: myself.clone(),
                policy,
                observer: Arc::clone(&self.start.observer),
                first: Mutex::new(Some((order, first))),
            }),
        })
    }

    /// Tiers of the working models of a pair, on this node and on those that the order may go to.
    fn tiers(&self, order: &Order, first: &Translated) -> Vec<ModelType> {
        let (source, target) = (first.source, first.target);
        let own = self.start.routes.iter();
        let own = own.filter(|route| self.works(route) && route.ability.serves(source, target));
        let mut tiers: Vec<_> = own.map(|route| route.ability.tier).collect();
        if order.locality.may_leave() {
            let remote = self.start.remote_nodes.remote_capabilities();
            tiers.extend(remote.tiers(source, target));
        }
        tiers
    }
}

/// Passes outcomes on, but for translations of low confidence.
struct ConfidenceSink {
    sender: Arc<dyn OutcomeSink>,
    intake: ActorRef<IntakeMessage>,
    policy: EscalationPolicy,
}

impl OutcomeSink for ConfidenceSink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let mut good = Vec::with_capacity(outcomes.len());
        for mut outcome in outcomes {
            outcome.order.sink = Arc::clone(&self.sender);
            match is_doubtful(&outcome, self.policy) {
                true => good.extend(send_back(&self.intake, outcome)),
                false => good.push(outcome),
            }
        }
        if !good.is_empty() {
            self.sender.deliver(good);
        }
    }

    fn wants(&self, ticket: Ticket) -> bool {
        self.sender.wants(ticket)
    }
}

/// Whether a model made a translation of low confidence.
fn is_doubtful(outcome: &JobOutcome, policy: EscalationPolicy) -> bool {
    let doubts = |done: &Translated| !done.model_id.is_empty() && policy.doubts(done.confidence);
    outcome.result.as_ref().is_ok_and(doubts)
}

/// Returns an outcome to the intake. `Some` if the intake has stopped.
fn send_back(intake: &ActorRef<IntakeMessage>, outcome: JobOutcome) -> Option<JobOutcome> {
    match intake.cast(IntakeMessage::Doubtful(Box::new(outcome))) {
        Err(MessagingErr::SendErr(IntakeMessage::Doubtful(outcome))) => Some(*outcome),
        _ => None,
    }
}

/// The second translation as the result of the order: language detection and queue time are those of the first, processing time covers both.
fn after(first: &Translated, second: Translated) -> Translated {
    let ended = second.queue_time + second.processing_time;
    Translated {
        detected: first.detected,
        queue_time: first.queue_time,
        processing_time: ended.saturating_sub(first.queue_time),
        ..second
    }
}

/// The sink of a second translation.
struct SecondSink {
    sender: Arc<dyn OutcomeSink>,
    intake: ActorRef<IntakeMessage>,
    policy: EscalationPolicy,
    observer: Arc<dyn Observer>,
    /// The sender's order and the first translation. Taken by the only outcome.
    first: Mutex<Option<(Order, Translated)>>,
}

impl OutcomeSink for SecondSink {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        for JobOutcome { result, .. } in outcomes {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = first.take();
            drop(first);
            let Some((order, first)) = taken else {
                continue;
            };
            let second = result.ok();
            let second = second.filter(|second| second.model_type > first.model_type);
            self.observer.observe(&Event::Escalated {
                from: first.model_type,
                to: second.as_ref().map(|second| second.model_type),
            });
            let is_again = second.is_some();
            let result = Ok(match second {
                Some(second) => after(&first, second),
                None => first,
            });
            let outcome = JobOutcome { order, result };
            // A third tier may do better.
            let rest = match is_again && is_doubtful(&outcome, self.policy) {
                true => send_back(&self.intake, outcome),
                false => Some(outcome),
            };
            self.sender.deliver(rest.into_iter().collect());
        }
    }

    fn wants(&self, ticket: Ticket) -> bool {
        self.sender.wants(ticket)
    }
}
