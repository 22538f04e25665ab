//! A model with targets: one that fails gives way to the next, before the client has seen anything.
//!
//! A failure goes on to another target at once. When no other is in use, the same one is asked again after a wait, if
//! that can help. What the client gets in the end is the last attempt's answer, byte for byte.

use super::early::{self, Early};
use super::once::{self, Sending, Unasked};
use super::verdict::{self, Again, Verdict};
use super::{Answered, Failed, Failure, credential_refused, refuses_us};
use crate::downstream::Session;
use crate::exchange::account::Account;
use crate::exchange::admit;
use crate::exchange::choice::Choice;
use crate::exchange::inspect::Inspected;
use crate::exchange::route::Target;
use crate::respond::Refusal;
use crate::snapshot::route::Outcome;
use crate::targets::health::{chance, now_ms};
use crate::upstream::connection::Connection;
use crate::upstream::head::Head;
use narrows_policy::Reason;
use std::time::Duration;

/// Doublings of the wait; beyond them `wait_max` holds anyway.
const DOUBLINGS_MAX: u32 = 16;

/// How an attempt ended that may not be the last.
enum End {
    /// With an error's head, and as much of its body as the limits allow.
    Error(Box<(Connection, Head, Early)>),
    /// Without a head.
    Failed(Failed),
}

/// Asks until a head is accepted or nothing is left that could help.
pub(super) async fn attempt(
    session: &mut Session<'_>,
    account: &mut Account,
    inspected: Inspected,
) -> Result<Answered, Refusal> {
    let Inspected { mut target, mut segments, mut compressed, share, choice } = inspected;
    let Some(mut choice) = choice else {
        return Err(Refusal::new(Reason::GatewayBug, "a model without targets was treated as one with them"));
    };
    let mut repeats = Repeats::new(account, &choice);
    loop {
        let credential = target.provider.credential(target.dialect);
        let sending = Sending { target: &target, credential, segments: &segments, compressed };
        let asked = once::ask(session, account, &sending).await;
        let (end, verdict) = match asked {
            Err(Unasked::Refused(refusal)) => {
                choice.tell(Outcome::Unknown);
                return Err(refusal);
            }
            Err(Unasked::Failed(failed)) => {
                let verdict = verdict::of_failure(&failed, choice.route.retries.after_sent);
                (End::Failed(failed), verdict)
            }
            Ok((connection, head)) if verdict::is_accepted(&target, &head) => {
                choice.tell(verdict::of_success(&target, choice.picked));
                if let Some(name) = choice.name() {
                    account.served_by(name, choice.conversation, &head);
                }
                account.provider_request_id.clone_from(&head.request_id);
                return Ok(Answered { target, connection, head, early: None });
            }
            Ok((mut connection, head)) => {
                let early = tokio::select! {
                    biased;
                    early = early::read(&mut connection) => early,
                    () = session.gone() => {
                        choice.tell(Outcome::Unknown);
                        return Err(Failure::ClientGone.refusal(&target.provider, account));
                    }
                };
                let verdict = verdict::of_error(&target, &head, &early.bytes);
                (End::Error(Box::new((connection, head, early))), verdict)
            }
        };
        choice.tell(verdict.outcome);
        match repeats.next(account, &mut choice, &target, verdict) {
            Step::Stop => {
                drop((segments, share));
                return end.last(account, &choice, target);
            }
            Step::Other => {
                end.release(&target);
                account.set_aside_lost();
                (target, segments, compressed) = choice.prepared(&target)?;
                account.ask_of(&target);
                admit::move_to(session, account, &target).await?;
            }
            Step::Same(wait) => {
                end.release(&target);
                tokio::select! {
                    biased;
                    () = session.gone() => return Err(Failure::ClientGone.refusal(&target.provider, account)),
                    () = tokio::time::sleep(wait) => {}
                }
                account.set_aside_lost();
                choice.again();
            }
        }
    }
}

impl End {
    /// What the client gets, when nothing else is tried.
    fn last(self, account: &mut Account, choice: &Choice, target: Target) -> Result<Answered, Refusal> {
        const BOUND: &str = "; the conversation is bound to this account, so no other target was asked";
        let refusal = match self {
            End::Error(error) => {
                let (connection, head, early) = *error;
                if !refuses_us(&target, &head) {
                    account.provider_request_id.clone_from(&head.request_id);
                    return Ok(Answered { target, connection, head, early: Some(early) });
                }
                credential_refused(&target, &head)
            }
            End::Failed(failed) => failed.failure.refusal(&target.provider, account),
        };
        let refusal = match others_before(account, &target) {
            names if names.is_empty() => refusal,
            names => refusal.and(&format!("; {} failed before it", names.join(", "))),
        };
        Err(if choice.bound { refusal.and(BOUND) } else { refusal })
    }

    /// Gives back the connection of an error that was read whole.
    fn release(self, target: &Target) {
        if let End::Error(error) = self {
            let (connection, _, _) = *error;
            if connection.is_done() {
                target.provider.pool.put(connection);
            }
        }
    }
}

/// Other providers that were asked, each once, in their order.
fn others_before<'a>(account: &'a Account, target: &Target) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for attempt in account.attempts.iter().filter(|attempt| attempt.provider != target.provider.name) {
        if !names.contains(&&*attempt.provider) {
            names.push(&attempt.provider);
        }
    }
    names
}

/// What is done after a failure.
enum Step {
    /// Nothing: the client gets it.
    Stop,
    /// Another target is asked.
    Other,
    /// The same one is asked again, after this time.
    Same(Duration),
}

/// How often an exchange has been repeated.
struct Repeats {
    attempts: usize,
    waits: u32,
}

impl Repeats {
    fn new(account: &Account, choice: &Choice) -> Repeats {
        let now = now_ms();
        account.snapshot.retry_budget.deposit(now);
        choice.route.budget.deposit(now);
        Repeats { attempts: 1, waits: 0 }
    }

    fn next(&mut self, account: &Account, choice: &mut Choice, target: &Target, verdict: Verdict) -> Step {
        let retries = &choice.route.retries;
        if verdict.again == Again::Never || self.attempts >= retries.attempts {
            return Step::Stop;
        }
        let (now, budget) = (now_ms(), &account.snapshot.retry_budget);
        if !budget.withdraw(now) {
            return Step::Stop;
        }
        if !choice.route.budget.withdraw(now) {
            budget.refund(now);
            return Step::Stop;
        }
        let same = self.wait(choice, target, account, verdict);
        if choice.next(same.is_none()) {
            self.attempts += 1;
            return Step::Other;
        }
        if let Some(wait) = same {
            self.attempts += 1;
            self.waits += 1;
            return Step::Same(wait);
        }
        budget.refund(now);
        choice.route.budget.refund(now);
        Step::Stop
    }

    /// How long to wait before the same target is asked again, if that makes sense.
    fn wait(
        &self,
        choice: &Choice,
        target: &Target,
        account: &Account,
        verdict: Verdict,
    ) -> Option<Duration> {
        if verdict.again != Again::Anywhere {
            return None;
        }
        let retries = &choice.route.retries;
        let chance = f64::from(chance(now_ms())) / f64::from(u32::MAX);
        let wait = match verdict.hint {
            Some(hint) if hint > retries.wait_max => return None,
            // Never before the provider wants to be asked, and not all of its callers at the same moment.
            Some(hint) => hint + hint.mul_f64(chance / 10.0),
            None => {
                let bound = retries.backoff.saturating_mul(1 << self.waits.min(DOUBLINGS_MAX));
                bound.min(retries.wait_max).mul_f64(chance)
            }
        };
        (account.started.elapsed() + wait < target.timeouts().total).then_some(wait)
    }
}
