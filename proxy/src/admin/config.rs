//! The configuration in force, and reading it again.

use super::api::Who;
use super::audit::{Deed, audit};
use super::error::ApiError;
use super::input::Parameters;
use super::{Context, api};
use crate::config::Problem;
use crate::configuration::{Rejection, Trigger};
use crate::reload::{self, Outcome};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn show(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    Parameters::new(query.as_deref())?.end()?;
    Ok(Json(view(&context)))
}

/// Reads the file again. The answer says which configuration is in force then, whatever came of it.
pub(super) async fn reload(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    Parameters::new(query.as_deref())?.end()?;
    let gateway = context.gateway.clone();
    let outcome = api::blocking(move || reload::reload(&gateway, Trigger::Api)).await?;
    let (status, word, rejection) = match outcome {
        Outcome::Applied => (StatusCode::OK, "applied", None),
        Outcome::Unchanged => (StatusCode::OK, "unchanged", None),
        Outcome::Rejected(rejection) => (StatusCode::UNPROCESSABLE_ENTITY, "rejected", Some(rejection)),
        Outcome::NoFile => {
            let message = "this gateway runs with settings from no file; there is nothing to read again";
            return Err(ApiError::new(StatusCode::CONFLICT, "no_configuration_file", message));
        }
    };
    let snapshot = hash(&context);
    let deed = Deed {
        action: "configuration_reload",
        target: "configuration".to_owned(),
        detail: Some(format!("{word}; in force: {snapshot}")),
        ..Deed::default()
    };
    audit(&context, &actor, deed).await?;
    let body = match rejection {
        None => json!({"result": word, "snapshot": snapshot}),
        Some(rejection) => {
            let count = rejection.problems.len();
            let message = format!(
                "the configuration was rejected ({count} problem{}); the one from before stays in force",
                if count == 1 { "" } else { "s" }
            );
            json!({
                "result": word,
                "snapshot": snapshot,
                "problems": problems(&rejection.problems),
                "error": {"code": "configuration_rejected", "message": message},
            })
        }
    };
    Ok((status, Json(body)).into_response())
}

/// What is in force and what became of attempts to replace it; part of the status page too.
pub(super) fn view(context: &Context) -> Value {
    let configuration = &context.gateway.configuration;
    let status = configuration.status();
    let reloads: Map<_, _> =
        configuration.counts().map(|(result, count)| (result.to_owned(), count.into())).collect();
    json!({
        "snapshot": hash(context),
        "loaded_at": narrows_ledger::time(status.loaded_at_us),
        "source": status.source.map(|file| file.display().to_string()),
        "files": status.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        "watch_seconds": configuration.watch_every().map(|every| every.as_secs_f64()),
        "reloads": reloads,
        "last_rejection": status.rejection.as_deref().map(rejected),
    })
}

fn hash(context: &Context) -> String {
    format!("{:016x}", context.gateway.snapshot().hash)
}

fn rejected(rejection: &Rejection) -> Value {
    json!({
        "at": narrows_ledger::time(rejection.at_us),
        "trigger": rejection.trigger.as_str(),
        "problems": problems(&rejection.problems),
    })
}

/// The same fields as `narrows check --json`.
fn problems(problems: &[Problem]) -> Vec<Value> {
    problems.iter().map(Problem::to_json).collect()
}
