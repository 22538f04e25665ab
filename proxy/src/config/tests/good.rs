use super::*;
use crate::config::path::Path;
use std::time::Duration;

const SMALL: &str = "version: 1\nproviders:\n  openai: {kind: openai, api_key: '${KEY}'}\n";

#[test]
fn a_small_file_has_every_default() {
    let settings = read(SMALL).unwrap().settings;
    assert_eq!(&*settings.organization, "default");
    assert_eq!(settings.listen.gateway.len(), 1);
    assert_eq!(settings.listen.gateway[0].address.to_string(), "127.0.0.1:8080");
    assert!(settings.listen.gateway[0].h2 && settings.listen.gateway[0].tls.is_none());
    assert_eq!(settings.listen.metrics.address.to_string(), "127.0.0.1:9464");
    assert_eq!(settings.listen.admin.as_ref().unwrap().address.to_string(), "127.0.0.1:9465");
    assert!(settings.workers >= 1);
    assert_eq!(settings.store.path, PathBuf::from("narrows.db"));
    assert_eq!((settings.records.audit, settings.records.queue), (Audit::BestEffort, 65536));
    assert_eq!(settings.records.json, JsonRecords::None);
    assert_eq!((settings.log.level, settings.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!(settings.limits.request_body, 32 << 20);
    assert_eq!(settings.limits.buffered_bodies, 512 << 20);
    assert_eq!(settings.limits.metered_copy, 8 << 20);
    assert_eq!((settings.limits.connections, settings.limits.keepalive_pool), (65536, 1024));
    assert_eq!(settings.timeouts.connect, Duration::from_secs(5));
    assert_eq!(settings.timeouts.shutdown_grace, Duration::from_secs(30));
    assert_eq!(settings.dns.ttl_max, Duration::from_secs(300));
    let provider = settings.provider("openai").unwrap();
    assert_eq!(revealed(provider), "sk-canary-0123");
    assert_eq!(provider.server_name.as_deref(), Some("api.openai.com"));
    assert_eq!(provider.timeouts, settings.timeouts);
    assert!(provider.models.iter().any(|pattern| pattern.matches("gpt-4o")));
    assert_eq!(provider.client_credentials, ClientCredentials::Refuse);
    assert_eq!(provider.ask_for_usage, AskForUsage::Auto);
}

#[test]
fn as_many_exchanges_share_a_connection_as_may_at_most() {
    let text = SMALL.replace("kind: openai,", "kind: openai, http2: auto, http2_streams: 1000,");
    assert!(read(&text).unwrap().settings.provider("openai").is_some());
}

#[test]
fn every_default_reads_without_a_problem() {
    use crate::config::form::{Field, Presence, Shape};
    fn fields(shape: &Shape, out: &mut Vec<Field>) {
        match shape {
            Shape::Group(group) => {
                for field in &group.fields {
                    out.push(field.clone());
                    fields(&field.shape, out);
                }
            }
            Shape::List(inner) | Shape::Map { value: inner, .. } => fields(inner, out),
            Shape::Either(shapes) => shapes.iter().for_each(|shape| fields(shape, out)),
            Shape::Scalar { .. } | Shape::Words(_) => {}
        }
    }
    let mut all = Vec::new();
    fields(&Document::shape(), &mut all);
    assert!(all.len() > 60);
    for field in all {
        assert!(field.doc.len() > 3 && field.doc.ends_with('.'), "{} has no sentence", field.name);
        if let Presence::Default(text) = field.presence {
            assert_eq!(tree::parse("", text).1, [], "{}", field.name);
        }
    }
}

#[test]
fn providers_override_what_is_general() {
    let text = "version: 1\ntimeouts: {connect: 1s, idle: 2m}\nproviders:\n  local:\n    kind: openai\n    \
                base_url: https://10.0.0.5:8443/v1/\n    server_name: Models.internal\n    models: ['llama-*', o3]\n    \
                timeouts: {idle: 10m}\n    headers: {X-Team: canary}\n    client_credentials: pass\n    \
                ask_for_usage: never\n";
    let settings = read(text).unwrap().settings;
    let provider = settings.provider("local").unwrap();
    assert_eq!(provider.timeouts.connect, Duration::from_secs(1));
    assert_eq!(provider.timeouts.idle, Duration::from_secs(600));
    assert_eq!(settings.timeouts.idle, Duration::from_secs(120));
    assert_eq!(provider.server_name.as_deref(), Some("models.internal"));
    assert_eq!(provider.base_url.to_string(), "https://10.0.0.5:8443/v1");
    assert_eq!(provider.headers[0].0.as_str(), "x-team");
    assert_eq!(provider.headers[0].1.to_str().unwrap(), "canary");
    assert_eq!(provider.models.iter().map(Pattern::as_str).collect::<Vec<_>>(), ["llama-*", "o3"]);
}

#[test]
fn aliases_lead_to_models_also_through_aliases() {
    let text = format!(
        "{SMALL}models:\n  fast: openai/gpt-4o-mini\n  best: fast\n  x: {{provider: openai, model: a/b}}\n"
    );
    let settings = read(&text).unwrap().settings;
    let found: Vec<_> =
        settings.aliases.iter().map(|alias| (&*alias.name, &*alias.provider, &*alias.model)).collect();
    assert_eq!(
        found,
        [("fast", "openai", "gpt-4o-mini"), ("best", "openai", "gpt-4o-mini"), ("x", "openai", "a/b")]
    );
}

#[test]
fn a_way_into_a_circle_is_no_second_circle() {
    let problems = read(&format!("{SMALL}models: {{in: a, a: b, b: a}}")).unwrap_err();
    let paths: Vec<_> = problems.as_slice().iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["models.a", "models.b"]);
}

#[test]
fn anonymous_callers_belong_to_the_organization() {
    let text =
        format!("organization: acme\n{SMALL}anonymous:\n  - {{providers: [openai], caller: {{team: t}}}}\n");
    let loaded = read(&text).unwrap();
    let caller = &loaded.settings.anonymous[0].caller;
    assert_eq!((caller.organization.as_str(), caller.team.as_deref()), ("acme", Some("t")));
    assert_eq!(caller.kind, narrows_policy::CallerKind::Anonymous);
    assert!(loaded.warnings.iter().any(|warning| warning.path == "anonymous[0]"));
}

#[test]
fn the_admin_listener_can_be_closed() {
    let loaded = read(&format!("{SMALL}listen: {{admin: off}}")).unwrap();
    assert_eq!(loaded.settings.listen.admin, None);
    assert_eq!(loaded.to_json()["listen"]["admin"], "off");
}

#[test]
fn relative_paths_start_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "from-file\r\n").unwrap();
    let file = folder.path().join("n.yaml");
    std::fs::write(&file, "version: 1\nproviders:\n  o: {kind: openai, api_key: 'file:key'}\n").unwrap();
    let settings = load(&file).unwrap().settings;
    assert_eq!(settings.store.path, folder.path().join("narrows.db"));
    assert_eq!(revealed(&settings.providers[0]), "from-file");
}

#[test]
fn the_store_is_found_without_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.yaml");
    let text =
        "version: 1\nstore: {path: s.db}\nproviders:\n  o: {kind: openai, api_key: '${NARROWS_NO_SUCH}'}\n";
    std::fs::write(&file, text).unwrap();
    assert!(load(&file).is_err());
    assert_eq!(load_store(&file).unwrap().store.path, folder.path().join("s.db"));
    std::fs::write(&file, "version: 1\nstore: {path: ''}\n").unwrap();
    assert!(load_store(&file).unwrap_err().to_string().contains("store.path"));
}

#[test]
fn secrets_and_values_of_the_environment_show_nowhere() {
    let text = format!(
        "{SMALL}  other:\n    kind: openai\n    base_url: http://127.0.0.1:${{PORT}}/v1\n    api_key: literal-canary\n    \
         headers: {{x-token: canary-header, x-more: '${{WORD}}'}}\norganization: ${{WORD}}\n"
    );
    let loaded = read(&text).unwrap();
    assert_eq!(&*loaded.settings.organization, "canary");
    let yaml = loaded.to_yaml();
    for shown in [yaml.clone(), loaded.to_json().to_string(), format!("{:?}", loaded.settings.providers)] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert!(!loaded.warnings.iter().any(|warning| warning.to_string().contains("canary")));
    assert!(yaml.contains("organization: \"${WORD}\""), "{yaml}");
    assert!(yaml.contains("base_url: \"http://127.0.0.1:${PORT}/v1\""), "{yaml}");
    assert!(yaml.contains("api_key: \"[redacted]\""), "{yaml}");
}

#[test]
fn what_is_shown_is_a_configuration_again() {
    let text = format!(
        "{SMALL}models: {{fast: openai/x}}\nanonymous: [{{providers: [openai], caller: {{user: u}}}}]\n"
    );
    let loaded = read(&text).unwrap();
    let again = read(&loaded.to_yaml()).unwrap_or_else(|problems| panic!("{problems}\n{}", loaded.to_yaml()));
    assert_eq!(again.settings.timeouts, loaded.settings.timeouts);
    assert_eq!(again.settings.aliases, loaded.settings.aliases);
    assert_eq!(again.settings.snapshot, loaded.settings.snapshot);
}

#[test]
fn the_snapshot_follows_content_and_not_secrets_or_order() {
    let snapshot = |text: &str| read(text).unwrap().settings.snapshot;
    let base = snapshot(SMALL);
    assert_eq!(base, snapshot("providers: {openai: {api_key: another, kind: openai}}\nversion: 1\n"));
    assert_eq!(base, snapshot(&format!("{SMALL}# a comment\ntimeouts: {{connect: 5000ms}}\n")));
    assert_ne!(base, snapshot(&format!("{SMALL}timeouts: {{connect: 6s}}\n")));
    assert_ne!(base, snapshot(&SMALL.replace("openai:", "other:")));
}

#[test]
fn risks_are_named_with_their_place() {
    let text = "version: 1\nlisten: {gateway: [{address: 0.0.0.0:8080}]}\nproviders:\n  a: {kind: openai, api_key: literal}\n  \
                b: {kind: openai, base_url: 'http://models/v1'}\n  c: {kind: openai, client_credentials: pass, models: []}\n";
    let warnings = read(text).unwrap().warnings;
    let found: Vec<_> = warnings.iter().map(|warning| (warning.line, warning.path.as_str())).collect();
    for expected in [
        (2, "listen.gateway[0].address"),
        (4, "providers.a.api_key"),
        (5, "providers.b.base_url"),
        (5, "providers.b"),
        (5, "providers.b.models"),
        (6, "providers.c.client_credentials"),
    ] {
        assert!(found.contains(&expected), "{expected:?} is not in {found:?}");
    }
    // However many models a kind has.
    assert_eq!(found.iter().filter(|(_, path)| *path == "providers.b.models").count(), 1, "{warnings:#?}");
    assert_eq!(read(SMALL).unwrap().warnings, []);
    assert_eq!(warning::fail_open(&read(SMALL).unwrap().settings).len(), 1);
    let required = read(&format!("{SMALL}records: {{audit: required}}")).unwrap();
    assert_eq!(warning::fail_open(&required.settings).len(), 0);
}

#[test]
fn positions_of_absent_keys_are_those_of_their_group() {
    let (root, _) = tree::parse("f", "a:\n  b: c\n");
    assert_eq!(root.unwrap().position(&Path::of(&["a", "x", "y"])).line, 1);
}

/// The first credential of a provider.
fn revealed(provider: &Provider) -> &str {
    provider.api_key.as_ref().unwrap().0[0].value.as_ref().unwrap().reveal()
}

#[test]
fn a_credential_comes_from_four_places_and_there_may_be_two() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old"), "sk-old\n").unwrap();
    let text = "version: 1\nvault: {address: 'https://vault.example:8200', token: canary-token, namespace: eng}\n\
                providers:\n  a: {kind: openai, api_key: [\"${NEW}\", 'file:old']}\n  \
                b: {kind: openai, api_key: 'store:openai'}\n  \
                c: {kind: openai, api_key: 'vault:secret/team/openai#api_key'}\n  \
                d: {kind: openai, api_key: \"${ODD}\"}\n";
    let variable = |name: &str| match name {
        "NEW" => Some("sk-new".to_owned()),
        // What comes out of a variable is a secret, whatever it looks like.
        "ODD" => Some("vault:looks/like#one".to_owned()),
        _ => None,
    };
    let loaded = parse("n.yaml", folder.path(), text, &variable).unwrap();
    let key = |index: usize| &loaded.settings.providers[index].api_key.as_ref().unwrap().0;
    let values: Vec<_> = key(0).iter().map(|one| one.value.as_ref().unwrap().reveal()).collect();
    assert_eq!(values, ["sk-new", "sk-old"]);
    assert_eq!((&key(1)[0].source, &key(1)[0].value), (&Source::Store("openai".into()), &None));
    let vault = Source::Vault { path: "secret/team/openai".into(), field: "api_key".into() };
    assert_eq!(key(2)[0].source, vault);
    assert_eq!(key(3)[0].value.as_ref().unwrap().reveal(), "vault:looks/like#one");
    let shown = loaded.to_yaml();
    for part in ["store:openai", "vault:secret/team/openai#api_key", "refresh: \"5m\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for secret in ["sk-new", "sk-old", "canary", "looks/like"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[test]
fn a_database_whose_budgets_are_counted_over_redis_is_warned_of_a_redis_that_forgets() {
    let warned = |more: &str| {
        let loaded = read(&format!("{SMALL}{more}")).unwrap();
        loaded.warnings.iter().any(|warning| warning.path == "counters")
    };
    let counters = "counters: {redis: 'unix:/run/redis.sock'}\n";
    let store = "store: {postgres: 'unix:/run/postgresql/narrows'}\n";
    assert!(warned(&format!("{counters}{store}")));
    assert!(!warned(counters) && !warned(store));
}

#[test]
fn content_that_is_kept_wants_a_master_key_and_a_file_without_one_is_warned_of() {
    let warned = |more: &str| {
        let loaded = read(&format!("{SMALL}{more}")).unwrap();
        loaded.warnings.iter().any(|warning| warning.path == "content.keep")
    };
    assert!(warned("content: {keep: [{team: a, retention: 30d}]}\n"));
    assert!(!warned("content: {keep: [{team: a, store: false}]}\n"));
    assert!(!warned(""));
}
