//! Between steps 2 and 3: whether the gateway has room for one more exchange. A caller is known, so a flood of
//! strangers is refused before it and never takes anybody's place; no body was read, so a refusal costs next to nothing.

use super::Account;
use super::identify::Identified;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use http::header;
use narrows_policy::Reason;

/// Seconds that callers are asked to wait, one of these by chance: those who are refused together shall not come back
/// together.
const RETRY_AFTER: [&str; 4] = ["1", "2", "3", "4"];

/// Lets the exchange go on, unless too many are open or the workers are late.
pub(crate) fn shed(
    gateway: &Gateway,
    account: &Account,
    identified: Identified,
) -> Result<Identified, Refusal> {
    check(gateway, account)?;
    Ok(identified)
}

/// Refuses while too many exchanges are open or the workers are late.
pub(super) fn check(gateway: &Gateway, account: &Account) -> Result<(), Refusal> {
    let cause = if gateway.exchanges_open() > account.snapshot.limits.exchanges {
        "the gateway has as many exchanges open as it may (limits.exchanges)"
    } else if gateway.overload.sheds(account.id) {
        "the gateway is overloaded and refuses a part of new exchanges to keep the others on time"
    } else {
        return Ok(());
    };
    let place = usize::try_from(account.id >> 8 & 3).unwrap_or_default();
    let wait = RETRY_AFTER.get(place).copied().unwrap_or("1");
    Err(Refusal::new(Reason::Overloaded, cause).with_header(header::RETRY_AFTER, wait))
}
