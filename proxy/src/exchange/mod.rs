//! One exchange, in nine steps.
//!
//! Each step is a file, takes the value that the step before made, and either makes the next one or a
//! [`Refusal`]. What is learnt on the way is written on the [`Account`], which settles exactly once on every exit:
//! success, refusal, client gone, upstream cut, and a panic in a step.

mod account;
mod admit;
mod attempt;
mod clients;
mod coding;
mod identify;
mod inspect;
mod read;
mod receive;
mod relay;
mod route;

pub(crate) use account::Account;
pub(crate) use relay::Ending;

use crate::gateway::Gateway;
use crate::respond::{self, Refusal};
use futures_util::FutureExt;
use narrows_policy::Reason;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use std::panic::AssertUnwindSafe;

/// Serves one request. `Ok` keeps the client's connection, an error closes it without a proper end, so that a cut
/// answer is never taken for a whole one.
pub(crate) async fn run(gateway: &Gateway, session: &mut Session) -> Result<()> {
    let mut account = Account::open(gateway);
    let ending = match AssertUnwindSafe(steps(gateway, session, &mut account)).catch_unwind().await {
        Ok(Ok(ending)) => ending,
        Ok(Err(refusal)) => respond::refuse(gateway, session, &mut account, refusal).await,
        Err(_panic) => {
            let refusal =
                Refusal::new(Reason::GatewayBug, "the gateway failed; the request was not completed");
            respond::refuse(gateway, session, &mut account, refusal).await
        }
    };
    account.settle(ending.reason);
    if ending.clean {
        Ok(())
    } else {
        Err(Error::explain(ErrorType::ConnectionClosed, ending.reason.as_str()))
    }
}

/// The steps, in order. Settling is the ninth; it happens in [`run`], whatever happens here.
async fn steps(gateway: &Gateway, session: &mut Session, account: &mut Account) -> Result<Ending, Refusal> {
    let received = receive::receive(session, account)?;
    if let Some(page) = received.answered_here() {
        return respond::page(session, account, page).await;
    }
    let identified = identify::identify(gateway, session, account, received)?;
    let request = read::read(gateway, session, account, identified).await?;
    let routed = route::route(account, request)?;
    let routed = match routed {
        route::Routed::Listing(listing) => return respond::page(session, account, listing).await,
        route::Routed::Upstream(routed) => routed,
    };
    let admitted = admit::admit(gateway, routed)?;
    let inspected = inspect::inspect(admitted)?;
    let answered = attempt::attempt(session, account, inspected).await?;
    relay::relay(gateway, session, account, answered).await
}
