//! Streams in flight.

use super::Context;
use super::actor::Actor;
use super::api::Who;
use super::audit::{Deed, audit};
use super::error::ApiError;
use super::input::Parameters;
use crate::live::Entry;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use narrows_ledger::time;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most streams in one answer; those that began first come first.
const EXCHANGES_MAX: usize = 1_000;

/// The streams in flight that the actor may see, with their tokens and cost so far.
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let organization = actor.within(parameters.take("organization"))?;
    let named = [
        ("team", parameters.take("team")),
        ("user", parameters.take("user")),
        ("key", parameters.take("key")),
    ];
    let (provider, model) = (parameters.take("provider"), parameters.take("model"));
    parameters.end()?;
    let wanted = |entry: &Arc<Entry>| {
        let caller = &entry.caller;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let of = |name: &str| match name {
            "team" => caller.team.as_deref(),
            "user" => caller.user.as_deref(),
            _ => caller.key_id.as_deref(),
        };
        is(&organization, Some(&caller.organization))
            && named.iter().all(|(name, wanted)| is(wanted, of(name)))
            && is(&provider, entry.provider.as_ref().map(|provider| &*provider.name))
            && is(&model, entry.model.as_deref())
    };
    let mut all = context.gateway.live.all();
    all.retain(wanted);
    let total = all.len();
    let exchanges: Vec<Value> = all.iter().take(EXCHANGES_MAX).map(|entry| view(entry)).collect();
    note(&context, &actor, organization, query, exchanges.len()).await?;
    Ok(Json(json!({"total": total, "exchanges": exchanges})))
}

async fn note(
    context: &Arc<Context>,
    actor: &Actor,
    organization: Option<String>,
    detail: Option<String>,
    rows: usize,
) -> Result<(), ApiError> {
    let deed = Deed {
        action: "exchanges_read",
        target: "exchanges".to_owned(),
        organization,
        detail,
        rows: Some(rows),
    };
    audit(context, actor, deed).await
}

fn view(entry: &Entry) -> Value {
    let (caller, so_far) = (&entry.caller, entry.so_far());
    json!({
        "id": uuid::Uuid::from_u128(entry.id).hyphenated().to_string(),
        "started_at": time(entry.started_at_us),
        "organization": caller.organization,
        "team": caller.team,
        "user": caller.user,
        "service_account": caller.service_account,
        "project": caller.project,
        "key_id": caller.key_id,
        "client": entry.client,
        "dialect": entry.dialect,
        "provider": entry.provider.as_ref().map(|provider| &*provider.name),
        "model": entry.model,
        "input": so_far.usage.input(),
        "output": so_far.usage.output(),
        "is_estimate": so_far.is_estimate,
        "cost_nanousd": so_far.cost,
    })
}
