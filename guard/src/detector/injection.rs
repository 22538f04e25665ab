//! Prompt injection and jailbreaks, by rules.
//!
//! Rules are precise and see little by themselves: a plain list of phrases finds a fifth of published attacks at best. So
//! phrases here have gaps and alternatives, weak signs add up where they stand together, and hidden channels, control
//! tokens, carrying addresses and encoded texts are signs too. Every sign has a weight; who wrote the text scales it; the sum over
//! `SPAN_BYTES` bytes is the score, and signs whose surroundings reach the threshold are hits.
//!
//! What this cannot do: recognise an attack in plain words that any person might write. A classifier can be added
//! ([`crate::classifier`]), an external guardrail too.
//!
//! Ordinary text pays for one SIMD pass over its folded view (`gate`); only the surroundings of rare words are cut
//! into words and matched. Work is linear in the text whatever it holds.

mod encoded;
mod family;
mod gate;
mod hidden;
mod link;
mod phrase;
mod phrases;
mod score;
mod template;
mod words;

use std::ops::Range;

use crate::detector::Detector;
use crate::finding::{Hit, Provenance, Rule, RuleIndex};
use crate::fold::Folded;
use family::{FAMILIES, Family};
use gate::{Gate, Opening};
use phrase::Match;
use score::Signal;
use words::Token;

/// Grows with every change of phrases, weights or code that changes findings.
const REVISION: u32 = 2;

/// Score from which signs are reported.
pub const THRESHOLD: u8 = 60;

/// Most hits reported per text; an attack that repeats itself says nothing new.
pub const HITS: usize = 256;

/// How far before and after itself a sign takes others into account, in bytes: whoever scans a text in pieces keeps as
/// much of it at both ends for the same findings.
pub const REACH_BYTES: usize = score::SPAN_BYTES * 2 + GLANCE_BYTES + gate::NEAR_BYTES;

/// Longest sign, in bytes of the text: an encoded run may be longer, and is reported as far as it was seen.
pub const SIGN_BYTES: usize = score::SPAN_BYTES;

/// What can be tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Score, 1 to 100, from which signs are reported.
    pub threshold: u8,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { threshold: THRESHOLD }
    }
}

/// The detector. Immutable and shared by all threads.
#[derive(Debug)]
pub struct Injection {
    settings: Settings,
    gate: Gate,
    table: phrases::Table,
}

/// Keys of signs that are no phrases follow those of phrases.
#[derive(Debug, Clone, Copy)]
enum Structural {
    Tags,
    ZeroWidth,
    Bidi,
    Selectors,
    TokenBare,
    TokenQuoted,
    TokenRole,
    Picture,
    Decoded,
    DecodedAttack,
    /// A phrase that was disguised.
    Disguise,
}

/// Room for the keys of structural signs.
const STRUCTURAL: usize = 16;
/// What is left of the weight of a phrase in quotation marks.
const QUOTED_PERCENT: i32 = 60;

/// How much around a gate word is read at a glance, in bytes.
const GLANCE_BYTES: usize = 256;
/// Weight of a phrase that makes a glance a closer look.
const FIRM: i32 = 20;

const HIDDEN_WEIGHT: i32 = 80;
const BIDI_WEIGHT: i32 = 60;
const DISGUISE_WEIGHT: i32 = 30;
/// A printable text in disguise: nothing by itself, something next to a request to follow it.
const DECODED_WEIGHT: i32 = 15;
const DECODED_ATTACK_WEIGHT: i32 = 80;

impl Injection {
    /// Builds the tables: some milliseconds, once.
    pub fn new(settings: Settings) -> Injection {
        Injection { settings, gate: Gate::new(), table: phrases::Table::new() }
    }

    /// [`Detector::scan`] where the folded view of the text is there already. Hits come sorted by place.
    pub fn scan_folded(
        &self,
        text: &str,
        folded: &Folded,
        provenance: Provenance,
        base: u32,
        out: &mut Vec<Hit>,
    ) {
        let signals = self.signals(text, folded, encoded::DEPTH);
        if signals.is_empty() {
            return;
        }
        let scores = score::weigh(&signals, provenance);
        let mut hits: Vec<Hit> = Vec::new();
        for (signal, score) in signals.iter().zip(scores) {
            if score < i32::from(self.settings.threshold) || signal.family == Family::Context {
                continue;
            }
            let rule = RuleIndex(base + u32::try_from(signal.family.index()).unwrap_or_default());
            let score = u8::try_from(score.clamp(0, 100)).unwrap_or(100);
            join(&mut hits, Hit { rule, range: signal.range.clone(), score });
        }
        hits.truncate(HITS);
        out.append(&mut hits);
    }

    /// All signs in a text, sorted by start.
    fn signals(&self, text: &str, folded: &Folded, depth: usize) -> Vec<Signal> {
        let mut signals = Vec::new();
        if folded.invisible().any() {
            self.hidden(text, depth, &mut signals);
        }
        self.openings(folded, &mut signals);
        let mut runs_left = encoded::RUNS;
        for window in self.worthwhile(folded.text()) {
            let before = signals.len();
            self.phrases(text, folded, window.clone(), &mut signals);
            let encoding = signals.iter().skip(before).any(|signal| signal.family == Family::Encoded);
            if depth > 0 && encoding {
                self.decoded(text, folded.raw_range(window), depth, &mut runs_left, &mut signals);
            }
        }
        signals.sort_by_key(|signal| (signal.range.start, signal.range.end, signal.key));
        signals
    }

    /// Pieces of the folded text that hold a phrase near a gate word, with as much around as can add to its score.
    fn worthwhile(&self, text: &str) -> Vec<Range<usize>> {
        let places = self.gate.places(text);
        let (mut tokens, mut matches) = (Vec::new(), Vec::new());
        let mut firm = Vec::new();
        for window in gate::windows(text, places, GLANCE_BYTES) {
            self.matches(text, &window, &mut tokens, &mut matches);
            firm.extend(
                matches
                    .iter()
                    .filter(|found| self.weight(found.phrase) >= FIRM)
                    .filter_map(|found| Some(tokens.get(found.first)?.start)),
            );
            firm.extend(template::WHOLE.iter().flat_map(|whole| {
                let view = text.get(window.clone()).unwrap_or_default();
                memchr::memmem::find(view.as_bytes(), whole.as_bytes()).map(|at| window.start + at)
            }));
        }
        firm.sort_unstable();
        gate::windows(text, firm, score::SPAN_BYTES)
    }

    fn weight(&self, phrase: usize) -> i32 {
        self.table.meaning.get(phrase).map_or(0, |&(_, weight)| weight)
    }

    fn matches(&self, text: &str, window: &Range<usize>, tokens: &mut Vec<Token>, matches: &mut Vec<Match>) {
        tokens.clear();
        matches.clear();
        let view = text.get(window.clone()).unwrap_or_default();
        words::tokenize(self.table.phrases.vocabulary(), view, window.start, tokens);
        self.table.phrases.find(tokens, matches);
    }

    fn structural(&self, family: Family, kind: Structural, weight: i32, range: Range<usize>) -> Signal {
        Signal { family, weight, key: self.table.meaning.len() + kind as usize, range }
    }

    fn hidden(&self, text: &str, depth: usize, signals: &mut Vec<Signal>) {
        for hidden in hidden::find(text) {
            let (kind, weight) = match hidden.family {
                Family::Tags => (Structural::Tags, HIDDEN_WEIGHT),
                Family::ZeroWidth => (Structural::ZeroWidth, HIDDEN_WEIGHT),
                Family::Selectors => (Structural::Selectors, HIDDEN_WEIGHT),
                _ => (Structural::Bidi, BIDI_WEIGHT),
            };
            if depth > 0 && self.attacks(&hidden.says, depth - 1) {
                signals.push(self.structural(
                    Family::Override,
                    Structural::DecodedAttack,
                    DECODED_ATTACK_WEIGHT,
                    hidden.range.clone(),
                ));
            }
            signals.push(self.structural(hidden.family, kind, weight, hidden.range));
        }
    }

    fn openings(&self, folded: &Folded, signals: &mut Vec<Signal>) {
        let text = folded.text();
        self.gate.openings(text, |opening, start| match opening {
            Opening::Bar => {
                if let Some(control) = template::at(text, start) {
                    self.control(folded, start, control, signals);
                }
            }
            Opening::Picture => {
                if let Some((range, weight)) = link::picture(text, start) {
                    signals.push(self.structural(
                        Family::Link,
                        Structural::Picture,
                        weight,
                        folded.raw_range(range),
                    ));
                }
            }
        });
    }

    fn control(&self, folded: &Folded, start: usize, control: template::Control, signals: &mut Vec<Signal>) {
        let range = folded.raw_range(start..control.end);
        let (kind, weight) = if control.quoted {
            (Structural::TokenQuoted, template::QUOTED)
        } else {
            (Structural::TokenBare, template::BARE)
        };
        if control.role && !control.quoted {
            signals.push(self.structural(
                Family::Template,
                Structural::TokenRole,
                template::ROLE,
                range.clone(),
            ));
        }
        signals.push(self.structural(Family::Template, kind, weight, range));
    }

    fn phrases(&self, text: &str, folded: &Folded, window: Range<usize>, signals: &mut Vec<Signal>) {
        let view = folded.text().get(window.clone()).unwrap_or_default();
        for whole in template::WHOLE {
            for at in memchr::memmem::find_iter(view.as_bytes(), whole) {
                let start = window.start + at;
                self.control(
                    folded,
                    start,
                    template::whole(folded.text(), start, start + whole.len()),
                    signals,
                );
            }
        }
        let (mut tokens, mut matches) = (Vec::new(), Vec::new());
        self.matches(folded.text(), &window, &mut tokens, &mut matches);
        for found in matches {
            let (Some(first), Some(last)) = (tokens.get(found.first), tokens.get(found.last)) else {
                continue;
            };
            let Some(&(family, _)) = self.table.meaning.get(found.phrase) else { continue };
            let range = folded.raw_range(first.start..last.end);
            if family != Family::Context && disguised(text, folded, first.start..last.end, &range) {
                signals.push(self.structural(family, Structural::Disguise, DISGUISE_WEIGHT, range.clone()));
            }
            signals.push(self.phrase(folded, found.phrase, first.start, range));
        }
    }

    /// A phrase found. One that begins in quotation marks is often quoted, so it weighs less, under a key of its own.
    fn phrase(&self, folded: &Folded, phrase: usize, start: usize, range: Range<usize>) -> Signal {
        let (family, weight) = self.table.meaning.get(phrase).copied().unwrap_or((Family::Context, 0));
        let before = start.checked_sub(1).and_then(|before| folded.text().as_bytes().get(before));
        if family != Family::Context && before.is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`')) {
            let key = self.table.meaning.len() + STRUCTURAL + phrase;
            return Signal { family, weight: weight * QUOTED_PERCENT / 100, key, range };
        }
        Signal { family, weight, key: phrase, range }
    }

    fn decoded(
        &self,
        text: &str,
        window: Range<usize>,
        depth: usize,
        runs_left: &mut usize,
        signals: &mut Vec<Signal>,
    ) {
        let view = text.get(window.clone()).unwrap_or_default();
        for (range, says) in encoded::find(view, *runs_left) {
            *runs_left -= 1;
            let range = window.start + range.start..window.start + range.end;
            let attack = self.attacks(&says, depth - 1);
            let (kind, weight) = if attack {
                (Structural::DecodedAttack, DECODED_ATTACK_WEIGHT)
            } else {
                (Structural::Decoded, DECODED_WEIGHT)
            };
            signals.push(self.structural(Family::Encoded, kind, weight, range));
        }
    }

    /// Whether what was hidden is an attack by itself.
    fn attacks(&self, text: &str, depth: usize) -> bool {
        let signals = self.signals(text, &Folded::new(text), depth);
        score::weigh(&signals, Provenance::User)
            .iter()
            .any(|&score| score >= i32::from(self.settings.threshold))
    }
}

impl Detector for Injection {
    fn rules(&self) -> Vec<Rule> {
        FAMILIES.iter().map(family::Meaning::rule).collect()
    }

    fn scan(&self, text: &str, provenance: Provenance, base: u32, out: &mut Vec<Hit>) {
        self.scan_folded(text, &Folded::new(text), provenance, base, out);
    }

    fn revision(&self) -> Vec<u8> {
        REVISION.to_le_bytes().into_iter().chain([self.settings.threshold]).collect()
    }
}

/// Whether a phrase that folds to ASCII was written with look-alikes or invisible characters. Accents are no disguise.
fn disguised(text: &str, folded: &Folded, view: Range<usize>, raw: &Range<usize>) -> bool {
    if folded.is_ascii() || !folded.text().get(view).is_some_and(str::is_ascii) {
        return false;
    }
    let raw = text.get(raw.clone()).unwrap_or_default();
    raw.chars().any(|c| {
        matches!(c,
            '\u{0370}'..='\u{058F}' | '\u{13A0}'..='\u{13FF}' | '\u{AB70}'..='\u{ABBF}' | '\u{200B}'..='\u{200D}'
            | '\u{2060}'..='\u{2064}' | '\u{E0000}'..='\u{E007F}' | '\u{1D400}'..='\u{1D7FF}' | '\u{FF21}'..='\u{FF5A}'
            | '\u{24B6}'..='\u{24E9}' | '\u{1F130}'..='\u{1F189}')
    })
}

/// Adds a hit; one that overlaps an earlier hit of its rule makes that one longer.
fn join(hits: &mut Vec<Hit>, hit: Hit) {
    let same = hits.iter_mut().rev().take(FAMILIES.len() * 2).find(|other| other.rule == hit.rule);
    match same {
        Some(other) if other.range.end > hit.range.start => {
            other.range.end = other.range.end.max(hit.range.end);
            other.score = other.score.max(hit.score);
        }
        _ => hits.push(hit),
    }
}

#[cfg(test)]
mod tests;
