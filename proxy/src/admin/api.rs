//! The administration API, `/admin/v1`: who may use it, its paths, and what holds for all of them.

use super::error::ApiError;
use super::{Context, config, keys, openapi, reports, status};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a request's body. The largest sensible one, a key with every list full, has less.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Time for one request, its body and its work included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// The public id of the admin token that made a request; it is written beside every change.
#[derive(Clone)]
pub(super) struct Actor(pub(super) Arc<str>);

pub(super) fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/keys/{id}", get(keys::show).delete(keys::delete))
        .route("/admin/v1/keys/{id}/disable", post(keys::disable))
        .route("/admin/v1/keys/{id}/enable", post(keys::enable))
        .route("/admin/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/admin/v1/usage", get(reports::usage))
        .route("/admin/v1/records", get(reports::records))
        .route("/admin/v1/records/{id}", get(reports::record))
        .route("/admin/v1/config", get(config::show))
        .route("/admin/v1/config/reload", post(config::reload))
        .route("/admin/v1/status", get(status::status))
        .route("/admin/v1/openapi.json", get(openapi::document))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // The outermost, so that nobody without a token learns which paths and methods there are.
        .layer(from_fn_with_state(Arc::clone(&context), authorize))
        .layer(from_fn(in_time))
        .with_state(context)
}

/// Lets in who presents an admin token. The ledger compares in constant time.
async fn authorize(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let actor = {
        let keys = context.gateway.ledger.keys();
        bearer(request.headers()).and_then(|token| keys.verify_admin(token)).map(Arc::from)
    };
    match actor {
        Some(actor) => {
            request.extensions_mut().insert(Actor(actor));
            next.run(request).await
        }
        None => ApiError::unauthorized().into_response(),
    }
}

/// The bearer token of a request that carries exactly one credential.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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
