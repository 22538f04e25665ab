//! Step 8: the answer, from the provider to the client.
//!
//! A stream passes as it comes: bytes that need no change are forwarded as the `Bytes` they came in, what was
//! readable together is written together, and nothing is waited for. Any other answer is held whole and sent with
//! its length, so that a provider that fails half-way gives the client an error and not half a body.

mod boundary;
mod inspect;
mod meter;
mod stream;
mod upstream;
mod whole;

use super::account::Account;
use super::attempt::Answered;
use crate::downstream::{Length, Lost, OutHead, Session};
use crate::gateway::Gateway;
use crate::respond::Refusal;
use crate::upstream::head::{Content, Head};
use narrows_llm::Dialect;
use narrows_policy::Reason;
use stream::Stream;
pub(super) use upstream::{Next, Stop, Upstream};
use whole::Arrived;

/// How an exchange ended, and whether the client's connection is in a state to be used again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) reason: Reason,
    /// Whether the answer reached its proper end.
    pub(crate) clean: bool,
}

impl Ending {
    /// The ending of an exchange whose answer was written whole, or not.
    pub(crate) fn from_write(written: Result<(), Lost>, reason: Reason) -> Ending {
        match written {
            Ok(()) => Ending { reason, clean: true },
            Err(lost) => Ending { reason: lost.reason(), clean: false },
        }
    }
}

/// Relays the answer and leaves its usage on the account.
pub(crate) async fn relay(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    answered: Answered,
) -> Result<Ending, Refusal> {
    let Answered { target, connection, head, early } = answered;
    let success = head.status.is_success();
    // What the provider answers decides, not what was asked. Gemini streams a JSON array to those who do not ask
    // for events.
    let array = target.stream && target.dialect == Dialect::GeminiGenerate;
    account.streamed = success && (head.content == Content::Events || array);
    inspect::admit(account)?;
    session.set_write_timeout(target.timeouts().idle);
    let upstream = Upstream::new(account, &target, connection);
    if account.streamed {
        let stream = Stream::new(account, upstream, &target, &head)?;
        return Ok(stream.run(session, account, head).await);
    }
    whole::whole(gateway, session, account, Arrived { upstream, head, early }, &target).await
}

/// How an exchange ends whose answer is passed on whole: by what the provider's head said.
pub(super) fn ending_reason(account: &Account) -> Reason {
    if head_is_error(account) { error_reason(account) } else { Reason::Completed }
}

/// Sends a provider's head on, with our id on it.
pub(super) async fn send_head(
    session: &mut Session<'_>,
    account: &mut Account,
    head: &Head,
    length: Length,
    more_follows: bool,
) -> Result<(), Lost> {
    let fields = account.name_fields(head);
    account.answered(head.status.as_u16());
    let out = OutHead {
        status: head.status,
        reason: head.reason.as_deref(),
        fields: &fields,
        has_date: head.has_date,
        length,
    };
    session.write_head(&out, more_follows).await
}

fn head_is_error(account: &Account) -> bool {
    account.attempts.last().is_some_and(|attempt| attempt.reason != Reason::Completed)
}

fn error_reason(account: &Account) -> Reason {
    account.attempts.last().map_or(Reason::ProviderError, |attempt| attempt.reason)
}
