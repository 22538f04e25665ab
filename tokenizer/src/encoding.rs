//! OpenAI's public vocabularies, loaded once and shared.
//!
//! The names, the patterns that cut text into pieces and the tokens are those of OpenAI's `tiktoken`
//! (github.com/openai/tiktoken, `tiktoken_ext/openai_public.py`, seen 2026-11). Special tokens are none here: text that
//! spells one is text.

use crate::ranks::Ranks;
use crate::split::{Cut, Splitter};
use std::sync::OnceLock;

/// A vocabulary of OpenAI, by `tiktoken`'s name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4 (before 4o), GPT-3.5, and the embedding models since `text-embedding-ada-002`.
    Cl100k,
    /// GPT-4o, GPT-4.1, GPT-4.5, GPT-5, the o-series and gpt-oss (whose `o200k_harmony` adds special tokens only).
    O200k,
}

/// What begins a model's name (or a part of it, behind a character that is no letter or digit), and its vocabulary. The
/// first that fits decides.
const MODELS: &[(&str, Encoding)] = &[
    ("gpt-4o", Encoding::O200k),
    ("gpt-4.1", Encoding::O200k),
    ("gpt-4.5", Encoding::O200k),
    ("gpt-5", Encoding::O200k),
    ("gpt-oss", Encoding::O200k),
    ("chatgpt-4o", Encoding::O200k),
    ("codex-mini", Encoding::O200k),
    ("computer-use-preview", Encoding::O200k),
    ("gpt-4", Encoding::Cl100k),
    ("gpt-3.5", Encoding::Cl100k),
    ("gpt-35", Encoding::Cl100k),
    ("text-embedding-3", Encoding::Cl100k),
    ("text-embedding-ada-002", Encoding::Cl100k),
];

/// Names so short that they count only as the whole name, or as what stands before its first dash.
const SHORT: &[(&str, Encoding)] =
    &[("o1", Encoding::O200k), ("o3", Encoding::O200k), ("o4", Encoding::O200k)];

impl Encoding {
    /// Every encoding.
    pub const ALL: [Encoding; 2] = [Encoding::Cl100k, Encoding::O200k];

    /// The vocabulary of a model of OpenAI, as far as its name is known; `None` for every other. A provider's prefix
    /// (`openai/`), a fine-tuned model's (`ft:`) and a deployment's own words around the name do not matter.
    pub fn of_model(model: &str) -> Option<Encoding> {
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let short = name.split(['-', ':']).next().unwrap_or(name);
        let by_short = SHORT.iter().find(|row| short.eq_ignore_ascii_case(row.0));
        by_short.or_else(|| MODELS.iter().find(|row| has_part(name, row.0))).map(|row| row.1)
    }

    /// `tiktoken`'s name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Cl100k => "cl100k_base",
            Encoding::O200k => "o200k_base",
        }
    }

    /// The vocabulary, if it has been loaded. Never waits.
    pub fn loaded(self) -> Option<&'static Encoder> {
        self.cell().get()?.as_ref()
    }

    /// The vocabulary; loads it first, which takes tens of milliseconds of this thread's time: not for a thread that
    /// answers requests. `None` only if the embedded data is not what it should be, which a test excludes.
    pub fn load(self) -> Option<&'static Encoder> {
        self.cell().get_or_init(|| Encoder::new(self)).as_ref()
    }

    fn cell(self) -> &'static OnceLock<Option<Encoder>> {
        static CELLS: [OnceLock<Option<Encoder>>; 2] = [OnceLock::new(), OnceLock::new()];
        let [cl100k, o200k] = &CELLS;
        match self {
            Encoding::Cl100k => cl100k,
            Encoding::O200k => o200k,
        }
    }

    /// The tokens, as `tokenizer/examples/prepare.rs` wrote them.
    fn data(self) -> &'static [u8] {
        match self {
            Encoding::Cl100k => include_bytes!("../data/cl100k_base.bin"),
            Encoding::O200k => include_bytes!("../data/o200k_base.bin"),
        }
    }

    /// What cuts text into pieces, first match first. A piece never spans two tokens' pieces: each is encoded alone.
    ///
    /// `tiktoken`'s pattern has `\s+(?!\S)`: blanks, without the last one if something else follows. A look-ahead is
    /// nothing for an automaton, so it is said as "blanks up to the end" and "blanks and one more, which is not taken".
    fn patterns(self) -> Vec<(String, Cut)> {
        let words = match self {
            Encoding::Cl100k => concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
                r"|[^\r\n\p{L}\p{N}]?\p{L}+",
                r"|\p{N}{1,3}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*",
                r"|\s*[\r\n]+",
                r"|\s+$",
            ),
            Encoding::O200k => concat!(
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"|\p{N}{1,3}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"|\s*[\r\n]+",
                r"|\s+$",
            ),
        };
        vec![(words.into(), Cut::Whole), (r"\s+\s".into(), Cut::WithoutLast), (r"\s+".into(), Cut::Whole)]
    }
}

/// Whether `name` has this part, not in the middle of a word.
fn has_part(name: &str, part: &str) -> bool {
    let (name, part) = (name.as_bytes(), part.as_bytes());
    let begins = |at: usize| {
        at.checked_sub(1).and_then(|at| name.get(at)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    name.windows(part.len()).enumerate().any(|(at, window)| begins(at) && window.eq_ignore_ascii_case(part))
}

/// A loaded vocabulary: the pieces of a text, and the tokens of a piece.
#[derive(Debug)]
pub struct Encoder {
    pub(crate) ranks: Ranks,
    pub(crate) splitter: Splitter,
}

impl Encoder {
    fn new(encoding: Encoding) -> Option<Encoder> {
        let ranks = Ranks::read(encoding.data())?;
        let splitter = Splitter::new(&encoding.patterns())?;
        Some(Encoder { ranks, splitter })
    }

    /// Tokens of a whole text. Bytes that are no UTF-8 count one each.
    pub fn count(&self, text: &[u8]) -> u64 {
        self.splitter.pieces(text).map(|piece| self.ranks.count(piece)).fold(0, u64::saturating_add)
    }

    /// Bytes that the vocabulary takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.ranks.memory_bytes() + self.splitter.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_tell_their_vocabulary() {
        for (model, encoding) in [
            ("gpt-4o", Some(Encoding::O200k)),
            ("gpt-4o-mini-2024-07-18", Some(Encoding::O200k)),
            ("openai/gpt-4.1-nano", Some(Encoding::O200k)),
            ("ft:gpt-4o-2024-08-06:acme::x", Some(Encoding::O200k)),
            ("ft:gpt-3.5-turbo:acme", Some(Encoding::Cl100k)),
            ("GPT-5.1-codex", Some(Encoding::O200k)),
            ("o3", Some(Encoding::O200k)),
            ("o4-mini", Some(Encoding::O200k)),
            ("openai/gpt-oss-120b", Some(Encoding::O200k)),
            ("gpt-4-turbo", Some(Encoding::Cl100k)),
            ("gpt-4-0613", Some(Encoding::Cl100k)),
            ("gpt-35-turbo", Some(Encoding::Cl100k)),
            ("prod-gpt-4o-eu", Some(Encoding::O200k)),
            ("text-embedding-3-large", Some(Encoding::Cl100k)),
            ("claude-sonnet-4-5", None),
            ("o365-helper", None),
            ("turbo3", None),
            ("notgpt-4o", None),
            ("gpt-2", None),
            ("", None),
        ] {
            assert_eq!(Encoding::of_model(model), encoding, "{model}");
        }
    }

    #[test]
    fn a_vocabulary_is_loaded_when_it_is_asked_for_and_takes_some_megabytes() {
        assert!(Encoding::Cl100k.loaded().is_none(), "nobody asked for it");
        let encoder = Encoding::Cl100k.load().unwrap();
        assert!(Encoding::O200k.loaded().is_none(), "nobody asked for it");
        assert!(std::ptr::eq(Encoding::Cl100k.loaded().unwrap(), encoder));
        let sizes = [encoder, Encoding::O200k.load().unwrap()].map(Encoder::memory_bytes);
        assert!(sizes.iter().all(|size| *size < 12 << 20), "{sizes:?}");
    }
}
