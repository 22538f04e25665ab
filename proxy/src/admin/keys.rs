//! Virtual keys. A secret is in the answer that makes it and nowhere else; those answers are never cached.

use super::Context;
use super::actor::Actor;
use super::api::{Who, store};
use super::error::ApiError;
use super::input::{self, Body, Parameters};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narrows_ledger::{CreatedKey, KeyInfo, Ledger, LedgerError, NewKey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most keys on a page. Without a limit all of them are listed.
const PAGE_MAX: usize = 1_000;

/// A key to be created, as callers write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
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

impl Asked {
    /// The key, made by `actor`; without another word it belongs to `organization` or, before that, to the actor's.
    pub(super) fn by(self, actor: &Actor, organization: &str) -> Result<NewKey, ApiError> {
        let expires_at_us = self.expires_at.as_deref().map(input::future_us).transpose()?;
        Ok(NewKey {
            name: self.name,
            organization: actor.within(self.organization)?.unwrap_or_else(|| organization.to_owned()),
            team: self.team,
            user: self.user,
            service_account: self.service_account,
            project: self.project,
            metadata: self.metadata.into_iter().collect(),
            models: self.models,
            expires_at_us,
        })
    }
}

/// How a key is to be rotated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    overlap: Option<String>,
}

pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let deleted = parameters.flag("deleted")?;
    let owners = [
        parameters.take("team"),
        parameters.take("user"),
        parameters.take("service_account"),
        parameters.take("project"),
    ];
    let accepted = format!("a number from 1 to {PAGE_MAX}");
    let in_range = |text: &str| text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    let limit: Option<usize> = parameters.take_as("limit", &accepted, in_range)?;
    let cursor = parameters.take("cursor");
    parameters.end()?;
    // With the deleted ones: a page may have ended with a key that is gone since.
    let mut keys = store(&context, |ledger| ledger.list_keys(true)).await?;
    keys.retain(|info| actor.sees(&info.organization));
    let keys = after(keys, cursor.as_deref())?;
    let wanted = |info: &KeyInfo| {
        if info.deleted_at_us.is_some() && !deleted {
            return false;
        }
        let names = [&info.team, &info.user, &info.service_account, &info.project];
        owners.iter().zip(names).all(|(wanted, name)| wanted.is_none() || wanted == name)
    };
    let mut keys: Vec<KeyInfo> = keys.into_iter().filter(wanted).collect();
    let more = limit.is_some_and(|limit| keys.len() > limit);
    keys.truncate(limit.unwrap_or(usize::MAX));
    let next = keys.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(json!({"keys": keys, "next": next})))
}

/// The keys behind the one that a page ended with.
fn after(mut keys: Vec<KeyInfo>, cursor: Option<&str>) -> Result<Vec<KeyInfo>, ApiError> {
    let Some(cursor) = cursor else { return Ok(keys) };
    let Some(place) = keys.iter().position(|info| info.id == cursor) else {
        return Err(ApiError::query(format!("`cursor` is `{cursor}`; it takes the `next` of a page before")));
    };
    keys.drain(..=place);
    Ok(keys)
}

pub(super) async fn create(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: Asked = input::object(body)?;
    let new = asked.by(&actor, &context.gateway.snapshot().nobody.organization)?;
    let created = store(&context, move |ledger| ledger.create_key(&new, actor.id())).await?;
    let location = HeaderValue::from_str(&format!("/admin/v1/keys/{}", created.info.id)).ok();
    let mut response = secret(StatusCode::CREATED, &created);
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A key that is there for the actor; another organization's is as good as none.
pub(super) fn own(ledger: &Ledger, actor: &Actor, id: &str) -> Result<KeyInfo, LedgerError> {
    let info = ledger.show_key(id)?;
    let found = actor.sees(&info.organization).then_some(info);
    found.ok_or_else(|| LedgerError::KeyNotFound { id: id.to_owned() })
}

/// A change of one key that is there for the actor.
async fn change<T: Send + 'static>(
    context: &Arc<Context>,
    actor: Actor,
    id: String,
    work: impl FnOnce(&Ledger, &str, &str) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, ApiError> {
    // A key never changes its organization, so looking first and changing then is safe.
    store(context, move |ledger| {
        own(ledger, &actor, &id)?;
        work(ledger, &id, actor.id())
    })
    .await
}

pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<KeyInfo>, ApiError> {
    store(&context, move |ledger| own(ledger, &actor, &id)).await.map(Json)
}

pub(super) async fn delete(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<KeyInfo>, ApiError> {
    change(&context, actor, id, |ledger, id, by| ledger.delete_key(id, by)).await.map(Json)
}

pub(super) async fn disable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<KeyInfo>, ApiError> {
    change(&context, actor, id, |ledger, id, by| ledger.set_key_disabled(id, true, by)).await.map(Json)
}

pub(super) async fn enable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<KeyInfo>, ApiError> {
    change(&context, actor, id, |ledger, id, by| ledger.set_key_disabled(id, false, by)).await.map(Json)
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
    let rotated =
        change(&context, actor, id, move |ledger, id, by| ledger.rotate_key(id, overlap, by)).await?;
    Ok(secret(StatusCode::OK, &rotated))
}

/// A key with its secret: the only time it is seen.
fn secret(status: StatusCode, created: &CreatedKey) -> Response {
    uncached(status, with_secret(created))
}

/// The JSON form of a key with its secret.
pub(super) fn with_secret(created: &CreatedKey) -> Value {
    let mut object = json!(created.info);
    if let Value::Object(fields) = &mut object {
        fields.insert("key".to_owned(), json!(created.key.expose()));
    }
    object
}

/// An answer that nobody keeps.
pub(super) fn uncached(status: StatusCode, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
