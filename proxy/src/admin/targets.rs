//! Providers and targets: how they do, and taking them out of use by hand.

use super::Context;
use super::actor::Actor;
use super::api::Who;
use super::audit::{Deed, audit};
use super::error::ApiError;
use crate::snapshot::Snapshot;
use crate::targets::breaker::Phase;
use crate::targets::health::{Health, Mode, now_ms};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) async fn list(State(context): State<Arc<Context>>) -> Json<Value> {
    let snapshot = context.gateway.snapshot();
    let targets: Vec<Value> = snapshot.health.iter().map(|health| view(&snapshot, health)).collect();
    Json(json!({"targets": targets}))
}

pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let snapshot = context.gateway.snapshot();
    Ok(Json(view(&snapshot, find(&snapshot, &name)?)))
}

pub(super) async fn drain(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set(&context, &actor, &name, Mode::Draining).await
}

pub(super) async fn disable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set(&context, &actor, &name, Mode::Disabled).await
}

pub(super) async fn enable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    set(&context, &actor, &name, Mode::Enabled).await
}

async fn set(context: &Arc<Context>, actor: &Actor, name: &str, mode: Mode) -> Result<Json<Value>, ApiError> {
    let snapshot = context.gateway.snapshot();
    let health = find(&snapshot, name)?;
    health.set_mode(mode);
    let detail = Some(mode.as_str().to_owned());
    audit(context, actor, Deed { action: "target_mode", target: name.to_owned(), detail, ..Deed::default() })
        .await?;
    Ok(Json(view(&snapshot, health)))
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Arc<Health>, ApiError> {
    snapshot.health.get(name).ok_or_else(|| {
        let message = format!("no provider or target is called `{name}`; GET /admin/v1/targets lists them");
        ApiError::new(StatusCode::NOT_FOUND, "target_not_found", message)
    })
}

fn view(snapshot: &Snapshot, health: &Health) -> Value {
    let now = now_ms();
    let phase = health.phase(now);
    let state = match phase {
        Phase::Closed => "healthy",
        Phase::Open => "set_aside",
        Phase::HalfOpen => "probing",
    };
    let left = health.until_ms().saturating_sub(now).div_ceil(1_000);
    json!({
        "name": &*health.name,
        "models": snapshot.models_with(health),
        "mode": health.mode().as_str(),
        "state": state,
        "set_aside_seconds": (phase == Phase::Open).then_some(left),
        "times_set_aside": health.opened.load(Ordering::Relaxed),
    })
}
