//! How an answer behaves: pace, size and faults, as defaults of a provider and per request.

use crate::guardrail::Behaviour;
use anyhow::{Context, Result, bail, ensure};

/// Most chunks in one stream, in chunks.
pub const MAX_CHUNKS: usize = 1_000_000;
/// Longest text of one chunk, in bytes.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Longest text of one answer, in bytes; `chunks × chunk_bytes` is held to it too.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// Longest single delay, in milliseconds.
pub const MAX_DELAY_MS: u64 = 3_600_000;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Close the connection (FIN) after this many content chunks; for an answer in one piece, in its middle.
    CutAfter(usize),
    /// Send nothing more after this many content chunks, and keep the connection until the client leaves.
    StallAfter(usize),
    /// After this many content chunks send the dialect's error event under status 200, and end the stream.
    ErrorEvent(usize),
    /// Reset the connection (RST) after this many content chunks; 0 is before the head.
    Reset(usize),
    /// After this many content chunks send what is no chunk of HTTP, and close.
    BadChunk(usize),
    /// Close the connection (FIN) before a byte of the head.
    CloseBeforeHead,
    /// An answer that is not JSON: cut in its middle, with a content-length that fits. In a stream one event is cut so.
    BadJson,
    /// A web page instead of JSON, as a load balancer in front of a provider sends it (status 502 unless named).
    Html,
    /// The answer is compressed with gzip although nobody asked.
    Gzip,
    /// The answer says nothing about usage.
    NoUsage,
    /// The head comes in sixteen pieces with this many milliseconds between them.
    SlowHead(u64),
}

/// How one answer behaves. [`Knobs::default`] is a healthy provider that answers at once.
///
/// Written as `name=value` pairs separated by `;`, in the header `x-fake` of a request or as a provider's
/// defaults: `chunks=100;gap_ms=20;fault=cut_after:5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// `chunks`: content chunks of a stream.
    pub chunks: usize,
    /// `chunk_bytes`: text in each chunk, in bytes (a character is never split).
    pub chunk_bytes: usize,
    /// `body_bytes`: text of an answer that is not streamed, in bytes. Default: as much as the stream would carry.
    pub body_bytes: Option<usize>,
    /// `first_ms`: from the request's end to the head, in milliseconds.
    pub first_ms: u64,
    /// `gap_ms`: before each content chunk, in milliseconds. With 0 chunks are still written one by one.
    pub gap_ms: u64,
    /// `burst=1`: head and whole stream in one write.
    pub burst: bool,
    /// `stamp=1`: each chunk's text starts with the time it was sent (see [`crate::STAMP_PREFIX`]).
    pub stamp: bool,
    /// `write_bytes`: the answer is written in pieces of this many bytes. 0: as few writes as possible.
    pub write_bytes: usize,
    /// `chunked=1`: `transfer-encoding: chunked` for an answer that is not streamed.
    pub chunked: bool,
    /// `status`: HTTP status; anything but 200 carries the provider's own error body.
    pub status: u16,
    /// `retry_after`: seconds in a `retry-after` header.
    pub retry_after: Option<u64>,
    /// `input`: prompt tokens charged. Default: one for every four bytes of the request's body.
    pub input: Option<u64>,
    /// `cached`: how many of the prompt tokens were read from the cache (at most all of them).
    pub cached: u64,
    /// `cache_write`: how many of the prompt tokens were written to the cache (Anthropic only).
    pub cache_write: u64,
    /// `reasoning`: reasoning tokens generated before the text.
    pub reasoning: u64,
    /// `within=1`: a fault after so many content chunks comes in the middle of the next one, not before it.
    pub within: bool,
    /// `fault`: what goes wrong.
    pub fault: Option<Fault>,
    /// `verdict`: what guardrails decide (see [`crate::guardrail`]). Default: what the request's path or text asks for.
    pub verdict: Option<Behaviour>,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            chunks: 20,
            chunk_bytes: 24,
            body_bytes: None,
            first_ms: 0,
            gap_ms: 0,
            burst: false,
            stamp: false,
            write_bytes: 0,
            chunked: false,
            status: 200,
            retry_after: None,
            input: None,
            cached: 0,
            cache_write: 0,
            reasoning: 0,
            within: false,
            fault: None,
            verdict: None,
        }
    }
}

impl Knobs {
    /// Default knobs with `text` laid over them.
    pub fn parse(text: &str) -> Result<Knobs> {
        Knobs::default().with(text)
    }

    /// These knobs with the pairs of `text` laid over them. Fails on an unknown name or a value out of range.
    pub fn with(&self, text: &str) -> Result<Knobs> {
        let mut knobs = self.clone();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').with_context(|| format!("`{pair}` is not name=value"))?;
            knobs.set(name.trim(), value.trim()).with_context(|| format!("in `{pair}`"))?;
        }
        ensure!(
            knobs.chunks.saturating_mul(knobs.chunk_bytes) <= MAX_BODY_BYTES,
            "chunks × chunk_bytes exceeds {MAX_BODY_BYTES}"
        );
        Ok(knobs)
    }

    /// Text of an answer that is not streamed, in bytes.
    pub fn text_bytes(&self) -> usize {
        self.body_bytes.unwrap_or(self.chunks.saturating_mul(self.chunk_bytes))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "chunks" => self.chunks = size(value, MAX_CHUNKS)?,
            "chunk_bytes" => self.chunk_bytes = size(value, MAX_CHUNK_BYTES)?,
            "body_bytes" => self.body_bytes = Some(size(value, MAX_BODY_BYTES)?),
            "first_ms" => self.first_ms = delay(value)?,
            "gap_ms" => self.gap_ms = delay(value)?,
            "burst" => self.burst = switch(value)?,
            "stamp" => self.stamp = switch(value)?,
            "write_bytes" => self.write_bytes = size(value, MAX_BODY_BYTES)?,
            "chunked" => self.chunked = switch(value)?,
            "status" => {
                self.status = value.parse()?;
                ensure!((200..=599).contains(&self.status), "a status is 200 to 599");
            }
            "retry_after" => self.retry_after = Some(value.parse()?),
            "input" => self.input = Some(value.parse()?),
            "cached" => self.cached = value.parse()?,
            "cache_write" => self.cache_write = value.parse()?,
            "reasoning" => self.reasoning = value.parse()?,
            "within" => self.within = switch(value)?,
            "fault" => self.fault = fault(value)?,
            "verdict" => self.verdict = Some(Behaviour::parse(value).context("unknown behaviour")?),
            _ => bail!("unknown knob"),
        }
        Ok(())
    }
}

fn size(value: &str, most: usize) -> Result<usize> {
    let value: usize = value.parse()?;
    ensure!(value <= most, "at most {most}");
    Ok(value)
}

fn delay(value: &str) -> Result<u64> {
    let value: u64 = value.parse()?;
    ensure!(value <= MAX_DELAY_MS, "at most {MAX_DELAY_MS} ms");
    Ok(value)
}

fn switch(value: &str) -> Result<bool> {
    match value {
        "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        _ => bail!("0 or 1"),
    }
}

fn fault(value: &str) -> Result<Option<Fault>> {
    let (name, argument) = value.split_once(':').map_or((value, None), |(name, rest)| (name, Some(rest)));
    let count = |default| argument.map_or(Ok(default), |text| size(text, MAX_CHUNKS));
    Ok(Some(match name {
        "none" => return Ok(None),
        "cut_after" => Fault::CutAfter(count(1)?),
        "stall_after" => Fault::StallAfter(count(1)?),
        "error_event" => Fault::ErrorEvent(count(1)?),
        "bad_chunk" => Fault::BadChunk(count(1)?),
        "reset" => Fault::Reset(count(0)?),
        "close_before_head" => Fault::CloseBeforeHead,
        "bad_json" => Fault::BadJson,
        "html" => Fault::Html,
        "gzip" => Fault::Gzip,
        "no_usage" => Fault::NoUsage,
        "slow_head" => Fault::SlowHead(argument.map_or(Ok(10), delay)?),
        _ => bail!("unknown fault"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_over_the_defaults() {
        let knobs = Knobs::parse("chunks=100; gap_ms=20;fault=cut_after:5;burst=1;;input=7").unwrap();
        assert_eq!((knobs.chunks, knobs.gap_ms, knobs.burst, knobs.input), (100, 20, true, Some(7)));
        assert_eq!(knobs.fault, Some(Fault::CutAfter(5)));
        assert_eq!(knobs.with("fault=none").unwrap().fault, None);
        assert_eq!(Knobs::parse("").unwrap(), Knobs::default());
    }

    #[test]
    fn limits_hold_at_the_limit_and_fail_one_past_it() {
        assert!(Knobs::parse(&format!("chunk_bytes=1;chunks={MAX_CHUNKS}")).is_ok());
        assert!(Knobs::parse(&format!("chunk_bytes=1;chunks={}", MAX_CHUNKS + 1)).is_err());
        assert!(Knobs::parse(&format!("body_bytes={MAX_BODY_BYTES}")).is_ok());
        assert!(Knobs::parse(&format!("body_bytes={}", MAX_BODY_BYTES + 1)).is_err());
        assert!(Knobs::parse("chunks=64;chunk_bytes=1048576").is_ok());
        assert!(Knobs::parse("chunks=65;chunk_bytes=1048576").is_err());
        assert!(Knobs::parse(&format!("gap_ms={MAX_DELAY_MS}")).is_ok());
        assert!(Knobs::parse(&format!("gap_ms={}", MAX_DELAY_MS + 1)).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "chunks",
            "chunks=x",
            "speed=9",
            "burst=2",
            "status=99",
            "status=600",
            "fault=gremlins",
            "verdict=maybe",
        ] {
            assert!(Knobs::parse(text).is_err(), "{text}");
        }
    }
}
