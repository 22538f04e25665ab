//! Where each provider's usage stands and what it includes: one shape per dialect family.
//!
//! Checked 2026-11 against vendors' SDK types and recorded streams unless marked "recall".
//!
//! | provider | where | input | output | repeated? |
//! |---|---|---|---|---|
//! | OpenAI chat, completions | `usage`, last event before `[DONE]` with `choices: []`, if `stream_options.include_usage` | `prompt_tokens` includes `cached_tokens` and `cache_write_tokens` | `completion_tokens` includes reasoning and audio | no; `"usage":null` elsewhere |
//! | OpenAI Responses | `response.usage` in `response.completed`, `.incomplete`, `.failed` (there maybe not) | `input_tokens` includes the cache | `output_tokens` includes reasoning | no |
//! | OpenAI embeddings | `usage.{prompt_tokens,total_tokens}` | all | none | no |
//! | Azure OpenAI | as OpenAI; the first chunk has `choices: []` and no usage | as OpenAI | as OpenAI | no |
//! | Mistral, TGI, Together | `usage` in the last chunk that bears choices | includes the cache | all | no |
//! | Groq | `x_groq.usage` and/or `usage` in the last chunk (one is read) | includes the cache | includes reasoning | no |
//! | DeepSeek | `usage` with `prompt_cache_hit_tokens` + `prompt_cache_miss_tokens` = prompt | includes the cache | includes reasoning | sometimes, cumulative |
//! | Moonshot (recall) | `usage` or `choices[].usage`, `cached_tokens` on its top level | includes the cache | all | no |
//! | Perplexity, vLLM with continuous stats | `usage` in every chunk | all | all so far | cumulative |
//! | OpenRouter | `usage` in the last chunk | includes the cache | includes reasoning | no |
//! | xAI (recall) | as OpenAI | includes the cache | reasoning may stand beside `completion_tokens`; `total_tokens` tells | no |
//! | some compatible upstreams | as OpenAI | `prompt_tokens` without the cache; `total_tokens` tells | as OpenAI | no |
//! | Anthropic | `message_start.message.usage`, then `message_delta.usage` | `input_tokens` excludes cache reads and writes | includes thinking | cumulative, every field present replaces |
//! | Anthropic-compatible (Qwen, Kimi, …) | same | the delta may move cached tokens out of `input_tokens` | same | replaces |
//! | Gemini | `usageMetadata` in every chunk | `promptTokenCount` includes cached content; `toolUsePromptTokenCount` is separate | `candidatesTokenCount` excludes thoughts | last wins |
//!
//! Readers keep the wire's own figures and overlay them; the conversion into exclusive buckets happens once, on what is
//! known in the end, because a later event may carry only half of what a conversion needs.

pub(crate) mod anthropic;
pub(crate) mod gemini;
pub(crate) mod openai;
pub(crate) mod tier;

use narrows_meter::Usage;

/// Usage in exclusive buckets and whether the figures contradicted each other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Converted {
    pub(crate) usage: Usage,
    /// A part exceeded its whole, or the total fits no reading. The figures are our best reading.
    pub(crate) anomaly: bool,
}

/// Every pair's newer figure replaces the older one if it is known.
pub(crate) fn overlay<const N: usize>(slots: [(&mut Option<u64>, Option<u64>); N]) {
    for (slot, newer) in slots {
        if newer.is_some() {
            *slot = newer;
        }
    }
}

/// The larger of two names for the same figure: relays fill the name they do not use with zero.
pub(crate) fn either(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.max(other)
}
