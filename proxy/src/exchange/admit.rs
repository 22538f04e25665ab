//! Step 5: whether there is room and leave for the exchange.

use super::Account;
use super::cost::is_taken;
use super::route::{Target, Upstream};
use crate::alerts::Alert;
use crate::config::limits::Unit;
use crate::downstream::Session;
use crate::gateway::{Gateway, Shared};
use crate::limits::{Ask, Counters, Crossed, Refused, Rule, Teller, Why};
use crate::respond::Refusal;
use crate::snapshot::Provider;
use narrows_ledger::{Record, Spent};
use narrows_llm::request::Bounds;
use narrows_llm::stream::Progress;
use narrows_meter::Mode;
use narrows_policy::{Action, Caller, Facts, Reason, Stage, Surface};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request that may go on.
pub(crate) struct Admitted(pub(crate) Upstream);

/// Shortest wait of a request that is held up.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Admits the request, unless the gateway is stopping, records are required and cannot be kept, or a budget or a rate limit
/// has no room. One that only holds it up does so here.
pub(crate) async fn admit(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    upstream: Upstream,
) -> Result<Admitted, Refusal> {
    check(gateway, account)?;
    let want = Want {
        // What uses no tokens, such as counting them, only has to be in time.
        bounds: account.answer_bounds(),
        ..Want::beside(&upstream.target)
    };
    hold(session, account, &want).await?;
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

/// What room is wanted for.
#[derive(Clone, Copy)]
pub(super) struct Want<'a> {
    target: &'a Target,
    /// What bounds the answer; `None` where there are no tokens to reserve.
    bounds: Option<Bounds>,
    of_target_only: bool,
}

impl<'a> Want<'a> {
    /// For a path beside inference: what it costs turns out afterwards.
    pub(super) fn beside(target: &'a Target) -> Want<'a> {
        Want { target, bounds: None, of_target_only: false }
    }

    /// For a conversation: as for one answer without a bound.
    pub(super) fn conversation(target: &'a Target) -> Want<'a> {
        Want { bounds: Some(Bounds::default()), ..Want::beside(target) }
    }
}

/// Holds room in every budget and rate limit that applies, and writes it on the account.
pub(super) async fn hold(
    session: &mut Session<'_>,
    account: &mut Account,
    want: &Want<'_>,
) -> Result<(), Refusal> {
    if account.snapshot.rules.is_empty() {
        return Ok(());
    }
    match reserve(account, want, false).await {
        Ok(()) => Ok(()),
        // Boxed, like every future of a rare path.
        Err(refused) if refused.may_wait.is_some() => {
            Box::pin(wait(Some(session), account, want, refused)).await
        }
        Err(refused) => Err(refuse(account, *refused)),
    }
}

/// Holds room for a conversation whose model its first message names, if it does.
pub(super) async fn hold_conversation(
    account: &mut Account,
    target: &Target,
    model: Option<&str>,
) -> Result<(), Refusal> {
    let target = Target { model: Arc::from(model.unwrap_or_default()), ..target.clone() };
    let want = Want::conversation(&target);
    match reserve(account, &want, false).await {
        Ok(()) => Ok(()),
        // Boxed, like every future of a rare path. That the client goes ends the conversation, and this with it.
        Err(refused) if refused.may_wait.is_some() => Box::pin(wait(None, account, &want, refused)).await,
        Err(refused) => Err(refuse(account, *refused)),
    }
}

/// Another target is asked: what it decides about is given back for the one before, and held for it.
pub(super) async fn move_to(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
) -> Result<(), Refusal> {
    if account.snapshot.rules.is_empty() {
        return Ok(());
    }
    account.hold.leave_target();
    let bounds = account.answer_bounds();
    hold(session, account, &Want { target, bounds, of_target_only: true }).await
}

async fn reserve(account: &mut Account, want: &Want<'_>, waited: bool) -> Result<(), Box<Refused>> {
    let snapshot = Arc::clone(&account.snapshot);
    // Taken out, so that it gives everything back should nobody wait for the answer any more.
    let mut hold = std::mem::take(&mut account.hold);
    let Want { target, bounds, of_target_only } = *want;
    let requested = account.model_requested.as_deref().unwrap_or(&target.model);
    let (models, providers) = ([requested, &*target.model], [&*target.provider.name]);
    let models = if target.model.is_empty() { &[][..] } else { &models[..] };
    let at_us = account.started_at_us;
    let audio = account.prompt_media > 0;
    let mode = account.mode_asked;
    let price =
        |input, output| worst_price(&target.provider, &target.model, (input, output), audio, (mode, at_us));
    let ask = Ask {
        facts: Facts { models, providers: &providers, ..account.facts() },
        prompt: if bounds.is_some() { account.prompt_estimate() } else { 0 },
        bounds,
        price: &price,
        of_target_only,
        waited,
    };
    let reserved = account.gateway().limits.reserve(&snapshot.rules, &ask, &mut hold).await;
    account.rooms = hold.rooms;
    account.hold = hold;
    reserved
}

/// What so many tokens cost at most at a target, in nano-dollars; `None` when no price is known. Of the mode
/// asked for and the ordinary one the dearer counts: a provider that cannot serve in the one asked for serves in the ordinary one.
fn worst_price(
    provider: &Provider,
    model: &str,
    (input, output): (u64, u64),
    audio: bool,
    (mode, at_us): (Option<Mode>, i64),
) -> Option<u64> {
    let price =
        |mode| provider.tariff.quote(model, mode, at_us)?.upper_bound(input, output, audio).nano_usd();
    let ordinary = price(None)?;
    Some(mode.and_then(|mode| price(Some(mode))).map_or(ordinary, |asked| asked.max(ordinary)))
}

/// Whether a stream may go on that has come to this.
///
/// # Errors
/// When a budget that ends streams has no room for more of it.
pub(super) fn go_on(account: &mut Account, progress: &Progress) -> Result<(), Refusal> {
    let output = progress.output_tokens().unwrap_or(0);
    let input = progress.usage.input().unwrap_or_else(|| account.prompt_estimate());
    let (provider, model) = (account.provider.clone(), account.model_sent.clone());
    let (audio, at_us) = (account.prompt_media > 0, account.started_at_us);
    let mode = account.mode_asked;
    let so_far = |unit| match unit {
        Unit::Requests => Some(1),
        Unit::Tokens => Some(input.saturating_add(output)),
        Unit::Usd => {
            worst_price(provider.as_deref()?, model.as_deref()?, (input, output), audio, (mode, at_us))
        }
    };
    let grown = account.hold.grow(&so_far);
    grown.map_err(|refused| refuse(account, *refused))
}

/// Waits as long as the rules that hold requests up want it to, and no longer than they may.
async fn wait(
    mut session: Option<&mut Session<'_>>,
    account: &mut Account,
    want: &Want<'_>,
    mut refused: Box<Refused>,
) -> Result<(), Refusal> {
    let (started, mut waited) = (Instant::now(), false);
    while let Some(pause) = refused.may_wait {
        let is_budget = matches!(*refused.rule, Rule::Budget(_));
        if !is_budget && started.elapsed() + pause > refused.rule.delay() {
            break;
        }
        account.gateway().metrics.limit_waited(&refused.rule);
        tokio::select! {
            biased;
            () = gone(session.as_deref_mut()) => {
                return Err(Refusal::new(Reason::ClientGone, "the client is gone"));
            }
            () = tokio::time::sleep(pause.max(WAIT_MIN)) => {}
        }
        // A spent budget holds a request up once, all such budgets together.
        waited |= is_budget;
        match reserve(account, want, waited).await {
            Ok(()) => return Ok(()),
            Err(again) => refused = again,
        }
    }
    Err(refuse(account, *refused))
}

/// When the client goes; never where somebody else looks.
async fn gone(session: Option<&mut Session<'_>>) {
    match session {
        Some(session) => session.gone().await,
        None => std::future::pending().await,
    }
}

/// The refusal, counted.
fn refuse(account: &mut Account, refused: Refused) -> Refusal {
    let reason = match refused.why {
        Why::TooFast => Reason::RateLimited,
        Why::TooManyAtOnce => Reason::ConcurrencyLimited,
        Why::TooLarge => Reason::RequestOverLimit,
        Why::Spent => Reason::BudgetSpent,
        Why::Held => Reason::BudgetHeld,
        Why::NoPrice => Reason::PriceUnknown,
        Why::Uncounted => Reason::LimitUncounted,
    };
    account.gateway().metrics.limit_refused(&refused.rule, reason);
    account.rooms = refused.rooms;
    Refusal::new(reason, refused.message).retry_after(refused.retry)
}

/// What an exchange came to at the target that its record names, for its budgets. Nothing if that did nothing for it.
/// `least` is what it cost at least, in nano-dollars, where the cost is not known.
pub(super) fn spent(record: &Record, least: u64) -> Spent {
    let served = record.provider.is_some() && is_taken(record.status);
    let cost = record.cost.nano_usd();
    if record.usage.is_unknown() && !served && cost.is_some() {
        return Spent::default();
    }
    Spent {
        requests: 1,
        tokens: record.usage.total().unwrap_or(0),
        cost_nanousd: cost.unwrap_or(least),
        unpriced: u64::from(cost.is_none()),
    }
}

/// The exchange that crossed a threshold, as its alert tells it.
pub(super) struct About {
    caller: Arc<Caller>,
    surface: Surface,
    exchange: u128,
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
    policy_version: u64,
}

/// Tells of thresholds of which it is known later that they are crossed.
pub(super) fn teller(gateway: &Arc<Shared>, record: &Record) -> Teller {
    let (gateway, about) = (Arc::downgrade(gateway), About::of(record));
    Arc::new(move |crossed| {
        if let Some(gateway) = gateway.upgrade() {
            gateway.raise(about.alert(crossed));
        }
    })
}

impl About {
    pub(super) fn of(record: &Record) -> About {
        About {
            caller: Arc::clone(&record.caller),
            surface: record.surface,
            exchange: record.id,
            provider: record.provider.clone(),
            model: record.model_sent.clone(),
            policy_version: record.inspections.policy_version,
        }
    }

    /// The alert. One about a threshold that refuses requests from here on is more than something to know.
    pub(super) fn alert(&self, crossed: &Crossed) -> Alert {
        let action = if crossed.blocks() { Action::Block } else { Action::Log };
        Alert {
            caller: Arc::clone(&self.caller),
            surface: self.surface,
            stage: Stage::Request,
            action,
            enforceable: true,
            enforced: true,
            rules: vec![format!("budget/{}/{}%", crossed.rule.name(), crossed.threshold).into()],
            explanation: crossed.sentence().into(),
            conversation: None,
            exchange: self.exchange,
            provider: self.provider.clone(),
            model: self.model.clone(),
            policy_version: self.policy_version,
            findings: Vec::new(),
            alone: true,
        }
    }
}
