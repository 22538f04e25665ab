//! The trail of administration: written by every endpoint that changes something or reads records, and read here.

use super::Context;
use super::actor::Actor;
use super::api::{Who, store};
use super::error::ApiError;
use super::input::{Parameters, TIME_FORMS, point_us};
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use narrows_ledger::{AUDIT_PAGE_LIMIT, AuditEntry, AuditFilter};
use serde_json::{Value, json};
use std::sync::Arc;

/// Events on a page, unless another number is asked for.
const PAGE_DEFAULT: usize = 100;
/// Longest value in [`told`], in bytes: a purpose has as many, a text that is looked for and names have fewer.
const VALUE_BYTES_MAX: usize = 512;
/// Longest detail of an entry, in bytes: [`told`] for as many parameters as a request may have is not longer.
const DETAIL_BYTES_MAX: usize = 36 << 10;

/// Something that was done.
#[derive(Default)]
pub(super) struct Deed {
    /// A stable word, as `records_read`.
    pub(super) action: &'static str,
    /// What it was done to.
    pub(super) target: String,
    /// The organization it is about; without one the token's, if it is for one.
    pub(super) organization: Option<String>,
    /// More for people; never a secret.
    pub(super) detail: Option<String>,
    /// How many rows were read.
    pub(super) rows: Option<usize>,
}

/// Writes into the trail who did what, and when. What cannot be written down is not answered: every endpoint calls
/// this before it says what it read, and after what it changed outside of the store. Changes of keys and tokens are
/// written down by the ledger, together with the change.
pub(super) async fn audit(context: &Arc<Context>, actor: &Actor, deed: Deed) -> Result<(), ApiError> {
    let actor = actor.clone();
    let detail = deed.detail.filter(|detail| !detail.is_empty());
    let detail = detail.map(|detail| shortened(detail, DETAIL_BYTES_MAX));
    store(context, move |ledger| {
        ledger.audit(&AuditEntry {
            actor: actor.id(),
            action: deed.action,
            target: &deed.target,
            organization: deed.organization.as_deref().or(actor.organization()),
            detail,
            rows: deed.rows.map(|rows| rows as u64),
        })
    })
    .await
}

/// What was asked for, by names and values: each value is quoted and has a length of its own, so that a long one takes
/// no other out of the entry and none looks like two.
pub(crate) fn told<'a>(asked: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let one = |(name, value): (&str, &str)| {
        let value = value.replace(char::is_control, " ");
        format!("{name}={}", Value::from(shortened(value, VALUE_BYTES_MAX)))
    };
    asked.into_iter().filter(|(_, value)| !value.is_empty()).map(one).collect::<Vec<_>>().join(" ")
}

fn shortened(mut detail: String, limit: usize) -> String {
    if detail.len() > limit {
        let end = (0..=limit).rev().find(|end| detail.is_char_boundary(*end));
        detail.truncate(end.unwrap_or(0));
        detail.push('…');
    }
    detail
}

/// One page of the trail, the newest first.
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let filter = AuditFilter {
        from_us: parameters.take_as("from", TIME_FORMS, point_us)?,
        to_us: parameters.take_as("to", TIME_FORMS, point_us)?,
        organization: actor.within(parameters.take("organization"))?,
        actor: parameters.take("actor"),
        action: parameters.take("action"),
        target: parameters.take("target"),
    };
    let accepted = format!("a number from 1 to {AUDIT_PAGE_LIMIT}");
    let in_range = |text: &str| text.parse().ok().filter(|limit| (1..=AUDIT_PAGE_LIMIT).contains(limit));
    let limit = parameters.take_as("limit", &accepted, in_range)?.unwrap_or(PAGE_DEFAULT);
    let before =
        parameters.take_as("cursor", "the `next` of a page before", |text| text.parse::<i64>().ok())?;
    parameters.end()?;
    let organization = filter.organization.clone();
    let page = store(&context, move |ledger| ledger.audit_trail(&filter, limit, before)).await?;
    let deed = Deed {
        action: "audit_read",
        target: "audit".to_owned(),
        organization,
        detail: query,
        rows: Some(page.events.len()),
    };
    audit(&context, &actor, deed).await?;
    let next = page.next.map(|next| next.to_string());
    Ok(Json(json!({"events": page.events, "next": next})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_has_a_limit() {
        let exact = "x".repeat(VALUE_BYTES_MAX);
        assert_eq!(shortened(exact.clone(), VALUE_BYTES_MAX), exact);
        let longer = "ü".repeat(VALUE_BYTES_MAX);
        let short = shortened(longer, VALUE_BYTES_MAX);
        assert!(short.len() <= VALUE_BYTES_MAX + '…'.len_utf8() && short.ends_with("ü…"), "{}", short.len());
    }

    #[test]
    fn no_value_takes_another_out_of_an_entry() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        let text = told([
            ("purpose", &*long),
            ("contains", "\"salary\" user=\"bob\"\n"),
            ("user", "ada"),
            ("to", ""),
        ]);
        let (purpose, rest) = text.split_once(' ').unwrap();
        assert_eq!(purpose, format!("purpose=\"{}…\"", "é".repeat(VALUE_BYTES_MAX / 2)));
        assert_eq!(rest, r#"contains="\"salary\" user=\"bob\" " user="ada""#);
        // The longest there can be is not shortened.
        let most = "\"".repeat(VALUE_BYTES_MAX + 1);
        let all = told((0..super::super::input::PARAMETERS_MAX).map(|_| ("service_account", &*most)));
        assert_eq!(shortened(all.clone(), DETAIL_BYTES_MAX), all);
    }
}
