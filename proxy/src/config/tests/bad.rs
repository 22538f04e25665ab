use super::*;

/// A valid file that rows are added to.
const BASE: &str = "version: 1\nproviders:\n  openai: {kind: openai, api_key: k}\n";

struct Row {
    text: String,
    line: usize,
    path: &'static str,
    message: &'static str,
    suggestion: &'static str,
}

/// Lines after [`BASE`], so that the first of them is line 4.
fn after(lines: &str) -> String {
    format!("{BASE}{lines}")
}

/// The keys of one provider called `p`, of which the first is on line 4.
fn provider(lines: &str) -> String {
    format!(
        "version: 1\nproviders:\n  p:\n{}",
        lines.lines().map(|line| format!("    {line}\n")).collect::<String>()
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    let row = |text: String, line, path, message, suggestion| Row { text, line, path, message, suggestion };
    vec![
        // The document.
        row("version: [".into(), 2, "", "not valid YAML", "brackets"),
        row("version: 1\nproviders: {a: ${X}}\n".into(), 2, "", "not valid YAML", "quotes"),
        row(
            "providers: {o: {kind: openai, api_key: k}}".into(),
            1,
            "version",
            "is required",
            "add `version:`",
        ),
        row(BASE.replace("version: 1", "version: 2"), 1, "version", "`2` is not a version", "version: 1"),
        row("version: 1".into(), 1, "providers", "is required", "add `providers:`"),
        row("version: 1\nproviders: {}".into(), 2, "providers", "no provider", "add one"),
        row("version: 1\nproviders:".into(), 2, "providers", "expected a mapping", "name: value"),
        row("- version: 1".into(), 1, "", "expected a mapping, found a list", "version"),
        row(after("workers: 2\nworkers: 3"), 5, "", "`workers` is given twice", "line 4"),
        row(after("provider: x"), 4, "provider", "unknown key", "did you mean `providers`?"),
        row(after("zebra: x"), 4, "zebra", "unknown key", "one of: version, organization"),
        row(after("<<: {a: b}"), 4, "\"<<\"", "unknown key", "merge keys"),
        row(after("---\nversion: 1"), 4, "", "second YAML document", "remove"),
        row(after("organization: ''"), 4, "organization", "is not a text", "not empty"),
        row(after("organization: [a]"), 4, "organization", "expected a text, found a list", "give a text"),
        // HTTP/2 towards providers.
        row(
            provider("{kind: openai, base_url: 'http://h', http2: auto}").replace("p:\n    ", "p: "),
            3,
            "providers.p.http2",
            "no handshake",
            "prior_knowledge",
        ),
        row(
            provider("kind: openai\napi_key: k\nhttp2_ping: 5s"),
            6,
            "providers.p.http2_ping",
            "no effect without HTTP/2",
            "http2: auto",
        ),
        row(
            provider("kind: openai\napi_key: k\nhttp2: auto\nhttp2_streams: 0"),
            7,
            "providers.p.http2_streams",
            "whole number from 1 to 1000",
            "digits",
        ),
        row(
            provider("kind: openai\napi_key: k\nhttp2: auto\nhttp2_streams: 1001"),
            7,
            "providers.p.http2_streams",
            "whole number from 1 to 1000",
            "digits",
        ),
        // The way out.
        row(
            after("egress: {proxy: 'socks5://u:canary@h:1'}"),
            4,
            "egress.proxy",
            "scheme other than http or https",
            "http://host:port",
        ),
        row(after("egress: {no_proxy: [a]}"), 4, "egress.proxy", "is required", "add `proxy:`"),
        row(
            after("egress: {proxy: 'http://h:1', no_proxy: ['10.0.0.0/33']}"),
            4,
            "egress.no_proxy[0]",
            "is not a host",
            "10.0.0.0/8",
        ),
        row(
            after("egress: {proxy: 'http://h:1', ca_file: x.pem}"),
            4,
            "egress.ca_file",
            "no effect on a proxy",
            "https",
        ),
        row(
            provider("kind: openai\nbase_url: 'http://h'\nclient_cert: {cert: a, key: b}"),
            6,
            "providers.p.client_cert",
            "no effect on a plain http URL",
            "https",
        ),
        // Interpolation.
        row(
            after("organization: ${NOPE}"),
            4,
            "organization",
            "variable NOPE is not set",
            "${NOPE:-default}",
        ),
        row(after("organization: ${KEY"), 4, "organization", "without a closing", "${NAME}"),
        row(after("organization: $KEY"), 4, "organization", "a single `$`", "$$"),
        row(
            after("organization: ${not a name}"),
            4,
            "organization",
            "not the name of a variable",
            "underscores",
        ),
        row(
            after("workers: ${WORD}"),
            4,
            "workers",
            "the value of the variable is not a whole number",
            "digits",
        ),
        // Scalars.
        row(after("workers: 0"), 4, "workers", "`0` is not a whole number from 1", "from 1 to 1024"),
        row(after("replicas: 0"), 4, "replicas", "`0` is not a whole number from 1", "from 1 to 1024"),
        row(after("replicas: 1025"), 4, "replicas", "`1025` is not a whole number", "from 1 to 1024"),
        row(after("replicas: 2"), 4, "replicas", "2 gateways that each count alone", "add `counters"),
        row(after("workers: four"), 4, "workers", "`four` is not a whole number", "digits"),
        row(after("timeouts: {connect: 5}"), 4, "timeouts.connect", "`5` is not a duration", "500ms"),
        row(after("timeouts:\n  idle: 0s"), 5, "timeouts.idle", "`0s` is not a duration", "more than 0"),
        row(
            after("trusted_proxies: {from: [10.0.0.1/8]}"),
            4,
            "trusted_proxies.from[0]",
            "is not a network",
            "10.0.0.0/8",
        ),
        row(after("trusted_proxies: {from: []}"), 4, "trusted_proxies.from", "no balancer", "off"),
        row(
            after("listen: {gateway: [{address: '127.0.0.1:1', proxy_protocol: {from: []}}]}"),
            4,
            "listen.gateway[0].proxy_protocol.from",
            "no balancer",
            "off",
        ),
        row(after("timeouts: {total: 8d}"), 4, "timeouts.total", "`8d` is not a duration", "7d"),
        row(after("timeouts: {conect: 5s}"), 4, "timeouts.conect", "unknown key", "did you mean `connect`?"),
        row(after("timeouts: 5s"), 4, "timeouts", "expected a mapping, found a single value", "connect"),
        row(
            after("limits: {request_body: 32 MB}"),
            4,
            "limits.request_body",
            "`32 MB` is not a size",
            "32MiB",
        ),
        row(after("limits:\n  metered_copy: 0"), 5, "limits.metered_copy", "`0` is not a size", "1 byte"),
        row(
            after("limits: {request_body: 1GiB}"),
            4,
            "limits.buffered_bodies",
            "smaller than the largest",
            "raise it",
        ),
        row(after("log: {level: verbose}"), 4, "log.level", "`verbose` is not one of", "error, warn, info"),
        row(after("log: {format: jsno}"), 4, "log.format", "`jsno` is not one of", "did you mean `json`?"),
        row(
            after("records: {audit: best-effort}"),
            4,
            "records.audit",
            "not one of",
            "did you mean `best_effort`?",
        ),
        row(after("records: {queue: 0}"), 4, "records.queue", "`0` is not a whole number", "from 1"),
        row(
            after("records: {json: }"),
            4,
            "records.json",
            "expected a path, found nothing",
            "remove the key",
        ),
        row(
            after("dns: {servers: [one.one]}"),
            4,
            "dns.servers[0]",
            "not the address of a name server",
            "10.0.0.2",
        ),
        row(
            after("dns: {ttl_min: 5m, ttl_max: 5s}"),
            4,
            "dns.ttl_min",
            "longer than the most",
            "at most `ttl_max`",
        ),
        row(after("store: {path: /nope/at/all/n.db}"), 4, "store.path", "does not exist", "create it"),
        row(after("store: {path: .}"), 4, "store.path", "is a folder", "name a file"),
        row(
            after("store: {path: a.db, postgres: 'postgres://localhost/n'}"),
            4,
            "store.path",
            "a file or a database",
            "remove `path`",
        ),
        row(
            after("store: {postgres: 'postgres://db.example/n'}"),
            4,
            "store.postgres",
            "asks for no password",
            "add `password",
        ),
        row(after("store: {username: x}"), 4, "store.username", "a file has no user", "add `postgres"),
        row(
            after("store: {postgres: 'unix:/run/postgresql/n', tls: verify-full}"),
            4,
            "store.tls",
            "no TLS at a socket",
            "remove it",
        ),
        row(
            after("store: {postgres: 'postgres://localhost/n', ca_file: x.pem}"),
            4,
            "store.ca_file",
            "not asked over TLS",
            "verify-full",
        ),
        // Listeners.
        row(after("listen: {gateway: []}"), 4, "listen.gateway", "no listener", "add one"),
        row(
            after("listen: {gateway: [{}]}"),
            4,
            "listen.gateway[0].address",
            "is required",
            "add `address:`",
        ),
        row(after("listen: {gateway: {address: x}}"), 4, "listen.gateway", "expected a list", "- "),
        row(
            after("listen:\n  gateway:\n    - address: localhost:8080"),
            6,
            "listen.gateway[0].address",
            "not an address with a port",
            "127.0.0.1:8080",
        ),
        row(
            after("listen: {gateway: [{address: '[::]:9464'}]}"),
            4,
            "listen.metrics.address",
            "already taken",
            "own port",
        ),
        row(
            after("listen: {admin: {address: 0.0.0.0:9999}}"),
            4,
            "listen.admin.address",
            "outside the loopback interface needs TLS",
            "tls:",
        ),
        row(after("listen: {admin: on}"), 4, "listen.admin", "expected a mapping", "address"),
        row(
            after("listen: {gateway: [{address: 127.0.0.1:1, tls: {cert: nope.pem, key: nope.key}}]}"),
            4,
            "listen.gateway[0].tls.cert",
            "cannot read",
            "may read it",
        ),
        row(
            after("listen: {gateway: [{address: 127.0.0.1:1, h2: maybe}]}"),
            4,
            "listen.gateway[0].h2",
            "`maybe` is not true or false",
            "true or false",
        ),
        // Providers.
        row(
            provider("kind: opnai\napi_key: k"),
            4,
            "providers.p.kind",
            "not one of",
            "did you mean `openai`?",
        ),
        row(provider("api_key: k"), 4, "providers.p.kind", "is required", "add `kind:`"),
        row(provider("kind: openai"), 3, "providers.p", "no credential", "api_key"),
        row(
            provider("kind: openai\napi_key: ${EMPTY}"),
            5,
            "providers.p.api_key",
            "the secret is empty",
            "variable",
        ),
        row(
            provider("kind: openai\napi_key: file:/nope/x"),
            5,
            "providers.p.api_key",
            "cannot read /nope/x",
            "path",
        ),
        row(provider("kind: openai\napi_key: a b"), 5, "providers.p.api_key", "holds blanks", "one line"),
        row(
            provider("kind: openai\napi_key: nrw_abc"),
            5,
            "providers.p.api_key",
            "virtual key",
            "provider gave you",
        ),
        row(
            provider("kind: openai\napi_key: k\nbase_url: api.x.com"),
            6,
            "providers.p.base_url",
            "absolute",
            "https://",
        ),
        row(
            provider("kind: openai\napi_key: k\nbase_url: ${URL}"),
            6,
            "providers.p.base_url",
            "password",
            "scheme, host",
        ),
        row(
            provider("kind: openai\napi_key: k\nbase_url: https://h/v1?k=v"),
            6,
            "providers.p.base_url",
            "query",
            "only",
        ),
        row(
            provider("kind: openai\napi_key: k\nbase_url: https://10.0.0.1/v1"),
            6,
            "providers.p.base_url",
            "names nobody to verify",
            "server_name",
        ),
        row(
            provider("kind: openai\nbase_url: http://h/v1\nserver_name: h"),
            6,
            "providers.p.server_name",
            "no effect on a plain http",
            "https",
        ),
        row(
            provider("kind: openai\napi_key: k\nserver_name: 10.0.0.1"),
            6,
            "providers.p.server_name",
            "DNS name",
            "api.",
        ),
        row(
            provider("kind: openai\napi_key: k\nca_file: nope.pem"),
            6,
            "providers.p.ca_file",
            "cannot read",
            "path",
        ),
        row(provider("kind: azure\napi_key: k"), 3, "providers.p.base_url", "no public address", "https"),
        row(
            provider("kind: openai\napi_key: k\nheaders: {Authorization: x}"),
            6,
            "providers.p.headers.Authorization",
            "set by the gateway",
            "api_key",
        ),
        row(
            provider("kind: openai\napi_key: k\nheaders: {a b: x}"),
            6,
            "providers.p.headers.\"a b\"",
            "name of a",
            "dashes",
        ),
        row(
            provider("kind: openai\napi_key: k\nmodels: ['a b']"),
            6,
            "providers.p.models[0]",
            "name of a model",
            "gpt-*",
        ),
        row(
            provider("kind: openai\napi_key: k\nclient_credentials: yes"),
            6,
            "providers.p.client_credentials",
            "not one",
            "pass",
        ),
        row(
            provider("kind: openai\napi_key: k\ntimeouts: {request_body: 5s}"),
            6,
            "providers.p.timeouts.request_body",
            "unknown key",
            "connect",
        ),
        row(
            "version: 1\nproviders:\n  My Provider: {kind: ollama}".into(),
            3,
            "providers.\"My Provider\"",
            "not a name",
            "lower",
        ),
        row(
            "version: 1\nproviders:\n  v1: {kind: ollama}".into(),
            3,
            "providers.v1",
            "beginning of a path",
            "another",
        ),
        row(
            "version: 1\nproviders:\n  gemini: {kind: ollama}".into(),
            3,
            "providers.gemini",
            "does not speak",
            "another name",
        ),
        row(
            provider("kind: openai\napi_key: k\napi_version: v"),
            6,
            "providers.p.api_version",
            "takes no version",
            "remove",
        ),
        // Aliases.
        row(
            after("models: {a: opnai/x}"),
            4,
            "models.a",
            "no provider is called `opnai`",
            "did you mean `openai`?",
        ),
        row(
            after("models:\n  a: {provider: x, model: y}"),
            5,
            "models.a.provider",
            "no provider is called `x`",
            "openai",
        ),
        row(after("models:\n  a: {model: y}"), 5, "models.a.provider", "is required", "provider"),
        row(
            after("models: {a: gpt-4o}"),
            4,
            "models.a",
            "no other alias is called `gpt-4o`",
            "openai/gpt-4o-mini",
        ),
        row(
            after("models: {a: openai/}"),
            4,
            "models.a",
            "provider or model is missing",
            "openai/gpt-4o-mini",
        ),
        row(
            after("models: {'a*': openai/x}"),
            4,
            "models.\"a*\"",
            "not a name for a model",
            "without blanks",
        ),
        row(after("models: {a: b, b: c, c: a}"), 4, "models.a", "circle: a → b → c → a", "provider/model"),
        row(after("models:\n  a: a"), 5, "models.a", "circle: a → a", "provider/model"),
        // Anonymous routes.
        row(
            after("anonymous:\n  - {providers: [olama], caller: {team: t}}"),
            5,
            "anonymous[0].providers[0]",
            "no provider is called `olama`",
            "openai",
        ),
        row(
            after("anonymous: [{providers: [], caller: {team: t}}]"),
            4,
            "anonymous[0].providers",
            "no provider",
            "name one",
        ),
        row(
            after("anonymous: [{providers: [openai], caller: {}}]"),
            4,
            "anonymous[0].caller",
            "nobody is named",
            "team",
        ),
        row(
            after("anonymous: [{providers: [openai], caller: {user: u, service_account: s}}]"),
            4,
            "anonymous[0].caller",
            "at once",
            "keep one",
        ),
        row(
            after(
                "anonymous:\n  - {providers: [openai], caller: {team: t}}\n  - {providers: [openai], caller: {team: u}}",
            ),
            6,
            "anonymous[1].providers[0]",
            "already serves anonymous requests",
            "one entry",
        ),
    ]
}

#[test]
fn every_problem_has_its_place_and_what_to_do() {
    let rows = rows();
    assert!(rows.len() >= 40);
    for Row { text, line, path, message, suggestion } in rows {
        let problems = read(&text).err().unwrap_or_else(|| panic!("loaded:\n{text}"));
        let found = problems.as_slice().iter().any(|problem| {
            problem.line == line
                && problem.path == path
                && problem.message.contains(message)
                && problem.suggestion.contains(suggestion)
        });
        assert!(
            found,
            "expected {line}: {path}: {message} (help: {suggestion}) for\n{text}\nfound\n{problems}"
        );
        assert!(!problems.to_string().contains("canary"), "a value of the environment shows in\n{problems}");
        for problem in problems.as_slice() {
            assert!(problem.column > 0 && !problem.suggestion.is_empty(), "{problem}");
        }
    }
}

#[test]
fn one_mistake_makes_one_problem() {
    for Row { text, path, .. } in rows() {
        // Aliases in a circle are each reported.
        if !text.contains("c: a}") && !text.contains("nope.key") {
            let problems = read(&text).unwrap_err();
            assert_eq!(problems.as_slice().len(), 1, "{path}:\n{text}\n{problems}");
        }
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_lines() {
    let text = "version: 3\norganisation: x\nlisten:\n  gateway:\n    - address: nowhere\nstore: {path: \"${NOPE}\"}\n\
                providers:\n  a: {kind: nope}\n  b: {kind: openai, api_key: k, base_url: ftp://x}\nmodels:\n  m: c/x\n";
    let problems = read(text).unwrap_err();
    let lines: Vec<usize> = problems.as_slice().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 2, 5, 6, 8, 9, 11], "{problems}");
    let places: HashSet<_> = problems.as_slice().iter().map(|problem| &problem.path).collect();
    assert_eq!(places.len(), lines.len());
}

#[test]
fn a_file_that_is_not_there_is_a_problem_with_its_name() {
    let problems = load(FilePath::new("nope.yaml")).unwrap_err();
    assert!(problems.to_string().starts_with("nope.yaml:1:1: cannot read the configuration"), "{problems}");
}

#[test]
fn a_file_that_is_not_text_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.yaml");
    std::fs::write(&file, b"version: \xff").unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn certificates_and_keys_are_checked_together() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let cert = folder.path().join(format!("{name}.pem"));
        let key = folder.path().join(format!("{name}.key"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert.display().to_string(), key.display().to_string())
    };
    let ((cert, key), (_, other)) = (make("a"), make("b"));
    let listen = |cert: &str, key: &str| {
        let text =
            format!("{BASE}listen: {{admin: {{address: 0.0.0.0:1, tls: {{cert: {cert}, key: {key}}}}}}}");
        read(&text).map(drop).map_err(|problems| problems.to_string())
    };
    assert_eq!(listen(&cert, &key), Ok(()));
    let mismatch = listen(&cert, &other).unwrap_err();
    assert!(mismatch.contains("listen.admin.tls.key: this is not the key of the certificate"), "{mismatch}");
    let swapped = listen(&key, &cert).unwrap_err();
    assert!(swapped.contains("no PEM certificate") && swapped.contains("no PEM private key"), "{swapped}");
    let bundle = format!("{BASE}  x: {{kind: ollama, base_url: 'https://h', ca_file: {key}}}");
    assert!(read(&bundle).unwrap_err().to_string().contains("providers.x.ca_file: the file holds no PEM"));
    let bundle = format!("{BASE}  x: {{kind: ollama, base_url: 'https://h', ca_file: {cert}}}");
    assert!(read(&bundle).is_ok());
}

#[test]
fn a_secret_file_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let text = format!("version: 1\nproviders:\n  o: {{kind: openai, api_key: 'file:{}'}}\n", file.display());
    std::fs::write(&file, format!("{}\n", "k".repeat(SECRET_BYTES_MAX - 1))).unwrap();
    assert!(read(&text).is_ok());
    std::fs::write(&file, "k".repeat(SECRET_BYTES_MAX + 1)).unwrap();
    assert!(read(&text).unwrap_err().to_string().contains("larger than 64 KiB"));
}

#[test]
fn credentials_that_name_nothing_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for (key, top, part) in [
        ("'store:Open AI'", "", "store:NAME"),
        ("'store:'", "", "store:NAME"),
        ("'vault:openai#key'", "", "MOUNT/PATH#FIELD"),
        ("'vault:secret/openai'", "", "MOUNT/PATH#FIELD"),
        ("'vault:secret/../x#key'", "", "MOUNT/PATH#FIELD"),
        ("'vault:secret/x#key'", "", "no secrets store is configured"),
        ("[]", "", "one credential or two"),
        ("[sk-a, sk-b, sk-c]", "", "one credential or two"),
        ("x", "vault: {address: 'https://v.example'}", "one way to log in"),
        ("x", "vault: {address: 'https://v.example', token: t, kubernetes: {role: r}}", "one way to log in"),
        ("x", "vault: {address: 'http://v.example', token: t}", "unencrypted"),
    ] {
        let text = format!("version: 1\n{top}\nproviders:\n  a: {{kind: openai, api_key: {key}}}\n");
        let problems = parse("n.yaml", folder.path(), &text, &|_| None).unwrap_err().to_string();
        assert!(problems.contains(part), "{key} {top}: {problems}");
    }
}
