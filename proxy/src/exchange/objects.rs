//! Stored objects belong to who made them: files, batches, stored responses and the like live in one account of a
//! provider that several teams share, and an id is all it takes to reach them.

use super::Account;
use super::identify::carries_key;
use super::read::Request;
use crate::config::settings::UnknownObjects;
use crate::gateway::{Gateway, Shared};
use crate::respond::Refusal;
use bytes::Bytes;
use memchr::memmem;
use narrows_ledger::{Object, Owner};
use narrows_llm::paths::ids::{self, Named};
use narrows_llm::{Dialect, request};
use narrows_policy::Reason;
use std::sync::Arc;
use std::time::Duration;

/// How long a file's binding outlives what the provider said, for clocks differ.
const EXPIRY_SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// A day, in microseconds.
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// Where an id stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Where {
    /// In a path, or in the body of a request that makes objects out of others. A key that may use certain models only
    /// reaches nothing there but what its team made.
    Path {
        /// Whether the key may use certain models only.
        restricted: bool,
    },
    /// In a prompt.
    Prompt,
}

impl Where {
    fn refuses_unknown(self, account: &Account) -> bool {
        let objects = &account.snapshot.objects;
        match self {
            Where::Path { restricted } => restricted || objects.unknown == UnknownObjects::Refuse,
            Where::Prompt => objects.unknown_in_prompts == UnknownObjects::Refuse,
        }
    }
}

/// The object with this id, at `provider` if that is given. What memory does not hold is read from the store on a
/// thread that may wait.
pub(super) async fn owner(
    gateway: &Gateway,
    id: &str,
    provider: Option<&str>,
) -> Result<Option<Arc<Object>>, Refusal> {
    let objects = gateway.ledger.objects();
    if let Some(found) = objects.held(id, provider) {
        return Ok(Some(found));
    }
    let (objects, id) = (Arc::clone(objects), Box::<str>::from(id));
    let provider = provider.map(Box::<str>::from);
    let found = tokio::task::spawn_blocking(move || objects.owner(&id, provider.as_deref())).await;
    match found {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(fault)) => {
            tracing::warn!("the registry of objects cannot be read: {fault}");
            Err(unavailable())
        }
        Err(_stopping) => Err(unavailable()),
    }
}

/// Whose an object is, as far as the caller learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// The caller's.
    Own,
    /// Nobody's that is known here, and the caller may see such.
    Unknown,
    /// Not for the caller.
    Hidden,
}

/// How the caller sees each of `ids` at `provider`.
pub(super) async fn sights(
    gateway: &Gateway,
    account: &Account,
    ids: Vec<Box<str>>,
    provider: Arc<str>,
    place: Where,
) -> Result<Vec<Sight>, Refusal> {
    let objects = Arc::clone(gateway.ledger.objects());
    let (caller, unknown) = (Arc::clone(&account.caller), !place.refuses_unknown(account));
    let looked = tokio::task::spawn_blocking(move || {
        let see = |id: &str| {
            let found = objects.owner(id, Some(&provider))?;
            Ok(match found {
                Some(object) if object.owner.is(&caller) => Sight::Own,
                None if unknown => Sight::Unknown,
                Some(_) | None => Sight::Hidden,
            })
        };
        ids.iter().map(|id| see(id)).collect::<Result<Vec<Sight>, narrows_ledger::LedgerError>>()
    });
    match looked.await {
        Ok(Ok(sights)) => Ok(sights),
        Ok(Err(_)) | Err(_) => Err(unavailable()),
    }
}

/// The object with this id, if the caller may reach it. Of another team's object the caller learns no more than of one
/// that does not exist; the record says which it was.
pub(super) async fn admit(
    gateway: &Gateway,
    account: &Account,
    id: &str,
    provider: Option<&str>,
    place: Where,
) -> Result<Option<Arc<Object>>, Refusal> {
    match owner(gateway, id, provider).await? {
        Some(object) if object.owner.is(&account.caller) => Ok(Some(object)),
        Some(_) => Err(not_found(Reason::ObjectForeign)),
        None if place.refuses_unknown(account) => Err(not_found(Reason::ObjectUnknown)),
        None => Ok(None),
    }
}

/// Admits every object that a body refers to; the first one that is known says which provider keeps them.
pub(super) async fn admit_references(
    gateway: &Gateway,
    account: &Account,
    text: &Bytes,
    provider: Option<&str>,
    place: Where,
) -> Result<Option<Arc<Object>>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let references =
        ids::references(text).map_err(|fault| Refusal::new(Reason::BodyMalformed, fault.to_string()))?;
    let mut first = None;
    for item in items(text, false)? {
        let found = admit(gateway, account, &item, provider, place).await?;
        first = first.or(found);
    }
    for reference in references {
        if carries_key(reference.id.as_bytes()) {
            return Err(not_found(Reason::ObjectUnknown));
        }
        let found = admit(gateway, account, &reference.id, provider, place).await?;
        first = first.or(found);
    }
    Ok(first)
}

/// The items of earlier responses that a body refers to.
fn items(text: &Bytes, responses: bool) -> Result<Vec<Box<str>>, Refusal> {
    if !ids::may_refer_to_items(text) && !has(text, b"\\u00") {
        return Ok(Vec::new());
    }
    ids::items(text, responses).map_err(|fault| Refusal::new(Reason::BodyMalformed, fault.to_string()))
}

fn not_found(reason: Reason) -> Refusal {
    const MESSAGE: &str =
        "no such object; the objects of a key are those that keys of its team made through this gateway";
    Refusal::new(reason, MESSAGE).shown_as(Reason::ObjectUnknown)
}

fn unavailable() -> Refusal {
    Refusal::new(
        Reason::ObjectsUnavailable,
        "whose object this is cannot be told at the moment, because the store cannot be read; try again shortly",
    )
}

/// Whether a request for inference may refer to objects, told by a look that costs little: at responses for earlier ones
/// of the conversation, at all for files where a provider allows object paths.
pub(super) fn may_refer(account: &Account, request: &Request) -> bool {
    let text = &request.body.text;
    let earlier = request.dialect == Dialect::OpenaiResponses
        && (has(text, b"previous_response_id")
            || has(text, b"\"conversation\"")
            || ids::may_refer_to_items(text)
            || has(text, b"\\u00"));
    earlier || (account.snapshot.keeps_objects && ids::may_refer(text))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

/// Admits the objects that a request for inference refers to, and pins it to the provider that keeps them.
pub(super) async fn refer(
    gateway: &Gateway,
    account: &Account,
    mut request: Request,
) -> Result<Request, Refusal> {
    let named = request.prefix.as_deref().filter(|name| account.snapshot.provider(name).is_some());
    let mut first = None;
    if request.dialect == Dialect::OpenaiResponses {
        let head = request::head(&request.body.text)
            .map_err(|fault| Refusal::new(Reason::BodyMalformed, fault.to_string()))?;
        let items = items(&request.body.text, true)?;
        for id in head.earlier(&request.body.text).into_iter().chain(items) {
            let found = admit(gateway, account, &id, named, Where::Prompt).await?;
            first = first.or(found);
        }
    }
    if account.snapshot.keeps_objects && ids::may_refer(&request.body.text) {
        let found = admit_references(gateway, account, &request.body.text, named, Where::Prompt).await?;
        first = first.or(found);
    }
    request.keeper = first.map(|object| Arc::clone(&object.provider));
    Ok(request)
}

/// Binds what an answer names to the caller of the exchange.
pub(super) fn bind(
    gateway: &Shared,
    account: &Account,
    id: Box<str>,
    kind: &str,
    expires_at_us: Option<i64>,
) {
    let Some(provider) = &account.provider else { return };
    let object = Object {
        id,
        provider: Arc::clone(&provider.name),
        kind: kind.into(),
        owner: Owner::of(&account.caller),
        created_at_us: account.started_at_us,
        expires_at_us,
    };
    if !gateway.ledger.objects().bind(object) {
        tracing::warn!(
            exchange = %account.id_text(),
            provider = %provider.name,
            "the provider gave an id that another team has: it stays theirs"
        );
    }
}

/// Binds a new object, and the files that came with it.
pub(super) fn bind_named(gateway: &Shared, account: &Account, named: Named, kind: Option<&str>) {
    if let (Some(id), Some(kind)) = (named.id, kind) {
        let slack = i64::try_from(EXPIRY_SLACK.as_micros()).unwrap_or(i64::MAX);
        let ends = named.expires_at.map(|at| at.saturating_mul(1_000_000).saturating_add(slack));
        bind(gateway, account, id, kind, ends);
    }
    for file in named.files {
        bind(gateway, account, file, "file", None);
    }
}

/// Binds a stored response or an item of one, for as long as the configuration says that responses are kept.
pub(super) fn bind_stored(gateway: &Shared, account: &Account, id: Box<str>, kind: &str) {
    let days = i64::try_from(account.snapshot.objects.response_days).unwrap_or(i64::MAX);
    let keep = days.saturating_mul(DAY_US);
    bind(gateway, account, id, kind, Some(account.started_at_us.saturating_add(keep)));
}
