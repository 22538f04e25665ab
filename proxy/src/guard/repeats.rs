//! What repeats the words of an answer token by token, and would give away what was masked in them.

use narrows_guard::body::Splice;
use narrows_guard::json::values_of;

/// Members whose lists and objects repeat an answer's tokens: OpenAI's, Cohere's and Mistral's `logprobs`, Gemini's
/// `logprobsResult`, and the `token_ids` of vLLM.
const NAMES: [&str; 4] = ["logprobs", "logprobsResult", "logprobs_result", "token_ids"];

/// Members whose objects are arguments of a tool: what they hold is the tool's, whatever its name.
const ARGUMENTS: [&str; 3] = ["input", "args", "arguments"];

/// Empties every repetition in the JSON of an answer or an event: clients expect a list where one was, and nothing where
/// an object was, as when they had not asked for it.
pub(crate) fn emptied(json: &str) -> Vec<Splice> {
    let emptied = |range: std::ops::Range<usize>| {
        let with = if json[range.clone()].starts_with('[') { "[]" } else { "null" };
        Splice { range, with: with.to_owned() }
    };
    values_of(json, &NAMES, &ARGUMENTS).into_iter().map(emptied).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_guard::body::splice;

    #[test]
    fn every_member_that_repeats_is_emptied_however_deep_but_in_arguments() {
        let without = |json: &str| String::from_utf8(splice(json.as_bytes(), emptied(json))).unwrap();
        for name in ["logprobs", "logprobsResult", "logprobs_result", "token_ids"] {
            let deep = |depth: usize, value: &str| {
                let (open, close) = (r#"{"a":[[{"b":"#.repeat(depth), "}]]}".repeat(depth));
                format!(r#"{open}{{"{name}":{value},"n":1}}{close}"#)
            };
            for depth in [0, 1, 2, 9, 60] {
                for (value, empty) in
                    [(r#"[{"token":"ann"},[["]"]]]"#, "[]"), (r#"{"x":[["}",{"y":[]}]]}"#, "null")]
                {
                    assert_eq!(without(&deep(depth, value)), deep(depth, empty), "{name} {depth}");
                }
            }
            for arguments in ["input", "args", "arguments"] {
                let json = format!(r#"{{"{arguments}":{},"b":2}}"#, deep(3, "[7]"));
                assert_eq!(without(&json), json, "{name} in {arguments} is the tool's");
            }
        }
    }

    #[test]
    fn repetitions_are_emptied_and_the_rest_stays() {
        let answer = r#"{"choices":[{"message":{"content":"[EMAIL_1]"},"logprobs":{"content":[{"token":"ann"}]}}],"output":[{"logprobs":[{"token":"@"}]}],"args":{"token_ids":[7]},"n":1}"#;
        let emptied = splice(answer.as_bytes(), emptied(answer));
        assert_eq!(
            String::from_utf8(emptied).unwrap(),
            r#"{"choices":[{"message":{"content":"[EMAIL_1]"},"logprobs":null}],"output":[{"logprobs":[]}],"args":{"token_ids":[7]},"n":1}"#
        );
    }
}
