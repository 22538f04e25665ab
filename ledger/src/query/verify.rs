//! Whether the sums that are kept are those of the records.

use super::{DIFFERENCES_MAX, Differing, DifferingPeriod, Reader, Verification};
use crate::db::Connection;
use crate::error::LedgerError;
use crate::json;
use crate::rollup::{GroupKey, HOUR_US, SUMS, Sums, hour_of};
use crate::segment::cut;
use crate::segment::unpack::unpack;
use crate::store::migrate::{WITH_PERIODS, WITH_RECORDS};
use crate::store::periods::{self, Period, SumRow};
use crate::store::records::unrolled;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Where sums are compared: hour, provider and model.
type Place = (i64, [String; 2]);

/// What was found of records, of their sums, and of exchanges that left no record.
#[derive(Default)]
struct Found {
    records: Sums,
    rollups: Sums,
    overflow: Sums,
    /// Of records and their sums.
    places: BTreeMap<Place, [Sums; 2]>,
}

/// Where a figure comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Records,
    Rollups,
    Overflow,
}

impl Found {
    fn add(&mut self, kind: Kind, hour: i64, names: [&str; 2], sums: &Sums) {
        let (total, place) = match kind {
            Kind::Records => (&mut self.records, 0),
            Kind::Rollups => (&mut self.rollups, 1),
            Kind::Overflow => return self.overflow.add(sums),
        };
        total.add(sums);
        if !sums.is_nothing()
            && let Some(sum) = self.places.entry((hour, names.map(str::to_owned))).or_default().get_mut(place)
        {
            sum.add(sums);
        }
    }

    fn differing(&self) -> Vec<Differing> {
        self.places
            .iter()
            .filter(|(_, [records, rollups])| records != rollups)
            .take(DIFFERENCES_MAX)
            .map(|((hour, [provider, model]), [records, rollups])| Differing {
                hour: json::time(hour.saturating_mul(HOUR_US)).unwrap_or_default().replace(".000000", ""),
                provider: provider.clone(),
                model: model.clone(),
                records: *records,
                rollups: *rollups,
            })
            .collect()
    }
}

impl Reader {
    /// Adds up every stored record anew and compares with the sums kept by hour, and those with the sums by day and by month.
    /// Reads the whole store, in one consistent view.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] for a segment that cannot be read, or a failure of the store.
    pub fn verify(&self) -> Result<Verification, LedgerError> {
        let mut found = Found::default();
        let mut differing_periods = Vec::new();
        if self.version >= WITH_RECORDS {
            let view = self.connection.unchecked_transaction()?;
            add_records(&view, &mut found)?;
            add_sums(&view, &mut found)?;
            if self.version >= WITH_PERIODS {
                differing_periods = differing(&view)?;
            }
        }
        let differing = found.differing();
        let Found { records, rollups, overflow, .. } = found;
        let consistent = records == rollups && differing.is_empty() && differing_periods.is_empty();
        Ok(Verification { records, rollups, overflow, consistent, differing, differing_periods })
    }
}

fn add_records(view: &Connection, found: &mut Found) -> Result<(), LedgerError> {
    let mut statement = view.prepare("SELECT id, records, body FROM segments")?;
    let mut rows = statement.stream([])?;
    while let Some(row) = rows.next()? {
        let segment = row.get(0)?;
        let body = row.get_ref(2)?.as_blob()?;
        let records = unpack(body, row.get(1)?).map_err(|cause| LedgerError::Damaged { segment, cause })?;
        for record in &records {
            let hour = hour_of(record.started_at_us);
            for (group, sums) in Sums::split(record) {
                found.add(Kind::Records, hour, place_of(&group), &sums);
            }
        }
    }
    Ok(())
}

fn add_sums(view: &Connection, found: &mut Found) -> Result<(), LedgerError> {
    for ((hour, group), sums) in &unrolled(view)? {
        found.add(Kind::Rollups, *hour, place_of(group), sums);
    }
    let sql = format!(
        "SELECT hour, group_id, overflow, {}, provider, model FROM rollups JOIN groups ON groups.id = group_id",
        Sums::COLUMNS.join(", ")
    );
    let mut statement = view.prepare(&sql)?;
    let mut rows = statement.stream([])?;
    while let Some(row) = rows.next()? {
        let (provider, model): (String, String) = (row.get(3 + SUMS)?, row.get(4 + SUMS)?);
        let SumRow { period, overflow, sums, .. } = SumRow::of(&row)?;
        let kind = if overflow { Kind::Overflow } else { Kind::Rollups };
        found.add(kind, period, [&provider, &model], &sums);
    }
    Ok(())
}

fn place_of(group: &GroupKey) -> [&str; 2] {
    [group.provider.as_deref(), group.model.as_deref()].map(|name| cut(name.unwrap_or_default()))
}

/// The days and months, as far as they are complete, that are not what their hours and days come to.
fn differing(view: &Connection) -> Result<Vec<DifferingPeriod>, LedgerError> {
    let mut differing = Vec::new();
    for period in Period::COARSE {
        let complete_from = periods::complete_from(view, period)?;
        let mut kept: HashMap<(i64, bool), Sums> = HashMap::new();
        let places: BTreeSet<i64> = periods::places(view, period)?;
        for place in places.into_iter().filter(|place| *place >= complete_from) {
            kept.clear();
            periods::each(view, period, [place, place + 1], |row| {
                kept.insert((row.group, row.overflow), row.sums);
            })?;
            let mut finer = periods::added_up(view, period, place)?;
            finer.values_mut().for_each(|sums| *sums = sums.stored());
            let all: HashSet<_> = finer.keys().chain(kept.keys()).collect();
            let groups = all.into_iter().filter(|group| finer.get(group) != kept.get(group)).count();
            if groups > 0 && differing.len() < DIFFERENCES_MAX {
                let total = |sums: &HashMap<_, Sums>| {
                    let mut total = Sums::default();
                    sums.values().for_each(|more| total.add(more));
                    total
                };
                let [finer, kept] = [&finer, &kept].map(total);
                differing.push(DifferingPeriod { period: period.name(place), groups, finer, kept });
            }
        }
    }
    Ok(differing)
}
