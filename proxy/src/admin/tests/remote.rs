//! Commands against a running gateway.

use super::{House, PATIENCE};
use crate::telemetry::metrics::tests::record;
use narrows_ledger::Record;
use serde_json::Value;
use std::ffi::OsString;
use std::sync::Arc;

/// Exit code, standard output and standard error of a command.
fn narrows(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("narrows").chain(arguments.iter().copied()).map(OsString::from);
    let code = crate::cli::main(arguments, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A house and the ways to it.
struct Ways {
    house: House,
    url: String,
    token_file: String,
    more: Vec<String>,
}

impl Ways {
    fn new(house: House, scheme: &str) -> Ways {
        let token_file = house.folder.path().join("token");
        std::fs::write(&token_file, format!("{}\n", house.token)).unwrap();
        let url = format!("{scheme}://127.0.0.1:{}", house.admin.port());
        Ways { url, token_file: token_file.display().to_string(), more: Vec::new(), house }
    }

    fn far(&self, arguments: &[&str]) -> (u8, String, String) {
        let named = ["--admin", &self.url, "--token-file", &self.token_file];
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        narrows(&[arguments, &named, &more].concat())
    }

    fn near(&self, arguments: &[&str]) -> (u8, String, String) {
        let store = self.house.gateway.ledger.path().display().to_string();
        narrows(&[arguments, &["--store", &store]].concat())
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.far(&[arguments, &["--json"]].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

#[test]
fn a_key_lives_its_life_from_far() {
    let ways = Ways::new(House::new(), "http");
    let asked =
        ["keys", "create", "--name", "ci", "--team", "red", "--service-account", "ci", "--model", "gpt-*"];
    let created = ways.json(&[&asked[..], &["--expires", "90d", "--metadata", "cost=42"]].concat());
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    assert_eq!((&created["organization"], &created["models"][0]), (&"acme".into(), &"gpt-*".into()));
    assert_eq!(created["metadata"]["cost"], "42");
    let now = jiff::Timestamp::now().as_microsecond();
    assert!(ways.house.gateway.ledger.keys().verify(key, now).is_ok());
    let other = ways.json(&["keys", "create", "--name", "y", "--organization", "other"]);
    assert_eq!(other["organization"], "other");

    // A whole key is as good as its id, and does not travel.
    assert!(ways.far(&["keys", "disable", key]).1.contains("is disabled"));
    assert_eq!(ways.json(&["keys", "show", id])["state"], "disabled");
    assert!(ways.far(&["keys", "enable", id]).1.contains("is enabled"));
    let (_, rotated, _) = ways.far(&["keys", "rotate", id, "--overlap", "24h"]);
    assert!(rotated.contains(&format!("nrw_{id}_")) && !rotated.contains(key), "{rotated}");
    assert!(rotated.contains("works until"), "{rotated}");
    assert_eq!(ways.json(&["keys", "delete", id])["state"], "deleted");
    let (code, out, err) = ways.far(&["keys", "show", "no/such"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("no/such") && err.contains("keys list"), "{err}");
}

#[test]
fn near_and_far_print_the_same() {
    let ways = Ways::new(House::new(), "http");
    for number in 0..5_u32 {
        ways.house.gateway.ledger.submit(Record { id: u128::from(number) + 1, ..record() });
    }
    ways.house.gateway.ledger.flush(PATIENCE).unwrap();
    let id =
        ways.json(&["keys", "create", "--name", "x", "--user", "ada"])["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["tokens", "list"][..],
        &["tokens", "list", "--json"],
        &["audit", "--action", "key_created"],
        &["audit", "--action", "key_created", "--json"],
        &["audit", "--action", "nothing"],
        &["keys", "list"],
        &["keys", "list", "--deleted", "--json"],
        &["keys", "show", &id],
        &["keys", "show", &id, "--json"],
        &["usage"],
        &["usage", "--by", "team,day", "--json"],
        &["usage", "--model", "nothing"],
        &["records"],
        &["records", "--limit", "2", "--json"],
        &["records", "--from", "2026-01-01", "--json"],
        &["records", "--provider", "nobody & co"],
    ] {
        let (near, far) = (ways.near(arguments), ways.far(arguments));
        assert_eq!(near.0, 0, "{arguments:?}: {}", near.2);
        assert_eq!(near, far, "{arguments:?}");
    }
    let line = ways.far(&["records", "--limit", "1", "--json"]).1;
    assert!(line.starts_with("{\"schema\":"), "in the order of records: {line}");
}

#[test]
fn over_tls_with_a_ca_of_ones_own() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
    let mut ways = Ways::new(House::with_tls(Some(Arc::new(server))), "https");
    let (code, _, err) = ways.far(&["keys", "list"]);
    assert_eq!(code, 1);
    assert!(err.contains("TLS") && err.contains("CA"), "{err}");
    let bundle = ways.house.folder.path().join("ca.pem");
    std::fs::write(&bundle, cert.pem()).unwrap();
    ways.more = vec!["--ca-file".to_owned(), bundle.display().to_string()];
    assert_eq!(ways.far(&["keys", "list"]).0, 0);
}

#[test]
fn what_is_wrong_from_far_is_told() {
    let ways = Ways::new(House::new(), "http");
    let key = ways.json(&["keys", "create", "--name", "x"])["key"].as_str().unwrap().to_owned();
    std::fs::write(&ways.token_file, &key).unwrap();
    let (code, _, err) = ways.far(&["keys", "list"]);
    assert!(code == 1 && err.contains("NARROWS_ADMIN_TOKEN") && !err.contains(&key), "{err}");
    let (code, _, err) = ways.far(&["keys", "list", "--store", "x.db"]);
    assert!(code == 1 && err.contains("--admin"), "{err}");
    let token = ways.token_file.as_str();
    for (url, expected) in [
        ("http://10.1.2.3:9465", "https"),
        ("ftp://x", "http"),
        ("http://127.0.0.1:1", "cannot connect to 127.0.0.1:1"),
    ] {
        let (code, _, err) = narrows(&["keys", "list", "--admin", url, "--token-file", token]);
        assert!(code == 1 && err.contains(expected), "{url}: {err}");
    }
    let metrics = format!("http://{}", ways.house.metrics);
    let (_, _, err) = narrows(&["usage", "--admin", &metrics, "--token-file", token]);
    assert!(err.contains("no such path"), "{err}");
}

#[test]
fn admin_tokens_are_made_and_revoked_near_and_far() {
    let ways = Ways::new(House::new(), "http");
    let made = ways.json(&["tokens", "create", "--name", "ops", "--organization", "acme", "--expires", "7d"]);
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap().to_owned());
    assert_eq!((&made["role"], &made["organization"]), (&"read".into(), &"acme".into()));
    let (_, list, _) = ways.far(&["tokens", "list"]);
    assert!(list.contains("ops") && list.contains("acme") && list.contains("every one"), "{list}");
    assert!(!list.contains(&token));
    let (code, out, _) = ways.near(&["tokens", "create", "--name", "near", "--role", "write"]);
    assert!(code == 0 && out.contains("nra_") && out.contains("every organization"), "{out}");
    assert!(ways.far(&["tokens", "revoke", id]).1.contains("is revoked"));
    std::fs::write(&ways.token_file, &token).unwrap();
    let (code, _, err) = ways.far(&["tokens", "list"]);
    assert!(code == 1 && err.contains("NARROWS_ADMIN_TOKEN"), "{err}");
    let (code, _, err) = ways.near(&["tokens", "create", "--name", "x", "--role", "root"]);
    assert!(code == 1 && err.contains("read or write"), "{err}");
    let (_, trail, _) = ways.near(&["audit", "--target", id]);
    assert!(trail.contains("admin_token_created") && trail.contains("admin_token_revoked"), "{trail}");
}
