//! Requests as spans.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web::Data,
};
use tracing::Instrument as _;

use super::state::Api;

/// Requests that are watched: those that have work done. Whoever looks at metrics all the time makes no traces.
const ROUTES: [&str; 4] = ["/translate", "/detect", "/v2/translate", "/translate/batch"];

/// Answers a request in a span, if it is watched.
pub(super) async fn traced(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let path = request.path();
    let route = ROUTES.iter().find(|route| **route == path);
    let api = request.app_data::<Data<Api>>();
    let moment = match (route, api) {
        (Some(route), Some(api)) if *request.method() == Method::POST => {
            let parent = request.headers().get("traceparent");
            let parent = parent.and_then(|parent| parent.to_str().ok());
            api.parts.traces.http(("POST", route), parent)
        }
        _ => None,
    };
    let Some(moment) = moment else {
        return next.call(request).await;
    };
    let response = next.call(request).instrument(moment.span()).await?;
    moment.answered(response.status().as_u16());
    Ok(response)
}
