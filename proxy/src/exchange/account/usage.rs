//! What an exchange used: as the provider reports it, else as it is counted, else as an estimate.

use super::{Account, micros};
use crate::exchange::tally::Counted;
use crate::targets::rendezvous::stable_hash;
use narrows_ledger::{Attempt, Spent, Used};
use narrows_llm::stream::Reported;
use narrows_meter::{Cost, Origin, Usage};
use narrows_policy::Reason;
use narrows_tokenizer::calibration::SAMPLE_MIN_TOKENS;
use narrows_tokenizer::estimate::IMAGE_TOKENS;
use narrows_tokenizer::image::image_tokens;
use narrows_tokenizer::{Encoding, Vocabulary};
use std::sync::Arc;

impl Account {
    /// Takes usage as far as the provider reported any. Nothing is estimated: what there is to count is not known here.
    pub(crate) fn take_reported(&mut self, usage: &Usage, reported: Reported, model: Option<Box<str>>) {
        self.model_answered = model.map(Arc::from);
        self.origin = match reported {
            Reported::Complete => Origin::Provider,
            Reported::Partial => Origin::ProviderPartial,
            Reported::Nothing => return,
        };
        self.usage = *usage;
    }

    /// Notes that a part of the answer could not be read: what is known of its output may be too little.
    pub(crate) fn unread(&mut self) {
        self.is_unread = true;
    }

    /// Takes what the answer's usage turned out to be. What the provider did not report is `counted`, and the prompt
    /// estimated.
    pub(crate) fn take_usage(
        &mut self,
        usage: &Usage,
        reported: Reported,
        counted: &Counted,
        model: Option<Box<str>>,
    ) {
        self.usage = *usage;
        self.model_answered = model.map(Arc::from);
        if reported == Reported::Complete {
            // The provider has told all, whatever else could not be read.
            self.is_unread = false;
            self.origin = Origin::Provider;
            self.learn_prompt();
            return;
        }
        let (more, is_exact) = self.tokens_of(counted);
        self.origin = match reported {
            Reported::Nothing if is_exact && more > 0 && !self.is_unread => Origin::Counted,
            Reported::Nothing => Origin::Estimated,
            _ => Origin::ProviderPartial,
        };
        if self.usage.input().is_none() {
            self.usage.input_uncached = Some(self.prompt_estimate());
        }
        // What came after the provider's last report is added to it.
        if more > 0 || self.usage.output().is_none() {
            self.usage.output_text = Some(self.usage.output_text.unwrap_or(0).saturating_add(more));
        }
    }

    /// Tokens of the model for what was counted, and whether that is exact: by its own vocabulary, and all of it.
    fn tokens_of(&self, counted: &Counted) -> (u64, bool) {
        let model = self.model_named();
        let missed = narrows_tokenizer::estimate(counted.missed_bytes, self.vocabulary());
        let is_own = counted.encoding.is_some() && counted.encoding == Encoding::of_model(model);
        let tokens = if is_own {
            counted.tokens
        } else {
            self.gateway.tokens.scaled(self.model_key(model), model, counted.tokens)
        };
        (tokens.saturating_add(missed), is_own && counted.missed_bytes == 0)
    }

    /// Whether this answer can tell what tokens of the model are to those of a public vocabulary, and is to.
    pub(crate) fn may_learn(&self, model: &str, usage: &Usage) -> bool {
        let is_text = usage.reasoning.unwrap_or(0) == 0 && usage.audio_out.unwrap_or(0) == 0;
        is_text
            && Encoding::of_model(model).is_none()
            && usage.output().is_some_and(|tokens| tokens >= SAMPLE_MIN_TOKENS)
            && self.gateway.tokens.wants_figure(self.model_key(model))
    }

    /// Learns what tokens of the model are, from an answer that was reported and counted.
    pub(crate) fn learn(&self, model: &str, usage: &Usage, counted: &Counted) {
        if let Some(reported) = usage.output() {
            self.gateway.tokens.learn(self.model_key(model), model, counted.tokens, reported);
        }
    }

    /// The provider's model as a key for what is learnt of it.
    fn model_key(&self, model: &str) -> u64 {
        let provider = self.provider.as_ref().map_or("", |provider| &provider.name);
        stable_hash(&[provider.as_bytes(), model.as_bytes()])
    }

    /// The model by the name that its provider gives it, or else by that which it was asked for.
    fn model_named(&self) -> &str {
        self.model_answered.as_deref().or(self.model_sent.as_deref()).unwrap_or_default()
    }

    /// The answer passed without being read: its prompt is estimated, its output is not known.
    pub(crate) fn take_unmetered(&mut self) {
        self.usage.input_uncached = Some(self.prompt_estimate());
        self.origin = Origin::Estimated;
    }

    /// As [`take_unmetered`](Self::take_unmetered), for an answer of which nothing was read: if the provider took the
    /// request, and if it is one that spends tokens.
    pub(crate) fn take_prompt_if_asked(&mut self, taken: bool) {
        if taken && self.spends() {
            self.take_unmetered();
        }
    }

    /// The request was sent whole, and no answer comes: the provider may have made one that nobody reads. The prompt is
    /// estimated, and the rest not known.
    pub(in crate::exchange) fn lose_answer(&mut self) {
        self.take_prompt_if_asked(true);
        self.is_lost = true;
    }

    /// Nobody waits any more for an answer that was asked for.
    pub(in crate::exchange) fn leave_asked(&mut self, reason: Reason) {
        let (Some(sent), Some(provider)) = (self.sent.take(), &self.provider) else { return };
        self.attempts.push(Attempt {
            provider: Arc::clone(&provider.name),
            model: self.model_sent.clone(),
            status: None,
            reason,
            duration_us: micros(sent.elapsed()),
            reused: false,
        });
        self.lose_answer();
    }

    /// Another attempt is made. What the one before may have used stays that of its own provider and model, and is
    /// charged as it was reserved.
    pub(in crate::exchange) fn set_aside_lost(&mut self) {
        if !std::mem::take(&mut self.is_lost) {
            return;
        }
        let (usage, origin) = (std::mem::take(&mut self.usage), std::mem::take(&mut self.origin));
        let Some(provider) = self.provider.as_ref().filter(|_| self.spends()) else { return };
        self.hold.lose(Spent { tokens: usage.total().unwrap_or(0), unpriced: 1, ..Spent::default() });
        self.also_used.push(Used {
            provider: Arc::clone(&provider.name),
            model: self.model_sent.clone(),
            usage,
            origin,
            cost: Cost::Unknown,
        });
    }

    /// What another model of the same conversation used.
    pub(in crate::exchange) fn also_use(&mut self, model: Option<Arc<str>>, usage: Usage, cost: Cost) {
        let Some(provider) = &self.provider else { return };
        self.charged_beside.add(&Spent {
            requests: 0,
            tokens: usage.total().unwrap_or(0),
            cost_nanousd: cost.nano_usd().unwrap_or(0),
            unpriced: u64::from(cost == Cost::Unknown),
        });
        let provider = Arc::clone(&provider.name);
        self.also_used.push(Used { provider, model, usage, origin: Origin::Provider, cost });
    }

    /// The prompt's tokens as an estimate, for a caller that asked for their number. Nothing is spent by asking.
    pub(crate) fn estimate_prompt(&mut self) -> u64 {
        self.origin = Origin::Estimated;
        self.prompt_estimate()
    }

    /// The prompt's tokens as an estimate: its text by its bytes, corrected by what the provider reported for the
    /// model's prompts before; pictures by their sizes. Costs a look into a table, whatever the prompt's length.
    pub(in crate::exchange) fn prompt_estimate(&self) -> u64 {
        let model = self.model_sent.as_deref().unwrap_or_default();
        let sized = self.prompt_images.iter().map(|size| image_tokens(*size, model));
        let other = self.prompt_media.saturating_sub(self.prompt_images.len() as u64);
        let media = sized.fold(other.saturating_mul(IMAGE_TOKENS), u64::saturating_add);
        self.gateway.tokens.corrected(self.prompt_key(), self.prompt_text_estimate()).saturating_add(media)
    }

    /// Tokens of the prompt's text, as far as its bytes tell.
    fn prompt_text_estimate(&self) -> u64 {
        narrows_tokenizer::estimate(self.prompt_text_bytes, self.vocabulary())
    }

    /// Learns what the model's prompts are to their estimates, from one without media.
    fn learn_prompt(&self) {
        if let (true, 0, Some(reported)) = (self.prompt_is_whole, self.prompt_media, self.usage.input()) {
            self.gateway.tokens.learn_prompt(self.prompt_key(), self.prompt_text_estimate(), reported);
        }
    }

    /// The model's prompts, with tools or without, as a key for what is learnt of them.
    fn prompt_key(&self) -> u64 {
        let model = self.model_sent.as_deref().unwrap_or_default();
        let provider = self.provider.as_ref().map_or("", |provider| &provider.name);
        let tools: &[u8] = if self.prompt_tools { b"tools" } else { b"" };
        stable_hash(&[provider.as_bytes(), model.as_bytes(), tools])
    }

    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::of_model(self.model_sent.as_deref().unwrap_or_default())
    }
}
