//! `POST /v1/completions`, the legacy text completion.

use super::{CREATED, data, one};
use crate::answer::Piece;
use crate::ask::Ask;
use crate::script::{Script, quote};

const ID: &str = "cmpl-CfakeRu5nTq0vXzYbW2dLmPsEo4Ha";

fn usage(script: &Script) -> String {
    let (input, output) = (script.input, script.output());
    format!(
        "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{}}}}}",
        input.saturating_add(output),
        script.cached,
        script.reasoning
    )
}

fn object(ask: &Ask, choices: &str, usage: &str) -> String {
    format!(
        "{{\"id\":\"{ID}\",\"object\":\"text_completion\",\"created\":{CREATED},\"model\":{},\
         \"choices\":[{choices}]{usage}}}",
        quote(&ask.model)
    )
}

fn choice(text: &str, finish: &str) -> String {
    format!("{{\"text\":{},\"index\":0,\"logprobs\":null,\"finish_reason\":{finish}}}", quote(text))
}

/// The whole answer.
pub(super) fn whole(ask: &Ask, script: &Script) -> Vec<Piece> {
    let usage = match script.tells_usage {
        true => format!(",\"usage\":{}", usage(script)),
        false => String::new(),
    };
    one(object(ask, &choice(&script.whole(), "\"stop\""), &usage), script)
}

/// The stream.
pub(super) fn stream(ask: &Ask, script: &Script) -> Vec<Piece> {
    let told = ask.include_usage && script.tells_usage;
    let null = if told { ",\"usage\":null" } else { "" };
    let mut pieces: Vec<Piece> = script
        .steps()
        .map(|(text, total)| Piece::content(data(&object(ask, &choice(text, "null"), null)), total))
        .collect();
    let mut end = data(&object(ask, &choice("", "\"stop\""), null));
    if told {
        end.push_str(&data(&object(ask, "", &format!(",\"usage\":{}", usage(script)))));
    }
    end.push_str(&data("[DONE]"));
    pieces.push(Piece::frame(end, script.output()));
    pieces
}
