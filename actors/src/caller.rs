//! Direct translation, bypassing Kafka: for the command line, HTTP requests and other nodes.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::ActorRef;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    domain::{
        JobOutcome, Leg, Locality, Order, OutcomeSink, RequestError, Ticket, Trace, Translated,
        TranslationRequest,
    },
    intake::IntakeMessage,
};

/// The actors ended before they answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node ends")]
pub struct Ended;

/// A request of a caller.
#[derive(Debug)]
pub struct Call {
    /// The request, with exactly one target.
    pub request: TranslationRequest,
    /// Where it may be done.
    pub locality: Locality,
    /// Which part of a route it is.
    pub leg: Leg,
    /// Its trace.
    pub trace: Option<Arc<Trace>>,
    /// Whether to bypass the cache.
    pub fresh: bool,
}

impl Call {
    /// A request with the cache and without a trace.
    #[must_use]
    pub const fn new(request: TranslationRequest, locality: Locality) -> Self {
        Self {
            request,
            locality,
            leg: Leg::Whole,
            trace: None,
            fresh: false,
        }
    }
}

/// Translates one text with an available model, bypassing the cache. Dropping the future abandons the request, and its
/// text reaches no engine.
///
/// # Errors
/// [`Ended`] when the actors are gone. What is wrong with the request is in the answer.
pub async fn translate(
    intake: &ActorRef<IntakeMessage>,
    request: TranslationRequest,
    locality: Locality,
) -> Result<Result<Translated, RequestError>, Ended> {
    let call = Call {
        fresh: true,
        ..Call::new(request, locality)
    };
    Ok(ask(intake, call).await?.result)
}

/// Answers a request. Dropping the future abandons it, and its text reaches no engine.
///
/// # Errors
/// [`Ended`] when the actors are gone. What is wrong with the request is in the answer.
pub async fn ask(intake: &ActorRef<IntakeMessage>, call: Call) -> Result<JobOutcome, Ended> {
    let Call {
        request,
        locality,
        leg,
        trace,
        fresh,
    } = call;
    let (sender, answer) = oneshot::channel();
    let order = Order {
        ticket: Ticket::default(),
        request,
        submitted: Instant::now(),
        trace,
        replays: 0,
        fresh,
        locality,
        leg,
        sink: Arc::new(Caller(Mutex::new(Some(sender)))),
    };
    intake
        .cast(IntakeMessage::Offer(vec![order]))
        .map_err(|_| Ended)?;
    answer.await.map_err(|_| Ended)
}

struct Caller(Mutex<Option<oneshot::Sender<JobOutcome>>>);

impl OutcomeSink for Caller {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for outcome in outcomes {
            if let Some(sender) = sender.take() {
                // The requester may have disconnected.
                let _ = sender.send(outcome);
            }
        }
    }

    fn wants(&self, _: Ticket) -> bool {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}
