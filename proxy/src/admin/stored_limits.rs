//! One budget or rate limit: looked at, and, where it stands in the store, written and deleted. What the configuration's file
//! says is changed there.

use super::Context;
use super::api::{Who, blocking, store};
use super::directory::seen;
use super::error::ApiError;
use super::input::{self, Body};
use super::limits;
use crate::config::Problem;
use crate::config::limits::stored;
use crate::reload;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narrows_ledger::{Expected, LedgerError, LimitKind, StoredLimit, time};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a path is about.
pub(super) trait Of: Send + 'static {
    /// The kind of its limits.
    const KIND: LimitKind;
}

/// `/budgets`.
pub(super) enum Budgets {}
/// `/limits`.
pub(super) enum RateLimits {}

impl Of for Budgets {
    const KIND: LimitKind = LimitKind::Budget;
}

impl Of for RateLimits {
    const KIND: LimitKind = LimitKind::RateLimit;
}

pub(super) async fn show<K: Of>(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let asked = name.clone();
    let found = store(&context, move |ledger| match ledger.limit(K::KIND, &asked) {
        Ok(limit) => Ok(Some(limit)),
        Err(LedgerError::LimitNotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    });
    answer(&context, StatusCode::OK, K::KIND, &name, found.await?.as_ref())
}

pub(super) async fn put<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let expected = expected(&headers)?;
    let document: Map<String, Value> = input::object(body)?;
    let document = Value::Object(document).to_string();
    let is_shared = changeable(&context, K::KIND, &name)?;
    let problems = stored::problems(K::KIND, &name, &document, is_shared);
    if !problems.is_empty() {
        return Err(invalid(K::KIND, &problems));
    }
    let target = name.clone();
    let written = store(&context, move |ledger| {
        let is_new = matches!(ledger.limit(K::KIND, &target), Err(LedgerError::LimitNotFound { .. }));
        Ok((is_new, ledger.put_limit(K::KIND, &target, &document, expected, actor.id())?))
    });
    let (is_new, limit) = written.await?;
    in_force(&context).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    answer(&context, status, K::KIND, &name, Some(&limit))
}

pub(super) async fn delete<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let expected = expected(&headers)?;
    changeable(&context, K::KIND, &name)?;
    let target = name.clone();
    let gone = store(&context, move |ledger| ledger.delete_limit(K::KIND, &target, expected, actor.id()));
    let view = Json(Value::Object(stored_view(&gone.await?)));
    in_force(&context).await?;
    Ok(view.into_response())
}

/// Refuses to change what stands in the file, and a gateway that takes nothing over. Whether counters are shared.
fn changeable(context: &Context, kind: LimitKind, name: &str) -> Result<bool, ApiError> {
    let Some(running) = context.gateway.configuration.running() else {
        let message = "this gateway runs with settings that cannot be replaced";
        return Err(ApiError::new(StatusCode::CONFLICT, "no_configuration", message));
    };
    if stored::is_in_file(&running.settings, kind, name) {
        let section = stored::section(kind);
        let message =
            format!("`{section}.{name}` stands in the configuration's file; change it there, or take it out");
        return Err(ApiError::new(StatusCode::CONFLICT, "declared_in_file", message));
    }
    Ok(running.settings.counters.is_some())
}

fn invalid(kind: LimitKind, problems: &[Problem]) -> ApiError {
    let said: Vec<String> = problems
        .iter()
        .map(|problem| match problem.suggestion.as_str() {
            "" => format!("{}: {}", problem.path, problem.message),
            suggestion => format!("{}: {} ({suggestion})", problem.path, problem.message),
        })
        .collect();
    let code = match kind {
        LimitKind::Budget => "invalid_budget",
        LimitKind::RateLimit => "invalid_rate_limit",
    };
    ApiError::new(StatusCode::BAD_REQUEST, code, said.join("; "))
}

/// The next request meets what was written.
async fn in_force(context: &Arc<Context>) -> Result<(), ApiError> {
    let gateway = context.gateway.clone();
    blocking(move || reload::limits::refresh(&gateway)).await?.map(drop).map_err(|missed| {
        let message = format!(
            "the change is in the store and not yet in force; the gateway tries again within a second: {}",
            missed.describe()
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_in_force", message)
    })
}

/// The version that a change is meant for (RFC 9110 §13.1): `if-match` with a tag or `*`, `if-none-match: *` for nothing.
fn expected(headers: &HeaderMap) -> Result<Expected, ApiError> {
    if let Some(tag) = headers.get(header::IF_NONE_MATCH) {
        if tag == "*" && !headers.contains_key(header::IF_MATCH) {
            return Ok(Expected::None);
        }
        return Err(ApiError::query("`if-none-match` takes *, and no `if-match` beside it"));
    }
    Ok(match seen(headers)? {
        Some(version) => Expected::Version(version),
        None if headers.contains_key(header::IF_MATCH) => Expected::Some,
        None => Expected::Any,
    })
}

fn answer(
    context: &Context,
    status: StatusCode,
    kind: LimitKind,
    name: &str,
    stored: Option<&StoredLimit>,
) -> Result<Response, ApiError> {
    let view = limits::one(context, kind, name);
    let view = view.ok_or_else(|| LedgerError::LimitNotFound { kind, name: name.to_owned() })?;
    let Value::Object(mut view) = view else { return Err(ApiError::body("not an object")) };
    // One of the file hides one of the store with the same name.
    let stored = stored.filter(|_| view["source"] == "store");
    if let Some(stored) = stored {
        view.extend(stored_view(stored));
    }
    let mut response = (status, Json(Value::Object(view))).into_response();
    let tag = stored.and_then(|stored| HeaderValue::from_str(&format!("\"{}\"", stored.version)).ok());
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

fn stored_view(stored: &StoredLimit) -> Map<String, Value> {
    let document: Value = serde_json::from_str(&stored.document).unwrap_or_default();
    let view = json!({
        "name": stored.name,
        "document": document,
        "version": stored.version,
        "created_at": time(stored.created_at_us),
        "updated_at": time(stored.updated_at_us),
        "updated_by": stored.updated_by,
    });
    match view {
        Value::Object(view) => view,
        _ => Map::new(),
    }
}
