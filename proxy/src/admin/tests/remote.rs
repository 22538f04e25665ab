//! Commands against a running gateway.

use super::{House, PATIENCE};
use crate::telemetry::metrics::tests::record;
use narrows_ledger::{Ledger, LedgerOptions, Record};
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
        let store = self.house.gateway.ledger.place().to_string();
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
fn the_directory_is_the_same_from_near_and_far() {
    let ways = Ways::new(House::new(), "http");
    let ada = ways.json(&["users", "create", "--name", "ada", "--email", "ada@example.com"]);
    assert_eq!((&ada["organization"], &ada["version"]), (&"acme".into(), &1.into()));
    let made = ways.far(&["teams", "create", "--name", "red", "--member", "ada", "--display-name", "Red"]);
    assert!(made.1.starts_with("Team red (") && made.1.ends_with(" is created.\n"), "{made:?}");
    assert_eq!(ways.json(&["projects", "create", "--name", "search", "--team", "red"])["team"], "red");
    ways.json(&["service-accounts", "create", "--name", "ci"]);
    ways.json(&["orgs", "create", "--name", "acme"]);
    for what in ["users", "teams", "projects", "service-accounts", "orgs"] {
        let (far, near) = (ways.far(&[what, "list"]), ways.near(&[what, "list", "--organization", "acme"]));
        if what == "orgs" {
            assert_eq!(near.0, 1, "an organization belongs to none");
            assert_eq!(far, ways.near(&[what, "list"]));
        } else {
            assert_eq!(far, near);
            assert!(far.1.contains("acme"), "{far:?}");
        }
    }
    let show = ["teams", "show", "red", "--organization", "acme"];
    assert_eq!(ways.far(&show), ways.near(&show));
    assert!(ways.far(&show).1.contains("members        ada\n"), "{:?}", ways.far(&show));

    let update = ["users", "update", "ada", "--email", "", "--external-id", "7"];
    let updated = ways.json(&update);
    assert_eq!((&updated["email"], &updated["external_id"]), (&Value::Null, &"7".into()));
    let key = ways.json(&["keys", "create", "--name", "x", "--user", "ada"]);
    assert!(ways.far(&["users", "disable", "ada"]).1.contains("is disabled"));
    assert_eq!(ways.json(&["keys", "show", key["id"].as_str().unwrap()])["blocked_by"], "user");
    let near = ways.near(&["users", "enable", "ada", "--organization", "acme"]);
    assert!(near.1.contains("is enabled"), "{near:?}");
    assert_eq!(ways.json(&["users", "show", "ada"])["version"], 4);
    let gone = ways.json(&["users", "delete", "ada"]);
    assert_eq!(gone["state"], "deleted");
    assert_eq!(ways.far(&["users", "show", "ada"]).0, 1);
    for way in [Ways::far, Ways::near] {
        let (code, out, _) = way(&ways, &["users", "show", gone["id"].as_str().unwrap()]);
        assert!(code == 0 && out.contains("deleted"), "{out}");
        assert!(way(&ways, &["users", "list", "--state", "deleted"]).1.contains("ada"));
        assert_eq!(way(&ways, &["users", "list", "--state", "gone"]).0, 1);
    }
}

#[test]
fn coverage_and_searches_are_the_same_from_near_and_far() {
    let ways = Ways::new(House::new(), "http");
    let ledger = &ways.house.gateway.ledger;
    ledger.submit(Record { conversation: Some("talk-1".into()), ..record() });
    ledger.submit(Record { id: 8, status: 502, ..record() });
    ledger.flush(PATIENCE).unwrap();
    ways.far(&["users", "create", "--name", "ada"]);
    let coverage = ["coverage", "--from", "2026-01-01", "--to", "2026-02-02"];
    let (code, out, err) = ways.far(&coverage);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(ways.near(&coverage).1, out);
    for part in ["not reachable", "never passes here", "not recognized", "ada"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(ways.json(&coverage)["classes"][0]["exchanges"], 2);
    for search in [
        &["--conversation", "talk-1"][..],
        &["--status", "5xx"],
        &["--cost-from", "0.001", "--class", "1", "--status", "200"],
        &["--outcome", "completed", "--reason", "completed", "--status", "502"],
    ] {
        let records = [&["records", "--json"], search].concat();
        let (code, out, err) = ways.far(&records);
        assert_eq!((code, out.lines().count()), (0, 1), "{search:?}: {err}");
        assert_eq!(ways.near(&records).1, out);
    }
    for wrong in [["--status", "6xx"], ["--decision", "deny"], ["--outcome", "good"], ["--cost-to", "much"]] {
        let (code, _, err) = ways.near(&["records", wrong[0], wrong[1]]);
        assert!(code == 1 && err.contains(wrong[0]), "{err}");
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
        &["keys", "list", "--csv"],
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

#[test]
fn many_keys_are_made_listed_and_switched_off_near_and_far() {
    let ways = Ways::new(House::new(), "http");
    let folder = ways.house.folder.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        path(name)
    };
    // What the store says at once, the gateway knows a moment later.
    let verify = |key: &str| {
        let ledger = Ledger::open(ways.house.gateway.ledger.place(), LedgerOptions::default()).unwrap();
        let now_us = jiff::Timestamp::now().as_microsecond();
        ledger.keys().verify(key, now_us).map(|entry| entry.caller.team.clone())
    };
    for far in [true, false] {
        let run = |arguments: &[&str]| if far { ways.far(arguments) } else { ways.near(arguments) };
        let rows =
            format!("name,user,team,metadata.room\nada-{far},ada,,\"3, north\"\nbob-{far},bob,blue,\n");
        let from = write("people.csv", &rows);
        let output = path(&format!("secrets-{far}.csv"));
        let create =
            ["keys", "create", "--from", &from, "--team", "red", "--expires", "90d", "--output", &output];
        let (code, out, err) = run(&create);
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(err.contains("Created 2 keys"), "{err}");
        let secrets = std::fs::read_to_string(&output).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let keys: Vec<&str> = secrets.lines().skip(1).map(|line| line.rsplit(',').next().unwrap()).collect();
        let teams: Vec<_> = keys.iter().map(|key| verify(key).unwrap().unwrap()).collect();
        assert_eq!(teams, ["red", "blue"], "a row's word before the command's");

        // The same list once more makes nothing, says why, and leaves no file behind.
        let again = path("again.csv");
        let (code, out, err) = run(&["keys", "create", "--from", &from, "--output", &again]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("people.csv, line 2") && err.contains(&format!("`ada-{far}`")), "{err}");
        assert!(!std::fs::exists(&again).unwrap());
        // A file that is there is never written over.
        let fresh = write("fresh.csv", &format!("name\nnew-{far}\n"));
        let (code, _, err) = run(&["keys", "create", "--from", &fresh, "--output", &output]);
        assert!(code == 1 && err.contains("a new file"), "{err}");
        assert_eq!(std::fs::read_to_string(&output).unwrap(), secrets);

        let (code, list, err) = run(&["keys", "list", "--csv"]);
        assert_eq!(code, 0, "{err}");
        assert!(
            list.starts_with("id,name,state,organization,") && !keys.iter().any(|key| list.contains(key)),
            "{list}"
        );
        assert!(list.contains("\"{\"\"room\"\":\"\"3, north\"\"}\""), "{list}");
        let (code, _, err) = run(&["keys", "list", "--csv", "--json"]);
        assert!(code == 1 && err.contains("--csv"), "{err}");

        let wrong = write("wrong.txt", &format!("{}\nnobody000000\n", keys[0]));
        let (code, _, err) = run(&["keys", "disable", "--from", &wrong]);
        assert!(code == 1 && err.contains("wrong.txt, line 2") && err.contains("nobody000000"), "{err}");
        assert!(verify(keys[0]).is_ok(), "none was switched off");
        assert_eq!(run(&["keys", "disable", "--from", &output]).1, "2 keys are disabled.\n");
        assert!(keys.iter().all(|key| verify(key).is_err()));
        let (_, json, err) = run(&["keys", "create", "--from", &fresh, "--json"]);
        let made: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {err}"));
        let more = write("more.csv", &format!("name\nmore-{far}\n"));
        let (_, printed, _) = run(&["keys", "create", "--from", &more]);
        let more = printed.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
        let (_, disabled, _) = run(&["keys", "disable", made["id"].as_str().unwrap(), &more]);
        assert_eq!(disabled.lines().count(), 2, "{disabled}");
        assert!(verify(made["key"].as_str().unwrap()).is_err());
    }
}

#[test]
fn a_file_with_bad_rows_is_refused_before_anything_is_asked() {
    let ways = Ways::new(House::new(), "http");
    let file = ways.house.folder.path().join("bad.csv");
    std::fs::write(
        &file,
        "name,user,service_account,models,expires\n,a,,,\nx,a,b,,\ny,,,a*b,\nz,,,,soon\nv,,,,\nv,,,,\n",
    )
    .unwrap();
    for run in [Ways::far, Ways::near] {
        let (code, out, err) = run(&ways, &["keys", "create", "--from", &file.display().to_string()]);
        assert_eq!((code, out.as_str()), (1, ""));
        for (line, part) in [(2, "name"), (3, "not to both"), (4, "star"), (5, "90d"), (7, "line 6 already")]
        {
            let told = err.lines().find(|told| told.contains(&format!("bad.csv, line {line}:")));
            assert!(told.is_some_and(|told| told.contains(part)), "{line} {part}: {err}");
        }
        assert!(run(&ways, &["keys", "list"]).1.contains("No keys yet"));
    }
}

#[test]
fn alerts_are_the_same_from_near_and_far() {
    let ways = Ways::new(House::new(), "http");
    let ledger = &ways.house.gateway.ledger;
    for number in 1..4 {
        let conversation = Some(format!("c-{number}").into());
        let alert = narrows_ledger::NewAlert { id: number, conversation, ..super::alerts::alert() };
        assert!(ledger.raise_alert(alert));
    }
    ledger.flush(PATIENCE).unwrap();
    let (one, two, three) =
        ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002", "3");
    for arguments in [
        &["alerts", "list"][..],
        &["alerts", "list", "--json", "--limit", "2", "--severity", "high", "--from", "2026-01-01"],
        &["alerts", "list", "--state", "acknowledged"],
        &["alerts", "show", one],
        &["alerts", "show", one, "--json"],
        &["alerts", "sums"],
        &["alerts", "sums", "--json", "--detectors", "--by", "rule"],
    ] {
        let (near, far) = (ways.near(arguments), ways.far(arguments));
        assert_eq!((near.0, &near), (0, &far), "{arguments:?}");
    }
    let (_, list, _) = ways.near(&["alerts", "list"]);
    assert!(list.lines().count() == 4 && list.contains("mask (not possible)"), "{list}");
    let (_, shown, _) = ways.near(&["alerts", "show", one]);
    assert!(shown.contains("1 × GITHUB_TOKEN (github-pat) at content[0].text"), "{shown}");
    assert!(ways.near(&["alerts", "list", "--severity", "high"]).1.contains("no-secrets"));

    let acknowledged = ways.json(&["alerts", "ack", one, "--note", "known"]);
    assert_eq!((&acknowledged["state"], &acknowledged["note"]), (&"acknowledged".into(), &"known".into()));
    let (code, out, _) = ways.near(&["alerts", "ack", one, two]);
    assert!(code == 0 && out.lines().count() == 2 && out.contains("by cli"), "{out}");
    for refused in [ways.near(&["alerts", "ack", three]), ways.far(&["alerts", "ack", three])] {
        assert!(refused.0 == 1 && refused.2.contains("no alert has the id `3`"), "{}", refused.2);
    }
    for (wrong, says) in [("--severity", "critical"), ("--stage", "stream"), ("--delivery", "failed")] {
        let (code, _, err) = ways.near(&["alerts", "list", wrong, "x"]);
        assert!(code == 1 && err.contains(says), "{err}");
    }
}
