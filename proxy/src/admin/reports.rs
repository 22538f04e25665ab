//! Usage and records: questions to the store.

use super::Context;
use super::actor::Actor;
use super::api::{Who, store};
use super::audit::{Deed, audit};
use super::content;
use super::error::ApiError;
use super::input::{self, Parameters, TIME_FORMS, point_us};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narrows_ledger::query::PAGE_LIMIT;
use narrows_ledger::{
    Cursor, Decided, Dimension, Filter, Ledger, PageRequest, PriceUse, Record, Role, Search, UsageRow,
};
use narrows_policy::{Reason, TrafficClass};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Records on a page, unless another number is asked for.
const PAGE_DEFAULT: usize = 100;
/// Most records on a page that shows what was said.
const CONTENT_PAGE_LIMIT: usize = 100;

/// Sums, with their names in the order of records; a `Value` would sort them.
#[derive(Serialize)]
pub(super) struct Usage {
    usage: Vec<UsageRow>,
    /// The versions of the prices, if they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<Vec<PriceUse>>,
}

/// A page of records.
#[derive(Serialize)]
pub(super) struct Records {
    records: Vec<Record>,
    next: Option<String>,
}

/// The parameters that both questions take, within what the actor may see.
fn filter(parameters: &mut Parameters, actor: &Actor) -> Result<Filter, ApiError> {
    Ok(Filter {
        from_us: parameters.take_as("from", TIME_FORMS, point_us)?,
        to_us: parameters.take_as("to", TIME_FORMS, point_us)?,
        organization: actor.within(parameters.take("organization"))?,
        team: parameters.take("team"),
        user: parameters.take("user"),
        service_account: parameters.take("service_account"),
        project: parameters.take("project"),
        key: parameters.take("key"),
        model: parameters.take("model"),
        provider: parameters.take("provider"),
        client: parameters.take("client"),
        dialect: parameters.take("dialect"),
        reason: parameters.take_as("reason", "a word as records have it (`completed`)", Reason::from_word)?,
    })
}

/// What single records can be searched by beside that.
fn search(parameters: &mut Parameters, actor: &Actor) -> Result<Search, ApiError> {
    let outcomes = "`completed`, `caller`, `policy`, `provider` or `gateway`";
    let statuses = "a status (404) or a class of them (4xx)";
    let classes = "`1`, `2a`, `2b`, `3`, `4` or `mcp`";
    let decisions = "`allow`, `log`, `mask` or `block`";
    let dollars = "dollars (0.25)";
    Ok(Search {
        filter: filter(parameters, actor)?,
        conversation: parameters.take("conversation"),
        model_requested: parameters.take("model_requested"),
        decision: parameters.take_as("decision", decisions, Decided::from_word)?,
        rule: parameters.take("rule"),
        entity: parameters.take("entity"),
        outcome: parameters.take_as("outcome", outcomes, input::outcome)?,
        status: parameters.take_as("status", statuses, input::statuses)?,
        cost_from_nanousd: parameters.take_as("cost_from", dollars, input::nano_usd)?,
        cost_to_nanousd: parameters.take_as("cost_to", dollars, input::nano_usd)?,
        class: parameters.take_as("class", classes, TrafficClass::from_word)?,
    })
}

/// `team,model`: dimensions by name, each once.
fn dimensions(text: &str) -> Option<Vec<Dimension>> {
    let mut all: Vec<Dimension> = Vec::new();
    for word in text.split(',') {
        let dimension = Dimension::from_word(word.trim()).filter(|dimension| !all.contains(dimension))?;
        all.push(dimension);
    }
    Some(all)
}

/// The sums of what matches, split as asked.
pub(super) async fn usage(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Usage>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let filter = filter(&mut parameters, &actor)?;
    let words = Dimension::ALL.map(Dimension::as_str).join(", ");
    let accepted = format!("names of dimensions with commas between them, each once: {words}");
    let by = parameters.take_as("by", &accepted, dimensions)?.unwrap_or_default();
    let truth = |text: &str| text.parse::<bool>().ok();
    let with_prices = parameters.take_as("prices", "true or false", truth)?.unwrap_or(false);
    parameters.end()?;
    let organization = filter.organization.clone();
    let ask = move |ledger: &Ledger| {
        let usage = ledger.usage(&filter, &by)?;
        let prices = with_prices.then(|| ledger.price_uses(&filter)).transpose()?;
        Ok((usage, prices))
    };
    let (usage, prices) = store(&context, ask).await?;
    let deed = Deed {
        action: "usage_read",
        target: "usage".to_owned(),
        organization,
        detail: query,
        rows: Some(usage.len()),
    };
    audit(&context, &actor, deed).await?;
    Ok(Json(Usage { usage, prices }))
}

/// One page of single records, the last settled first.
pub(super) async fn records(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let told = parameters.told();
    let search = search(&mut parameters, &actor)?;
    let accepted = format!("a number from 1 to {PAGE_LIMIT}");
    let in_range = |text: &str| text.parse().ok().filter(|limit| (1..=PAGE_LIMIT).contains(limit));
    let limit = parameters.take_as("limit", &accepted, in_range)?.unwrap_or(PAGE_DEFAULT);
    let read = |text: &str| text.parse::<Cursor>().ok();
    let cursor = parameters.take_as("cursor", "the `next` of a page before", read)?;
    let include = |text: &str| (text == "content").then_some(());
    let with_content = parameters.take_as("include", "`content`", include)?.is_some();
    if with_content {
        content_asked(&mut parameters, &actor, limit)?;
    }
    parameters.end()?;
    let organization = search.filter.organization.clone();
    let page = store(&context, move |ledger| ledger.search(&search, PageRequest { limit, cursor })).await?;
    let deed = Deed {
        action: "records_read",
        target: "records".to_owned(),
        organization: organization.clone(),
        detail: query,
        rows: Some(page.records.len()),
    };
    audit(&context, &actor, deed).await?;
    let next = page.next.map(|cursor| cursor.to_string());
    if !with_content {
        return Ok(Json(Records { records: page.records, next }).into_response());
    }
    let records = content::with_records(&context, &actor, page.records, &told, organization).await?;
    Ok(Json(json!({"records": records, "next": next})).into_response())
}

/// Whether records may be shown with what was said, and somebody says why they want that.
fn content_asked(parameters: &mut Parameters, actor: &Actor, limit: usize) -> Result<(), ApiError> {
    if !actor.may(Role::Content) {
        let message = "`include=content` needs an admin token with the role `content`";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "role_refused", message));
    }
    if limit > CONTENT_PAGE_LIMIT {
        return Err(ApiError::query(format!(
            "with content a page has at most {CONTENT_PAGE_LIMIT} records: `limit=…`"
        )));
    }
    content::purpose(parameters).map(drop)
}

/// One record, by the id that its caller saw as `x-narrows-request-id`.
pub(super) async fn record(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Json<Record>, ApiError> {
    let Ok(number) = uuid::Uuid::try_parse(&id).map(|id| id.as_u128()) else {
        let message =
            format!("`{id}` is not a record's id; it is a UUID, the x-narrows-request-id of an answer");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_id", message));
    };
    let found = store(&context, move |ledger| ledger.record(number)).await?;
    let found = found.filter(|record| actor.sees(&record.caller.organization));
    let deed = Deed {
        action: "record_read",
        target: id.clone(),
        organization: found.as_ref().map(|record| record.caller.organization.clone()),
        detail: None,
        rows: Some(usize::from(found.is_some())),
    };
    audit(&context, &actor, deed).await?;
    match found {
        Some(record) => Ok(Json(record)),
        None => {
            let message =
                format!("there is no record {id}; records are written within a second of an exchange's end");
            Err(ApiError::new(StatusCode::NOT_FOUND, "record_not_found", message))
        }
    }
}
