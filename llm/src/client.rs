//! Which client program sent a request. Attribution only: anybody can send any user agent.

/// Client programs by a mark in their user agent: the stable word, and the mark in lower case. The first match
/// wins, so agents stand before the SDKs they are built on.
///
/// Source: the user agents in the programs' own sources (seen 2026-11).
pub const CLIENTS: &[(&str, &str)] = &[
    ("claude-code", "claude-cli/"),
    ("claude-code", "claude-code/"),
    ("codex", "codex_"),
    ("codex", "codex-"),
    ("gemini-cli", "geminicli"),
    ("gemini-cli", "gemini-cli"),
    ("opencode", "opencode"),
    ("cursor", "cursor"),
    ("cline", "cline"),
    ("roo-code", "roocode"),
    ("kilo-code", "kilo-code"),
    ("copilot", "copilot"),
    ("copilot", "githubcopilot"),
    ("continue", "continue/"),
    ("aider", "aider"),
    ("zed", "zed/"),
    ("litellm", "litellm"),
    ("langchain", "langchain"),
    ("llama-index", "llama-index"),
    ("llama-index", "llama_index"),
    ("openai-agents", "agents/python"),
    ("openai-agents", "agents/javascript"),
    ("openai-python", "asyncopenai/python"),
    ("openai-python", "openai/python"),
    ("openai-node", "openai/js"),
    ("openai-node", "openai/nodejs"),
    ("openai-go", "openai/go"),
    ("openai-java", "openai/java"),
    ("openai-java", "openaiclientimpl/java"),
    ("openai-dotnet", "openai/2"),
    ("anthropic-python", "asyncanthropic/python"),
    ("anthropic-python", "anthropic/python"),
    ("anthropic-typescript", "anthropic/js"),
    ("anthropic-go", "anthropic/go"),
    ("anthropic-java", "anthropicclientimpl/java"),
    ("google-genai", "google-genai-sdk"),
    ("google-genai", "genai-js"),
    ("vercel-ai-sdk", "ai-sdk/"),
    ("curl", "curl/"),
    ("httpx", "python-httpx/"),
    ("requests", "python-requests/"),
    ("aiohttp", "aiohttp/"),
    ("go-http", "go-http-client/"),
    ("node-fetch", "node-fetch"),
    ("undici", "undici"),
    ("axios", "axios/"),
    ("okhttp", "okhttp/"),
    ("reqwest", "reqwest/"),
    ("postman", "postmanruntime/"),
];

/// Headers that carry the id of a session or conversation, most telling first, with the client that sends them.
/// Names are in lower case, as HTTP/2 has them.
///
/// Sources: code.claude.com/docs/en/llm-gateway-protocol; codex-rs/codex-api; OpenCode's provider headers
/// (seen 2026-11).
pub const CONVERSATION_HEADERS: &[(&str, &str)] = &[
    ("x-claude-code-session-id", "claude-code"),
    ("session_id", "codex"),
    ("session-id", "codex"),
    ("conversation_id", "codex"),
    ("thread-id", "codex"),
    ("x-session-affinity", "opencode"),
    ("x-session-id", "opencode"),
    ("x-opencode-session", "opencode"),
    ("x-conversation-id", "other"),
];

/// Bytes of a user agent that are looked at; programs name themselves first.
pub const MAX_USER_AGENT_BYTES: usize = 512;

/// The client program behind a user agent, a word from [`CLIENTS`].
pub fn recognize(user_agent: &str) -> Option<&'static str> {
    let bytes = user_agent.as_bytes();
    let bytes = bytes.get(..MAX_USER_AGENT_BYTES).unwrap_or(bytes);
    CLIENTS.iter().find(|(_, mark)| contains(bytes, mark.as_bytes())).map(|row| row.0)
}

/// Whether `mark` (lower case) stands in `text` at the beginning of a word, whatever the case.
fn contains(text: &[u8], mark: &[u8]) -> bool {
    let begins = |at: usize| {
        at.checked_sub(1).and_then(|before| text.get(before)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    text.windows(mark.len()).enumerate().any(|(at, window)| window.eq_ignore_ascii_case(mark) && begins(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_people_use_are_recognized() {
        for (agent, client) in [
            ("claude-cli/2.0.14 (external, cli)", "claude-code"),
            ("codex_cli_rs/0.46.0 (Mac OS 15.5.0; arm64) iTerm.app/3.5", "codex"),
            ("codex_exec/0.46.0", "codex"),
            ("GeminiCLI/0.9.0/gemini-2.5-pro (linux; x64)", "gemini-cli"),
            ("opencode/0.15.3 ai-sdk/provider-utils/3.0.9", "opencode"),
            ("GitHubCopilotChat/0.27.0", "copilot"),
            ("Cursor/1.7", "cursor"),
            ("Cline/3.32", "cline"),
            ("OpenAI/Python 2.3.0", "openai-python"),
            ("AsyncOpenAI/Python 2.3.0", "openai-python"),
            ("OpenAI/JS 6.1.0", "openai-node"),
            ("Anthropic/Python 0.71.0", "anthropic-python"),
            ("AsyncAnthropic/Python 0.71.0", "anthropic-python"),
            ("Anthropic/JS 0.65.0", "anthropic-typescript"),
            ("google-genai-sdk/1.43.0 gl-python/3.12.3", "google-genai"),
            ("litellm/1.77.7", "litellm"),
            ("langchain-openai/0.3", "langchain"),
            ("curl/8.5.0", "curl"),
        ] {
            assert_eq!(recognize(agent), Some(client), "{agent}");
        }
    }

    #[test]
    fn strangers_and_lookalikes_are_not_recognized() {
        for agent in ["", "Mozilla/5.0 (X11; Linux x86_64)", "libcurl/8", "xclaude-cli/1", "incline/2"] {
            assert_eq!(recognize(agent), None, "{agent}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_user_agent_is_read() {
        let at = |spaces: usize| format!("{}curl/", " ".repeat(spaces));
        assert_eq!(recognize(&at(MAX_USER_AGENT_BYTES - 5)), Some("curl"));
        assert_eq!(recognize(&at(MAX_USER_AGENT_BYTES - 4)), None);
    }

    #[test]
    fn the_tables_are_in_lower_case() {
        assert!(CLIENTS.iter().all(|row| row.0 == row.0.to_lowercase() && row.1 == row.1.to_lowercase()));
        assert!(CONVERSATION_HEADERS.iter().all(|row| row.0 == row.0.to_lowercase()));
    }
}
