//! Budgets: reserve the worst case, then settle what it was.
//!
//! A budget is the rule, [`Spending`] its counter. The counter knows no limit: it is an argument, so that a budget that is
//! raised goes on with what was spent. Amounts are integers of whatever the budget is in: nano-dollars, tokens, requests.
//!
//! # The bound
//! A reservation is admitted only if it fits into what neither settled nor reserved amounts take. So
//! `settled + reserved <= limit` after every admission, and the limit is passed only by what exchanges turn out to cost
//! beyond their reservations: by the sum of `actual - reserved` over the exchanges that were open when the limit was
//! reached, and by nothing if reservations are worst cases.

use crate::window::{Sliding, Span, Window};

/// Most thresholds of one budget.
pub const THRESHOLDS_MAX: usize = 8;

/// A limit on what may be spent in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Most that may be spent in one window.
    pub limit: u64,
    /// The window.
    pub window: Window,
    /// Shares of the limit that are told when they are reached, in percent; at most [`THRESHOLDS_MAX`] count.
    pub thresholds: Vec<u16>,
}

/// Room that is held for one exchange. Settling consumes it, so nothing settles twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not settled is held for ever"]
pub struct Reservation {
    amount: u64,
    at_us: i64,
}

impl Reservation {
    /// What is held.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// The same for a budget that was put in another unit meanwhile, in which it holds `amount`.
    pub fn restated(self, amount: u64) -> Reservation {
        Reservation { amount, ..self }
    }

    /// When it was made: what it comes to is spent in the window of that moment.
    pub fn at_us(&self) -> i64 {
        self.at_us
    }
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// What is spent leaves no room for it. It would fit at `frees_us` at the earliest, if nothing else is spent.
    Spent {
        /// UTC microseconds since the epoch.
        frees_us: i64,
    },
    /// It would fit beside what is spent, but other exchanges hold the room. What they do not use they give back.
    Held,
    /// It is more than the whole limit, and fits into no window.
    TooLarge,
}

/// How a counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// What was spent in the window.
    pub settled: u64,
    /// What open exchanges hold.
    pub reserved: u64,
    /// When a window of the calendar ends; `None` for one that rolls.
    pub resets_us: Option<i64>,
}

/// What was spent of a budget, and what is held.
#[derive(Debug, Clone)]
pub struct Spending {
    settled: Settled,
    reserved: u64,
    told: Told,
}

/// When thresholds were told last, by their percent: a budget's thresholds may be edited.
#[derive(Debug, Clone)]
struct Told([(u16, i64); THRESHOLDS_MAX]);

impl Told {
    fn last_us(&self, threshold: u16) -> i64 {
        self.0.iter().find(|(known, _)| *known == threshold).map_or(NEVER, |(_, told_us)| *told_us)
    }

    /// Notes that a threshold of `budget` was told: where it stands already, else where none stands, else in the place of
    /// one that is none any more.
    fn note(&mut self, threshold: u16, budget: &Budget, now_us: i64) {
        let position = |fits: &dyn Fn(&(u16, i64)) -> bool| self.0.iter().position(fits);
        let place = position(&|(known, _)| *known == threshold)
            .or_else(|| position(&|(_, told_us)| *told_us == NEVER))
            .or_else(|| position(&|(known, _)| !budget.thresholds.contains(known)));
        if let Some(slot) = place.and_then(|at| self.0.get_mut(at)) {
            *slot = (threshold, now_us);
        }
    }
}

#[derive(Debug, Clone)]
enum Settled {
    /// In the window at hand.
    Calendar { span: Span, sum: u64 },
    /// In the time just past.
    Rolling(Sliding),
}

/// Never.
const NEVER: i64 = i64::MIN;

impl Spending {
    /// Nothing spent.
    pub fn new(window: &Window) -> Spending {
        let settled = match window {
            Window::Calendar(_) => {
                Settled::Calendar { span: Span { start_us: i64::MIN, end_us: i64::MIN }, sum: 0 }
            }
            Window::Rolling(length_us) => Settled::Rolling(Sliding::new(*length_us)),
        };
        Spending { settled, reserved: 0, told: Told([(0, NEVER); THRESHOLDS_MAX]) }
    }

    /// Begins anew with another window, as `history` has it: what was spent, and when. What is held stays held.
    pub fn restart(&mut self, budget: &Budget, now_us: i64, history: impl IntoIterator<Item = (i64, u64)>) {
        *self = Spending { reserved: self.reserved, ..Spending::new(&budget.window) };
        for (at_us, amount) in history {
            self.charge(budget, now_us, at_us, amount);
        }
        // What was reached before has been told.
        let settled = self.settled(budget, now_us);
        for threshold in budget.thresholds.iter().take(THRESHOLDS_MAX) {
            if settled >= share(budget.limit, *threshold) {
                self.told.note(*threshold, budget, now_us);
            }
        }
    }

    /// What is held is `reserved` from now on: the same exchanges, in another unit. Their reservations have to be
    /// [restated](Reservation::restated) before they are settled.
    pub fn restate(&mut self, reserved: u64) {
        self.reserved = reserved;
    }

    /// Holds room for `amount`.
    ///
    /// # Errors
    /// When there is none: see [`Full`].
    pub fn reserve(&mut self, budget: &Budget, now_us: i64, amount: u64) -> Result<Reservation, Full> {
        if amount > budget.limit {
            return Err(Full::TooLarge);
        }
        let settled = self.settled(budget, now_us);
        let room = budget.limit.saturating_sub(settled);
        if room == 0 || amount > room {
            return Err(Full::Spent { frees_us: self.frees_us(budget, now_us, amount) });
        }
        let free = room.saturating_sub(self.reserved);
        if free == 0 || amount > free {
            return Err(Full::Held);
        }
        Ok(self.insist(now_us, amount))
    }

    /// Holds room whether there is any or not: for a budget that only warns.
    pub fn insist(&mut self, now_us: i64, amount: u64) -> Reservation {
        // What does not fit into the sum is not held, so that giving it back leaves the rest alone.
        let amount = amount.min(u64::MAX - self.reserved);
        self.reserved += amount;
        Reservation { amount, at_us: now_us }
    }

    /// Holds `more` for an exchange that turns out larger than was reserved for it. False if there is no room: it holds what
    /// it held.
    pub fn extend(&mut self, budget: &Budget, now_us: i64, reservation: &mut Reservation, more: u64) -> bool {
        let settled = self.settled(budget, now_us);
        let free = budget.limit.saturating_sub(settled).saturating_sub(self.reserved);
        if more > free {
            return false;
        }
        self.reserved += more;
        reservation.amount += more;
        true
    }

    /// Holds `more` for an exchange whether there is room or not: who asks has found it elsewhere.
    pub fn hold_more(&mut self, reservation: &mut Reservation, more: u64) {
        let more = more.min(u64::MAX - self.reserved);
        self.reserved += more;
        reservation.amount += more;
    }

    /// Puts what the exchange came to in the place of what was held for it: 0 gives everything back. Gives the thresholds
    /// that are reached and were not told in this window.
    pub fn settle(
        &mut self,
        budget: &Budget,
        now_us: i64,
        reservation: Reservation,
        actual: u64,
    ) -> impl Iterator<Item = u16> + use<> {
        let Reservation { amount, at_us } = reservation;
        self.reserved = self.reserved.saturating_sub(amount);
        self.charge(budget, now_us, at_us, actual);
        self.reached(budget, now_us)
    }

    /// How the counter stands.
    pub fn level(&mut self, budget: &Budget, now_us: i64) -> Level {
        let settled = self.settled(budget, now_us);
        let resets_us = match &self.settled {
            Settled::Calendar { span, .. } => Some(span.end_us),
            Settled::Rolling(_) => None,
        };
        Level { settled, reserved: self.reserved, resets_us }
    }

    /// What was spent, in the parts that a window forgets one by one: the start of the window at hand in UTC microseconds
    /// since the epoch for one of the calendar, the numbers of its steps for one that rolls. So several counters of one
    /// budget add up to one.
    pub fn parts(&mut self, budget: &Budget, now_us: i64) -> Vec<(i64, u64)> {
        self.settled(budget, now_us);
        match &mut self.settled {
            Settled::Calendar { span, sum } => vec![(span.start_us, *sum)],
            Settled::Rolling(window) => window.steps(now_us).collect(),
        }
    }

    /// Whether nothing is spent and nothing held, so that nothing is lost when the counter goes.
    pub fn is_idle(&mut self, budget: &Budget, now_us: i64) -> bool {
        self.reserved == 0 && self.settled(budget, now_us) == 0
    }

    /// Adds what was spent at `at_us`, if the window at hand still counts it.
    fn charge(&mut self, budget: &Budget, now_us: i64, at_us: i64, amount: u64) {
        self.settled(budget, now_us);
        match &mut self.settled {
            // A clock that went back stays in the window at hand, with what is spent by it.
            Settled::Calendar { span, sum } if span.contains(at_us) || now_us < span.start_us => {
                *sum = sum.saturating_add(amount);
            }
            Settled::Calendar { .. } => {}
            Settled::Rolling(window) => window.add_at(now_us, at_us, amount),
        }
    }

    fn settled(&mut self, budget: &Budget, now_us: i64) -> u64 {
        match (&mut self.settled, &budget.window) {
            (Settled::Calendar { span, sum }, Window::Calendar(calendar)) => {
                // A clock that goes back stays in the window at hand.
                if now_us >= span.end_us {
                    (*span, *sum) = (calendar.span(now_us), 0);
                }
                *sum
            }
            (Settled::Rolling(window), _) => window.sum(now_us),
            // Somebody changed the kind of window without `restart`: the counter goes on with its own.
            (Settled::Calendar { sum, .. }, Window::Rolling(_)) => *sum,
        }
    }

    fn frees_us(&mut self, budget: &Budget, now_us: i64, amount: u64) -> i64 {
        match &mut self.settled {
            Settled::Calendar { span, .. } => span.end_us,
            Settled::Rolling(window) => {
                // Room of nothing is no room.
                window.falls_to(now_us, (budget.limit - amount).min(budget.limit.saturating_sub(1)))
            }
        }
    }

    fn reached(&mut self, budget: &Budget, now_us: i64) -> impl Iterator<Item = u16> + use<> {
        let settled = self.settled(budget, now_us);
        let since = match &self.settled {
            Settled::Calendar { span, .. } => span.start_us,
            Settled::Rolling(_) => budget.window.from_us(now_us),
        };
        let mut news = [None; THRESHOLDS_MAX];
        for (threshold, new) in budget.thresholds.iter().zip(&mut news) {
            let told_us = self.told.last_us(*threshold);
            let told = told_us != NEVER && told_us >= since;
            if !told && settled >= share(budget.limit, *threshold) {
                self.told.note(*threshold, budget, now_us);
                *new = Some(*threshold);
            }
        }
        news.into_iter().flatten()
    }
}

/// So many percent of a limit, rounded up: a threshold of a small limit is not reached by nothing.
pub fn share(limit: u64, percent: u16) -> u64 {
    let share = u128::from(limit) * u128::from(percent);
    u64::try_from(share.div_ceil(100)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
