//! The close look at what the fast pass found.

use std::ops::Range;

use super::attribution;
use super::context::Context;
use super::crypto::{self, Network};
use super::email;
use super::entity::Proof;
use super::form::Layout;
use super::network::{self, Reach};
use super::phone;
use super::surroundings;
use super::text::{self, DIGIT, Kinds, LETTER};
use super::{Mode, PARSED, Pii, anchors};
use crate::Tier;

/// Bytes before an anchor in which the value may begin: its first groups may be too short to be an anchor.
const BACK: usize = 24;

/// What was found: the position of the rule, the place, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: u16,
    pub(super) score: u8,
    /// Whether it would be reported without its context too.
    certain: bool,
    context: bool,
}

/// Finds everything in a text, in order.
pub(super) fn scan(pii: &Pii, text: &[u8]) -> Vec<Found> {
    let mut scan = Scan { pii, text, context: Context::new(&pii.words, text), cursor: 0, found: Vec::new() };
    anchors::each(text, |anchors| {
        bits(anchors.numbers, anchors.base, |place| scan.tokens(place));
        bits(anchors.ats, anchors.base, |place| scan.at(place));
        bits(anchors.colons, anchors.base, |place| scan.colon(place));
    });
    settle(scan.found)
}

/// Calls `visit` with the place of each bit.
#[inline(always)]
fn bits(mut set: u64, base: usize, mut visit: impl FnMut(usize)) {
    while set != 0 {
        visit(base + usize::try_from(set.trailing_zeros()).unwrap_or(0));
        set &= set - 1;
    }
}

/// Leaves out what lies inside of something longer, what was found twice, and guesses where something is known.
fn settle(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|found| {
        (found.start, std::cmp::Reverse(found.end), found.rule, std::cmp::Reverse(found.score))
    });
    found.dedup_by_key(|found| (found.start, found.end, found.rule));
    let inside = |one: &Found| {
        let longer = |other: &&Found| {
            let contains = other.start <= one.start && other.end >= one.end;
            let longer = (other.start, other.end) != (one.start, one.end);
            let better = (other.start, other.end) == (one.start, one.end)
                && other.context
                && !one.context
                && !one.certain;
            contains && (longer || better)
        };
        let reach = email::MAX_ADDRESS;
        let first = found.partition_point(|other| other.start + reach < one.start);
        found.iter().skip(first).take_while(|other| other.start <= one.start).any(|other| longer(&other))
    };
    let keep: Vec<bool> = found.iter().map(|one| !inside(one)).collect();
    found.into_iter().zip(keep).filter_map(|(found, keep)| keep.then_some(found)).collect()
}

struct Scan<'a> {
    pii: &'a Pii,
    text: &'a [u8],
    context: Context<'a>,
    /// Runs of letters and digits that begin before this were looked at.
    cursor: usize,
    found: Vec<Found>,
}

impl Scan<'_> {
    /// Looks at the runs of letters and digits near an anchor, each once.
    #[inline]
    fn tokens(&mut self, anchor: usize) {
        if anchor < self.cursor {
            return;
        }
        let mut place = self.cursor.max(anchor.saturating_sub(BACK));
        if place > self.cursor {
            // Never begin inside of a run. One that is too long to be a value is passed over.
            let (start, _) = text::run_back(self.text, place);
            place = if place - start < text::MAX_TOKEN { start } else { self.run_end(place) };
        }
        while place <= anchor {
            let (end, seen) = text::run(self.text, place);
            if end == place {
                place += 1;
                continue;
            }
            if end - place < text::MAX_TOKEN {
                self.token(place, end, seen);
                place = end;
            } else {
                place = self.run_end(end);
            }
        }
        self.cursor = place;
    }

    /// The end of the run of letters and digits that a place lies in.
    fn run_end(&self, place: usize) -> usize {
        let rest = self.text.get(place..).unwrap_or_default();
        place + rest.iter().position(|byte| text::kind(*byte) == 0).unwrap_or(rest.len())
    }

    /// Looks at one run of letters and digits.
    #[inline]
    fn token(&mut self, start: usize, end: usize, seen: u8) {
        if seen & DIGIT == 0 && end - start > 4 {
            return;
        }
        // The letter of an escape in source code, `\n123-45-6789`, is not a part of the value.
        if text::before(self.text, start) == b'\\' && matches!(text::at(self.text, start), b'n' | b'r' | b't')
        {
            let (end, seen) = text::run(self.text, start + 1);
            return self.value(start + 1, end, seen);
        }
        self.value(start, end, seen);
    }

    fn value(&mut self, start: usize, end: usize, seen: u8) {
        let len = end - start;
        let next = text::at(self.text, end);
        let pii = self.pii;
        if let Some(bucket) = pii.forms.candidates(len, seen, next) {
            let kinds = match bucket.first.is_empty() && bucket.whole.is_empty() {
                true => Kinds::default(),
                false => text::kinds_from(self.text, start),
            };
            bucket.first.iter().for_each(|layout| self.layout(layout, start, kinds));
            // Words are looked for once for all layouts that are this run, and spare most of their checks.
            if !bucket.whole.is_empty()
                && bucket.whole.first().is_some_and(|layout| layout.alone(self.text, &(start..end)))
                && bucket.whole.iter().any(|layout| layout.shape(self.text, start, kinds).is_some())
                && self.context.near(start, end).intersects(&bucket.rules)
            {
                bucket.whole.iter().for_each(|layout| self.layout(layout, start, kinds));
            }
        }
        if seen == DIGIT {
            self.digits(start, len, next);
        } else if seen & LETTER != 0 && len >= 4 {
            self.letters(start, end, seen);
        }
        self.hardware(start, len, next);
    }

    /// Looks for a value with a layout.
    #[inline]
    fn layout(&mut self, layout: &Layout, start: usize, kinds: Kinds) {
        let Some(lower) = layout.shape(self.text, start, kinds) else { return };
        let range = layout.range(start);
        let tier = if lower { layout.tier.max(Tier::B) } else { layout.tier };
        let rule = usize::from(layout.rule);
        if layout.alone(self.text, &range)
            && self.wanted(rule, &range, tier)
            && layout.valid(self.text, &range)
            && !self.elsewhere(layout, rule, &range)
        {
            self.report(rule, range.start, range.end, tier);
        }
    }

    /// Whether what is valid is a part of a table or of code. A word nearby outweighs that a card's number stands among
    /// constants.
    fn elsewhere(&mut self, layout: &Layout, rule: usize, range: &Range<usize>) -> bool {
        match rule {
            rule::PHONE => surroundings::no_telephone(self.text, range),
            _ if layout.is_run() => {
                surroundings::date(self.text.get(range.clone()).unwrap_or_default())
                    || surroundings::constants(self.text, range)
                        && !self.context.near(range.start, range.end).contains(rule)
            }
            _ => layout.in_fours() && surroundings::code_points(self.text, range),
        }
    }

    /// What begins with digits alone: telephone numbers, IPv4 addresses.
    fn digits(&mut self, start: usize, len: usize, next: u8) {
        if text::before(self.text, start) == b'+'
            && let Some(range) = self.pii.plans.international(self.text, start - 1)
            && !surroundings::no_telephone(self.text, &range)
        {
            self.report(rule::PHONE, range.start, range.end, Tier::A);
        }
        if phone::begins(self.text, start, len, next)
            && let Some((range, tier)) = phone::national(self.text, start)
            && !surroundings::no_telephone(self.text, &range)
        {
            self.report(rule::PHONE, range.start, range.end, tier);
        }
        if next == b'.'
            && len <= 3
            && let Some((range, reach)) = network::v4(self.text, start)
        {
            self.address(range, reach);
        }
    }

    /// What begins with letters among the digits: IBANs, wallets.
    fn letters(&mut self, start: usize, end: usize, seen: u8) {
        if let Some(end) = self.pii.countries.find(self.text, start) {
            self.report(rule::IBAN, start, end, Tier::A);
        }
        let around = matches!(text::before(self.text, start), b'_' | b'+' | b'/' | b'=')
            || text::at(self.text, end) == b'_';
        if !crypto::LENGTHS.contains(&(end - start)) || (around && text::before(self.text, start) != b'/') {
            return;
        }
        let Some(run) = self.text.get(start..end) else { return };
        let (rule, tier) = match crypto::network(run, seen) {
            Some(Network::Bitcoin) => (rule::BITCOIN, Tier::A),
            Some(Network::Ethereum) => (rule::ETHEREUM, Tier::A),
            Some(Network::EthereumUnchecked) => (rule::ETHEREUM_UNCHECKED, Tier::B),
            Some(Network::Other) => (rule::OTHER_WALLET, Tier::A),
            None => return,
        };
        self.report(rule, start, end, tier);
    }

    fn hardware(&mut self, start: usize, len: usize, next: u8) {
        if ((len == 2 && next == b'-') || (len == 4 && next == b'.'))
            && let Some(range) = network::mac(self.text, start)
        {
            self.report(rule::MAC, range.start, range.end, Tier::B);
        }
    }

    fn at(&mut self, at: usize) {
        if let Some(range) = self.pii.domains.find(self.text, at) {
            let (rule, tier) = match attribution::attributed(self.text, range.start) {
                true => (rule::ATTRIBUTION, Tier::C),
                false => (rule::EMAIL, Tier::A),
            };
            self.report(rule, range.start, range.end, tier);
        }
    }

    fn colon(&mut self, colon: usize) {
        if let Some(range) = colon.checked_sub(2).and_then(|start| network::mac(self.text, start)) {
            return self.report(rule::MAC, range.start, range.end, Tier::B);
        }
        if let Some((range, reach)) = network::v6(self.text, colon) {
            self.address(range, reach);
        }
    }

    fn address(&mut self, range: Range<usize>, reach: Reach) {
        let rule = match reach {
            Reach::Public => rule::IP,
            Reach::Private => rule::PRIVATE_IP,
            Reach::Special => rule::SPECIAL_IP,
        };
        let tier = PARSED.get(rule).map_or(Tier::C, |entity| entity.tier);
        self.report(rule, range.start, range.end, tier);
    }

    /// Whether a value of a rule would be reported if it were valid.
    fn wanted(&mut self, rule: usize, range: &Range<usize>, tier: Tier) -> bool {
        match self.pii.modes.get(rule).map_or(Mode::Off, |modes| modes.of(tier)) {
            Mode::Off => false,
            Mode::InContext => self.context.near(range.start, range.end).contains(rule),
            Mode::Always => true,
        }
    }

    /// Reports a valid value if its mode and its context allow it.
    fn report(&mut self, rule: usize, start: usize, end: usize, tier: Tier) {
        if !self.wanted(rule, &(start..end), tier) {
            return;
        }
        let context = self.context.near(start, end).contains(rule);
        let proof = self.pii.proofs.get(rule).copied().unwrap_or(Proof::Loose);
        let (Ok(rule), score) = (u16::try_from(rule), proof.score(context)) else { return };
        self.found.push(Found { start, end, rule, score, certain: tier == Tier::A, context });
    }
}

/// Positions of the rules that parsers of their own find.
mod rule {
    pub(super) const IBAN: usize = 0;
    pub(super) const EMAIL: usize = 1;
    pub(super) const PHONE: usize = 2;
    pub(super) const IP: usize = 3;
    pub(super) const PRIVATE_IP: usize = 4;
    pub(super) const SPECIAL_IP: usize = 5;
    pub(super) const MAC: usize = 6;
    pub(super) const BITCOIN: usize = 7;
    pub(super) const ETHEREUM: usize = 8;
    pub(super) const OTHER_WALLET: usize = 9;
    pub(super) const ETHEREUM_UNCHECKED: usize = 10;
    pub(super) const ATTRIBUTION: usize = 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_rules() {
        let ids: Vec<&str> = PARSED.iter().map(|entity| entity.id).collect();
        let expected = [
            (rule::IBAN, "iban"),
            (rule::EMAIL, "email"),
            (rule::PHONE, "phone"),
            (rule::IP, "ip-address"),
            (rule::PRIVATE_IP, "ip-address-private"),
            (rule::SPECIAL_IP, "ip-address-special"),
            (rule::MAC, "mac-address"),
            (rule::BITCOIN, "bitcoin-address"),
            (rule::ETHEREUM, "ethereum-address"),
            (rule::OTHER_WALLET, "crypto-address"),
            (rule::ETHEREUM_UNCHECKED, "ethereum-address-unchecked"),
            (rule::ATTRIBUTION, "email-attribution"),
        ];
        assert_eq!(ids.len(), expected.len());
        for (place, id) in expected {
            assert_eq!(ids[place], id);
        }
    }
}
