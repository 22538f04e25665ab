//! Token usage in exclusive buckets, and where the figures came from.

use serde::{Deserialize, Serialize};

/// Figures of a [`Usage`].
pub const BUCKETS: usize = 9;

/// Tokens of one exchange, in buckets that never overlap. `None` is "not known", `Some(0)` is a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to a prompt cache (tool-use prompt tokens included).
    pub input_uncached: Option<u64>,
    /// Prompt tokens read from a prompt cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache with the short (five minutes, or unnamed) time to live.
    pub cache_write_5m: Option<u64>,
    /// Prompt tokens written to a cache with the one-hour time to live.
    pub cache_write_1h: Option<u64>,
    /// Generated tokens other than reasoning.
    pub output_text: Option<u64>,
    /// Generated reasoning ("thinking") tokens.
    pub reasoning: Option<u64>,
    /// Audio tokens in the prompt, apart from the text counted in `input_uncached`.
    pub audio_in: Option<u64>,
    /// Audio tokens generated, apart from `output_text`.
    pub audio_out: Option<u64>,
    /// Web searches that the provider made for the model. They are no tokens, and in no total.
    pub web_searches: Option<u64>,
}

impl Usage {
    /// All prompt tokens: uncached, cache-reading, cache-writing and audio. `None` when no part is known.
    pub fn input(&self) -> Option<u64> {
        sum([self.input_uncached, self.cache_read, self.cache_write(), self.audio_in])
    }

    /// All tokens written to a prompt cache. `None` when no part is known.
    pub fn cache_write(&self) -> Option<u64> {
        sum([self.cache_write_5m, self.cache_write_1h])
    }

    /// All generated tokens, reasoning and audio included. `None` when no part is known.
    pub fn output(&self) -> Option<u64> {
        sum([self.output_text, self.reasoning, self.audio_out])
    }

    /// Input plus output. `None` when neither is known.
    pub fn total(&self) -> Option<u64> {
        sum([self.input(), self.output()])
    }

    /// Every figure, in the order of the fields.
    pub fn figures(&self) -> [Option<u64>; BUCKETS] {
        [
            self.input_uncached,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.output_text,
            self.reasoning,
            self.audio_in,
            self.audio_out,
            self.web_searches,
        ]
    }

    /// Of figures in the order of the fields.
    pub fn of_figures(figures: [Option<u64>; BUCKETS]) -> Usage {
        let [
            input_uncached,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output_text,
            reasoning,
            audio_in,
            audio_out,
            web_searches,
        ] = figures;
        Usage {
            input_uncached,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output_text,
            reasoning,
            audio_in,
            audio_out,
            web_searches,
        }
    }

    /// Figure by figure of `self` and `other`.
    fn with(&self, other: &Usage, join: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Usage {
        let mut figures = self.figures();
        for (figure, other) in figures.iter_mut().zip(other.figures()) {
            *figure = join(*figure, other);
        }
        Usage::of_figures(figures)
    }

    /// Lays `newer` over `self`: every figure that `newer` knows replaces ours, everything else stays.
    /// Providers repeat and correct usage within one stream, so usage is a state to overlay and never a sum.
    pub fn overlay(&mut self, newer: &Usage) {
        *self = self.with(newer, |ours, newer| newer.or(ours));
    }

    /// Adds the usage of another answer, saturating. What neither knows stays unknown.
    pub fn add(&mut self, other: &Usage) {
        *self = self.with(other, |ours, other| sum([ours, other]));
    }

    /// Whether nothing at all is known.
    pub fn is_unknown(&self) -> bool {
        *self == Usage::default()
    }
}

/// Adds what is known, saturating; `None` only when nothing is.
fn sum<const N: usize>(parts: [Option<u64>; N]) -> Option<u64> {
    parts.into_iter().flatten().reduce(u64::saturating_add)
}

/// Where a usage figure came from, best first. One closed list for records, metrics and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The provider reported all of it.
    Provider,
    /// The provider reported part (say the prompt) and we counted or estimated the rest.
    ProviderPartial,
    /// Counted by us with the model's own vocabulary.
    Counted,
    /// Estimated by us from bytes or text.
    Estimated,
    /// Nothing is known, and nothing is assumed.
    #[default]
    Unknown,
}

impl Origin {
    /// Every origin, in order of declaration.
    pub const ALL: [Origin; 5] =
        [Origin::Provider, Origin::ProviderPartial, Origin::Counted, Origin::Estimated, Origin::Unknown];

    /// The stable word used in records, metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Provider => "provider",
            Origin::ProviderPartial => "provider_partial",
            Origin::Counted => "counted",
            Origin::Estimated => "estimated",
            Origin::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_know_the_difference_between_zero_and_nothing() {
        let nothing = Usage::default();
        assert_eq!((nothing.input(), nothing.output(), nothing.total()), (None, None, None));
        let zero = Usage { input_uncached: Some(0), ..Usage::default() };
        assert_eq!((zero.input(), zero.output(), zero.total()), (Some(0), None, Some(0)));
    }

    #[test]
    fn an_overlay_replaces_what_is_known_and_keeps_the_rest() {
        let mut state = Usage { input_uncached: Some(8834), output_text: Some(1), ..Usage::default() };
        state.overlay(&Usage { input_uncached: Some(18), cache_read: Some(8831), ..Usage::default() });
        assert_eq!(state.input(), Some(8849));
        assert_eq!(state.output(), Some(1));
        state.overlay(&Usage { output_text: Some(0), ..Usage::default() });
        assert_eq!(state.output(), Some(0), "an explicit zero is a figure");
    }

    #[test]
    fn figures_stand_in_the_order_of_the_fields_and_add_up() {
        let figures = std::array::from_fn(|at| Some(at as u64));
        let usage = Usage::of_figures(figures);
        assert_eq!(usage.figures(), figures);
        assert_eq!(
            (usage.input_uncached, usage.output_text, usage.web_searches),
            (Some(0), Some(4), Some(8))
        );
        let mut sum = Usage { audio_out: Some(u64::MAX), ..Usage::default() };
        sum.add(&Usage { audio_out: Some(1), reasoning: Some(2), ..Usage::default() });
        assert_eq!((sum.audio_out, sum.reasoning, sum.cache_read), (Some(u64::MAX), Some(2), None));
    }

    #[test]
    fn totals_add_every_bucket_once() {
        let usage = Usage { input_uncached: Some(10), audio_in: Some(4), ..Usage::default() };
        assert_eq!(usage.input(), Some(14));
    }

    #[test]
    fn words_and_serialization_agree() {
        for origin in Origin::ALL {
            assert_eq!(serde_json::to_string(&origin).unwrap(), format!("\"{}\"", origin.as_str()));
        }
    }
}
