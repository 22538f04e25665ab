//! Redis over TLS, with users and their rights: only the right server is asked, and whoever is refused reads what to do.

use super::link::{Failed, Link};
use super::tests::server::Redis;
use super::tests::{Replica, reserve, runtime, settings};
use crate::config::{Counters, RedisAddress, Secret};
use std::net::TcpListener;
use std::path::PathBuf;

const PASSWORD: &str = "hunter2-and-more";
/// What docs/budgets.md says that a user needs; the prefix of tests is another one.
const RIGHTS: &str = "+evalsha +script|load +select +time +get +set +del +pexpire +@hash +@sortedset";

/// A Redis with both ports, a user with the least rights and one without any.
struct Secured {
    redis: Redis,
    plain: u16,
    tls: u16,
    folder: tempfile::TempDir,
}

fn port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Secured {
    fn start() -> Option<Secured> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["own", "other"] {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), made.signing_key.serialize_pem())
                .unwrap();
        }
        let (plain, tls) = (port(), port());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let redis = Redis::start_with(|_| {
            let words = format!(
                "--bind 127.0.0.1 --port {plain} --tls-port {tls} --tls-cert-file {} --tls-key-file {} --tls-auth-clients no \
                 --user narrows on >{PASSWORD} ~{{test-*}}* {RIGHTS} --user idle on >{PASSWORD} ~* +script|load \
                 --user default on >{PASSWORD} ~* +@all",
                file("own.pem"),
                file("own.key"),
            );
            words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
        })?;
        Some(Secured { redis, plain, tls, folder })
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.path().join(name))
    }

    /// At a port of this name, as the user with the least rights.
    fn at(&self, host: &str, port: u16, tls: bool) -> Counters {
        Counters {
            redis: RedisAddress::Tcp { host: host.to_owned(), port, database: 0, tls },
            username: Some("narrows".to_owned()),
            password: Some(Secret::new(PASSWORD.to_owned())),
            ca_file: tls.then(|| self.file("own.pem")).flatten(),
            ..settings(&self.redis)
        }
    }
}

/// What is said of a Redis that cannot be asked so.
fn refused(settings: &Counters) -> String {
    let link = Link::new(settings).unwrap();
    let failed = runtime().block_on(async {
        let connection = match link.connect().await {
            Ok(connection) => connection,
            Err(failed) => return failed,
        };
        // Rights inside of scripts show only when one runs.
        match link.beat(&connection, &super::wire::Arguments::default()).await {
            Ok(_) => panic!("it was let in"),
            Err(failed) => failed,
        }
    });
    let said = link.said(&failed);
    assert!(!format!("{said}{failed:?}{settings:?}").contains(PASSWORD), "{said}");
    said
}

#[test]
fn only_the_right_redis_is_asked_and_the_least_rights_do() {
    let Some(server) = Secured::start() else { return };
    let right = server.at("localhost", server.tls, true);
    let rules = super::super::tests::rules(
        "budgets:\n  all: {tokens: 1000, window: day}\nrate_limits:\n  all: {requests: 9}\n",
    );
    runtime().block_on(async {
        let mut one = Replica::start(&right, "one").await;
        let held = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        one.tell().await;
        drop(held);
        one.tell().await;
        one.look().await;
        one.task.beat(&one.connection).await.unwrap();
        let link = &one.task_shared().link;
        link.holds(&one.connection, "one").await.unwrap();
    });

    let with = |change: &dyn Fn(&mut Counters)| {
        let mut settings = server.at("localhost", server.tls, true);
        change(&mut settings);
        refused(&settings)
    };
    let says = |said: String, parts: &[&str]| {
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} expected: {said}");
    };
    let trust = with(&|settings| settings.ca_file = server.file("other.pem"));
    says(trust, &["invalid peer certificate", "`counters.ca_file`"]);
    let name = refused(&server.at("127.0.0.1", server.tls, true));
    says(name, &["not valid for name", "\"localhost\"", "`counters.redis`"]);
    let plain = refused(&server.at("localhost", server.plain, true));
    says(plain, &["`tls-port`"]);
    let unsafe_ = refused(&server.at("localhost", server.tls, false));
    says(unsafe_, &["rediss://"]);
    let nobody = refused(&server.at("localhost", port(), true));
    says(nobody, &["refused", "see that it runs"]);
    let wrong = with(&|settings| settings.password = Some(Secret::new("not this one".to_owned())));
    assert!(!wrong.contains("not this one"), "{wrong}");
    says(wrong, &["authentication failed", "`counters.username` and `counters.password`"]);
    let unknown = with(&|settings| settings.username = Some("nobody".to_owned()));
    says(unknown, &["authentication failed", "`counters.username` and `counters.password`"]);
    let none = with(&|settings| (settings.username, settings.password) = (None, None));
    says(none, &["Authentication required", "`counters.username` and `counters.password`"]);
    let idle = with(&|settings| settings.username = Some("idle".to_owned()));
    says(idle, &["docs/budgets.md"]);
}

#[test]
fn what_is_late_or_strange_says_what_to_look_at() {
    assert!(Failed::Late.advice(true).contains("`tls-port`"));
    assert!(!Failed::Late.advice(false).contains("`tls-port`"));
    assert!(Failed::Away.advice(true).contains("runs"));
}
