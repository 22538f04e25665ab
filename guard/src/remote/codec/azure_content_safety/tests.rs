//! Golden questions and answers, written from the REST reference.

use super::*;
use crate::remote::Segment;
use crate::remote::testing::{self, found, user};

const SEGMENTS: &[Segment<'_>] = &[
    Segment { path: "a", provenance: Provenance::System, text: "Be brief." },
    Segment { path: "b", provenance: Provenance::User, text: "Hello." },
    Segment { path: "c", provenance: Provenance::ToolResult, text: "a page" },
    Segment { path: "d", provenance: Provenance::Document, text: "a letter" },
];

/// A healthy answer with these severities and attacks.
fn answer(call: &Call, body: &Value, severity: u64, prompt: bool, document: bool) -> Value {
    if call.path.contains("analyze") {
        let one = |name: &Value| json!({"category": name, "severity": severity});
        let all: Vec<_> = body["categories"].as_array().unwrap().iter().map(one).collect();
        return json!({"categoriesAnalysis": all, "blocklistsMatch": []});
    }
    match body.get("documents").and_then(Value::as_array) {
        Some(documents) => {
            let last = documents.len() - 1;
            let one = |at: usize| json!({"attackDetected": document && at == last});
            json!({"documentsAnalysis": (0..=last).map(one).collect::<Vec<_>>()})
        }
        None => json!({"userPromptAnalysis": {"attackDetected": prompt}, "documentsAnalysis": []}),
    }
}

fn ask(settings: &Value, severity: u64, prompt: bool, document: bool) -> Result<Verdict, RemoteError> {
    let answer = |call: &Call, body: &Value| answer(call, body, severity, prompt, document);
    testing::verdict(KIND.name, settings, Stage::Input, SEGMENTS, answer)
}

#[test]
fn the_questions() {
    let settings = json!({"blocklists": ["ours"], "eight_levels": true, "sign_in": "bearer"});
    let calls = testing::calls(KIND.name, &settings, Stage::Input, SEGMENTS);
    let paths: Vec<_> = calls.iter().map(|(call, _)| call.path.as_str()).collect();
    let shield = "/contentsafety/text:shieldPrompt?api-version=2024-09-01";
    assert_eq!(paths, ["/contentsafety/text:analyze?api-version=2024-09-01", shield, shield]);
    assert_eq!(calls[0].0.auth, Auth::Bearer);
    let golden = json!({"text": "Be brief.\n\nHello.\n\na page\n\na letter", "outputType": "EightSeverityLevels",
        "categories": ["Hate", "SelfHarm", "Sexual", "Violence"], "blocklistNames": ["ours"],
        "haltOnBlocklistHit": false});
    assert_eq!(calls[0].1, golden);
    assert_eq!(calls[1].1, json!({"userPrompt": "Be brief.\n\nHello."}));
    assert_eq!(calls[2].1, json!({"documents": ["a page", "a letter"]}));
    let output = testing::calls(KIND.name, &json!({}), Stage::Output, SEGMENTS);
    assert_eq!((output.len(), &output[0].0.auth), (1, &Auth::Header("ocp-apim-subscription-key")));
    let shields = testing::calls(KIND.name, &json!({"categories": []}), Stage::Input, SEGMENTS);
    assert_eq!(shields.len(), 2);
    let nothing =
        crate::remote::Remote::configure(KIND.name, json!({"categories": [], "prompt_shields": false}));
    assert!(nothing.is_err());
}

#[test]
fn severities_flag_from_the_threshold_on() {
    let settings = json!({"categories": ["Hate"], "severity": 4});
    assert_eq!(ask(&settings, 0, false, false), Ok(Verdict::Pass));
    assert_eq!(ask(&settings, 3, false, false), Ok(Verdict::Pass));
    assert_eq!(found(&ask(&settings, 4, false, false).unwrap()), ["Hate - - 57 -"]);
    assert_eq!(found(&ask(&settings, 7, false, false).unwrap()), ["Hate - - 100 -"]);
    assert_eq!(ask(&settings, 8, false, false), Err(RemoteError::Malformed("a severity")));
}

#[test]
fn attacks_are_found_in_prompts_and_in_documents() {
    let said = ask(&json!({}), 0, true, true).unwrap();
    assert_eq!(
        (said.as_str(), found(&said)),
        (
            "flag",
            vec!["document_attack - injection - 3".to_owned(), "prompt_attack - injection - -".to_owned()]
        )
    );
}

#[test]
fn blocklist_hits_are_named_and_their_words_are_not() {
    let settings = json!({"blocklists": ["ours"], "prompt_shields": false});
    let hit = |call: &Call, body: &Value| {
        let mut answer = answer(call, body, 0, false, false);
        answer["blocklistsMatch"] =
            json!([{"blocklistName": "ours", "blocklistItemId": "1", "blocklistItemText": "canary"}]);
        answer
    };
    let said = testing::verdict(KIND.name, &settings, Stage::Input, SEGMENTS, hit).unwrap();
    assert_eq!(found(&said), ["blocklist ours custom - -"]);
    assert!(!format!("{said:?}").contains("canary"));
}

#[test]
fn what_was_not_looked_at_is_an_error() {
    let of = |broken: Value, which: &'static str| {
        let answer = move |call: &Call, body: &Value| match call.path.contains(which) {
            true => broken.clone(),
            false => answer(call, body, 0, false, false),
        };
        testing::verdict(KIND.name, &json!({}), Stage::Input, SEGMENTS, answer)
    };
    assert_eq!(
        of(json!({"categoriesAnalysis": []}), "analyze"),
        Err(RemoteError::Malformed("a category is missing"))
    );
    for broken in [json!({}), json!({"userPromptAnalysis": null}), json!({"documentsAnalysis": []})] {
        assert!(matches!(of(broken, "shieldPrompt"), Err(RemoteError::Malformed(_))));
    }
}

#[test]
fn text_is_packed_to_the_limit_and_cut_beyond_it() {
    let sizes = |texts: &[&str]| {
        let segments: Vec<_> = texts.iter().map(|text| user("p", text)).collect();
        let calls = testing::calls(KIND.name, &json!({"prompt_shields": false}), Stage::Input, &segments);
        calls.iter().map(|(_, body)| body["text"].as_str().unwrap().chars().count()).collect::<Vec<_>>()
    };
    let long = "ß".repeat(MAX_TEXT_CODE_POINTS + 1);
    let at_limit = &long["ß".len()..];
    assert_eq!(sizes(&[at_limit]), [MAX_TEXT_CODE_POINTS]);
    assert_eq!(sizes(&[&long]), [MAX_TEXT_CODE_POINTS, OVERLAP_CODE_POINTS + 1]);
    let half = "x".repeat(MAX_TEXT_CODE_POINTS / 2 - 1);
    assert_eq!(sizes(&[&half, &half]), [MAX_TEXT_CODE_POINTS]);
    assert_eq!(sizes(&[&half, &format!("{half}x")]).len(), 2);
    let documents: Vec<_> = (0..=MAX_DOCUMENTS)
        .map(|_| Segment { path: "p", provenance: Provenance::Document, text: "x" })
        .collect();
    let count = |documents: &[Segment<'_>]| {
        testing::calls(KIND.name, &json!({"categories": []}), Stage::Input, documents).len()
    };
    assert_eq!((count(&documents[1..]), count(&documents)), (1, 2));
}
