//! The directory: organizations, users, service accounts, teams and projects. All of them are asked for in one way.

use super::Context;
use super::actor::Actor;
use super::api::{Who, store};
use super::error::ApiError;
use super::input::{self, Body, Parameters};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narrows_ledger::{
    ENTRY_PAGE_LIMIT, Entry, EntryChange, EntryFilter, EntryKind, EntryState, Ledger, LedgerError, NewEntry,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Entries on a page, unless another number is asked for.
const PAGE_DEFAULT: usize = 100;

/// What a path is about.
pub(super) trait Of: Send + 'static {
    /// The kind of its entries.
    const KIND: EntryKind;
    /// The name of their list in an answer.
    const LIST: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $kind:ident $list:literal,)+) => {
        $($(#[$doc])*
        pub(super) enum $name {}

        impl Of for $name {
            const KIND: EntryKind = EntryKind::$kind;
            const LIST: &'static str = $list;
        })+
    };
}

kinds! {
    /// `/organizations`.
    Organizations Organization "organizations",
    /// `/users`.
    Users User "users",
    /// `/service-accounts`.
    ServiceAccounts ServiceAccount "service_accounts",
    /// `/teams`.
    Teams Team "teams",
    /// `/projects`.
    Projects Project "projects",
}

/// An entry to be created, as callers write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    organization: Option<String>,
    display_name: Option<String>,
    email: Option<String>,
    external_id: Option<String>,
    team: Option<String>,
    #[serde(default)]
    members: Vec<String>,
}

/// A change, as callers write it: what is not there stays, `null` takes away (RFC 7396).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default, deserialize_with = "given")]
    display_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    external_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    team: Option<Option<String>>,
    state: Option<EntryState>,
    #[serde(default)]
    add_members: Vec<String>,
    #[serde(default)]
    remove_members: Vec<String>,
}

/// Tells `null` from nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// An entry that is there for the actor; another organization's is as good as none.
fn own(ledger: &Ledger, actor: &Actor, kind: EntryKind, id: &str) -> Result<Entry, LedgerError> {
    let entry = ledger.show_entry(kind, id)?;
    let found = actor.sees(&entry.organization).then_some(entry);
    found.ok_or_else(|| LedgerError::EntryNotFound { kind, id: id.to_owned() })
}

pub(super) async fn list<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut parameters = Parameters::new(query.as_deref())?;
    let states = "`active`, `disabled` or `deleted`";
    let mut filter = EntryFilter {
        organization: actor.within(parameters.take("organization"))?,
        name: parameters.take("name"),
        external_id: parameters.take("external_id"),
        state: parameters.take_as("state", states, EntryState::from_word)?,
        ..EntryFilter::all(K::KIND)
    };
    if K::KIND == EntryKind::User {
        filter.email = parameters.take("email");
    }
    if matches!(K::KIND, EntryKind::User | EntryKind::Project) {
        filter.team = parameters.take("team");
    }
    let accepted = format!("a number from 1 to {ENTRY_PAGE_LIMIT}");
    let in_range = |text: &str| text.parse().ok().filter(|limit| (1..=ENTRY_PAGE_LIMIT).contains(limit));
    let limit = parameters.take_as("limit", &accepted, in_range)?.unwrap_or(PAGE_DEFAULT);
    let after =
        parameters.take_as("cursor", "the `next` of a page before", |text| text.parse::<i64>().ok())?;
    parameters.end()?;
    let page = store(&context, move |ledger| ledger.list_entries(&filter, limit, after)).await?;
    let mut answer = Map::new();
    answer.insert(K::LIST.to_owned(), json!(page.entries));
    answer.insert("next".to_owned(), json!(page.next.map(|next| next.to_string())));
    Ok(Json(Value::Object(answer)))
}

pub(super) async fn create<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    body: Body,
) -> Result<Response, ApiError> {
    let new: New = input::object(body)?;
    if K::KIND == EntryKind::Organization && new.organization.is_some() {
        return Err(ApiError::body("an organization has no `organization`; its `name` is what it is called"));
    }
    let organization = actor.within(new.organization)?;
    let new = NewEntry {
        kind: K::KIND,
        organization: organization.unwrap_or_else(|| context.gateway.snapshot().nobody.organization.clone()),
        name: new.name,
        display_name: new.display_name,
        email: new.email,
        external_id: new.external_id,
        team: new.team,
        members: new.members,
    };
    let entry = store(&context, move |ledger| ledger.create_entry(&new, actor.id())).await?;
    let mut response = answer(StatusCode::CREATED, &entry);
    let location = format!("/admin/v1/{}/{}", K::KIND.plural(), entry.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn show<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = store(&context, move |ledger| own(ledger, &actor, K::KIND, &id)).await?;
    Ok(answer(StatusCode::OK, &entry))
}

pub(super) async fn change<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let version = seen(&headers)?;
    let asked: Change = input::object(body)?;
    let disabled = match asked.state {
        None => None,
        Some(EntryState::Active) => Some(false),
        Some(EntryState::Disabled) => Some(true),
        Some(EntryState::Deleted) => {
            return Err(ApiError::body("`state` takes `active` or `disabled`; DELETE deletes"));
        }
    };
    let change = EntryChange {
        display_name: asked.display_name,
        email: asked.email,
        external_id: asked.external_id,
        team: asked.team,
        disabled,
        add_members: asked.add_members,
        remove_members: asked.remove_members,
    };
    let changed = store(&context, move |ledger| {
        // An entry never changes its organization, so looking first and changing then is safe.
        own(ledger, &actor, K::KIND, &id)?;
        ledger.change_entry(K::KIND, &id, &change, version, actor.id())
    });
    Ok(answer(StatusCode::OK, &changed.await?))
}

pub(super) async fn delete<K: Of>(
    State(context): State<Arc<Context>>,
    Extension(actor): Who,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let version = seen(&headers)?;
    let deleted = store(&context, move |ledger| {
        own(ledger, &actor, K::KIND, &id)?;
        ledger.delete_entry(K::KIND, &id, version, actor.id())
    });
    Ok(answer(StatusCode::OK, &deleted.await?))
}

/// An entry, with its version as entity tag (RFC 9110 §8.8.3).
fn answer(status: StatusCode, entry: &Entry) -> Response {
    let mut response = (status, Json(entry)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", entry.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The version that a change is meant for: that of `if-match` (RFC 9110 §13.1.1), where `*` is any.
pub(super) fn seen(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let mut tags = headers.get_all(header::IF_MATCH).iter();
    let Some(tag) = tags.next() else { return Ok(None) };
    let tag = tag.to_str().unwrap_or_default().trim();
    if tag == "*" && tags.next().is_none() {
        return Ok(None);
    }
    let quoted = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let version = quoted.and_then(|version| version.parse().ok()).filter(|_| tags.next().is_none());
    version.map(Some).ok_or_else(|| {
        let message = format!("`if-match` is `{tag}`; it takes the `etag` of an answer, as \"3\", or *");
        ApiError::query(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_read_or_refused() {
        let read = |tags: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for tag in tags {
                headers.append(header::IF_MATCH, HeaderValue::from_static(tag));
            }
            seen(&headers).ok()
        };
        assert_eq!(read(&[]), Some(None));
        assert_eq!(read(&["*"]), Some(None));
        assert_eq!(read(&["\"3\""]), Some(Some(3)));
        // A weak tag never matches, and several are no version.
        for wrong in
            [&["3"][..], &["W/\"3\""], &["\"x\""], &["\"1\", \"2\""], &["\"1\"", "\"2\""], &["*", "*"]]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
