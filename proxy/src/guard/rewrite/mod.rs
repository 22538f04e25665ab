//! The text of a stream's events, changed on its way.
//!
//! What comes is framed into events. An event waits until it is known what is to be changed in it; those behind it wait
//! too, for they keep their order. What is not changed goes out as the bytes that came, and of an event that is changed
//! every byte outside of the changed values stays.

mod queue;
mod restore;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use narrows_guard::unmask::Placeholders;
use narrows_llm::Dialect;
use narrows_llm::deltas::{Ended, Part, parts};
use narrows_sse::{Frame, Framer};
use queue::{Queue, Waiting};
use restore::Restore;

/// Most bytes of events that wait for the rest of a placeholder. A placeholder takes a few events and is shorter than
/// [`MAX_PLACEHOLDER`](narrows_guard::placeholder::MAX_PLACEHOLDER); beyond this it is given up, and stays as it is.
pub(super) const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Changes a stream of events. Holds at most [`WAITING_BYTES_MAX`] of whole events and one event that has begun, within
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
    restore: Restore,
}

impl Rewrite {
    /// For a stream of events in `dialect` that these values are put back into.
    pub(crate) fn new(dialect: Dialect, placeholders: Placeholders) -> Rewrite {
        Rewrite {
            framer: Framer::new(),
            held: Vec::new(),
            base: 0,
            body: Body::Undecided,
            texts: Texts { dialect, queue: Queue::default(), restore: Restore::new(placeholders) },
        }
    }

    /// Takes the next bytes and appends those that may go out.
    pub(crate) fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        self.body.see(&chunk);
        if matches!(self.body, Body::Other) {
            return out.push(chunk);
        }
        let texts = &mut self.texts;
        self.framer.push(&chunk, &mut |frame| texts.event(&frame));
        let pending = self.framer.pending().len() as u64;
        let whole = self.framer.position() - pending;
        let mut end = self.texts.certain(whole);
        if end < whole && whole - self.base > WAITING_BYTES_MAX as u64 {
            self.texts.ended(Ended::All);
            end = whole;
        }
        if self.held.is_empty() && end == self.framer.position() && self.texts.queue.is_unchanged(end) {
            self.texts.queue.forget(end);
            self.base = end;
            out.push(chunk);
        } else {
            self.held.extend_from_slice(&chunk);
            out.extend(self.release(end));
        }
        if self.framer.overflowed() {
            self.body = Body::Other;
            out.extend(self.release(self.framer.position()));
        }
    }

    /// The end of the stream, wherever it is: what waited, first whole events and then the beginning of another one.
    pub(crate) fn finish(mut self) -> (Bytes, Bytes) {
        let whole = self.framer.position() - self.framer.pending().len() as u64;
        let end = self.framer.position();
        if !matches!(self.body, Body::Other) {
            let texts = &mut self.texts;
            std::mem::take(&mut self.framer).finish(&mut |frame| texts.event(&frame));
        }
        self.texts.ended(Ended::All);
        let events = self.release(whole).unwrap_or_default();
        (events, self.release(end).unwrap_or_default())
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
    /// A body that is JSON under the name of events has none.
    fn see(&mut self, chunk: &[u8]) {
        if !matches!(self, Body::Undecided) {
            return;
        }
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
        match chunk.iter().find(|byte| !is_blank(byte)) {
            Some(b'{' | b'[') => *self = Body::Other,
            Some(_) => *self = Body::Events,
            None => {}
        }
    }
}

impl Texts {
    fn event(&mut self, frame: &Frame<'_>) {
        let Texts { dialect, queue, restore } = self;
        let data = frame.data();
        let Ok(data) = std::str::from_utf8(&data) else { return };
        let mut event = Waiting::new(frame);
        let (mut taken, mut pieces, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        parts(*dialect, data.as_bytes(), &mut |part| match part {
            Part::Piece(piece) => {
                if piece.inside().is_none() {
                    return;
                }
                taken.push(piece.at..piece.at + piece.raw.len());
                if !piece.block.is_signed()
                    && let Some(text) = queue.note(&mut event, &piece)
                {
                    pieces.push((piece.block, text));
                }
            }
            Part::Ended(ended) => ends.push(ended),
        });
        restore.rest(data, &taken, &mut event);
        queue.push(event);
        for (block, text) in pieces {
            restore.push(block, &text, queue);
        }
        ends.into_iter().for_each(|ended| restore.ended(ended));
    }

    fn ended(&mut self, ended: Ended) {
        self.restore.ended(ended);
    }

    /// Up to where the stream may go out, at most to `whole`.
    fn certain(&self, whole: u64) -> u64 {
        self.queue.undecided(|block| self.restore.certain(block)).map_or(whole, |start| start.min(whole))
    }
}
