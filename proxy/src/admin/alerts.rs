//! Alerts and sums of decisions.

use super::Context;
use super::actor::Actor;
use super::api::{Who, store};
use super::audit::{Deed, audit};
use super::error::ApiError;
use super::input::{Body, Parameters, TIME_FORMS, object, point_us};
use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use narrows_ledger::{
    ALERT_PAGE_LIMIT, AlertFilter, AlertInfo, AlertPage, AlertState, DecisionDimension, DecisionFilter,
    DecisionRow, Delivery, LedgerError, Severity,
};
use narrows_policy::{Action, Stage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Alerts on a page, unless another number is asked for.
const PAGE_DEFAULT: usize = 100;

/// An acknowledgement of one alert.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    note: Option<String>,
}

/// An acknowledgement of several alerts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    ids: Vec<String>,
    note: Option<String>,
}

/// Alerts.
#[derive(Serialize)]
pub(super) struct Alerts {
    alerts: Vec<AlertInfo>,
}

/// Sums, with their names in order.
#[derive(Serialize)]
pub(super) struct Decisions {
    decisions: Vec<DecisionRow>,
}

fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> String {
    all.iter().map(|one| format!("`{}`", word(*one))).collect::<Vec<_>>().join(", ")
}

fn stage(parameters: &mut Parameters) -> Result<Option<Stage>, ApiError> {
    parameters.take_as("stage", &words(&Stage::ALL, Stage::as_str), Stage::from_word)
}

/// One page of alerts, the newest first.
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<AlertPage>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let states = "`open` or `acknowledged`";
    let filter = AlertFilter {
        from_us: parameters.take_as("from", TIME_FORMS, point_us)?,
        to_us: parameters.take_as("to", TIME_FORMS, point_us)?,
        organization: actor.within(parameters.take("organization"))?,
        rule: parameters.take("rule"),
        entity: parameters.take("entity"),
        stage: stage(&mut parameters)?,
        severity: parameters.take_as(
            "severity",
            &words(&Severity::ALL, Severity::as_str),
            Severity::from_word,
        )?,
        conversation: parameters.take("conversation"),
        state: parameters.take_as("state", states, AlertState::from_word)?,
        delivery: parameters.take_as(
            "delivery",
            &words(&Delivery::ALL, Delivery::as_str),
            Delivery::from_word,
        )?,
    };
    let accepted = format!("a number from 1 to {ALERT_PAGE_LIMIT}");
    let in_range = |text: &str| text.parse().ok().filter(|limit| (1..=ALERT_PAGE_LIMIT).contains(limit));
    let limit = parameters.take_as("limit", &accepted, in_range)?.unwrap_or(PAGE_DEFAULT);
    let id = |text: &str| uuid::Uuid::try_parse(text).ok().map(|id| id.to_string());
    let cursor = parameters.take_as("cursor", "the `next` of a page before", id)?;
    parameters.end()?;
    let organization = filter.organization.clone();
    let page = store(&context, move |ledger| ledger.alerts(&filter, limit, cursor.as_deref())).await?;
    let deed = Deed {
        action: "alerts_read",
        target: "alerts".to_owned(),
        organization,
        detail: query,
        rows: Some(page.alerts.len()),
    };
    audit(&context, &actor, deed).await?;
    Ok(Json(page))
}

/// One alert.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<AlertInfo>, ApiError> {
    let wanted = id.clone();
    let found = store(&context, move |ledger| ledger.alert(&wanted)).await?;
    let found = found.filter(|alert| actor.sees(&alert.organization));
    let deed = Deed {
        action: "alert_read",
        target: id.clone(),
        organization: found.as_ref().map(|alert| alert.organization.clone()),
        detail: None,
        rows: Some(usize::from(found.is_some())),
    };
    audit(&context, &actor, deed).await?;
    found.map(Json).ok_or_else(|| LedgerError::AlertNotFound { id }.into())
}

/// Says that somebody has looked at an alert.
pub(super) async fn acknowledge(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<AlertInfo>, ApiError> {
    let Note { note } = object(body)?;
    let wanted = Many { ids: vec![id.clone()], note };
    let mut alerts = acknowledged(&context, actor, wanted).await?;
    alerts.pop().map(Json).ok_or_else(|| LedgerError::AlertNotFound { id }.into())
}

/// Says that somebody has looked at several alerts: at all of them or, if one is not there, at none.
pub(super) async fn acknowledge_many(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Json<Alerts>, ApiError> {
    let wanted = object(body)?;
    Ok(Json(Alerts { alerts: acknowledged(&context, actor, wanted).await? }))
}

/// The ledger writes it into the trail, together with the change.
async fn acknowledged(
    context: &Arc<Context>,
    actor: Actor,
    wanted: Many,
) -> Result<Vec<AlertInfo>, ApiError> {
    store(context, move |ledger| {
        let note = wanted.note.as_deref().filter(|note| !note.is_empty());
        ledger.acknowledge_alerts(&wanted.ids, actor.organization(), note, actor.id())
    })
    .await
}

/// `rule,action`: dimensions by name, each once.
fn dimensions(text: &str) -> Option<Vec<DecisionDimension>> {
    let mut all: Vec<DecisionDimension> = Vec::new();
    for word in text.split(',') {
        let dimension = DecisionDimension::from_word(word.trim()).filter(|known| !all.contains(known))?;
        all.push(dimension);
    }
    Some(all)
}

/// How many exchanges were flagged, masked or refused, split as asked.
pub(super) async fn decisions(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Decisions>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let known =
        |allowed: &'static [&'static str]| move |text: &str| allowed.contains(&text).then(|| text.to_owned());
    let actions = format!("{} or `allow`", words(&Action::ALL, Action::as_str));
    let action = |text: &str| (text == "allow" || Action::from_word(text).is_some()).then(|| text.to_owned());
    let filter = DecisionFilter {
        from_us: parameters.take_as("from", TIME_FORMS, point_us)?,
        to_us: parameters.take_as("to", TIME_FORMS, point_us)?,
        organization: actor.within(parameters.take("organization"))?,
        kind: parameters.take_as("kind", "`policy` or `detector`", known(&["policy", "detector"]))?,
        rule: parameters.take("rule"),
        stage: stage(&mut parameters)?,
        action: parameters.take_as("action", &actions, action)?,
    };
    let names = DecisionDimension::ALL.map(DecisionDimension::as_str).join(", ");
    let accepted = format!("names of dimensions with commas between them, each once: {names}");
    let by = parameters.take_as("by", &accepted, dimensions)?.unwrap_or_default();
    parameters.end()?;
    let organization = filter.organization.clone();
    let decisions = store(&context, move |ledger| ledger.decisions(&filter, &by)).await?;
    let deed = Deed {
        action: "decisions_read",
        target: "decisions".to_owned(),
        organization,
        detail: query,
        rows: Some(decisions.len()),
    };
    audit(&context, &actor, deed).await?;
    Ok(Json(Decisions { decisions }))
}
