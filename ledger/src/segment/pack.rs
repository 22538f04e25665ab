//! Records in, one blob and the batch's sums out.

use super::mix::Table;
use super::varint::{put, zigzag};
use super::{ALSO_USED_MAX, ATTEMPT_MODEL, ATTEMPT_REUSED, ATTEMPTS_MAX, FORMAT, cut, print_of};
use crate::classes::Classes;
use crate::decisions::Decisions;
use crate::record::{Attempt, Record, Used};
use crate::rollup::{GroupKey, Sums, hour_of};
use narrows_meter::{Cost, Usage};
use narrows_policy::{Caller, CallerKind};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Most texts, callers and groups remembered between batches, each.
pub(crate) const MEMORY_LIMIT: usize = 65_536;

/// One known text: its number for groups, and its place in the segment being packed.
struct Word {
    number: u32,
    segment: u32,
    place: u32,
}

/// One known caller.
struct Known {
    segment: u32,
    place: u32,
}

/// A group as numbers, quick to hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct GroupNumbers {
    hour: i64,
    caller: u32,
    provider: u32,
    model: u32,
    dialect: u32,
    client: u32,
    ending: u32,
}

/// Packs one segment after the other; remembers texts and callers between them.
#[derive(Default)]
pub(crate) struct Packer {
    words: Table<Box<str>, Word>,
    /// By address. The `Arc` beside it keeps the address from being used for another caller.
    addresses: Table<usize, (Arc<Caller>, u32)>,
    callers: HashMap<Arc<Caller>, u32>,
    known: Vec<Known>,
    /// Words of closed lists, by address: they live as long as the program, so an address always means the same.
    statics: Table<(usize, usize), Word>,
    numbers: Table<GroupNumbers, usize>,
    /// Sums since [`Packer::clear_groups`], over all segments packed since.
    groups: Vec<(i64, GroupKey, Sums)>,
    /// What policies decided in this segment.
    decisions: Decisions,
    /// What governed its exchanges.
    classes: Classes,
    /// Counts segments from one; 0 in [`Word`] and [`Known`] means in no segment yet.
    segment: u32,
    texts: Vec<u8>,
    texts_count: u32,
    caller_table: Vec<u8>,
    callers_count: u32,
    pub(super) body: Vec<u8>,
    prints: Vec<u8>,
    count: usize,
    first_at_us: i64,
    last_at_us: i64,
    previous_at_us: i64,
    previous_snapshot: u64,
    pub(super) previous_policy: u64,
    previous_prices: u64,
}

/// A packed batch, ready for the store.
pub(crate) struct Packed<'a> {
    pub(crate) count: usize,
    pub(crate) first_at_us: i64,
    pub(crate) last_at_us: i64,
    pub(crate) prints: &'a [u8],
    pub(crate) body: Vec<u8>,
    pub(crate) groups: &'a [(i64, GroupKey, Sums)],
    pub(crate) decisions: &'a Decisions,
    pub(crate) classes: &'a Classes,
}

impl Packer {
    /// A packer that knows nothing yet.
    pub(crate) fn new() -> Packer {
        Packer { segment: 1, ..Packer::default() }
    }

    /// Forgets the packed batch. Keeps the sums, and what was learnt.
    pub(crate) fn clear(&mut self) {
        self.segment = self.segment.checked_add(1).unwrap_or_else(|| {
            // After four billion segments the marks of the first ones would look current.
            self.forget();
            1
        });
        self.texts.clear();
        self.texts_count = 0;
        self.caller_table.clear();
        self.callers_count = 0;
        self.body.clear();
        self.prints.clear();
        self.decisions.clear();
        self.classes.clear();
        self.count = 0;
        (self.previous_at_us, self.previous_snapshot) = (0, 0);
        (self.previous_policy, self.previous_prices) = (0, 0);
    }

    /// Forgets the sums, and what was learnt if that is too much. To be called between batches.
    pub(crate) fn clear_groups(&mut self) {
        self.numbers.clear();
        self.groups.clear();
        if self.is_crowded() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.words.clear();
        self.addresses.clear();
        self.callers.clear();
        self.known.clear();
        self.statics.clear();
        self.numbers.clear();
    }

    /// Whether the memory is full and the sums should be stored soon.
    pub(crate) fn is_crowded(&self) -> bool {
        let sizes =
            [self.words.len(), self.addresses.len(), self.known.len(), self.statics.len(), self.groups.len()];
        sizes.into_iter().any(|size| size >= MEMORY_LIMIT)
    }

    /// How many records are packed.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The batch as it stands.
    pub(crate) fn packed(&self) -> Packed<'_> {
        let mut body = Vec::with_capacity(self.texts.len() + self.caller_table.len() + self.body.len() + 16);
        body.push(FORMAT);
        put(&mut body, u64::from(self.texts_count));
        body.extend_from_slice(&self.texts);
        put(&mut body, u64::from(self.callers_count));
        body.extend_from_slice(&self.caller_table);
        body.extend_from_slice(&self.body);
        Packed {
            count: self.count,
            first_at_us: self.first_at_us,
            last_at_us: self.last_at_us,
            prints: &self.prints,
            body,
            groups: &self.groups,
            decisions: &self.decisions,
            classes: &self.classes,
        }
    }

    /// Adds one record.
    pub(crate) fn push(&mut self, record: &Record) {
        let at = record.started_at_us;
        if self.count == 0 {
            (self.first_at_us, self.last_at_us) = (at, at);
        }
        self.first_at_us = self.first_at_us.min(at);
        self.last_at_us = self.last_at_us.max(at);
        self.count += 1;
        self.prints.extend_from_slice(&print_of(record.id).to_le_bytes());

        let (caller, caller_place) = self.caller(&record.caller);
        let (provider, provider_place) = self.text(record.provider.as_deref());
        let (model, model_place) = self.text(record.model_sent.as_deref());
        let (dialect, dialect_place) = self.static_text(record.dialect);
        let (client, client_place) = self.static_text(record.client);
        let ending = (record.reason as u32) << 8 | record.origin as u32;
        let hour = hour_of(at);
        let own = GroupNumbers { hour, caller, provider, model, dialect, client, ending };
        for (place, (group, sums)) in Sums::split(record).enumerate() {
            let numbers = match place {
                0 => own,
                _ => GroupNumbers {
                    provider: self.text(group.provider.as_deref()).0,
                    model: self.text(group.model.as_deref()).0,
                    ending: (group.reason as u32) << 8 | group.origin as u32,
                    ..own
                },
            };
            self.sum(numbers, group, &sums);
        }
        self.decisions.add(record);
        self.classes.add(record);

        self.body.extend_from_slice(&record.id.to_be_bytes());
        self.put(zigzag(at.wrapping_sub(self.previous_at_us)));
        self.previous_at_us = at;
        for figure in [record.duration_us, record.upstream_wait_us] {
            self.put(figure);
        }
        self.put_optional(record.first_byte_us);
        let door = [self.static_word(record.surface.as_str()), self.static_word(record.class.as_str())];
        let requested = match same(record.model_requested.as_ref(), record.model_sent.as_ref()) {
            true => model_place,
            false => self.text(record.model_requested.as_deref()).1,
        };
        let models = [requested, self.text(record.model_answered.as_deref()).1];
        let ends = [self.static_word(record.reason.as_str()), self.static_word(record.origin.as_str())];
        for place in [caller_place, provider_place, model_place, dialect_place, client_place] {
            self.put(u64::from(place));
        }
        for place in door.into_iter().chain(models).chain(ends) {
            self.put(u64::from(place));
        }
        self.put(u64::from(record.status));
        self.body.push(record.capabilities.bits() | u8::from(record.streamed) << 7);
        self.usage(&record.usage, record.cost);
        self.put(record.request_bytes);
        self.put(record.response_bytes);
        self.inline(record.provider_request_id.as_deref());
        self.inline(record.conversation.as_deref());
        self.put(record.snapshot ^ self.previous_snapshot);
        self.previous_snapshot = record.snapshot;
        self.attempts(record, provider_place);
        self.address(record.client_address);
        self.inspections(&record.inspections);
        self.put_optional(record.usage.web_searches);
        self.put(record.prices ^ self.previous_prices);
        self.previous_prices = record.prices;
        let mode = record.mode.map_or(0, |mode| self.static_word(mode.as_str()));
        self.put(u64::from(mode));
        self.also_used(&record.also_used);
        self.body.push(record.content.to_byte());
    }

    fn also_used(&mut self, all: &[Used]) {
        let kept = all.get(..ALSO_USED_MAX).unwrap_or(all);
        self.put(kept.len() as u64);
        for used in kept {
            let provider = self.text(Some(&used.provider)).1;
            let model = self.text(used.model.as_deref()).1;
            let origin = self.static_word(used.origin.as_str());
            for place in [provider, model, origin] {
                self.put(u64::from(place));
            }
            self.usage(&used.usage, used.cost);
            self.put_optional(used.usage.web_searches);
        }
    }

    /// Its length in bytes, and the bytes.
    fn address(&mut self, address: Option<IpAddr>) {
        match address {
            None => self.body.push(0),
            Some(IpAddr::V4(address)) => {
                self.body.push(4);
                self.body.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                self.body.push(16);
                self.body.extend_from_slice(&address.octets());
            }
        }
    }

    fn sum(&mut self, numbers: GroupNumbers, group: GroupKey, sums: &Sums) {
        let place = *self.numbers.entry(numbers).or_insert(self.groups.len());
        match self.groups.get_mut(place) {
            Some((_, _, total)) => total.add(sums),
            None => self.groups.push((numbers.hour, group, *sums)),
        }
    }

    fn usage(&mut self, usage: &Usage, cost: Cost) {
        // Searches stand elsewhere: a byte says which of eight are known.
        let [figures @ .., _searches] = usage.figures();
        let known = figures.iter().rev().fold(0_u8, |bits, figure| bits << 1 | u8::from(figure.is_some()));
        self.body.push(known);
        for figure in figures.into_iter().flatten() {
            self.put(figure);
        }
        self.put_optional(cost.nano_usd());
    }

    fn attempts(&mut self, record: &Record, provider_place: u32) {
        let attempts: &[Attempt] = &record.attempts;
        let kept = attempts.get(..ATTEMPTS_MAX).unwrap_or(attempts);
        self.put(kept.len() as u64);
        for attempt in kept {
            let provider = match same(Some(&attempt.provider), record.provider.as_ref()) {
                true => provider_place,
                false => self.text(Some(&attempt.provider)).1,
            };
            let reason = self.static_word(attempt.reason.as_str());
            self.put(u64::from(provider));
            self.put(u64::from(reason));
            self.put_optional(attempt.status.map(u64::from));
            self.put(attempt.duration_us);
            let (mut flags, mut model) = (0, 0);
            if attempt.reused {
                flags |= ATTEMPT_REUSED;
            }
            if attempt.model.is_some() {
                flags |= ATTEMPT_MODEL;
                model = self.text(attempt.model.as_deref()).1;
            }
            self.body.push(flags);
            if attempt.model.is_some() {
                self.put(u64::from(model));
            }
        }
    }

    /// The caller's number, and its place in this segment.
    fn caller(&mut self, caller: &Arc<Caller>) -> (u32, u32) {
        let address = Arc::as_ptr(caller).addr();
        let number = match self.addresses.get(&address) {
            Some((_, number)) => *number,
            None => self.learn(caller),
        };
        let segment = self.segment;
        if let Some(known) = self.known.get(number as usize)
            && known.segment == segment
        {
            return (number, known.place);
        }
        let place = self.callers_count;
        self.callers_count += 1;
        self.describe(caller);
        if let Some(known) = self.known.get_mut(number as usize) {
            *known = Known { segment, place };
        }
        (number, place)
    }

    /// Gives a caller seen for the first time at this address its number.
    fn learn(&mut self, caller: &Arc<Caller>) -> u32 {
        let next = count_of(self.known.len());
        let number = *self.callers.entry(Arc::clone(caller)).or_insert(next);
        if number == next {
            self.known.push(Known { segment: 0, place: 0 });
        }
        self.addresses.insert(Arc::as_ptr(caller).addr(), (Arc::clone(caller), number));
        number
    }

    fn describe(&mut self, caller: &Caller) {
        let names = [
            Some(caller.organization.as_str()),
            caller.team.as_deref(),
            caller.user.as_deref(),
            caller.service_account.as_deref(),
            caller.project.as_deref(),
            caller.key_id.as_deref(),
        ]
        .map(|name| self.text(name).1);
        let metadata: Vec<u32> =
            caller.metadata.iter().flat_map(|(name, value)| [self.word(name), self.word(value)]).collect();
        let table = &mut self.caller_table;
        table.push(match caller.kind {
            CallerKind::VirtualKey => 0,
            CallerKind::Anonymous => 1,
        });
        for place in names {
            put(table, u64::from(place));
        }
        put(table, metadata.len() as u64 / 2);
        for place in metadata {
            put(table, u64::from(place));
        }
    }

    /// A text's number and its place in this segment; nothing is number 0 at place 0.
    pub(super) fn text(&mut self, text: Option<&str>) -> (u32, u32) {
        let Some(text) = text else { return (0, 0) };
        let text = cut(text);
        let next = count_of(self.words.len()) + 1;
        let segment = self.segment;
        if let Some(word) = self.words.get_mut(text) {
            if word.segment != segment {
                self.texts_count += 1;
                (word.segment, word.place) = (segment, self.texts_count);
                write_text(&mut self.texts, text);
            }
            return (word.number, word.place);
        }
        self.texts_count += 1;
        write_text(&mut self.texts, text);
        self.words.insert(text.into(), Word { number: next, segment, place: self.texts_count });
        (next, self.texts_count)
    }

    /// As [`Packer::text`], for words that live as long as the program: no hashing of their letters.
    fn static_text(&mut self, text: Option<&'static str>) -> (u32, u32) {
        let Some(text) = text else { return (0, 0) };
        let address = (text.as_ptr().addr(), text.len());
        if let Some(word) = self.statics.get(&address)
            && word.segment == self.segment
        {
            return (word.number, word.place);
        }
        let (number, place) = self.text(Some(text));
        self.statics.insert(address, Word { number, segment: self.segment, place });
        (number, place)
    }

    pub(super) fn static_word(&mut self, text: &'static str) -> u32 {
        self.static_text(Some(text)).1
    }

    fn word(&mut self, text: &str) -> u32 {
        self.text(Some(text)).1
    }

    pub(super) fn put(&mut self, value: u64) {
        put(&mut self.body, value);
    }

    fn put_optional(&mut self, value: Option<u64>) {
        match value {
            None => self.body.push(0),
            Some(value) => {
                self.body.push(1);
                self.put(value);
            }
        }
    }

    /// A text that will hardly come again. Length 0 is none, otherwise the length plus one.
    pub(super) fn inline(&mut self, text: Option<&str>) {
        let Some(text) = text.map(cut) else { return self.body.push(0) };
        self.put(text.len() as u64 + 1);
        self.body.extend_from_slice(text.as_bytes());
    }
}

/// Whether both are one and the same text in memory.
fn same(one: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn count_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
