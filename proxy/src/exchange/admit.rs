//! Step 5: whether there is room and leave for the exchange.

use super::Account;
use super::route::Upstream;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use narrows_policy::Reason;

/// A request that may go on.
pub(crate) struct Admitted(pub(crate) Upstream);

/// Admits the request, unless the gateway is stopping or records are required and cannot be kept.
pub(crate) fn admit(gateway: &Gateway, account: &Account, upstream: Upstream) -> Result<Admitted, Refusal> {
    check(gateway, account)?;
    Ok(Admitted(upstream))
}

/// Refuses while the gateway is stopping, or records are required and cannot be kept.
pub(super) fn check(gateway: &Gateway, account: &Account) -> Result<(), Refusal> {
    if gateway.is_closing() {
        return Err(Refusal::new(Reason::ShuttingDown, "the gateway is shutting down; try again").closing());
    }
    if account.snapshot.audit_required && !gateway.ledger.accepting() {
        return Err(Refusal::new(
            Reason::AuditUnavailable,
            "records are required and cannot be kept at the moment; try again shortly",
        ));
    }
    Ok(())
}
