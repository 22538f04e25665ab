//! Windows of time: those of the calendar, in a time zone, and those that slide.
//!
//! Time is UTC microseconds since the epoch, and always an argument.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;
use std::fmt;
use std::str::FromStr;

/// Microseconds in a second.
const SECOND_US: i64 = 1_000_000;
/// Microseconds in an hour.
const HOUR_US: i64 = 3_600 * SECOND_US;
/// Microseconds in a day of 24 hours.
const DAY_US: i64 = 24 * HOUR_US;
/// Quarters of an hour that a midnight may be missing for, when clocks are put forward over it: a whole day was left out
/// where the date line moved (Samoa, 30 December 2011).
const GAP_QUARTERS: u64 = 4 * 25;

/// From when to when: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First microsecond.
    pub start_us: i64,
    /// First microsecond after it.
    pub end_us: i64,
}

impl Span {
    /// Whether `at_us` is in it.
    pub fn contains(&self, at_us: i64) -> bool {
        (self.start_us..self.end_us).contains(&at_us)
    }
}

/// A stretch of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From one full hour UTC to the next, whatever the time zone: where clocks are put back an hour would come twice.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday's midnight to the next one's (ISO 8601).
    Week,
    /// From the first's midnight to the next first's.
    Month,
}

impl Period {
    /// Every period, shortest first.
    pub const ALL: [Period; 4] = [Period::Hour, Period::Day, Period::Week, Period::Month];

    /// The word used in configuration and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }
}

/// Calendar windows in a time zone of the IANA database. They follow each other without gap or overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    period: Period,
    zone: Tz,
}

/// No such time zone in the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone(String);

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no time zone of the IANA database", self.0)
    }
}

impl std::error::Error for UnknownZone {}

impl Calendar {
    /// Windows of `period` in the zone with this IANA name (`Europe/Zurich`, `UTC`).
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn new(period: Period, zone: &str) -> Result<Calendar, UnknownZone> {
        let zone = Tz::from_str(zone).map_err(|_unknown| UnknownZone(zone.to_owned()))?;
        Ok(Calendar { period, zone })
    }

    /// The period.
    pub fn period(&self) -> Period {
        self.period
    }

    /// The zone's IANA name.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The window that `at_us` is in. Outside of the years that a calendar can express (about 260,000 of them on either
    /// side) windows are as long as at the epoch.
    pub fn span(&self, at_us: i64) -> Span {
        if self.period == Period::Hour {
            return fixed(at_us, HOUR_US, 0);
        }
        self.dates(at_us).unwrap_or_else(|| match self.period {
            // The epoch was a Thursday.
            Period::Week => fixed(at_us, 7 * DAY_US, 4 * DAY_US),
            Period::Month => fixed(at_us, 31 * DAY_US, 0),
            Period::Hour | Period::Day => fixed(at_us, DAY_US, 0),
        })
    }

    fn dates(&self, at_us: i64) -> Option<Span> {
        let local = DateTime::from_timestamp_micros(at_us)?.with_timezone(&self.zone);
        let date = local.date_naive();
        let (first, next) = match self.period {
            Period::Hour | Period::Day => (date, date.succ_opt()?),
            Period::Week => {
                let past = u64::from(date.weekday().num_days_from_monday());
                let monday = date.checked_sub_days(Days::new(past))?;
                (monday, monday.checked_add_days(Days::new(7))?)
            }
            Period::Month => {
                let first = date.with_day(1)?;
                let (year, month) = match first.month() {
                    12 => (first.year().checked_add(1)?, 1),
                    month => (first.year(), month + 1),
                };
                (first, NaiveDate::from_ymd_opt(year, month, 1)?)
            }
        };
        let span = Span { start_us: self.midnight(first)?, end_us: self.midnight(next)? };
        span.contains(at_us).then_some(span)
    }

    /// The first moment of a date. Where clocks are put forward over midnight, that is the first there is; where they are
    /// put back over it, the first of the two.
    fn midnight(&self, date: NaiveDate) -> Option<i64> {
        let midnight = date.and_time(NaiveTime::MIN);
        (0..=GAP_QUARTERS).find_map(|quarters| {
            let wall = midnight
                .checked_add_signed(chrono::TimeDelta::minutes(15 * i64::try_from(quarters).ok()?))?;
            match self.zone.from_local_datetime(&wall) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.timestamp_micros()),
                LocalResult::None => None,
            }
        })
    }
}

/// Windows of equal length, one of which begins at `from_us`.
fn fixed(at_us: i64, length_us: i64, from_us: i64) -> Span {
    let start_us = at_us.saturating_sub(at_us.saturating_sub(from_us).rem_euclid(length_us));
    Span { start_us, end_us: start_us.saturating_add(length_us) }
}

/// What is added up: a stretch of the calendar, or the time just past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// A stretch of the calendar.
    Calendar(Calendar),
    /// The last so many microseconds, more than 0.
    Rolling(i64),
}

impl Window {
    /// The earliest moment whose spending counts at `now_us`.
    pub fn from_us(&self, now_us: i64) -> i64 {
        match self {
            Window::Calendar(calendar) => calendar.span(now_us).start_us,
            Window::Rolling(length_us) => now_us.saturating_sub(*length_us),
        }
    }
}

/// Steps that a sliding window is cut into.
pub const STEPS: i64 = 60;

/// Slots of a sliding window: its steps, and the one that has begun.
const SLOTS: i64 = STEPS + 1;

/// The same as a length.
const SLOTS_LENGTH: usize = 61;

/// The length of a step of a sliding window of `length_us`, both in microseconds.
pub fn step_us(length_us: i64) -> i64 {
    length_us.max(STEPS).saturating_add(STEPS - 1) / STEPS
}

/// The sum of what was added in the last `length` of time.
///
/// Time is cut into steps of a sixtieth of the length. What was added is forgotten when the whole step it fell in is
/// older than the length: never earlier, and at most one step (1.7 % of the length) later. So whoever admits only what
/// keeps the sum within a limit stays within it in *every* window of that length, however it is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sliding {
    step_us: i64,
    /// Amounts by step, as a ring.
    slots: Box<[u64; SLOTS_LENGTH]>,
    sum: u64,
    /// Number of the newest step, counted from the epoch.
    newest: i64,
}

impl Sliding {
    /// An empty window of `length_us`, at least one microsecond for each step.
    pub fn new(length_us: i64) -> Sliding {
        let step_us = step_us(length_us);
        Sliding { step_us, slots: Box::new([0; SLOTS_LENGTH]), sum: 0, newest: i64::MIN }
    }

    /// The sum as of `now_us`.
    pub fn sum(&mut self, now_us: i64) -> u64 {
        self.advance(now_us);
        self.sum
    }

    /// Adds an amount at `now_us`, saturating. Time that goes backwards counts as standing still, unless it goes back by more
    /// than the window: then what was added keeps its age.
    pub fn add(&mut self, now_us: i64, amount: u64) {
        self.advance(now_us);
        self.put(self.newest, amount);
    }

    /// Adds an amount that belongs to an earlier moment; nothing if that is forgotten already.
    pub fn add_at(&mut self, now_us: i64, at_us: i64, amount: u64) {
        self.advance(now_us);
        if let Some(step) = self.remembered(now_us, at_us) {
            self.put(step, amount);
        }
    }

    /// Takes back an amount that was added at `at_us`; nothing if that is forgotten already.
    pub fn take_back(&mut self, now_us: i64, at_us: i64, amount: u64) {
        self.advance(now_us);
        let Some(step) = self.remembered(now_us, at_us) else { return };
        if let Some(slot) = self.slots.get_mut(index(step)) {
            let taken = amount.min(*slot);
            *slot -= taken;
            self.sum = self.sum.saturating_sub(taken);
        }
    }

    /// The amounts that count as of `now_us`, by the number of their step (steps of [`Sliding::step_us`] since the epoch).
    /// Steps without an amount are left out.
    pub fn steps(&mut self, now_us: i64) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.advance(now_us);
        let oldest = self.newest.saturating_sub(SLOTS - 1);
        (oldest..=self.newest)
            .map(|step| (step, self.slots.get(index(step)).copied().unwrap_or_default()))
            .filter(|(_, amount)| *amount > 0)
    }

    /// The length of a step in microseconds.
    pub fn step_us(&self) -> i64 {
        self.step_us
    }

    /// The first moment at which the sum is at most `most`, if nothing is added until then.
    pub fn falls_to(&mut self, now_us: i64, most: u64) -> i64 {
        self.advance(now_us);
        let mut left = self.sum;
        if left <= most {
            return now_us;
        }
        let oldest = self.newest.saturating_sub(SLOTS - 1);
        for step in oldest..=self.newest {
            left = left.saturating_sub(self.slots.get(index(step)).copied().unwrap_or_default());
            if left <= most {
                return self.forgotten_us(step);
            }
        }
        self.forgotten_us(self.newest)
    }

    /// The first moment at which the sum is nothing, if nothing is added until then.
    pub fn empties(&mut self, now_us: i64) -> i64 {
        self.advance(now_us);
        if self.sum == 0 {
            return now_us;
        }
        // Most windows have something in their newest step.
        let oldest = self.newest.saturating_sub(SLOTS - 1);
        let filled = |step: &i64| self.slots.get(index(*step)).is_some_and(|amount| *amount > 0);
        let last = (oldest..=self.newest).rev().find(filled);
        self.forgotten_us(last.unwrap_or(self.newest))
    }

    /// When what was added in a step is forgotten: when the step that takes its slot begins.
    fn forgotten_us(&self, step: i64) -> i64 {
        step.saturating_add(SLOTS).saturating_mul(self.step_us)
    }

    fn put(&mut self, step: i64, amount: u64) {
        if let Some(slot) = self.slots.get_mut(index(step)) {
            let room = u64::MAX - self.sum;
            let added = amount.min(room);
            *slot = slot.saturating_add(added);
            self.sum += added;
        }
    }

    /// The step of `at_us`, if it is remembered; the newest for what seems to come after it. While a clock that went back
    /// is behind the newest step, ages count, and not the times that it tells: what is spent by it is spent now.
    fn remembered(&self, now_us: i64, at_us: i64) -> Option<i64> {
        let behind = self.newest.saturating_sub(now_us.div_euclid(self.step_us)).max(0);
        let step = at_us.div_euclid(self.step_us).saturating_add(behind).min(self.newest);
        (self.newest.saturating_sub(step) < SLOTS).then_some(step)
    }

    /// Forgets what is too old at `now_us`.
    fn advance(&mut self, now_us: i64) {
        let now = now_us.div_euclid(self.step_us);
        if self.newest == i64::MIN {
            self.newest = now;
            return;
        }
        if now <= self.newest {
            if self.newest.saturating_sub(now) >= SLOTS {
                self.set_back(now);
            }
            return;
        }
        if now.saturating_sub(self.newest) >= SLOTS {
            *self.slots = [0; SLOTS_LENGTH];
            self.sum = 0;
        } else {
            for step in self.newest + 1..=now {
                if let Some(slot) = self.slots.get_mut(index(step)) {
                    self.sum = self.sum.saturating_sub(*slot);
                    *slot = 0;
                }
            }
        }
        self.newest = now;
    }
}

impl Sliding {
    /// The clock went back by more than all that is remembered. Every amount keeps its age, so that nothing is forgotten
    /// early, and nothing remembered until the clock is where it was.
    fn set_back(&mut self, now: i64) {
        let mut slots = [0; SLOTS_LENGTH];
        for age in 0..SLOTS {
            let amount = self.slots.get(index(self.newest.saturating_sub(age))).copied().unwrap_or_default();
            if let Some(slot) = slots.get_mut(index(now.saturating_sub(age))) {
                *slot = amount;
            }
        }
        *self.slots = slots;
        self.newest = now;
    }
}

fn index(step: i64) -> usize {
    usize::try_from(step.rem_euclid(SLOTS)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
