//! Many virtual keys in one request: all of them or none.

use super::Context;
use super::api::{BULK_BYTES_MAX, Who, store};
use super::error::ApiError;
use super::input::{self, Body};
use super::keys::{self, Asked};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use narrows_ledger::KEYS_AT_ONCE_MAX;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Keys to be created.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    keys: Many<Asked>,
}

/// Keys to be switched off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    ids: Many<String>,
}

/// A list of at most [`KEYS_AT_ONCE_MAX`] entries. What does not fit is said of the entry by its position, from 1.
struct Many<T>(Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Many<T>, D::Error> {
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Entries<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Many<T>, A::Error> {
        let mut entries = Vec::new();
        loop {
            let position = entries.len() + 1;
            let next = list.next_element();
            let next =
                next.map_err(|error| A::Error::custom(format!("key {position} of the list: {error}")))?;
            let Some(entry) = next else { return Ok(Many(entries)) };
            if position > KEYS_AT_ONCE_MAX {
                return Err(A::Error::custom(format!("at most {KEYS_AT_ONCE_MAX} keys are changed at once")));
            }
            entries.push(entry);
        }
    }
}

pub(super) async fn create(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: New = input::object_within(body, BULK_BYTES_MAX)?;
    let organization = context.gateway.snapshot().nobody.organization.clone();
    let entries = asked.keys.0.into_iter().enumerate();
    let new: Vec<_> = entries
        .map(|(index, asked)| asked.by(&actor, &organization).map_err(|error| error.of_many(index)))
        .collect::<Result<_, _>>()?;
    let created = store(&context, move |ledger| ledger.create_keys(&new, actor.id())).await?;
    let keys: Vec<Value> = created.iter().map(keys::with_secret).collect();
    Ok(keys::uncached(StatusCode::CREATED, json!({"keys": keys})))
}

pub(super) async fn disable(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let Named { ids: Many(ids) } = input::object_within(body, BULK_BYTES_MAX)?;
    let disabled = store(&context, move |ledger| {
        // A key never changes its organization, so looking first and changing then is safe.
        for (index, id) in ids.iter().enumerate() {
            keys::own(ledger, &actor, id).map_err(|error| error.of_many(index))?;
        }
        ledger.disable_keys(&ids, actor.id())
    });
    Ok(Json(json!({"keys": disabled.await?})))
}
