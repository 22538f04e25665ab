//! What passes here, against what is known.

use super::Context;
use super::api::{Who, store};
use super::audit::{Deed, audit};
use super::error::ApiError;
use super::input::{Parameters, TIME_FORMS, point_us, span};
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use jiff::Timestamp;
use narrows_ledger::{CoverageQuestion, CoverageReport};
use std::sync::Arc;
use std::time::Duration;

/// What a report is about, and for how long a key is unused that is named, unless told otherwise.
const SPAN_DEFAULT: Duration = Duration::from_secs(30 * 86_400);

/// The report.
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<CoverageReport>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let now_us = Timestamp::now().as_microsecond();
    let before = |span: Duration| now_us.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
    let from_us = parameters.take_as("from", TIME_FORMS, point_us)?;
    let to_us = parameters.take_as("to", TIME_FORMS, point_us)?;
    let unused = parameters.take_as("unused", "a length of time (30d)", span)?;
    let question = CoverageQuestion {
        from_us: from_us.unwrap_or_else(|| before(SPAN_DEFAULT)),
        to_us: to_us.unwrap_or(now_us),
        organization: actor.within(parameters.take("organization"))?,
        unused_since_us: before(unused.unwrap_or(SPAN_DEFAULT)),
    };
    parameters.end()?;
    let organization = question.organization.clone();
    let report = store(&context, move |ledger| ledger.coverage(&question)).await?;
    let rows = report.seen.len() + report.unseen.len() + report.clients.len() + report.unused_keys.len();
    let deed = Deed {
        action: "coverage_read",
        target: "coverage".to_owned(),
        organization,
        detail: query,
        rows: Some(rows),
    };
    audit(&context, &actor, deed).await?;
    Ok(Json(report))
}
