//! The listener of health and metrics: plain HTTP, without authentication.

use super::Context;
use super::api::{method_not_allowed, not_found};
use crate::gateway::Gateway;
use crate::telemetry::metrics::scrape::CONTENT_TYPE;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;

pub(super) fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(context)
}

/// This answer is the proof.
async fn alive() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// Whether requests may be sent here. What is degraded is told and does not make it unready: another instance would
/// be no better off, and exchanges are still served.
async fn ready(State(context): State<Arc<Context>>) -> Response {
    let stopping = context.gateway.is_leaving();
    let (status, word) =
        if stopping { (StatusCode::SERVICE_UNAVAILABLE, "stopping") } else { (StatusCode::OK, "ready") };
    (status, Json(json!({"status": word, "degraded": degraded(&context.gateway)}))).into_response()
}

/// What does not work as it should, as stable words.
pub(super) fn degraded(gateway: &Gateway) -> Vec<&'static str> {
    let ledger = gateway.ledger.stats();
    let full = ledger.queue_depth >= ledger.queue_limit;
    let unkept = gateway.snapshot().audit_required && !gateway.ledger.accepting();
    let stale = gateway.credentials.stale().is_some();
    let uncounted = gateway.limits.shared().is_some_and(|counters| !counters.figures().connected);
    let parts = [
        (stale, "credentials_stale"),
        (ledger.failing, "store_failing"),
        (uncounted, "counters_unreachable"),
        (full, "records_queue_full"),
        (unkept, "refusing_for_want_of_records"),
        (gateway.overload.shed() > 0, "overloaded"),
        (gateway.configuration.is_rejected(), "configuration_rejected"),
    ];
    parts.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect()
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let gateway = &context.gateway;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], gateway.metrics.render(gateway.shared())).into_response()
}
