use super::*;
use crate::{AuditFilter, Ledger, LedgerOptions};

fn open() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    (folder, ledger)
}

const SOME: &str = r#"{"usd":10,"window":"month"}"#;
const MORE: &str = r#"{"usd":20,"window":"month"}"#;

#[test]
fn a_limit_is_made_changed_and_deleted_and_the_trail_says_by_whom() {
    let (_folder, ledger) = open();
    let made = ledger.put_limit(LimitKind::Budget, "team", SOME, Expected::None, "ada").unwrap();
    assert_eq!((made.version, &*made.document, &*made.updated_by), (1, SOME, "ada"));
    // Budgets and rate limits are named apart.
    ledger.put_limit(LimitKind::RateLimit, "team", "{}", Expected::None, "ada").unwrap();
    let version = ledger.changes();
    let changed = ledger.put_limit(LimitKind::Budget, "team", MORE, Expected::Version(1), "bob").unwrap();
    assert_eq!((changed.version, changed.created_at_us), (2, made.created_at_us));
    assert!(ledger.changes() > version, "every gateway looks again");
    assert_eq!(ledger.limit(LimitKind::Budget, "team").unwrap(), changed);
    assert_eq!(ledger.limits().unwrap().len(), 2);
    ledger.delete_limit(LimitKind::Budget, "team", Expected::Version(2), "eve").unwrap();
    let gone = ledger.limit(LimitKind::Budget, "team").unwrap_err();
    assert!(matches!(gone, LedgerError::LimitNotFound { .. }), "{gone}");
    let trail = ledger.audit_trail(&AuditFilter::default(), 100, None).unwrap();
    let said: Vec<_> = trail.events.iter().map(|event| (&*event.actor, &*event.action)).collect();
    let expected = [
        ("eve", "budget_deleted"),
        ("bob", "budget_updated"),
        ("ada", "rate_limit_created"),
        ("ada", "budget_created"),
    ];
    assert_eq!(said, expected);
    let detail = trail.events[1].detail.as_deref().unwrap();
    assert_eq!(detail, format!("{MORE}, before: {SOME}"));
}

#[test]
fn what_changes_nothing_is_no_change() {
    let (_folder, ledger) = open();
    let made = ledger.put_limit(LimitKind::Budget, "a", SOME, Expected::Any, "ada").unwrap();
    let again = ledger.put_limit(LimitKind::Budget, "a", SOME, Expected::Any, "bob").unwrap();
    assert_eq!(again, made);
    assert_eq!(ledger.audit_trail(&AuditFilter::default(), 100, None).unwrap().events.len(), 1);
}

#[test]
fn a_change_that_is_meant_for_another_version_is_refused() {
    let (_folder, ledger) = open();
    let refused = |expected, found| {
        let error = ledger.put_limit(LimitKind::Budget, "a", MORE, expected, "ada").unwrap_err();
        assert!(matches!(error, LedgerError::LimitChanged { version, .. } if version == found), "{error}");
    };
    refused(Expected::Some, None);
    refused(Expected::Version(1), None);
    ledger.put_limit(LimitKind::Budget, "a", SOME, Expected::None, "ada").unwrap();
    refused(Expected::None, Some(1));
    refused(Expected::Version(2), Some(1));
    let error = ledger.delete_limit(LimitKind::Budget, "a", Expected::Version(7), "ada").unwrap_err();
    assert!(matches!(error, LedgerError::LimitChanged { version: Some(1), .. }), "{error}");
    assert_eq!(ledger.limit(LimitKind::Budget, "a").unwrap().document, SOME);
}

#[test]
fn no_version_comes_again_after_a_deletion() {
    let (_folder, ledger) = open();
    for kind in [LimitKind::Budget, LimitKind::RateLimit] {
        let put = |document, expected| ledger.put_limit(kind, "a", document, expected, "ada");
        let seen = put(SOME, Expected::None).unwrap();
        let changed = put(MORE, Expected::Version(seen.version)).unwrap();
        ledger.delete_limit(kind, "a", Expected::Version(changed.version), "bob").unwrap();
        let anew = put(SOME, Expected::None).unwrap();
        assert!(anew.version > changed.version, "{anew:?}");
        for version in [seen.version, changed.version] {
            let error = put(MORE, Expected::Version(version)).unwrap_err();
            assert!(matches!(error, LedgerError::LimitChanged { .. }), "{error}");
        }
        ledger.delete_limit(kind, "a", Expected::Any, "bob").unwrap();
        assert!(put(SOME, Expected::None).unwrap().version > anew.version);
    }
}

#[test]
fn how_many_there_are_and_how_long_is_limited() {
    let (_folder, ledger) = open();
    let put = |name: &str, document: &str| {
        ledger.put_limit(LimitKind::RateLimit, name, document, Expected::Any, "ada").map(drop)
    };
    put("long", &"x".repeat(LIMIT_DOCUMENT_BYTES_MAX)).unwrap();
    let error = put("longer", &"x".repeat(LIMIT_DOCUMENT_BYTES_MAX + 1)).unwrap_err();
    assert!(matches!(error, LedgerError::LimitTooLong { .. }), "{error}");
    for number in 1..STORED_LIMITS_MAX {
        put(&format!("n{number}"), "{}").unwrap();
    }
    let error = put("one-more", "{}").unwrap_err();
    assert!(matches!(error, LedgerError::TooManyLimits { limit: STORED_LIMITS_MAX, .. }), "{error}");
    put("n1", SOME).expect("one that is there can be changed");
    ledger.put_limit(LimitKind::Budget, "one", SOME, Expected::Any, "ada").expect("the other kind has room");
}
