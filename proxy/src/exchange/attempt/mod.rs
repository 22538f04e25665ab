//! Step 7: ask until a head is accepted. The client has seen nothing yet.
//!
//! A model with one place to go is asked once. One with targets is asked as `failover.rs` says.

mod early;
mod failover;
mod once;
mod request_head;
mod verdict;

pub(crate) use early::Early;
pub(super) use once::{note, note_credential, other_credential, settle};
pub(super) use request_head::{client_query, nominated, passes, put_client_headers, put_header};

use super::account::Account;
use super::inspect::Inspected;
use super::route::Target;
use crate::downstream::Session;
use crate::respond::Refusal;
use crate::snapshot::Provider;
use crate::upstream::Fault;
use crate::upstream::connection::Connection;
use crate::upstream::head::Head;
use bytes::Bytes;
use http::request::Parts;
use narrows_policy::Reason;
use once::{Sending, Unasked};
use std::time::{Duration, Instant};

/// An accepted head, and the connection that its body follows on.
pub(crate) struct Answered {
    pub(crate) target: Target,
    pub(crate) connection: Connection,
    pub(crate) head: Head,
    /// What of the body was read already: an error's, to learn how long the provider asks to be left alone.
    pub(crate) early: Option<Early>,
}

/// Sends the request and waits for the head. The body is released when this returns.
pub(crate) async fn attempt(
    session: &mut Session<'_>,
    account: &mut Account,
    inspected: Inspected,
) -> Result<Answered, Refusal> {
    if inspected.choice.is_some() {
        return Box::pin(failover::attempt(session, account, inspected)).await;
    }
    let Inspected { target, segments, compressed, share, choice: _ } = inspected;
    let credential = target.provider.credential(target.dialect);
    let sending = Sending { target: &target, credential, segments: &segments, compressed };
    let asked = once::ask(session, account, &sending).await;
    drop((segments, share));
    match asked {
        Ok((connection, head)) => {
            if refuses_us(&target, &head) {
                return Err(credential_refused(&target, &head));
            }
            account.provider_request_id.clone_from(&head.request_id);
            Ok(Answered { target, connection, head, early: None })
        }
        Err(Unasked::Refused(refusal)) => Err(refusal),
        Err(Unasked::Failed(failed)) => Err(failed.failure.refusal(&target.provider, account)),
    }
}

/// Sends a request that is put together elsewhere, as inference with one place to go is sent; `head` makes its head with
/// our header line for the provider.
pub(super) async fn ask(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: impl Fn(&Parts, Option<&Bytes>) -> Result<Bytes, Refusal>,
    body: &[Bytes],
) -> Result<(Connection, Head), Refusal> {
    let mut credential = target.provider.credential(target.dialect);
    let mut asked = ask_as(session, account, target, &head(session.head(), credential)?, body).await?;
    if let Some(other) = other_credential(target, credential, &asked.1) {
        credential = Some(other);
        // Its body is not read: the connection goes, and with it what the provider may have said of our key.
        drop(asked);
        asked = ask_as(session, account, target, &head(session.head(), credential)?, body).await?;
        note_credential(target, credential, &asked.1);
    }
    accept(account, target, asked)
}

async fn ask_as(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: &Bytes,
    body: &[Bytes],
) -> Result<(Connection, Head), Refusal> {
    let started = Instant::now();
    let asked = once::exchange(session, account, target, head, body).await;
    settle(account, target, asked, started.elapsed())
        .map_err(|failure| failure.refusal(&target.provider, account))
}

/// Takes what such a request got: a head that may go on to the client, or a refusal.
pub(super) fn accept(
    account: &mut Account,
    target: &Target,
    (connection, head): (Connection, Head),
) -> Result<(Connection, Head), Refusal> {
    if refuses_us(target, &head) {
        return Err(credential_refused(target, &head));
    }
    account.provider_request_id.clone_from(&head.request_id);
    Ok((connection, head))
}

/// Whether an answer refuses the gateway's own credential.
pub(super) fn refuses_us(target: &Target, head: &Head) -> bool {
    matches!(head.status.as_u16(), 401 | 403)
        && !target.own_credential
        && target.provider.credential(target.dialect).is_some()
}

pub(super) fn credential_refused(target: &Target, head: &Head) -> Refusal {
    let (name, status) = (&target.provider.name, head.status.as_u16());
    // The provider's words can echo a part of our key, and a 401 makes clients throw valid keys away.
    tracing::warn!(provider = %name, status, "the provider refused the gateway's credential");
    let message = format!(
        "{name} refused the gateway's own credential with status {status}; an operator has to check api_key"
    );
    Refusal::new(Reason::ProviderCredentialRefused, message)
}

/// Why no head came.
#[derive(Debug)]
pub(super) enum Failure {
    Upstream(Fault),
    FirstByteTimeout(Duration),
    TotalTimeout,
    ClientGone,
}

/// A failure, and how far the request had come.
struct Failed {
    failure: Failure,
    /// Whether the whole request was written: the provider may be at work on it.
    sent: bool,
}

impl Failure {
    fn reason(&self) -> Reason {
        match self {
            Failure::Upstream(fault) => fault.reason(),
            Failure::FirstByteTimeout(_) => Reason::ProviderFirstByteTimeout,
            Failure::TotalTimeout => Reason::TotalTimeout,
            Failure::ClientGone => Reason::ClientGone,
        }
    }

    /// Whether the provider may be at work on a request that it has got whole: it did not say no.
    fn may_be_billed(&self) -> bool {
        match self {
            Failure::Upstream(fault) => !fault.is_declined(),
            Failure::FirstByteTimeout(_) | Failure::TotalTimeout | Failure::ClientGone => true,
        }
    }

    pub(super) fn refusal(&self, provider: &Provider, account: &Account) -> Refusal {
        let name = &provider.name;
        let message = match self {
            Failure::Upstream(fault) => {
                tracing::warn!(provider = %name, exchange = %account.id_text(), "the provider failed: {fault}");
                format!("the provider {name} cannot be used: {fault}")
            }
            Failure::FirstByteTimeout(limit) => {
                format!("the provider {name} did not answer within {} seconds", limit.as_secs())
            }
            Failure::TotalTimeout => "the exchange took longer than timeouts.total allows".to_owned(),
            Failure::ClientGone => "the client is gone".to_owned(),
        };
        Refusal::new(self.reason(), message)
    }
}
