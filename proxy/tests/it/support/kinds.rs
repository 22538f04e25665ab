//! The dialects, as their clients speak them.

use narrows_llm::{Dialect, Family};

/// One dialect's way to ask for text.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) dialect: Dialect,
    /// Path of a request that is not streamed.
    pub(crate) unary: &'static str,
    /// Path of a streamed request, query included.
    pub(crate) stream: &'static str,
    /// Body before the word about streaming.
    body: &'static str,
    /// What the body says when it asks for a stream.
    streams: &'static str,
    /// Name of the provider that serves it in the harness's configuration.
    pub(crate) provider: &'static str,
}

pub(crate) const CHAT: Kind = Kind {
    dialect: Dialect::OpenaiChat,
    unary: "/v1/chat/completions",
    stream: "/v1/chat/completions",
    body: r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Wie geht es dir, Zoë?"}]"#,
    streams: r#","stream":true"#,
    provider: "openai",
};
pub(crate) const COMPLETIONS: Kind = Kind {
    dialect: Dialect::OpenaiCompletions,
    unary: "/v1/completions",
    stream: "/v1/completions",
    body: r#"{"model":"gpt-3.5-turbo-instruct","prompt":"Once upon a time""#,
    streams: r#","stream":true"#,
    provider: "openai",
};
pub(crate) const RESPONSES: Kind = Kind {
    dialect: Dialect::OpenaiResponses,
    unary: "/v1/responses",
    stream: "/v1/responses",
    body: r#"{"model":"gpt-5","input":[{"role":"user","content":"hello"}]"#,
    streams: r#","stream":true"#,
    provider: "openai",
};
pub(crate) const EMBEDDINGS: Kind = Kind {
    dialect: Dialect::OpenaiEmbeddings,
    unary: "/v1/embeddings",
    stream: "/v1/embeddings",
    body: r#"{"model":"text-embedding-3-small","input":["a","b"]"#,
    streams: "",
    provider: "openai",
};
pub(crate) const MESSAGES: Kind = Kind {
    dialect: Dialect::AnthropicMessages,
    unary: "/v1/messages",
    stream: "/v1/messages",
    body: r#"{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"hello"}]"#,
    streams: r#","stream":true"#,
    provider: "anthropic",
};
pub(crate) const GEMINI: Kind = Kind {
    dialect: Dialect::GeminiGenerate,
    unary: "/v1beta/models/gemini-2.5-flash:generateContent",
    stream: "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    body: r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]"#,
    streams: "",
    provider: "gemini",
};

/// Every dialect that generates text, so that every one that can stream.
pub(crate) const GENERATING: [&Kind; 5] = [&CHAT, &COMPLETIONS, &RESPONSES, &MESSAGES, &GEMINI];
/// Every dialect.
pub(crate) const ALL: [&Kind; 6] = [&CHAT, &COMPLETIONS, &RESPONSES, &EMBEDDINGS, &MESSAGES, &GEMINI];

impl Kind {
    /// A body.
    pub(crate) fn body(&self, stream: bool) -> String {
        format!("{}{}}}", self.body, if stream { self.streams } else { "" })
    }

    /// Whose error bodies it has.
    pub(crate) fn family(&self) -> Family {
        self.dialect.family()
    }
}
