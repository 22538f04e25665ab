//! One exchange, in nine steps.
//!
//! Each step is a file, takes the value that the step before made, and either makes the next one or a
//! [`Refusal`]. What is learnt on the way is written on the [`Account`], which settles exactly once on every exit:
//! success, refusal, client gone, upstream cut, and a panic in a step.

mod account;
mod admit;
mod attempt;
mod choice;
mod clients;
#[cfg(test)]
pub(crate) use clients::is_agent;
pub(crate) mod coding;
mod cost;
mod identify;
mod inspect;
mod objects;
mod pass;
mod read;
mod receive;
mod relay;
mod route;
mod scan;
mod shed;
mod socket;
mod tally;

pub(crate) use account::Account;
pub(crate) use relay::Ending;

use crate::downstream::Session;
use crate::gateway::Gateway;
use crate::respond::{self, Refusal};
use narrows_llm::endpoint::Operation;
use narrows_policy::Reason;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

/// What budgets are charged at least for the exchange of a record, at the target that it names.
pub(crate) fn charged(record: &narrows_ledger::Record) -> narrows_ledger::Spent {
    admit::spent(record, 0)
}

/// An answer that did not reach its proper end, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut(pub(crate) Reason);

/// Serves one request. `Ok` keeps the client's connection, an error closes it without a proper end, so that a cut
/// answer is never taken for a whole one.
pub(crate) async fn run(gateway: &Gateway, session: &mut Session<'_>) -> Result<(), Cut> {
    let mut account = Account::open(gateway);
    let outcome = {
        let steps = pin!(steps(gateway, session, &mut account));
        caught(steps).await
    };
    let ending = match outcome {
        Ok(ending) => ending,
        // Boxed, like every future of a rare path: a request's own future stays small and is cheap to make.
        Err(refusal) => Box::pin(respond::refuse(gateway, session, &mut account, refusal)).await,
    };
    account.settle(ending.reason);
    if ending.clean { Ok(()) } else { Err(Cut(ending.reason)) }
}

/// Turns a panic in a step into a refusal. The future is polled where it stands: moving it would copy kilobytes.
async fn caught<F>(mut steps: Pin<&mut F>) -> Result<Ending, Refusal>
where
    F: Future<Output = Result<Ending, Refusal>>,
{
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| steps.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_panic) => Poll::Ready(Err(Refusal::new(
            Reason::GatewayBug,
            "the gateway failed; the request was not completed",
        ))),
    })
    .await
}

/// The steps, in order. Settling is the ninth; it happens in [`run`], whatever happens here.
async fn steps(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
) -> Result<Ending, Refusal> {
    let received = match receive::receive(session, account)? {
        receive::Arrived::Inference(received) => received,
        receive::Arrived::Beside(asked) => {
            return Box::pin(pass::run(gateway, session, account, *asked)).await;
        }
    };
    if let Some(page) = received.answered_here() {
        return Box::pin(respond::page(session, account, page)).await;
    }
    let identified = identify::identify(gateway, session, account, received)?;
    let identified = shed::shed(gateway, account, identified)?;
    if identified.received.operation.is_conversation() {
        return Box::pin(socket::serve(gateway, session, account, identified)).await;
    }
    let request = read::read(gateway, session, account, identified).await?;
    if request.operation == Operation::Scan {
        return Box::pin(scan::serve(session, account, request)).await;
    }
    let request = if objects::may_refer(account, &request) {
        Box::pin(objects::refer(gateway, account, request)).await?
    } else {
        request
    };
    let routed = route::route(account, request)?;
    let routed = match routed {
        route::Routed::Listing(listing) => return Box::pin(respond::page(session, account, listing)).await,
        route::Routed::Upstream(routed) => routed,
    };
    let admitted = admit::admit(gateway, session, account, routed).await?;
    let inspected = inspect::inspect(session, account, admitted).await?;
    let answered = attempt::attempt(session, account, inspected).await?;
    relay::relay(gateway, session, account, answered).await
}
