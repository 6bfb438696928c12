//! Requests of other nodes and of the command line, answered as Kafka's are.

use babelmesh_actors::{
    caller::{self, Call},
    domain::{
        ErrorCode, Leg, Locality, RequestError, SpanRef, TranslationRequest, TranslationResult,
    },
    intake::IntakeMessage,
};
use ractor::ActorRef;

use crate::telemetry::Traces;

/// Translates a request with exactly one target on this node; `node` is its name. `leg` is which part of a route it
/// is, `span` the parent span, if sampled.
pub(super) async fn translate(
    intake: &ActorRef<IntakeMessage>,
    request: TranslationRequest,
    leg: Leg,
    node: &str,
    (traces, span): (&Traces, Option<SpanRef>),
) -> TranslationResult {
    let call = Call {
        leg,
        trace: traces.below(span),
        ..Call::new(request.clone(), Locality::Node)
    };
    match caller::ask(intake, call).await {
        Ok(outcome) => {
            if let Some(request_trace) = traces.answered(&outcome, None) {
                request_trace.delivered();
            }
            TranslationResult::of(&outcome, node)
        }
        Err(caller::Ended) => {
            let target = request.targets().next().unwrap_or_default().to_owned();
            let error = RequestError::new(ErrorCode::ShuttingDown, "the node is shutting down");
            TranslationResult::failed(&request, &target, node, error)
        }
    }
}
