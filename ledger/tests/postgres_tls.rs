//! PostgreSQL over TLS: only the right server is spoken to, and whoever is not says what to do.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use common::postgres::Postgres;
use narrows_ledger::{Ledger, LedgerOptions, Place, PostgresServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certifies a server with one name, until the end of a year.
    fn certify(&self, server: &Postgres, name: &str, until: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        server.certify(&params.signed_by(&key, &self.0).unwrap().pem(), &key.serialize_pem());
    }

    /// Whoever trusts this one only.
    fn trusted(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).unwrap();
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions();
        Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
    }
}

/// The error and what caused it, as start-up prints them; never with a password.
fn refused(server: &PostgresServer) -> String {
    let error = Ledger::open(Place::from(server.clone()), LedgerOptions::default()).unwrap_err();
    let said = common::said(&error);
    let password = server.password.as_deref().unwrap();
    assert!(!said.contains(password) && !format!("{error:?}{server:?}").contains(password), "{said}");
    said
}

#[track_caller]
fn refused_with(server: &PostgresServer, parts: &[&str]) {
    let said = refused(server);
    for part in parts {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

#[test]
fn only_the_right_server_is_spoken_to() {
    let Some(server) = Postgres::at_port() else { return };
    let authority = Authority::new("one");
    authority.certify(&server, "localhost", 4000);
    server.run();
    let right =
        PostgresServer { tls: Some(authority.trusted()), ..server.database_at("localhost", "narrows") };

    let ledger = Ledger::open(Place::from(right.clone()), LedgerOptions::default()).unwrap();
    ledger.submit(common::record(1));
    ledger.flush(PATIENCE).unwrap();
    assert_eq!(ledger.verify().unwrap().records.requests, 1);
    let sessions =
        "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'narrows %'";
    let count = |which: &str| server.sql("narrows", &format!("SELECT count(*) {sessions} AND {which}"));
    assert_ne!(count("ssl"), "0");
    assert_eq!(count("NOT ssl"), "0", "every connection is over TLS");
    drop(ledger);

    for (other, part) in [("other", "UnknownIssuer"), ("one", "BadSignature")] {
        let untrusted = PostgresServer { tls: Some(Authority::new(other).trusted()), ..right.clone() };
        refused_with(&untrusted, &[part, "`ca_file`", "postgres://localhost:"]);
    }
    let misnamed =
        PostgresServer { tls: Some(authority.trusted()), ..server.database_at("127.0.0.1", "narrows") };
    refused_with(&misnamed, &["not valid for name \"127.0.0.1\"", "\"localhost\"", "store's address"]);
    let unknown = PostgresServer { password: Some("not this one".into()), ..right.clone() };
    refused_with(&unknown, &["password authentication failed", "`username` and `password`"]);
    let absent = PostgresServer { database: "absent".into(), ..right };
    refused_with(&absent, &["database \"absent\" does not exist", "CREATE DATABASE"]);
}

#[test]
fn a_certificate_that_is_out_of_date_is_refused() {
    let Some(server) = Postgres::at_port() else { return };
    let authority = Authority::new("one");
    authority.certify(&server, "localhost", 2000);
    server.run();
    let late =
        PostgresServer { tls: Some(authority.trusted()), ..server.database_at("localhost", "narrows") };
    refused_with(&late, &["expired", "valid now", "clocks"]);
}

#[test]
fn a_server_without_tls_is_refused_and_nothing_is_told_to_it() {
    let Some(server) = Postgres::at_port() else { return };
    server.run();
    let authority = Authority::new("one");
    let plain = server.database_at("localhost", "narrows");
    refused_with(
        &PostgresServer { tls: Some(authority.trusted()), ..plain.clone() },
        &["does not support TLS", "`ssl = on`", "`tls: off`"],
    );
    // Where an operator says so it is spoken to.
    drop(Ledger::open(Place::from(plain.clone()), LedgerOptions::default()).unwrap());
    server.kill();
    refused_with(&plain, &["refused", "see that the server runs"]);
}

#[test]
fn a_server_that_asks_for_tls_says_what_to_write() {
    let Some(server) = Postgres::at_port() else { return };
    let authority = Authority::new("one");
    authority.certify(&server, "localhost", 4000);
    server.write("pg_hba.conf", "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n");
    server.run();
    let plain = server.database_at("localhost", "narrows");
    refused_with(&plain, &["no pg_hba.conf entry", "`tls: verify-full`"]);
    let right = PostgresServer { tls: Some(authority.trusted()), ..plain };
    drop(Ledger::open(Place::from(right), LedgerOptions::default()).unwrap());
}
