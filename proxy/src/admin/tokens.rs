//! Admin tokens. A secret is in the answer that makes it and nowhere else; that answer is never cached.

use super::Context;
use super::actor::Actor;
use super::api::{Who, store};
use super::error::ApiError;
use super::input::{self, Body, Parameters};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narrows_ledger::{AdminInfo, Ledger, LedgerError, NewAdminToken, Role};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A token to be created, as callers write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    organization: Option<String>,
    role: Option<Role>,
    expires_at: Option<String>,
}

/// Whether a token is there for the actor: one of another organization, or of every one, is not for one of a single
/// organization.
fn there(actor: &Actor, info: &AdminInfo) -> bool {
    match &info.organization {
        Some(organization) => actor.sees(organization),
        None => actor.organization().is_none(),
    }
}

/// A token that is there for the actor; any other is as good as none.
fn own(ledger: &Ledger, actor: &Actor, id: &str) -> Result<AdminInfo, LedgerError> {
    let info = ledger.show_admin_token(id)?;
    let found = there(actor, &info).then_some(info);
    found.ok_or_else(|| LedgerError::AdminTokenNotFound { id: id.to_owned() })
}

pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    Parameters::new(query.as_deref())?.end()?;
    let mut tokens = store(&context, Ledger::list_admin_tokens).await?;
    tokens.retain(|info| there(&actor, info));
    Ok(Json(json!({"tokens": tokens})))
}

pub(super) async fn create(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: Asked = input::object(body)?;
    if asked.role == Some(Role::Content) {
        // Whoever may change the gateway is not thereby one who may read what is said through it.
        let message = "a token that may read content is made where the store is: `narrows tokens create --role content`";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "role_refused", message));
    }
    let new = NewAdminToken {
        name: asked.name,
        // A token of one organization makes tokens of that one only.
        organization: actor.within(asked.organization)?,
        role: asked.role.unwrap_or(Role::Read),
        expires_at_us: asked.expires_at.as_deref().map(input::future_us).transpose()?,
    };
    let created = store(&context, move |ledger| ledger.create_admin_token(&new, actor.id())).await?;
    let mut object = json!(created.info);
    if let Value::Object(fields) = &mut object {
        fields.insert("token".to_owned(), json!(created.token.expose()));
    }
    let mut response = (StatusCode::CREATED, Json(object)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::from_str(&format!("/admin/v1/tokens/{}", created.info.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!(store(&context, move |ledger| own(ledger, &actor, &id)).await?)))
}

pub(super) async fn revoke(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let revoked = store(&context, move |ledger| {
        own(ledger, &actor, &id)?;
        ledger.revoke_admin_token(&id, actor.id())
    });
    Ok(Json(json!(revoked.await?)))
}
