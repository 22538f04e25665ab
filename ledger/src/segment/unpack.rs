//! A blob in, records out. Trusts nothing: a damaged segment is an error, never a panic or a huge allocation.

use super::varint::{take, unzigzag};
use super::{
    ALSO_USED_MAX, ATTEMPT_MODEL, ATTEMPT_REUSED, ATTEMPTS_MAX, FORMAT, FORMAT_ADDRESS, FORMAT_ALSO,
    FORMAT_CONTENT, FORMAT_PRICES, FORMATS,
};
use crate::content::ContentStates;
use crate::record::{Attempt, Record, Used};
use narrows_meter::usage::BUCKETS;
use narrows_meter::{Cost, Mode, Origin, Usage};
use narrows_policy::{Caller, CallerKind, CapabilitySet, Reason};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What does not fit in a segment.
pub(crate) type Fault = &'static str;

/// Most different dialects and clients a process reads; both are closed lists of a few dozen.
const STATIC_WORDS: usize = 4_096;

/// Reads all records of a segment that holds `count`.
pub(crate) fn unpack(body: &[u8], count: u32) -> Result<Vec<Record>, Fault> {
    let mut reader =
        Segment { input: body, format: FORMAT, texts: Vec::new(), callers: Vec::new(), policy: 0, prices: 0 };
    reader.format = reader.byte()?;
    if !FORMATS.contains(&reader.format) {
        return Err("a format this program does not know");
    }
    for _ in 0..reader.number()? {
        let text = reader.length().and_then(|length| reader.bytes(length))?;
        reader.texts.push(std::str::from_utf8(text).map_err(|_utf8| "a text is not UTF-8")?.into());
    }
    for _ in 0..reader.number()? {
        let caller = Arc::new(reader.caller()?);
        reader.callers.push(caller);
    }
    // Every record takes at least its id, which bounds what a damaged count can make us allocate.
    let mut records = Vec::with_capacity((count as usize).min(body.len() / 16));
    let (mut at_us, mut snapshot) = (0, 0);
    for _ in 0..count {
        let record = reader.record(at_us, snapshot)?;
        (at_us, snapshot) = (record.started_at_us, record.snapshot);
        records.push(record);
    }
    if reader.input.is_empty() { Ok(records) } else { Err("more bytes than records") }
}

pub(super) struct Segment<'a> {
    input: &'a [u8],
    pub(super) format: u8,
    /// The policy version of the last record that was inspected.
    pub(super) policy: u64,
    /// The version of prices of the last record.
    prices: u64,
    texts: Vec<Arc<str>>,
    callers: Vec<Arc<Caller>>,
}

impl<'a> Segment<'a> {
    fn record(&mut self, previous_at_us: i64, previous_snapshot: u64) -> Result<Record, Fault> {
        let id = self.bytes(16)?.try_into().map(u128::from_be_bytes).map_err(|_short| "cut short")?;
        let started_at_us = previous_at_us.wrapping_add(unzigzag(self.number()?));
        let (duration_us, upstream_wait_us) = (self.number()?, self.number()?);
        let first_byte_us = self.optional()?;
        let caller = self.length()?;
        let caller = self.callers.get(caller).cloned().ok_or("no such caller")?;
        let (provider, model_sent) = (self.text()?, self.text()?);
        let (dialect, client) = (self.static_word()?, self.static_word()?);
        let (surface, class) = (self.value()?, self.value()?);
        let (model_requested, model_answered) = (self.text()?, self.text()?);
        let (reason, origin): (Reason, Origin) = (self.value()?, self.value()?);
        let status = self.small()?;
        let flags = self.byte()?;
        let (usage, cost) = (self.usage()?, Cost::from(self.optional()?));
        let (request_bytes, response_bytes) = (self.number()?, self.number()?);
        let (provider_request_id, conversation) = (self.inline()?, self.inline()?);
        let snapshot = previous_snapshot ^ self.number()?;
        let (attempts, client_address) = (self.attempts()?, self.address()?);
        let inspections = self.inspections()?;
        let (web_searches, prices) = self.prices()?;
        let (mode, also_used) = self.also_used()?;
        let content = self.content()?;
        Ok(Record {
            id,
            started_at_us,
            duration_us,
            upstream_wait_us,
            first_byte_us,
            caller,
            surface,
            class,
            capabilities: CapabilitySet::from_bits(flags & 0x7f),
            dialect,
            client,
            model_requested,
            provider,
            model_sent,
            model_answered,
            status,
            reason,
            streamed: flags & 0x80 != 0,
            usage: Usage { web_searches, ..usage },
            origin,
            cost,
            also_used,
            mode,
            prices,
            request_bytes,
            response_bytes,
            provider_request_id,
            conversation,
            attempts,
            snapshot,
            client_address,
            inspections,
            content,
        })
    }

    /// What became of its content.
    fn content(&mut self) -> Result<ContentStates, Fault> {
        if self.format < FORMAT_CONTENT {
            return Ok(ContentStates::default());
        }
        ContentStates::from_byte(self.byte()?).ok_or("what became of its content is damaged")
    }

    fn address(&mut self) -> Result<Option<IpAddr>, Fault> {
        if self.format < FORMAT_ADDRESS {
            return Ok(None);
        }
        let octets = match self.byte()? {
            0 => return Ok(None),
            length @ (4 | 16) => self.bytes(usize::from(length))?,
            _ => return Err("an address is damaged"),
        };
        let v4 = || octets.try_into().map(|octets: [u8; 4]| IpAddr::from(octets));
        let v6 = || octets.try_into().map(|octets: [u8; 16]| IpAddr::from(octets));
        v4().or_else(|_length| v6()).map(Some).map_err(|_length| "an address is damaged")
    }

    /// Web searches, and the version of prices.
    fn prices(&mut self) -> Result<(Option<u64>, u64), Fault> {
        if self.format < FORMAT_PRICES {
            return Ok((None, 0));
        }
        let searches = self.optional()?;
        self.prices ^= self.number()?;
        Ok((searches, self.prices))
    }

    /// The mode, and what was used of other providers and models.
    fn also_used(&mut self) -> Result<(Option<Mode>, Vec<Used>), Fault> {
        if self.format < FORMAT_ALSO {
            return Ok((None, Vec::new()));
        }
        let mode = match self.text()? {
            None => None,
            Some(word) => Some(word_of(&word)?),
        };
        let count = self.length()?;
        if count > ALSO_USED_MAX {
            return Err("too many entries of what was used");
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let provider = self.text()?.ok_or("a usage without a provider")?;
            let (model, origin) = (self.text()?, self.value()?);
            let (usage, cost) = (self.usage()?, Cost::from(self.optional()?));
            let usage = Usage { web_searches: self.optional()?, ..usage };
            all.push(Used { provider, model, usage, origin, cost });
        }
        Ok((mode, all))
    }

    fn usage(&mut self) -> Result<Usage, Fault> {
        let known = self.byte()?;
        let mut figures = [None; BUCKETS];
        for (bit, figure) in figures.iter_mut().take(8).enumerate() {
            if known & 1 << bit != 0 {
                *figure = Some(self.number()?);
            }
        }
        Ok(Usage::of_figures(figures))
    }

    fn attempts(&mut self) -> Result<Vec<Attempt>, Fault> {
        let count = self.length()?;
        if count > ATTEMPTS_MAX {
            return Err("too many attempts");
        }
        let mut attempts = Vec::with_capacity(count);
        for _ in 0..count {
            let provider = self.text()?.ok_or("an attempt without a provider")?;
            let reason = self.value()?;
            let status = match self.optional()? {
                Some(status) => Some(u16::try_from(status).map_err(|_large| "a status is too large")?),
                None => None,
            };
            let duration_us = self.number()?;
            let flags = self.byte()?;
            let model = if flags & ATTEMPT_MODEL == 0 { None } else { self.text()? };
            let reused = flags & ATTEMPT_REUSED != 0;
            attempts.push(Attempt { provider, model, status, reason, duration_us, reused });
        }
        Ok(attempts)
    }

    fn caller(&mut self) -> Result<Caller, Fault> {
        let kind = match self.byte()? {
            0 => CallerKind::VirtualKey,
            1 => CallerKind::Anonymous,
            _ => return Err("an unknown kind of caller"),
        };
        let organization = self.owned()?.unwrap_or_default();
        let (team, user, service_account) = (self.owned()?, self.owned()?, self.owned()?);
        let (project, key_id) = (self.owned()?, self.owned()?);
        let mut metadata = Vec::new();
        for _ in 0..self.number()? {
            metadata.push((self.owned()?.unwrap_or_default(), self.owned()?.unwrap_or_default()));
        }
        Ok(Caller { kind, organization, team, user, service_account, project, key_id, metadata })
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.input.split_at_checked(length).ok_or("cut short")?;
        self.input = rest;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.input.split_first().ok_or("cut short")?;
        self.input = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        take(&mut self.input).ok_or("an integer is damaged")
    }

    pub(super) fn length(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.number()?).map_err(|_large| "a length is too large")
    }

    fn small(&mut self) -> Result<u16, Fault> {
        u16::try_from(self.number()?).map_err(|_large| "a status is too large")
    }

    fn optional(&mut self) -> Result<Option<u64>, Fault> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.number().map(Some),
            _ => Err("a flag is damaged"),
        }
    }

    pub(super) fn text(&mut self) -> Result<Option<Arc<str>>, Fault> {
        let Some(place) = self.length()?.checked_sub(1) else { return Ok(None) };
        self.texts.get(place).cloned().map(Some).ok_or("no such text")
    }

    fn owned(&mut self) -> Result<Option<String>, Fault> {
        Ok(self.text()?.map(|text| (*text).to_owned()))
    }

    pub(super) fn inline(&mut self) -> Result<Option<Box<str>>, Fault> {
        let Some(length) = self.length()?.checked_sub(1) else { return Ok(None) };
        let text = std::str::from_utf8(self.bytes(length)?).map_err(|_utf8| "a text is not UTF-8")?;
        Ok(Some(text.into()))
    }

    /// A value of a closed list, by its stable word.
    pub(super) fn value<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, Fault> {
        word_of(&self.text()?.ok_or("a word is missing")?)
    }

    pub(super) fn static_word(&mut self) -> Result<Option<&'static str>, Fault> {
        self.text()?.map(|word| static_word(&word)).transpose()
    }
}

/// The value of a closed list with this word.
fn word_of<T: for<'de> Deserialize<'de>>(word: &str) -> Result<T, Fault> {
    let deserializer: StrDeserializer<'_, WordError> = word.into_deserializer();
    T::deserialize(deserializer).map_err(|_unknown| "a word this program does not know")
}

/// Records hold dialects and clients as words of closed lists that live as long as the program. The lists are
/// other crates', so words read from a file are kept for good here, up to [`STATIC_WORDS`].
fn static_word(word: &str) -> Result<&'static str, Fault> {
    static WORDS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    keep(words.get_or_insert_default(), word, STATIC_WORDS)
}

fn keep(words: &mut HashSet<&'static str>, word: &str, limit: usize) -> Result<&'static str, Fault> {
    if let Some(known) = words.get(word) {
        return Ok(known);
    }
    if words.len() >= limit {
        return Err("too many different dialects and clients");
    }
    let kept: &'static str = Box::leak(word.into());
    words.insert(kept);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_up_to_the_limit() {
        let mut words = HashSet::new();
        assert_eq!(keep(&mut words, "a", 2), Ok("a"));
        assert_eq!(keep(&mut words, "b", 2), Ok("b"));
        assert!(keep(&mut words, "c", 2).is_err());
        assert_eq!(keep(&mut words, "a", 2), Ok("a"), "what is known stays known");
    }
}
