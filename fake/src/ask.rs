//! What a request asks for: the path and the few fields of its body that change the answer.

use crate::schema;
use narrows_llm::dialect::{Dialect, Family};
use serde_json::Value;

/// Words in the last user message that make the fake call the request's first tool.
pub const TOOL_TRIGGER: &str = "call a tool";

/// Inputs answered in one embeddings request; more are refused, as providers do.
pub const MAX_INPUTS: usize = 2048;

/// The operation a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Generate or embed.
    Generate,
    /// Count the prompt's tokens.
    CountTokens,
    /// List the models.
    Models,
}

/// How the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON value.
    Unary,
    /// Server-sent events.
    Events,
    /// A JSON array whose elements come one by one (Gemini without `alt=sse`).
    Array,
}

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    pub(crate) form: Form,
    pub(crate) model: String,
    pub(crate) include_usage: bool,
    pub(crate) tool: Option<String>,
    /// The schema that the answer's text follows, if JSON is asked for.
    pub(crate) schema: Option<Value>,
    pub(crate) inputs: usize,
    pub(crate) dimensions: usize,
    pub(crate) base64: bool,
    pub(crate) body_bytes: usize,
}

/// Why a request cannot be understood; each becomes the family's own error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound(Family),
    BadJson(Family),
    NoModel(Family),
    TooManyInputs,
}

/// The operation a path names, under any prefix, with the model if the path carries it.
pub(crate) fn route<'p>(
    method: &str,
    target: &'p str,
) -> Option<(Dialect, Operation, Form, Option<&'p str>)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let post = method == "POST";
    if let Some((before, action)) = path.rsplit_once(':') {
        let model = before.rsplit_once("/models/")?.1;
        let (operation, form) = match action {
            "generateContent" => (Operation::Generate, Form::Unary),
            "streamGenerateContent" if query.split('&').any(|pair| pair == "alt=sse") => {
                (Operation::Generate, Form::Events)
            }
            "streamGenerateContent" => (Operation::Generate, Form::Array),
            "countTokens" => (Operation::CountTokens, Form::Unary),
            _ => return None,
        };
        return post.then_some((Dialect::GeminiGenerate, operation, form, Some(model)));
    }
    let generate = |dialect| post.then_some((dialect, Operation::Generate, Form::Unary, None));
    let ends = |tail: &str| path.ends_with(tail);
    if ends("/chat/completions") {
        generate(Dialect::OpenaiChat)
    } else if ends("/completions") {
        generate(Dialect::OpenaiCompletions)
    } else if ends("/responses") || ends("/responses/compact") {
        generate(Dialect::OpenaiResponses)
    } else if ends("/embeddings") {
        generate(Dialect::OpenaiEmbeddings)
    } else if ends("/messages") {
        generate(Dialect::AnthropicMessages)
    } else if ends("/messages/count_tokens") {
        post.then_some((Dialect::AnthropicMessages, Operation::CountTokens, Form::Unary, None))
    } else if ends("/v1beta/models") && method == "GET" {
        Some((Dialect::GeminiGenerate, Operation::Models, Form::Unary, None))
    } else if ends("/models") && method == "GET" {
        Some((Dialect::OpenaiChat, Operation::Models, Form::Unary, None))
    } else {
        None
    }
}

impl Ask {
    /// Reads the request. `anthropic` says whether it carries an `anthropic-version` header.
    pub(crate) fn read(method: &str, target: &str, anthropic: bool, body: &[u8]) -> Result<Ask, Refusal> {
        let guess = if anthropic { Family::Anthropic } else { Family::Openai };
        let (mut dialect, operation, mut form, model) =
            route(method, target).ok_or(Refusal::NotFound(guess))?;
        if operation == Operation::Models && anthropic {
            dialect = Dialect::AnthropicMessages;
        }
        let family = dialect.family();
        let value = match operation {
            Operation::Models => Value::Null,
            _ => serde_json::from_slice(body).map_err(|_invalid| Refusal::BadJson(family))?,
        };
        let model = model.or_else(|| value["model"].as_str()).unwrap_or_default().to_owned();
        if model.is_empty() && operation != Operation::Models {
            return Err(Refusal::NoModel(family));
        }
        if form == Form::Unary && value["stream"] == Value::Bool(true) && operation == Operation::Generate {
            form = Form::Events;
        }
        let inputs = value["input"]
            .as_array()
            .map_or(1, |list| if list.iter().all(Value::is_number) { 1 } else { list.len() });
        if inputs > MAX_INPUTS && dialect == Dialect::OpenaiEmbeddings {
            return Err(Refusal::TooManyInputs);
        }
        let dimensions = value["dimensions"].as_u64().unwrap_or(256).min(4096);
        Ok(Ask {
            dialect,
            operation,
            form,
            model,
            include_usage: value["stream_options"]["include_usage"] == Value::Bool(true),
            tool: wanted_tool(&value),
            schema: schema::wanted(&value),
            inputs,
            dimensions: usize::try_from(dimensions).unwrap_or(256),
            base64: value["encoding_format"] == "base64",
            body_bytes: body.len(),
        })
    }
}

/// The first tool's name, when the last message is a user's and its text asks for a tool call.
fn wanted_tool(value: &Value) -> Option<String> {
    let messages = ["messages", "contents", "input"].iter().find_map(|name| value[*name].as_array());
    let last = match messages {
        // Agents put reminders behind the user's words.
        Some(list) => list.iter().rev().find(|item| !is_instruction(item))?,
        None => &value["input"],
    };
    if last["role"].as_str().is_some_and(|role| role != "user") || !mentions(last, 0) {
        return None;
    }
    let tool = &value["tools"][0];
    let declared = [&tool["function"]["name"], &tool["name"], &tool["functionDeclarations"][0]["name"]];
    declared.into_iter().find_map(Value::as_str).map(str::to_owned)
}

/// Whether a message is the application's and not a part of the dialogue.
fn is_instruction(message: &Value) -> bool {
    matches!(message["role"].as_str(), Some("system" | "developer"))
}

/// Whether a text of the message (down to four levels, and not a tool's result) has the trigger words.
fn mentions(value: &Value, depth: usize) -> bool {
    if depth > 4 || value["type"] == "tool_result" || value["type"] == "function_call_output" {
        return false;
    }
    match value {
        Value::String(text) => text.contains(TOOL_TRIGGER),
        Value::Array(list) => list.iter().any(|item| mentions(item, depth + 1)),
        Value::Object(map) => ["content", "text", "parts"]
            .iter()
            .any(|name| map.get(*name).is_some_and(|inner| mentions(inner, depth + 1))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_under_any_prefix() {
        for (method, target, dialect, form) in [
            ("POST", "/v1/chat/completions", Dialect::OpenaiChat, Form::Unary),
            (
                "POST",
                "/openai/deployments/x/chat/completions?api-version=1",
                Dialect::OpenaiChat,
                Form::Unary,
            ),
            ("POST", "/v1/completions", Dialect::OpenaiCompletions, Form::Unary),
            ("POST", "/anthropic/v1/messages?beta=true", Dialect::AnthropicMessages, Form::Unary),
            ("POST", "/v1beta/models/gemini-x:streamGenerateContent", Dialect::GeminiGenerate, Form::Array),
            (
                "POST",
                "/p/v1beta/models/g:streamGenerateContent?key=k&alt=sse",
                Dialect::GeminiGenerate,
                Form::Events,
            ),
        ] {
            let found = route(method, target).unwrap();
            assert_eq!((found.0, found.2), (dialect, form), "{target}");
        }
        for (method, target) in [("GET", "/v1/messages"), ("POST", "/v1/files"), ("POST", "/models/x:fly")] {
            assert!(route(method, target).is_none(), "{target}");
        }
    }

    #[test]
    fn a_tool_is_called_only_when_the_last_user_text_asks() {
        let ask = |messages: &str| {
            let body = format!(
                r#"{{"model":"m","tools":[{{"type":"function","function":{{"name":"look"}}}}],"messages":{messages}}}"#
            );
            Ask::read("POST", "/v1/chat/completions", false, body.as_bytes()).unwrap().tool
        };
        assert_eq!(ask(r#"[{"role":"user","content":"call a tool"}]"#).as_deref(), Some("look"));
        assert_eq!(
            ask(r#"[{"role":"user","content":[{"type":"text","text":"please call a tool now"}]}]"#)
                .as_deref(),
            Some("look")
        );
        assert_eq!(
            ask(r#"[{"role":"user","content":"call a tool"},{"role":"system","content":"be brief"}]"#)
                .as_deref(),
            Some("look")
        );
        assert_eq!(ask(r#"[{"role":"system","content":"call a tool"}]"#), None);
        assert_eq!(ask(r#"[{"role":"user","content":"hello"}]"#), None);
        assert_eq!(
            ask(r#"[{"role":"user","content":"call a tool"},{"role":"tool","content":"call a tool"}]"#),
            None
        );
        assert_eq!(
            ask(r#"[{"role":"user","content":[{"type":"tool_result","content":"call a tool"}]}]"#),
            None
        );
    }

    #[test]
    fn refusals_name_their_family() {
        let read = |target, body: &[u8]| Ask::read("POST", target, false, body).unwrap_err();
        assert_eq!(read("/v1/messages", b"{"), Refusal::BadJson(Family::Anthropic));
        assert_eq!(read("/v1/responses", b"{}"), Refusal::NoModel(Family::Openai));
        assert_eq!(read("/nowhere", b"{}"), Refusal::NotFound(Family::Openai));
        let many = |count: usize| format!(r#"{{"model":"e","input":{:?}}}"#, vec!["a"; count]);
        assert!(Ask::read("POST", "/v1/embeddings", false, many(MAX_INPUTS).as_bytes()).is_ok());
        assert_eq!(read("/v1/embeddings", many(MAX_INPUTS + 1).as_bytes()), Refusal::TooManyInputs);
    }
}
