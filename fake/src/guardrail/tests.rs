use super::*;
use judge::TRIGGERS;

/// A question of each contract about one text: vendor, path, body.
fn question(vendor: &str, text: &str) -> (&'static str, Value) {
    match vendor {
        "azure_content_safety" => (
            "contentsafety/text:analyze?api-version=1",
            json!({"text": text, "categories": ["Hate", "Violence"]}),
        ),
        "bedrock_guardrails" => {
            ("guardrail/g/version/1/apply", json!({"source": "INPUT", "content": [{"text": {"text": text}}]}))
        }
        "crowdstrike_aidr" => (
            "v1/guard_chat_completions",
            json!({"guard_input": {"messages": [{"role": "user", "content": text}]}, "event_type": "input"}),
        ),
        "lakera" => ("v2/guard", json!({"messages": [{"role": "user", "content": text}]})),
        "model_armor" => (
            "v1/projects/p/locations/l/templates/t:sanitizeUserPrompt",
            json!({"userPromptData": {"text": text}}),
        ),
        "openai_moderation" => ("v1/moderations", json!({"input": [text]})),
        "patronus" => {
            ("v1/evaluate", json!({"evaluators": [{"evaluator": "pii"}], "evaluated_model_output": text}))
        }
        "presidio" => ("analyze", json!({"text": text, "language": "en"})),
        "prisma_airs" => (
            "v1/scan/sync/request",
            json!({"ai_profile": {"profile_name": "p"}, "contents": [{"prompt": text}]}),
        ),
        "webhook" => (
            "anything",
            json!({"version": 1, "stage": "input", "facts": {}, "segments": [{"path": "p", "text": text}]}),
        ),
        other => panic!("no question for {other}"),
    }
}

fn ask(vendor: &str, behaviour: &str, text: &str, knob: Option<Behaviour>) -> Reply {
    let (path, body) = question(vendor, text);
    let target = match behaviour {
        "" => format!("/guardrails/{vendor}/{path}"),
        behaviour => format!("/guardrails/{vendor}/{behaviour}/{path}"),
    };
    answer("POST", &target, body.to_string().as_bytes(), knob).unwrap()
}

fn value(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn path_knob_and_text_ask_for_the_same() {
    for vendor in vendors() {
        let clean = ask(vendor, "", "hello there", None);
        assert_eq!(clean.status, 200, "{vendor}");
        for (word, behaviour) in
            [("flagged", Behaviour::Flagged), ("masked", Behaviour::Masked), ("blocked", Behaviour::Blocked)]
        {
            let by_path = ask(vendor, word, "hello there", None);
            assert_eq!(by_path, ask(vendor, "", "hello there", Some(behaviour)), "{vendor} {word}");
            assert_ne!(value(&by_path), value(&clean), "{vendor} {word}");
            // The path wins over knob and text.
            assert_eq!(by_path, ask(vendor, word, "hello there", Some(Behaviour::Ok)), "{vendor} {word}");
            let (trigger, _) = TRIGGERS.iter().find(|(_, one)| *one == behaviour).unwrap();
            let quiet = ask(vendor, "ok", trigger, None);
            assert_ne!(value(&ask(vendor, "", trigger, None)), value(&quiet), "{vendor} {word}");
            assert_eq!(quiet, ask(vendor, "", trigger, Some(Behaviour::Ok)), "{vendor} {word}");
        }
    }
}

#[test]
fn failures_are_those_asked_for() {
    for vendor in vendors() {
        let of = |word: &str| ask(vendor, word, "hello", None);
        assert_eq!((of("limited").status, of("failing").status), (429, 500));
        let malformed = of("malformed");
        assert_eq!(malformed.status, 200);
        assert!(serde_json::from_slice::<Value>(&malformed.body).is_err(), "{vendor}");
        assert_eq!((of("nonsense").body, of("empty").body), (b"{}".to_vec(), Vec::new()));
        let slow = of("slow");
        assert_eq!((slow.delay_ms, value(&slow)), (SLOW_MS, value(&of("ok"))));
    }
}

#[test]
fn every_trigger_is_a_behaviour_of_its_own() {
    for (trigger, behaviour) in TRIGGERS {
        let judge = Judge::new(None, &json!({"a": [{"b": format!("x {trigger} y")}]}));
        assert_eq!(judge.behaviour, *behaviour);
    }
    assert_eq!(Judge::new(None, &json!("nothing")).behaviour, Behaviour::Ok);
}

#[test]
fn what_is_found_is_masked() {
    let first = Judge::new(Some(Behaviour::Masked), &Value::Null);
    assert_eq!(first.masked("  Größe zählt"), format!("  {MASK} zählt"));
    assert_eq!(first.masked(" \n"), " \n");
    let body = json!("a [[mask]] b [[mask]]");
    let triggered = Judge::new(None, &body);
    assert_eq!(triggered.masked("a [[mask]] b [[mask]]"), format!("a {MASK} b {MASK}"));
    assert!(!triggered.hits("another text of the same request"));
}

#[test]
fn what_no_contract_has_is_refused() {
    let status = |method: &str, target: &str, body: &[u8]| {
        answer(method, target, body, None).map(|reply| reply.status)
    };
    assert_eq!(status("POST", "/v1/chat/completions", b"{}"), None);
    assert_eq!(status("POST", "/guardrails/nobody/x", b"{}"), Some(404));
    assert_eq!(status("GET", "/guardrails/presidio/analyze", b""), Some(405));
    assert_eq!(status("POST", "/guardrails/presidio/analyze", b"no JSON"), Some(400));
    for vendor in vendors() {
        let (path, body) = question(vendor, "x");
        let target = format!("/guardrails/{vendor}/{path}");
        assert_eq!(status("POST", &target, b"{}"), Some(400), "{vendor}");
        assert_eq!(status("POST", &target, body.to_string().as_bytes()), Some(200), "{vendor}");
        if vendor != "webhook" {
            let elsewhere = format!("/guardrails/{vendor}/v9/other");
            assert_eq!(status("POST", &elsewhere, body.to_string().as_bytes()), Some(400), "{vendor}");
        }
    }
}

#[test]
fn the_anonymizer_masks_what_the_analyzer_found() {
    let text = "Größe zählt, sagt Ann";
    let body = json!({"text": text, "analyzer_results": [{"start": 0, "end": 5, "entity_type": "PERSON"},
        {"start": 18, "end": 21, "entity_type": "PERSON"}]});
    let reply = answer("POST", "/guardrails/presidio/anonymize", body.to_string().as_bytes(), None).unwrap();
    assert_eq!(value(&reply)["text"], format!("{MASK} zählt, sagt {MASK}"));
    let out = json!({"text": text, "analyzer_results": [{"start": 0, "end": 50, "entity_type": "PERSON"}]});
    let reply = answer("POST", "/guardrails/presidio/anonymize", out.to_string().as_bytes(), None).unwrap();
    assert_eq!(reply.status, 400);
}
