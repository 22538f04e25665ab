//! What an exchange holds of its limits. Whoever drops it unsettled gives everything back.

use super::clock::Now;
use super::counter::{Count, Counter, State, amount};
use super::counters::{CameTo, Refused};
use super::headers::Rooms;
use super::report;
use super::rule::Rule;
use super::shared::{Apart, Growing, Teller};
use crate::config::limits::{BudgetRule, OnLimitError, Unit};
use narrows_ledger::{Charge, Spent};
use narrows_meter::budget::{Level, Reservation};
use narrows_meter::rate::Ticket;
use std::sync::Arc;

/// Room in one counter.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) counter: Arc<Counter>,
    /// Whether it is another counter, or another amount, at another target.
    pub(crate) of_target: bool,
    /// The unit of a budget that ends streams when it has no more room.
    pub(crate) ends_streams: Option<Unit>,
    /// The unit of a budget when it was reserved.
    pub(crate) unit: Option<Unit>,
    pub(crate) room: Room,
    /// The most that the exchange can come to, in every unit that was asked for.
    pub(crate) worst: Spent,
    /// Attempts under it that were never answered.
    pub(crate) lost: Lost,
    /// What is held of a counter that gateways share.
    pub(crate) apart: Option<Apart>,
}

/// Attempts that a provider may have answered, and nobody has the answer. Each is charged as it was reserved.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lost {
    /// How many.
    attempts: u64,
    /// What is known of them.
    known: Spent,
}

/// What is held in a counter.
#[derive(Debug)]
pub(crate) enum Room {
    /// Of a budget.
    Budget(Reservation),
    /// Of a rate limit.
    Rate(Ticket),
    /// Of a counter that is not in this process.
    Elsewhere {
        /// Tokens that were admitted.
        tokens: u64,
    },
}

/// A threshold of a budget that was crossed.
#[derive(Debug)]
pub(crate) struct Crossed {
    pub(crate) rule: Arc<Rule>,
    pub(crate) counter: Arc<Counter>,
    /// In percent.
    pub(crate) threshold: u16,
    pub(crate) level: Level,
}

/// What an exchange holds.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    pub(crate) held: Vec<Held>,
    /// What was held for targets that were asked before and never answered.
    left: Vec<Held>,
    /// Numbers of what gateways that share counters hold for targets that were left and did nothing. It is given up in the
    /// background, and with the next question, which must not find it in its way.
    pub(super) leaving: Vec<u64>,
    /// How the rate limits stood when it was admitted.
    pub(crate) rooms: Rooms,
}

impl Hold {
    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.left.is_empty()
    }

    /// An attempt was never answered. `known` is what is known of what it came to.
    pub(crate) fn lose(&mut self, known: Spent) {
        for held in &mut self.held {
            held.lost.attempts += 1;
            held.lost.known.add(&known);
        }
    }

    /// Gives back what another target means another counter for. Where an attempt under it was lost it stays held, until
    /// it is charged.
    pub(crate) fn leave_target(&mut self) {
        let (left, kept): (Vec<Held>, Vec<Held>) = self.held.drain(..).partition(|held| held.of_target);
        self.held = kept;
        let (lost, idle): (Vec<Held>, Vec<Held>) = left.into_iter().partition(|held| held.lost.attempts > 0);
        self.left.extend(lost);
        self.leaving.extend(idle.iter().filter_map(|held| held.apart.as_ref()?.number));
        idle.into_iter().for_each(give_back);
    }

    /// Gives back what was taken since there were `count` of them.
    pub(crate) fn give_back_from(&mut self, count: usize) {
        self.held.drain(count.min(self.held.len())..).for_each(give_back);
    }

    /// Whether a stream has to be asked about while it goes on.
    pub(crate) fn ends_streams(&self) -> bool {
        self.held.iter().any(|held| held.ends_streams.is_some())
    }

    /// Holds more where the exchange has come to more than is held. `so_far` says to what it has come in a unit.
    ///
    /// # Errors
    /// When a budget that ends streams has no room for more.
    pub(crate) fn grow(&mut self, so_far: &dyn Fn(Unit) -> Option<u64>) -> Result<(), Box<Refused>> {
        for held in &mut self.held {
            let (Some(unit), Room::Budget(reservation)) = (held.ends_streams, &mut held.room) else {
                continue;
            };
            let Some(missing) = so_far(unit).and_then(|amount| amount.checked_sub(reservation.amount()))
            else {
                continue;
            };
            if missing == 0 {
                continue;
            }
            // Some more than is missing, so that not every piece of a stream asks.
            let ahead = missing.saturating_add(reservation.amount() / 4);
            if let Some(apart) = &mut held.apart {
                if held.unit == Some(unit) {
                    let growing = apart.grow(&held.counter, ahead, missing);
                    grown(held, unit, growing)?;
                }
                continue;
            }
            let now = Now::read();
            let mut state = held.counter.lock();
            let State { rule, count, open, .. } = &mut *state;
            let (Count::Spending(spending), Rule::Budget(budget)) = (count, &**rule) else { continue };
            if budget.unit != unit {
                // It was put in another one meanwhile, and knows what it holds for this exchange.
                continue;
            }
            let before = reservation.amount();
            let held_more = [ahead, missing]
                .into_iter()
                .any(|more| spending.extend(&budget.budget, now.wall_us, reservation, more));
            if !held_more {
                let level = spending.level(&budget.budget, now.wall_us);
                return Err(report::ended(rule, &held.counter, &level));
            }
            let more = in_unit(unit, reservation.amount() - before);
            open.add(&more);
            held.worst.add(&more);
        }
        Ok(())
    }

    /// What is charged to budgets for what the exchange came to.
    pub(crate) fn charges(&self, came_to: CameTo) -> Vec<Charge> {
        let left = self.left.iter().map(|held| (held, CameTo::default()));
        // Nothing was done for it: nothing is charged, but for what was lost before.
        let is_idle = |held: &Held| came_to.spent == Spent::default() && held.lost.attempts == 0;
        let held = self.held.iter().filter(|held| !is_idle(held)).map(|held| (held, came_to));
        let budgets = left.chain(held).filter_map(|(held, came_to)| match &held.room {
            Room::Budget(reservation) => Some((held, reservation, came_to)),
            Room::Rate(_) | Room::Elsewhere { .. } => None,
        });
        budgets
            .map(|(held, reservation, came_to)| {
                let spent = match &*held.counter.lock().rule {
                    Rule::Budget(budget) => {
                        let is_same = held.unit == Some(budget.unit);
                        let reserved =
                            if is_same { reservation.amount() } else { amount(budget, &held.worst) };
                        owed(budget, reserved, came_to, held.lost)
                    }
                    Rule::Rate(_) => came_to.spent,
                };
                Charge { counter: Arc::clone(&held.counter.name), at_us: reservation.at_us(), spent }
            })
            .collect()
    }

    /// Settles everything, and tells which thresholds are crossed.
    /// With `keep` counters remember it, for somebody who reads what was charged before.
    pub(crate) fn settle(mut self, came_to: CameTo, keep: bool, teller: Option<&Teller>) -> Vec<Crossed> {
        let mut crossed = Vec::new();
        for held in std::mem::take(&mut self.left) {
            settle(held, CameTo::default(), keep, teller, &mut crossed);
        }
        for held in std::mem::take(&mut self.held) {
            settle(held, came_to, keep, teller, &mut crossed);
        }
        crossed
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.give_back_from(0);
        self.left.drain(..).for_each(give_back);
    }
}

/// Of a lease of a rate limit: requests, tokens, exchanges at a time.
const ONE_EXCHANGE: [u64; 3] = [0, 0, 1];

/// By the clock that a counter goes by.
fn now(apart: Option<&Apart>) -> Now {
    apart.map_or_else(Now::read, |apart| apart.shared.now())
}

/// What has become of the question for more room.
fn grown(held: &mut Held, unit: Unit, growing: Growing) -> Result<(), Box<Refused>> {
    let Room::Budget(reservation) = &mut held.room else { return Ok(()) };
    let mut state = held.counter.lock();
    let State { rule, count, open, seen, .. } = &mut *state;
    let (Count::Spending(spending), Rule::Budget(budget)) = (count, &**rule) else { return Ok(()) };
    match growing {
        Growing::Asked => Ok(()),
        Growing::By(more) => {
            spending.hold_more(reservation, more);
            let more = in_unit(unit, more);
            open.add(&more);
            held.worst.add(&more);
            Ok(())
        }
        Growing::Failed if budget.on_error == OnLimitError::Allow => Ok(()),
        Growing::Refused | Growing::Failed => Err(report::ended(rule, &held.counter, &seen.level())),
    }
}

fn settle(held: Held, came_to: CameTo, keep: bool, teller: Option<&Teller>, crossed: &mut Vec<Crossed>) {
    let Held { counter, room, lost, worst, unit, apart, .. } = held;
    let now = now(apart.as_ref());
    let mut tokens = 0;
    let mut state = counter.lock();
    let State { rule, count, open, recent, seen } = &mut *state;
    close(open, &worst);
    let is_leased = apart.as_ref().is_some_and(|apart| apart.number.is_none());
    match (count, room, &**rule) {
        (Count::Spending(spending), Room::Budget(reservation), Rule::Budget(budget)) => {
            let reservation = restated(reservation, unit, budget, &worst);
            let owed = owed(budget, reservation.amount(), came_to, lost);
            if keep && owed != Spent::default() {
                recent.push((reservation.at_us(), owed));
            }
            let owed = amount(budget, &owed);
            if is_leased {
                seen.lease.ended(&[reservation.amount(), 0, 0], &[owed, 0, 0]);
            }
            let told = spending.settle(&budget.budget, now.wall_us, reservation, owed);
            // Where others count, too, they say what is crossed.
            for threshold in told.filter(|_| apart.is_none()) {
                crossed.push(Crossed {
                    rule: Arc::clone(rule),
                    counter: Arc::clone(&counter),
                    threshold,
                    level: spending.level(&budget.budget, now.wall_us),
                });
            }
        }
        (Count::Rate(rate), Room::Rate(ticket), _) => {
            let tokens = used(came_to, lost, ticket.tokens());
            rate.settle(now.steady_us, ticket, tokens);
            if is_leased {
                seen.lease.ended(&ONE_EXCHANGE, &[0; 3]);
            }
        }
        (_, Room::Elsewhere { tokens: admitted }, _) => tokens = used(came_to, lost, admitted),
        // A rule that has become another kind of rule has begun a counter of its own.
        _ => {}
    }
    drop(state);
    if let Some(apart) = apart {
        // First the counter, so that what is held is not given up before what it came to is told.
        apart.shared.changed(&counter, teller);
        apart.release(tokens, false);
    }
}

/// What an exchange used of a rate limit that admitted so many tokens.
fn used(came_to: CameTo, lost: Lost, admitted: u64) -> u64 {
    let least = if came_to.is_unread { admitted } else { 0 };
    let lost = lost.known.tokens.max(lost.attempts.saturating_mul(admitted));
    came_to.spent.tokens.max(least).saturating_add(lost)
}

/// What is charged to a budget: what was spent, or what was reserved in its unit where that is not known, and as much for
/// each attempt that was lost. Nothing can be had for nothing by leaving before it is known.
fn owed(budget: &BudgetRule, reserved: u64, came_to: CameTo, lost: Lost) -> Spent {
    let CameTo { spent, is_unread } = came_to;
    let least = |is_unknown| if is_unknown { reserved } else { 0 };
    let of_lost = |known: u64| known.max(lost.attempts.saturating_mul(reserved));
    let mut owed = Spent { requests: spent.requests.max(u64::from(lost.attempts > 0)), ..spent };
    owed.add(&lost.known);
    match budget.unit {
        Unit::Usd => {
            let own = spent.cost_nanousd.max(least(spent.unpriced > 0));
            owed.cost_nanousd = own.saturating_add(of_lost(lost.known.cost_nanousd));
        }
        Unit::Tokens => {
            owed.tokens = spent.tokens.max(least(is_unread)).saturating_add(of_lost(lost.known.tokens));
        }
        Unit::Requests => {}
    }
    owed
}

/// Takes what an exchange can come to out of the sum of those that are open.
fn close(open: &mut Spent, worst: &Spent) {
    open.requests = open.requests.saturating_sub(worst.requests);
    open.tokens = open.tokens.saturating_sub(worst.tokens);
    open.cost_nanousd = open.cost_nanousd.saturating_sub(worst.cost_nanousd);
}

/// An amount of one unit.
pub(crate) fn in_unit(unit: Unit, amount: u64) -> Spent {
    let nothing = Spent::default();
    match unit {
        Unit::Usd => Spent { cost_nanousd: amount, ..nothing },
        Unit::Tokens => Spent { tokens: amount, ..nothing },
        Unit::Requests => Spent { requests: amount, ..nothing },
    }
}

/// A reservation in the unit that its budget is in now.
fn restated(reservation: Reservation, unit: Option<Unit>, budget: &BudgetRule, worst: &Spent) -> Reservation {
    if unit == Some(budget.unit) { reservation } else { reservation.restated(amount(budget, worst)) }
}

fn give_back(held: Held) {
    let Held { counter, room, worst, unit, apart, .. } = held;
    let now = now(apart.as_ref());
    let mut state = counter.lock();
    let State { rule, count, open, seen, .. } = &mut *state;
    close(open, &worst);
    let is_leased = apart.as_ref().is_some_and(|apart| apart.number.is_none());
    match (count, room, &**rule) {
        (Count::Spending(spending), Room::Budget(reservation), Rule::Budget(budget)) => {
            let reservation = restated(reservation, unit, budget, &worst);
            if is_leased {
                seen.lease.ended(&[reservation.amount(), 0, 0], &[0; 3]);
            }
            drop(spending.settle(&budget.budget, now.wall_us, reservation, 0));
        }
        (Count::Rate(rate), Room::Rate(ticket), _) => {
            rate.cancel(now.steady_us, ticket);
            if is_leased {
                seen.lease.ended(&ONE_EXCHANGE, &[0; 3]);
            }
        }
        _ => {}
    }
    drop(state);
    if let Some(apart) = apart {
        if is_leased {
            apart.shared.changed(&counter, None);
        }
        apart.release(0, true);
    }
}
