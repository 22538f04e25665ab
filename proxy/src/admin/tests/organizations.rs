//! Every endpoint, asked with the tokens of two organizations.

use super::super::endpoints::{ENDPOINTS, Endpoint};
use super::alerts::alert;
use super::{Answer, House, PATIENCE, ask};
use crate::telemetry::metrics::tests::record;
use narrows_ledger::{
    AlertFilter, Entry, EntryFilter, EntryKind, NewAdminToken, NewAlert, NewEntry, NewKey, Record, Role,
};
use narrows_policy::Caller;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How an endpoint is shown to keep to an organization.
enum Probe {
    /// It is about one object; the function names one of the other organization. The text is a body that fits.
    Object(fn(&World) -> &str, &'static str),
    /// Its body names objects; the function names one of the other organization, the text is a body with `{id}` for it.
    Named(fn(&World) -> &str, &'static str),
    /// It answers with what belongs to an organization; the other's name must not be in it.
    List,
    /// It makes something for an organization; the texts are bodies that fit, the second for the other organization.
    Creates(&'static str, &'static str),
    /// It is about the gateway as a whole: not for a token of one organization.
    Whole,
    /// It is about prompts and answers: not for a token that may change things; `tests/content.rs` asks the others. The text
    /// is a body that fits.
    Content(&'static str),
    /// It says the same to everybody, and nothing about anybody.
    Same,
}

/// How entries of the directory are made.
const ENTRY: Probe = Probe::Creates(r#"{"name": "new"}"#, r#"{"name": "new", "organization": "umbra"}"#);

/// Whoever adds an endpoint says here how it keeps to an organization.
const PROBES: &[(&str, &str, Probe)] = &[
    ("get", "/admin/v1/keys", Probe::List),
    (
        "post",
        "/admin/v1/keys",
        Probe::Creates(r#"{"name": "new"}"#, r#"{"name": "new", "organization": "umbra"}"#),
    ),
    (
        "post",
        "/admin/v1/keys/bulk",
        Probe::Creates(
            r#"{"keys": [{"name": "new-1"}]}"#,
            r#"{"keys": [{"name": "new-2"}, {"name": "new-3", "organization": "umbra"}]}"#,
        ),
    ),
    ("post", "/admin/v1/keys/bulk/disable", Probe::Named(World::key, r#"{"ids": ["{id}"]}"#)),
    ("get", "/admin/v1/keys/{id}", Probe::Object(World::key, "")),
    ("delete", "/admin/v1/keys/{id}", Probe::Object(World::key, "")),
    ("post", "/admin/v1/keys/{id}/disable", Probe::Object(World::key, "")),
    ("post", "/admin/v1/keys/{id}/enable", Probe::Object(World::key, "")),
    ("post", "/admin/v1/keys/{id}/rotate", Probe::Object(World::key, "{}")),
    ("get", "/admin/v1/tokens", Probe::List),
    (
        "post",
        "/admin/v1/tokens",
        Probe::Creates(r#"{"name": "new"}"#, r#"{"name": "new", "organization": "umbra"}"#),
    ),
    ("get", "/admin/v1/tokens/{id}", Probe::Object(World::token, "")),
    ("delete", "/admin/v1/tokens/{id}", Probe::Object(World::token, "")),
    ("get", "/admin/v1/organizations", Probe::List),
    ("post", "/admin/v1/organizations", Probe::Whole),
    ("get", "/admin/v1/organizations/{id}", Probe::Object(World::organization, "")),
    ("patch", "/admin/v1/organizations/{id}", Probe::Whole),
    ("delete", "/admin/v1/organizations/{id}", Probe::Whole),
    ("get", "/admin/v1/users", Probe::List),
    ("post", "/admin/v1/users", ENTRY),
    ("get", "/admin/v1/users/{id}", Probe::Object(World::user, "")),
    ("patch", "/admin/v1/users/{id}", Probe::Object(World::user, "{}")),
    ("delete", "/admin/v1/users/{id}", Probe::Object(World::user, "")),
    ("get", "/admin/v1/service-accounts", Probe::List),
    ("post", "/admin/v1/service-accounts", ENTRY),
    ("get", "/admin/v1/service-accounts/{id}", Probe::Object(World::service_account, "")),
    ("patch", "/admin/v1/service-accounts/{id}", Probe::Object(World::service_account, "{}")),
    ("delete", "/admin/v1/service-accounts/{id}", Probe::Object(World::service_account, "")),
    ("get", "/admin/v1/teams", Probe::List),
    ("post", "/admin/v1/teams", ENTRY),
    ("get", "/admin/v1/teams/{id}", Probe::Object(World::team, "")),
    ("patch", "/admin/v1/teams/{id}", Probe::Object(World::team, "{}")),
    ("delete", "/admin/v1/teams/{id}", Probe::Object(World::team, "")),
    ("get", "/admin/v1/projects", Probe::List),
    ("post", "/admin/v1/projects", ENTRY),
    ("get", "/admin/v1/projects/{id}", Probe::Object(World::project, "")),
    ("patch", "/admin/v1/projects/{id}", Probe::Object(World::project, "{}")),
    ("delete", "/admin/v1/projects/{id}", Probe::Object(World::project, "")),
    ("get", "/admin/v1/usage", Probe::List),
    ("get", "/admin/v1/records", Probe::List),
    ("get", "/admin/v1/records/{id}", Probe::Object(World::record, "")),
    ("get", "/admin/v1/records/{id}/content", Probe::Content("")),
    ("get", "/admin/v1/content", Probe::Content("")),
    ("get", "/admin/v1/content/export", Probe::Content("")),
    ("post", "/admin/v1/content/erasures", Probe::Content(r#"{"user": "umbra-user", "reason": "x"}"#)),
    ("get", "/admin/v1/content/holds", Probe::Content("")),
    ("post", "/admin/v1/content/holds", Probe::Content(r#"{"reason": "x"}"#)),
    ("get", "/admin/v1/content/holds/{id}", Probe::Content("")),
    ("post", "/admin/v1/content/holds/{id}/release", Probe::Content(r#"{"reason": "x"}"#)),
    ("get", "/admin/v1/coverage", Probe::List),
    ("get", "/admin/v1/alerts", Probe::List),
    ("post", "/admin/v1/alerts/ack", Probe::Named(World::alert, r#"{"ids": ["{id}"]}"#)),
    ("get", "/admin/v1/alerts/{id}", Probe::Object(World::alert, "")),
    ("post", "/admin/v1/alerts/{id}/ack", Probe::Object(World::alert, "")),
    ("get", "/admin/v1/decisions", Probe::List),
    ("get", "/admin/v1/audit", Probe::List),
    ("get", "/admin/v1/config", Probe::Whole),
    ("post", "/admin/v1/config/reload", Probe::Whole),
    ("get", "/admin/v1/budgets", Probe::Whole),
    ("get", "/admin/v1/budgets/{name}", Probe::Whole),
    ("put", "/admin/v1/budgets/{name}", Probe::Whole),
    ("delete", "/admin/v1/budgets/{name}", Probe::Whole),
    ("get", "/admin/v1/limits", Probe::Whole),
    ("get", "/admin/v1/limits/{name}", Probe::Whole),
    ("put", "/admin/v1/limits/{name}", Probe::Whole),
    ("delete", "/admin/v1/limits/{name}", Probe::Whole),
    ("get", "/admin/v1/prices", Probe::Whole),
    ("get", "/admin/v1/exchanges", Probe::List),
    ("get", "/admin/v1/targets", Probe::Whole),
    ("get", "/admin/v1/targets/{id}", Probe::Whole),
    ("post", "/admin/v1/targets/{id}/drain", Probe::Whole),
    ("post", "/admin/v1/targets/{id}/disable", Probe::Whole),
    ("post", "/admin/v1/targets/{id}/enable", Probe::Whole),
    ("get", "/admin/v1/status", Probe::List),
    ("get", "/admin/v1/openapi.json", Probe::Same),
];

/// Two organizations: `acme`, who asks, and `umbra`, whose things are to be kept from it.
struct World {
    house: House,
    acme: String,
    acme_reads: String,
    umbra: String,
    expired: String,
    revoked: String,
    /// Objects of umbra.
    key: String,
    token: String,
    record: String,
    alert: String,
    /// By kind, in the order of the kinds.
    entries: [String; 5],
}

impl World {
    fn new() -> World {
        let house = House::new();
        let ledger = &house.gateway.ledger;
        let create = |name: &str, organization: &str, role, expires_at_us| {
            let organization = Some(organization.to_owned());
            let new = NewAdminToken { name: name.to_owned(), organization, role, expires_at_us };
            let created = ledger.create_admin_token(&new, "test").unwrap();
            (created.info.id, created.token.expose().to_owned())
        };
        let (_, acme) = create("acme-writes", "acme", Role::Write, None);
        let (_, acme_reads) = create("acme-reads", "acme", Role::Read, None);
        let (_, umbra) = create("umbra-writes", "umbra", Role::Write, None);
        let (_, expired) = create("old", "acme", Role::Write, Some(1));
        let (revoked_id, revoked) = create("gone", "acme", Role::Write, None);
        ledger.revoke_admin_token(&revoked_id, "test").unwrap();
        let (token, _) = create("umbra-other", "umbra", Role::Read, None);
        let key = |organization: &str| {
            let new = NewKey {
                name: format!("{organization}-key"),
                organization: organization.to_owned(),
                ..NewKey::default()
            };
            ledger.create_key(&new, "test").unwrap().info.id
        };
        key("acme");
        let key = key("umbra");
        let entries = |organization: &str| {
            EntryKind::ALL.map(|kind| {
                let organizations = kind == EntryKind::Organization;
                let name = if organizations { organization.to_owned() } else { format!("{organization}-x") };
                ledger.create_entry(&NewEntry::new(kind, organization, &name), "test").unwrap().id
            })
        };
        entries("acme");
        let entries = entries("umbra");
        for (id, organization) in [(1, "acme"), (2, "umbra")] {
            let caller = Caller {
                organization: organization.to_owned(),
                user: Some(format!("{organization}-user")),
                ..Caller::default()
            };
            let caller = Arc::new(caller);
            ledger.submit(Record { id, caller: Arc::clone(&caller), ..record() });
            assert!(ledger.raise_alert(NewAlert { id, caller, ..alert() }));
        }
        ledger.flush(PATIENCE).unwrap();
        let record = uuid::Uuid::from_u128(2).to_string();
        let alert = record.clone();
        World { house, acme, acme_reads, umbra, expired, revoked, key, token, record, alert, entries }
    }

    fn organization(&self) -> &str {
        &self.entries[0]
    }

    fn user(&self) -> &str {
        &self.entries[1]
    }

    fn service_account(&self) -> &str {
        &self.entries[2]
    }

    fn team(&self) -> &str {
        &self.entries[3]
    }

    fn project(&self) -> &str {
        &self.entries[4]
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn token(&self) -> &str {
        &self.token
    }

    fn record(&self) -> &str {
        &self.record
    }

    fn alert(&self) -> &str {
        &self.alert
    }

    /// Everything that belongs to umbra, but for when its tokens were used.
    fn umbras(&self) -> String {
        let ledger = &self.house.gateway.ledger;
        let keys = ledger.list_keys(true).unwrap();
        let keys: Vec<_> = keys.iter().filter(|info| info.organization == "umbra").collect();
        let mut tokens = ledger.list_admin_tokens().unwrap();
        tokens.retain(|info| info.organization.as_deref() == Some("umbra"));
        tokens.iter_mut().for_each(|info| info.last_used_at_us = None);
        let theirs = AlertFilter { organization: Some("umbra".into()), ..AlertFilter::default() };
        let alerts = ledger.alerts(&theirs, 100, None).unwrap();
        let entries = self.entries();
        format!("{keys:?} {tokens:?} {alerts:?} {entries:?}")
    }

    /// The directory of umbra.
    fn entries(&self) -> Vec<Entry> {
        let ledger = &self.house.gateway.ledger;
        let of = |kind| {
            let filter = EntryFilter { organization: Some("umbra".into()), ..EntryFilter::all(kind) };
            ledger.list_entries(&filter, 100, None).unwrap().entries
        };
        EntryKind::ALL.into_iter().flat_map(of).collect()
    }

    /// The path of an endpoint about umbra's object, and a body that fits.
    fn aimed(&self, endpoint: &Endpoint, probe: &Probe) -> (String, String) {
        let path = endpoint.path.to_owned();
        match probe {
            Probe::Object(id, body) => (path.replace("{id}", id(self)), (*body).to_owned()),
            Probe::Named(id, body) => (path, body.replace("{id}", id(self))),
            Probe::Creates(body, _) => (path, (*body).to_owned()),
            Probe::Content(body) => (path.replace("{id}", self.record()), (*body).to_owned()),
            Probe::List | Probe::Whole | Probe::Same => (path, String::new()),
        }
    }

    fn ask(&self, token: &str, endpoint: &Endpoint, path: &str, body: &str) -> Answer {
        self.house.ask_as(token, &endpoint.method.to_ascii_uppercase(), path, body)
    }
}

/// Whether an answer has sums without anybody's name, unless it is asked for.
fn says_no_names(path: &str) -> bool {
    path.ends_with("/usage") || path.ends_with("/decisions") || path.ends_with("/exchanges")
}

fn probe(endpoint: &Endpoint) -> &'static Probe {
    let found = PROBES.iter().find(|(method, path, _)| (*method, *path) == (endpoint.method, endpoint.path));
    &found.unwrap_or_else(|| panic!("say in PROBES how {} {} answers", endpoint.method, endpoint.path)).2
}

#[test]
fn every_endpoint_has_a_probe() {
    let endpoints: BTreeSet<_> = ENDPOINTS.iter().map(|endpoint| (endpoint.method, endpoint.path)).collect();
    let probes: BTreeSet<_> = PROBES.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(endpoints, probes);
    assert_eq!(endpoints.len(), ENDPOINTS.len(), "an endpoint is listed twice");
    for endpoint in ENDPOINTS {
        let whole = matches!(probe(endpoint), Probe::Whole);
        assert_eq!(endpoint.needs.whole, whole, "{} {}", endpoint.method, endpoint.path);
        let role = match (probe(endpoint), endpoint.method) {
            (Probe::Content(_), _) => Role::Content,
            (_, "get") => Role::Read,
            _ => Role::Write,
        };
        assert_eq!(endpoint.needs.role, role, "{} {}", endpoint.method, endpoint.path);
    }
}

#[test]
fn no_endpoint_answers_without_a_token_that_may_be_used() {
    let world = World::new();
    for endpoint in ENDPOINTS {
        let (path, body) = world.aimed(endpoint, probe(endpoint));
        let method = endpoint.method.to_ascii_uppercase();
        let without = ask(world.house.admin, &method, &path, "", &body);
        assert_eq!(without.refusal(401).0, "unauthorized", "{method} {path}");
        for (token, word) in [(&world.expired, "expired"), (&world.revoked, "revoked")] {
            let (code, message) = world.ask(token, endpoint, &path, &body).refusal(401);
            assert!(code == "unauthorized" && message.contains(word), "{method} {path}: {message}");
        }
    }
}

#[test]
fn no_endpoint_changes_anything_for_a_token_that_may_only_read() {
    let world = World::new();
    let dump = || {
        let ledger = &world.house.gateway.ledger;
        let tokens = ledger.list_admin_tokens().unwrap().len();
        let alerts = ledger.alerts(&AlertFilter::default(), 100, None).unwrap();
        let keys = ledger.list_keys(true).unwrap();
        format!("{keys:?} {tokens} {alerts:?} {:x}", world.house.gateway.snapshot().hash)
    };
    let before = dump();
    let own = world.house.gateway.ledger.list_keys(false).unwrap();
    let own = own.iter().find(|info| info.organization == "acme").unwrap();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.needs.role == Role::Write) {
        let (_, body) = world.aimed(endpoint, probe(endpoint));
        let path = endpoint.path.replace("{id}", &own.id);
        let (code, message) = world.ask(&world.acme_reads, endpoint, &path, &body).refusal(403);
        assert_eq!(code, "role_refused", "{path}");
        assert!(message.contains("`write`") && message.contains(endpoint.path), "{message}");
    }
    assert_eq!(dump(), before);
    assert_eq!(world.house.ask_as(&world.acme_reads, "GET", "/admin/v1/keys", "").status, 200);
}

#[test]
fn nothing_of_another_organization_is_read_or_changed() {
    let world = World::new();
    let before = world.umbras();
    let mut same = Vec::new();
    for endpoint in ENDPOINTS {
        let probe = probe(endpoint);
        let (path, body) = world.aimed(endpoint, probe);
        let answer = world.ask(&world.acme, endpoint, &path, &body);
        let shown = format!("{} {path}: {} {}", endpoint.method, answer.status, answer.body);
        match probe {
            Probe::Object(..) | Probe::Named(..) => {
                assert_eq!(answer.status, 404, "{shown}");
                // As for an object that never was.
                let never = |text: &str| {
                    let mut text =
                        text.replace(world.key(), "000000000000").replace(world.token(), "000000000000");
                    for id in &world.entries {
                        text = text.replace(id, "000000000000");
                    }
                    text.replace(world.record(), "00000000-0000-7000-8000-000000000000")
                };
                let code = world.ask(&world.acme, endpoint, &never(&path), &never(&body)).refusal(404).0;
                assert_eq!(answer.refusal(404).0, code, "{shown}");
            }
            Probe::List => {
                assert_eq!(answer.status, 200, "{shown}");
                assert!(!answer.body.contains("umbra"), "{shown}");
                assert!(answer.body.contains("acme") || says_no_names(&path), "{shown}");
                if !path.ends_with("/keys") && !path.ends_with("/tokens") && !path.ends_with("/status") {
                    let aimed = format!("{path}?organization=umbra");
                    let refused = world.ask(&world.acme, endpoint, &aimed, &body);
                    assert_eq!(refused.refusal(403).0, "organization_refused", "{aimed}");
                }
            }
            Probe::Creates(_, theirs) => {
                let made = answer.json();
                let one = made.get("keys").map_or(&made, |keys| &keys[0]);
                assert_eq!(one["organization"], "acme", "{shown}");
                let refused = world.ask(&world.acme, endpoint, &path, theirs);
                assert_eq!(refused.refusal(403).0, "organization_refused", "{path}");
            }
            Probe::Whole => assert_eq!(answer.refusal(403).0, "organization_refused", "{shown}"),
            Probe::Content(_) => assert_eq!(answer.refusal(403).0, "role_refused", "{shown}"),
            Probe::Same => same.push((endpoint, answer.body)),
        }
    }
    assert_eq!(world.umbras(), before);
    for (endpoint, body) in same {
        assert_eq!(world.ask(&world.umbra, endpoint, endpoint.path, "").body, body);
        assert!(!body.contains("umbra"));
    }
    let usage = world.house.ask_as(&world.acme, "GET", "/admin/v1/usage?by=organization", "").ok();
    let organizations: Vec<&Value> =
        usage["usage"].as_array().unwrap().iter().map(|row| &row["organization"]).collect();
    assert_eq!(organizations, ["acme"]);
}

#[test]
fn everything_of_ones_own_organization_is_there() {
    let world = World::new();
    for endpoint in ENDPOINTS {
        let probe = probe(endpoint);
        if matches!(probe, Probe::Whole | Probe::Content(_)) {
            continue;
        }
        // What is deleted or revoked is gone for the rest: a world for each.
        let world = World::new();
        let (path, body) = world.aimed(endpoint, probe);
        let answer = world.ask(&world.umbra, endpoint, &path, &body);
        assert!(matches!(answer.status, 200 | 201), "{} {path}: {}", endpoint.method, answer.body);
        let says = matches!(probe, Probe::Same) || says_no_names(&path) || answer.body.contains("umbra");
        assert!(says, "{} {path}: {}", endpoint.method, answer.body);
    }
    // And a token of every organization sees both.
    for path in
        ["/admin/v1/keys", "/admin/v1/tokens", "/admin/v1/records", "/admin/v1/alerts", "/admin/v1/audit"]
    {
        let body = world.house.get(path).body;
        assert!(body.contains("acme") && body.contains("umbra"), "{path}");
    }
}
