//! Golden questions and answers, written from the vendor's API reference and public clients.

use super::*;
use crate::remote::testing::{self, found, user};

fn settings() -> Value {
    json!({"evaluators": ["pii", "judge patronus:prompt-injection"]})
}

fn ask(results: &Value) -> Result<Verdict, RemoteError> {
    let answer = json!({"results": results});
    testing::verdict(KIND.name, &settings(), Stage::Output, &[user("a", "Hello.")], |_, _| answer.clone())
}

fn result(pass: &Value) -> Value {
    json!({"evaluator_id": "e", "criteria": "c", "status": "success", "error_message": null,
        "evaluation_result": {"pass": pass, "score_raw": 0.25, "additional_info": {"positions": [[0, 5]]}}})
}

#[test]
fn the_question() {
    let calls =
        testing::calls(KIND.name, &settings(), Stage::Input, &[user("a", "Hello."), user("b", "Bye.")]);
    let [(call, body)] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth), ("/v1/evaluate", &Auth::Header("x-api-key")));
    let golden = json!({"evaluators": [{"evaluator": "pii", "explain_strategy": "never"},
            {"evaluator": "judge", "criteria": "patronus:prompt-injection", "explain_strategy": "never"}],
        "evaluated_model_input": "Hello.\n\nBye.", "evaluated_model_output": "Hello.\n\nBye.", "capture": "none"});
    assert_eq!(*body, golden);
    let output = testing::calls(KIND.name, &settings(), Stage::Output, &[user("a", "Hello.")]);
    assert_eq!(output[0].1.get("evaluated_model_input"), None);
}

#[test]
fn evaluators_that_fail_are_findings() {
    let (pass, fail) = (result(&json!(true)), result(&json!(false)));
    assert_eq!(ask(&json!([pass, pass])), Ok(Verdict::Pass));
    let said = ask(&json!([pass, fail])).unwrap();
    assert_eq!(
        (said.as_str(), found(&said)),
        ("flag", vec!["judge patronus:prompt-injection - 25 0".to_owned()])
    );
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let pass = result(&json!(true));
    let number = Err(RemoteError::Malformed("another number of results than of evaluators"));
    assert_eq!(ask(&json!([])), number);
    assert_eq!(ask(&json!([pass])), number);
    let neither = Err(RemoteError::Malformed("neither passed nor failed"));
    assert_eq!(ask(&json!([pass, result(&json!(null))])), neither);
    assert_eq!(ask(&json!([pass, {"error_message": null}])), Err(RemoteError::Malformed("no result")));
    let mut broken = pass.clone();
    broken["error_message"] = json!("out of credit");
    assert_eq!(ask(&json!([pass, broken])), Err(RemoteError::Incomplete));
    let word = Err(RemoteError::Malformed("not the JSON of a verdict"));
    assert_eq!(ask(&json!([pass, result(&json!("true"))])), word);
}

#[test]
fn limits_hold() {
    let evaluators = |count: usize| {
        crate::remote::Remote::configure(KIND.name, json!({"evaluators": vec!["pii"; count]})).is_ok()
    };
    assert_eq!([0, 1, MAX_EVALUATORS, MAX_EVALUATORS + 1].map(evaluators), [false, true, true, false]);
    let text = "ß".repeat(MAX_TEXT_CODE_POINTS + 1);
    let count = |text: &str| testing::calls(KIND.name, &settings(), Stage::Input, &[user("a", text)]).len();
    assert_eq!((count(&text["ß".len()..]), count(&text)), (1, 2));
}
