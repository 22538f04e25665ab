//! One attempt at one target with one credential.

use super::request_head::request_head;
use super::{Failed, Failure, refuses_us};
use crate::downstream::Session;
use crate::exchange::account::{Account, micros};
use crate::exchange::route::Target;
use crate::respond::Refusal;
use crate::snapshot::keys::ASIDE;
use crate::upstream::Fault;
use crate::upstream::connection::Connection;
use crate::upstream::head::Head;
use bytes::Bytes;
use narrows_ledger::Attempt;
use narrows_llm::request::Segments;
use narrows_policy::Reason;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Times that a request is sent once more within one attempt. The second is for one that a connection of HTTP/2 refused
/// and that HTTP/1.1, or one more connection, may take.
const REPEATS_MAX: usize = 2;

/// What is sent, to whom, and as whom.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) target: &'a Target,
    /// Our header line for the provider, if it takes one.
    pub(super) credential: Option<&'a Bytes>,
    pub(super) segments: &'a Segments,
    /// Whether `segments` are as compressed as the client sent them.
    pub(super) compressed: bool,
}

/// Why there is no head: the request could not be put together, or nothing came.
pub(super) enum Unasked {
    Refused(Refusal),
    Failed(Failed),
}

/// Asks, and writes the attempt on the account. When the provider refuses our credential and there is another one
/// for it, it is asked again with that: to be refused is not to be served, so nothing is billed twice. Both stand on
/// the account.
pub(super) async fn ask(
    session: &mut Session<'_>,
    account: &mut Account,
    sending: &Sending<'_>,
) -> Result<(Connection, Head), Unasked> {
    let asked = ask_as(session, account, sending).await?;
    let Sending { target, credential, .. } = *sending;
    let Some(other) = other_credential(target, credential, &asked.1) else { return Ok(asked) };
    // Its body is not read: the connection goes, and with it what the provider may have said of our key.
    drop(asked);
    let again = Box::pin(ask_as(session, account, &Sending { credential: Some(other), ..*sending })).await?;
    note_credential(target, Some(other), &again.1);
    Ok(again)
}

/// Notes what an answer means for the credential that was used. When it was refused: another one to ask with, once.
pub(in crate::exchange) fn other_credential<'a>(
    target: &'a Target,
    used: Option<&Bytes>,
    head: &Head,
) -> Option<&'a Bytes> {
    let other = note_credential(target, used, head)?;
    let (provider, status) = (&target.provider.name, head.status.as_u16());
    if status == 401 {
        tracing::warn!(
            provider = %provider,
            status,
            "the provider refused the gateway's credential; another one is used, and this one is put aside for {} s",
            ASIDE.as_secs()
        );
    } else {
        tracing::warn!(
            provider = %provider,
            status,
            "the provider refused a request with the gateway's credential; it is asked once more with another one"
        );
    }
    Some(other)
}

/// Notes what an answer means for the credential that was used, where the request is not sent again.
pub(in crate::exchange) fn note_credential<'a>(
    target: &'a Target,
    used: Option<&Bytes>,
    head: &Head,
) -> Option<&'a Bytes> {
    let used = used.filter(|_| !target.own_credential)?;
    target.provider.credential_after(used, target.dialect, head.status.as_u16())
}

/// Asks with one credential.
async fn ask_as(
    session: &mut Session<'_>,
    account: &mut Account,
    sending: &Sending<'_>,
) -> Result<(Connection, Head), Unasked> {
    let Sending { target, credential, segments, compressed } = *sending;
    let wire_head = request_head(session.head(), target, credential, segments.len(), compressed)
        .map_err(Unasked::Refused)?;
    let started = Instant::now();
    let asked = exchange(session, account, target, &wire_head, segments.parts()).await;
    let sent = account.sent.is_some();
    settle(account, target, asked, started.elapsed())
        .map_err(|failure| Unasked::Failed(Failed { failure, sent }))
}

/// Writes an attempt on the account.
pub(in crate::exchange) fn settle(
    account: &mut Account,
    target: &Target,
    asked: Result<(Connection, Head), Failure>,
    waited: Duration,
) -> Result<(Connection, Head), Failure> {
    account.upstream_wait_us += micros(waited);
    let sent = account.sent.take().is_some();
    match asked {
        Ok((connection, head)) => {
            let reason = reason_of(target, &head);
            note(account, target, Some(head.status.as_u16()), reason, waited, connection.reused());
            Ok((connection, head))
        }
        Err(failure) => {
            note(account, target, None, failure.reason(), waited, false);
            if sent && failure.may_be_billed() {
                account.lose_answer();
            }
            Err(failure)
        }
    }
}

/// What a head means for the attempt.
fn reason_of(target: &Target, head: &Head) -> Reason {
    match head.status.as_u16() {
        _ if refuses_us(target, head) => Reason::ProviderCredentialRefused,
        429 => Reason::ProviderRateLimited,
        400.. => Reason::ProviderError,
        _ => Reason::Completed,
    }
}

pub(in crate::exchange) fn note(
    account: &mut Account,
    target: &Target,
    status: Option<u16>,
    reason: Reason,
    waited: Duration,
    reused: bool,
) {
    let duration_us = micros(waited);
    account.attempts.push(Attempt {
        provider: Arc::clone(&target.provider.name),
        // With one place to go it is the record's own.
        model: target.place.as_ref().map(|_| Arc::clone(&target.model)),
        status,
        reason,
        duration_us,
        reused,
    });
}

/// One try, and up to [`REPEATS_MAX`] more when the provider cannot have begun to work: a pooled connection turns out to
/// have been closed before any byte of an answer, or the provider says so itself (HTTP/2). The account says when all
/// of it was first written: that a repetition was not does not unsay it.
pub(super) async fn exchange(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: &Bytes,
    body: &[Bytes],
) -> Result<(Connection, Head), Failure> {
    let timeouts = target.timeouts();
    let limit = timeouts.first_byte;
    let total_left = timeouts.total.saturating_sub(account.started.elapsed());
    let pool = &target.provider.pool;
    account.sent = None;
    let sent = &mut account.sent;
    let on_time = async {
        let mut connection = pool.get(timeouts.connect).await?;
        for _ in 0..REPEATS_MAX {
            match exchange_heads(&mut connection, head, body, sent).await {
                Err(fault) if connection.may_repeat(&fault, sent.map(|at| at.elapsed())) => {
                    connection = Box::pin(pool.again(connection, &fault, timeouts.connect)).await?;
                }
                Err(fault) => return Err(fault),
                Ok(answer) => return Ok((connection, answer)),
            }
        }
        let answer = exchange_heads(&mut connection, head, body, sent).await?;
        Ok((connection, answer))
    };
    tokio::select! {
        biased;
        outcome = on_time => outcome.map_err(Failure::Upstream),
        () = session.gone(), if !target.is_read_to_end() => Err(Failure::ClientGone),
        () = tokio::time::sleep(limit.min(total_left)) => {
            Err(if total_left <= limit { Failure::TotalTimeout } else { Failure::FirstByteTimeout(limit) })
        }
    }
}

async fn exchange_heads(
    connection: &mut Connection,
    head: &Bytes,
    body: &[Bytes],
    sent: &mut Option<Instant>,
) -> Result<Head, Fault> {
    connection.send(head, body).await?;
    sent.get_or_insert_with(Instant::now);
    connection.read_head().await
}
