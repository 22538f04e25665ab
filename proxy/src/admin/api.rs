//! The administration API, `/admin/v1`: what holds for all of its endpoints.

use super::Context;
use super::actor::{self, Actor};
use super::endpoints::ENDPOINTS;
use super::error::ApiError;
use super::idempotency;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a request's body. The largest sensible one, a key with every list full, has less.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the body of a request about many keys: 5,000 with some 800 bytes each.
pub(super) const BULK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Time for one request, its body and its work included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

pub(super) fn router(context: Arc<Context>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let permitted = from_fn_with_state(endpoint, actor::permit);
        let limited = (endpoint.route)().layer(DefaultBodyLimit::max(endpoint.needs.body_max));
        let route = if endpoint.method != "get" {
            limited.route_layer(from_fn_with_state((Arc::clone(&context), endpoint), idempotency::once))
        } else {
            limited
        };
        router = router.route(endpoint.path, route.route_layer(permitted));
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        // The outermost, so that nobody without a token learns which paths and methods there are.
        .layer(from_fn_with_state(Arc::clone(&context), actor::authorize))
        .layer(from_fn(in_time))
        .with_state(context)
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            let message = format!(
                "the request took longer than {} seconds; a change may still have been made",
                REQUEST_TIME_MAX.as_secs()
            );
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message).into_response()
        }
    }
}

/// No such path.
pub(super) async fn not_found(uri: Uri) -> ApiError {
    let message = format!("no such path: {}", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

/// The path is there and takes another method, named in `allow`.
pub(super) async fn method_not_allowed(method: Method) -> ApiError {
    let message = format!("this path does not take {method}; see the allow header");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// Runs a question or a change on a thread that may wait for the disk.
pub(super) async fn store<T: Send + 'static>(
    context: &Arc<Context>,
    work: impl FnOnce(&narrows_ledger::Ledger) -> Result<T, narrows_ledger::LedgerError> + Send + 'static,
) -> Result<T, ApiError> {
    let context = Arc::clone(context);
    Ok(blocking(move || work(&context.gateway.ledger)).await??)
}

/// Does `work` on a thread that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => {
            tracing::error!("a request to the administration API failed: {error}");
            let message = "the gateway failed; its log says more";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "gateway_bug", message))
        }
    }
}

/// The state and the actor of a request, as handlers take them.
pub(super) type Who = Extension<Actor>;
