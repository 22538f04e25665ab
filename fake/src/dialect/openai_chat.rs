//! `POST /v1/chat/completions` (<https://platform.openai.com/docs/api-reference/chat>, seen 2026-11).
//!
//! The usage chunk comes only when `stream_options.include_usage` asks for it; then every other chunk carries
//! `"usage":null`. `prompt_tokens` includes cached tokens, `completion_tokens` includes reasoning.

use super::{CREATED, argument_pieces, data, one};
use crate::answer::Piece;
use crate::ask::Ask;
use crate::script::{Script, quote};

const ID: &str = "chatcmpl-CfakeRu5nTq0vXzYbW2dLmPsEo4Ha";

fn usage(script: &Script) -> String {
    let (input, output) = (script.input, script.output());
    format!(
        "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{},\"audio_tokens\":0}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{},\"audio_tokens\":0,\
         \"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}",
        input.saturating_add(output),
        script.cached,
        script.reasoning
    )
}

/// The whole answer.
pub(super) fn whole(ask: &Ask, script: &Script) -> Vec<Piece> {
    let (message, finish) = match &ask.tool {
        None => (format!("\"content\":{}", quote(&script.whole())), "stop"),
        Some(name) => {
            let arguments: String = argument_pieces(script).into_iter().map(|(part, _)| part).collect();
            let call = format!("\"name\":{},\"arguments\":{}", quote(name), quote(&arguments));
            let call = format!("{{\"id\":\"call_fake0001\",\"type\":\"function\",\"function\":{{{call}}}}}");
            (format!("\"content\":null,\"tool_calls\":[{call}]"), "tool_calls")
        }
    };
    let usage = match script.tells_usage {
        true => format!(",\"usage\":{}", usage(script)),
        false => String::new(),
    };
    let json = format!(
        "{{\"id\":\"{ID}\",\"object\":\"chat.completion\",\"created\":{CREATED},\"model\":{},\"choices\":[{{\
         \"index\":0,\"message\":{{\"role\":\"assistant\",{message},\"refusal\":null,\"annotations\":[]}},\
         \"logprobs\":null,\"finish_reason\":\"{finish}\"}}]{usage},\"service_tier\":\"default\",\
         \"system_fingerprint\":\"fp_fake00001\"}}",
        quote(&ask.model)
    );
    one(json, script)
}

/// The stream.
pub(super) fn stream(ask: &Ask, script: &Script) -> Vec<Piece> {
    let told = ask.include_usage && script.tells_usage;
    let model = quote(&ask.model);
    let chunk = |choices: &str, usage: &str| {
        data(&format!(
            "{{\"id\":\"{ID}\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":{model},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_fake00001\",\"choices\":[{choices}]{usage},\
             \"obfuscation\":\"aBcDeFg\"}}"
        ))
    };
    let delta = |delta: &str, finish: &str| {
        let choice =
            format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}");
        chunk(&choice, if told { ",\"usage\":null" } else { "" })
    };
    let mut pieces = Vec::with_capacity(script.texts.len() + 2);
    let start = match &ask.tool {
        None => delta("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null"),
        Some(name) => delta(
            &format!(
                "{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"index\":0,\"id\":\"call_fake0001\",\
                 \"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":\"\"}}}}],\"refusal\":null}}",
                quote(name)
            ),
            "null",
        ),
    };
    pieces.push(Piece::frame(start, script.reasoning));
    match &ask.tool {
        None => pieces.extend(script.steps().map(|(text, total)| {
            Piece::content(delta(&format!("{{\"content\":{}}}", quote(text)), "null"), total)
        })),
        Some(_) => pieces.extend(argument_pieces(script).into_iter().map(|(part, total)| {
            let call = format!("{{\"index\":0,\"function\":{{\"arguments\":{}}}}}", quote(&part));
            Piece::content(delta(&format!("{{\"tool_calls\":[{call}]}}"), "null"), total)
        })),
    }
    let mut end = delta("{}", if ask.tool.is_some() { "\"tool_calls\"" } else { "\"stop\"" });
    if told {
        end.push_str(&chunk("", &format!(",\"usage\":{}", usage(script))));
    }
    end.push_str(&data("[DONE]"));
    pieces.push(Piece::frame(end, script.output()));
    pieces
}
