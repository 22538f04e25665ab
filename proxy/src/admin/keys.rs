//! Virtual keys. A secret is in the answer that makes it and nowhere else; those answers are never cached.

use super::Context;
use super::api::{Who, store};
use super::error::ApiError;
use super::input::{self, Body, Parameters, TIME_FORMS};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use narrows_ledger::{CreatedKey, NewKey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A key to be created, as callers write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    organization: Option<String>,
    team: Option<String>,
    user: Option<String>,
    service_account: Option<String>,
    project: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    models: Option<Vec<String>>,
    expires_at: Option<String>,
}

/// How a key is to be rotated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    overlap: Option<String>,
}

pub(super) async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let deleted = parameters.flag("deleted")?;
    parameters.end()?;
    let keys = store(&context, move |ledger| ledger.list_keys(deleted)).await?;
    Ok(Json(json!({"keys": keys})))
}

pub(super) async fn create(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: Asked = input::object(body)?;
    let expires_at_us = asked.expires_at.as_deref().map(future_us).transpose()?;
    let organization = asked.organization;
    let new = NewKey {
        name: asked.name,
        organization: organization.unwrap_or_else(|| context.gateway.snapshot().nobody.organization.clone()),
        team: asked.team,
        user: asked.user,
        service_account: asked.service_account,
        project: asked.project,
        metadata: asked.metadata.into_iter().collect(),
        models: asked.models,
        expires_at_us,
    };
    let created = store(&context, move |ledger| ledger.create_key(&new, &actor.0)).await?;
    let location = HeaderValue::from_str(&format!("/admin/v1/keys/{}", created.info.id)).ok();
    let mut response = secret(StatusCode::CREATED, &created);
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!(store(&context, move |ledger| ledger.show_key(&id)).await?)))
}

pub(super) async fn delete(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!(store(&context, move |ledger| ledger.delete_key(&id, &actor.0)).await?)))
}

pub(super) async fn disable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!(store(&context, move |ledger| ledger.set_key_disabled(&id, true, &actor.0)).await?)))
}

pub(super) async fn enable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!(store(&context, move |ledger| ledger.set_key_disabled(&id, false, &actor.0)).await?)))
}

pub(super) async fn rotate(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let rotation: Rotation = input::object(body)?;
    let overlap = rotation.overlap.as_deref().unwrap_or("0s");
    let Some(overlap) = input::span(overlap) else {
        return Err(ApiError::body(format!(
            "`overlap` is `{overlap}`; it takes a length of time: 30m, 24h, 7d"
        )));
    };
    let rotated = store(&context, move |ledger| ledger.rotate_key(&id, overlap, &actor.0)).await?;
    Ok(secret(StatusCode::OK, &rotated))
}

/// A time to come, UTC microseconds since the epoch.
fn future_us(text: &str) -> Result<i64, ApiError> {
    let now_us = Timestamp::now().as_microsecond();
    let at_us = input::span(text)
        .and_then(|span| now_us.checked_add(i64::try_from(span.as_micros()).ok()?))
        .or_else(|| input::point_us(text))
        .ok_or_else(|| {
            ApiError::body(format!("`expires_at` is `{text}`; it takes a length of time (90d), {TIME_FORMS}"))
        })?;
    if at_us <= now_us {
        return Err(ApiError::body(format!("`expires_at` is `{text}`, which is in the past")));
    }
    Ok(at_us)
}

/// A key with its secret: the only time it is seen.
fn secret(status: StatusCode, created: &CreatedKey) -> Response {
    let mut object = json!(created.info);
    if let Value::Object(fields) = &mut object {
        fields.insert("key".to_owned(), json!(created.key.expose()));
    }
    let mut response = (status, Json(object)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
