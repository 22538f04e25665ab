//! Golden questions and answers, written from the API reference.

use super::*;
use crate::remote::Stage;
use crate::remote::testing::{self, found, user};
use serde_json::Value;

fn ask(settings: &Value, results: &Value) -> Result<Verdict, RemoteError> {
    let segments = [user("a", "Hello."), user("b", "Bye.")];
    let answer = json!({"id": "modr-1", "model": "omni-moderation-latest", "results": results});
    testing::verdict(KIND.name, settings, Stage::Input, &segments, |_, _| answer.clone())
}

fn result(flagged: bool, hate: f64) -> Value {
    json!({"flagged": flagged, "categories": {"hate": flagged, "violence": false},
        "category_scores": {"hate": hate, "violence": 0.01}, "category_applied_input_types": {"hate": ["text"]}})
}

#[test]
fn the_question() {
    let calls =
        testing::calls(KIND.name, &json!({}), Stage::Input, &[user("a", "Hello."), user("b", "Bye.")]);
    let [(call, body)] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth), ("/v1/moderations", &Auth::Bearer));
    assert_eq!(*body, json!({"model": "omni-moderation-latest", "input": ["Hello.", "Bye."]}));
}

#[test]
fn its_own_threshold_or_ours() {
    let both = |flagged, score| json!([result(false, 0.1), result(flagged, score)]);
    assert_eq!(ask(&json!({}), &both(false, 0.4)), Ok(Verdict::Pass));
    assert_eq!(found(&ask(&json!({}), &both(true, 0.9)).unwrap()), ["hate - - 90 1"]);
    let lower = json!({"thresholds": {"hate": 0.4}});
    assert_eq!(found(&ask(&lower, &both(false, 0.4)).unwrap()), ["hate - - 40 1"]);
    assert_eq!(ask(&lower, &both(false, 0.39)), Ok(Verdict::Pass));
    let higher = json!({"thresholds": {"hate": 0.95}});
    assert_eq!(ask(&higher, &both(true, 0.9)), Ok(Verdict::Pass));
    let unexplained = json!([result(false, 0.1), {"flagged": true, "categories": {}, "category_scores": {}}]);
    assert_eq!(found(&ask(&json!({}), &unexplained).unwrap()), ["flagged - - - 1"]);
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let one = || result(false, 0.1);
    let number = Err(RemoteError::Malformed("another number of results than of texts"));
    assert_eq!(ask(&json!({}), &json!([])), number);
    assert_eq!(ask(&json!({}), &json!([one()])), number);
    assert_eq!(ask(&json!({}), &json!([one(), result(false, 1.5)])), Err(RemoteError::Malformed("a score")));
    let unknown = json!({"thresholds": {"haet": 0.5}});
    let missing = Err(RemoteError::Malformed("a category without a score"));
    assert_eq!(ask(&unknown, &json!([one(), one()])), missing);
    for key in ["flagged", "categories", "category_scores"] {
        let mut broken = one();
        broken.as_object_mut().unwrap().remove(key);
        let malformed = Err(RemoteError::Malformed("not the JSON of a verdict"));
        assert_eq!(ask(&json!({}), &json!([one(), broken])), malformed, "{key}");
    }
}

#[test]
fn texts_are_cut_and_calls_filled_to_their_limits() {
    let text = "ß".repeat(MAX_TEXT_CODE_POINTS + 1);
    let texts = |text: &str| {
        let calls = testing::calls(KIND.name, &json!({}), Stage::Input, &[user("a", text)]);
        calls[0].1["input"].as_array().unwrap().len()
    };
    assert_eq!((texts(&text["ß".len()..]), texts(&text)), (1, 2));
    let many = vec![user("a", "x"); MAX_TEXTS + 1];
    let calls = |count: usize| testing::calls(KIND.name, &json!({}), Stage::Input, &many[..count]).len();
    assert_eq!((calls(MAX_TEXTS), calls(MAX_TEXTS + 1)), (1, 2));
}
