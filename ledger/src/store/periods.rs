//! Sums by hour, by day and by month: the same figures, added up further, so that a report of a long time reads few rows.

use crate::db::{self, Connection, OptionalExtension, Row, TransactionBehavior, ValueRef};
use crate::json;
use crate::rollup::{HOUR_US, SUMS, Sums};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Hours in a day.
const DAY_HOURS: i64 = 24;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_1970: i64 = 719_468;
/// Months from March of the year 0 to January 1970.
const MONTHS_TO_1970: i64 = 1_969 * 12 + 10;
/// Days and months in 400 years, after which the calendar repeats.
const CYCLE: (i64, i64) = (146_097, 4_800);
/// Days that months are told of, before 1970 and after: more than microseconds in 64 bits reach.
const DAYS_MAX: i64 = 1_000_000_000;
/// The mark of a table in which nothing is complete yet.
const NONE: i64 = i64::MAX;

/// By what stretches of time sums are kept. Each has a table, whose rows are the sums of one group in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    /// Counted from 1970-01-01T00:00Z.
    Hour,
    /// Days of UTC, counted from 1970-01-01.
    Day,
    /// Months of the calendar in UTC, counted from January 1970.
    Month,
}

impl Period {
    /// All that are added up from finer ones.
    pub(crate) const COARSE: [Period; 2] = [Period::Day, Period::Month];

    fn table(self) -> &'static str {
        match self {
            Period::Hour => "rollups",
            Period::Day => "rollups_by_day",
            Period::Month => "rollups_by_month",
        }
    }

    fn column(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Month => "month",
        }
    }

    /// What this is added up from.
    fn finer(self) -> Period {
        match self {
            Period::Hour | Period::Day => Period::Hour,
            Period::Month => Period::Day,
        }
    }

    /// The row of `meta` that says from which period on the table is complete; it always is where there is no such row.
    fn mark(self) -> &'static str {
        match self {
            Period::Hour => "",
            Period::Day => "days_from",
            Period::Month => "months_from",
        }
    }

    /// The period that an hour falls in.
    pub(crate) fn of(self, hour: i64) -> i64 {
        match self {
            Period::Hour => hour,
            Period::Day => hour.div_euclid(DAY_HOURS),
            Period::Month => month_of(hour.div_euclid(DAY_HOURS)),
        }
    }

    /// The hour that a period begins with.
    pub(crate) fn first_hour(self, period: i64) -> i64 {
        match self {
            Period::Hour => period,
            Period::Day => period.saturating_mul(DAY_HOURS),
            Period::Month => first_day(period).saturating_mul(DAY_HOURS),
        }
    }

    /// A day as `2026-01-31`, a month as `2026-01`, an hour as `2026-01-31T13`.
    pub(crate) fn name(self, period: i64) -> String {
        let length = match self {
            Period::Hour => 13,
            Period::Day => 10,
            Period::Month => 7,
        };
        let text = json::time(self.first_hour(period).saturating_mul(HOUR_US)).unwrap_or_default();
        text.get(..length).unwrap_or_default().to_owned()
    }

    /// The rows of a stretch of periods, as [`SumRow`] reads them.
    pub(crate) fn select(self, which: &str) -> String {
        let (table, column) = (self.table(), self.column());
        format!("SELECT {column}, group_id, overflow, {} FROM {table} {which}", Sums::COLUMNS.join(", "))
    }

    /// The rows of the periods from one up to another.
    pub(crate) fn select_range(self) -> String {
        let column = self.column();
        self.select(&format!("WHERE {column} >= ?1 AND {column} < ?2"))
    }

    /// Adds to a row of sums, or starts it. SQLite turns an overflowing sum into a float, so it is stopped before.
    fn upsert(self) -> String {
        let (table, column) = (self.table(), self.column());
        let places: Vec<String> = (1..=3 + SUMS).map(|place| format!("?{place}")).collect();
        let additions: Vec<String> = Sums::COLUMNS
            .iter()
            .map(|name| {
                format!(
                    "{name} = CASE WHEN {table}.{name} > {max} - excluded.{name} THEN {max} \
                     ELSE {table}.{name} + excluded.{name} END",
                    max = i64::MAX
                )
            })
            .collect();
        format!(
            "INSERT INTO {table} ({column}, group_id, overflow, {}) VALUES ({}) \
             ON CONFLICT ({column}, group_id, overflow) DO UPDATE SET {}",
            Sums::COLUMNS.join(", "),
            places.join(", "),
            additions.join(", ")
        )
    }
}

/// The first day of a month, both counted from January 1970: with years that begin in March, so that a leap day is a year's last.
fn first_day(month: i64) -> i64 {
    let from_march = month.saturating_add(MONTHS_TO_1970);
    let (year, place) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year.saturating_mul(365) + leap_days + (153 * place + 2) / 5 - DAYS_TO_1970
}

/// The month that a day falls in.
fn month_of(day: i64) -> i64 {
    let (days, months) = CYCLE;
    let day = day.clamp(-DAYS_MAX, DAYS_MAX);
    // Months are of about the same length: this is the month, or one beside it.
    let mut month = (day * months).div_euclid(days);
    while first_day(month) > day {
        month -= 1;
    }
    while first_day(month + 1) <= day {
        month += 1;
    }
    month
}

/// One row of sums.
pub(crate) struct SumRow {
    pub(crate) period: i64,
    pub(crate) group: i64,
    pub(crate) overflow: bool,
    pub(crate) sums: Sums,
}

impl SumRow {
    /// A row of [`Period::select`].
    pub(crate) fn of(row: &Row<'_>) -> db::Result<SumRow> {
        let mut figures = [0; SUMS];
        for (place, figure) in (3..).zip(&mut figures) {
            *figure = u64::try_from(row.get::<_, i64>(place)?).unwrap_or(0);
        }
        let (sums, overflow) = (Sums::from_array(figures), row.get(2)?);
        let overflowed = if overflow { sums.requests } else { 0 };
        Ok(SumRow { period: row.get(0)?, group: row.get(1)?, overflow, sums: Sums { overflowed, ..sums } })
    }
}

/// The statements that add to the tables: written once.
pub(crate) struct Additions([String; 3]);

impl Additions {
    pub(crate) fn new() -> Additions {
        Additions([Period::Hour, Period::Day, Period::Month].map(Period::upsert))
    }

    /// Adds sums of hours to the rows of all periods.
    pub(crate) fn add(
        &self,
        connection: &Connection,
        overflow: bool,
        hours: &[(i64, i64, Sums)],
    ) -> db::Result<()> {
        for (period, upsert) in [Period::Hour, Period::Day, Period::Month].into_iter().zip(&self.0) {
            let mut rows: BTreeMap<(i64, i64), Sums> = BTreeMap::new();
            for (hour, group, sums) in hours {
                rows.entry((period.of(*hour), *group)).or_default().add(sums);
            }
            let rows: Vec<_> = rows
                .into_iter()
                .map(|((period, group), sums)| values(period, group, overflow, &sums))
                .collect();
            connection.prepare_cached(upsert)?.execute_each(&rows)?;
        }
        Ok(())
    }
}

fn values(period: i64, group: i64, overflow: bool, sums: &Sums) -> Vec<ValueRef<'static>> {
    let place = [period, group, i64::from(overflow)];
    let figures = sums.to_array().map(|figure| i64::try_from(figure).unwrap_or(i64::MAX));
    place.into_iter().chain(figures).map(ValueRef::Integer).collect()
}

/// From which period on the sums are complete.
pub(crate) fn complete_from(connection: &Connection, period: Period) -> db::Result<i64> {
    Ok(mark(connection, period)?.unwrap_or(i64::MIN))
}

fn mark(connection: &Connection, period: Period) -> db::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([period.mark()], |row| row.get(0))
        .optional()
}

/// Adds up one more day, or when there is none left, one more month, of a store that was there before these sums were. False
/// when nothing is left to do.
///
/// One transaction, of as much as the groups of a day in its hours, or of a month in its days. Meanwhile nobody else adds to
/// the table: what is added later is added to what is there then.
pub(crate) fn fill(connection: &mut Connection) -> db::Result<bool> {
    for period in Period::COARSE {
        if mark(connection, period)?.is_some() {
            fill_one(connection, period)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn fill_one(connection: &mut Connection, period: Period) -> db::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Beside)?;
    let (table, column, finer) = (period.table(), period.column(), period.finer());
    if transaction.postgres().is_some() {
        // Waits for whoever has added to it and not committed. Questions go on.
        transaction.execute_batch(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))?;
    }
    // Another gateway may have been quicker.
    let Some(from) = mark(&transaction, period)? else { return Ok(()) };
    let before = if from == NONE { NONE } else { finer.of(period.first_hour(from)) };
    let newest = format!("SELECT max({0}) FROM {1} WHERE {0} < ?1", finer.column(), finer.table());
    let newest: Option<i64> = transaction.query_row(&newest, [before], |row| row.get(0))?;
    match newest {
        None => drop(transaction.execute("DELETE FROM meta WHERE name = ?1", [period.mark()])?),
        Some(newest) => {
            let wanted = period.of(finer.first_hour(newest));
            transaction.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [wanted])?;
            let rows = added_up(&transaction, period, wanted)?;
            let rows: Vec<_> = rows
                .iter()
                .map(|((group, overflow), sums)| values(wanted, *group, *overflow, sums))
                .collect();
            transaction.prepare_cached(&period.upsert())?.execute_each(&rows)?;
            let sql = "UPDATE meta SET value = ?2 WHERE name = ?1";
            transaction.execute(sql, db::params![period.mark(), wanted])?;
        }
    }
    transaction.commit()
}

/// The sums of a period, by group and whether they are of exchanges that left no record, added up from the finer ones.
pub(crate) fn added_up(
    connection: &Connection,
    period: Period,
    wanted: i64,
) -> db::Result<HashMap<(i64, bool), Sums>> {
    let finer = period.finer();
    let range = [wanted, wanted + 1].map(|place| finer.of(period.first_hour(place)));
    let mut added = HashMap::new();
    each(connection, finer, range, |row| {
        added.entry((row.group, row.overflow)).or_insert_with(Sums::default).add(&row.sums);
    })?;
    Ok(added)
}

/// All periods that have sums, or whose finer ones have.
pub(crate) fn places(connection: &Connection, period: Period) -> db::Result<BTreeSet<i64>> {
    let mut places = BTreeSet::new();
    for kind in [period, period.finer()] {
        let sql = format!("SELECT DISTINCT {} FROM {}", kind.column(), kind.table());
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.stream([])?;
        while let Some(row) = rows.next()? {
            places.insert(period.of(kind.first_hour(row.get(0)?)));
        }
    }
    Ok(places)
}

/// Hands on the rows of the periods from one up to another.
pub(crate) fn each(
    connection: &Connection,
    period: Period,
    range: [i64; 2],
    mut take: impl FnMut(SumRow),
) -> db::Result<()> {
    let mut statement = connection.prepare(&period.select_range())?;
    let mut rows = statement.stream(range)?;
    while let Some(row) = rows.next()? {
        take(SumRow::of(&row)?);
    }
    Ok(())
}

/// Which rows make up the hours from one up to another: whole periods of the coarsest kind, as far as they are complete, and
/// what is left at both ends from the finer ones. `kinds` are told the coarsest first, each with the period from which it is
/// complete; what is left is hours.
pub(crate) fn cover(from: i64, to: i64, kinds: &[(Period, i64)]) -> Vec<(Period, [i64; 2])> {
    if from >= to {
        return Vec::new();
    }
    let Some(((period, complete_from), finer)) = kinds.split_first() else {
        return vec![(Period::Hour, [from, to])];
    };
    let partly = i64::from(period.first_hour(period.of(from)) < from);
    let first = (period.of(from) + partly).max(*complete_from);
    let end = period.of(to);
    if first >= end {
        return cover(from, to, finer);
    }
    let mut parts = cover(from, period.first_hour(first), finer);
    parts.push((*period, [first, end]));
    parts.extend(cover(period.first_hour(end), to, finer));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hours of the years 31 to 9955.
    const HOURS: std::ops::Range<i64> = -17_000_000..70_000_000;

    proptest! {
        #[test]
        fn months_are_those_of_the_calendar(hour in HOURS) {
            let month = Period::Month.of(hour);
            let first = Period::Month.first_hour(month);
            prop_assert!(first <= hour && hour < Period::Month.first_hour(month + 1));
            let text = json::time(hour * HOUR_US).unwrap();
            prop_assert!(text.starts_with(&Period::Month.name(month)), "{text}");
            prop_assert!(text.starts_with(&Period::Day.name(Period::Day.of(hour))), "{text}");
            prop_assert_eq!(Period::Month.of(first), month);
            let first_day = Period::Month.name(month) + "-01T00:00:00";
            prop_assert!(json::time(first * HOUR_US).unwrap().starts_with(&first_day));
        }

        #[test]
        fn a_cover_is_every_hour_once(
            from in HOURS,
            length in 0_i64..20_000,
            days_from in 0_i64..900,
            months_from in 0_i64..30,
        ) {
            let day = Period::Day.of(from);
            let kinds = [(Period::Month, Period::Month.of(from) + months_from), (Period::Day, day + days_from)];
            let parts = cover(from, from + length, &kinds);
            let mut next = from;
            for (period, [first, end]) in &parts {
                prop_assert!(first < end);
                prop_assert_eq!(period.first_hour(*first), next);
                prop_assert!(kinds.iter().all(|(kind, complete)| kind != period || first >= complete));
                next = period.first_hour(*end);
            }
            prop_assert_eq!(next, from + length);
            let ragged: i64 = parts
                .iter()
                .filter(|(period, _)| *period == Period::Hour)
                .map(|(_, [first, end])| end - first)
                .sum();
            prop_assert!(days_from > 0 || ragged < 48, "{parts:?}");
        }
    }

    #[test]
    fn all_of_time_is_covered_too() {
        let hours = [i64::MIN, i64::MAX].map(crate::rollup::hour_of);
        let parts = cover(hours[0], hours[1], &[(Period::Month, i64::MIN), (Period::Day, i64::MIN)]);
        assert_eq!(parts.len(), 5, "{parts:?}");
        let none = cover(hours[0], hours[1], &[(Period::Month, NONE), (Period::Day, NONE)]);
        assert_eq!(none, [(Period::Hour, hours)]);
    }
}
