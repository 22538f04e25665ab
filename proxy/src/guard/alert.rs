//! From a decision to an alert.

use super::Guard;
use crate::alerts::Alert;
use crate::exchange::Account;
use narrows_ledger::Inspection;
use narrows_policy::{Action, Decision, Stage, Surface};
use std::sync::Arc;

/// The alert of a decision about an exchange, if it asks for one.
pub(crate) fn alert(
    account: &Account,
    guard: &Guard,
    stage: Stage,
    inspection: &Inspection,
    decision: &Decision,
) -> Option<Alert> {
    if !decision.alerts() {
        return None;
    }
    let action = decision.would.unwrap_or(Action::Log);
    let detail = inspection.detail.as_deref();
    Some(Alert {
        caller: Arc::clone(&account.caller),
        surface: Surface::Gateway,
        stage,
        action,
        enforceable: inspection.enforceable,
        // A rule in audit lets through what it would stop.
        enforced: inspection.enforced && decision.action >= Some(action),
        rules: detail.map(|detail| detail.rules.clone()).unwrap_or_default(),
        explanation: detail.map(|detail| detail.explanation.clone()).unwrap_or_default(),
        conversation: account.conversation().map(Box::from),
        exchange: account.id(),
        provider: account.provider.as_ref().map(|provider| Arc::clone(&provider.name)),
        model: account.model_requested.clone(),
        policy_version: guard.policy_version(),
        findings: detail.map(|detail| detail.findings.clone()).unwrap_or_default(),
        alone: false,
    })
}
