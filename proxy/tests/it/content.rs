//! Prompts and answers at rest, from the outside: nobody's unless it is asked for, and no secret in any case.

use crate::guard::{CARD, answer, ask, events, policy, streamed};
use crate::support::kinds::Kind;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, CHAT, Client, GENERATING, Gate, MESSAGES, until};
use narrows_ledger::{ContentState, ContentStates, NewAdminToken, Role};
use serde_json::Value;
use std::time::Duration;

const BOTH: ContentStates = ContentStates { request: ContentState::Stored, answer: ContentState::Stored };

/// Shaped like a token of GitHub, and none.
fn token() -> String {
    ["ghp", "_", "x7Qm2Lr9Tz4Vb8Kd1Nw6Ys3Hc5Jf0Pg2Ra8e"].concat()
}

fn master() -> String {
    format!("master_key: '{}'\n", "5a".repeat(32))
}

/// A gateway with these rules about content, in front of a provider that says this.
async fn keeping(rules: &str, more: &str, kind: &Kind, acts: Vec<Act>) -> (Gate, Scripted) {
    let scripted = Scripted::start(acts).await;
    let version = if kind.provider == "openai" { "/v1" } else { "" };
    let provider = format!(
        "kind: {}, base_url: 'http://{}{version}', api_key: sk-x, models: []",
        kind.provider, scripted.address
    );
    let top = format!("{}content: {{keep: [{rules}]}}\n{more}", master());
    (Gate::plan().top(&top).provider("scripted", &provider).start(), scripted)
}

/// The token of somebody who may read content.
fn reader(gate: &Gate) -> String {
    let new =
        NewAdminToken { name: "reader".into(), organization: None, role: Role::Content, expires_at_us: None };
    gate.ledger.create_admin_token(&new, "test").unwrap().token.expose().to_owned()
}

/// What was kept of an exchange; `None` if nothing was.
async fn read(gate: &Gate, reader: &str, id: u128) -> Option<Value> {
    let path = format!("/admin/v1/records/{}/content?purpose=test", uuid::Uuid::from_u128(id));
    let ask = Ask::get(&path).with("authorization", &format!("Bearer {reader}")).with("connection", "close");
    // Another handle has made the token: the gateway sees it within moments.
    let answer = until("the token to be known", async || {
        let answer = Client::connect(gate.admin).await.ask(&ask).await;
        (answer.status() != 401).then_some(answer)
    });
    let answer = answer.await;
    match answer.status() {
        200 => Some(answer.json()),
        404 => None,
        status => panic!("{status}: {}", answer.text()),
    }
}

/// What is kept of an exchange, once it is.
async fn kept_of(gate: &Gate, id: u128) -> Value {
    let reader = reader(gate);
    until("content to be stored", async || read(gate, &reader, id).await).await
}

async fn kept(gate: &Gate, got: &Answer) -> Value {
    kept_of(gate, got.id()).await
}

fn text<'a>(kept: &'a Value, side: &str) -> &'a str {
    kept[side]["text"].as_str().unwrap_or_else(|| panic!("{kept}"))
}

/// Every byte of the store.
fn raw(gate: &Gate) -> Vec<u8> {
    let files = std::fs::read_dir(gate.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let stores = files.filter(|path| path.display().to_string().contains("narrows.db"));
    stores.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[tokio::test]
async fn nothing_is_kept_unless_a_rule_says_so_and_a_rule_against_it_wins() {
    for top in [
        String::new(),
        format!("{}content: {{keep: [{{team: red}}]}}", master()),
        format!("{}content: {{keep: [{{}}, {{team: blue, store: false}}]}}", master()),
    ] {
        let gate = Gate::plan().top(&top).start();
        let got = gate.ask_as_key(Ask::unary(&CHAT).with("x-narrows-content", "on")).await;
        let record = gate.record_of(&got).await;
        assert_eq!(record.content, ContentStates::default(), "{top}");
        assert!(record.cost.nano_usd().is_some() || record.usage.input().is_some(), "the metadata is there");
        assert_eq!(read(&gate, &reader(&gate), got.id()).await, None);
    }
}

#[tokio::test]
async fn what_a_rule_keeps_reads_back_whole_in_every_dialect_streamed_or_not() {
    for kind in GENERATING {
        let said = answer(kind, "the answer");
        let (gate, scripted) = keeping("{team: blue}", "", kind, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask(kind, false, "the question")).await;
        assert_eq!(got.status(), 200, "{}", got.text());
        assert_eq!(gate.record_of(&got).await.content, BOTH);
        let whole = kept(&gate, &got).await;
        assert_eq!(text(&whole, "answer"), said);
        assert!(text(&whole, "request").contains("the question"));
        let stream = events(kind, &["the ans", "wer"]);
        scripted.answer_with(streamed(&stream));
        let got = gate.ask_as_key(ask(kind, true, "the question")).await;
        assert_eq!(gate.record_of(&got).await.content, BOTH);
        let whole = kept(&gate, &got).await;
        assert_eq!(text(&whole, "answer"), stream);
        assert_eq!((&whole["user"], &whole["team"]), (&Value::from("ada"), &Value::from("blue")));
        assert!(!holds(&raw(&gate), "the question") && !holds(&raw(&gate), "the answer"));
    }
}

#[tokio::test]
async fn one_side_alone_can_be_kept_and_a_long_one_is_cut() {
    let said = answer(&CHAT, "the answer");
    let rules = "{sides: requests, max_bytes: 20}";
    let (gate, _scripted) = keeping(rules, "", &CHAT, vec![Act::json(200, "", &said)]).await;
    let got = gate.ask_as_key(ask(&CHAT, false, "the question")).await;
    let states = ContentStates { request: ContentState::Cut, answer: ContentState::None };
    assert_eq!(gate.record_of(&got).await.content, states);
    let whole = kept(&gate, &got).await;
    assert_eq!((text(&whole, "request").len(), &whole["answer"]["text"]), (20, &Value::Null));
    assert!(whole["request"]["bytes"].as_u64().unwrap() > 20);
}

#[tokio::test]
async fn a_stream_whose_client_leaves_is_kept_as_far_as_it_came() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
                 data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"as far as this\"}}]}\n\n";
    let (gate, _scripted) = keeping("{}", "", &CHAT, vec![Act::SayAndHold(begun.into())]).await;
    let mut client = gate.connect().await;
    client.send(&ask(&CHAT, true, "the question").key(&gate.key).wire()).await;
    let head = client.head().await;
    let id = uuid::Uuid::parse_str(head.header("x-narrows-request-id").unwrap()).unwrap().as_u128();
    client.chunk().await.unwrap();
    drop(client);
    let whole = kept_of(&gate, id).await;
    assert!(text(&whole, "answer").contains("as far as this"), "{whole}");
    assert_eq!((&whole["answer"]["state"], &whole["request"]["state"]), (&"cut".into(), &"stored".into()));
}

#[tokio::test]
async fn secrets_are_in_no_copy_whatever_policies_say() {
    let token = token();
    let (first, second) = token.split_at(11);
    for (more, kind) in [("", &CHAT), ("guard: {default_policies: false}", &MESSAGES)] {
        let said = answer(kind, &format!("it is {token}"));
        let (gate, scripted) = keeping("{}", more, kind, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask(kind, false, &format!("my token is {token} ok"))).await;
        let whole = kept(&gate, &got).await;
        assert!(!whole.to_string().contains(&token), "{whole}");
        assert!(text(&whole, "request").contains("[GITHUB_TOKEN"), "{whole}");
        scripted.answer_with(streamed(&events(kind, &["it is ", first, second, " ok"])));
        let got = gate.ask_as_key(ask(kind, true, "tell me")).await;
        let whole = kept(&gate, &got).await;
        assert!(text(&whole, "answer").contains("[GITHUB_TOKEN]"), "{whole}");
        assert!(!text(&whole, "answer").contains(second), "{whole}");
        assert!(!holds(&raw(&gate), &token) && !holds(&raw(&gate), second));
    }
}

#[tokio::test]
async fn what_policies_mask_is_masked_at_rest_also_where_the_client_gets_it_back() {
    let restore = policy("request", "mask", ", restore: true");
    let (gate, scripted) =
        keeping("{}", &restore, &CHAT, vec![Act::json(200, "", &answer(&CHAT, "x"))]).await;
    let got = gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let whole = kept(&gate, &got).await;
    assert!(text(&whole, "request").contains("pay [CARD_"), "{whole}");
    let request = scripted.requests().remove(0);
    let start = request.find("[CARD_").unwrap();
    let placeholder = request[start..].split_inclusive(']').next().unwrap().to_owned();
    for stream in [false, true] {
        scripted.answer_with(match stream {
            true => streamed(&events(&CHAT, &["paid ", &placeholder])),
            false => Act::json(200, "", &answer(&CHAT, &placeholder)),
        });
        let got = gate.ask_as_key(ask(&CHAT, stream, &format!("pay {CARD}"))).await;
        assert!(got.text().contains(CARD), "the client gets it back: {}", got.text());
        let whole = kept(&gate, &got).await;
        assert!(
            !whole.to_string().contains(CARD) && text(&whole, "answer").contains(&placeholder),
            "{whole}"
        );
    }
}

#[tokio::test]
async fn a_gated_stream_is_kept_as_it_went_out_and_a_refused_answer_is_not() {
    for (action, wanted) in [("mask", ContentState::Stored), ("block", ContentState::None)] {
        let stream = streamed(&events(&CHAT, &["pay 4111 1111 ", "1111 1111", " now"]));
        let (gate, _scripted) =
            keeping("{}", &policy("stream", action, ", streams: gated"), &CHAT, vec![stream]).await;
        let got = gate.ask_as_key(ask(&CHAT, true, "tell me")).await;
        assert!(!got.text().contains("1111 1111"), "{}", got.text());
        let whole = kept(&gate, &got).await;
        assert_eq!(gate.record_of(&got).await.content.answer, wanted, "{action} {whole}");
        assert!(!whole.to_string().contains("1111 1111"), "{whole}");
    }
}

#[tokio::test]
async fn content_goes_when_its_time_is_over_and_the_record_stays() {
    let said = answer(&CHAT, "the answer");
    let (gate, _scripted) = keeping("{retention: 1h}", "", &CHAT, vec![Act::json(200, "", &said)]).await;
    let got = gate.ask_as_key(ask(&CHAT, false, "the question")).await;
    kept(&gate, &got).await;
    let started = gate.record_of(&got).await.started_at_us;
    let hour = i64::try_from(Duration::from_secs(3_600).as_micros()).unwrap();
    assert_eq!(gate.ledger.sweep_content(started + hour - 1).unwrap(), 0);
    assert_eq!(gate.ledger.sweep_content(started + hour).unwrap(), 1);
    let gone = ContentStates { request: ContentState::Expired, answer: ContentState::Expired };
    assert_eq!(gate.ledger_record(&got).await.content, gone);
    assert_eq!(kept(&gate, &got).await["request"]["text"], Value::Null);
}
