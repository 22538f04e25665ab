//! The choice among the targets of a model, for one exchange.

use super::account::{Account, REFERENCE};
use super::inspect::spliced;
use super::read::Request;
use super::route::{self, Asked, Chosen, Target};
use crate::respond::Refusal;
use crate::snapshot::route::{Outcome, Picked, Route, RouteTarget, Set, only};
use crate::targets::rendezvous::mix;
use bytes::Bytes;
use narrows_llm::request::affinity::affinity;
use narrows_llm::request::{self, Edit, Segments};
use narrows_policy::Reason;
use std::ops::Range;
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
    /// The key of the conversation, if it is known by anything.
    pub(super) conversation: Option<u64>,
    /// Whether the conversation is bound to the account of the target that is asked.
    pub(crate) bound: bool,
    requested: Arc<str>,
    wire: Bytes,
    text: Bytes,
    compressed: bool,
    /// What masks the body, for whichever target.
    pub(super) masks: Vec<Edit>,
}

/// Chooses the first target.
pub(super) fn choose(account: &Account, asked: &Asked<'_>, route: Arc<Route>) -> Result<Chosen, Refusal> {
    let Asked { request, head, requested, stream } = *asked;
    let able = able(request, requested, &route)?;
    let tie = Tie::of(account, request);
    let open = able & route.those(RouteTarget::takes_new);
    let key = tie.conversation.unwrap_or_else(|| account.random_key());
    let usable = able & route.those(RouteTarget::takes_bound);
    let pinned = tie.pinned.as_deref().and_then(|name| route.place_of(name));
    // What the request refers to can be read where it is kept only, whatever the rest of the conversation was.
    let home = request.keeper.as_deref().and_then(|keeper| {
        let there = route.those(|target| *target.provider.name == *keeper) & usable;
        pinned.filter(|place| there & only(*place) != 0).or_else(|| route.place_at(keeper, usable))
    });
    let kept = || tie.keeper.as_deref().and_then(|provider| route.place_at(provider, usable));
    let pinned = home.or(pinned).or_else(kept);
    let is_bound = tie.bound || home.is_some();
    let picked = if is_bound {
        bound(&route, requested, key, able, pinned)?
    } else {
        // Where the conversation was last its prompt is cached: it stays there as long as that is in use.
        let stays = usable & pinned.map_or(0, only);
        let Some(picked) = route.pick_usable(key, stays).or_else(|| route.pick(key, open)) else {
            let message = format!(
                "every target of the model {requested:?} has been disabled or drained by an operator"
            );
            return Err(Refusal::new(Reason::TargetDisabled, message));
        };
        picked
    };
    let choice = Choice {
        picked,
        left: open & !only(picked.index),
        key,
        conversation: tie.conversation,
        bound: is_bound,
        requested: Arc::clone(requested),
        wire: request.body.wire.clone(),
        text: request.body.text.clone(),
        compressed: request.body.compressed,
        masks: Vec::new(),
        route,
    };
    let Some(mut target) = choice.target(request.operation, request.dialect, stream, request.own_credential)
    else {
        return Err(Refusal::new(Reason::GatewayBug, "a target that was chosen is not there"));
    };
    let edits = route::edits(head, requested, &mut target);
    Ok(Chosen { target, edits, choice: Some(Box::new(choice)) })
}

/// What ties a request to a target.
struct Tie {
    /// The key of the conversation, if it is known by anything.
    conversation: Option<u64>,
    /// The target that it was on.
    pinned: Option<Arc<str>>,
    /// The provider that has what the request builds on, when no target is remembered.
    keeper: Option<Arc<str>>,
    /// Whether it can be nowhere else.
    bound: bool,
}

impl Tie {
    fn of(account: &Account, request: &Request) -> Tie {
        let text: &[u8] = &request.body.text;
        let found = affinity(text);
        let cut = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        let turn_state = account.turn_state();
        let conversation = match (account.conversation(), &found.named) {
            (Some(name), _) => Some(account.pin_key("conversation", name.as_bytes())),
            (None, Some(name)) => Some(account.pin_key("name", cut(name))),
            (None, None) if found.beginning.is_empty() => turn_state,
            (None, None) => {
                let mut key = 0;
                for part in &found.beginning {
                    key = mix(key ^ account.pin_key("beginning", cut(part)));
                }
                Some(key)
            }
        };
        // The most exact first: what the request builds on, the state it brings back, the conversation as a whole.
        let references = found.references.iter().map(|id| account.pin_key(REFERENCE, cut(id)));
        let mut keys = references.chain(turn_state).chain(conversation);
        let pinned = keys.find_map(|key| account.pinned(key));
        let kept = |id| account.keeper(std::str::from_utf8(cut(id)).ok()?);
        Tie {
            keeper: if pinned.is_none() { found.references.iter().find_map(kept) } else { None },
            pinned,
            conversation,
            bound: found.bound || turn_state.is_some(),
        }
    }
}

/// The target of a conversation that can be nowhere else: where it was, or, when that is not remembered, where all
/// replicas begin it.
fn bound(
    route: &Route,
    requested: &str,
    key: u64,
    able: Set,
    pinned: Option<usize>,
) -> Result<Picked, Refusal> {
    let place = pinned.or_else(|| route.home(key, able & route.those(RouteTarget::takes_new)));
    let place = place.or_else(|| route.home(key, able & route.those(RouteTarget::takes_bound)));
    let usable = able & route.those(RouteTarget::takes_bound);
    if let Some(picked) =
        place.filter(|place| usable & only(*place) != 0).and_then(|place| route.insist(place))
    {
        return Ok(picked);
    }
    let name =
        place.and_then(|place| route.targets.get(place)).map_or("its target", |target| &target.health.name);
    let message = format!(
        "this conversation with {requested:?} carries state that only the account of {name} can read, and {name} \
         cannot be used for it now; begin a new conversation, or try again later"
    );
    Err(Refusal::new(Reason::TargetBound, message))
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

    /// The body goes on as it reads, whatever its coding was.
    pub(super) fn decompress(&mut self) {
        (self.wire, self.compressed) = (self.text.clone(), false);
    }

    /// The target that is asked now, and the body as it wants it. `before` is the one that was asked before.
    pub(super) fn prepared(&self, before: &Target) -> Result<(Target, Segments, bool), Refusal> {
        let target = self.target(before.operation, before.dialect, before.stream, before.own_credential);
        let Some(mut target) = target else {
            return Err(Refusal::new(Reason::GatewayBug, "a target that was chosen is not there"));
        };
        let head = request::head(&self.text).map_err(|fault| route::refuse_body(&fault))?;
        let mut edits = route::edits(&head, &self.requested, &mut target);
        edits.extend(self.masks.iter().cloned());
        let compressed = self.compressed && edits.is_empty();
        Ok((target, spliced(self.wire.clone(), &self.text, edits)?, compressed))
    }

    /// Every place that the request may still go to: the provider, and the model there.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        let places = self.route.targets.iter().enumerate().filter(|(at, _)| self.left & only(*at) != 0);
        places.map(|(_, target)| (&*target.provider.name, target.model.as_deref().unwrap_or(&self.requested)))
    }

    /// The name of the target that is asked now.
    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.route.targets.get(self.picked.index).map(|target| &target.health.name)
    }

    /// Takes what became of the attempt.
    pub(super) fn tell(&self, outcome: Outcome) {
        self.route.tell(self.picked, outcome);
    }
}
