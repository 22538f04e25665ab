//! `POST /v1/responses` (<https://platform.openai.com/docs/api-reference/responses-streaming>, seen 2026-11).
//!
//! Usage is null until `response.completed` and comes unasked. There is no `[DONE]`.

use super::{CREATED, argument_pieces, event, one};
use crate::answer::Piece;
use crate::ask::Ask;
use crate::script::{Script, quote};

pub(crate) const ID: &str = "resp_fake0123456789abcdef0123456789abcdef01234567";
const ITEM: &str = "msg_fake0123456789abcdef0123456789abcdef01234567";
const CALL: &str = "fc_fake0123456789abcdef0123456789abcdef012345678";

fn usage(script: &Script) -> String {
    if !script.tells_usage {
        return "null".to_owned();
    }
    let (input, output) = (script.input, script.output());
    format!(
        "{{\"input_tokens\":{input},\"input_tokens_details\":{{\"cached_tokens\":{}}},\"output_tokens\":{output},\
         \"output_tokens_details\":{{\"reasoning_tokens\":{}}},\"total_tokens\":{}}}",
        script.cached,
        script.reasoning,
        input.saturating_add(output)
    )
}

fn response(ask: &Ask, status: &str, output: &str, usage: &str) -> String {
    format!(
        "{{\"id\":\"{ID}\",\"object\":\"response\",\"created_at\":{CREATED},\"status\":\"{status}\",\
         \"background\":false,\"error\":null,\"incomplete_details\":null,\"instructions\":null,\
         \"max_output_tokens\":null,\"model\":{},\"output\":[{output}],\"parallel_tool_calls\":true,\
         \"previous_response_id\":null,\"reasoning\":{{\"effort\":null,\"summary\":null}},\
         \"service_tier\":\"default\",\"store\":true,\"temperature\":1.0,\"tool_choice\":\"auto\",\"top_p\":1.0,\
         \"truncation\":\"disabled\",\"usage\":{usage},\"user\":null,\"metadata\":{{}}}}",
        quote(&ask.model)
    )
}

fn part(text: &str) -> String {
    format!("{{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":{}}}", quote(text))
}

/// The output item, finished or just begun.
fn item(ask: &Ask, script: &Script, done: bool) -> String {
    let status = if done { "completed" } else { "in_progress" };
    match &ask.tool {
        None => {
            let content = if done { part(&script.whole()) } else { String::new() };
            format!(
                "{{\"id\":\"{ITEM}\",\"type\":\"message\",\"status\":\"{status}\",\"content\":[{content}],\
                 \"role\":\"assistant\"}}"
            )
        }
        Some(name) => {
            let arguments = if done { arguments(script) } else { String::new() };
            format!(
                "{{\"id\":\"{CALL}\",\"type\":\"function_call\",\"status\":\"{status}\",\"arguments\":{},\
                 \"call_id\":\"call_fake0001\",\"name\":{}}}",
                quote(&arguments),
                quote(name)
            )
        }
    }
}

fn arguments(script: &Script) -> String {
    argument_pieces(script).into_iter().map(|(part, _)| part).collect()
}

/// The whole answer.
pub(super) fn whole(ask: &Ask, script: &Script) -> Vec<Piece> {
    one(response(ask, "completed", &item(ask, script, true), &usage(script)), script)
}

/// The stream.
pub(super) fn stream(ask: &Ask, script: &Script) -> Vec<Piece> {
    let mut sequence = 0u64;
    let mut next = |name: &str, rest: &str| {
        let json = format!("{{\"type\":\"{name}\",\"sequence_number\":{sequence},{rest}}}");
        sequence += 1;
        event(name, &json)
    };
    let begun = response(ask, "in_progress", "", "null");
    let mut start = next("response.created", &format!("\"response\":{begun}"));
    start.push_str(&next("response.in_progress", &format!("\"response\":{begun}")));
    let open = format!("\"output_index\":0,\"item\":{}", item(ask, script, false));
    start.push_str(&next("response.output_item.added", &open));
    let at = format!("\"item_id\":\"{ITEM}\",\"output_index\":0,\"content_index\":0");
    let call_at = format!("\"item_id\":\"{CALL}\",\"output_index\":0");
    if ask.tool.is_none() {
        start.push_str(&next("response.content_part.added", &format!("{at},\"part\":{}", part(""))));
    }
    let mut pieces = vec![Piece::frame(start, script.reasoning)];
    let mut end = String::new();
    if ask.tool.is_some() {
        for (text, total) in argument_pieces(script) {
            let delta = format!("{call_at},\"delta\":{},\"obfuscation\":\"aBcDeFg\"", quote(&text));
            pieces.push(Piece::content(next("response.function_call_arguments.delta", &delta), total));
        }
        let done = format!("{call_at},\"arguments\":{}", quote(&arguments(script)));
        end.push_str(&next("response.function_call_arguments.done", &done));
    } else {
        for (text, total) in script.steps() {
            let delta = format!("{at},\"delta\":{},\"logprobs\":[],\"obfuscation\":\"aBcDeFg\"", quote(text));
            pieces.push(Piece::content(next("response.output_text.delta", &delta), total));
        }
        let whole = script.whole();
        let done = format!("{at},\"text\":{},\"logprobs\":[]", quote(&whole));
        end.push_str(&next("response.output_text.done", &done));
        end.push_str(&next("response.content_part.done", &format!("{at},\"part\":{}", part(&whole))));
    }
    let done = item(ask, script, true);
    end.push_str(&next("response.output_item.done", &format!("\"output_index\":0,\"item\":{done}")));
    let complete = response(ask, "completed", &done, &usage(script));
    end.push_str(&next("response.completed", &format!("\"response\":{complete}")));
    pieces.push(Piece::frame(end, script.output()));
    pieces
}
