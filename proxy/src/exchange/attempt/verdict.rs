//! What a failed attempt means: for the target, and for what is tried next.

use super::{Failed, Failure, refuses_us};
use crate::exchange::route::Target;
use crate::snapshot::route::{Outcome, Picked};
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

/// What an accepted answer says of the target. One to a client's own credential says nothing of ours: it ends no time
/// for which the target was set aside.
pub(super) fn of_success(target: &Target, picked: Picked) -> Outcome {
    let vouches = !target.own_credential || target.provider.credential(target.dialect).is_none();
    if vouches || picked.is_usual() { Outcome::Answered } else { Outcome::Unknown }
}

/// Judges an answer with an error's head; `body` is as much of its body as was read.
pub(super) fn of_error(target: &Target, head: &Head, body: &[u8]) -> Verdict {
    let verdict = judged(target, head, body);
    let of_account = matches!(
        verdict.outcome,
        Outcome::Aside(_) | Outcome::AccountRefused | Outcome::RequestRefused | Outcome::Answered
    );
    // A limit or a quota of the client's own account is nothing to anybody else.
    if target.own_credential && (of_account || head.status.as_u16() == 429) {
        return Verdict { outcome: Outcome::Unknown, ..verdict };
    }
    verdict
}

fn judged(target: &Target, head: &Head, body: &[u8]) -> Verdict {
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
        // The client's request is the cause, and says nothing of the target.
        Failure::Upstream(Fault::Unsayable(_)) => (Again::Never, Outcome::Unknown),
        Failure::Upstream(Fault::NotBegun(_) | Fault::WantsH1 | Fault::Full(_)) => {
            (Again::Anywhere, Outcome::Unanswered)
        }
        // What was sent whole the provider may be at work on, and bill.
        _ if failed.sent && !after_sent => (Again::Never, Outcome::Unanswered),
        _ => (Again::Anywhere, Outcome::Unanswered),
    };
    Verdict { again, hint: None, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::route::tests::snapshot;
    use crate::snapshot::route::only;
    use crate::upstream::head::parse_head;
    use bytes::Bytes;
    use narrows_llm::Dialect;
    use narrows_llm::endpoint::Operation;
    use std::sync::Arc;

    fn target(own_credential: bool) -> Target {
        let snapshot = snapshot();
        Target {
            operation: Operation::Generate,
            dialect: Dialect::OpenaiChat,
            provider: Arc::clone(snapshot.provider("a").unwrap()),
            model: Arc::from("m"),
            stream: false,
            asks_for_usage: false,
            own_credential,
            place: None,
        }
    }

    fn outcome(own_credential: bool, head: &str) -> Outcome {
        let head = Bytes::from(format!("HTTP/1.1 {head}content-length: 0\r\n\r\n"));
        of_error(&target(own_credential), &parse_head(&head).unwrap(), b"").outcome
    }

    #[test]
    fn what_a_clients_own_account_is_told_sets_nothing_aside() {
        let aside = "429 Too Many Requests\r\nretry-after: 60\r\n";
        assert_eq!(outcome(false, aside), Outcome::Aside(Duration::from_secs(60)));
        assert_eq!(outcome(false, "402 Payment Required\r\n"), Outcome::AccountRefused);
        assert_eq!(outcome(false, "401 Unauthorized\r\n"), Outcome::AccountRefused);
        assert_eq!(outcome(false, "429 Too Many Requests\r\n"), Outcome::Failed);
        for head in [aside, "402 Payment Required\r\n", "429 Too Many Requests\r\n"] {
            assert_eq!(outcome(true, head), Outcome::Unknown, "{head}");
        }
        assert_eq!(outcome(true, "500 Oh\r\n"), Outcome::Failed, "that is the provider's own trouble");
    }

    #[test]
    fn a_request_that_cannot_be_said_is_held_against_nobody() {
        let failed = Failed { failure: Failure::Upstream(Fault::Unsayable("no")), sent: false };
        let verdict = of_failure(&failed, true);
        assert_eq!((verdict.again, verdict.outcome), (Again::Never, Outcome::Unknown));
    }

    #[test]
    fn what_a_clients_own_account_is_granted_ends_no_time_set_aside() {
        let snapshot = snapshot();
        let usual = snapshot.routes()[0].pick_usable(1, only(0)).unwrap();
        let forced = snapshot.routes()[0].least_bad(only(0)).unwrap();
        assert_eq!(of_success(&target(false), forced), Outcome::Answered);
        assert_eq!(of_success(&target(true), usual), Outcome::Answered);
        assert_eq!(of_success(&target(true), forced), Outcome::Unknown);
    }
}
