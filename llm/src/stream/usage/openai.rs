//! The usage object of OpenAI and everything compatible with it, under the names of chat and of Responses.

use super::{Converted, either, overlay};
use crate::stream::lenient::{Object, count, object};
use narrows_meter::Usage;
use serde::de::MapAccess;

/// Figures as the wire gives them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OpenaiUsage {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_miss: Option<u64>,
    cache_write: Option<u64>,
    audio_in: Option<u64>,
    reasoning: Option<u64>,
    audio_out: Option<u64>,
}

impl Object for OpenaiUsage {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "prompt_tokens" | "input_tokens" => self.prompt = either(self.prompt, count(map)?),
            "completion_tokens" | "output_tokens" => self.completion = either(self.completion, count(map)?),
            "total_tokens" => self.total = count(map)?,
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => {
                let details: PromptDetails = object(map)?.unwrap_or_default();
                self.cached = either(self.cached, details.cached);
                self.cache_write = either(self.cache_write, details.cache_write);
                self.audio_in = either(self.audio_in, details.audio);
            }
            "completion_tokens_details" | "output_tokens_details" | "output_token_details" => {
                let details: CompletionDetails = object(map)?.unwrap_or_default();
                self.reasoning = either(self.reasoning, details.reasoning);
                self.audio_out = either(self.audio_out, details.audio);
            }
            "prompt_cache_hit_tokens" | "cached_tokens" | "num_cached_tokens" | "cache_read_input_tokens" => {
                self.cached = either(self.cached, count(map)?);
            }
            "prompt_cache_miss_tokens" => self.cache_miss = count(map)?,
            "cache_write_tokens" | "cache_creation_input_tokens" => {
                self.cache_write = either(self.cache_write, count(map)?);
            }
            "reasoning_tokens" => self.reasoning = either(self.reasoning, count(map)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct PromptDetails {
    cached: Option<u64>,
    cache_write: Option<u64>,
    audio: Option<u64>,
}

impl Object for PromptDetails {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "cached_tokens" => self.cached = count(map)?,
            "cache_write_tokens" | "cache_creation_tokens" | "cached_creation_tokens" => {
                self.cache_write = either(self.cache_write, count(map)?);
            }
            "audio_tokens" => self.audio = count(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct CompletionDetails {
    reasoning: Option<u64>,
    audio: Option<u64>,
}

impl Object for CompletionDetails {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "reasoning_tokens" => self.reasoning = count(map)?,
            "audio_tokens" => self.audio = count(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl OpenaiUsage {
    /// Lays a later report over this one.
    pub(crate) fn overlay(&mut self, newer: &OpenaiUsage) {
        overlay([
            (&mut self.prompt, newer.prompt),
            (&mut self.completion, newer.completion),
            (&mut self.total, newer.total),
            (&mut self.cached, newer.cached),
            (&mut self.cache_miss, newer.cache_miss),
            (&mut self.cache_write, newer.cache_write),
            (&mut self.audio_in, newer.audio_in),
            (&mut self.reasoning, newer.reasoning),
            (&mut self.audio_out, newer.audio_out),
        ]);
    }

    /// Whether this report says anything about output.
    pub(crate) fn has_output(&self) -> bool {
        self.completion.is_some() || (self.total.is_some() && self.prompt.is_some())
    }

    /// Into exclusive buckets. `generates` is false for embeddings, which have no output to derive from the total.
    pub(crate) fn convert(&self, generates: bool) -> Converted {
        let read = self.cached.unwrap_or(0);
        let write = self.cache_write.unwrap_or(0);
        let thought = self.reasoning.unwrap_or(0);
        // What one figure is missing, the others may still tell.
        let by_cache = self.cache_miss.map(|miss| miss.saturating_add(read));
        let prompt = self.prompt.or(by_cache).or_else(|| Some(self.total?.saturating_sub(self.completion?)));
        let completion = self.completion.or_else(|| {
            Some(self.total?.saturating_sub(prompt?)).filter(|_| generates && self.prompt.is_some())
        });
        let reading = self.reading(prompt, completion, read, write, thought);
        let mut anomaly = reading.anomaly;

        let mut usage =
            Usage { cache_read: self.cached, cache_write_5m: self.cache_write, ..Usage::default() };
        if let Some(prompt) = prompt {
            let uncached =
                prompt.saturating_add(reading.beside_prompt).saturating_sub(read.saturating_add(write));
            usage.audio_in = self.audio_in.map(|audio| audio.min(uncached));
            usage.input_uncached = Some(uncached - usage.audio_in.unwrap_or(0));
            anomaly |= usage.audio_in < self.audio_in;
        }
        usage.reasoning = self.reasoning;
        if let Some(completion) = completion {
            let visible = completion.saturating_add(reading.beside_completion).saturating_sub(thought);
            usage.audio_out = self.audio_out.map(|audio| audio.min(visible));
            usage.output_text = Some(visible - usage.audio_out.unwrap_or(0));
            anomaly |= usage.audio_out < self.audio_out;
        }
        Converted { usage, anomaly }
    }

    /// Which parts stand beside the prompt and the completion instead of inside them. They stand inside unless the
    /// total says otherwise, or a part is larger than the whole it should be in.
    fn reading(
        &self,
        prompt: Option<u64>,
        completion: Option<u64>,
        read: u64,
        write: u64,
        thought: u64,
    ) -> Reading {
        let Some(prompt) = prompt else { return Reading::default() };
        // Without a completion no total can witness anything, but a part can still outgrow its whole.
        let total = self.total.filter(|_| completion.is_some());
        let completion = completion.unwrap_or(thought);
        let sum = |parts: [u64; 4]| parts.into_iter().fold(0, u64::saturating_add);
        let both = read.saturating_add(write);
        let candidates =
            [(0, 0), (0, thought), (read, 0), (both, 0), (write, 0), (read, thought), (both, thought)];
        let witnessed = total.and_then(|total| {
            candidates
                .into_iter()
                .find(|(beside, thought)| sum([prompt, *beside, completion, *thought]) == total)
        });
        let (mut beside_prompt, mut beside_completion) = witnessed.unwrap_or_default();
        let mut anomaly = total.is_some() && witnessed.is_none();
        if both > prompt.saturating_add(beside_prompt) {
            beside_prompt = if read > prompt { both } else { write };
            anomaly = true;
        }
        if thought > completion.saturating_add(beside_completion) {
            beside_completion = thought;
            anomaly = true;
        }
        Reading { beside_prompt, beside_completion, anomaly }
    }
}

/// How the parts of a report relate to its wholes.
#[derive(Default)]
struct Reading {
    beside_prompt: u64,
    beside_completion: u64,
    anomaly: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::lenient::each;

    fn convert(json: &str) -> Converted {
        let mut all = Vec::new();
        each(json.as_bytes(), |usage: OpenaiUsage| all.push(usage.convert(true)));
        all[0]
    }

    #[test]
    fn parts_stand_inside_their_wholes() {
        let c = convert(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":
            {"cached_tokens":60,"cache_write_tokens":10,"audio_tokens":5},"completion_tokens_details":
            {"reasoning_tokens":30,"audio_tokens":4,"rejected_prediction_tokens":2}}"#,
        );
        let expected = Usage {
            input_uncached: Some(25),
            cache_read: Some(60),
            cache_write_5m: Some(10),
            cache_write_1h: None,
            output_text: Some(16),
            reasoning: Some(30),
            audio_in: Some(5),
            audio_out: Some(4),
            web_searches: None,
        };
        assert_eq!((c.usage, c.anomaly), (expected, false));
        assert_eq!((c.usage.input(), c.usage.output()), (Some(100), Some(50)));
    }

    #[test]
    fn the_total_tells_that_the_cache_stands_beside_the_prompt() {
        let c = convert(
            r#"{"prompt_tokens":479,"completion_tokens":373,"total_tokens":14164,
            "prompt_tokens_details":{"cached_tokens":13312}}"#,
        );
        assert_eq!(
            (c.usage.input(), c.usage.cache_read, c.usage.input_uncached),
            (Some(13791), Some(13312), Some(479))
        );
        assert!(!c.anomaly);
    }

    #[test]
    fn a_part_larger_than_its_whole_stands_beside_it() {
        let c = convert(
            r#"{"prompt_tokens":18,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8831}}"#,
        );
        assert_eq!((c.usage.input(), c.anomaly), (Some(8849), true));
    }

    #[test]
    fn the_total_tells_that_reasoning_stands_beside_the_completion() {
        let c = convert(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,
            "completion_tokens_details":{"reasoning_tokens":100}}"#,
        );
        assert_eq!(
            (c.usage.output(), c.usage.output_text, c.usage.reasoning),
            (Some(105), Some(5), Some(100))
        );
    }

    #[test]
    fn a_total_that_fits_nothing_is_an_anomaly_and_no_figure() {
        let c = convert(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":99}"#);
        assert_eq!((c.usage.input(), c.usage.output(), c.anomaly), (Some(10), Some(5), true));
    }

    #[test]
    fn zero_null_absent_and_nonsense_differ() {
        let zero = convert(r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#).usage;
        assert_eq!((zero.input(), zero.output(), zero.cache_read), (Some(0), Some(0), None));
        let null =
            convert(r#"{"prompt_tokens":null,"completion_tokens":"7","prompt_tokens_details":null}"#).usage;
        assert!(null.is_unknown());
        let floats =
            convert(r#"{"prompt_tokens":12.0,"completion_tokens":-1,"x":{},"prompt_tokens":13.0}"#).usage;
        assert_eq!((floats.input(), floats.output()), (Some(13), None));
    }

    #[test]
    fn other_names_are_read() {
        let deepseek = convert(
            r#"{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35,
            "prompt_cache_hit_tokens":20,"prompt_cache_miss_tokens":10}"#,
        );
        assert_eq!((deepseek.usage.input_uncached, deepseek.usage.cache_read), (Some(10), Some(20)));
        let relay = convert(
            r#"{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35,"input_tokens":0,"output_tokens":0,
            "cached_tokens":12,"prompt_tokens_details":{"cached_tokens":0},"input_tokens_details":null}"#,
        );
        assert_eq!(
            (relay.usage.input(), relay.usage.output(), relay.usage.cache_read),
            (Some(30), Some(5), Some(12))
        );
    }

    #[test]
    fn arithmetic_saturates() {
        let max = u64::MAX;
        let c = convert(&format!(
            r#"{{"prompt_tokens":{max},"completion_tokens":{max},"total_tokens":1,
            "prompt_tokens_details":{{"cached_tokens":{max},"cache_write_tokens":{max}}}}}"#
        ));
        assert!(c.anomaly && c.usage.total() == Some(max));
    }
}
