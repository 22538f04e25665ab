//! Reading usage out of a stream while it passes.
//!
//! A [`StreamDecoder`] observes the chunks of a provider's answer and passes the same bytes on. It frames them, looks
//! at most events only with a substring search, and parses the few that can carry usage, an end or an error. It never
//! fails: what it cannot read passes untouched, and the outcome says how much is known.
//!
//! - Usage is a state that later reports are laid over, never a sum (except over distinct responses in one body).
//! - A body that is JSON under an event-stream content type is read as such, also Gemini's list of objects.
//! - An event (or object) longer than [`CARRY_LIMIT`] ends the inspection; bytes still pass.

mod anthropic;
mod chat;
pub(crate) mod documents;
mod facts;
mod gemini;
pub(crate) mod heard;
mod hold;
pub(crate) mod lenient;
pub(crate) mod machine;
mod plain;
mod responses;
mod shape;
pub(crate) mod text;
pub(crate) mod usage;

use crate::dialect::Dialect;
use bytes::Bytes;
use hold::{Cut, Hold};
use machine::Machine;
use narrows_meter::{Mode, Usage};
use narrows_sse::Framer;

pub use documents::Documents;
pub use heard::{HEARD_LIMIT, Heard};
pub use hold::HOLD_LIMIT;

/// Longest event or JSON object that is inspected, and so the most that is copied, in bytes.
pub const CARRY_LIMIT: usize = narrows_sse::DEFAULT_CARRY_LIMIT;

/// Bytes of generated text that are taken for one token when the provider reports no output.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Tokens that so many bytes of generated text probably are: a quarter, rounded up. Off by 20 % for English prose,
/// by half and more for code, other scripts and hidden reasoning.
pub fn estimate_tokens(text_bytes: u64) -> u64 {
    text_bytes.div_ceil(BYTES_PER_TOKEN)
}

/// What the gateway has done to the request that matters to its answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamOptions {
    /// We asked the provider for usage and the client did not: hide the event that adds. Heeded for `openai.chat` and
    /// `openai.completions`, the dialects where usage must be asked for.
    pub hide_usage: bool,
    /// Keep the generated text until it is taken (see [`Heard`]), for somebody counts its tokens.
    pub hear: bool,
}

/// How much of an answer's usage the provider reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reported {
    /// Input and output, and nothing can change them any more.
    Complete,
    /// Something: input only, or figures "so far" of a stream that was cut.
    Partial,
    /// Nothing.
    Nothing,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// By the dialect's own word (`[DONE]`, `message_stop`, a finish reason with no text after it, a whole JSON body).
    Terminal,
    /// It just stopped.
    Cut,
    /// The provider reported an error inside the stream.
    ErrorEvent {
        /// Its type, code or status, as the provider words it; `error` when it names none. At most 256 bytes.
        kind: Box<str>,
    },
    /// Not known, for the inspection had ended before (see [`CARRY_LIMIT`]).
    Unseen,
}

/// What is known while a stream passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Usage the provider has reported so far.
    pub usage: Usage,
    /// How much of it that is.
    pub reported: Reported,
    /// Generated text so far, in bytes (an estimate; see the module `text`).
    pub output_text_bytes: u64,
    /// The part of it that came after the provider last reported output.
    pub unreported_text_bytes: u64,
}

impl Progress {
    /// Generated tokens: what the provider reported plus an estimate of what came after. `None` if neither is known.
    pub fn output_tokens(&self) -> Option<u64> {
        output_tokens(&self.usage, self.unreported_text_bytes)
    }
}

/// What is known when a stream has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Usage the provider reported. Of a stream that was cut, `output` may be missing or "so far".
    pub usage: Usage,
    /// How much of it was reported.
    pub reported: Reported,
    /// How the stream ended.
    pub end: StreamEnd,
    /// The answer's own id.
    pub id: Option<Box<str>>,
    /// Ids of the items that the answer consists of (Responses); at most 256, and none of a stream that was cut.
    pub items: Vec<Box<str>>,
    /// The model the provider says it used.
    pub model: Option<Box<str>>,
    /// How it says that it worked on it, where that changes the price; `None` for the ordinary way.
    pub mode: Option<Mode>,
    /// Generated text, in bytes (an estimate).
    pub output_text_bytes: u64,
    /// The part of it that came after the provider last reported output.
    pub unreported_text_bytes: u64,
    /// The text itself, as far as it was not taken before. Empty unless [`StreamOptions::hear`] is set.
    pub heard: Heard,
    /// Whether more may have been generated than is shown, without its being told apart: hidden or summarized thinking.
    pub hides: bool,
    /// Figures contradicted each other (a part above its whole, a total that fits nothing); `usage` is the best reading.
    pub anomaly: bool,
    /// Bytes that passed uninspected because something exceeded [`CARRY_LIMIT`], in whole chunks.
    pub uninspected_bytes: u64,
    /// Bytes that were hidden from the client.
    pub hidden_bytes: u64,
}

impl Outcome {
    /// Generated tokens: what the provider reported plus an estimate of what came after. `None` if neither is known.
    pub fn output_tokens(&self) -> Option<u64> {
        output_tokens(&self.usage, self.unreported_text_bytes)
    }
}

fn output_tokens(usage: &Usage, unreported: u64) -> Option<u64> {
    let estimate = (unreported > 0).then(|| estimate_tokens(unreported));
    [usage.output(), estimate].into_iter().flatten().reduce(u64::saturating_add)
}

/// What the body turned out to be.
#[derive(Debug)]
enum Body {
    /// Only a byte order mark and blanks so far.
    Undecided {
        mark: usize,
    },
    Events,
    Json(Documents),
}

/// Observes one streamed answer. See the module documentation.
#[derive(Debug)]
pub struct StreamDecoder {
    machine: Machine,
    framer: Framer,
    body: Body,
    hold: Option<Hold>,
    carry_limit: usize,
    /// Bytes pushed so far.
    position: u64,
    uninspected: u64,
}

impl StreamDecoder {
    /// A decoder for an answer in `dialect`.
    pub fn new(dialect: Dialect, options: StreamOptions) -> Self {
        let hides = matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiCompletions) && options.hide_usage;
        let mut machine = Machine::new(dialect);
        if options.hear {
            machine.facts_mut().heard.turn_on();
        }
        StreamDecoder {
            machine,
            framer: Framer::with_carry_limit(CARRY_LIMIT),
            body: Body::Undecided { mark: 0 },
            hold: hides.then(Hold::default),
            carry_limit: CARRY_LIMIT,
            position: 0,
            uninspected: 0,
        }
    }

    /// The same decoder with another limit than [`CARRY_LIMIT`], in bytes. To be set before the first chunk.
    #[must_use]
    pub fn with_carry_limit(self, limit: usize) -> Self {
        StreamDecoder { framer: Framer::with_carry_limit(limit), carry_limit: limit, ..self }
    }

    /// Observes one chunk and hands `out` the bytes the client must get: exactly `chunk`, in order and at once, unless
    /// usage is hidden. Then a hidden event is left out, and the tail of an event that may still turn out to be one
    /// is held back, at most [`HOLD_LIMIT`] bytes.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        if chunk.is_empty() {
            return;
        }
        let Some(mut hold) = self.hold.take() else {
            self.observe(&chunk, &mut |_| ());
            out(chunk);
            return;
        };
        let base = self.position;
        let mut cuts = Vec::new();
        self.observe(&chunk, &mut |cut| cuts.push(cut));
        let pending = if matches!(self.body, Body::Json(_)) { &[] } else { self.framer.pending() };
        let held = if hold::is_ruled_out(pending) { 0 } else { pending.len() as u64 };
        hold.pass(&chunk, base, &cuts, self.position - held, out);
        self.hold = Some(hold);
    }

    /// Bytes of generated text that wait to be taken.
    pub fn heard_bytes(&self) -> usize {
        self.machine.facts().heard.len()
    }

    /// Takes the generated text since the last time. Empty unless [`StreamOptions::hear`] is set.
    pub fn take_heard(&mut self) -> Heard {
        self.machine.facts_mut().heard.take()
    }

    /// The model the provider says it uses, once it has.
    pub fn model(&self) -> Option<&str> {
        self.machine.facts().model.as_deref()
    }

    /// What is known so far.
    pub fn progress(&self) -> Progress {
        let (usage, reported, _) = self.machine.reading();
        let facts = self.machine.facts();
        Progress { usage, reported, output_text_bytes: facts.text, unreported_text_bytes: facts.uncovered() }
    }

    /// Ends the stream, wherever it is; hands `out` what was held back.
    pub fn finish(mut self, out: &mut impl FnMut(Bytes)) -> Outcome {
        let overflowed = self.overflowed();
        let machine = &mut self.machine;
        if !matches!(self.body, Body::Json(_)) {
            self.framer.finish(&mut |frame| {
                machine.event(frame.event(), &frame.data());
            });
        }
        let hidden_bytes = self.hold.as_ref().map_or(0, Hold::hidden);
        if let Some(hold) = self.hold {
            hold.release(out);
        }
        let (usage, reported, anomaly) = self.machine.reading();
        let heard = self.machine.facts_mut().heard.take();
        let facts = self.machine.facts();
        Outcome {
            heard,
            usage,
            reported,
            end: self.machine.end(overflowed),
            output_text_bytes: facts.text,
            unreported_text_bytes: facts.uncovered(),
            anomaly,
            uninspected_bytes: self.uninspected,
            hidden_bytes,
            id: facts.id.clone(),
            items: facts.items.clone(),
            mode: facts.tier.mode(),
            hides: facts.hides,
            model: self.machine.into_model(),
        }
    }

    fn overflowed(&self) -> bool {
        match &self.body {
            Body::Json(documents) => documents.overflowed(),
            _ => self.framer.overflowed(),
        }
    }

    fn observe(&mut self, chunk: &[u8], cut: &mut impl FnMut(Cut)) {
        self.position += chunk.len() as u64;
        let mut json_from = 0;
        if let Body::Undecided { mark } = &mut self.body {
            match first_character(chunk, mark) {
                Some((at, b'{' | b'[')) => {
                    self.body = Body::Json(Documents::new(self.carry_limit));
                    json_from = at;
                }
                Some(_) => self.body = Body::Events,
                None => {}
            }
        }
        let machine = &mut self.machine;
        if let Body::Json(documents) = &mut self.body {
            documents.push(chunk.get(json_from..).unwrap_or_default(), &mut |json| machine.document(json));
        } else {
            self.framer.push(chunk, &mut |frame| {
                if machine.event(frame.event(), &frame.data()) && !hold::is_ruled_out(frame.raw()) {
                    let ends_with_cr = frame.raw().last() == Some(&b'\r');
                    cut(Cut { start: frame.start(), end: frame.end(), ends_with_cr });
                }
            });
        }
        if self.overflowed() {
            self.uninspected += chunk.len() as u64;
        }
    }
}

/// The first character of a body that is neither blank nor a leading byte order mark, and where it stands in the chunk.
/// `mark` counts the bytes of the mark seen.
fn first_character(chunk: &[u8], mark: &mut usize) -> Option<(usize, u8)> {
    const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
    chunk.iter().enumerate().find_map(|(at, byte)| {
        if MARK.get(*mark) == Some(byte) {
            *mark += 1;
            return None;
        }
        (!byte.is_ascii_whitespace()).then_some((at, *byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a decoder holds of a stream, in bytes.
    fn held(decoder: &StreamDecoder) -> (usize, usize) {
        let carry = match &decoder.body {
            Body::Json(documents) => documents.pending().len(),
            _ => decoder.framer.pending().len(),
        };
        (carry, decoder.hold.as_ref().map_or(0, Hold::held))
    }

    #[test]
    fn what_is_held_is_bounded_whatever_comes() {
        for endless in
            ["data: {\"usage\":", "data: {\"a\":\"", "{\"a\":\"", "x", "data: \r", "[{", ": c", "data: {} \r"]
        {
            for hide_usage in [false, true] {
                let mut decoder =
                    StreamDecoder::new(Dialect::OpenaiChat, StreamOptions { hide_usage, hear: true });
                let chunk = Bytes::from(endless.repeat(4000));
                let (mut taken, mut passed) = (0, 0);
                while taken < 3 * CARRY_LIMIT {
                    decoder.push(chunk.clone(), &mut |bytes| passed += bytes.len());
                    taken += chunk.len();
                    let (carry, hold) = held(&decoder);
                    assert!(
                        carry <= CARRY_LIMIT && hold <= HOLD_LIMIT,
                        "{endless:?} holds {carry} and {hold}"
                    );
                }
                let outcome = decoder.finish(&mut |bytes| passed += bytes.len());
                assert_eq!(passed as u64 + outcome.hidden_bytes, taken as u64);
            }
        }
    }

    #[test]
    fn progress_grows_with_the_stream() {
        let mut decoder = StreamDecoder::new(Dialect::AnthropicMessages, StreamOptions::default());
        let mut push = |event: &str| {
            decoder.push(Bytes::from(format!("data: {event}\n\n")), &mut |_| ());
            decoder.progress()
        };
        let nothing = push(r#"{"type":"ping"}"#);
        assert_eq!((nothing.reported, nothing.output_tokens()), (Reported::Nothing, None));
        let start =
            push(r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#);
        assert_eq!((start.usage.input(), start.reported), (Some(9), Reported::Partial));
        assert_eq!(start.output_tokens(), None, "the first output figure is a guess");
        let text = push(r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}"#);
        assert_eq!((text.output_text_bytes, text.output_tokens()), (5, Some(2)));
        let delta = push(
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#,
        );
        assert_eq!((delta.reported, delta.output_tokens()), (Reported::Complete, Some(7)));
    }

    #[test]
    fn hidden_thinking_and_the_tier_are_told_at_any_split() {
        let stream = |block: &str| {
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"usage\":{{\"input_tokens\":9,\"service_tier\":\"priority\"}}}}}}\n\n\
                 event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"content_block\":{{\"type\":\"{block}\"}}}}\n\n\
                 event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{}},\"usage\":{{\"output_tokens\":7}}}}\n\n"
            )
        };
        for (block, hides) in [("text", false), ("thinking", true), ("redacted_thinking", true)] {
            let wire = Bytes::from(stream(block));
            for cut in 0..wire.len() {
                let mut decoder = StreamDecoder::new(Dialect::AnthropicMessages, StreamOptions::default());
                decoder.push(wire.slice(..cut), &mut |_| ());
                decoder.push(wire.slice(cut..), &mut |_| ());
                let outcome = decoder.finish(&mut |_| ());
                assert_eq!((outcome.hides, outcome.mode), (hides, Some(Mode::Priority)), "{block} at {cut}");
            }
        }
    }

    #[test]
    fn a_rate_of_one_token_for_four_bytes_rounds_up() {
        assert_eq!([0, 1, 4, 5].map(estimate_tokens), [0, 1, 1, 2]);
    }
}
