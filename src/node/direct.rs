//! Requests of other nodes and of the command line, answered as Kafka's are.

use babelmesh_actors::{
    caller,
    domain::{ErrorCode, Locality, RequestError, SpanRef, TranslationRequest, TranslationResult},
    intake::IntakeMessage,
};
use ractor::ActorRef;

use crate::telemetry::Traces;

/// Translates a request with exactly one target on this node; `node` is its name. `span` is the parent span, if
/// sampled.
pub(super) async fn translate(
    intake: &ActorRef<IntakeMessage>,
    request: TranslationRequest,
    node: &str,
    (traces, span): (&Traces, Option<SpanRef>),
) -> TranslationResult {
    match caller::ask(intake, request.clone(), Locality::Node, traces.below(span)).await {
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
