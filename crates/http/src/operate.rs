//! Commands of operators: for those with an operator key, and only where the node has such keys. Keys of the API do not count here.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{
    error::{ApiError, Dialect},
    refusal,
    state::Api,
};
use babelmesh_telemetry::command::{Action, Command};

/// Largest body, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Longest time for a body to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What an operator asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Name of the node.
    node: String,
    /// What it shall do.
    action: Action,
}

/// Whether this node takes commands over HTTP.
pub(super) async fn settings(api: web::Data<Api>) -> HttpResponse {
    let enabled = api.takes_commands();
    HttpResponse::Ok().json(json!({"enabled": enabled}))
}

/// Executes a command on a node of the cluster: `drain`, `pause`, `resume` or `set-bounds`.
#[utoipa::path(
    post, path = "/operate", tag = "Operation", security(("Operator key" = [])),
    request_body(content_type = "application/json", content = serde_json::Value,
        example = json!({"node": "node-1", "action": {"pause": {"language": "fr"}}})),
    responses(
        (status = 200, description = "Executed", content_type = "application/json", body = serde_json::Value,
         example = json!({"node": "node-1", "outcome": "fr paused"})),
        (status = 400, description = "Invalid request"),
        (status = 401, description = "An operator key is needed"),
        (status = 403, description = "Wrong operator key, a command that is not taken over HTTP, or a node without operator keys (`http.operator_keys_file`)"),
        (status = 409, description = "Not executed; the body has the reason"),
    )
)]
pub(super) async fn operate(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> HttpResponse {
    let mut payload = Some(payload);
    let answer = async {
        let operator = api.operator(&request)?;
        let body = payload
            .take()
            .map(|payload| payload.to_bytes_limited(MAX_BYTES));
        let body = match body {
            Some(body) => timeout(READ_TIMEOUT, body).await,
            None => return Err(ApiError::bad("the body is missing")),
        };
        let body = match body {
            Ok(Ok(Ok(body))) => body,
            Ok(Ok(Err(error))) => return Err(ApiError::bad(error.to_string())),
            Ok(Err(_)) => {
                return Err(ApiError::bad(format!(
                    "the body is above {MAX_BYTES} bytes"
                )));
            }
            Err(_) => return Err(ApiError::bad("the body did not arrive in time")),
        };
        let Asked { node, action } = serde_json::from_slice(&body)
            .map_err(|error| ApiError::bad(format!("invalid command: {error}")))?;
        if !is_taken(&action) {
            let message = "this command is taken on the command line only: babelmesh cluster";
            return Err(ApiError::new(StatusCode::FORBIDDEN, message));
        }
        let refused = |why: String| ApiError::new(StatusCode::CONFLICT, why);
        let cluster = api.parts.cluster.as_ref();
        let cluster = cluster.ok_or_else(|| {
            refused("clustering is disabled on this node; set cluster.enabled = true and cluster.cookie_file".to_owned())
        })?;
        // The log of the node that executes it has the id, and so the operator.
        let number: u64 = rand::random();
        let id = format!("{}-{number:016x}", operator.name);
        let done = cluster.command(Command { id, node, action }).await;
        let done = done.map_err(|error| refused(format!("{error:#}")))?;
        let body = json!({"node": done.node, "outcome": done.outcome});
        Ok(HttpResponse::Ok().json(body))
    };
    let response = api.answer("operate", Dialect::LibreTranslate, answer).await;
    match payload {
        Some(unread) => refusal::unread(response, unread),
        None => response,
    }
}

/// Whether a command is taken over HTTP: those that the dashboard offers.
const fn is_taken(action: &Action) -> bool {
    match action {
        Action::Drain | Action::SetBounds { .. } | Action::Pause { .. } | Action::Resume { .. } => {
            true
        }
        Action::Load { .. }
        | Action::Unload { .. }
        | Action::Reload { .. }
        | Action::LogFilter { .. } => false,
    }
}
