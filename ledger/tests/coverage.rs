//! What passes here, against what is known.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::{
    CoverageQuestion, CoverageReport, EntryKind, EntryState, Ledger, LedgerOptions, NewEntry, NewKey, Record,
};
use narrows_policy::{Caller, Capability, CapabilitySet, TrafficClass};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// An hour before the records of the sample.
const BEFORE: i64 = 1_769_860_800_000_000;
/// A day after them.
const AFTER: i64 = 1_769_954_400_000_000;

fn store() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(common::store(folder.path()), LedgerOptions::default()).unwrap();
    (folder, ledger)
}

fn question() -> CoverageQuestion {
    CoverageQuestion { from_us: BEFORE, to_us: AFTER, organization: None, unused_since_us: BEFORE }
}

fn ask(ledger: &Ledger, question: &CoverageQuestion) -> CoverageReport {
    ledger.flush(PATIENCE).unwrap();
    ledger.coverage(question).unwrap()
}

#[test]
fn every_class_has_a_row_and_those_out_of_reach_say_so() {
    let (_folder, ledger) = store();
    for number in 0..6 {
        let mut record = common::record(number);
        if number == 5 {
            record.class = TrafficClass::OwnApplication;
            record.capabilities = CapabilitySet::NONE.with(Capability::Audit);
        }
        ledger.submit(record);
    }
    let report = ask(&ledger, &question());
    let rows: Vec<_> =
        report.classes.iter().map(|row| (row.class.as_str(), row.exchanges, row.reachable)).collect();
    let expected = [
        ("1", 1, true),
        ("2a", 5, true),
        ("2b", 0, true),
        ("3", 0, false),
        ("4", 0, false),
        ("mcp", 0, false),
    ];
    assert_eq!(rows, expected);
    let applied = |row: usize| {
        ["cost", "guardrails", "access", "audit"].map(|one| report.classes[row].capabilities[one])
    };
    assert_eq!((applied(0), applied(1)), ([0, 0, 0, 1], [5, 0, 0, 5]));
    assert_eq!(report.classes[1].surfaces["gateway"], 5);
    assert!(report.classes[4].note.contains("never passes here"), "{:?}", report.classes[4]);
    assert!(report.classes_counted_since.unwrap() > AFTER, "this store was made long after");
}

#[test]
fn names_are_told_to_be_known_or_not() {
    let (_folder, ledger) = store();
    (0..9).for_each(|number| ledger.submit(common::record(number)));
    let anonymous = Caller { organization: "acme".into(), user: Some("guest".into()), ..Caller::default() };
    ledger.submit(Record { caller: Arc::new(anonymous), ..common::record(9) });
    let add = |kind, name: &str| ledger.create_entry(&NewEntry::new(kind, "acme", name), "test").unwrap();
    add(EntryKind::User, "ada");
    let eve = add(EntryKind::User, "eve");
    let gone = add(EntryKind::Team, "team-1");
    ledger.delete_entry(EntryKind::Team, &gone.id, None, "test").unwrap();
    let report = ask(&ledger, &question());
    let of = |name: &str| {
        let row = report.seen.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{report:?}"));
        (row.kind, row.known, row.state, row.exchanges)
    };
    assert_eq!(of("ada"), (EntryKind::User, true, Some(EntryState::Active), 3));
    assert_eq!(of("guest"), (EntryKind::User, false, None, 1));
    assert_eq!(of("nightly"), (EntryKind::ServiceAccount, false, None, 3));
    assert_eq!(of("team-1"), (EntryKind::Team, true, Some(EntryState::Deleted), 3));
    assert_eq!(of("acme"), (EntryKind::Organization, false, None, 10));
    assert!(report.seen.is_sorted_by_key(|row| row.known), "the unknown come first");
    let unseen: Vec<_> = report.unseen.iter().map(|row| (row.name.as_str(), row.id.as_str())).collect();
    assert_eq!(unseen, [("eve", eve.id.as_str())]);
    assert_eq!(report.without_key, 1);
    let clients: Vec<_> = report.clients.iter().map(|row| (row.client.as_deref(), row.exchanges)).collect();
    assert_eq!(clients, [(None, 7), (Some("claude-code"), 3)]);
    let other = CoverageQuestion { organization: Some("umbra".into()), ..question() };
    let other = ask(&ledger, &other);
    assert!(other.seen.is_empty() && other.unseen.is_empty() && other.clients.is_empty());
    assert!(other.classes.iter().all(|row| row.exchanges == 0));
    let later = CoverageQuestion { from_us: AFTER, to_us: AFTER + 1, ..question() };
    assert!(ask(&ledger, &later).seen.is_empty());
}

#[test]
fn keys_that_nobody_uses_are_named() {
    let (_folder, ledger) = store();
    let key = |name: &str| {
        let new = NewKey {
            name: name.into(),
            organization: "acme".into(),
            team: Some("red".into()),
            ..NewKey::default()
        };
        ledger.create_key(&new, "test").unwrap().info.id
    };
    let (used, unused, off) = (key("used"), key("unused"), key("off"));
    ledger.set_key_disabled(&off, true, "test").unwrap();
    let caller =
        |id: &str| Caller { organization: "acme".into(), key_id: Some(id.into()), ..Caller::default() };
    for id in [&used, &unused] {
        let old = common::record(1);
        ledger.submit(Record { caller: Arc::new(caller(id)), ..old });
    }
    let now = jiff::Timestamp::now().as_microsecond();
    ledger.submit(Record { caller: Arc::new(caller(&used)), started_at_us: now, ..common::record(2) });
    let since = |us| CoverageQuestion { unused_since_us: us, ..question() };
    // All of them were made just now, so nothing is unused for long yet.
    assert!(ask(&ledger, &since(now - 60_000_000)).unused_keys.is_empty());
    let report = ask(&ledger, &since(now + 60_000_000));
    let names: Vec<_> = report.unused_keys.iter().map(|row| row.name.as_str()).collect();
    // An hour with an exchange counts as used to its end, so this one may still be.
    assert!(names.contains(&"unused") && !names.contains(&"off"), "{report:?}");
    let row = report.unused_keys.iter().find(|row| row.id == unused).unwrap();
    assert_eq!(
        (row.owner.as_deref(), row.last_used_at_us),
        (Some("red"), Some(1_769_864_400_000_000 - 3_600_000_000))
    );
}
