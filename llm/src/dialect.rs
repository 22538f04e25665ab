//! Dialects: who speaks how. One closed list, used by configuration, command line, metrics and records.

/// A wire dialect of a model API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// `POST /v1/chat/completions` (OpenAI and compatible providers).
    OpenaiChat,
    /// `POST /v1/completions`, the legacy text completion.
    OpenaiCompletions,
    /// `POST /v1/responses`.
    OpenaiResponses,
    /// `POST /v1/embeddings`.
    OpenaiEmbeddings,
    /// `POST /v1/messages` and its `count_tokens`.
    AnthropicMessages,
    /// `POST /v1beta/models/{model}:generateContent`, `:streamGenerateContent`, `:countTokens`.
    GeminiGenerate,
}

/// Dialects that share error bodies, credential headers and model lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// OpenAI and everything compatible with it.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Google Gemini.
    Gemini,
}

/// Every dialect: its value, its stable word and its family.
pub const DIALECTS: &[(Dialect, &str, Family)] = &[
    (Dialect::OpenaiChat, "openai.chat", Family::Openai),
    (Dialect::OpenaiCompletions, "openai.completions", Family::Openai),
    (Dialect::OpenaiResponses, "openai.responses", Family::Openai),
    (Dialect::OpenaiEmbeddings, "openai.embeddings", Family::Openai),
    (Dialect::AnthropicMessages, "anthropic.messages", Family::Anthropic),
    (Dialect::GeminiGenerate, "gemini.generate", Family::Gemini),
];

impl Dialect {
    fn row(self) -> &'static (Dialect, &'static str, Family) {
        &DIALECTS[self as usize]
    }

    /// The stable word, such as `openai.chat`.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The family whose error bodies and credential headers it uses.
    pub fn family(self) -> Family {
        self.row().2
    }

    /// Whether its clients pass over comments in a stream of events, as the standard says
    /// (html.spec.whatwg.org, "Interpreting an event stream"). The SDKs of OpenAI and Anthropic, and Codex, do.
    /// Google's for Python (`google-genai`, up to 3.6.1 seen 2026-11, `_RawJsonLineBuffer`) reads any line that does
    /// not begin with `data: ` as a JSON answer, and fails.
    pub fn takes_comments(self) -> bool {
        self.family() != Family::Gemini
    }

    /// The dialect with this word.
    pub fn from_word(word: &str) -> Option<Dialect> {
        DIALECTS.iter().find(|row| row.1 == word).map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_words_read_back() {
        for row in DIALECTS {
            assert_eq!(row.0.as_str(), row.1);
            assert_eq!(Dialect::from_word(row.1), Some(row.0));
        }
    }
}
