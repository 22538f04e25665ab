//! Admin tokens over their whole life, and the trail of what was done.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::{
    AUDIT_PAGE_LIMIT, AdminFault, AuditEntry, AuditFilter, Ledger, LedgerError, LedgerOptions, NewAdminToken,
    NewKey, Place, Reader, Role,
};
use std::time::{Duration, Instant};

const NOW: i64 = 1_800_000_000_000_000;

fn open(place: &Place) -> Ledger {
    Ledger::open(place, LedgerOptions { key_poll: Duration::from_millis(1), ..LedgerOptions::default() })
        .unwrap()
}

fn new(name: &str, organization: Option<&str>, role: Role) -> NewAdminToken {
    let organization = organization.map(str::to_owned);
    NewAdminToken { name: name.to_owned(), organization, role, expires_at_us: Some(NOW + 10) }
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
fn a_token_lives_and_dies() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let ledger = open(&place);
    let first = ledger.ensure_admin_token().unwrap().unwrap();
    let created = ledger.create_admin_token(&new("ci", Some("acme"), Role::Read), "cli").unwrap();
    let (id, token) = (created.info.id.as_str(), created.token.expose());
    let ring = ledger.keys();
    let entry = ring.verify_admin(token, NOW).unwrap();
    assert_eq!((&*entry.id, &*entry.name, entry.role), (id, "ci", Role::Read));
    assert_eq!(entry.organization.as_deref(), Some("acme"));
    assert!(ring.verify_admin(first.expose(), NOW).unwrap().organization.is_none());
    assert_eq!(ring.verify_admin(token, NOW + 10).unwrap_err(), AdminFault::Expired);

    assert_eq!(ledger.show_admin_token(id).unwrap().last_used_at_us, None);
    ledger.admin_token_used(id, NOW + 5).unwrap();
    ledger.admin_token_used(id, NOW + 3).unwrap();
    assert_eq!(ledger.show_admin_token(id).unwrap().last_used_at_us, Some(NOW + 5), "it only goes forward");

    let revoked = ledger.revoke_admin_token(id, "cli").unwrap();
    assert_eq!(revoked.state(NOW), "revoked");
    assert_eq!(ledger.keys().verify_admin(token, NOW).unwrap_err(), AdminFault::Revoked);
    let again = ledger.revoke_admin_token(id, "cli").unwrap();
    assert_eq!(again.revoked_at_us, revoked.revoked_at_us);
    let listed = ledger.list_admin_tokens().unwrap();
    assert_eq!(listed.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["first", "ci"]);
    assert!(matches!(ledger.revoke_admin_token("nobody", "x"), Err(LedgerError::AdminTokenNotFound { .. })));
    assert!(ledger.create_admin_token(&new("", None, Role::Read), "x").is_err());
    assert!(ledger.ensure_admin_token().unwrap().is_none(), "a revoked one does not come again by itself");
}

#[test]
fn another_process_sees_a_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let (gateway, tool) = (open(&place), open(&place));
    let created = tool.create_admin_token(&new("ci", None, Role::Write), "cli").unwrap();
    let verify = || gateway.keys().verify_admin(created.token.expose(), NOW).err();
    eventually("the token is known", || verify().is_none());
    tool.revoke_admin_token(&created.info.id, "cli").unwrap();
    eventually("the token is refused", || verify() == Some(AdminFault::Revoked));
}

#[test]
fn a_use_is_noted_over_a_change_of_the_ring() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&common::store(folder.path()));
    let created = ledger.create_admin_token(&new("ci", None, Role::Write), "cli").unwrap();
    let note = || ledger.keys().verify_admin(created.token.expose(), NOW).unwrap().note_use(NOW);
    assert!(note() && !note());
    ledger
        .create_key(&NewKey { name: "x".into(), organization: "o".into(), ..NewKey::default() }, "t")
        .unwrap();
    assert!(!note(), "the new ring remembers");
}

#[test]
fn the_trail_tells_who_what_and_about_whom() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let ledger = open(&place);
    let token = ledger.create_admin_token(&new("ops", None, Role::Write), "cli").unwrap().info.id;
    let key = NewKey { name: "x".into(), organization: "acme".into(), ..NewKey::default() };
    let key = ledger.create_key(&key, &token).unwrap().info.id;
    ledger
        .audit(&AuditEntry {
            actor: &token,
            action: "records_read",
            target: "records",
            organization: Some("acme"),
            detail: Some("team=red".into()),
            rows: Some(7),
        })
        .unwrap();
    ledger
        .audit(&AuditEntry { actor: "narrows", action: "configuration_loaded", ..AuditEntry::default() })
        .unwrap();

    let page = |filter: AuditFilter| Reader::open(&place).unwrap().audit(&filter, 10, None).unwrap().events;
    let all = page(AuditFilter::default());
    let words: Vec<_> = all.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(words, ["configuration_loaded", "records_read", "key_created", "admin_token_created"]);
    let read = &all[1];
    assert_eq!((read.actor.as_str(), read.actor_name.as_deref()), (token.as_str(), Some("ops")));
    assert_eq!((read.rows, read.detail.as_deref()), (Some(7), Some("team=red")));
    assert_eq!((all[2].target.as_str(), all[2].organization.as_deref()), (key.as_str(), Some("acme")));
    let of = |change: &dyn Fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        page(filter).len()
    };
    assert_eq!(of(&|filter| filter.organization = Some("acme".into())), 2);
    assert_eq!(of(&|filter| filter.actor = Some("cli".into())), 1);
    assert_eq!(of(&|filter| filter.action = Some("records_read".into())), 1);
    assert_eq!(of(&|filter| filter.target = Some(key.clone())), 1);
    assert_eq!(of(&|filter| filter.to_us = Some(1)), 0);
    assert_eq!(of(&|filter| filter.from_us = Some(1)), 4);
}

#[test]
fn the_trail_comes_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&common::store(folder.path()));
    for _ in 0..5 {
        ledger.audit(&AuditEntry { actor: "a", action: "b", target: "c", ..AuditEntry::default() }).unwrap();
    }
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = ledger.audit_trail(&AuditFilter::default(), 2, before).unwrap();
        ids.extend(page.events.iter().map(|event| event.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(ids, [5, 4, 3, 2, 1]);
    let asked = |limit| ledger.audit_trail(&AuditFilter::default(), limit, None).is_ok();
    assert!(asked(1) && asked(AUDIT_PAGE_LIMIT) && !asked(0) && !asked(AUDIT_PAGE_LIMIT + 1));
}
