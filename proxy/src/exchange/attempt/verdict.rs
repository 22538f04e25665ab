//! What a failed attempt means: for the target, and for what is tried next.

use super::{Failed, Failure, refuses_us};
use crate::exchange::route::Target;
use crate::snapshot::route::Outcome;
use crate::upstream::Fault;
use crate::upstream::head::Head;
use narrows_llm::retry_hint;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who may be asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nobody.
    Never,
    /// Another target only: this one would say the same.
    Elsewhere,
    /// Another target, or this one after a wait.
    Anywhere,
}

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) again: Again,
    /// How long the provider asked to be left alone.
    pub(super) hint: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// Statuses that another attempt may not get: what they say is about the moment, not about the request. 529 is
/// Anthropic's "overloaded"; 402 is an account without credit.
const PASSING: [u16; 8] = [402, 408, 429, 500, 502, 503, 504, 529];

/// Whether the client gets an answer with this head whatever else could be tried.
pub(super) fn is_accepted(target: &Target, head: &Head) -> bool {
    let status = head.status.as_u16();
    !PASSING.contains(&status) && !refuses_us(target, head) && (status < 400 || !asks_to_repeat(head))
}

/// Whether the provider itself says that asking again makes sense, whatever the status.
fn asks_to_repeat(head: &Head) -> bool {
    head.field("x-should-retry") == Some(b"true")
}

/// Judges an answer with an error's head; `body` is as much of its body as was read.
pub(super) fn of_error(target: &Target, head: &Head, body: &[u8]) -> Verdict {
    let status = head.status.as_u16();
    if refuses_us(target, head) {
        let outcome = if status == 401 { Outcome::AccountRefused } else { Outcome::RequestRefused };
        return Verdict { again: Again::Elsewhere, hint: None, outcome };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let hint = retry_hint::read(head.fields(), body, now_us);
    if status == 402 || (status == 429 && hint.quota) {
        return Verdict { again: Again::Elsewhere, hint: None, outcome: Outcome::AccountRefused };
    }
    let after = if status == 429 { hint.after.or(hint.reset) } else { hint.after };
    let again = if hint.should == Some(false) { Again::Elsewhere } else { Again::Anywhere };
    let outcome = match after {
        Some(after) => Outcome::Aside(after),
        // A conflict that the provider wants to see again is no fault of the target.
        None if !PASSING.contains(&status) => Outcome::Answered,
        None => Outcome::Failed,
    };
    Verdict { again, hint: after, outcome }
}

/// Judges an attempt that got no head.
pub(super) fn of_failure(failed: &Failed, after_sent: bool) -> Verdict {
    let (again, outcome) = match &failed.failure {
        Failure::ClientGone | Failure::TotalTimeout => (Again::Never, Outcome::Unknown),
        Failure::Upstream(fault) if fault.is_unreachable() => (Again::Anywhere, Outcome::Unreachable),
        Failure::Upstream(Fault::NotBegun(_)) => (Again::Anywhere, Outcome::Unanswered),
        // What was sent whole the provider may be at work on, and bill.
        _ if failed.sent && !after_sent => (Again::Never, Outcome::Unanswered),
        _ => (Again::Anywhere, Outcome::Unanswered),
    };
    Verdict { again, hint: None, outcome }
}
