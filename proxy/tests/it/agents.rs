//! What coding agents send, byte for byte.

use crate::support::{Ask, Gate};
use narrows_meter::Origin;

/// As Claude Code sends it: an attribution entry first in `system`, thinking with its signature, redacted thinking, header
/// and body fields in pairs.
const CLAUDE_CODE: &str = r#"{"model":"claude-sonnet-4-5","max_tokens":32000,"stream":false,
 "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.129; cc_entrypoint=cli"},
  {"type":"text","text":"You are Claude Code, Anthropic's official CLI for Claude.","cache_control":{"type":"ephemeral","ttl":"1h"}}],
 "thinking":{"type":"enabled","budget_tokens":31999},
 "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},
 "messages":[{"role":"user","content":[{"type":"text","text":"fix \u00fcber \ud83d\ude00"}]},
  {"role":"assistant","content":[{"type":"thinking","thinking":"Let me\n look","signature":"EqQBCgIYAhIkMTIzNDU2Nzg5MGFiY2RlZi0xMjM0NTY3ODkwYWJjZGVmGgw/Pz8/+abc=="},
   {"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpPkNRj2YfWXGmKDxH4mPnZ5sQ7vB9URj2pLmN3kF8/dW5hR7xJ0aP1oLTy9TcMnKHf2wIpEGRZH7MGPkx"},
   {"type":"tool_use","id":"toolu_01","name":"Read","input":{"file_path":"/a","n":1.0,"big":12345678901234567890}}]},
  {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01","content":"ok"}]}],
 "tools":[{"name":"Read","description":"d","strict":true,"input_schema":{"type":"object","properties":{"file_id":{"type":"string"}}}}],
 "metadata":{"user_id":"user_1_account__session_2"},"output_config":{"effort":"high"},"x_unknown":[null,true,1e9]}"#;

/// As Codex sends it: reasoning items with encrypted content, nothing stored, a key for the prompt cache.
const CODEX: &str = r#"{"model":"gpt-5-codex","instructions":"You are Codex","store":false,"stream":false,
 "input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},
  {"type":"reasoning","id":"rs_68af07afe63c819ba8d6a1c1b7d40b960d1b2b","summary":[],"encrypted_content":"gAAAAABor_ev-u4c3+/AbQ=="},
  {"type":"function_call","name":"shell","arguments":"{\"command\":[\"bash\",\"-lc\",\"ls\"],\"file_id\":\"x\"}","call_id":"call_1"},
  {"type":"function_call_output","call_id":"call_1","output":"{\"output\":\"a\\n\"}"}],
 "tools":[{"type":"custom","name":"apply_patch","format":{"type":"grammar","syntax":"lark","definition":"start: \"x\""}}],
 "reasoning":{"effort":"medium","summary":"auto"},"include":["reasoning.encrypted_content"],
 "prompt_cache_key":"01994e2b-7a5c-7d40-b0a8-9f2f3f5b8d3a","parallel_tool_calls":false}"#;

fn gate() -> Gate {
    // With object paths on, bodies are looked through; they must still pass as they are.
    Gate::plan().usual("paths: [files]").start()
}

#[tokio::test]
async fn what_claude_code_sends_arrives_byte_for_byte() {
    let gate = gate();
    for target in ["/v1/messages?beta=true", "/anthropic/v1/messages?beta=true"] {
        let ask = Ask::post(target, CLAUDE_CODE)
            .with("anthropic-version", "2023-06-01")
            .with(
                "anthropic-beta",
                "claude-code-20250219,interleaved-thinking-2025-05-14,unheard-of-2031-01-01",
            )
            .with("x-claude-code-session-id", "0199")
            .with("x-stainless-helper-method", "stream")
            .with("x-app", "cli")
            .with("x-nobody-knows", "a,  b");
        let answer = gate.ask_as_key(ask).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = gate.fake.seen().pop().unwrap();
        assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), CLAUDE_CODE);
        assert_eq!(seen.line, "POST /v1/messages?beta=true HTTP/1.1");
        for (name, value) in [
            ("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14,unheard-of-2031-01-01"),
            ("x-claude-code-session-id", "0199"),
            ("x-stainless-helper-method", "stream"),
            ("x-app", "cli"),
            ("x-nobody-knows", "a,  b"),
        ] {
            assert_eq!(seen.header(name), Some(value));
        }
    }
}

#[tokio::test]
async fn what_codex_sends_arrives_byte_for_byte_and_compaction_is_served_and_metered() {
    let gate = gate();
    for target in [
        "/v1/responses",
        "/v1/responses/compact",
        "/openai/v1/responses/compact",
        "/openai/responses/compact",
    ] {
        let ask = Ask::post(target, CODEX)
            .with("originator", "codex_cli_rs")
            .with("session_id", "0199")
            .with("x-codex-turn-state", "opaque+/=");
        let answer = gate.ask_as_key(ask).await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
        let seen = gate.fake.seen().pop().unwrap();
        assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), CODEX);
        assert!(
            seen.line.ends_with(&format!(
                "{} HTTP/1.1",
                target.trim_start_matches("/openai").trim_start_matches("/v1")
            )),
            "{}",
            seen.line
        );
        assert_eq!(seen.header("x-codex-turn-state"), Some("opaque+/="));
        let record = gate.record_of(&answer).await;
        assert_eq!((record.origin, record.dialect), (Origin::Provider, Some("openai.responses")), "{target}");
        assert_eq!(record.usage.input(), Some(CODEX.len().div_ceil(4) as u64), "{target}");
    }
}

#[tokio::test]
async fn a_token_count_that_no_provider_makes_is_estimated_and_says_so() {
    let gate = Gate::plan().top("models: {claude-local: openai/gpt-4o}").start();
    let body = r#"{"model":"claude-local","messages":[{"role":"user","content":"how many tokens are these, about?"}]}"#;
    let ask = Ask::post("/v1/messages/count_tokens?beta=true", body).with("anthropic-version", "2023-06-01");
    let answer = gate.ask_as_key(ask).await;
    assert_eq!(
        (answer.status(), answer.header("x-narrows-estimated")),
        (200, Some("true")),
        "{}",
        answer.text()
    );
    let tokens = answer.json()["input_tokens"].as_u64().unwrap();
    assert!((5..40).contains(&tokens), "{tokens}");
    let record = gate.record_of(&answer).await;
    assert_eq!((record.origin, record.provider.as_deref()), (Origin::Estimated, Some("openai")));
    assert!(record.usage.is_unknown() && record.attempts.is_empty(), "asking costs nothing");
    // Who counts is asked.
    let counted = gate
        .ask_as_key(Ask::post("/v1/messages/count_tokens", body.replace("claude-local", "claude-x")))
        .await;
    assert_eq!((counted.status(), counted.header("x-narrows-estimated")), (200, None));
    assert_eq!(gate.fake.requests(), 1);
}

#[tokio::test]
async fn azures_clients_find_their_deployments() {
    let gate = Gate::plan()
        .top("models: {house: openai/gpt-4o-mini}")
        .provider("azure", "kind: azure, base_url: 'http://{fake}', api_key: sk-3, models: []")
        .start();
    let chat = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let at = |target: &str| Ask::post(target, chat).with("api-key", &gate.key);
    let answer =
        gate.ask(&at("/azure/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21")).await;
    assert_eq!(
        gate.fake.seen()[0].line,
        "POST /openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21 HTTP/1.1",
        "{}",
        answer.text()
    );
    assert_eq!(gate.fake.seen()[0].header("api-key"), Some("sk-3"));
    // Another provider gets the model where it wants it.
    let answer = gate.ask(&at("/openai/deployments/house/chat/completions?api-version=2024-10-21")).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = gate.fake.seen().pop().unwrap();
    assert!(seen.line.starts_with("POST /v1/chat/completions"), "{}", seen.line);
    assert_eq!(String::from_utf8(seen.body).unwrap(), format!(r#"{{"model":"gpt-4o-mini",{}"#, &chat[1..]));
    let record = gate.record_of(&answer).await;
    assert_eq!(
        (record.model_requested.as_deref(), record.model_sent.as_deref()),
        (Some("house"), Some("gpt-4o-mini"))
    );
}

#[tokio::test]
async fn a_new_provider_is_configuration_only() {
    let gate = Gate::plan()
        .provider(
            "newcomer",
            "kind: openai-compatible, base_url: 'http://{fake}/api/v3', api_key: sk-4, models: ['newcomer-*'], paths: [rerank, 'POST /v1/ocr']",
        )
        .start();
    let chat =
        gate.ask_as_key(Ask::post("/v1/chat/completions", r#"{"model":"newcomer-1","messages":[]}"#)).await;
    assert_eq!((chat.status(), gate.record_of(&chat).await.origin), (200, Origin::Provider));
    let rerank = gate
        .ask_as_key(Ask::post("/v1/rerank", r#"{"model":"newcomer-rank","query":"q","documents":["d"]}"#))
        .await;
    let record = gate.record_of(&rerank).await;
    assert_eq!(
        (rerank.status(), record.usage.input(), record.model_sent.as_deref()),
        (200, Some(21), Some("newcomer-rank"))
    );
    let own = gate.ask_as_key(Ask::post("/newcomer/v1/ocr", "{}")).await;
    assert_eq!(own.status(), 404, "the fake has no such path, and says so: {}", own.text());
    let lines: Vec<String> = gate.fake.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v3/chat/completions HTTP/1.1",
            "POST /api/v3/rerank HTTP/1.1",
            "POST /api/v3/ocr HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn error_bodies_pass_byte_for_byte() {
    use crate::support::scripted::{Act, Scripted};
    let bodies: [(&str, &[u8]); 5] = [
        ("application/json", br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded \u00fc"},"request_id":"req_1"} "#),
        ("application/json; charset=utf-8", b"{\"error\" : {\"message\":\"\xc3\xbc\", \"code\":null}}\n"),
        ("text/html", b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n"),
        ("text/plain", b"upstream \x00\xff\xfe request timeout"),
        ("application/octet-stream", b""),
    ];
    for (path, body, kind) in [
        ("/openai/v1/chat/completions", r#"{"model":"gpt-4o","messages":[]}"#, "openai"),
        ("/openai/v1/responses", r#"{"model":"gpt-4o","input":"x","stream":true}"#, "openai"),
        (
            "/anthropic/v1/messages",
            r#"{"model":"claude-x","max_tokens":1,"messages":[],"stream":true}"#,
            "anthropic",
        ),
        ("/gemini/v1beta/models/gemini-x:streamGenerateContent?alt=sse", r#"{"contents":[]}"#, "gemini"),
        ("/openai/v1/moderations", r#"{"model":"m","input":"x"}"#, "openai"),
        ("/openai/v1/files", "", "openai"),
    ] {
        let statuses = [400, 402, 404, 409, 413, 422, 429, 500, 502, 503, 529];
        let say = |status: &usize| {
            let (content, said) = bodies[status % bodies.len()];
            let head = format!(
                "HTTP/1.1 {status} So\r\ncontent-type: {content}\r\ncontent-length: {}\r\nretry-after: 7\r\n\
                 x-should-retry: maybe\r\n\r\n",
                said.len()
            );
            Act::SayAndClose([head.as_bytes(), said].concat())
        };
        let scripted = Scripted::start(statuses.iter().map(say).collect()).await;
        let groups = if kind == "openai" { "files, moderations" } else { "files" };
        let provider = format!(
            "kind: {kind}, base_url: 'http://{}', api_key: sk-1, models: [], paths: [{groups}]",
            scripted.address
        );
        let gate = Gate::plan().provider("scripted", &provider).start();
        let target = path.replacen(&format!("/{kind}"), "/scripted", 1);
        for status in statuses {
            let (content, said) = bodies[status % bodies.len()];
            let ask = if body.is_empty() { Ask::get(&target) } else { Ask::post(&target, body) };
            let got = gate.ask_as_key(ask).await;
            assert_eq!((usize::from(got.status()), got.body.as_slice()), (status, said), "{target}");
            assert_eq!(got.header("content-type"), Some(content), "{target}");
            let retry = (got.header("retry-after"), got.header("x-should-retry"));
            assert_eq!(retry, (Some("7"), Some("maybe")), "{target}");
        }
    }
}
