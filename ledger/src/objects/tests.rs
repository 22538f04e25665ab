use super::held::GENERATION_IDS;
use super::*;
use crate::{Ledger, LedgerOptions};

const PATIENCE: Duration = Duration::from_secs(60);

fn caller(team: Option<&str>, user: Option<&str>) -> Caller {
    Caller {
        organization: "acme".into(),
        team: team.map(Into::into),
        user: user.map(Into::into),
        ..Caller::default()
    }
}

fn object(id: &str, provider: &str, caller: &Caller) -> Object {
    Object {
        id: id.into(),
        provider: provider.into(),
        kind: "file".into(),
        owner: Owner::of(caller),
        created_at_us: now_us(),
        expires_at_us: None,
    }
}

fn open(folder: &tempfile::TempDir) -> Ledger {
    Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap()
}

#[test]
fn the_owner_is_the_team_else_the_person_or_program_else_the_organization() {
    let team = caller(Some("pay"), Some("ada"));
    assert!(Owner::of(&team).is(&caller(Some("pay"), Some("bob"))), "a team shares");
    assert!(!Owner::of(&team).is(&caller(Some("ops"), Some("ada"))));
    assert!(!Owner::of(&team).is(&caller(None, Some("ada"))), "nor does leaving a team take along");
    assert!(!Owner::of(&team).is(&Caller { organization: "other".into(), ..team.clone() }));
    let person = caller(None, Some("pay"));
    assert!(
        Owner::of(&person).is(&person) && !Owner::of(&person).is(&team),
        "a user is no team of that name"
    );
    let program = Caller { service_account: Some("pay".into()), ..caller(None, None) };
    assert!(Owner::of(&program).is(&program) && !Owner::of(&program).is(&person));
    let nobody = caller(None, None);
    assert!(Owner::of(&nobody).is(&nobody) && !Owner::of(&nobody).is(&person));
}

#[test]
fn a_binding_is_known_at_once_and_to_other_processes_once_written() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (open(&folder), open(&folder));
    let mine = object("file-1", "openai", &caller(Some("pay"), None));
    assert!(here.objects().bind(mine.clone()));
    assert_eq!(here.objects().held("file-1", None).as_deref(), Some(&mine));
    here.flush(PATIENCE).unwrap();
    assert_eq!(there.objects().held("file-1", None), None, "memory is per process");
    assert_eq!(there.objects().owner("file-1", None).unwrap().as_deref(), Some(&mine));
    assert_eq!(there.objects().held("file-1", Some("openai")).as_deref(), Some(&mine), "and now it is held");
    assert_eq!(there.objects().owner("file-2", None).unwrap(), None);
    drop((here, there));
    assert_eq!(open(&folder).objects().owner("file-1", None).unwrap().as_deref(), Some(&mine));
}

#[test]
fn an_id_keeps_its_first_owner_in_memory_and_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (open(&folder), open(&folder));
    let (first, second) = (caller(Some("pay"), None), caller(Some("ops"), None));
    assert!(here.objects().bind(object("x", "p", &first)));
    assert!(!here.objects().bind(object("x", "p", &second)));
    assert!(here.objects().bind(object("x", "q", &second)), "another account is another object");
    here.flush(PATIENCE).unwrap();
    // A process that does not know the first one is corrected by the store.
    assert!(there.objects().bind(object("x", "p", &second)));
    there.flush(PATIENCE).unwrap();
    assert!(there.objects().owner("x", Some("p")).unwrap().unwrap().owner.is(&first));
    assert!(there.objects().owner("x", Some("q")).unwrap().unwrap().owner.is(&second));
}

#[test]
fn deleted_and_ended_bindings_are_gone_and_free() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder);
    let (first, second) = (caller(Some("pay"), None), caller(Some("ops"), None));
    let provider: Arc<str> = "p".into();
    ledger.objects().bind(object("deleted", "p", &first));
    ledger.objects().bind(Object { expires_at_us: Some(now_us() - 1), ..object("ended", "p", &first) });
    ledger.flush(PATIENCE).unwrap();
    ledger.objects().unbind(&provider, "deleted");
    assert_eq!(
        ledger.objects().owner("deleted", None).unwrap(),
        None,
        "at once, whatever the store still says"
    );
    ledger.flush(PATIENCE).unwrap();
    for id in ["deleted", "ended"] {
        assert_eq!(ledger.objects().owner(id, None).unwrap(), None, "{id}");
        assert!(ledger.objects().bind(object(id, "p", &second)), "{id}");
    }
    ledger.flush(PATIENCE).unwrap();
    let again = open(&folder);
    assert!(again.objects().owner("ended", None).unwrap().unwrap().owner.is(&second));
}

#[test]
fn ids_have_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder);
    let bind = |length: usize| ledger.objects().bind(object(&"i".repeat(length), "p", &caller(None, None)));
    assert!(bind(OBJECT_ID_BYTES_MAX) && !bind(OBJECT_ID_BYTES_MAX + 1) && !bind(0));
}

#[test]
fn memory_is_bounded_and_forgets_what_was_not_used() {
    let mut held = Held::default();
    let of = |number: usize| Arc::new(object(&number.to_string(), "p", &caller(None, None)));
    for number in 0..3 * GENERATION_IDS {
        held.insert(&of(number), 0);
        assert!(held.get("0", None, 0).is_some() || number == 0, "what is used stays, at {number}");
        assert!(held.len() <= 2 * GENERATION_IDS + 1);
    }
    assert!(
        held.get("1", None, 0).is_none()
            && held.get(&(3 * GENERATION_IDS - 1).to_string(), None, 0).is_some()
    );
}

#[test]
fn what_finds_no_room_to_wait_is_counted_and_known_here() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _receiver) = Queue::new(1);
    let objects = Objects::new(&Place::File(folder.path().join("n.db")), Duration::ZERO, Arc::new(queue));
    for number in 0..=OBJECTS_PENDING_MAX {
        assert_eq!(objects.stats().unwritten, 0);
        objects.bind(object(&number.to_string(), "p", &caller(None, None)));
    }
    assert_eq!(objects.stats().unwritten, 1);
    assert!(objects.held(&OBJECTS_PENDING_MAX.to_string(), None).is_some());
}
