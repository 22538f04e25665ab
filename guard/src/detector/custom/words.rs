//! Words, dictionaries and names: one automaton for all of them.

use super::{CustomError, CustomRule, Find, MAX_HITS, Part, fault};
use crate::finding::{Hit, RuleIndex};
use crate::fold::{Folded, fold};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Most words of all rules together; a name counts once for each way of writing it.
pub const MAX_WORDS: usize = 20_000;

/// Longest word, in bytes of the folded view.
pub const MAX_WORD_BYTES: usize = 256;

/// Fewest characters of a word.
pub const MIN_WORD_CHARS: usize = 2;

/// Most bytes of all words together.
pub const MAX_WORDS_BYTES: usize = 256 << 10;

/// Words of at most so many bytes together get the faster and larger automaton: about 4 KB a byte at worst.
const DFA_BYTES: usize = 4 << 10;

/// How the parts of a name may be joined.
const JOINTS: [&str; 5] = [" ", "-", "_", ".", ""];

/// A word's rule, and how it is bounded.
#[derive(Debug, Clone, Copy)]
struct Entry {
    rule: u32,
    /// A change of case, an underscore or a digit bounds it too.
    name: bool,
}

/// Words over one view of the text.
#[derive(Debug, Default)]
struct Set {
    automaton: Option<AhoCorasick>,
    entries: Vec<Entry>,
}

/// All words.
#[derive(Debug)]
pub(super) struct Words {
    folded: Set,
    exact: Set,
}

impl Words {
    pub(super) fn new(rules: &[CustomRule]) -> Result<Words, CustomError> {
        let (folded, exact) = Words::collect(rules)?;
        Ok(Words { folded: folded.build()?, exact: exact.build()? })
    }

    /// The words of all rules within the limits: those for the folded view, and those for the raw text.
    pub(super) fn collect(rules: &[CustomRule]) -> Result<(Collected, Collected), CustomError> {
        let (mut folded, mut exact) = (Collected::default(), Collected::default());
        for (number, rule) in rules.iter().enumerate() {
            let rule_number = u32::try_from(number).unwrap_or(u32::MAX);
            match &rule.find {
                Find::Words { words, exact: true } => {
                    exact.add(
                        rule,
                        Entry { rule: rule_number, name: false },
                        words.iter().map(|word| vec![word.trim().to_owned()]),
                    )?;
                }
                Find::Words { words, exact: false } => {
                    folded.add(
                        rule,
                        Entry { rule: rule_number, name: false },
                        words.iter().map(|word| vec![fold(word.trim())]),
                    )?;
                }
                Find::Names(names) => {
                    folded.add(
                        rule,
                        Entry { rule: rule_number, name: true },
                        names.iter().map(|name| written(name)),
                    )?;
                }
                Find::Expression { .. } => {}
            }
        }
        let (words, bytes) = (folded.words.len() + exact.words.len(), folded.bytes + exact.bytes);
        if words > MAX_WORDS {
            return Err(CustomError::Rules(format!("{words} words, more than {MAX_WORDS}")));
        }
        if bytes > MAX_WORDS_BYTES {
            return Err(CustomError::Rules(format!("words of {bytes} bytes, more than {MAX_WORDS_BYTES}")));
        }
        Ok((folded, exact))
    }

    /// Whether the folded view is needed.
    pub(super) fn fold(&self) -> bool {
        self.folded.automaton.is_some()
    }

    /// Appends the longest words, without overlaps within a rule. Rules count from 0.
    pub(super) fn scan(&self, text: &str, folded: &Folded, out: &mut Vec<Hit>) {
        let mut hits = Vec::new();
        self.folded.find(folded.text(), |entry, range| {
            let raw = folded.raw_range(range.clone());
            if bounded(folded.text(), &range) || (entry.name && part_of_identifier(text, &raw)) {
                hits.push(Hit { rule: RuleIndex(entry.rule), range: raw, score: 0 });
            }
            hits.len() < MAX_HITS
        });
        self.exact.find(text, |entry, range| {
            if bounded(text, &range) {
                hits.push(Hit { rule: RuleIndex(entry.rule), range, score: 0 });
            }
            hits.len() < MAX_HITS * 2
        });
        hits.sort_by_key(|hit| (hit.rule, hit.range.start, usize::MAX - hit.range.end));
        let mut last: Option<(RuleIndex, usize)> = None;
        hits.retain(|hit| {
            let free = last.is_none_or(|(rule, end)| rule != hit.rule || hit.range.start >= end);
            if free {
                last = Some((hit.rule, hit.range.end));
            }
            free
        });
        out.append(&mut hits);
    }
}

/// Words that are not compiled yet.
#[derive(Debug, Default)]
pub(super) struct Collected {
    words: Vec<String>,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Collected {
    fn add(
        &mut self,
        rule: &CustomRule,
        entry: Entry,
        words: impl Iterator<Item = Vec<String>>,
    ) -> Result<(), CustomError> {
        let before = self.words.len();
        for (number, spellings) in words.enumerate() {
            for word in spellings {
                let (chars, bytes) = (word.chars().count(), word.len());
                if chars < MIN_WORD_CHARS {
                    let cause = format!("a word is shorter than {MIN_WORD_CHARS} characters");
                    return Err(fault(rule, Part::Word(number), cause));
                }
                if bytes > MAX_WORD_BYTES {
                    let cause = format!("a word has {bytes} bytes, more than {MAX_WORD_BYTES}");
                    return Err(fault(rule, Part::Word(number), cause));
                }
                self.bytes += bytes;
                self.words.push(word);
                self.entries.push(entry);
            }
        }
        if self.words.len() == before { Err(fault(rule, Part::Whole, "there are no words")) } else { Ok(()) }
    }

    fn build(self) -> Result<Set, CustomError> {
        if self.words.is_empty() {
            return Ok(Set::default());
        }
        let kind =
            if self.bytes <= DFA_BYTES { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        // Overlapping search: a longer word that is not bounded must not hide a shorter one that is.
        let built =
            AhoCorasick::builder().match_kind(MatchKind::Standard).kind(Some(kind)).build(&self.words);
        let automaton = built.map_err(|cause| CustomError::Rules(format!("too many words: {cause}")))?;
        Ok(Set { automaton: Some(automaton), entries: self.entries })
    }
}

impl Set {
    /// Calls `found` for every word until it says that it has enough.
    fn find(&self, text: &str, mut found: impl FnMut(Entry, std::ops::Range<usize>) -> bool) {
        let Some(automaton) = &self.automaton else { return };
        for one in automaton.find_overlapping_iter(text) {
            let Some(&entry) = self.entries.get(one.pattern().as_usize()) else { continue };
            if !found(entry, one.start()..one.end()) {
                return;
            }
        }
    }
}

/// The ways of writing a name: its words, also those of `BlueMoon`, with every joint.
fn written(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    for c in name.trim().chars() {
        let joint = c.is_whitespace() || matches!(c, '-' | '_' | '.');
        let begins = before.is_none() || (c.is_uppercase() && before.is_some_and(char::is_lowercase));
        if !joint {
            if begins {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
        }
        before = if joint { None } else { Some(c) };
    }
    let parts: Vec<String> = parts.iter().map(|part| fold(part)).collect();
    if parts.len() < 2 {
        return vec![parts.concat()];
    }
    JOINTS.iter().map(|joint| parts.join(joint)).collect()
}

/// Whether no letter or digit of a script with blanks between words stands on both sides of an end.
fn bounded(text: &str, range: &std::ops::Range<usize>) -> bool {
    let (before, inside, after) = around(text, range);
    let word = |c: char| c.is_alphanumeric() && !without_blanks(c);
    let open =
        |outer: Option<char>, inner: Option<char>| !(outer.is_some_and(word) && inner.is_some_and(word));
    open(before, inside.chars().next()) && open(after, inside.chars().next_back())
}

/// Whether a name is a part of an identifier in camel case or next to a digit: `myBlueMoonClient2`.
fn part_of_identifier(raw: &str, range: &std::ops::Range<usize>) -> bool {
    let (before, inside, after) = around(raw, range);
    let (first, last) = (inside.chars().next(), inside.chars().next_back());
    let lower = |c: Option<char>| c.is_some_and(char::is_lowercase);
    let upper = |c: Option<char>| c.is_some_and(char::is_uppercase);
    let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphabetic());
    let begins = apart(before) || (lower(before) && upper(first));
    let ends = apart(after) || (lower(last) && upper(after));
    begins && ends
}

fn around<'t>(text: &'t str, range: &std::ops::Range<usize>) -> (Option<char>, &'t str, Option<char>) {
    let before = text.get(..range.start).and_then(|before| before.chars().next_back());
    let after = text.get(range.end..).and_then(|after| after.chars().next());
    (before, text.get(range.clone()).unwrap_or_default(), after)
}

/// Chinese, Japanese, Korean, Thai and their like have words without blanks between them.
fn without_blanks(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{2A6DF}')
}
