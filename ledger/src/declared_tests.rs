use super::*;
use crate::{AuditFilter, KeyFault, Ledger, LedgerOptions, now_us};
use std::time::Duration;

const FILE: &str = "/etc/narrows/keys.yaml";

fn open() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    (folder, ledger)
}

fn declared(name: &str) -> (String, DeclaredKey) {
    let (secret, hash) = KeyHash::draw().unwrap();
    let new = NewKey { name: name.into(), organization: "acme".into(), ..NewKey::default() };
    (secret.expose().to_owned(), DeclaredKey { new, hash })
}

fn done(created: usize, updated: usize, disabled: usize) -> Reconciliation {
    Reconciliation::Done(Reconciled { created, updated, disabled })
}

fn conflicts_of(ledger: &Ledger, declared: &[DeclaredKey]) -> Vec<KeyConflict> {
    match ledger.reconcile_keys(FILE, declared).unwrap() {
        Reconciliation::Refused(conflicts) => conflicts,
        Reconciliation::Done(done) => panic!("{done:?}"),
    }
}

#[test]
fn a_hash_reads_back_as_it_was_written_and_nothing_else_is_one() {
    let (secret, hash) = KeyHash::draw().unwrap();
    assert_eq!(KeyHash::of(secret.expose()).unwrap(), hash);
    let text = hash.to_string();
    assert_eq!(KeyHash::parse(&text).unwrap(), hash);
    assert!(!format!("{hash:?}").contains(text.split_once(':').unwrap().1));
    for wrong in ["", ":", &text[1..], &text[..text.len() - 1], &text.replace(':', "_"), &format!("{text}0")]
    {
        assert_eq!(KeyHash::parse(wrong), None, "{wrong}");
    }
    assert_eq!(KeyHash::parse(&format!("4kX0bYw2mQ7d:{}", "é".repeat(32))), None);
    let admin = token::issue(TokenKind::Admin, None).unwrap();
    assert_eq!(KeyHash::of(admin.text.expose()).unwrap_err(), Malformed::Prefix);
}

#[test]
fn declared_keys_come_change_leave_and_come_back() {
    let (_folder, ledger) = open();
    let ((one, mut first), (two, second)) = (declared("one"), declared("two"));
    assert_eq!(ledger.reconcile_keys(FILE, &[first.clone(), second.clone()]).unwrap(), done(2, 0, 0));
    assert_eq!(ledger.reconcile_keys(FILE, &[first.clone(), second.clone()]).unwrap(), done(0, 0, 0));
    assert!(ledger.keys().verify(&one, now_us()).is_ok() && ledger.keys().verify(&two, now_us()).is_ok());

    first.new.models = Some(vec!["gpt-*".into()]);
    first.new.team = Some("search".into());
    assert_eq!(ledger.reconcile_keys(FILE, std::slice::from_ref(&first)).unwrap(), done(0, 1, 1));
    let ring = ledger.keys();
    let entry = ring.verify(&one, now_us()).unwrap();
    assert!(!entry.allows_model("claude") && entry.caller.team.as_deref() == Some("search"));
    assert_eq!(ring.verify(&two, now_us()).unwrap_err(), KeyFault::Disabled);

    assert_eq!(ledger.reconcile_keys(FILE, &[first, second.clone()]).unwrap(), done(0, 1, 0));
    assert!(ledger.keys().verify(&two, now_us()).is_ok(), "it came back");
    assert_eq!(ledger.reconcile_keys(FILE, &[]).unwrap(), done(0, 0, 2));
    assert_eq!(ledger.keys().verify(&two, now_us()).unwrap_err(), KeyFault::Disabled);

    let filter = AuditFilter {
        actor: Some(DECLARED_ACTOR.into()),
        target: Some(second.hash.id().into()),
        ..AuditFilter::default()
    };
    let events = ledger.audit_trail(&filter, 10, None).unwrap().events;
    let actions: Vec<&str> = events.iter().rev().map(|event| &*event.action).collect();
    assert_eq!(actions, ["key_created", "key_disabled", "key_updated", "key_disabled"]);
    assert_eq!(events[0].detail.as_deref(), Some("two, no more in /etc/narrows/keys.yaml"));
}

#[test]
fn names_may_be_swapped_and_given_on() {
    let (_folder, ledger) = open();
    let ((_, mut first), (_, mut second)) = (declared("one"), declared("two"));
    ledger.reconcile_keys(FILE, &[first.clone(), second.clone()]).unwrap();
    std::mem::swap(&mut first.new.name, &mut second.new.name);
    assert_eq!(ledger.reconcile_keys(FILE, &[first.clone(), second.clone()]).unwrap(), done(0, 2, 0));
    assert_eq!(ledger.show_key(first.hash.id()).unwrap().name, "two");
    // A new secret under the old name: the old secret ends with it.
    let (new, third) = declared("two");
    assert_eq!(ledger.reconcile_keys(FILE, &[third, second]).unwrap(), done(1, 0, 1));
    assert!(ledger.keys().verify(&new, now_us()).is_ok());
    assert!(ledger.show_key(first.hash.id()).unwrap().disabled);
}

#[test]
fn a_declared_key_is_changed_in_its_file_only() {
    let (_folder, ledger) = open();
    let (_, key) = declared("one");
    let id = key.hash.id().to_owned();
    ledger.reconcile_keys(FILE, std::slice::from_ref(&key)).unwrap();
    let refused = |result: Result<(), LedgerError>| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(FILE) && text.contains(&id), "{text}");
    };
    refused(ledger.set_key_disabled(&id, true, "cli").map(drop));
    refused(ledger.set_key_disabled(&id, false, "cli").map(drop));
    refused(ledger.rotate_key(&id, Duration::ZERO, "cli").map(drop));
    refused(ledger.delete_key(&id, "cli").map(drop));

    ledger.reconcile_keys(FILE, &[]).unwrap();
    refused(ledger.set_key_disabled(&id, false, "cli").map(drop));
    refused(ledger.rotate_key(&id, Duration::ZERO, "cli").map(drop));
    ledger.delete_key(&id, "cli").unwrap();
    let conflicts = conflicts_of(&ledger, &[key]);
    assert!(conflicts[0].message.contains("was deleted"), "{conflicts:?}");
}

#[test]
fn keys_made_by_hand_are_never_touched_and_one_conflict_changes_nothing() {
    let (_folder, ledger) = open();
    let new = NewKey { name: "hand".into(), organization: "acme".into(), ..NewKey::default() };
    let created = ledger.create_key(&new, "cli").unwrap();
    let own = DeclaredKey { new, hash: KeyHash::of(created.key.expose()).unwrap() };
    let (secret, good) = declared("good");
    let mut same_name = declared("good").1;
    let same_secret = DeclaredKey { new: declared("other").1.new, hash: good.hash.clone() };
    let conflicts = conflicts_of(&ledger, &[good.clone(), own, same_name.clone(), same_secret]);
    let found: Vec<usize> = conflicts.iter().map(|conflict| conflict.index).collect();
    assert_eq!(found, [1, 2, 3], "{conflicts:?}");
    assert_eq!(ledger.keys().verify(&secret, now_us()).unwrap_err(), KeyFault::Unknown);

    // The same name in another organization, and that of a key made by hand, are free.
    same_name.new.organization = "other".into();
    let hand = declared("hand").1;
    assert_eq!(ledger.reconcile_keys(FILE, &[good.clone(), same_name, hand]).unwrap(), done(3, 0, 0));
    assert_eq!(ledger.reconcile_keys(FILE, &[]).unwrap(), done(0, 0, 3));
    assert_eq!(ledger.show_key(&created.info.id).unwrap(), created.info);

    let mut moved = good;
    moved.new.organization = "other".into();
    assert!(conflicts_of(&ledger, &[moved])[0].message.contains("stays in its organization"));
}
