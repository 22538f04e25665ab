//! What every dialect's machine learns of a stream.

use super::heard::Heard;
use super::shape::Seen;
use super::usage::Converted;
use super::usage::tier::Tier;
use crate::deltas::Block;
use crate::dialect::Dialect;
use narrows_meter::Usage;

/// How many events are searched for the model's name before giving up.
const MODEL_TRIES: u8 = 8;

#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The first model the provider named.
    pub(crate) model: Option<Box<str>>,
    /// How the provider says that it works on it.
    pub(crate) tier: Tier,
    model_tries: u8,
    /// Id of the response in progress.
    pub(crate) id: Option<Box<str>>,
    /// Ids of the items that the answer consists of, as far as it names them at its end (Responses).
    pub(crate) items: Vec<Box<str>>,
    /// Generated text so far, in bytes.
    pub(crate) text: u64,
    /// Generated text when the provider last reported output, in bytes.
    covered: u64,
    /// That text itself, if somebody wants it.
    pub(crate) heard: Heard,
    /// Some of what was generated is not shown, or not as it was: thinking is given as a summary, encrypted, or left out.
    pub(crate) hides: bool,
    /// The dialect's end was seen.
    pub(crate) terminal: bool,
    /// Generation was said to be finished and no text came after that.
    pub(crate) finished: bool,
    /// A report was seen that no other can follow.
    pub(crate) final_report: bool,
    /// Type of the first error the provider reported.
    pub(crate) error: Option<Box<str>>,
    /// Usage of responses that ended before the one in progress (several in one body).
    earlier: Usage,
    /// One of them was not fully reported.
    earlier_partial: bool,
    earlier_anomaly: bool,
}

impl Facts {
    /// Adds generated text of which only the length is known.
    pub(crate) fn add_text(&mut self, bytes: u64) {
        self.heard.miss(bytes);
        self.grow(bytes);
    }

    fn grow(&mut self, bytes: u64) {
        if bytes > 0 {
            self.text = self.text.saturating_add(bytes);
            self.finished = false;
        }
    }

    /// Whether somebody wants the text itself.
    pub(crate) fn hears(&self) -> bool {
        self.heard.is_on()
    }

    /// Adds the generated text of an event.
    pub(crate) fn add_event(&mut self, dialect: Dialect, data: &[u8], seen: &Seen) {
        self.heard.event(dialect, data, seen);
        self.grow(seen.bytes);
    }

    /// Adds generated text of one block: so many bytes, which are one string if it is known where that begins.
    pub(crate) fn add_piece(&mut self, block: Block, data: &[u8], bytes: u64, start: Option<usize>) {
        self.heard.piece(block, data, start, bytes);
        self.grow(bytes);
    }

    /// The provider reported output: the text so far is accounted for.
    pub(crate) fn cover(&mut self) {
        self.heard.cover();
        self.covered = self.text;
    }

    /// Generated text that no report of the provider accounts for, in bytes.
    pub(crate) fn uncovered(&self) -> u64 {
        self.text.saturating_sub(self.covered)
    }

    /// Whether the next event should be read for the model's name. Each `true` uses up one try.
    pub(crate) fn wants_model(&mut self) -> bool {
        let wants = self.model.is_none() && self.model_tries < MODEL_TRIES;
        self.model_tries = self.model_tries.saturating_add(u8::from(wants));
        wants
    }

    /// Keeps the first name given.
    pub(crate) fn name_model(&mut self, model: Option<Box<str>>) {
        if self.model.is_none() {
            self.model = model;
        }
    }

    /// Keeps the first error given.
    pub(crate) fn fail(&mut self, kind: Option<Box<str>>) {
        if self.error.is_none() {
            self.error = kind;
        }
    }

    /// Whether the response has come to its end, by the dialect's own word.
    pub(crate) fn ended(&self) -> bool {
        self.terminal || self.finished
    }

    /// Whether `id` names another response than the one in progress.
    pub(crate) fn is_other(&self, id: Option<&str>) -> bool {
        matches!((self.id.as_deref(), id), (Some(ours), Some(theirs)) if ours != theirs)
    }

    /// The body goes on with another response: the usage of the one before is added up, once.
    pub(crate) fn next_response(&mut self, before: Converted) {
        self.earlier_partial |= before.usage.input().is_none() || before.usage.output().is_none();
        self.earlier_anomaly |= before.anomaly;
        self.earlier.add(&before.usage);
        (self.id, self.terminal, self.finished, self.final_report) = (None, false, false, false);
        if before.usage.output().is_some() {
            self.cover();
        }
    }

    /// Usage of all responses, given the one in progress.
    pub(crate) fn total(&self, current: Converted) -> Converted {
        let mut usage = self.earlier;
        usage.add(&current.usage);
        Converted { usage, anomaly: self.earlier_anomaly || current.anomaly }
    }

    /// Whether the response in progress is all that can still change.
    pub(crate) fn earlier_complete(&self) -> bool {
        !self.earlier_partial
    }
}
