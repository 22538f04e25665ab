//! What cannot be served is refused in the caller's dialect, with a cause, and recorded.

use crate::support::ask::Framing;
use crate::support::{ALL, Ask, CHAT, GENERATING, Gate, MESSAGES, until};
use narrows_llm::Family;
use narrows_policy::Reason;

/// Asks and checks status, shape, code, word on the record, and that nobody was asked.
async fn refused(gate: &Gate, ask: Ask, family: Family, status: u16, reason: Reason) {
    let described = format!("{} {} {:?}", ask.method, ask.target, String::from_utf8_lossy(&ask.body));
    let before = gate.fake.requests();
    let answer = gate.ask_as_key(ask).await;
    assert_eq!(
        (answer.status(), &*answer.code(family)),
        (status, reason.as_str()),
        "{described}: {}",
        answer.text()
    );
    let record = gate.record_of(&answer).await;
    assert_eq!((record.status, record.reason), (status, reason), "{described}");
    assert!(record.attempts.is_empty() && record.usage.is_unknown(), "{described}: {record:?}");
    assert_eq!(gate.fake.requests(), before, "{described}");
}

#[tokio::test]
async fn malformed_bodies_name_their_fault() {
    let gate = Gate::start();
    for kind in GENERATING {
        for body in [
            "",
            "   ",
            "{",
            "[]",
            "\"x\"",
            "nonsense",
            r#"{"model":"gpt-4o""#,
            "{\"model\":\"a\u{1}\"}",
            r#"{"model":"x"} trailing"#,
        ] {
            refused(&gate, Ask::post(kind.unary, body), kind.family(), 400, Reason::BodyMalformed).await;
        }
        let not_utf8 = Ask::post(kind.unary, b"{\"model\":\"\xff\xfe\"}".to_vec());
        refused(&gate, not_utf8, kind.family(), 400, Reason::BodyMalformed).await;
    }
}

#[tokio::test]
async fn duplicate_keys_that_decide_are_refused() {
    let gate = Gate::start();
    for body in [
        r#"{"model":"gpt-4o","model":"gpt-5"}"#,
        r#"{"model":"gpt-4o","mod\u0065l":"gpt-5"}"#,
        r#"{"model":"gpt-4o","model":"gpt-4o"}"#,
        r#"{"model":"gpt-4o","stream":true,"stream":false}"#,
        r#"{"model":"gpt-4o","stream":true,"str\u0065am":true}"#,
    ] {
        for (path, family) in [(CHAT.unary, Family::Openai), (MESSAGES.unary, Family::Anthropic)] {
            refused(&gate, Ask::post(path, body), family, 400, Reason::BodyMalformed).await;
        }
    }
    // Elsewhere they are the provider's business.
    let nested = r#"{"model":"gpt-4o","messages":[],"x":{"model":1,"model":2},"y":1,"y":2}"#;
    assert_eq!(gate.ask_as_key(Ask::post(CHAT.unary, nested)).await.status(), 200);
}

#[tokio::test]
async fn a_missing_or_unknown_model_is_told() {
    let gate = Gate::start();
    for kind in ALL.into_iter().filter(|kind| kind.family() != Family::Gemini) {
        for body in ["{}", r#"{"model":""}"#, r#"{"messages":[{"model":"gpt-4o"}]}"#] {
            refused(&gate, Ask::post(kind.unary, body), kind.family(), 400, Reason::ModelMissing).await;
        }
        for body in
            [r#"{"model":"llama-unheard-of"}"#, r#"{"model":"nobody/gpt-4o"}"#, r#"{"model":"openai/"}"#]
        {
            refused(&gate, Ask::post(kind.unary, body), kind.family(), 404, Reason::ModelUnknown).await;
        }
        for body in [r#"{"model":7}"#, r#"{"model":null}"#, r#"{"model":["gpt-4o"]}"#] {
            let answer = gate.ask_as_key(Ask::post(kind.unary, body)).await;
            let code = answer.code(kind.family());
            assert!(
                answer.status() == 400 && ["model_missing", "body_malformed"].contains(&&*code),
                "{code}"
            );
        }
    }
    let gemini = Ask::post("/v1beta/models/unheard-of:generateContent", r#"{"contents":[]}"#);
    refused(&gate, gemini, Family::Gemini, 404, Reason::ModelUnknown).await;
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_told_in_dialect() {
    let gate = Gate::start();
    for (path, family) in [
        ("/v1/unheard-of", Family::Openai),
        ("/v1/nothing", Family::Openai),
        ("/anthropic/v1/unheard-of", Family::Anthropic),
        ("/v1/messages/nothing", Family::Anthropic),
        ("/v1beta/unheard-of", Family::Gemini),
        ("/gemini/v1beta/nothing", Family::Gemini),
        ("/admin/v1/keys", Family::Openai),
        ("/nobody/v1/chat/completions", Family::Openai),
        ("/nobody/v1/messages", Family::Anthropic),
    ] {
        let ask = Ask::post(path, CHAT.body(false));
        refused(&gate, ask, family, 404, Reason::PathUnknown).await;
    }
    for (path, family) in [("/v1/files", Family::Openai), ("/v1/messages/batches", Family::Anthropic)] {
        let ask = Ask::post(path, CHAT.body(false));
        refused(&gate, ask, family, 403, Reason::PathNotAllowed).await;
    }
    for (method, path, family, allow) in [
        ("GET", "/v1/chat/completions", Family::Openai, "POST"),
        ("DELETE", "/v1/messages", Family::Anthropic, "POST"),
        ("PUT", "/v1beta/models/x:generateContent", Family::Gemini, "POST"),
        ("POST", "/v1/models", Family::Openai, "GET"),
        ("POST", "/", Family::Openai, "GET, HEAD"),
    ] {
        let answer = gate.ask_as_key(Ask::new(method, path)).await;
        assert_eq!((answer.status(), &*answer.code(family)), (405, "method_not_allowed"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow));
    }
    for path in
        ["/v1//chat/completions", "/v1/../admin", "/v1/./models", "/v1beta/models/%2e%2e:generateContent"]
    {
        let answer = gate.ask_as_key(Ask::post(path, "{}")).await;
        assert_eq!(answer.status(), 400, "{path}: {}", answer.text());
        assert_eq!(gate.record_of(&answer).await.reason, Reason::PathUnknown, "{path}");
    }
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_and_one_at_it_is_not() {
    let gate = Gate::plan().top("limits: {request_body: 64KiB}").start();
    let at = |bytes: usize, framing: Framing| {
        let start = r#"{"model":"gpt-4o","messages":[],"pad":""#;
        let body = format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2));
        assert_eq!(body.len(), bytes);
        Ask::post(CHAT.unary, body).framed(framing)
    };
    for framing in [Framing::Length, Framing::Chunks(1000), Framing::Chunks(65536)] {
        let answer = gate.ask_as_key(at(65536, framing)).await;
        assert_eq!(answer.status(), 200, "{framing:?} {}", answer.text());
        let mut client = gate.connect().await;
        client.send_what_goes(&at(65537, framing).key(&gate.key).wire()).await;
        let answer = client.answer(false).await;
        assert_eq!((answer.status(), &*answer.code(Family::Openai)), (413, "body_too_large"), "{framing:?}");
        assert_eq!(gate.record_of(&answer).await.reason, Reason::BodyTooLarge);
    }
    // With a length it is refused before a byte of it is sent.
    let mut client = gate.connect().await;
    client
        .send(
            &Ask::new("POST", MESSAGES.unary)
                .key(&gate.key)
                .framed(Framing::Own)
                .with("content-length", "65537")
                .head(),
        )
        .await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status(), &*answer.code(Family::Anthropic)), (413, "body_too_large"));
    // A small body that unpacks to a large one is as large as it unpacks.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &at(65537, Framing::Length).body).unwrap();
    let bomb = Ask::post(CHAT.unary, encoder.finish().unwrap()).with("content-encoding", "gzip");
    refused(&gate, bomb, Family::Openai, 413, Reason::BodyTooLarge).await;
}

#[tokio::test]
async fn too_many_buffered_bytes_are_refused_for_a_moment() {
    let gate = Gate::plan().top("limits: {request_body: 1MiB, buffered_bodies: 1MiB}").start();
    let mut holder = gate.connect().await;
    let held =
        Ask::new("POST", CHAT.unary).key(&gate.key).framed(Framing::Own).with("content-length", "1048576");
    holder.send(&held.head()).await;
    until("the body to take its room", async || {
        (gate.gauge("narrows_buffered_bytes").await == 1_048_576.0).then_some(())
    })
    .await;
    for kind in GENERATING {
        let answer = gate.ask_as_key(Ask::unary(kind)).await;
        assert_eq!((answer.status(), &*answer.code(kind.family())), (503, "buffers_full"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    drop(holder);
    until("the room to come back", async || {
        (gate.gauge("narrows_buffered_bytes").await == 0.0).then_some(())
    })
    .await;
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    let records = gate.records().await;
    assert_eq!(records.iter().filter(|record| record.reason == Reason::BuffersFull).count(), 5);
    assert_eq!(records.iter().filter(|record| record.reason == Reason::ClientGone).count(), 1);
}

#[tokio::test]
async fn heads_that_two_parsers_could_read_differently_are_refused() {
    let gate = Gate::start();
    let key = format!("authorization: Bearer {}\r\n", gate.key);
    let body = CHAT.body(false);
    let mut refused = 0;
    let smuggled = "0\r\n\r\nGET /admin HTTP/1.1\r\nhost: x\r\n\r\n";
    for (headers, why) in [
        (format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", body.len()), "both"),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len()), "both, swapped"),
        ("content-length: 5\r\ncontent-length: 6\r\n".to_owned(), "two lengths"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(), "two codings"),
        ("transfer-encoding: gzip, chunked\r\n".to_owned(), "a coding more"),
        ("transfer-encoding: xchunked\r\n".to_owned(), "a coding like it"),
    ] {
        let mut client = gate.connect().await;
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{key}{headers}\r\n{smuggled}");
        client.send(head.as_bytes()).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status(), 400, "{why}");
        // Pingora refuses a last coding other than chunked by itself, in two words and without a record.
        if !answer.body.is_empty() {
            assert_eq!(answer.code(Family::Openai), "head_ambiguous", "{why}");
            refused += 1;
        }
        assert!(client.is_closed().await, "{why}: the connection may carry a smuggled request");
    }
    let records = gate.records().await;
    assert!(records.iter().all(|record| record.reason == Reason::HeadAmbiguous));
    assert!(refused >= 3 && records.len() == refused);
    assert_eq!(gate.fake.requests(), 0);
}
