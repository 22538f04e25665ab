//! What an exchange cost: its usage at the prices that its provider has for its model at the time it began.

use super::Account;
use narrows_llm::endpoint::Operation;
use narrows_meter::{Cost, Quote, Tariff};

/// What an exchange cost.
pub(super) struct Costs {
    pub(super) cost: Cost,
    /// The version of the prices where any were looked up, else 0.
    pub(super) prices: u64,
    /// What it cost at least, in nano-dollars: of one whose cost is not known, the price of what is known of it.
    pub(super) least: u64,
}

impl Costs {
    fn unknown() -> Costs {
        Costs { cost: Cost::Unknown, prices: 0, least: 0 }
    }

    pub(super) fn nothing() -> Costs {
        Costs { cost: Cost::ZERO, prices: 0, least: 0 }
    }
}

/// What it cost.
///
/// Nothing that is known to cost nothing is unknown: what was never sent to a provider, what no provider bills (lists of
/// models, counting of tokens, reading and deleting stored objects), and what the provider refused. All else is unknown
/// unless its usage is known and every bucket of it has a price; so is what was sent whole and never answered.
pub(super) fn of(account: &Account) -> Costs {
    if account.attempts.is_empty() || !may_cost(account) {
        return Costs::nothing();
    }
    let Some(provider) = &account.provider else { return Costs::nothing() };
    if account.usage.is_unknown() && account.own_cost.is_none() {
        return if account.is_lost || was_taken(account) { Costs::unknown() } else { Costs::nothing() };
    }
    let priced = account.own_cost.unwrap_or_else(|| {
        quote(account, &provider.tariff).map_or(Cost::Unknown, |quote| quote.cost(&account.usage))
    });
    Costs {
        cost: if lacks_output(account) { Cost::Unknown } else { priced },
        prices: account.snapshot.prices_version(),
        least: priced.nano_usd().unwrap_or(0),
    }
}

/// The price of the model that was asked of the provider, in the mode that it says it worked in. Where no price has its
/// name, as with a deployment's name of one's own, that of the model that the provider says it used.
fn quote<'a>(account: &Account, tariff: &'a Tariff) -> Option<Quote<'a>> {
    let names = [&account.model_sent, &account.model_answered];
    names.into_iter().flatten().find_map(|model| tariff.quote(model, account.mode, account.started_at_us))
}

/// Whether a provider bills what was asked for.
fn may_cost(account: &Account) -> bool {
    match account.operation {
        Some(Operation::Beside) => !account.reads_only,
        _ => account.spends(),
    }
}

/// A provider that answers so takes the request: success, or a change to another protocol.
pub(super) fn is_taken(status: u16) -> bool {
    matches!(status, 101 | 200..300)
}

/// Whether a provider took the request, whatever the caller was told afterwards.
fn was_taken(account: &Account) -> bool {
    account.attempts.iter().any(|attempt| attempt.status.is_some_and(is_taken))
}

/// Whether something was generated, or may have been, of which nothing is known: what is known of the usage would be too
/// little. Where no answer began, nothing was, unless one was waited for in vain.
pub(super) fn lacks_output(account: &Account) -> bool {
    if account.is_lost {
        return may_cost(account);
    }
    if account.own_cost.is_some() {
        return account.is_unread;
    }
    let generates = !matches!(account.operation, Some(Operation::Embed | Operation::Beside));
    generates && (account.usage.output().is_none() || account.is_unread) && was_taken(account)
}
