use super::*;
use crate::{AuditFilter, InvalidKey, KeyFault, Ledger, LedgerOptions, now_us};

fn open() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    (folder, ledger)
}

fn new(organization: &str, name: &str) -> NewKey {
    NewKey { name: name.into(), organization: organization.into(), ..NewKey::default() }
}

fn many(count: usize) -> Vec<NewKey> {
    (0..count).map(|number| new("acme", &format!("key-{number}"))).collect()
}

/// Position and cause of a refusal.
fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>) -> (usize, LedgerError) {
    match result.unwrap_err() {
        LedgerError::OneOfMany { position, cause } => (position, *cause),
        other => panic!("{other}"),
    }
}

#[test]
fn many_keys_are_made_at_once_and_each_works() {
    let (_folder, ledger) = open();
    let created = ledger.create_keys(&many(100), "test").unwrap();
    for (number, created) in created.iter().enumerate() {
        assert_eq!(created.info.name, format!("key-{number}"), "in the order of the list");
        let ring = ledger.keys();
        let entry = ring.verify(created.key.expose(), now_us()).unwrap();
        assert_eq!(entry.caller.key_id.as_ref(), Some(&created.info.id));
    }
    let filter = AuditFilter { action: Some("key_created".into()), ..AuditFilter::default() };
    assert_eq!(ledger.audit_trail(&filter, 1000, None).unwrap().events.len(), 100, "each is in the trail");
    assert_eq!(ledger.create_keys(&[], "test").unwrap().len(), 0);
}

#[test]
fn one_that_cannot_be_made_is_named_and_none_is_made() {
    let (_folder, ledger) = open();
    let taken = ledger.create_key(&new("acme", "key-3"), "test").unwrap().info;
    let (position, cause) = refused(ledger.create_keys(&many(5), "test"));
    assert!(matches!(&cause, LedgerError::KeyNameTaken { id, .. } if *id == taken.id), "{cause}");
    assert_eq!(position, 4);
    let mut twice = many(3);
    twice.push(new("acme", "key-1"));
    let (position, cause) = refused(ledger.create_keys(&twice, "test"));
    assert!(position == 4 && matches!(cause, LedgerError::KeyNameTwice { first: 2, .. }), "{cause}");
    let mut empty = many(2);
    empty.push(new("acme", ""));
    let (position, cause) = refused(ledger.create_keys(&empty, "test"));
    assert!(position == 3 && matches!(cause, LedgerError::InvalidKey(InvalidKey::Empty { .. })), "{cause}");
    assert_eq!(ledger.list_keys(true).unwrap().len(), 1, "none of them was made");
    // A name is taken within its organization, and free again once its key was deleted.
    ledger.create_keys(&[new("other", "key-3")], "test").unwrap();
    ledger.delete_key(&taken.id, "test").unwrap();
    ledger.create_keys(&many(5), "test").unwrap();
}

#[test]
fn the_same_list_makes_no_key_twice() {
    let (_folder, ledger) = open();
    ledger.create_keys(&many(5), "test").unwrap();
    assert_eq!(refused(ledger.create_keys(&many(5), "test")).0, 1);
    assert_eq!(ledger.list_keys(true).unwrap().len(), 5);
}

#[test]
fn the_number_of_keys_at_once_has_a_limit() {
    let (_folder, ledger) = open();
    let created = ledger.create_keys(&many(KEYS_AT_ONCE_MAX), "test").unwrap();
    let ids: Vec<String> = created.into_iter().map(|created| created.info.id).collect();
    assert_eq!(ledger.disable_keys(&ids, "test").unwrap().len(), KEYS_AT_ONCE_MAX);
    let too_many = |error| matches!(error, LedgerError::TooManyKeys { limit: KEYS_AT_ONCE_MAX });
    assert!(too_many(ledger.create_keys(&many(KEYS_AT_ONCE_MAX + 1), "test").unwrap_err()));
    let ids = vec!["x".to_owned(); KEYS_AT_ONCE_MAX + 1];
    assert!(too_many(ledger.disable_keys(&ids, "test").unwrap_err()));
}

#[test]
fn many_keys_are_switched_off_together_or_not_at_all() {
    let (_folder, ledger) = open();
    let created = ledger.create_keys(&many(3), "test").unwrap();
    let ids: Vec<String> = created.iter().map(|created| created.info.id.clone()).collect();
    let works = |nth: usize| ledger.keys().verify(created[nth].key.expose(), now_us()).map(drop);
    let with = |id: &str| vec![ids[0].clone(), id.to_owned(), ids[1].clone()];

    let (position, cause) = refused(ledger.disable_keys(&with("nobody000000"), "test"));
    assert!(position == 2 && matches!(cause, LedgerError::KeyNotFound { .. }), "{cause}");
    ledger.delete_key(&ids[2], "test").unwrap();
    let (position, cause) = refused(ledger.disable_keys(&with(&ids[2]), "test"));
    assert!(position == 2 && matches!(cause, LedgerError::KeyDeleted { .. }), "{cause}");
    assert_eq!((works(0), works(1)), (Ok(()), Ok(())), "none was switched off");

    let disabled = ledger.disable_keys(&with(&ids[0]), "test").unwrap();
    let found: Vec<_> = disabled.iter().map(|info| (info.id.as_str(), info.disabled)).collect();
    assert_eq!(found, [(ids[0].as_str(), true), (ids[1].as_str(), true)], "each once");
    assert_eq!((works(0), works(1)), (Err(KeyFault::Disabled), Err(KeyFault::Disabled)));
    // Once more changes nothing and is fine: a list may be sent again.
    assert_eq!(ledger.disable_keys(&ids[..2], "test").unwrap(), disabled);
}
