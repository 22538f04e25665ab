//! What is asked of one counter, and what is answered.

use super::super::counter::{Counter, State};
use super::super::counters::{Ask, Refused};
use super::super::headers::Rooms;
use super::super::memory::{self, Unspent};
use super::super::rule::Rule;
use super::lease::{Amounts, KINDS};
use super::link::Failed;
use super::seen::{Seen, Stood};
use super::wire::{Answer, Arguments, Strange};
use crate::config::limits::{AtLimit, Unit};
use narrows_ledger::Spent;
use narrows_meter::budget::{Full, Level};
use narrows_meter::rate::{Denied, Measure, Retry, Room};
use narrows_meter::window::STEPS;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of one item in an answer.
const FIGURES: usize = 5;

/// What is asked of one counter.
pub(super) struct Item {
    /// The rule as it is now.
    pub(super) rule: Arc<Rule>,
    pub(super) counter: Option<Arc<Counter>>,
    /// What the counter is called.
    pub(super) id: Arc<str>,
    pub(super) kind: Kind,
    number: u64,
    /// The most that the exchange can come to, in every unit that was asked for.
    pub(super) worst: Spent,
}

/// What is asked.
pub(super) enum Kind {
    Budget {
        amount: u64,
        insists: bool,
    },
    Rate {
        tokens: u64,
        insists: bool,
    },
    /// Nothing: it is refused without a look at a counter, unless one before it refuses.
    Refusing(Box<Refused>),
}

/// How one counter stood after it was asked: of a budget what was spent and held; of a rate limit requests, tokens and exchanges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures(Option<[i64; FIGURES]>);

impl Item {
    pub(super) fn refusing(rule: &Arc<Rule>, refused: Box<Refused>) -> Item {
        Item {
            rule: Arc::clone(rule),
            counter: None,
            id: Arc::from(""),
            kind: Kind::Refusing(refused),
            number: 0,
            worst: Spent::default(),
        }
    }

    /// What `ask` asks of a counter. `number` is the hold's.
    pub(super) fn new(counter: Arc<Counter>, ask: &Ask<'_>, number: u64) -> Item {
        let mut state = counter.lock();
        let State { rule, seen, .. } = &mut *state;
        let rule = Arc::clone(rule);
        let id = seen.id(&rule, &counter);
        drop(state);
        let mut worst = Spent { requests: 1, tokens: memory::tokens(ask, &rule), ..Spent::default() };
        let kind = match &*rule {
            Rule::Budget(budget) => match memory::worst(&rule, budget, ask) {
                Some(amount) => Kind::Budget { amount, insists: memory::insists(budget, ask) },
                None => {
                    let level = Level { settled: 0, reserved: 0, resets_us: None };
                    Kind::Refusing(Unspent::NoPrice.told(&rule, &counter, &level, budget))
                }
            },
            Rule::Rate(rate) => {
                Kind::Rate { tokens: memory::tokens(ask, &rule), insists: rate.at_limit == AtLimit::Warn }
            }
        };
        if let (Kind::Budget { amount, .. }, Some(Unit::Usd)) = (&kind, unit(&rule)) {
            worst.cost_nanousd = *amount;
        }
        Item { rule, counter: Some(counter), id, kind, number, worst }
    }

    pub(super) fn refuses(&self) -> bool {
        matches!(self.kind, Kind::Refusing(_))
    }

    /// Holds under another number.
    pub(super) fn renumber(&mut self, numbers: &AtomicU64) {
        self.number = numbers.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the hold.
    pub(super) fn number(&self) -> Option<u64> {
        (!self.refuses()).then_some(self.number)
    }

    /// The unit of a budget.
    pub(super) fn unit(&self) -> Option<Unit> {
        unit(&self.rule)
    }

    pub(super) fn ends_streams(&self) -> Option<Unit> {
        match &*self.rule {
            Rule::Budget(budget) if budget.end_streams => Some(budget.unit),
            _ => None,
        }
    }

    pub(super) fn write(&self, arguments: &mut Arguments, now_us: i64) {
        match (&self.kind, &*self.rule) {
            (Kind::Budget { amount, insists }, Rule::Budget(budget)) => {
                arguments.word("b");
                arguments.number(self.number);
                arguments.word(&self.id);
                arguments.number(*amount);
                arguments.number(budget.budget.limit);
                arguments.flag(*insists);
                arguments.window(&budget.budget.window, now_us);
            }
            (Kind::Rate { tokens, insists }, Rule::Rate(rate)) => {
                arguments.word("r");
                arguments.number(self.number);
                arguments.word(&self.id);
                arguments.number(*tokens);
                arguments.optional(rate.limit.requests);
                arguments.optional(rate.limit.tokens);
                arguments.optional(rate.limit.concurrent);
                arguments.flag(*insists);
                arguments.sliding(rate.limit.length_us);
            }
            _ => arguments.word("z"),
        }
    }

    /// What it is of, and which of that counts, for a lease.
    pub(super) fn amounts(&self) -> (Amounts, [bool; KINDS], [bool; KINDS]) {
        match (&self.kind, &*self.rule) {
            (Kind::Budget { amount, .. }, _) => ([*amount, 0, 0], [true, false, false], [true, false, false]),
            (Kind::Rate { tokens, .. }, Rule::Rate(rate)) => {
                let limit = &rate.limit;
                let limited = [limit.requests.is_some(), limit.tokens.is_some(), limit.concurrent.is_some()];
                ([1, *tokens, 1], limited, [false, false, true])
            }
            _ => ([0; KINDS], [true; KINDS], [true; KINDS]),
        }
    }

    /// Whether it is let in without room, too.
    pub(super) fn insists(&self) -> bool {
        matches!(self.kind, Kind::Budget { insists: true, .. } | Kind::Rate { insists: true, .. })
    }

    /// How a rate limit stands, as far as it is known without asking.
    pub(super) fn narrow(&self, seen: &Seen, rooms: &mut Rooms, now_us: i64) {
        let (Rule::Rate(rate), Some((requests, tokens, _))) = (&*self.rule, seen.rate()) else { return };
        let step_us = narrows_meter::window::step_us(rate.limit.length_us);
        let resets_in_us = step_us.saturating_mul(STEPS + 1) - now_us.rem_euclid(step_us);
        let room = |limit: Option<u64>, used: Option<u64>| {
            let limit = limit?;
            Some(Room { limit, left: limit.saturating_sub(used?), resets_in_us })
        };
        rooms.narrow(room(rate.limit.requests, requests), room(rate.limit.tokens, tokens));
    }

    /// Notes how the counter stood.
    pub(super) fn saw(&self, figures: &Figures, now_us: i64) {
        let (Some(counter), Some([one, _, two, _, open])) = (&self.counter, figures.0) else { return };
        let stood = match (&self.kind, figures.0) {
            (Kind::Budget { .. }, Some([settled, held, ..])) => {
                Stood::Budget { settled: positive(settled), held: positive(held) }
            }
            _ => Stood::Rate {
                requests: u64::try_from(one).ok(),
                tokens: u64::try_from(two).ok(),
                open: positive(open),
            },
        };
        counter.lock().seen.stood = Some((stood, now_us));
    }
}

fn unit(rule: &Rule) -> Option<Unit> {
    match rule {
        Rule::Budget(budget) => Some(budget.unit),
        Rule::Rate(_) => None,
    }
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Which item refuses, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    item: usize,
    why: i64,
    extra: i64,
    figures: Figures,
}

/// What Redis says to a request.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) now_us: i64,
    pub(super) refused: Option<Refusal>,
    /// Of each item up to the one that refuses.
    pub(super) figures: Vec<Figures>,
}

impl Verdict {
    pub(super) fn read(mut answer: Answer, items: &[Item]) -> Result<Verdict, Failed> {
        let now_us = answer.number()?;
        let place = answer.number()?;
        let Ok(place) = usize::try_from(place) else {
            // It came too late to count, or our clock is days away from Redis's.
            return Err(Failed::Late);
        };
        let (why, extra) = (answer.number()?, answer.number()?);
        let mut figures = Vec::with_capacity(items.len());
        let counted = if place == 0 { items.len() } else { place };
        for item in items.iter().take(counted) {
            if item.refuses() {
                figures.push(Figures(None));
                continue;
            }
            let mut five = [0; FIGURES];
            for figure in &mut five {
                *figure = answer.number()?;
            }
            figures.push(Figures(Some(five)));
        }
        let refused = match place.checked_sub(1) {
            None => None,
            Some(item) => Some(Refusal { item, why, extra, figures: *figures.get(item).ok_or(Strange)? }),
        };
        Ok(Verdict { now_us, refused, figures })
    }

    /// What is said in the place of a Redis that says nothing.
    pub(super) fn unknown(items: &[Item], now_us: i64) -> Verdict {
        Verdict { now_us, refused: None, figures: vec![Figures(None); items.len()] }
    }

    /// How the narrowest rate limits stand.
    pub(super) fn rooms(&self, items: &[Item], mut rooms: Rooms) -> Rooms {
        for (item, figures) in items.iter().zip(&self.figures) {
            let (Rule::Rate(rate), Some([requests, requests_in, tokens, tokens_in, _])) =
                (&*item.rule, figures.0)
            else {
                continue;
            };
            let room = |limit: Option<u64>, used: i64, resets_in_us| {
                let limit = limit?;
                Some(Room { limit, left: limit.saturating_sub(positive(used)), resets_in_us })
            };
            rooms.narrow(
                room(rate.limit.requests, requests, requests_in),
                room(rate.limit.tokens, tokens, tokens_in),
            );
        }
        rooms
    }
}

impl Refusal {
    /// For people.
    pub(super) fn told(self, items: &[Item]) -> Option<Box<Refused>> {
        let item = items.get(self.item)?;
        let refused = match (&item.kind, &*item.rule, &item.counter) {
            (Kind::Refusing(refused), ..) => refused.clone(),
            (Kind::Budget { .. }, Rule::Budget(budget), Some(counter)) => {
                let [settled, held, ..] = self.figures.0.unwrap_or_default();
                let level = Level { settled: positive(settled), reserved: positive(held), resets_us: None };
                let full = match self.why {
                    1 => Full::TooLarge,
                    2 => Full::Spent { frees_us: self.extra },
                    _ => Full::Held,
                };
                Unspent::Full(full).told(&item.rule, counter, &level, budget)
            }
            (Kind::Rate { .. }, Rule::Rate(rate), Some(counter)) => {
                let measure = match self.why / 10 {
                    1 => Measure::Requests,
                    2 => Measure::Tokens,
                    _ => Measure::Concurrent,
                };
                let retry = match self.why % 10 {
                    0 => Retry::After(self.extra),
                    1 => Retry::WhenOneEnds,
                    _ => Retry::Never,
                };
                Box::new(memory::denied_by(&item.rule, rate, counter, Denied { measure, retry }))
            }
            _ => return None,
        };
        Some(refused)
    }
}
