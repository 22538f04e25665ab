//! The `usageMetadata` object of Gemini.

use super::tier::Tier;
use super::{Converted, overlay};
use crate::stream::lenient::{Object, count, list, word, word_is};
use narrows_meter::Usage;
use serde::de::MapAccess;

/// Figures as the wire gives them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GeminiUsage {
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    tool_use: Option<u64>,
    total: Option<u64>,
    audio_in: Option<u64>,
    audio_cached: Option<u64>,
    audio_out: Option<u64>,
    tier: Tier,
    traffic: Tier,
}

impl Object for GeminiUsage {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "promptTokenCount" => self.prompt = count(map)?,
            "cachedContentTokenCount" => self.cached = count(map)?,
            // The second name is that of the Live API and of some relays.
            "candidatesTokenCount" | "responseTokenCount" => self.candidates = count(map)?,
            "thoughtsTokenCount" => self.thoughts = count(map)?,
            "toolUsePromptTokenCount" => self.tool_use = count(map)?,
            "totalTokenCount" => self.total = count(map)?,
            "promptTokensDetails" => self.audio_in = audio(list(map)?),
            "cacheTokensDetails" => self.audio_cached = audio(list(map)?),
            "candidatesTokensDetails" | "responseTokensDetails" => self.audio_out = audio(list(map)?),
            "serviceTier" => self.tier = Tier::of_word(word(map)?),
            "trafficType" => self.traffic = Tier::of_word(word(map)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Modality {
    is_audio: bool,
    tokens: Option<u64>,
}

impl Object for Modality {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "modality" => self.is_audio = word_is(map, "AUDIO")?,
            "tokenCount" => self.tokens = count(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn audio(details: Option<Vec<Modality>>) -> Option<u64> {
    details?.into_iter().filter(|one| one.is_audio).find_map(|one| one.tokens)
}

impl GeminiUsage {
    /// Lays a later report over this one.
    pub(crate) fn overlay(&mut self, newer: &GeminiUsage) {
        overlay([
            (&mut self.prompt, newer.prompt),
            (&mut self.cached, newer.cached),
            (&mut self.candidates, newer.candidates),
            (&mut self.thoughts, newer.thoughts),
            (&mut self.tool_use, newer.tool_use),
            (&mut self.total, newer.total),
            (&mut self.audio_in, newer.audio_in),
            (&mut self.audio_cached, newer.audio_cached),
            (&mut self.audio_out, newer.audio_out),
        ]);
        self.tier.overlay(newer.tier);
        self.traffic.overlay(newer.traffic);
    }

    /// How the provider worked on it.
    pub(crate) fn tier(&self) -> Tier {
        self.tier.and(self.traffic)
    }

    /// Into exclusive buckets. The wire leaves out figures that are zero, so what is missing is taken from the total.
    pub(crate) fn convert(&self) -> Converted {
        let thoughts = self.thoughts.unwrap_or(0);
        let tool_use = self.tool_use.unwrap_or(0);
        let rest = |known: u64| {
            let parts = known.saturating_add(thoughts).saturating_add(tool_use);
            self.total.map(|total| total.saturating_sub(parts))
        };
        let prompt = self.prompt.or_else(|| rest(self.candidates?));
        let candidates = self.candidates.or_else(|| rest(self.prompt?));

        // Thoughts stand beside candidates unless the total says that they are inside.
        let inside = match (self.prompt, self.candidates, self.total) {
            (Some(prompt), Some(candidates), Some(total)) => {
                let sum = prompt.saturating_add(candidates);
                thoughts <= candidates
                    && thoughts > 0
                    && (sum == total || sum.saturating_add(tool_use) == total)
                    && sum.saturating_add(thoughts) != total
            }
            _ => false,
        };
        let cached = self.cached.unwrap_or(0);
        let mut usage = Usage { cache_read: self.cached, reasoning: self.thoughts, ..Usage::default() };
        if let Some(prompt) = prompt {
            // A cache larger than the prompt it should be in stands beside it.
            let uncached = if cached > prompt { prompt } else { prompt - cached };
            let audio = self.audio_in.map(|audio| audio.saturating_sub(self.audio_cached.unwrap_or(0)));
            usage.audio_in = audio.map(|audio| audio.min(uncached));
            usage.input_uncached = Some((uncached - usage.audio_in.unwrap_or(0)).saturating_add(tool_use));
        } else if self.tool_use.is_some() {
            usage.input_uncached = self.tool_use;
        }
        if let Some(candidates) = candidates {
            let visible = if inside { candidates - thoughts } else { candidates };
            usage.audio_out = self.audio_out.map(|audio| audio.min(visible));
            usage.output_text = Some(visible - usage.audio_out.unwrap_or(0));
        }
        Converted { usage, anomaly: prompt.is_some_and(|prompt| cached > prompt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::lenient::each;

    fn convert(json: &str) -> Converted {
        let mut all = Vec::new();
        each(json.as_bytes(), |usage: GeminiUsage| all.push(usage.convert()));
        all[0]
    }

    #[test]
    fn the_cache_is_in_the_prompt_and_thoughts_and_tools_are_beside() {
        let c = convert(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":20,"thoughtsTokenCount":30,
            "toolUsePromptTokenCount":7,"totalTokenCount":157,"promptTokensDetails":[{"modality":"TEXT","tokenCount":90},
            {"modality":"AUDIO","tokenCount":10}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":4}]}"#,
        );
        assert_eq!((c.usage.input(), c.usage.output(), c.usage.total()), (Some(107), Some(50), Some(157)));
        assert_eq!((c.usage.cache_read, c.usage.audio_in, c.usage.reasoning), (Some(60), Some(6), Some(30)));
        assert!(!c.anomaly);
    }

    #[test]
    fn what_is_left_out_is_taken_from_the_total() {
        let c = convert(r#"{"promptTokenCount":5,"totalTokenCount":5}"#);
        assert_eq!((c.usage.input(), c.usage.output()), (Some(5), Some(0)));
        let c = convert(r#"{"promptTokenCount":5,"thoughtsTokenCount":9,"totalTokenCount":14}"#);
        assert_eq!((c.usage.output(), c.usage.output_text), (Some(9), Some(0)));
        let c = convert(r#"{"promptTokenCount":5}"#);
        assert_eq!((c.usage.input(), c.usage.output()), (Some(5), None));
    }

    #[test]
    fn the_total_tells_that_thoughts_are_inside_candidates() {
        let c = convert(
            r#"{"promptTokenCount":5,"candidatesTokenCount":20,"thoughtsTokenCount":9,"totalTokenCount":25}"#,
        );
        assert_eq!((c.usage.output(), c.usage.output_text, c.usage.reasoning), (Some(20), Some(11), Some(9)));
    }

    #[test]
    fn a_cache_larger_than_the_prompt_stands_beside_it() {
        let c = convert(r#"{"promptTokenCount":5,"cachedContentTokenCount":60,"candidatesTokenCount":1}"#);
        assert_eq!((c.usage.input(), c.anomaly), (Some(65), true));
    }
}
