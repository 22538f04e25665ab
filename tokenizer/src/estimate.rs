//! Token counts estimated from bytes, for when a provider reported nothing.

/// A family of vocabularies whose estimates are calibrated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vocabulary {
    /// OpenAI's `o200k` (GPT-4o and later) and everything unknown: the base of the calibration.
    Openai,
    /// Anthropic Claude.
    Anthropic,
    /// Google Gemini.
    Gemini,
    /// Mistral.
    Mistral,
    /// DeepSeek.
    Deepseek,
    /// Meta Llama.
    Llama,
    /// Cohere.
    Cohere,
}

/// Bytes of text per token of `o200k`, as a ratio. English prose has 4.2 to 4.7, code and JSON 3 to 4, CJK
/// (three bytes a character) about 2.5 to 4; four is the customary middle.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens assumed for an image whose size is not known: what a picture of 1024 × 1024 costs with OpenAI's tile
/// models (85 + 4 × 170 = 765) and close to Anthropic's (w × h / 750 = 1398) and Gemini's (4 × 258 = 1032);
/// the mean of the three, rounded up.
pub const IMAGE_TOKENS: u64 = 1066;

impl Vocabulary {
    /// Every vocabulary.
    pub const ALL: &'static [Vocabulary] = &[
        Vocabulary::Openai,
        Vocabulary::Anthropic,
        Vocabulary::Gemini,
        Vocabulary::Mistral,
        Vocabulary::Deepseek,
        Vocabulary::Llama,
        Vocabulary::Cohere,
    ];

    /// Tokens of this vocabulary per thousand tokens of `o200k`: medians of reported output over counted output
    /// on recorded text-only streams. Samples are small (3 to 38 streams a family), so these are defaults.
    pub const fn per_mille(self) -> u64 {
        match self {
            Vocabulary::Openai => 1000,
            Vocabulary::Anthropic => 1174,
            Vocabulary::Gemini => 1017,
            Vocabulary::Mistral => 1237,
            Vocabulary::Deepseek => 1023,
            Vocabulary::Llama => 1058,
            Vocabulary::Cohere => 1045,
        }
    }

    /// The vocabulary that a model's name suggests; [`Vocabulary::Openai`] for unknown names.
    pub fn of_model(model: &str) -> Vocabulary {
        const MARKS: &[(&str, Vocabulary)] = &[
            ("claude", Vocabulary::Anthropic),
            ("gemini", Vocabulary::Gemini),
            ("gemma", Vocabulary::Gemini),
            ("mistral", Vocabulary::Mistral),
            ("mixtral", Vocabulary::Mistral),
            ("codestral", Vocabulary::Mistral),
            ("devstral", Vocabulary::Mistral),
            ("magistral", Vocabulary::Mistral),
            ("ministral", Vocabulary::Mistral),
            ("pixtral", Vocabulary::Mistral),
            ("deepseek", Vocabulary::Deepseek),
            ("llama", Vocabulary::Llama),
            ("command-", Vocabulary::Cohere),
        ];
        // Asked for with every exchange: one pass over the name, and few places where a mark can begin.
        let model = model.as_bytes();
        let mut first = MARKS.len();
        for (at, byte) in model.iter().enumerate() {
            let lower = byte.to_ascii_lowercase();
            if !matches!(lower, b'c' | b'd' | b'g' | b'l' | b'm' | b'p') {
                continue;
            }
            let begins = |mark: &str| {
                let part = model.get(at..at + mark.len()).filter(|_| mark.as_bytes().first() == Some(&lower));
                part.is_some_and(|part| part.eq_ignore_ascii_case(mark.as_bytes()))
            };
            let before = MARKS.get(..first).unwrap_or_default();
            first = before.iter().position(|row| begins(row.0)).unwrap_or(first);
        }
        MARKS.get(first).map_or(Vocabulary::Openai, |row| row.1)
    }
}

/// Tokens of `text_bytes` bytes of UTF-8 text, rounded up. Nothing is nothing; anything is at least one.
pub fn estimate(text_bytes: u64, vocabulary: Vocabulary) -> u64 {
    let scaled = u128::from(text_bytes) * u128::from(vocabulary.per_mille());
    let tokens = scaled.div_ceil(u128::from(BYTES_PER_TOKEN) * 1000);
    u64::try_from(tokens).unwrap_or(u64::MAX)
}

/// Tokens of a prompt: its text, and [`IMAGE_TOKENS`] for each image, audio clip or file.
pub fn prompt_estimate(text_bytes: u64, media: u64, vocabulary: Vocabulary) -> u64 {
    estimate(text_bytes, vocabulary).saturating_add(media.saturating_mul(IMAGE_TOKENS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_nothing_and_anything_is_something() {
        for vocabulary in Vocabulary::ALL {
            assert_eq!(estimate(0, *vocabulary), 0);
            assert_eq!(estimate(1, *vocabulary), 1);
            assert_eq!(prompt_estimate(0, 0, *vocabulary), 0);
        }
    }

    #[test]
    fn families_are_calibrated_and_rounded_up() {
        assert_eq!(estimate(4, Vocabulary::Openai), 1);
        assert_eq!(estimate(5, Vocabulary::Openai), 2);
        assert_eq!(estimate(4000, Vocabulary::Openai), 1000);
        assert_eq!(estimate(4000, Vocabulary::Anthropic), 1174);
        assert_eq!(estimate(4001, Vocabulary::Anthropic), 1175);
        assert_eq!(estimate(4000, Vocabulary::Mistral), 1237);
    }

    #[test]
    fn images_count_apart_from_text() {
        assert_eq!(prompt_estimate(400, 2, Vocabulary::Openai), 100 + 2 * IMAGE_TOKENS);
        assert_eq!(prompt_estimate(u64::MAX, u64::MAX, Vocabulary::Mistral), u64::MAX);
    }

    #[test]
    fn names_of_models_suggest_their_vocabulary() {
        for (model, vocabulary) in [
            ("gpt-4o", Vocabulary::Openai),
            ("anthropic/Claude-sonnet-4-5", Vocabulary::Anthropic),
            ("models/gemini-2.5-pro", Vocabulary::Gemini),
            ("meta-llama/Llama-3.3-70B", Vocabulary::Llama),
            ("deepseek-chat", Vocabulary::Deepseek),
            ("", Vocabulary::Openai),
        ] {
            assert_eq!(Vocabulary::of_model(model), vocabulary, "{model}");
        }
    }

    proptest! {
        #[test]
        fn more_text_is_never_fewer_tokens_and_never_overflows(bytes in any::<u64>(), more in any::<u64>()) {
            for vocabulary in Vocabulary::ALL {
                let (less, more) = (estimate(bytes, *vocabulary), estimate(bytes.saturating_add(more), *vocabulary));
                prop_assert!(less <= more);
            }
        }
    }
}
