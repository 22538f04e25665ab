//! What models cost at the providers of the configuration in force.

use super::Context;
use super::error::ApiError;
use super::input::{Parameters, TIME_FORMS, point_us};
use axum::Json;
use axum::extract::{RawQuery, State};
use narrows_ledger::time;
use narrows_meter::{Mode, Quote, decimal};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Digits after the point of a factor.
const FACTOR_DECIMALS: u32 = 6;

/// The prices of a model, at a time, at every provider that has one, in every mode.
pub(super) async fn prices(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let model = parameters.take("model");
    let provider = parameters.take("provider");
    let at_us = parameters.take_as("at", TIME_FORMS, point_us)?;
    parameters.end()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_us = at_us.unwrap_or_else(|| i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    let snapshot = context.gateway.snapshot();
    let mut prices = Vec::new();
    for one in snapshot.providers() {
        if provider.as_deref().is_some_and(|name| *name != *one.name) {
            continue;
        }
        for mode in std::iter::once(None).chain(Mode::ALL.map(Some)) {
            let quote = model.as_deref().and_then(|model| one.tariff.quote(model, mode, at_us));
            prices.extend(quote.map(|quote| view(&one.name, model.as_deref(), mode, &quote)));
        }
    }
    let file = &snapshot.prices().list.prices().file;
    Ok(Json(json!({
        "version": format!("{:016x}", snapshot.prices_version()),
        "source": file.source,
        "date": file.date.to_string(),
        "at": time(at_us),
        "prices": prices,
    })))
}

fn view(provider: &str, model: Option<&str>, mode: Option<Mode>, quote: &Quote<'_>) -> Value {
    json!({
        "provider": provider,
        "model": model,
        "mode": mode,
        "factor": decimal::text(u64::from(quote.factor.millionths()), FACTOR_DECIMALS),
        "rates": quote.price.rates(0),
        "above": quote.price.tiers(),
    })
}
