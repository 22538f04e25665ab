//! The directory, and what it means for keys.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::directory::{MEMBERS_AT_ONCE_MAX, MEMBERS_MAX};
use narrows_ledger::{
    AuditFilter, DeclaredKey, Entry, EntryChange, EntryFilter, EntryKind, EntryState, KeyFault, KeyHash,
    Ledger, LedgerError, LedgerOptions, NewEntry, NewKey, Place, Reconciliation,
};
use std::time::{Duration, Instant};

const NOW: i64 = 1_800_000_000_000_000;

fn open(place: &Place) -> Ledger {
    Ledger::open(place, LedgerOptions { key_poll: Duration::from_millis(1), ..LedgerOptions::default() })
        .unwrap()
}

fn store() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&common::store(folder.path()));
    (folder, ledger)
}

fn add(ledger: &Ledger, kind: EntryKind, name: &str) -> Entry {
    ledger.create_entry(&NewEntry::new(kind, "acme", name), "test").unwrap()
}

fn disable(ledger: &Ledger, entry: &Entry, disabled: bool) -> Entry {
    let change = EntryChange { disabled: Some(disabled), ..EntryChange::default() };
    ledger.change_entry(entry.kind, &entry.id, &change, None, "test").unwrap()
}

/// A key of everything that may own one, but for the service account where it has a user.
fn key(user: bool) -> NewKey {
    NewKey {
        name: "laptop".into(),
        organization: "acme".into(),
        team: Some("red".into()),
        user: user.then(|| "ada".into()),
        service_account: (!user).then(|| "nightly".into()),
        project: Some("search".into()),
        ..NewKey::default()
    }
}

fn owner(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Organization => "acme",
        EntryKind::User => "ada",
        EntryKind::ServiceAccount => "nightly",
        EntryKind::Team => "red",
        EntryKind::Project => "search",
    }
}

#[test]
fn a_key_works_while_all_of_its_owners_do() {
    for kind in EntryKind::ALL {
        let (_folder, ledger) = store();
        let created = ledger.create_key(&key(kind == EntryKind::User), "test").unwrap();
        let verify = || ledger.keys().verify(created.key.expose(), NOW).map(drop);
        assert_eq!(verify(), Ok(()), "nobody has to be known");
        let entry = add(&ledger, kind, owner(kind));
        assert_eq!(verify(), Ok(()));
        disable(&ledger, &entry, true);
        assert_eq!(verify(), Err(KeyFault::Disabled), "{kind:?}");
        let info = ledger.show_key(&created.info.id).unwrap();
        assert_eq!((info.state(NOW), info.disabled, info.blocked_by), ("disabled", false, Some(kind)));
        assert_eq!(ledger.list_keys(false).unwrap()[0], info);
        let refused = ledger.create_key(&key(kind == EntryKind::User), "test").unwrap_err();
        assert!(matches!(&refused, LedgerError::OwnerBlocked { kind: of, .. } if *of == kind), "{refused}");
        disable(&ledger, &entry, false);
        assert_eq!(verify(), Ok(()), "{kind:?}");

        let gone = ledger.delete_entry(kind, &entry.id, None, "test").unwrap();
        assert_eq!(gone.state, EntryState::Deleted);
        assert_eq!(verify(), Err(KeyFault::Disabled), "{kind:?}");
        assert!(ledger.create_key(&key(kind == EntryKind::User), "test").is_err(), "nor any new one");
        // Whoever gets the name gets no keys with it.
        let anew = add(&ledger, kind, owner(kind));
        assert_ne!(anew.id, entry.id);
        assert_eq!(verify(), Err(KeyFault::Disabled), "{kind:?}");
        assert!(ledger.create_key(&key(kind == EntryKind::User), "test").is_ok());
    }
}

#[test]
fn names_are_those_of_one_organization_and_one_kind() {
    let (_folder, ledger) = store();
    let created = ledger.create_key(&key(true), "test").unwrap();
    for other in [
        ledger.create_entry(&NewEntry::new(EntryKind::User, "umbra", "ada"), "test").unwrap(),
        add(&ledger, EntryKind::ServiceAccount, "ada"),
        add(&ledger, EntryKind::Team, "search"),
        add(&ledger, EntryKind::User, "red"),
    ] {
        disable(&ledger, &other, true);
        assert!(ledger.keys().verify(created.key.expose(), NOW).is_ok(), "{other:?}");
    }
}

#[test]
fn another_process_refuses_the_keys_of_a_disabled_user() {
    let folder = tempfile::tempdir().unwrap();
    let place = common::store(folder.path());
    let (gateway, tool) = (open(&place), open(&place));
    let created = tool.create_key(&key(true), "test").unwrap();
    let user = add(&tool, EntryKind::User, "ada");
    let start = Instant::now();
    disable(&tool, &user, true);
    while gateway.keys().verify(created.key.expose(), NOW).err() != Some(KeyFault::Disabled) {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

#[test]
fn owners_are_told_by_id_or_by_name() {
    let (_folder, ledger) = store();
    let organization = add(&ledger, EntryKind::Organization, "acme");
    let (team, user) = (add(&ledger, EntryKind::Team, "red"), add(&ledger, EntryKind::User, "ada"));
    let new = NewKey {
        organization: organization.id,
        team: Some(team.id),
        user: Some(user.id.clone()),
        project: None,
        service_account: None,
        ..key(true)
    };
    let info = ledger.create_key(&new, "test").unwrap().info;
    assert_eq!(info.organization, "acme");
    assert_eq!((info.team.as_deref(), info.user.as_deref()), (Some("red"), Some("ada")));
    // An id of another organization is no more than a text.
    let other = NewKey { organization: "umbra".into(), user: Some(user.id.clone()), ..key(true) };
    assert_eq!(ledger.create_key(&other, "test").unwrap().info.user, Some(user.id));
}

#[test]
fn owners_have_to_be_known_where_that_is_asked_for() {
    let (_folder, ledger) = store();
    let before = ledger.create_key(&key(true), "test").unwrap();
    ledger.require_known_owners(true);
    assert!(ledger.keys().verify(before.key.expose(), NOW).is_ok(), "what was made before goes on");
    for kind in [EntryKind::Organization, EntryKind::Team, EntryKind::User, EntryKind::Project] {
        let refused = ledger.create_key(&key(true), "test").unwrap_err();
        let told = matches!(&refused, LedgerError::OwnerUnknown { kind: of, .. } if *of == kind);
        assert!(told && refused.to_string().contains(owner(kind)), "{refused}");
        add(&ledger, kind, owner(kind));
    }
    assert!(ledger.create_key(&key(true), "test").is_ok());
    let many = [NewKey { name: "a".into(), ..key(true) }, NewKey { name: "b".into(), ..key(false) }];
    let refused = ledger.create_keys(&many, "test").unwrap_err();
    assert!(matches!(refused, LedgerError::OneOfMany { position: 2, .. }), "{refused}");
    let umbra = NewEntry::new(EntryKind::User, "umbra", "eve");
    assert!(matches!(ledger.create_entry(&umbra, "test"), Err(LedgerError::OwnerUnknown { .. })));

    let declared = DeclaredKey { new: key(false), hash: KeyHash::draw().unwrap().1 };
    let Reconciliation::Refused(conflicts) = ledger.reconcile_keys("keys.yaml", &[declared]).unwrap() else {
        panic!("an unknown service account")
    };
    assert!(conflicts[0].message.contains("nightly"), "{conflicts:?}");
}

#[test]
fn a_declared_key_waits_for_its_owner() {
    let (_folder, ledger) = store();
    let user = add(&ledger, EntryKind::User, "ada");
    let (secret, hash) = KeyHash::draw().unwrap();
    let declared = [DeclaredKey { new: key(true), hash }];
    let verify = || ledger.keys().verify(secret.expose(), NOW).map(drop);
    let reconcile = || {
        let done = ledger.reconcile_keys("keys.yaml", &declared).unwrap();
        assert!(matches!(done, Reconciliation::Done(_)), "{done:?}");
    };
    reconcile();
    assert_eq!(verify(), Ok(()));
    disable(&ledger, &user, true);
    reconcile();
    assert_eq!(verify(), Err(KeyFault::Disabled));
    disable(&ledger, &user, false);
    assert_eq!(verify(), Ok(()));
    ledger.delete_entry(EntryKind::User, &user.id, None, "test").unwrap();
    reconcile();
    assert_eq!(verify(), Err(KeyFault::Disabled));
    add(&ledger, EntryKind::User, "ada");
    assert_eq!(verify(), Ok(()), "the file says that it is hers");
}

#[test]
fn what_only_one_may_have_is_given_once() {
    let (_folder, ledger) = store();
    let ada = NewEntry {
        email: Some("ada@example.com".into()),
        external_id: Some("00u1".into()),
        ..NewEntry::new(EntryKind::User, "acme", "ada")
    };
    let entry = ledger.create_entry(&ada, "test").unwrap();
    assert_eq!((entry.email.as_deref(), entry.version), (Some("ada@example.com"), 1));
    let taken = ledger.create_entry(&ada, "test").unwrap_err();
    assert!(matches!(&taken, LedgerError::EntryNameTaken { id, .. } if *id == entry.id), "{taken}");
    let bob = NewEntry { name: "bob".into(), ..ada.clone() };
    let mail = NewEntry { email: Some("ADA@example.com".into()), external_id: None, ..bob.clone() };
    let external = NewEntry { email: None, ..bob };
    for (new, wrong) in [(mail, "email"), (external, "external_id")] {
        let taken = ledger.create_entry(&new, "test").unwrap_err();
        assert!(matches!(&taken, LedgerError::EntryValueTaken { field, .. } if *field == wrong), "{taken}");
    }
    let plain = add(&ledger, EntryKind::User, "bob");
    let change = EntryChange { email: Some(Some("ada@example.com".into())), ..EntryChange::default() };
    assert!(ledger.change_entry(EntryKind::User, &plain.id, &change, None, "test").is_err());
    assert!(ledger.change_entry(EntryKind::User, &entry.id, &change, None, "test").is_ok(), "its own");
    assert!(ledger.create_entry(&NewEntry { organization: "umbra".into(), ..ada.clone() }, "test").is_ok());
    // The dead hold nothing.
    ledger.delete_entry(EntryKind::User, &entry.id, None, "test").unwrap();
    assert!(ledger.create_entry(&ada, "test").is_ok());
}

#[test]
fn a_change_is_of_what_was_seen() {
    let (_folder, ledger) = store();
    let team = add(&ledger, EntryKind::Team, "red");
    let named = EntryChange { display_name: Some(Some("Red".into())), ..EntryChange::default() };
    let change = |version| ledger.change_entry(EntryKind::Team, &team.id, &named, version, "test");
    assert_eq!(change(Some(1)).unwrap().version, 2);
    let late = change(Some(1)).unwrap_err();
    assert!(matches!(late, LedgerError::EntryChanged { seen: 1, found: 2, .. }), "{late}");
    assert!(ledger.delete_entry(EntryKind::Team, &team.id, Some(1), "test").is_err());
    let gone = ledger.delete_entry(EntryKind::Team, &team.id, Some(2), "test").unwrap();
    assert_eq!((gone.version, gone.display_name.as_deref()), (3, Some("Red")));
    assert!(matches!(change(None), Err(LedgerError::EntryDeleted { .. })));
    assert!(matches!(
        ledger.show_entry(EntryKind::User, &team.id),
        Err(LedgerError::EntryNotFound { kind: EntryKind::User, .. })
    ));
    assert_eq!(ledger.show_entry(EntryKind::Team, &team.id).unwrap(), gone, "a tombstone stays");
}

#[test]
fn teams_have_members_and_projects_have_teams() {
    let (_folder, ledger) = store();
    let (ada, bob) = (add(&ledger, EntryKind::User, "ada"), add(&ledger, EntryKind::User, "bob"));
    let new =
        NewEntry { members: vec!["bob".into(), ada.id], ..NewEntry::new(EntryKind::Team, "acme", "red") };
    let team = ledger.create_entry(&new, "test").unwrap();
    assert_eq!(team.members.as_deref(), Some(&["ada".to_owned(), "bob".to_owned()][..]));
    let of = |name: &str, kind| {
        let filter = EntryFilter { team: Some(name.into()), ..EntryFilter::all(kind) };
        let page = ledger.list_entries(&filter, 10, None).unwrap();
        page.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(of("red", EntryKind::User), ["ada", "bob"]);
    let swap = EntryChange {
        add_members: vec!["bob".into()],
        remove_members: vec!["ada".into()],
        ..EntryChange::default()
    };
    let changed = ledger.change_entry(EntryKind::Team, &team.id, &swap, None, "test").unwrap();
    assert_eq!(changed.member_count, Some(1));
    let nobody = EntryChange { add_members: vec!["nobody".into()], ..EntryChange::default() };
    let refused = ledger.change_entry(EntryKind::Team, &team.id, &nobody, None, "test").unwrap_err();
    assert!(matches!(refused, LedgerError::OwnerUnknown { .. }), "{refused}");
    assert_eq!(ledger.show_entry(EntryKind::Team, &team.id).unwrap(), changed, "all or nothing");
    ledger.delete_entry(EntryKind::User, &bob.id, None, "test").unwrap();
    assert_eq!(ledger.show_entry(EntryKind::Team, &team.id).unwrap().member_count, Some(0));

    let project =
        NewEntry { team: Some(team.id.clone()), ..NewEntry::new(EntryKind::Project, "acme", "search") };
    let project = ledger.create_entry(&project, "test").unwrap();
    assert_eq!(project.team.as_deref(), Some("red"));
    assert_eq!(of("red", EntryKind::Project), ["search"]);
    let used = ledger.delete_entry(EntryKind::Team, &team.id, None, "test").unwrap_err();
    assert!(matches!(used, LedgerError::EntryInUse { count: 1, .. }), "{used}");
    let free = EntryChange { team: Some(None), ..EntryChange::default() };
    ledger.change_entry(EntryKind::Project, &project.id, &free, None, "test").unwrap();
    ledger.delete_entry(EntryKind::Team, &team.id, None, "test").unwrap();
    let organization = add(&ledger, EntryKind::Organization, "acme");
    let used = ledger.delete_entry(EntryKind::Organization, &organization.id, None, "test").unwrap_err();
    assert!(matches!(used, LedgerError::EntryInUse { count: 2, .. }), "{used}");
}

#[test]
fn a_team_has_so_many_members_and_no_more() {
    let (_folder, ledger) = store();
    let team = add(&ledger, EntryKind::Team, "red");
    let names: Vec<String> = (0..=MEMBERS_MAX).map(|number| format!("user-{number}")).collect();
    for name in &names {
        add(&ledger, EntryKind::User, name);
    }
    let join = |names: &[String]| {
        let change = EntryChange { add_members: names.to_vec(), ..EntryChange::default() };
        ledger.change_entry(EntryKind::Team, &team.id, &change, None, "test")
    };
    for some in names[..MEMBERS_MAX].chunks(MEMBERS_AT_ONCE_MAX) {
        join(some).unwrap();
    }
    assert_eq!(join(&names[..1]).unwrap().member_count, Some(MEMBERS_MAX as u64), "who is one stays one");
    assert!(matches!(join(&names[MEMBERS_MAX..]), Err(LedgerError::TooManyMembers { .. })));
}

#[test]
fn pages_hold_every_entry_once_and_filters_choose() {
    let (_folder, ledger) = store();
    for number in 0..7 {
        let mail = format!("user-{number}@example.com");
        let new = NewEntry {
            email: Some(mail),
            ..NewEntry::new(
                EntryKind::User,
                if number < 5 { "acme" } else { "umbra" },
                &format!("user-{number}"),
            )
        };
        let entry = ledger.create_entry(&new, "test").unwrap();
        match number {
            1 => drop(disable(&ledger, &entry, true)),
            2 => drop(ledger.delete_entry(EntryKind::User, &entry.id, None, "test").unwrap()),
            _ => {}
        }
    }
    add(&ledger, EntryKind::Team, "user-0");
    let names = |filter: &EntryFilter, limit| {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.list_entries(filter, limit, after).unwrap();
            assert!(page.entries.len() <= limit);
            names.extend(page.entries.into_iter().map(|entry| entry.name));
            after = page.next;
            if after.is_none() {
                return names;
            }
        }
    };
    let all = EntryFilter::all(EntryKind::User);
    for limit in [1, 2, 6, 1_000] {
        assert_eq!(names(&all, limit), ["user-0", "user-1", "user-3", "user-4", "user-5", "user-6"]);
    }
    let umbra = EntryFilter { organization: Some("umbra".into()), ..all.clone() };
    assert_eq!(names(&umbra, 10), ["user-5", "user-6"]);
    for (state, wanted) in [(EntryState::Disabled, "user-1"), (EntryState::Deleted, "user-2")] {
        assert_eq!(names(&EntryFilter { state: Some(state), ..all.clone() }, 10), [wanted]);
    }
    let mail = EntryFilter { email: Some("USER-3@EXAMPLE.COM".into()), ..all.clone() };
    assert_eq!(names(&mail, 10), ["user-3"]);
    for limit in [0, 1_001] {
        assert!(ledger.list_entries(&all, limit, None).is_err());
    }
}

#[test]
fn every_change_is_in_the_trail_without_what_is_private() {
    let (_folder, ledger) = store();
    ledger.create_key(&key(true), "ops").unwrap();
    let new =
        NewEntry { email: Some("ada@example.com".into()), ..NewEntry::new(EntryKind::User, "acme", "ada") };
    let user = ledger.create_entry(&new, "ops").unwrap();
    let mail = EntryChange { email: Some(Some("ada@example.org".into())), ..EntryChange::default() };
    ledger.change_entry(EntryKind::User, &user.id, &mail, None, "ops").unwrap();
    disable(&ledger, &user, true);
    disable(&ledger, &user, false);
    ledger.delete_entry(EntryKind::User, &user.id, None, "ops").unwrap();
    let trail = ledger.audit_trail(&AuditFilter::default(), 100, None).unwrap();
    let mut actions: Vec<&str> = trail.events.iter().map(|event| event.action.as_str()).collect();
    actions.reverse();
    let wanted = [
        "key_created",
        "user_created",
        "user_updated",
        "user_disabled",
        "user_enabled",
        "user_deleted",
        "key_disabled",
    ];
    assert_eq!(actions, wanted);
    let text = format!("{:?}", trail.events);
    assert!(text.contains("email") && !text.contains("example"), "{text}");
    assert!(trail.events.iter().all(|event| event.organization.as_deref() == Some("acme")));
}
