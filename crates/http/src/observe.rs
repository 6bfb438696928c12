//! Endpoints for operators' tools.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use babelmesh_telemetry::Format;
use serde_json::json;

use super::{error::Dialect, state::Api};

/// Whether the process serves at all.
#[utoipa::path(get, path = "/live", tag = "Operation", responses((status = 200, description = "The process is alive")))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

/// Whether work should be sent here: a warm model answered lately, and the brokers can be reached.
#[utoipa::path(
    get, path = "/ready", tag = "Operation",
    responses((status = 200, description = "Ready"), (status = 503, description = "Not ready; the body lists the reasons"))
)]
pub(super) async fn ready(api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let status = api.status().await;
        let readiness = api.parts.health.readiness(&status);
        Ok(match readiness.ready {
            true => HttpResponse::Ok().json(readiness),
            false => HttpResponse::ServiceUnavailable().json(readiness),
        })
    };
    api.answer("ready", Dialect::LibreTranslate, answer).await
}

/// Whether the process serves, as LibreTranslate tells it. `/status` has details.
#[utoipa::path(get, path = "/health", tag = "Operation", responses((status = 200, description = "The process is alive")))]
pub(super) async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// The node's state in short: whether it is ready, what is missing, and its models.
#[utoipa::path(get, path = "/status", tag = "Operation", responses((status = 200, description = "The node's state")))]
pub(super) async fn status(api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let status = api.status().await;
        let readiness = api.parts.health.readiness(&status);
        let models = status.pools.iter().map(|pool| {
            let warm = pool.actors.iter().filter(|a| a.phase.is_warm()).count();
            json!({"id": pool.model_id, "warmActors": warm, "wantedActors": pool.wanted, "failing": pool.failing.is_some()})
        });
        let models: Vec<_> = models.collect();
        Ok(HttpResponse::Ok().json(json!({
            "status": if readiness.ready { "ok" } else { "degraded" },
            "node": status.node,
            "version": status.version,
            "uptimeMs": status.uptime_ms,
            "missing": readiness.missing,
            "broken": readiness.broken,
            "models": models,
        })))
    };
    api.answer("status", Dialect::LibreTranslate, answer).await
}

/// Metrics for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "Operation",
    responses((status = 200, description = "Metrics", content_type = "text/plain"))
)]
pub(super) async fn metrics(request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    let answer = async {
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let format = Format::wanted_by(accept.unwrap_or_default());
        let page = api.metrics(format).await;
        Ok(HttpResponse::Ok()
            .content_type(format.content_type())
            .body(page))
    };
    api.answer("metrics", Dialect::LibreTranslate, answer).await
}
