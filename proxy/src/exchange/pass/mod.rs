//! Paths beside inference: files, batches, audio and the like, as far as the configuration allows them for a provider.
//!
//! The same nine steps with other leaves: whoever calls is identified before anything else, objects are reached by
//! their owners only, what is held is inspected and what streams through says that it was not, and the account settles
//! once.

mod answer;
mod beside;
mod find;
mod inspect;
mod list;
mod place;
mod read;
mod send;
mod upload;

pub(super) use beside::Looking;
pub(super) use find::{Asked, asked, other_method};

use super::objects::{self, Where};
use super::route::{Target, in_use};
use super::{Account, Ending, admit, identify, shed};
use crate::buffers::Share;
use crate::downstream::Session;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use find::Way;
use narrows_ledger::Object;
use narrows_ledger::key::KeyEntry;
use narrows_llm::endpoint::Operation;
use narrows_llm::paths::Answer;
use std::sync::Arc;

/// Who asks.
struct Who {
    key: Option<Arc<KeyEntry>>,
    own_credential: bool,
}

impl Who {
    /// Whether the key may use certain models only.
    fn is_restricted(&self) -> bool {
        self.key.as_deref().is_some_and(KeyEntry::is_restricted)
    }
}

/// The body of a request.
enum Payload {
    /// Held, as inference holds it.
    Held(read::Held),
    /// Streams through. What was not read of it nobody has looked at, and the record says so.
    Streams(read::Stream),
}

/// A request that is ready to be sent.
struct Ready {
    target: Target,
    way: Way,
    /// The object that the path names, if the gateway knows it.
    object: Option<Arc<Object>>,
    payload: Payload,
    /// Room for the answer, where what it names has to be known.
    share: Option<Share>,
}

/// Bytes of the answer to a request that makes an object for which there is room before it is sent: in them the object's
/// id stands.
const MADE_BYTES: usize = 16 * 1024;

/// Room for the answer. An object that nobody is known to own could be reached by nobody, so a request that makes one is
/// not sent when its answer could not be read.
fn room(gateway: &Gateway, way: &Way) -> Result<Option<Share>, Refusal> {
    if !matches!(way.row.answer, Answer::Made(_)) {
        return Ok(None);
    }
    let mut share = gateway.buffers.share();
    if share.grow_to(MADE_BYTES) { Ok(Some(share)) } else { Err(super::read::buffers_full()) }
}

/// Serves a request to a path beside inference, and writes down what was seen of it on the way.
pub(super) async fn run(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    asked: Asked,
) -> Result<Ending, Refusal> {
    let ended = serve(gateway, session, account, asked).await;
    inspect::settled(account).await;
    ended
}

async fn serve(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    asked: Asked,
) -> Result<Ending, Refusal> {
    let (key, own_credential) = identify::caller(gateway, session, account, asked.prefix.as_deref())?;
    let who = Who { key, own_credential };
    shed::check(gateway, account)?;
    let (way, named) = place::way(gateway, account, &asked).await?;
    account.set_beside(way.family, way.dialect);
    place::refuse_resumable(session, &way)?;
    admit::check(gateway, account)?;
    let place = Where::Path { restricted: who.is_restricted() };
    let mut pinned = named;
    let mut object = None;
    for id in &way.ids {
        let at = pinned.as_ref().map(|provider| &*provider.name);
        let found = objects::admit(gateway, account, id, at, place).await?;
        if let Some(found) = &found {
            pinned = Some(place::keeper(account, found)?);
        }
        object = object.or(found);
    }
    if let Some(provider) = &pinned {
        place::allowed(provider, &way)?;
    }
    let choose = pinned.is_none() && place::is_open(account, &way);
    let mut payload = read::read(gateway, session, account, &way, &who, choose).await?;
    if let Payload::Held(held) = &payload
        && held.is_json
    {
        let at = pinned.as_ref().map(|provider| &*provider.name);
        let found = objects::admit_references(gateway, account, &held.body.text, at, place).await?;
        if let Some(found) = found {
            pinned = Some(place::keeper(account, &found)?);
        }
    }
    let (provider, model) = place::provider(account, &asked, &way, &who, pinned, &mut payload)?;
    place::allowed(&provider, &way)?;
    in_use(&provider)?;
    let target = Target {
        operation: Operation::Beside,
        dialect: place::dialect(way.family),
        own_credential: who.own_credential && provider.client_credentials,
        provider,
        model: model.unwrap_or_else(|| Arc::from("")),
        stream: false,
        asks_for_usage: false,
        place: None,
    };
    admit::hold(session, account, &admit::Want::beside(&target)).await?;
    let payload = inspect::request(session, account, &target, &way, payload).await?;
    let share = room(gateway, &way)?;
    let ready = Ready { target, way, object, payload, share };
    if ready.way.row.answer == Answer::List {
        return list::list(gateway, session, account, ready, &who).await;
    }
    let answered = send::send(session, account, ready).await?;
    answer::answer(gateway, session, account, answered).await
}
