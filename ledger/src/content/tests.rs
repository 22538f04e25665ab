use super::*;
use crate::ledger::Ledger;
use crate::options::LedgerOptions;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const PATIENCE: Duration = Duration::from_secs(30);
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
        let ledger = Ledger::open(&folder.path().join("narrows.db"), LedgerOptions::default()).unwrap();
        ledger.wrap_content(Arc::new(Turned("one")));
        House { ledger, folder }
    }

    fn keep(&self, number: u128, user: &str) {
        assert!(self.ledger.submit_content(Box::new(content(number, user, CANARY))));
        self.ledger.flush_content(PATIENCE).unwrap();
    }

    /// Every byte of the store and its side files.
    fn raw(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
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

#[test]
fn what_is_erased_is_overwritten_in_a_file() {
    let house = House::new();
    house.keep(1, "ada");
    let connection = rusqlite::Connection::open(house.ledger.place().file().unwrap()).unwrap();
    let sql = "SELECT wrapped_key FROM content_keys WHERE holder = 'ada'";
    let key: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(connection);
    let there = || house.raw().windows(32).any(|window| window == &key[..32]);
    assert!(there());
    house.ledger.erase_content("acme", &ErasureSubject::User("ada".into()), "asked for", "tester").unwrap();
    assert!(!there());
}

#[test]
fn a_hold_has_limits() {
    let fits =
        NewHold { organization: "acme".into(), reason: "x".repeat(HOLD_TEXT_MAX), ..NewHold::default() };
    fits.validate().unwrap();
    let wrong = [
        NewHold { reason: "x".repeat(HOLD_TEXT_MAX + 1), ..fits.clone() },
        NewHold { reason: " ".into(), ..fits.clone() },
        NewHold { organization: String::new(), ..fits.clone() },
        NewHold { user: Some("x".repeat(HOLD_TEXT_MAX + 1)), ..fits.clone() },
        NewHold { from_us: Some(5), to_us: Some(5), ..fits },
    ];
    for held in wrong {
        assert!(held.validate().is_err(), "{held:?}");
    }
}

/// Waits to be told before it is ready.
struct Slow(Mutex<Receiver<()>>, SyncSender<()>, NewContent);

impl Pending for Slow {
    fn bytes(&self) -> usize {
        1
    }

    fn ready(self: Box<Self>) -> NewContent {
        self.1.send(()).unwrap();
        self.0.lock().unwrap().recv().unwrap();
        self.2
    }
}

#[test]
fn too_much_at_once_is_dropped_and_counted() {
    let house = House::new();
    let (go, wait) = sync_channel(1);
    let (tell, begun) = sync_channel(1);
    let slow = Slow(Mutex::new(wait), tell, content(1, "ada", CANARY));
    assert!(house.ledger.submit_content(Box::new(slow)));
    begun.recv_timeout(PATIENCE).unwrap();
    for number in 2..=u128::try_from(CONTENT_QUEUE_MAX).unwrap() {
        assert!(house.ledger.submit_content(Box::new(content(number, "ada", "x"))), "{number}");
    }
    assert!(!house.ledger.submit_content(Box::new(content(5_000, "ada", "x"))));
    assert_eq!(house.ledger.content_stats().dropped, 1);
    go.send(()).unwrap();
    house.ledger.flush_content(PATIENCE).unwrap();
    let stats = house.ledger.content_stats();
    assert_eq!((stats.stored, stats.dropped), (CONTENT_QUEUE_MAX as u64, 1));
    // Bytes have a limit too: what holds as much fits, one byte more does not.
    let sized = |bytes| Box::new(Sized(bytes, content(9_000 + bytes as u128 % 2, "ada", "x")));
    assert!(!house.ledger.submit_content(sized(CONTENT_QUEUE_BYTES_MAX + 1)));
    assert!(house.ledger.submit_content(sized(CONTENT_QUEUE_BYTES_MAX)));
}

/// Claims to hold so many bytes.
struct Sized(usize, NewContent);

impl Pending for Sized {
    fn bytes(&self) -> usize {
        self.0
    }

    fn ready(self: Box<Self>) -> NewContent {
        self.1
    }
}

#[test]
fn the_states_have_one_byte() {
    for request in ContentState::ALL {
        for answer in ContentState::ALL {
            let states = ContentStates { request, answer };
            assert_eq!(ContentStates::from_byte(states.to_byte()), Some(states));
        }
        assert_eq!(ContentState::from_word(request.as_str()), Some(request));
    }
    assert_eq!(ContentStates::from_byte(0x60), None);
    assert_eq!(ContentStates::from_byte(0x06), None);
}

#[test]
fn keys_of_a_store_of_an_earlier_version_are_brought_over_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("narrows.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "application_id", 0x4E52_5753).unwrap();
    let mut connection = crate::db::Connection::Sqlite(connection);
    let place = crate::Place::from(Path::new("x"));
    crate::store::migrate::run(&mut connection, &place, crate::store::migrate::WITH_CONTENT).unwrap();
    let holder = seal::Holder::of(&content(1, "ada", "").caller, START_US);
    for master in ["one", "two"] {
        let (key, _) = seal::WrappedKey::make(&holder, &Turned(master)).unwrap();
        crate::store::content::put_key(&connection, &key).unwrap();
    }
    drop(connection);
    let ledger = Ledger::open(&path, LedgerOptions::default()).unwrap();
    assert_eq!(ledger.rewrap_content(&Turned("one"), &Turned("two"), "tester").unwrap(), 2);
}

#[test]
fn a_store_of_the_version_before_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("narrows.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "application_id", 0x4E52_5753).unwrap();
    let mut connection = crate::db::Connection::Sqlite(connection);
    crate::store::migrate::run(
        &mut connection,
        &crate::Place::from(Path::new("x")),
        crate::store::migrate::WITH_CONTENT - 1,
    )
    .unwrap();
    drop(connection);
    let reader = crate::Reader::open(&path).unwrap();
    assert_eq!(reader.record(1).unwrap(), None);
}
