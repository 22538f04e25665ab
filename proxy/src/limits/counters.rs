//! What keeps counters, seen from an exchange: all that apply are asked at once, and settled one by one.
//!
//! The process keeps them ([`Limits`](super::Limits)), alone or with others: counters that gateways share
//! ([`Shared`](super::shared::Shared)) answer [`reserve`](Counters::reserve) with one round trip, and take settlements without
//! anybody waiting for it.

use super::headers::Rooms;
use super::hold::{Crossed, Hold};
use super::rule::Rule;
use super::shared::Teller;
use narrows_ledger::Spent;
use narrows_llm::request::Bounds;
use narrows_policy::Facts;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// What is asked of all counters that apply to an exchange.
pub(crate) struct Ask<'a> {
    /// Who asks, for what.
    pub(crate) facts: Facts<'a>,
    /// The prompt's tokens, estimated.
    pub(crate) prompt: u64,
    /// What bounds the answer; `None` for what has none.
    pub(crate) bounds: Option<Bounds>,
    /// What so many tokens of prompt and answer cost at most, in nano-dollars; `None` when no price is known.
    pub(crate) price: &'a (dyn Fn(u64, u64) -> Option<u64> + Sync),
    /// Only rules that the target decides about: the others were asked for the target before.
    pub(crate) of_target_only: bool,
    /// Whether rules that hold a request up have done so: they let it pass now, or refuse it.
    pub(crate) waited: bool,
}

/// Why there is no leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The rate limit of requests or tokens is reached.
    TooFast,
    /// So many exchanges are open.
    TooManyAtOnce,
    /// The request alone is larger than the limit.
    TooLarge,
    /// The budget is spent, or what is left is too little for the request.
    Spent,
    /// Open exchanges hold what is left of the budget.
    Held,
    /// No price is known for the model.
    NoPrice,
    /// There are too many counters.
    Uncounted,
}

/// A refusal by one rule.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The rule.
    pub(crate) rule: Arc<Rule>,
    /// Why.
    pub(crate) why: Why,
    /// When a retry can succeed at the earliest; `None` if none can that is worth waiting for.
    pub(crate) retry: Option<Duration>,
    /// Whether the rule would rather hold the request up, and then ask again.
    pub(crate) may_wait: Option<Duration>,
    /// What happened and what to do, for people.
    pub(crate) message: Cow<'static, str>,
    /// How the limits stand.
    pub(crate) rooms: Rooms,
}

impl Refused {
    /// A refusal by a rule.
    pub(super) fn new(rule: &Arc<Rule>, why: Why, retry: Option<Duration>, message: String) -> Box<Refused> {
        Box::new(Refused {
            rule: Arc::clone(rule),
            why,
            retry,
            may_wait: None,
            message: message.into(),
            rooms: Rooms::default(),
        })
    }
}

/// What an exchange came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CameTo {
    /// In every unit. All zero gives everything back.
    pub(crate) spent: Spent,
    /// Whether more tokens may have been used than are known.
    pub(crate) is_unread: bool,
}

/// Keeps counters.
pub(crate) trait Counters {
    /// Holds room in every counter that applies, into `hold`, or in none.
    fn reserve(
        &self,
        rules: &super::Rules,
        ask: &Ask<'_>,
        hold: &mut Hold,
    ) -> impl Future<Output = Result<(), Box<Refused>>> + Send;

    /// Settles what was held, and tells which thresholds are crossed. Where others count, too, that is known later, and then
    /// `teller` is told.
    fn settle(&self, hold: Hold, came_to: CameTo, teller: impl FnOnce() -> Teller) -> Vec<Crossed>;
}
