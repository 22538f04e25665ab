//! Keys over their whole life, in one process and across two.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::{
    AuditFilter, KeyFault, Ledger, LedgerError, LedgerOptions, NewKey, Place, PresentedKey,
};
use std::time::{Duration, Instant};

const NOW: i64 = 1_800_000_000_000_000;

fn open(place: &Place) -> Ledger {
    Ledger::open(place, LedgerOptions { key_poll: Duration::from_millis(1), ..LedgerOptions::default() })
        .unwrap()
}

fn new_key() -> NewKey {
    NewKey {
        name: "ci".into(),
        organization: "acme".into(),
        team: Some("search".into()),
        service_account: Some("nightly".into()),
        metadata: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        models: Some(vec!["gpt-5*".into()]),
        ..NewKey::default()
    }
}

/// Looks until it is so; a test that never sees it fails instead of hanging.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_key_lives_and_dies() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&common::store(folder.path()));
    let created = ledger.create_key(&new_key(), "cli:ada").unwrap();
    let (id, key) = (created.info.id.as_str(), created.key.expose());

    let ring = ledger.keys();
    let entry = ring.verify(key, NOW).unwrap();
    assert_eq!(entry.caller.service_account.as_deref(), Some("nightly"));
    assert_eq!(entry.caller.metadata, new_key().metadata, "in the order given");
    assert!(entry.allows_model("gpt-5-mini") && !entry.allows_model("claude"));
    assert_eq!(ledger.show_key(id).unwrap(), created.info);

    ledger.set_key_disabled(id, true, "cli:ada").unwrap();
    assert_eq!(ledger.keys().verify(key, NOW).unwrap_err(), KeyFault::Disabled);
    assert!(ring.verify(key, NOW).is_ok(), "a snapshot never changes");
    ledger.set_key_disabled(id, false, "cli:ada").unwrap();
    assert!(ledger.keys().verify(key, NOW).is_ok());

    let rotated = ledger.rotate_key(id, Duration::from_secs(3600), "cli:ada").unwrap();
    let until = rotated.info.previous_secret_until_us.unwrap();
    let ring = ledger.keys();
    assert!(ring.verify(rotated.key.expose(), until).is_ok());
    assert!(ring.verify(key, until - 1).is_ok());
    assert_eq!(ring.verify(key, until).unwrap_err(), KeyFault::Unknown);

    ledger.delete_key(id, "cli:ada").unwrap();
    assert_eq!(ledger.keys().verify(rotated.key.expose(), NOW).unwrap_err(), KeyFault::Disabled);
    assert!(ledger.list_keys(false).unwrap().is_empty());
    assert_eq!(ledger.list_keys(true).unwrap().len(), 1);
    assert!(matches!(ledger.set_key_disabled(id, false, "x"), Err(LedgerError::KeyDeleted { .. })));
    assert!(matches!(ledger.show_key("nobody"), Err(LedgerError::KeyNotFound { .. })));
}

#[test]
fn another_process_sees_changes_without_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let (gateway, tool) = (open(&place), open(&place));
    let created = tool.create_key(&new_key(), "cli").unwrap();
    let key = created.key.expose();
    eventually("the key is known", || gateway.keys().verify(key, NOW).is_ok());
    let before = gateway.keys();
    tool.set_key_disabled(&created.info.id, true, "cli").unwrap();
    eventually("the key is refused", || gateway.keys().verify(key, NOW).err() == Some(KeyFault::Disabled));
    let (old, new) = (before.get(&created.info.id).unwrap(), gateway.keys());
    let new = new.get(&created.info.id).unwrap();
    assert!(std::sync::Arc::ptr_eq(&old.caller, &new.caller), "an unchanged caller stays one allocation");
}

#[test]
fn the_default_poll_is_well_within_a_second() {
    assert!(LedgerOptions::default().key_poll <= Duration::from_millis(250));
}

#[test]
fn the_admin_token_is_shown_once_and_works() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let ledger = open(&place);
    let token = ledger.ensure_admin_token().unwrap().unwrap();
    assert!(ledger.verify_admin_token(token.expose()));
    assert!(ledger.ensure_admin_token().unwrap().is_none());
    let key = ledger.create_key(&new_key(), "test").unwrap();
    assert!(!ledger.verify_admin_token(key.key.expose()));
    drop(ledger);
    let again = open(&place);
    assert!(again.ensure_admin_token().unwrap().is_none() && again.verify_admin_token(token.expose()));
}

#[test]
fn every_change_leaves_who_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let ledger = open(&place);
    ledger.ensure_admin_token().unwrap();
    let id = ledger.create_key(&new_key(), "cli:ada").unwrap().info.id;
    ledger.set_key_disabled(&id, true, "admin:T1").unwrap();
    ledger.set_key_disabled(&id, false, "admin:T1").unwrap();
    ledger.rotate_key(&id, Duration::ZERO, "cli:bob").unwrap();
    ledger.delete_key(&id, "cli:bob").unwrap();
    let page = ledger.audit_trail(&AuditFilter::default(), 100, None).unwrap();
    let events: Vec<(String, String)> =
        page.events.into_iter().rev().map(|event| (event.actor, event.action)).collect();
    let expected = [
        ("narrows", "admin_token_created"),
        ("cli:ada", "key_created"),
        ("admin:T1", "key_disabled"),
        ("admin:T1", "key_enabled"),
        ("cli:bob", "key_rotated"),
        ("cli:bob", "key_deleted"),
    ];
    assert_eq!(events, expected.map(|(actor, action)| (actor.to_owned(), action.to_owned())));
}

#[test]
fn no_secret_reaches_the_files_or_any_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("n.db"));
    let ledger = open(&place);
    let created = ledger.create_key(&new_key(), "test").unwrap();
    let rotated = ledger.rotate_key(&created.info.id, Duration::from_secs(60), "test").unwrap();
    let admin = ledger.ensure_admin_token().unwrap().unwrap();
    let mut seen = format!("{created:?} {rotated:?} {admin:?} {ledger:?} {:?}", ledger.keys());
    for key in [&created.key, &rotated.key, &admin] {
        seen += &format!("{:?}", PresentedKey::parse(key.expose()));
    }
    let mut bytes = seen.into_bytes();
    for suffix in ["", "-wal", "-shm"] {
        bytes.extend(std::fs::read(folder.path().join(format!("n.db{suffix}"))).unwrap());
    }
    assert!(contains(&bytes, created.info.id.as_bytes()), "the search finds what is there");
    for key in [&created.key, &rotated.key, &admin] {
        // Any eight characters of the secret in a row would be a leak.
        for part in key.expose().as_bytes()[17..49].windows(8) {
            assert!(!contains(&bytes, part));
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(unix)]
#[test]
fn a_new_store_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let _ledger = open(&Place::File(folder.path().join("n.db")));
    for suffix in ["", "-wal", "-shm"] {
        let mode =
            std::fs::metadata(folder.path().join(format!("n.db{suffix}"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "n.db{suffix}");
    }
}
