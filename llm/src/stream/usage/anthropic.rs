//! The usage object of Anthropic messages.

use super::tier::Tier;
use super::{Converted, overlay};
use crate::stream::lenient::{Object, count, object, word};
use narrows_meter::Usage;
use serde::de::MapAccess;

/// Figures as the wire gives them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AnthropicUsage {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    write_5m: Option<u64>,
    write_1h: Option<u64>,
    thinking: Option<u64>,
    web_searches: Option<u64>,
    tier: Tier,
    speed: Tier,
}

impl Object for AnthropicUsage {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            // The second names are those of Bedrock's invocation metrics.
            "input_tokens" | "inputTokenCount" => self.input = count(map)?,
            "output_tokens" | "outputTokenCount" => self.output = count(map)?,
            "cache_read_input_tokens" | "cacheReadInputTokenCount" => self.cache_read = count(map)?,
            "cache_creation_input_tokens" | "cacheWriteInputTokenCount" => self.cache_write = count(map)?,
            "cache_creation" => {
                let split: CacheCreation = object(map)?.unwrap_or_default();
                (self.write_5m, self.write_1h) = (split.five_minutes, split.one_hour);
            }
            "output_tokens_details" => {
                let details: OutputDetails = object(map)?.unwrap_or_default();
                self.thinking = details.thinking;
            }
            "service_tier" => self.tier = Tier::of_word(word(map)?),
            "speed" => self.speed = Tier::of_word(word(map)?),
            "server_tool_use" => {
                let tools: ServerTools = object(map)?.unwrap_or_default();
                self.web_searches = tools.web_searches;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct ServerTools {
    web_searches: Option<u64>,
}

impl Object for ServerTools {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "web_search_requests" => self.web_searches = count(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct CacheCreation {
    five_minutes: Option<u64>,
    one_hour: Option<u64>,
}

impl Object for CacheCreation {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "ephemeral_5m_input_tokens" => self.five_minutes = count(map)?,
            "ephemeral_1h_input_tokens" => self.one_hour = count(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct OutputDetails {
    thinking: Option<u64>,
}

impl Object for OutputDetails {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "thinking_tokens" | "reasoning_tokens" => self.thinking = count(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl AnthropicUsage {
    /// Lays a later report over this one.
    pub(crate) fn overlay(&mut self, newer: &AnthropicUsage) {
        overlay([
            (&mut self.input, newer.input),
            (&mut self.output, newer.output),
            (&mut self.cache_read, newer.cache_read),
            (&mut self.cache_write, newer.cache_write),
            (&mut self.write_5m, newer.write_5m),
            (&mut self.write_1h, newer.write_1h),
            (&mut self.thinking, newer.thinking),
            (&mut self.web_searches, newer.web_searches),
        ]);
        self.tier.overlay(newer.tier);
        self.speed.overlay(newer.speed);
    }

    /// What `message_start` knows: its output is a first estimate, and an input of zero, with nothing of it in a
    /// cache, is a place that vendors fill in `message_delta`, or never. No message has an empty prompt.
    pub(crate) fn at_start(self) -> AnthropicUsage {
        let cached = self.cache_read.unwrap_or(0) + self.cache_write.unwrap_or(0);
        let input = self.input.filter(|input| *input > 0 || cached > 0);
        AnthropicUsage { input, output: None, thinking: None, ..self }
    }

    /// How the provider worked on it.
    pub(crate) fn tier(&self) -> Tier {
        self.tier.and(self.speed)
    }

    /// Whether this report says anything about output.
    pub(crate) fn has_output(&self) -> bool {
        self.output.is_some()
    }

    /// Whether it says nothing.
    pub(crate) fn is_unknown(&self) -> bool {
        self.convert().usage.is_unknown()
    }

    /// Into exclusive buckets. Input already is exclusive of the cache; output includes thinking.
    pub(crate) fn convert(&self) -> Converted {
        let (write_5m, write_1h) = match (self.cache_write, self.write_1h) {
            (None, _) => (self.write_5m, self.write_1h),
            (total, None) => (total, None),
            // The total is what a later event corrects; the split may be older than it.
            (Some(total), Some(hour)) => {
                let hour = hour.min(total);
                (Some(total - hour), Some(hour))
            }
        };
        let thought = self.thinking.unwrap_or(0);
        let usage = Usage {
            input_uncached: self.input,
            cache_read: self.cache_read,
            cache_write_5m: write_5m,
            cache_write_1h: write_1h,
            output_text: self.output.map(|output| output.saturating_sub(thought)),
            reasoning: self.thinking.map(|thought| self.output.map_or(thought, |output| thought.min(output))),
            audio_in: None,
            audio_out: None,
            web_searches: self.web_searches,
        };
        Converted { usage, anomaly: self.output.is_some_and(|output| thought > output) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::lenient::each;

    fn read(json: &str) -> AnthropicUsage {
        let mut all = Vec::new();
        each(json.as_bytes(), |usage: AnthropicUsage| all.push(usage));
        all[0]
    }

    #[test]
    fn the_cache_stands_beside_input_and_thinking_inside_output() {
        let c = read(
            r#"{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":30,"cache_creation":
            {"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},"output_tokens":50,
            "output_tokens_details":{"thinking_tokens":40},"server_tool_use":{"web_search_requests":1}}"#,
        )
        .convert();
        assert_eq!((c.usage.input(), c.usage.output(), c.usage.reasoning), (Some(140), Some(50), Some(40)));
        assert_eq!((c.usage.cache_write_5m, c.usage.cache_write_1h), (Some(20), Some(10)));
        assert_eq!((c.usage.web_searches, c.usage.total()), (Some(1), Some(190)), "a search is no token");
    }

    #[test]
    fn a_later_total_outweighs_an_older_split() {
        let mut usage = read(
            r#"{"input_tokens":3,"cache_creation_input_tokens":100,
            "cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":40}}"#,
        );
        usage.overlay(&read(r#"{"cache_creation_input_tokens":150,"output_tokens":9}"#));
        let c = usage.convert();
        assert_eq!(
            (c.usage.cache_write_5m, c.usage.cache_write_1h, c.usage.input()),
            (Some(110), Some(40), Some(153))
        );
        usage.overlay(&read(r#"{"cache_creation_input_tokens":0}"#));
        assert_eq!(usage.convert().usage.cache_write(), Some(0), "an explicit zero is a figure");
    }

    #[test]
    fn tokens_that_move_into_the_cache_are_counted_once() {
        let mut usage = read(r#"{"input_tokens":8834,"output_tokens":1}"#).at_start();
        usage.overlay(&read(r#"{"input_tokens":18,"cache_read_input_tokens":8831,"output_tokens":7}"#));
        assert_eq!((usage.convert().usage.input(), usage.convert().usage.output()), (Some(8849), Some(7)));
    }
}
