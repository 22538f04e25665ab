//! What is known about tokens in this process: vocabularies, once they are loaded, and factors learnt of models.

use narrows_tokenizer::{Calibration, Encoder, Encoding, Vocabulary};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of the answers that a factor could be learnt from, one in so many is, once a model is known.
const LEARN_ONE_IN: u64 = 32;

/// The factor of prompts of which nothing is known, per thousand.
const AS_ESTIMATED: u64 = 1000;

/// Figures from which a model counts as known.
const KNOWN_FIGURES: u64 = 15;

/// Counts of text whose provider reported nothing.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// What a model's output is to a public vocabulary.
    outputs: Mutex<Calibration>,
    /// What a model's prompts are to their estimates.
    prompts: Mutex<Calibration>,
    /// Vocabularies whose loading has begun.
    cl100k: AtomicBool,
    o200k: AtomicBool,
    /// Answers that could have been learnt from.
    offers: AtomicU64,
}

impl Tokens {
    /// The vocabulary to count a model's text with: its own, or the one that factors are relative to. `None` while it is
    /// not loaded; a thread loads it meanwhile, so that nobody waits.
    pub(crate) fn encoder(&self, model: &str) -> Option<(Encoding, &'static Encoder)> {
        let encoding = Encoding::of_model(model).unwrap_or(Encoding::O200k);
        if let Some(encoder) = encoding.loaded() {
            return Some((encoding, encoder));
        }
        let begun = match encoding {
            Encoding::Cl100k => &self.cl100k,
            Encoding::O200k => &self.o200k,
        };
        if !begun.swap(true, Ordering::Relaxed) {
            let load = move || {
                if encoding.load().is_none() {
                    tracing::error!(
                        "the vocabulary {} cannot be read; tokens are estimated",
                        encoding.as_str()
                    );
                }
            };
            let thread = std::thread::Builder::new().name("narrows-vocabulary".into());
            if let Err(error) = thread.spawn(load) {
                begun.store(false, Ordering::Relaxed);
                tracing::warn!("no thread to load a vocabulary with: {error}");
            }
        }
        None
    }

    /// Tokens of a model whose vocabulary is not public, of which so many were counted with another one.
    pub(crate) fn scaled(&self, key: u64, model: &str, counted: u64) -> u64 {
        let default = Vocabulary::of_model(model).per_mille();
        locked(&self.outputs).apply(key, default, counted)
    }

    /// An estimate of a prompt's text, corrected by what the provider reported for other prompts like it.
    pub(crate) fn corrected(&self, key: u64, estimate: u64) -> u64 {
        locked(&self.prompts).apply(key, AS_ESTIMATED, estimate)
    }

    /// Learns from a prompt that was estimated and reported.
    pub(crate) fn learn_prompt(&self, key: u64, estimate: u64, reported: u64) {
        let offer = self.offers.fetch_add(1, Ordering::Relaxed);
        // Every exchange comes by: none waits for another one's figure.
        let Ok(mut prompts) = self.prompts.try_lock() else { return };
        if offer.is_multiple_of(LEARN_ONE_IN) || prompts.figures(key) < KNOWN_FIGURES {
            prompts.learn(key, AS_ESTIMATED, estimate, reported);
        }
    }

    /// Whether an answer of this model is to be learnt from: each of the first, and some of those after.
    pub(crate) fn wants_figure(&self, key: u64) -> bool {
        let offer = self.offers.fetch_add(1, Ordering::Relaxed);
        offer.is_multiple_of(LEARN_ONE_IN) || locked(&self.outputs).figures(key) < KNOWN_FIGURES
    }

    /// Learns from an answer of which both figures are known.
    pub(crate) fn learn(&self, key: u64, model: &str, counted: u64, reported: u64) {
        let default = Vocabulary::of_model(model).per_mille();
        locked(&self.outputs).learn(key, default, counted, reported);
    }
}

fn locked(calibration: &Mutex<Calibration>) -> MutexGuard<'_, Calibration> {
    calibration.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answers_of_a_model_are_learnt_from_and_then_some() {
        let tokens = Tokens::default();
        for _ in 0..KNOWN_FIGURES {
            assert!(tokens.wants_figure(1));
            tokens.learn(1, "claude-x", 100, 130);
        }
        let wanted = (0..LEARN_ONE_IN * 4).filter(|_| tokens.wants_figure(1)).count();
        assert_eq!(wanted, 4);
        assert!(tokens.wants_figure(2), "another model is not known");
        assert!((1285..=1300).contains(&tokens.scaled(1, "claude-x", 1000)));
        assert_eq!(tokens.scaled(2, "claude-x", 1000), 1174, "what the family's recordings said");
    }

    #[test]
    fn estimates_of_prompts_follow_what_was_reported() {
        let tokens = Tokens::default();
        assert_eq!(tokens.corrected(1, 800), 800);
        for _ in 0..100 {
            tokens.learn_prompt(1, 1000, 1500);
        }
        assert!((1150..=1200).contains(&tokens.corrected(1, 800)), "{}", tokens.corrected(1, 800));
        assert_eq!(tokens.corrected(2, 800), 800);
    }

    #[test]
    fn a_vocabulary_is_loaded_beside_those_who_ask_for_it() {
        let tokens = Tokens::default();
        // Whoever asks first does not wait.
        assert!(tokens.encoder("gpt-4o").is_none() || Encoding::O200k.loaded().is_some());
        Encoding::O200k.load().unwrap();
        assert_eq!(tokens.encoder("gpt-4o").unwrap().0, Encoding::O200k);
        assert_eq!(tokens.encoder("claude-sonnet-4-5").unwrap().0, Encoding::O200k);
    }
}
