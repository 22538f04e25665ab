//! Kept prompts and answers: read, searched, exported, held, erased. Each of it is written into the trail, with its reason,
//! before anything is said.

use super::Context;
use super::actor::Actor;
use super::api::{Who, blocking, store};
use super::audit::{Deed, audit};
use super::error::ApiError;
use super::input::{self, Body, Parameters, TIME_FORMS, point_us};
use crate::content::export::{self, Asked};
use crate::content::view;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use narrows_ledger::{ContentFilter, ErasureSubject, Hold, LedgerError, NewHold, Record};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of content after which a page of records shows no more of it: 32 MiB.
const JOINED_BYTES_MAX: usize = 32 << 20;
/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 512;

/// Why somebody looks at content; there is no looking without.
pub(super) fn purpose(parameters: &mut Parameters) -> Result<String, ApiError> {
    let read = |text: &str| {
        let fits = !text.trim().is_empty() && text.len() <= REASON_BYTES_MAX;
        fits.then(|| text.to_owned())
    };
    let purpose = parameters.take_as("purpose", "a text of at most 512 bytes", read)?;
    purpose.ok_or_else(|| {
        ApiError::query("say why you look at content: `purpose=…`; it is written into the trail")
    })
}

fn record_id(id: &str) -> Result<u128, ApiError> {
    let number = uuid::Uuid::try_parse(id).map(|id| id.as_u128());
    number.map_err(|_malformed| {
        let message =
            format!("`{id}` is not a record's id; it is a UUID, the x-narrows-request-id of an answer");
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_id", message)
    })
}

/// What was said in one exchange.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let purpose = purpose(&mut parameters)?;
    parameters.end()?;
    let number = record_id(&id)?;
    let found = store(&context, move |ledger| ledger.content(number)).await?;
    let found = found.filter(|content| actor.sees(&content.organization));
    let deed = Deed {
        action: "content_read",
        target: id.clone(),
        organization: found.as_ref().map(|content| content.organization.clone()),
        detail: Some(purpose),
        rows: Some(usize::from(found.is_some())),
    };
    audit(&context, &actor, deed).await?;
    match found {
        Some(content) => Ok(Json(view::content(&content))),
        None => {
            let message = format!("no content was kept of {id}");
            Err(ApiError::new(StatusCode::NOT_FOUND, "content_not_found", message))
        }
    }
}

fn filter(parameters: &mut Parameters, actor: &Actor) -> Result<ContentFilter, ApiError> {
    Ok(ContentFilter {
        organization: actor.within(parameters.take("organization"))?,
        team: parameters.take("team"),
        user: parameters.take("user"),
        service_account: parameters.take("service_account"),
        from_us: parameters.take_as("from", TIME_FORMS, point_us)?,
        to_us: parameters.take_as("to", TIME_FORMS, point_us)?,
    })
}

fn cursor(parameters: &mut Parameters) -> Result<Option<u128>, ApiError> {
    let read = |text: &str| uuid::Uuid::try_parse(text).ok().map(|id| id.as_u128());
    parameters.take_as("cursor", "the `next` of an answer before", read)
}

/// Exchanges in which a text stands.
pub(super) async fn search(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let detail = parameters.told();
    purpose(&mut parameters)?;
    let filter = filter(&mut parameters, &actor)?;
    let before = cursor(&mut parameters)?;
    let needle =
        parameters.take("contains").ok_or_else(|| ApiError::query("say what to look for: `contains=…`"))?;
    parameters.end()?;
    let organization = filter.organization.clone();
    let found = store(&context, move |ledger| view::search(ledger, &filter, &needle, before)).await?;
    let answer = found.json();
    let entries = view::entries(organization, found.by_organization);
    leave(&context, &actor, ("content_searched", "content"), &detail, entries).await?;
    Ok(Json(answer))
}

/// A part of an export: JSON Lines, with a signed manifest at the end.
pub(super) async fn export(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let detail = parameters.told();
    let purpose = purpose(&mut parameters)?;
    let filter = filter(&mut parameters, &actor)?;
    let before = cursor(&mut parameters)?;
    parameters.end()?;
    let organization = filter.organization.clone();
    let (shared, by) = (context.gateway.shared().clone(), actor.id().to_owned());
    let made = blocking(move || {
        let snapshot = shared.snapshot();
        let master = snapshot.content.master().ok_or_else(no_master)?;
        let now_us = Timestamp::now().as_microsecond();
        let asked = Asked { filter: &filter, before, reason: &purpose, actor: &by, now_us };
        export::part(&shared.ledger, master, &asked).map_err(ApiError::from)
    });
    let part = made.await??;
    let entries = view::entries(organization, part.by_organization);
    leave(&context, &actor, ("content_exported", "content"), &detail, entries).await?;
    Ok(([(header::CONTENT_TYPE, "application/jsonl"), (header::CACHE_CONTROL, "no-store")], part.text)
        .into_response())
}

/// Writes into the trail what was done to a target, for each organization that it was about.
async fn leave(
    context: &Arc<Context>,
    actor: &Actor,
    (action, target): (&'static str, &str),
    detail: &str,
    entries: Vec<(Option<String>, usize)>,
) -> Result<(), ApiError> {
    for (organization, rows) in entries {
        let (target, detail, rows) = (target.to_owned(), Some(detail.to_owned()), Some(rows));
        audit(context, actor, Deed { action, target, organization, detail, rows }).await?;
    }
    Ok(())
}

fn no_master() -> ApiError {
    let message = "there is no master key, so content can be neither opened nor signed for";
    ApiError::new(StatusCode::CONFLICT, "no_master_key", message)
}

/// Whose content is to be erased.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    organization: Option<String>,
    user: Option<String>,
    service_account: Option<String>,
    record: Option<String>,
    reason: String,
}

/// The organization that something is done in: the one that is named, the token's, that of the exchange it is about, or
/// the configuration's.
async fn organization(
    context: &Arc<Context>,
    actor: &Actor,
    named: Option<String>,
    record: Option<u128>,
) -> Result<String, ApiError> {
    let mut found = actor.within(named)?;
    if let (None, Some(record)) = (&found, record) {
        found = store(context, move |ledger| ledger.content_organization(record)).await?;
    }
    Ok(found.unwrap_or_else(|| context.gateway.snapshot().nobody.organization.clone()))
}

fn checked_reason(reason: &str) -> Result<(), ApiError> {
    match reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        true => Err(ApiError::body("`reason` has 1 to 512 bytes")),
        false => Ok(()),
    }
}

/// Erases somebody's content. The ledger writes it into the trail, together with the change.
pub(super) async fn erase(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let asked: Erase = input::object(body)?;
    checked_reason(&asked.reason)?;
    let subject = match (asked.user, asked.service_account, asked.record) {
        (Some(user), None, None) => ErasureSubject::User(user),
        (None, Some(account), None) => ErasureSubject::ServiceAccount(account),
        (None, None, Some(id)) => ErasureSubject::Record(record_id(&id)?),
        _ => return Err(ApiError::body("name one of `user`, `service_account` and `record`")),
    };
    let record = match &subject {
        ErasureSubject::Record(id) => Some(*id),
        ErasureSubject::User(_) | ErasureSubject::ServiceAccount(_) => None,
    };
    let organization = organization(&context, &actor, asked.organization, record).await?;
    let done = store(&context, move |ledger| {
        ledger.erase_content(&organization, &subject, &asked.reason, actor.id())
    });
    Ok(Json(json!(done.await?)))
}

/// What is to be held.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldAsked {
    organization: Option<String>,
    team: Option<String>,
    user: Option<String>,
    record: Option<String>,
    from: Option<String>,
    to: Option<String>,
    reason: String,
}

/// Holds content.
pub(super) async fn hold(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: HoldAsked = input::object(body)?;
    checked_reason(&asked.reason)?;
    let time = |name: &str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => match point_us(&text) {
            Some(at) => Ok(Some(at)),
            None => Err(ApiError::body(format!("`{name}` is `{text}`; it takes {TIME_FORMS}"))),
        },
    };
    let record = asked.record.as_deref().map(record_id).transpose()?;
    let held = NewHold {
        organization: organization(&context, &actor, asked.organization, record).await?,
        team: asked.team,
        user: asked.user,
        record,
        from_us: time("from", asked.from)?,
        to_us: time("to", asked.to)?,
        reason: asked.reason,
    };
    let made = store(&context, move |ledger| ledger.hold_content(&held, actor.id())).await?;
    Ok((StatusCode::CREATED, Json(json!(made))).into_response())
}

/// Holds that are in force; with `released=true` also those that were.
pub(super) async fn holds(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let organization = actor.within(parameters.take("organization"))?;
    let released = parameters.flag("released")?;
    parameters.end()?;
    let holds =
        store(&context, move |ledger| ledger.content_holds(organization.as_deref(), released)).await?;
    Ok(Json(json!({"holds": holds})))
}

/// One hold.
pub(super) async fn show_hold(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!(store(&context, move |ledger| own(&actor, ledger.content_hold(&id)?)).await?)))
}

/// A hold that is there for the actor; any other is as good as none.
fn own(actor: &Actor, hold: Hold) -> Result<Hold, LedgerError> {
    match actor.sees(&hold.held.organization) {
        true => Ok(hold),
        false => Err(LedgerError::HoldNotFound { id: hold.id }),
    }
}

/// Why a hold is released.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    reason: String,
}

/// Releases a hold.
pub(super) async fn release(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    // Looked for first: whether there is such a hold does not depend on what is said about it.
    let (shown, who) = (id.clone(), actor.clone());
    store(&context, move |ledger| own(&who, ledger.content_hold(&shown)?)).await?;
    let Release { reason } = input::object(body)?;
    checked_reason(&reason)?;
    Ok(Json(json!(store(&context, move |ledger| ledger.release_content(&id, &reason, actor.id())).await?)))
}

/// Records together with their content: who asked which model what, and what it cost.
pub(super) async fn with_records(
    context: &Arc<Context>,
    actor: &Actor,
    records: Vec<Record>,
    detail: &str,
    organization: Option<String>,
) -> Result<Vec<Value>, ApiError> {
    let mut by_organization = BTreeMap::new();
    for record in &records {
        *by_organization.entry(record.caller.organization.clone()).or_default() += 1;
    }
    let joined = store(context, move |ledger| {
        let mut bytes = 0;
        let join = |record: Record| {
            let fits = bytes < JOINED_BYTES_MAX && !record.content.is_none();
            let content = if fits { ledger.content(record.id) } else { Ok(None) };
            let mut joined = json!(record);
            if let Err(LedgerError::ContentKey(cause)) = content {
                joined["content"]["unopened"] = json!(cause);
            } else if let Some(content) = content? {
                bytes += content.opened_bytes();
                joined["content"] = view::content(&content);
            } else if !record.content.is_none() {
                joined["content"]["left_out"] = json!(true);
            }
            Ok(joined)
        };
        records.into_iter().map(join).collect::<Result<Vec<Value>, LedgerError>>()
    });
    let joined = joined.await?;
    let entries = view::entries(organization, by_organization);
    leave(context, actor, ("content_read", "records"), detail, entries).await?;
    Ok(joined)
}
