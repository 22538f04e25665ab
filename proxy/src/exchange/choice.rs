//! The choice among the targets of a model, for one exchange.

use super::Account;
use super::inspect::spliced;
use super::read::Request;
use super::route::{self, Asked, Chosen, Target};
use crate::respond::Refusal;
use crate::snapshot::route::{Outcome, Picked, Route, RouteTarget, Set, only};
use bytes::Bytes;
use narrows_llm::request::{self, Segments};
use narrows_policy::Reason;
use std::sync::Arc;

/// Where a request may still go, and what is needed to send it there. Kept beside the request, and made only for
/// models with targets.
pub(crate) struct Choice {
    pub(crate) route: Arc<Route>,
    /// The target that is asked now.
    pub(crate) picked: Picked,
    /// Those that were not asked yet.
    left: Set,
    /// What decides between targets.
    key: u64,
    /// Whether the conversation is bound to the account of the target that is asked.
    pub(crate) bound: bool,
    requested: Arc<str>,
    wire: Bytes,
    text: Bytes,
    compressed: bool,
}

/// Chooses the first target.
pub(super) fn choose(account: &Account, asked: &Asked<'_>, route: Arc<Route>) -> Result<Chosen, Refusal> {
    let Asked { request, head, requested, stream } = *asked;
    let able = able(request, requested, &route)?;
    let open = able & route.those(RouteTarget::takes_new);
    let key = account.random_key();
    let Some(picked) = route.pick(key, open) else {
        let message =
            format!("every target of the model {requested:?} has been disabled or drained by an operator");
        return Err(Refusal::new(Reason::TargetDisabled, message));
    };
    let choice = Choice {
        picked,
        left: open & !only(picked.index),
        key,
        bound: false,
        requested: Arc::clone(requested),
        wire: request.body.wire.clone(),
        text: request.body.text.clone(),
        compressed: request.body.compressed,
        route,
    };
    let Some(mut target) = choice.target(request.operation, request.dialect, stream, request.own_credential)
    else {
        return Err(Refusal::new(Reason::GatewayBug, "a target that was chosen is not there"));
    };
    let edits = route::edits(head, requested, &mut target);
    Ok(Chosen { target, edits, choice: Some(Box::new(choice)) })
}

/// The targets that could serve this request: they speak its dialect, its key may use their model, and a credential
/// of the client's own goes nowhere but to the provider it would go to anyway.
fn able(request: &Request, requested: &str, route: &Route) -> Result<Set, Refusal> {
    let speaks = route.those(|target| target.provider.kind.speaks(request.dialect));
    if speaks == 0 {
        let names: Vec<&str> = route.targets.iter().map(|target| &*target.provider.name).collect();
        let message = format!(
            "the model {requested:?} is served by {}, none of which speaks {}",
            names.join(", "),
            request.dialect.as_str()
        );
        return Err(Refusal::new(Reason::DialectUnsupported, message));
    }
    let key = request.key.as_deref();
    let may_use = |target: &RouteTarget| {
        route::allow(key, requested, target.model.as_deref().unwrap_or(requested)).is_ok()
    };
    let allowed = speaks & route.those(may_use);
    if allowed == 0 {
        route::allow(key, requested, requested)?;
    }
    let passes = allowed & route.those(|target| target.provider.client_credentials);
    match route.targets.get(passes.trailing_zeros() as usize) {
        Some(first) if request.own_credential => {
            Ok(passes & route.those(|target| target.provider.name == first.provider.name))
        }
        _ => Ok(allowed),
    }
}

impl Choice {
    fn target(
        &self,
        operation: narrows_llm::endpoint::Operation,
        dialect: narrows_llm::Dialect,
        stream: bool,
        own_credential: bool,
    ) -> Option<Target> {
        let place = self.route.targets.get(self.picked.index)?;
        Some(Target {
            operation,
            dialect,
            provider: Arc::clone(&place.provider),
            model: place.model.clone().unwrap_or_else(|| Arc::clone(&self.requested)),
            stream,
            asks_for_usage: false,
            own_credential: own_credential && place.provider.client_credentials,
            place: Some((Arc::clone(&self.route), self.picked.index)),
        })
    }

    /// Goes on to a target that was not asked yet. False if there is none that is in use, or with `any` none at all.
    pub(super) fn next(&mut self, any: bool) -> bool {
        let left = if self.bound { 0 } else { self.left };
        let picked = self.route.pick_usable(self.key, left);
        let picked = picked.or_else(|| self.route.least_bad(left).filter(|_| any));
        let Some(picked) = picked else { return false };
        self.left &= !only(picked.index);
        self.picked = picked;
        true
    }

    /// Asks the same target once more.
    pub(super) fn again(&mut self) {
        if let Some(picked) = self.route.insist(self.picked.index) {
            self.picked = picked;
        }
    }

    /// The target that is asked now, and the body as it wants it. `before` is the one that was asked before.
    pub(super) fn prepared(&self, before: &Target) -> Result<(Target, Segments, bool), Refusal> {
        let target = self.target(before.operation, before.dialect, before.stream, before.own_credential);
        let Some(mut target) = target else {
            return Err(Refusal::new(Reason::GatewayBug, "a target that was chosen is not there"));
        };
        let head = request::head(&self.text).map_err(|fault| route::refuse_body(&fault))?;
        let edits = route::edits(&head, &self.requested, &mut target);
        let compressed = self.compressed && edits.is_empty();
        Ok((target, spliced(self.wire.clone(), &self.text, edits)?, compressed))
    }

    /// Takes what became of the attempt.
    pub(super) fn tell(&self, outcome: Outcome) {
        self.route.tell(self.picked, outcome);
    }
}
