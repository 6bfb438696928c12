//! Requests of other nodes and of the command line, answered as Kafka's are.

use babelmesh_actors::{
    domain::{ErrorCode, RequestError, TranslationRequest, TranslationResult},
    intake::IntakeMessage,
};
use ractor::ActorRef;

use super::caller;

/// Translates a request with exactly one target on this node; `node` is its name.
pub(super) async fn translate(
    intake: &ActorRef<IntakeMessage>,
    request: TranslationRequest,
    node: &str,
) -> TranslationResult {
    match caller::ask(intake, request.clone(), None).await {
        Ok(outcome) => TranslationResult::of(&outcome, node),
        Err(caller::Ended) => {
            let target = request.targets().next().unwrap_or_default().to_owned();
            let error = RequestError::new(ErrorCode::ShuttingDown, "the node is stopping");
            TranslationResult::failed(&request, &target, node, error)
        }
    }
}
