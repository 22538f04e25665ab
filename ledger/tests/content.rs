//! Prompts and answers: kept, found, held, erased, and gone when their time is over.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests, and one of them on purpose"
)]

mod common;

use narrows_ledger::{
    AuditFilter, Content, ContentFilter, ContentState, ContentStates, Erasure, ErasureSubject, Filter, Hold,
    KeyWrap, Ledger, LedgerError, LedgerOptions, NewContent, NewHold, NewSide, PageRequest, Pending, Place,
    Record, ScanLimits, Side,
};
use narrows_policy::facts::Caller;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// 2096-10-02T07:06:40Z: far enough that no sweep of a running ledger comes between.
const START_US: i64 = 4_000_000_000_000_000;
const CANARY: &str = "the canary sings at noon";

/// Wraps keys by turning their bytes around, and remembers what they were bound to.
struct Turned(&'static str);

impl KeyWrap for Turned {
    fn mark(&self) -> &str {
        self.0
    }

    fn wrap(&self, bound: &[u8], key: &[u8; 32]) -> Result<Vec<u8>, String> {
        Ok(key.iter().rev().chain(self.0.as_bytes()).chain(bound).copied().collect())
    }

    fn unwrap(&self, bound: &[u8], wrapped: &[u8]) -> Result<[u8; 32], String> {
        let (key, rest) = wrapped.split_first_chunk::<32>().ok_or("short")?;
        if rest != [self.0.as_bytes(), bound].concat() {
            return Err("bound to something else".to_owned());
        }
        let mut key = *key;
        key.reverse();
        Ok(key)
    }
}

struct House {
    ledger: Ledger,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(common::store(folder.path()), LedgerOptions::default()).unwrap();
        ledger.wrap_content(Arc::new(Turned("one")));
        House { ledger, folder }
    }

    fn keep(&self, number: u128, user: &str) -> u128 {
        self.keep_text(number, user, &format!("{CANARY}, says {user}, {number}"))
    }

    fn keep_text(&self, number: u128, user: &str, text: &str) -> u128 {
        let content = content(number, user, text);
        let id = content.record;
        assert!(self.ledger.submit_content(Box::new(content)));
        self.ledger.flush_content(PATIENCE).unwrap();
        id
    }

    fn state(&self, id: u128) -> ContentState {
        self.ledger.content(id).unwrap().unwrap().request.state
    }

    fn hold(&self, user: Option<&str>) -> Hold {
        let held = NewHold {
            organization: "acme".into(),
            user: user.map(str::to_owned),
            reason: "a lawsuit".into(),
            ..NewHold::default()
        };
        self.ledger.hold_content(&held, "tester").unwrap()
    }

    fn erase(&self, user: &str) -> Result<Erasure, LedgerError> {
        self.ledger.erase_content("acme", &ErasureSubject::User(user.into()), "asked for", "tester")
    }

    /// Every byte of the store and its side files, or of the server's data and log.
    fn raw(&self) -> Vec<u8> {
        let (mut all, mut folders) =
            (Vec::new(), vec![common::data(self.ledger.place(), self.folder.path())]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    // A server may remove a file meanwhile.
                    all.extend(std::fs::read(path).unwrap_or_default());
                }
            }
        }
        all
    }

    fn sql(&self, sql: &str) -> String {
        common::sql(self.ledger.place(), sql)
    }
}

fn content(number: u128, user: &str, text: &str) -> NewContent {
    let at_us = START_US + i64::try_from(number).unwrap() * 1_000_000;
    let side = |state| NewSide { state, whole_bytes: 1_000, bytes: text.as_bytes().to_vec() };
    NewContent {
        record: u128::try_from(at_us / 1_000).unwrap() << 80 | number,
        caller: Arc::new(Caller {
            organization: "acme".into(),
            team: Some("blue".into()),
            user: Some(user.into()),
            ..Caller::default()
        }),
        at_us,
        retention: DAY,
        request: side(ContentState::Stored),
        answer: side(ContentState::Cut),
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn content_reads_back_and_the_file_says_nothing_of_it() {
    let house = House::new();
    let id = house.keep(1, "ada");
    let found = house.ledger.content(id).unwrap().unwrap();
    let text = format!("{CANARY}, says ada, 1").into_bytes();
    assert_eq!(
        found.request,
        Side { state: ContentState::Stored, whole_bytes: 1_000, bytes: Some(text.clone()) }
    );
    assert_eq!(found.answer, Side { state: ContentState::Cut, whole_bytes: 1_000, bytes: Some(text) });
    assert_eq!(
        (found.user.as_deref(), found.team.as_deref(), found.service_account),
        (Some("ada"), Some("blue"), None)
    );
    assert!(!contains(&house.raw(), CANARY));
    assert_eq!(house.ledger.content(7).unwrap(), None);
    let stats = house.ledger.content_stats();
    assert_eq!((stats.stored, stats.dropped, stats.failed, stats.waiting), (1, 0, 0, 0));
}

#[test]
fn long_texts_are_compressed() {
    let house = House::new();
    let id = house.keep_text(1, "ada", &CANARY.repeat(10_000));
    assert_eq!(
        house.ledger.content(id).unwrap().unwrap().request.bytes.unwrap().len(),
        CANARY.len() * 10_000
    );
    assert!(house.ledger.content_stats().stored_bytes < 20_000);
}

#[test]
fn nothing_is_kept_or_opened_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let ledger = Ledger::open(&place, LedgerOptions::default()).unwrap();
    assert!(ledger.submit_content(Box::new(content(1, "ada", CANARY))));
    ledger.flush_content(PATIENCE).unwrap();
    assert_eq!(ledger.content_stats().dropped, 1);
    ledger.wrap_content(Arc::new(Turned("one")));
    let kept = content(2, "ada", CANARY);
    assert!(ledger.submit_content(Box::new(kept.clone())));
    ledger.close(PATIENCE).unwrap();
    drop(ledger);
    let ledger = Ledger::open(&place, LedgerOptions::default()).unwrap();
    assert!(matches!(ledger.content(kept.record), Err(LedgerError::ContentKey(_))));
    ledger.wrap_content(Arc::new(Turned("two")));
    let error = ledger.content(kept.record).unwrap_err().to_string();
    assert!(error.contains("master key one") && error.contains("rewrap"), "{error}");
    ledger.rewrap_content(&Turned("one"), &Turned("two"), "tester").unwrap();
    assert!(ledger.content(kept.record).unwrap().unwrap().request.bytes.is_some());
}

#[test]
fn a_row_cannot_take_the_place_of_another() {
    let house = House::new();
    let (one, other) = (house.keep(1, "ada"), house.keep(2, "ada"));
    let row = |id: u128| {
        let digits = format!("{id:032x}");
        match house.ledger.place() {
            Place::File(_) => format!("x'{digits}'"),
            Place::Postgres(_) => format!("'\\x{digits}'::bytea"),
        }
    };
    // Both have the same key, and are bound to their records all the same.
    let from = format!("SELECT request FROM content WHERE record = {}", row(other));
    house.sql(&format!("UPDATE content SET request = ({from}) WHERE record = {}", row(one)));
    assert!(matches!(house.ledger.content(one), Err(LedgerError::ContentKey(_))));
    house.sql(&format!("UPDATE content SET request = answer WHERE record = {}", row(other)));
    assert!(matches!(house.ledger.content(other), Err(LedgerError::ContentKey(_))));
}

#[test]
fn what_is_over_goes_and_what_is_held_stays() {
    let house = House::new();
    let (ada, bob) = (house.keep(1, "ada"), house.keep(2, "bob"));
    let hold = house.hold(Some("bob"));
    let over = START_US + 3_000_000 + i64::try_from(DAY.as_micros()).unwrap();
    assert_eq!(house.ledger.sweep_content(over - 5_000_000).unwrap(), 0);
    assert_eq!(house.ledger.sweep_content(over).unwrap(), 1);
    assert_eq!((house.state(ada), house.state(bob)), (ContentState::Expired, ContentState::Stored));
    assert!(house.ledger.content(ada).unwrap().unwrap().request.bytes.is_none());
    house.ledger.release_content(&hold.id, "settled", "tester").unwrap();
    assert_eq!(house.ledger.sweep_content(over).unwrap(), 1);
    assert_eq!(house.state(bob), ContentState::Expired);
    // The keys of days whose content is gone go too.
    house.keep(3, "eve");
    house.ledger.sweep_content(over + 3 * 86_400_000_000).unwrap();
    assert_eq!(house.sql("SELECT count(*) FROM content_keys"), "0");
}

#[test]
fn an_erasure_takes_a_persons_content_and_keys_and_leaves_the_others() {
    let house = House::new();
    let (ada, bob) = (house.keep(1, "ada"), house.keep(2, "bob"));
    let keys = || house.sql("SELECT count(*) FROM content_keys WHERE holder = 'ada'");
    assert_eq!(keys(), "1");
    let erased = house.erase("ada").unwrap();
    assert_eq!((erased.records, erased.keys), (1, 1));
    assert_eq!((house.state(ada), house.state(bob)), (ContentState::Erased, ContentState::Stored));
    assert_eq!(keys(), "0");
    // What comes later has a key of its own.
    let later = house.keep(3, "ada");
    assert_eq!(house.state(later), ContentState::Stored);
    let events = house.ledger.audit_trail(&AuditFilter::default(), 10, None).unwrap().events;
    assert_eq!(
        (events[0].action.as_str(), events[0].target.as_str(), events[0].rows),
        ("content_erased", "ada", Some(1))
    );
    let one =
        house.ledger.erase_content("acme", &ErasureSubject::Record(bob), "asked for", "tester").unwrap();
    assert_eq!((one.records, one.keys, house.state(bob)), (1, 0, ContentState::Erased));
    // Once more there is nothing left.
    assert_eq!(house.erase("ada").unwrap().records, 1);
    assert_eq!(house.erase("ada").unwrap().records, 0);
}

#[test]
fn there_is_no_receipt_for_an_erasure_of_nobody() {
    let house = House::new();
    let id = house.keep(1, "ada");
    let subjects = [
        ("umbra", ErasureSubject::User("ada".into())),
        ("acme", ErasureSubject::User("Ada".into())),
        ("acme", ErasureSubject::ServiceAccount("ada".into())),
        ("umbra", ErasureSubject::Record(id)),
        ("acme", ErasureSubject::Record(id + 1)),
    ];
    for (organization, subject) in subjects {
        let error = house.ledger.erase_content(organization, &subject, "x", "tester").unwrap_err();
        assert!(matches!(error, LedgerError::NothingKept { .. }), "{subject:?}: {error}");
        assert!(error.to_string().contains(organization), "{error}");
    }
    assert_eq!(house.state(id), ContentState::Stored);
    assert!(house.ledger.audit_trail(&AuditFilter::default(), 10, None).unwrap().events.is_empty());
    assert_eq!(house.ledger.content_organization(id).unwrap().as_deref(), Some("acme"));
    assert_eq!(house.ledger.content_organization(id + 1).unwrap(), None);
}

#[test]
fn an_erasure_under_a_hold_is_refused_as_a_whole() {
    let house = House::new();
    let (one, other) = (house.keep(1, "ada"), house.keep(2, "ada"));
    let held = NewHold {
        organization: "acme".into(),
        record: Some(other),
        reason: "x".into(),
        ..NewHold::default()
    };
    let hold = house.ledger.hold_content(&held, "tester").unwrap();
    match house.erase("ada") {
        Err(LedgerError::ContentHeld { holds }) => assert_eq!(holds, std::slice::from_ref(&hold.id)),
        other => panic!("{other:?}"),
    }
    assert_eq!((house.state(one), house.state(other)), (ContentState::Stored, ContentState::Stored));
    let released = house.ledger.release_content(&hold.id, "done", "tester").unwrap();
    assert_eq!(released.release_reason.as_deref(), Some("done"));
    assert!(matches!(
        house.ledger.release_content(&hold.id, "again", "tester"),
        Err(LedgerError::HoldReleased { .. })
    ));
    assert_eq!(house.erase("ada").unwrap().records, 2);
    assert!(house.ledger.content_holds(None, false).unwrap().is_empty());
    assert_eq!(house.ledger.content_holds(Some("acme"), true).unwrap().len(), 1);
}

#[test]
fn a_record_says_what_became_of_its_content() {
    let house = House::new();
    let mut record = common::record(2);
    record.content = ContentStates { request: ContentState::Stored, answer: ContentState::Dropped };
    let mut kept = content(1, "ada", CANARY);
    kept.record = record.id;
    kept.answer = NewSide { state: ContentState::Dropped, ..NewSide::default() };
    assert!(house.ledger.submit_content(Box::new(kept)));
    house.ledger.submit(record.clone());
    house.ledger.flush(PATIENCE).unwrap();
    assert_eq!(house.ledger.record(record.id).unwrap().unwrap().content, record.content);
    house.erase("ada").unwrap();
    let gone = ContentStates { request: ContentState::Erased, answer: ContentState::Dropped };
    let now = house.ledger.record(record.id).unwrap().unwrap();
    assert_eq!(now.content, gone);
    assert_eq!(now, Record { content: gone, ..record }, "all else stays");
    let page = house.ledger.records(&Filter::default(), PageRequest { limit: 5, cursor: None }).unwrap();
    assert_eq!(page.records[0].content, gone);
}

#[test]
fn what_was_kept_between_a_rewrapping_and_the_new_key_is_brought_over() {
    let house = House::new();
    let before = house.keep(1, "ada");
    let rewrap = || house.ledger.rewrap_content(&Turned("one"), &Turned("two"), "tester").unwrap();
    assert_eq!(rewrap(), 1);
    // The gateway still has the old master key.
    let between = house.keep(2, "ada");
    house.ledger.wrap_content(Arc::new(Turned("two")));
    let scan = || {
        let mut told = Vec::new();
        let take = &mut |content: Content| {
            told.push((content.record, content.request.bytes.is_some(), content.unopened.is_some()));
            true
        };
        let all = ContentFilter::default();
        let scanned = house.ledger.scan_content(&all, None, ScanLimits::default(), take);
        (scanned.unwrap().unopened, told)
    };
    assert_eq!(scan(), (1, vec![(between, false, true), (before, true, false)]));
    assert!(matches!(house.ledger.content(between), Err(LedgerError::ContentKey(_))));
    assert_eq!(rewrap(), 2, "as often as is needed");
    assert_eq!(scan(), (0, vec![(between, true, false), (before, true, false)]));
    let later = house.keep(3, "ada");
    assert_eq!(house.state(later), ContentState::Stored);
    assert_eq!(house.erase("ada").unwrap().keys, 2);
}

#[test]
fn a_scan_stops_at_its_limits_and_goes_on() {
    let house = House::new();
    let ids: Vec<u128> = (1..=5).map(|number| house.keep(number, "ada")).collect();
    house.keep(6, "bob");
    let filter = ContentFilter { user: Some("ada".into()), ..ContentFilter::default() };
    let scan = |before, limits| {
        let mut seen = Vec::new();
        let scanned = house.ledger.scan_content(&filter, before, limits, &mut |content| {
            seen.push(content.record);
            true
        });
        (scanned.unwrap(), seen)
    };
    let (all, seen) = scan(None, ScanLimits::default());
    assert_eq!((seen, all.next), (ids.iter().rev().copied().collect::<Vec<_>>(), None));
    let (some, seen) = scan(None, ScanLimits { records: 2, ..ScanLimits::default() });
    assert_eq!((seen, some.next), (vec![ids[4], ids[3]], Some(ids[3])));
    let (rest, seen) = scan(some.next, ScanLimits { records: 3, ..ScanLimits::default() });
    assert_eq!((seen, rest.next), (vec![ids[2], ids[1], ids[0]], None));
    let (few, seen) = scan(None, ScanLimits { bytes: 1, ..ScanLimits::default() });
    assert_eq!((seen.len(), few.next), (1, Some(ids[4])));
}

struct Broken;

impl Pending for Broken {
    fn bytes(&self) -> usize {
        1
    }

    fn ready(self: Box<Self>) -> NewContent {
        panic!("on purpose")
    }
}

#[test]
fn what_cannot_be_made_ready_takes_nothing_else_with_it() {
    let house = House::new();
    assert!(house.ledger.submit_content(Box::new(Broken)));
    let id = house.keep(1, "ada");
    assert_eq!(house.state(id), ContentState::Stored);
    assert_eq!((house.ledger.content_stats().stored, house.ledger.content_stats().dropped), (1, 1));
}
