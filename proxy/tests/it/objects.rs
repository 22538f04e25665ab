//! Stored objects belong to who made them.

use crate::pass_through::form;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, Gate};
use narrows_llm::Family;
use narrows_policy::Reason;

/// Two teams, a key of another organization, and a key of the first team that may use certain models only. The first key is of
/// the team blue.
fn gate(top: &str) -> Gate {
    Gate::plan()
        .usual("paths: [files, batches]")
        .top(top)
        .provider(
            "second",
            "kind: openai, base_url: 'http://{fake}/second/v1', api_key: sk-2, models: [], paths: [files, batches, \
             stored_responses]",
        )
        .key(|key| key.team = Some("green".into()))
        .key(|key| {
            key.organization = "other".into();
            key.team = Some("blue".into());
        })
        .key(|key| {
            key.team = Some("blue".into());
            key.models = Some(vec!["gpt-4o".into()]);
        })
        .start()
}

fn upload(target: &str) -> Ask {
    let (kind, body) = form(None, "{}");
    Ask { body, ..Ask::new("POST", target) }.with("content-type", &kind)
}

async fn file(gate: &Gate, target: &str, key: usize) -> String {
    let answer = gate.ask(&upload(target).key(&gate.keys[key].1)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn not_found(gate: &Gate, answer: &Answer, reason: Reason) {
    assert_eq!(
        (answer.status(), &*answer.code(Family::Openai)),
        (404, "object_not_found"),
        "{}",
        answer.text()
    );
    let record = gate.record_of(answer).await;
    assert_eq!((record.reason, record.attempts.len()), (reason, 0));
}

#[tokio::test]
async fn a_file_is_its_teams_and_nobody_elses() {
    let gate = gate("");
    let id = file(&gate, "/second/v1/files", 0).await;
    // Without a prefix the object itself says where it is.
    let target = format!("/v1/files/{id}");
    assert_eq!(gate.ask_as_key(Ask::get(&target)).await.status(), 200);
    assert_eq!(
        gate.ask(&Ask::get(&target).key(&gate.keys[3].1)).await.status(),
        200,
        "a key of the same team"
    );
    for key in [1, 2] {
        for ask in [
            Ask::get(&target),
            Ask::get(&format!("/second{target}/content")),
            Ask { method: "DELETE".into(), ..Ask::get(&target) },
            Ask::post("/second/v1/batches", format!(r#"{{"input_file_id":"{id}"}}"#)),
        ] {
            let answer = gate.ask(&ask.key(&gate.keys[key].1)).await;
            not_found(&gate, &answer, Reason::ObjectForeign).await;
        }
    }
    // Nor is it found at a provider that does not keep it.
    let elsewhere = gate.ask_as_key(Ask::get(&format!("/openai{target}"))).await;
    not_found(&gate, &elsewhere, Reason::ObjectUnknown).await;
    let deleted = gate.ask_as_key(Ask { method: "DELETE".into(), ..Ask::get(&target) }).await;
    assert_eq!(deleted.status(), 200);
    not_found(&gate, &gate.ask_as_key(Ask::get(&target)).await, Reason::ObjectUnknown).await;
}

#[tokio::test]
async fn a_batchs_output_belongs_to_who_made_the_batch() {
    let gate = gate("");
    let input = file(&gate, "/second/v1/files", 0).await;
    // The input file says which provider the batch goes to.
    let body = format!(r#"{{"input_file_id":"{input}","endpoint":"/v1/chat/completions"}}"#);
    let batch = gate.ask_as_key(Ask::post("/v1/batches", body.clone())).await;
    assert_eq!(batch.status(), 200, "{}", batch.text());
    assert_eq!(gate.record_of(&batch).await.provider.as_deref(), Some("second"));
    let output = batch.json()["output_file_id"].as_str().unwrap().to_owned();
    let content = Ask::get(&format!("/v1/files/{output}/content"));
    assert_eq!(gate.ask_as_key(content.clone()).await.text(), "{}");
    not_found(&gate, &gate.ask(&content.key(&gate.keys[1].1)).await, Reason::ObjectForeign).await;
    // A batch runs models that its file names: not for a key that may use certain ones only.
    let refused = gate.ask(&Ask::post("/v1/batches", body).key(&gate.keys[3].1)).await;
    assert_eq!((refused.status(), &*refused.code(Family::Openai)), (403, "model_not_allowed"));
}

#[tokio::test]
async fn lists_show_the_teams_own_and_pages_go_on_where_they_ended() {
    let gate = gate("");
    let mut mine = Vec::new();
    for round in 0..3 {
        // Others' objects stand between ours, and fill whole pages.
        for _ in 0..3 {
            file(&gate, "/second/v1/files", 1).await;
        }
        mine.push(file(&gate, "/second/v1/files", if round == 1 { 3 } else { 0 }).await);
    }
    for limit in [1, 2, 100] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        for _ in 0..20 {
            let target = format!("/second/v1/files?limit={limit}{after}");
            let page = gate.ask_as_key(Ask::get(&target)).await;
            assert_eq!(page.status(), 200, "{}", page.text());
            let page = page.json();
            let ids: Vec<String> = page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| file["id"].as_str().unwrap().to_owned())
                .collect();
            let Some(last) = ids.last().cloned() else { break };
            assert_eq!(page["last_id"], last.as_str());
            seen.extend(ids);
            after = format!("&after={last}");
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(seen, mine, "limit {limit}");
    }
    let other = gate.ask(&Ask::get("/second/v1/files").key(&gate.keys[2].1)).await.json();
    assert_eq!(other["data"].as_array().unwrap().len(), 0, "another organization");
}

#[tokio::test]
async fn ids_from_elsewhere_are_refused_unless_configured_and_always_for_restricted_keys() {
    let unknown = Ask::get("/second/v1/files/file-elsewhere");
    let strict = gate("");
    not_found(&strict, &strict.ask_as_key(unknown.clone()).await, Reason::ObjectUnknown).await;
    let lax = gate("objects: {unknown: allow}");
    assert_eq!(
        lax.ask_as_key(unknown.clone()).await.text(),
        r#"{"error":{"code":null,"message":"No such object","param":"id","type":"invalid_request_error"}}"#
    );
    not_found(&lax, &lax.ask(&unknown.key(&lax.keys[3].1)).await, Reason::ObjectUnknown).await;
}

#[tokio::test]
async fn a_response_is_continued_by_its_team_only_and_where_it_was_made() {
    let gate = gate("");
    let made = gate.ask_as_key(Ask::post("/second/v1/responses", r#"{"model":"gpt-4o","input":"hi"}"#)).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let next = |id: &str| {
        Ask::post(
            "/v1/responses",
            format!(r#"{{"model":"gpt-4o","input":"more","previous_response_id":"{id}"}}"#),
        )
    };
    let mine = gate.ask_as_key(next(&id)).await;
    assert_eq!(mine.status(), 200, "{}", mine.text());
    assert_eq!(gate.record_of(&mine).await.provider.as_deref(), Some("second"), "where it was made");
    let theirs = gate.ask(&next(&id).key(&gate.keys[1].1)).await;
    not_found(&gate, &theirs, Reason::ObjectForeign).await;
    // Written with escapes it is the same member.
    let escaped = next(&id).body(format!(r#"{{"model":"gpt-4o","previous\u005fresponse_id":"{id}"}}"#));
    not_found(&gate, &gate.ask(&escaped.key(&gate.keys[1].1)).await, Reason::ObjectForeign).await;
    // One that was made elsewhere passes: it is the provider's to know.
    assert_eq!(gate.ask(&next("resp_elsewhere").key(&gate.keys[1].1)).await.status(), 200);
    // Reading it again is not paid again.
    let again = gate.ask_as_key(Ask::get(&format!("/v1/responses/{id}"))).await;
    assert_eq!(again.json()["usage"]["total_tokens"], 16, "{}", again.text());
    assert!(gate.record_of(&again).await.usage.is_unknown());
    not_found(
        &gate,
        &gate.ask(&Ask::get(&format!("/v1/responses/{id}")).key(&gate.keys[1].1)).await,
        Reason::ObjectForeign,
    )
    .await;
}

#[tokio::test]
async fn a_streamed_response_is_bound_before_its_end_is_read_and_an_unstored_one_is_not() {
    let gate = gate("");
    let body = |more: &str| format!(r#"{{"model":"gpt-4o","input":"hi","stream":true{more}}}"#);
    let unstored = gate.ask_as_key(Ask::post("/second/v1/responses", body(r#","store":false"#))).await;
    assert_eq!(unstored.status(), 200);
    let id = "resp_fake0123456789abcdef0123456789abcdef01234567";
    assert!(unstored.text().contains(id));
    assert_eq!(gate.ledger.objects().owner(id, None).unwrap(), None);
    let stored = gate.ask_as_key(Ask::post("/second/v1/responses", body(""))).await;
    assert!(stored.text().contains("response.completed"));
    assert_eq!(gate.ask_as_key(Ask::get(&format!("/v1/responses/{id}"))).await.status(), 200);
    gate.records().await;
    // Another process sees it once it is written.
    let bound =
        crate::support::until("the binding", async || gate.ledger.objects().owner(id, None).unwrap()).await;
    assert_eq!((&*bound.provider, &*bound.kind, &*bound.owner.holder), ("second", "response", "blue"));
}

#[tokio::test]
async fn files_in_prompts_are_checked_where_a_provider_keeps_files() {
    let gate = gate("");
    let id = file(&gate, "/openai/v1/files", 0).await;
    let chat = Ask::post(
        "/v1/chat/completions",
        format!(
            r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":[{{"type":"file","file":{{"file_id":"{id}"}}}}]}}]}}"#
        ),
    );
    assert_eq!(gate.ask_as_key(chat.clone()).await.status(), 200);
    not_found(&gate, &gate.ask(&chat.key(&gate.keys[1].1)).await, Reason::ObjectForeign).await;
    let message = |text: &str| {
        Ask::post(
            "/v1/messages",
            format!(
                r#"{{"model":"claude-sonnet-4-5","max_tokens":5,"messages":[{{"role":"user","content":[{{"type":"document","source":{{"type":"file",{text}:"{id}"}}}}]}}]}}"#
            ),
        )
    };
    for text in [r#""file_id""#, r#""file\u005fid""#] {
        let answer = gate.ask(&message(text).key(&gate.keys[1].1)).await;
        assert_eq!((answer.status(), &*answer.code(Family::Anthropic)), (404, "object_not_found"), "{text}");
    }
}

/// A gateway whose provider `scripted` says what it is told to.
async fn scripted(acts: Vec<Act>, top: &str) -> (Gate, Scripted) {
    let provider = Scripted::start(acts).await;
    let text = format!(
        "kind: openai, base_url: 'http://{}/v1', api_key: sk-3, models: [], paths: [files, batches]",
        provider.address
    );
    let plan = Gate::plan().top(top).provider("scripted", &text).key(|key| key.team = Some("green".into()));
    (plan.start(), provider)
}

#[tokio::test]
async fn what_a_list_names_beside_an_object_belongs_to_its_team() {
    let list = r#"{"object":"list","data":[{"id":"batch_1","output_file_id":"file-out"},
        {"id":"batch_2","output_file_id":"file-other"}],"has_more":false}"#;
    let acts = vec![
        Act::json(200, "", r#"{"id":"batch_1","object":"batch","status":"validating"}"#),
        Act::json(200, "", list),
        Act::json(200, "", "{}"),
    ];
    let (gate, provider) = scripted(acts, "").await;
    let made =
        gate.ask_as_key(Ask::post("/scripted/v1/batches", r#"{"endpoint":"/v1/chat/completions"}"#)).await;
    assert_eq!(made.status(), 200, "{}", made.text());
    let output = Ask::get("/v1/files/file-out/content");
    not_found(&gate, &gate.ask_as_key(output.clone()).await, Reason::ObjectUnknown).await;
    let page = gate.ask_as_key(Ask::get("/scripted/v1/batches")).await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(gate.ask_as_key(output.clone()).await.text(), "{}");
    not_found(&gate, &gate.ask(&output.key(&gate.keys[1].1)).await, Reason::ObjectForeign).await;
    let other = gate.ask_as_key(Ask::get("/scripted/v1/files/file-other/content")).await;
    not_found(&gate, &other, Reason::ObjectUnknown).await;
    assert_eq!(provider.requests().len(), 3);
}

#[tokio::test]
async fn nothing_is_made_while_there_is_no_room_to_read_whose_it_is() {
    let made = || vec![Act::json(200, "", r#"{"id":"file-1","object":"file"}"#)];
    let (gate, _provider) = scripted(made(), "limits: {request_body: 1KiB, buffered_bodies: 16KiB}").await;
    assert_eq!(file(&gate, "/scripted/v1/files", 0).await, "file-1", "as much room as is needed");
    let (gate, provider) = scripted(made(), "limits: {request_body: 1KiB, buffered_bodies: 16383B}").await;
    let refused = gate.ask_as_key(upload("/scripted/v1/files")).await;
    assert_eq!(
        (refused.status(), refused.header("retry-after").is_some()),
        (503, true),
        "{}",
        refused.text()
    );
    assert_eq!(provider.requests().len(), 0, "the provider made nothing");
}

#[tokio::test]
async fn an_object_whose_answer_is_too_large_to_be_read_is_known_by_its_beginning() {
    let large = format!(r#"{{"object":"file","id":"file-1","more":"{}"}}"#, "x".repeat(5000));
    let acts = vec![Act::json(200, "", &large), Act::json(200, "", "{}")];
    let (gate, _provider) = scripted(acts, "limits: {metered_copy: 1KiB}").await;
    let made = gate.ask_as_key(upload("/scripted/v1/files")).await;
    assert_eq!((made.status(), made.text()), (200, large));
    let read = Ask::get("/v1/files/file-1/content");
    assert_eq!(gate.ask_as_key(read.clone()).await.text(), "{}");
    not_found(&gate, &gate.ask(&read.key(&gate.keys[1].1)).await, Reason::ObjectForeign).await;
}

#[tokio::test]
async fn an_item_of_a_response_is_referred_to_by_its_team_only() {
    let completed = r#"{"id":"resp_1","object":"response","status":"completed","model":"gpt-4o",
        "output":[{"type":"reasoning","id":"rs_1"},{"type":"message","id":"msg_1","role":"assistant","content":[]}]}"#;
    let event = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{}}}\n\n",
        completed.replace('\n', "")
    );
    let streamed = event.replace("resp_1", "resp_2").replace("msg_1", "msg_2");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
        streamed.len()
    );
    let acts = vec![
        Act::json(200, "", completed),
        Act::Say(format!("{head}{streamed}").into_bytes()),
        Act::json(200, "", completed),
    ];
    let (gate, provider) = scripted(acts, "objects: {unknown_in_prompts: refuse}").await;
    let ask = |body: &str| Ask::post("/scripted/v1/responses", format!(r#"{{"model":"gpt-4o",{body}}}"#));
    assert_eq!(gate.ask_as_key(ask(r#""input":"hi""#)).await.status(), 200);
    assert_eq!(gate.ask_as_key(ask(r#""input":"hi","stream":true"#)).await.text(), streamed);
    for id in ["msg_1", "rs_1", "msg_2"] {
        for item in [format!(r#"{{"type":"item_reference","id":"{id}"}}"#), format!(r#"{{"id":"{id}"}}"#)] {
            let next = ask(&format!(r#""input":[{item},{{"role":"user","content":"more"}}]"#));
            let mine = gate.ask_as_key(next.clone()).await;
            assert_eq!(mine.status(), 200, "{item} {}", mine.text());
            not_found(&gate, &gate.ask(&next.key(&gate.keys[1].1)).await, Reason::ObjectForeign).await;
        }
    }
    let unknown = ask(r#""input":[{"type":"item_reference","id":"msg_elsewhere"}]"#);
    not_found(&gate, &gate.ask_as_key(unknown).await, Reason::ObjectUnknown).await;
    assert_eq!(provider.requests().len(), 8);
}
