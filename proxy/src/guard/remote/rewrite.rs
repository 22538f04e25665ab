//! From a verdict to what policies see, what the record says, and what comes in the place of what.

use super::{Failure, Guardrail};
use narrows_guard::Class;
use narrows_guard::body::{Passage, Splice, disjoint, locate};
use narrows_guard::placeholder::{Key, Minter};
use narrows_guard::remote::{Finding, Replacement, Verdict};
use narrows_ledger::FINDINGS_MAX;
use narrows_policy::{Answer, Gap, GuardrailIndex, Outcome};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The class of what belongs to none of our families.
const CLASS: &str = "guardrail";
/// The score of what was found without one.
const SCORE: u8 = 100;

/// What a guardrail said of a text.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) guardrail: GuardrailIndex,
    pub(crate) name: Arc<str>,
    /// `pass`, `flag`, `mask`, `block`, or why there is no verdict.
    pub(crate) verdict: &'static str,
    /// What it found, in its own words.
    pub(crate) categories: Vec<Box<str>>,
    /// How sure it is of the surest, if it says so of all.
    pub(crate) score: Option<u8>,
    pub(super) outcome: Came,
    /// What the record says of it.
    pub(crate) findings: Vec<narrows_ledger::Finding>,
    /// Findings beyond those.
    pub(crate) findings_dropped: u32,
    /// Where there is no verdict: how long to wait until there may be one.
    pub(crate) retry: Option<Duration>,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Came {
    Passed,
    Flagged,
    /// The text must not go on.
    Blocked,
    /// What goes and what comes in its place, in the text that was through so many rewritings.
    Rewritten(Vec<Splice>, u32),
    Failed(Gap),
}

/// What a guardrail was shown.
pub(super) struct Shown<'a> {
    pub(super) body: &'a str,
    pub(super) passages: &'a [Passage],
    /// The organization's.
    pub(super) key: Key,
}

/// Where its rewriting is wanted: how many the text had been through, and who makes placeholders.
pub(super) struct Rewriting<'a> {
    pub(super) after: u32,
    pub(super) minter: &'a mut Minter,
}

impl Said {
    pub(super) fn new(
        guardrail: GuardrailIndex,
        of: &Guardrail,
        asked: Result<Verdict, Failure>,
        shown: &Shown<'_>,
        rewriting: Option<Rewriting<'_>>,
    ) -> Said {
        let name = Arc::clone(&of.settings.name);
        let verdict = match asked {
            Ok(verdict) => verdict,
            Err(failure) => {
                let retry = failure.retry(of.health());
                return Said { retry, ..Said::failed(guardrail, name, &failure) };
            }
        };
        let found = verdict.findings();
        let outcome = match (&verdict, rewriting) {
            (Verdict::Pass, _) => Came::Passed,
            (Verdict::Block { .. }, _) => Came::Blocked,
            (_, None) => Came::Flagged,
            (Verdict::Flag { .. }, Some(rewriting)) => shown.rewritten(&[], found, rewriting),
            (Verdict::Masked { replacements, .. }, Some(rewriting)) => {
                shown.rewritten(replacements, found, rewriting)
            }
        };
        let kept = shown.findings(&name, found);
        Said {
            guardrail,
            verdict: verdict.as_str(),
            categories: categories(&verdict),
            score: score(&verdict),
            outcome,
            findings_dropped: u32::try_from(found.len().saturating_sub(FINDINGS_MAX)).unwrap_or(u32::MAX),
            findings: kept,
            retry: None,
            name,
        }
    }

    pub(super) fn failed(guardrail: GuardrailIndex, name: Arc<str>, failure: &Failure) -> Said {
        Said {
            guardrail,
            name,
            verdict: failure.as_str(),
            categories: Vec::new(),
            score: None,
            outcome: Came::Failed(failure.gap()),
            findings: Vec::new(),
            findings_dropped: 0,
            retry: None,
        }
    }

    /// The words, as policies take them.
    pub(super) fn words(&self) -> Vec<&str> {
        self.categories.iter().map(|word| &**word).collect()
    }

    /// What policies see; `words` are this one's.
    pub(super) fn answer<'a>(&'a self, words: &'a [&'a str]) -> Answer<'a> {
        let (categories, score) = (words, self.score);
        let outcome = match &self.outcome {
            Came::Passed => Outcome::Passed,
            Came::Flagged => Outcome::Flagged { categories, score },
            Came::Blocked => Outcome::Blocked { categories },
            Came::Rewritten(_, after) => Outcome::Rewritten { categories, score, after: *after },
            Came::Failed(gap) => Outcome::Failed(*gap),
        };
        Answer { guardrail: self.guardrail, outcome }
    }
}

/// Every name that it gave what it found.
fn categories(verdict: &Verdict) -> Vec<Box<str>> {
    let reason = match verdict {
        Verdict::Block { reason, .. } => Some(reason),
        Verdict::Pass | Verdict::Flag { .. } | Verdict::Masked { .. } => None,
    };
    let found = verdict.findings().iter();
    let found = found.flat_map(|finding| [Some(&finding.detector), finding.entity.as_ref()]);
    let mut words: Vec<Box<str>> =
        found.chain([reason]).flatten().map(|label| Box::from(label.as_str())).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// The highest score, if everything has one. A block is sure whatever it was made of.
fn score(verdict: &Verdict) -> Option<u8> {
    match verdict {
        Verdict::Block { .. } | Verdict::Pass => None,
        Verdict::Flag { findings } | Verdict::Masked { findings, .. } => {
            let scores: Option<Vec<u8>> = findings.iter().map(|finding| finding.score).collect();
            scores?.into_iter().max()
        }
    }
}

/// Where a guardrail rewrote. No two of its replacements overlap.
struct Written<'a>(Vec<&'a Replacement>);

impl<'a> Written<'a> {
    fn new(replacements: &'a [Replacement]) -> Written<'a> {
        let mut all: Vec<&Replacement> = replacements.iter().collect();
        all.sort_by_key(|one| (one.segment, one.range.start));
        Written(all)
    }

    /// Whether one of them holds all of this.
    fn covers(&self, segment: usize, range: &Range<usize>) -> bool {
        let behind = self.0.partition_point(|one| (one.segment, one.range.start) <= (segment, range.start));
        let before = behind.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|one| one.segment == segment && range.end <= one.range.end)
    }

    /// Whether any is in this text.
    fn is_in(&self, segment: usize) -> bool {
        self.0.binary_search_by_key(&segment, |one| one.segment).is_ok()
    }
}

impl Shown<'_> {
    /// The text without what was found: as the guardrail rewrote it, and with placeholders for what it found and left,
    /// where it says where that stands. What can be neither is flagged.
    fn rewritten(&self, replacements: &[Replacement], found: &[Finding], rewriting: Rewriting<'_>) -> Came {
        let Rewriting { after, minter } = rewriting;
        let written = Written::new(replacements);
        let mut places: Vec<(usize, Range<usize>)> = Vec::with_capacity(replacements.len());
        let mut texts: Vec<String> = Vec::with_capacity(replacements.len());
        for Replacement { segment, range, text } in replacements {
            let Some(passage) = self.passages.get(*segment) else { return Came::Flagged };
            places.push((*segment, range.clone()));
            texts.push(passage.written(text));
        }
        for finding in found {
            let Some(place) = &finding.place else {
                // Somewhere in the text: what the guardrail rewrote has to be enough.
                if replacements.is_empty() { return Came::Flagged } else { continue }
            };
            match &place.range {
                Some(range) if written.covers(place.segment, range) => {}
                Some(range) => {
                    let Some(value) = self.value(place.segment, range) else { return Came::Flagged };
                    places.push((place.segment, range.clone()));
                    texts.push(placeholder(minter, finding, value));
                }
                None if written.is_in(place.segment) => {}
                None => return Came::Flagged,
            }
        }
        if places.is_empty() {
            return Came::Flagged;
        }
        locate(self.body, self.passages, &mut places);
        let splice = |((_, range), with)| Splice { range, with };
        Came::Rewritten(disjoint(places.into_iter().zip(texts).map(splice).collect()), after)
    }

    /// What stands there; `None` for nothing.
    fn value(&self, segment: usize, range: &Range<usize>) -> Option<&str> {
        let text = &self.passages.get(segment)?.text;
        text.get(range.clone()).filter(|value| !value.is_empty())
    }

    /// What the record says of what was found, the same in one place once.
    fn findings(&self, name: &Arc<str>, found: &[Finding]) -> Vec<narrows_ledger::Finding> {
        let mut kept: Vec<narrows_ledger::Finding> = Vec::new();
        for finding in found {
            let entity = entity(finding);
            let place = finding.place.as_ref();
            let passage = place.and_then(|place| self.passages.get(place.segment));
            let value = place
                .and_then(|place| place.range.as_ref().and_then(|range| self.value(place.segment, range)));
            let one = narrows_ledger::Finding {
                rule: Arc::clone(name),
                entity: entity.into(),
                class: finding.class.map_or(CLASS, Class::as_str),
                count: 1,
                score: finding.score.unwrap_or(SCORE),
                path: passage.map_or("", |passage| &*passage.path).into(),
                fingerprint: value.map(|value| self.key.fingerprint(entity, value)),
            };
            let same = |other: &&mut narrows_ledger::Finding| {
                other.entity == one.entity
                    && other.fingerprint == one.fingerprint
                    && (one.fingerprint.is_some() || other.path == one.path)
            };
            match kept.iter_mut().find(same) {
                Some(known) => {
                    known.count = known.count.saturating_add(1);
                    known.score = known.score.max(one.score);
                }
                None => kept.push(one),
            }
        }
        kept.truncate(FINDINGS_MAX);
        kept
    }
}

/// What it is, in the guardrail's word.
fn entity(finding: &Finding) -> &str {
    finding.entity.as_ref().unwrap_or(&finding.detector).as_str()
}

fn placeholder(minter: &mut Minter, finding: &Finding, value: &str) -> String {
    minter.mint(finding.class.unwrap_or(Class::Custom), entity(finding), value).into()
}
