//! Lists of objects. A provider lists everything in its account; the caller sees what its team made.
//!
//! Pages stay consistent: the ends that a page names are those of the items in it, so asking on from them goes on behind
//! the last one that was seen. A page of which nothing would stay is passed over, so that clients that stop at an empty page
//! do not stop too early.

use super::answer::{self, Held as Read};
use super::inspect::{self, Looks};
use super::send::{Outgoing, bare_request};
use super::{Ready, Who};
use crate::downstream::Session;
use crate::exchange::account::Account;
use crate::exchange::attempt;
use crate::exchange::objects::{self, Sight, Where};
use crate::exchange::relay::{Ending, Upstream};
use crate::gateway::Gateway;
use crate::respond::Refusal;
use crate::upstream::head::{Coding, Head};
use bytes::Bytes;
use http::request::Parts;
use narrows_llm::paths::list::{Page, with_parameter};
use narrows_policy::Reason;

/// Pages of a provider that are read for one page of the caller's.
pub(super) const PAGES_MAX: usize = 32;

/// Lists the caller's objects.
pub(super) async fn list(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    ready: Ready,
    who: &Who,
) -> Result<Ending, Refusal> {
    let Ready { target, way, payload, .. } = ready;
    // A list takes no body; one that came is not sent on.
    drop(payload);
    let mut query = session.head().uri.query().unwrap_or_default().to_owned();
    for _ in 0..PAGES_MAX {
        let outgoing = Outgoing { target: &target, way: &way };
        let head =
            |client: &Parts, credential: Option<&Bytes>| bare_request(client, &outgoing, credential, &query);
        let (connection, mut head) = attempt::ask(session, account, &target, head, &[]).await?;
        let mut upstream = Upstream::new(account, &target, connection);
        let body = match answer::hold(session, account, &mut upstream, gateway.buffers.share()).await? {
            Read::Whole(body) => body,
            Read::Part(_) => return Err(unfiltered("it is larger than limits.metered_copy")),
        };
        upstream.release();
        if !head.status.is_success() {
            return shown(session, account, &mut head, body).await;
        }
        if head.coding != Coding::Identity {
            return Err(unfiltered("it is compressed"));
        }
        let Some(page) = Page::read(way.family, &body) else {
            return Err(unfiltered("it is not a list of objects as its path gives"));
        };
        let restricted = who.is_restricted();
        let place = Where::Path { restricted };
        let ids = page.ids.clone();
        let sights = objects::sights(gateway, account, ids, target.provider.name.clone(), place).await?;
        // What came to be with an object of the caller's is the caller's, too: a batch's output may be seen here first.
        for (named, _) in page.named(way.family).zip(&sights).filter(|(_, sight)| **sight == Sight::Own) {
            objects::bind_named(account.gateway(), account, named, None);
        }
        let keep: Vec<bool> = sights.iter().map(|sight| *sight != Sight::Hidden).collect();
        // Whoever pages backwards is not sent forwards.
        let forwards = !query.split('&').any(|pair| pair.starts_with("before"));
        if let Some(next) = page.next.as_ref().filter(|_| forwards && !keep.contains(&true)) {
            query = with_parameter(&query, next);
            continue;
        }
        let body = if keep.contains(&false) { page.keeping(&keep).into() } else { body.clone() };
        return shown(session, account, &mut head, body).await;
    }
    Err(unfiltered("none of the first pages holds an object of the caller's; ask for larger pages, or by id"))
}

/// Sends a list as policies let it be seen.
async fn shown(
    session: &mut Session<'_>,
    account: &mut Account,
    head: &mut Head,
    body: Bytes,
) -> Result<Ending, Refusal> {
    let (masked, copy) = match inspect::answer(account, head)? {
        Looks::Not => (None, None),
        Looks::First => (inspect::shown(account, head, &body).await?, None),
        Looks::Beside(mut copy) => {
            copy.take(&body);
            (None, Some(copy))
        }
    };
    if masked.is_some() {
        head.forget_body();
    }
    let ending = answer::replace(session, account, head, masked.unwrap_or(body)).await;
    inspect::downloaded(account, copy, true).await;
    Ok(ending)
}

fn unfiltered(cause: &str) -> Refusal {
    let message = format!("the provider's list cannot be narrowed to the caller's objects: {cause}");
    Refusal::new(Reason::ListUnfiltered, message)
}
