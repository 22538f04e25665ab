//! Headers, both ways.

use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, CHAT, EMBEDDINGS, GEMINI, Gate, MESSAGES};
use narrows_fake::Seen;

/// All values of a header, in order.
fn values<'a>(seen: &'a Seen, name: &str) -> Vec<&'a str> {
    let of_name = seen.headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name));
    of_name.map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn headers_of_the_client_reach_the_provider_as_they_are() {
    let gate = Gate::start();
    let kept = [
        ("anthropic-beta", "prompt-caching-2024-07-31"),
        ("anthropic-beta", "interleaved-thinking-2025-05-14"),
        ("anthropic-beta", "a,b;q=1, \"quoted, comma\""),
        ("anthropic-version", "2099-01-01"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("openai-organization", "org-x"),
        ("x-stainless-lang", "python"),
        ("x-stainless-retry-count", "0"),
        ("x-stainless-timeout", "600"),
        ("x-goog-api-client", "gl-node/22"),
        ("x-unknown", ""),
        ("x-unknown", "  inner  blanks  stay"),
        ("user-agent", "claude-cli/2.0.14 (external, cli)"),
        ("accept", "application/json"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("x-request-id", "the-clients-own"),
        ("content-type", "application/json; charset=utf-8"),
    ];
    let mut ask = Ask::new("POST", "/v1/messages").body(MESSAGES.body(false));
    for (name, value) in kept {
        ask = ask.with(name, value);
    }
    let answer = gate.ask_as_key(ask).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = &gate.fake.seen()[0];
    for (name, _) in kept {
        let sent: Vec<_> = kept.iter().filter(|row| row.0 == name).map(|row| row.1.trim()).collect();
        assert_eq!(values(seen, name), sent, "{name}");
    }
    assert_eq!(gate.record().await.client, Some("claude-code"));
}

#[tokio::test]
async fn what_belongs_to_this_hop_or_to_us_does_not_reach_the_provider() {
    let gate = Gate::plan().provider(
        "fixed",
        "kind: openai, base_url: 'http://{fake}/v1', api_key: sk-1, models: [fixed-*], headers: {x-team: ours, x-added: '1'}",
    );
    let gate = gate.start();
    let dropped = [
        ("connection", "keep-alive, X-Nominated"),
        ("x-nominated", "hop"),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip;q=0.5"),
        ("trailer", "x-checksum"),
        ("upgrade", "websocket"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("accept-encoding", "gzip, br, zstd"),
        ("expect", "nothing"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("cookie", "session=1"),
        ("x-narrows-anything", "1"),
        ("x-team", "theirs"),
    ];
    let mut ask = Ask::post("/v1/chat/completions", r#"{"model":"fixed-1","messages":[]}"#).key(&gate.key);
    for (name, value) in dropped {
        ask = ask.with(name, value);
    }
    let answer = gate.ask(&ask).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = &gate.fake.seen()[0];
    for (name, value) in dropped {
        assert!(!values(seen, name).contains(&value), "{name} in {:?}", seen.headers);
    }
    assert_eq!(values(seen, "accept-encoding"), ["identity"]);
    assert_eq!((values(seen, "x-team"), values(seen, "x-added")), (vec!["ours"], vec!["1"]));
    assert_eq!(values(seen, "authorization"), ["Bearer sk-1"]);
    assert_eq!(values(seen, "host"), [gate.fake.addr().to_string()]);
    assert_eq!(values(seen, "content-length").len(), 1);
}

#[tokio::test]
async fn headers_of_the_provider_reach_the_client_and_its_hop_does_not() {
    let body = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    let head = "HTTP/1.1 200 Fine\r\nX-Request-Id: req_theirs\r\nOpenai-Processing-Ms: 12\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
                X-Empty:\r\nX-Odd: caf\u{e9}\r\nServer: cloudflare\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                Proxy-Connection: x\r\nUpgrade: h2c\r\nTrailer: x\r\nContent-Type: application/json\r\n";
    let wire = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x};ext=1\r\n{body}\r\n0\r\nx: y\r\n\r\n",
        body.len()
    );
    let scripted = Scripted::start(vec![Act::Say(wire), Act::Say(chunked.into_bytes())]).await;
    let gate = Gate::plan()
        .provider("odd", &format!("kind: openai, base_url: 'http://{}/v1', models: [odd]", scripted.address))
        .start();
    for _ in 0..2 {
        let ask = Ask::post("/v1/chat/completions", r#"{"model":"odd"}"#);
        let answer = gate.ask_as_key(ask).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, body));
        let all = |name: &str| -> Vec<String> {
            let headers = answer.head.headers.iter().filter(|(have, _)| have == name);
            headers.map(|(_, value)| value.clone()).collect()
        };
        assert_eq!(all("x-request-id"), ["req_theirs"], "the provider's own id is kept");
        assert_eq!(all("x-narrows-request-id").len(), 1);
        assert_eq!(all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(
            (all("openai-processing-ms"), all("server")),
            (vec!["12".into()], vec!["cloudflare".into()])
        );
        assert_eq!(all("x-empty"), [""]);
        assert_eq!(all("content-length"), [body.len().to_string()]);
        for gone in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "trailer", "transfer-encoding"] {
            assert!(all(gone).is_empty(), "{gone} in {:?}", answer.head);
        }
        let record = gate.record_of(&answer).await;
        assert_eq!(record.provider_request_id.as_deref(), Some("req_theirs"));
        assert_eq!((record.usage.input(), record.usage.output()), (Some(3), Some(4)));
    }
    assert_eq!(scripted.connections(), 1, "an answer in chunks leaves the connection usable");
}

#[tokio::test]
async fn the_exchange_is_named_where_the_provider_does_not() {
    let gate = Gate::start();
    for kind in [&CHAT, &MESSAGES, &GEMINI] {
        let answer = gate.ask_as_key(Ask::unary(kind)).await;
        let record = gate.record_of(&answer).await;
        let id = answer.header("x-narrows-request-id").unwrap();
        match kind.provider {
            "openai" => assert!(answer.header("x-request-id").unwrap().starts_with("req_")),
            _ => assert_eq!(answer.header("x-request-id"), Some(id)),
        }
        if kind.provider == "anthropic" {
            assert_eq!(answer.header("request-id"), record.provider_request_id.as_deref());
        }
    }
    // A refusal carries it for Anthropic's clients as theirs do.
    let refused = gate.ask(&Ask::unary(&MESSAGES)).await;
    assert_eq!(refused.header("request-id"), refused.header("x-narrows-request-id"));
}

#[tokio::test]
async fn each_family_gets_our_credential_where_it_looks_for_it() {
    let gate = Gate::start();
    let key = crate::support::gate::PROVIDER_KEY;
    for (kind, header, value) in [
        (&CHAT, "authorization", format!("Bearer {key}")),
        (&EMBEDDINGS, "authorization", format!("Bearer {key}")),
        (&MESSAGES, "x-api-key", key.to_owned()),
        (&GEMINI, "x-goog-api-key", key.to_owned()),
    ] {
        assert_eq!(gate.ask_as_key(Ask::unary(kind)).await.status(), 200);
        let seen = gate.fake.seen().pop().unwrap();
        assert_eq!(values(&seen, header), [value]);
        let credentials = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];
        assert_eq!(
            credentials.iter().filter(|name| seen.header(name).is_some()).count(),
            1,
            "{:?}",
            seen.headers
        );
    }
    let version = gate.fake.seen().into_iter().find(|seen| seen.line.contains("/messages")).unwrap();
    assert_eq!(values(&version, "anthropic-version"), ["2023-06-01"], "Anthropic demands one");
}
