//! The text of a stream's events, changed on its way.
//!
//! What comes is framed into events. An event waits until it is known what is to be changed in it; those behind it wait
//! too, for they keep their order. What is not changed goes out as the bytes that came, and of an event that is changed
//! every byte outside of the changed values stays.

mod gate;
mod queue;
mod restore;
pub(crate) mod scrub;

#[cfg(test)]
mod tests;

pub(crate) use gate::Gate;

use super::stream::Seen;
use bytes::Bytes;
use narrows_guard::unmask::Placeholders;
use narrows_llm::Dialect;
use narrows_llm::deltas::{Block, Ended, Part, parts};
use narrows_policy::Gap;
use narrows_sse::{Frame, Framer};
use queue::{Queue, Waiting};
use restore::Restore;

/// Most bytes of events that wait for the rest of a placeholder. A placeholder takes a few events and is shorter than
/// [`MAX_PLACEHOLDER`](narrows_guard::placeholder::MAX_PLACEHOLDER); beyond this it is given up, and stays as it is.
pub(super) const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of events of a gated stream that wait to be looked at. Beyond this they count as not inspected.
pub(super) const GATED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Changes a stream of events. Holds at most [`WAITING_BYTES_MAX`], or [`GATED_BYTES_MAX`], of whole events and one event that has begun, within
/// the framer's limit; after a longer one everything passes as it comes.
pub(crate) struct Rewrite {
    framer: Framer,
    /// What came and has not gone out, from `base` of the stream on.
    held: Vec<u8>,
    base: u64,
    body: Body,
    texts: Texts,
}

/// What the stream turned out to be.
enum Body {
    Undecided,
    Events,
    /// Nothing that can be changed.
    Other,
}

/// The texts of the stream.
struct Texts {
    dialect: Dialect,
    queue: Queue,
    restore: Option<Restore>,
    gate: Option<Gate>,
    /// Up to where the stream may go out, once policies have refused it.
    refused_at: Option<u64>,
}

/// What is left at the end of a stream.
pub(crate) struct Rest {
    /// Whole events that waited.
    pub(crate) events: Bytes,
    /// The beginning of another one.
    pub(crate) begun: Bytes,
    /// What was seen, if somebody looked; the stream must not go on if `refuses`.
    pub(crate) seen: Option<Seen>,
    pub(crate) refuses: bool,
}

impl Rewrite {
    /// For a stream of events in `dialect` that these values are put back into, and that passes this gate.
    pub(crate) fn new(dialect: Dialect, placeholders: Option<Placeholders>, gate: Option<Gate>) -> Rewrite {
        let restore = placeholders.map(Restore::new);
        Rewrite {
            framer: Framer::new(),
            held: Vec::new(),
            base: 0,
            body: Body::Undecided,
            texts: Texts { dialect, queue: Queue::default(), restore, gate, refused_at: None },
        }
    }

    /// Whether policies have refused the stream: nothing more goes out.
    pub(crate) fn refuses(&self) -> bool {
        self.texts.refused_at.is_some()
    }

    /// Takes the next bytes and appends those that may go out.
    pub(crate) fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        if self.body.see(&chunk) {
            self.texts.gap(Gap::Undecodable);
        }
        match self.body {
            _ if self.refuses() => {}
            Body::Other => {
                // A blank that came before it was known.
                out.extend(self.release(self.framer.position()));
                out.push(chunk);
            }
            Body::Undecided | Body::Events => self.pass(chunk, out),
        }
    }

    fn pass(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let texts = &mut self.texts;
        self.framer.push(&chunk, &mut |frame| texts.event(&frame));
        let pending = self.framer.pending().len() as u64;
        let whole = self.framer.position() - pending;
        let mut end = self.texts.certain(whole);
        if end < whole && whole - self.base > self.texts.waiting_max() {
            self.texts.give_up();
            end = self.texts.certain(whole);
        }
        if self.framer.overflowed() {
            self.body = Body::Other;
            self.texts.give_up();
            end = self.framer.position();
        }
        end = end.min(self.texts.refused_at.unwrap_or(end));
        if self.held.is_empty() && end == self.framer.position() && self.texts.queue.is_unchanged(end) {
            self.texts.queue.forget(end);
            self.base = end;
            out.push(chunk);
        } else {
            self.held.extend_from_slice(&chunk);
            out.extend(self.release(end));
        }
    }

    /// The end of the stream, wherever it is: what waited.
    pub(crate) fn finish(mut self) -> Rest {
        let whole = self.framer.position() - self.framer.pending().len() as u64;
        let end = self.framer.position();
        if !matches!(self.body, Body::Other) {
            let texts = &mut self.texts;
            std::mem::take(&mut self.framer).finish(&mut |frame| texts.event(&frame));
        }
        self.texts.ended(Ended::All);
        let until = self.texts.refused_at.unwrap_or(end);
        let events = self.release(whole.min(until)).unwrap_or_default();
        let begun = self.release(end.min(until)).unwrap_or_default();
        Rest { events, begun, refuses: self.refuses(), seen: self.texts.gate.map(Gate::seen) }
    }

    fn release(&mut self, end: u64) -> Option<Bytes> {
        let count = usize::try_from(end.checked_sub(self.base)?).unwrap_or(usize::MAX).min(self.held.len());
        if count == 0 {
            return None;
        }
        let out = self.texts.queue.release(&self.held, self.base, end);
        self.held.drain(..count);
        self.base = end;
        Some(out.into())
    }

    /// Bytes that are held.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.held.len()
    }
}

impl Body {
    /// A body that is JSON under the name of events has none. Whether that has just come to light.
    fn see(&mut self, chunk: &[u8]) -> bool {
        if !matches!(self, Body::Undecided) {
            return false;
        }
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
        match chunk.iter().find(|byte| !is_blank(byte)) {
            Some(b'{' | b'[') => *self = Body::Other,
            Some(_) => *self = Body::Events,
            None => {}
        }
        matches!(self, Body::Other)
    }
}

impl Texts {
    fn event(&mut self, frame: &Frame<'_>) {
        if self.refused_at.is_none() {
            self.take(frame);
            self.settle();
        }
    }

    /// What policies have refused ends the stream before the event that it begins in.
    fn settle(&mut self) {
        if self.refused_at.is_none() && self.gate.as_ref().is_some_and(Gate::refuses) {
            let last = self.queue.last().unwrap_or(0);
            self.refused_at = Some(self.certain(last));
        }
    }

    fn take(&mut self, frame: &Frame<'_>) {
        let data = frame.data();
        let Ok(data) = std::str::from_utf8(&data) else { return self.gap(Gap::Undecodable) };
        let mut event = Waiting::new(frame);
        let (mut taken, mut pieces, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let queue = &mut self.queue;
        let mut is_full = false;
        let readable = parts(self.dialect, data.as_bytes(), &mut |part| match part {
            Part::Piece(piece) => {
                if piece.inside().is_none() {
                    return;
                }
                taken.push(piece.at..piece.at + piece.raw.len());
                match queue.note(&mut event, &piece) {
                    Some(text) => pieces.push((piece.block, text)),
                    None => is_full = true,
                }
            }
            Part::Ended(ended) => ends.push(ended),
        });
        self.queue.push(event);
        match (readable, is_full) {
            (false, _) if !data.is_empty() => self.gap(Gap::Undecodable),
            (_, true) => self.gap(Gap::DepthCap),
            _ => {}
        }
        for (block, text) in pieces {
            self.piece(block, &text);
        }
        ends.into_iter().for_each(|ended| self.ended(ended));
        if let Some(gate) = &mut self.gate
            && data.trim() != "[DONE]"
        {
            gate.rest(data, &taken, &mut self.queue);
        }
        if let Some(restore) = &mut self.restore {
            restore.rest(data, &taken, &mut self.queue);
        }
    }

    fn piece(&mut self, block: Block, text: &str) {
        if let Some(gate) = &mut self.gate {
            gate.push(block, text, &mut self.queue);
        }
        if let Some(restore) = self.restore.as_mut().filter(|_| !block.is_signed()) {
            restore.push(block, text, &mut self.queue);
        }
    }

    fn ended(&mut self, ended: Ended) {
        if let Some(gate) = &mut self.gate {
            gate.ended(ended, &mut self.queue);
        }
        if let Some(restore) = &mut self.restore {
            restore.ended(ended);
        }
        self.settle();
    }

    /// Something could not be looked at.
    fn gap(&mut self, gap: Gap) {
        if let Some(gate) = &mut self.gate {
            gate.gap(gap);
        }
        self.settle();
    }

    /// Waits no longer for anything.
    fn give_up(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.give_up();
        }
        if let Some(restore) = &mut self.restore {
            restore.ended(Ended::All);
        }
        self.settle();
    }

    /// Most bytes of whole events that wait.
    fn waiting_max(&self) -> u64 {
        let max = if self.gate.is_some() { GATED_BYTES_MAX } else { WAITING_BYTES_MAX };
        max as u64
    }

    /// Up to where the stream may go out, at most to `whole`.
    fn certain(&self, whole: u64) -> u64 {
        let certain = |block: &Block| {
            let gate = self.gate.as_ref().map_or(usize::MAX, |gate| gate.certain(block));
            self.restore.as_ref().map_or(usize::MAX, |restore| restore.certain(block)).min(gate)
        };
        self.queue.undecided(certain).map_or(whole, |start| start.min(whole))
    }
}
