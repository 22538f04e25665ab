//! Records in, reports and pages out.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::{Dimension, Filter, JsonLines, Ledger, LedgerOptions, Page, PageRequest, Record, Sums};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: u64 = 2_500;

/// A store with records in several segments, some of them not yet rolled up when `settled` is false.
fn filled() -> (tempfile::TempDir, Ledger, Vec<Record>) {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { batch_limit: 64, ..LedgerOptions::default() };
    let ledger = Ledger::open(common::store(folder.path()), options).unwrap();
    let records: Vec<Record> = (0..RECORDS).map(common::record).collect();
    records.iter().for_each(|record| ledger.submit(record.clone()));
    ledger.flush(PATIENCE).unwrap();
    (folder, ledger, records)
}

fn total(records: &[Record], by: impl Fn(&Record) -> bool) -> (u64, u64, u64) {
    total_at(records, by, None)
}

/// Also what was used of other providers, or of this one only.
fn total_at(records: &[Record], by: impl Fn(&Record) -> bool, provider: Option<&str>) -> (u64, u64, u64) {
    let (mut requests, mut input, mut cost) = (0, 0, 0);
    for record in records.iter().filter(|record| by(record)) {
        if provider.is_none() || record.provider.as_deref() == provider {
            requests += 1;
            input += record.usage.input().unwrap_or(0);
            cost += record.cost.nano_usd().unwrap_or(0);
        }
        for used in record.also_used.iter().filter(|used| provider.is_none_or(|name| *used.provider == *name))
        {
            input += used.usage.input().unwrap_or(0);
            cost += used.cost.nano_usd().unwrap_or(0);
        }
    }
    (requests, input, cost)
}

fn figures(sums: &Sums) -> (u64, u64, u64) {
    (sums.requests, sums.input, sums.cost_nanousd)
}

#[test]
fn sums_are_those_of_the_records() {
    let (_folder, ledger, records) = filled();
    let all = ledger.usage(&Filter::default(), &[]).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(figures(&all[0].sums), total(&records, |_| true));
    let also = records.iter().flat_map(|record| &record.also_used);
    let unknown = also.filter(|used| used.cost.nano_usd().is_none()).count() as u64;
    let own = total(&records, |record| record.cost.nano_usd().is_none()).0;
    assert_eq!(all[0].sums.cost_unknown, own + unknown);

    // What a failed target used is that target's, and no exchange of its own.
    let providers = ledger.usage(&Filter::default(), &[Dimension::Provider]).unwrap();
    assert_eq!(providers.len(), 3);
    for row in providers.iter().filter(|row| row.group[0].1.is_some()) {
        let provider = row.group[0].1.as_deref();
        assert_eq!(figures(&row.sums), total_at(&records, |_| true, provider), "{row:?}");
    }

    let teams = ledger.usage(&Filter::default(), &[Dimension::Team, Dimension::Reason]).unwrap();
    assert_eq!(teams.len(), 6);
    for row in &teams {
        let (team, reason) = (row.group[0].1.as_deref(), row.group[1].1.as_deref());
        let same =
            |record: &Record| record.caller.team.as_deref() == team && Some(record.reason.as_str()) == reason;
        assert_eq!(figures(&row.sums), total(&records, same), "{row:?}");
    }
    assert!(ledger.verify().unwrap().consistent);
}

#[test]
fn filters_choose_and_time_counts_in_hours() {
    let (_folder, ledger, records) = filled();
    let filter =
        Filter { team: Some("team-1".into()), provider: Some("anthropic".into()), ..Filter::default() };
    let rows = ledger.usage(&filter, &[Dimension::User]).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].group, [(Dimension::User, None)], "no user is no name, not an empty one");
    let same = |record: &Record| {
        record.caller.team.as_deref() == Some("team-1") && record.provider.as_deref() == Some("anthropic")
    };
    assert_eq!(figures(&rows[0].sums), total_at(&records, same, Some("anthropic")));

    let hours = ledger.usage(&Filter::default(), &[Dimension::Hour, Dimension::Day]).unwrap();
    let named: Vec<_> = hours.iter().map(|row| row.group[0].1.clone().unwrap()).collect();
    assert_eq!(named, ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"]);
    assert_eq!(hours[0].group[1].1.as_deref(), Some("2026-01-31"));
    assert_eq!(hours[0].sums.requests, 2, "two records start before the full hour");

    let one_o_clock = 1_769_864_400_000_000;
    let before = Filter { to_us: Some(one_o_clock), ..Filter::default() };
    assert_eq!(ledger.usage(&before, &[]).unwrap()[0].sums.requests, 2);
    let after = Filter { from_us: Some(one_o_clock), ..Filter::default() };
    assert_eq!(ledger.usage(&after, &[]).unwrap()[0].sums.requests, RECORDS - 2);
}

#[test]
fn sums_not_stored_yet_are_in_every_answer() {
    let (folder, ledger, _records) = filled();
    // What a killed writer leaves behind: segments, and sums that end before them.
    let store = common::store(folder.path());
    let table = if store.file().is_some() {
        "meta SET value = 0 WHERE name = 'rolled_up_to'"
    } else {
        "writers SET rolled_up_to = 0"
    };
    let sums = "DELETE FROM rollups; DELETE FROM rollups_by_day; DELETE FROM rollups_by_month";
    common::sql(&store, &format!("{sums}; UPDATE {table}"));
    let before = ledger.usage(&Filter::default(), &[Dimension::Team]).unwrap();
    assert_eq!(before.iter().map(|row| row.sums.requests).sum::<u64>(), RECORDS);
    assert!(ledger.verify().unwrap().consistent);
    ledger.submit(common::record(RECORDS));
    ledger.flush(PATIENCE).unwrap();
    let stored = common::sql(&store, "SELECT sum(requests) FROM rollups");
    assert_eq!(stored, (RECORDS + 1).to_string(), "the writer noticed and added up anew");
    assert!(ledger.verify().unwrap().consistent);
}

#[test]
fn a_wrong_sum_is_noticed() {
    let (folder, ledger, _records) = filled();
    let store = common::store(folder.path());
    let change = |table: &str, by: i64| {
        let first = format!("group_id IN (SELECT min(group_id) FROM {table})");
        common::sql(&store, &format!("UPDATE {table} SET output = output + {by} WHERE {first}"));
        ledger.verify().unwrap()
    };
    for (table, period) in [("rollups_by_month", "2026-01"), ("rollups_by_day", "2026-01-31")] {
        let found = change(table, 1);
        assert!(!found.consistent && found.differing.is_empty());
        let differing = &found.differing_periods[0];
        assert_eq!((differing.period.as_str(), differing.groups), (period, 1));
        assert_eq!(differing.kept.output, differing.finer.output + 1);
        assert!(change(table, -1).consistent);
    }
    assert!(!change("rollups", 1).consistent);
}

fn pages(ledger: &Ledger, filter: &Filter, limit: usize) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let Page { records: more, next } = ledger.records(filter, PageRequest { limit, cursor }).unwrap();
        assert!(more.len() <= limit);
        records.extend(more);
        let Some(next) = next else { return records };
        cursor = Some(next.to_string().parse().unwrap());
    }
}

#[test]
fn pages_hold_every_record_once_newest_first() {
    let (_folder, ledger, mut records) = filled();
    records.reverse();
    for limit in [1_000, 64, 7] {
        assert_eq!(pages(&ledger, &Filter::default(), limit), records, "pages of {limit}");
    }
    let filter = Filter { key: Some("KEY000000002".into()), ..Filter::default() };
    records.retain(|record| record.caller.key_id.as_deref() == Some("KEY000000002"));
    assert_eq!(pages(&ledger, &filter, 100), records);
    for limit in [0, 1_001] {
        assert!(ledger.records(&filter, PageRequest { limit, cursor: None }).is_err());
    }
}

#[test]
fn a_record_is_found_by_its_id() {
    let (_folder, ledger, records) = filled();
    for record in records.iter().step_by(321) {
        assert_eq!(ledger.record(record.id).unwrap().as_ref(), Some(record));
    }
    assert_eq!(ledger.record(records[0].id ^ 1).unwrap(), None);
    assert_eq!(ledger.record(records[0].id ^ 1 << 100).unwrap(), None, "same low bits, other id");
}

#[test]
fn json_lines_are_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("records.jsonl");
    let options =
        LedgerOptions { json_lines: Some(JsonLines::File(lines.clone())), ..LedgerOptions::default() };
    let ledger = Ledger::open(common::store(folder.path()), options).unwrap();
    let records: Vec<Record> = (0..20).map(common::record).collect();
    records.iter().for_each(|record| ledger.submit(record.clone()));
    ledger.close(PATIENCE).unwrap();
    let expected: String = records.iter().map(|record| record.to_json() + "\n").collect();
    assert_eq!(std::fs::read_to_string(lines).unwrap(), expected);
}
