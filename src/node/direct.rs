//! Requests that are answered at once, past Kafka.

use std::sync::{Arc, Mutex, PoisonError};

use babelmesh_actors::{
    domain::{
        ErrorCode, JobOutcome, Order, OutcomeSink, RequestError, Ticket, TranslationRequest,
        TranslationResult,
    },
    intake::IntakeMessage,
};
use ractor::ActorRef;
use tokio::{sync::oneshot, time::Instant};

/// Translates a request with exactly one target on this node; `node` is its name.
pub(super) async fn translate(
    intake: &ActorRef<IntakeMessage>,
    request: TranslationRequest,
    node: &str,
) -> TranslationResult {
    let failed = |request: &TranslationRequest| {
        let target = request.targets().next().unwrap_or_default().to_owned();
        let error = RequestError::new(ErrorCode::ShuttingDown, "the node is stopping");
        TranslationResult::failed(request, &target, node, error)
    };
    let (sender, answer) = oneshot::channel();
    let order = Order {
        ticket: Ticket::default(),
        request: request.clone(),
        submitted: Instant::now(),
        trace: None,
        replays: 0,
        sink: Arc::new(Caller {
            node: node.to_owned(),
            sender: Mutex::new(Some(sender)),
        }),
    };
    if intake.cast(IntakeMessage::Offer(vec![order])).is_err() {
        return failed(&request);
    }
    answer.await.unwrap_or_else(|_| failed(&request))
}

/// Somebody who waits for one answer.
struct Caller {
    node: String,
    sender: Mutex<Option<oneshot::Sender<TranslationResult>>>,
}

impl OutcomeSink for Caller {
    fn deliver(&self, outcomes: Vec<JobOutcome>) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        for outcome in outcomes {
            if let Some(sender) = sender.take() {
                // Whoever asked may have given up.
                let _ = sender.send(TranslationResult::of(&outcome, &self.node));
            }
        }
    }
}
