//! What a guardrail decided, in words that are the same for all of them.

use super::error::RemoteError;
use super::input::Input;
use crate::finding::Class;
use std::fmt;
use std::ops::Range;

/// Most findings of one verdict, in findings. More are an error: dropping some would leave them unmasked.
pub const MAX_FINDINGS: usize = 1_000;
/// Longest [`Label`], in bytes.
pub const MAX_LABEL_BYTES: usize = 64;

/// A name that a guardrail gave to a detector, category, entity or policy: 1 to [`MAX_LABEL_BYTES`] ASCII letters,
/// digits and `_.:/-`. Whatever else it said stands as `_`, so that a label can go into logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<str>);

impl Label {
    /// The label of a text.
    pub fn new(text: &str) -> Label {
        let keep = |character: char| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | ':' | '/' | '-' => character,
            _ => '_',
        };
        let kept: String = text.chars().take(MAX_LABEL_BYTES).map(keep).collect();
        Label(if kept.is_empty() { "unnamed".into() } else { kept.into() })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index of the segment.
    pub segment: usize,
    /// Bytes of its text, on character boundaries; `None` if the guardrail does not say where.
    pub range: Option<Range<usize>>,
}

/// Something a guardrail found. Never holds what was found, although many guardrails send it along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The guardrail's detector, category or rule.
    pub detector: Label,
    /// What it found, where it says that more closely.
    pub entity: Option<Label>,
    /// Our family, where the detector belongs to one.
    pub class: Option<Class>,
    /// Where.
    pub place: Option<Place>,
    /// How sure or how severe, 0 to 100.
    pub score: Option<u8>,
}

impl Finding {
    /// A finding without details.
    pub(crate) fn new(detector: &str, class: Option<Class>) -> Finding {
        Finding { detector: Label::new(detector), entity: None, class, place: None, score: None }
    }

    pub(crate) fn entity(mut self, entity: &str) -> Finding {
        self.entity = Some(Label::new(entity));
        self
    }

    pub(crate) fn in_segment(mut self, segment: usize) -> Finding {
        self.place = Some(Place { segment, range: None });
        self
    }

    pub(crate) fn score(mut self, score: Option<u8>) -> Finding {
        self.score = score;
        self
    }

    /// Names the place; names that repeat what stands there are taken away.
    pub(crate) fn at(mut self, input: &Input<'_>, segment: usize, range: Range<usize>) -> Finding {
        let found = input.text(segment).and_then(|text| text.get(range.clone())).unwrap_or_default();
        let repeats = |label: &Label| {
            let echo = Label::new(found);
            found.len() > 1 && (label.as_str().contains(found) || *label == echo)
        };
        if repeats(&self.detector) {
            self.detector = Label::new("");
        }
        self.entity = self.entity.filter(|entity| !repeats(entity));
        self.place = Some(Place { segment, range: Some(range) });
        self
    }
}

/// New text for a part of a segment.
#[derive(Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Index of the segment.
    pub segment: usize,
    /// The bytes of its text that are replaced, on character boundaries.
    pub range: Range<usize>,
    /// What stands there instead.
    pub text: String,
}

impl fmt::Debug for Replacement {
    /// Where and how long; the new text holds most of the old one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replacement { segment, range, text } = self;
        f.debug_struct("Replacement")
            .field("segment", segment)
            .field("range", range)
            .field("bytes", &text.len())
            .finish()
    }
}

/// What a guardrail decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It looked and found nothing.
    Pass,
    /// It found something and leaves it to us what to do: a policy's own action applies.
    Flag {
        /// What it found.
        findings: Vec<Finding>,
    },
    /// Its own policy says that the text must not go on.
    Block {
        /// The rule or policy that says so.
        reason: Label,
        /// What it found.
        findings: Vec<Finding>,
    },
    /// Its own policy says that the text may go on only like this.
    Masked {
        /// The new texts; no two of them overlap.
        replacements: Vec<Replacement>,
        /// What it found.
        findings: Vec<Finding>,
    },
}

impl Verdict {
    /// The stable word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Flag { .. } => "flag",
            Verdict::Block { .. } => "block",
            Verdict::Masked { .. } => "mask",
        }
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Verdict::Pass => &[],
            Verdict::Flag { findings }
            | Verdict::Block { findings, .. }
            | Verdict::Masked { findings, .. } => findings,
        }
    }

    /// The text of a segment under this verdict: `None` where it stays as it is.
    pub fn masked(&self, segment: usize, text: &str) -> Option<String> {
        let Verdict::Masked { replacements, .. } = self else { return None };
        let mut here: Vec<_> = replacements.iter().filter(|one| one.segment == segment).collect();
        if here.is_empty() {
            return None;
        }
        here.sort_by_key(|one| one.range.start);
        let (mut masked, mut at) = (String::with_capacity(text.len()), 0);
        for Replacement { range, text: new, .. } in here {
            masked.push_str(text.get(at..range.start).unwrap_or_default());
            masked.push_str(new);
            at = range.end;
        }
        masked.push_str(text.get(at..).unwrap_or_default());
        Some(masked)
    }

    /// `Flag` with something, `Pass` with nothing.
    pub(crate) fn flag(findings: Vec<Finding>) -> Verdict {
        match findings.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Flag { findings },
        }
    }

    /// `Masked`, if the replacements fit the text and change it.
    pub(crate) fn mask(
        input: &Input<'_>,
        replacements: Vec<Replacement>,
        findings: Vec<Finding>,
    ) -> Result<Verdict, RemoteError> {
        let fits = |one: &Replacement| {
            input.text(one.segment).and_then(|text| text.get(one.range.clone())).is_some()
        };
        if !replacements.iter().all(fits) {
            return Err(RemoteError::BadMask("it is out of the text"));
        }
        let changes = |one: &Replacement| {
            let old = input.text(one.segment).and_then(|text| text.get(one.range.clone()));
            old != Some(one.text.as_str())
        };
        let replacements: Vec<_> = replacements.into_iter().filter(changes).collect();
        if replacements.is_empty() {
            return Err(RemoteError::BadMask("it changes nothing"));
        }
        if overlap(&replacements) {
            return Err(RemoteError::BadMask("its parts overlap"));
        }
        Ok(Verdict::Masked { replacements, findings })
    }

    /// This verdict and another on other text of the same input: the stricter action, with what both found. Something
    /// found beside a mask is neither masked nor allowed by it, and stays among the findings.
    pub(crate) fn and(self, other: Verdict) -> Result<Verdict, RemoteError> {
        let joined = match (self, other) {
            (Verdict::Pass, other) | (other, Verdict::Pass) => other,
            (Verdict::Block { reason, findings }, other) => {
                Verdict::Block { reason, findings: join(findings, other) }
            }
            (other, Verdict::Block { reason, findings }) => {
                Verdict::Block { reason, findings: join(other.into_findings(), Verdict::Flag { findings }) }
            }
            (Verdict::Masked { mut replacements, findings }, other) => {
                if let Verdict::Masked { replacements: more, .. } = &other {
                    replacements.extend(more.iter().cloned());
                }
                if overlap(&replacements) {
                    return Err(RemoteError::BadMask("its parts overlap"));
                }
                Verdict::Masked { replacements, findings: join(findings, other) }
            }
            (Verdict::Flag { findings }, Verdict::Masked { replacements, findings: more }) => {
                Verdict::Masked { replacements, findings: join(findings, Verdict::Flag { findings: more }) }
            }
            (Verdict::Flag { findings }, other @ Verdict::Flag { .. }) => {
                Verdict::Flag { findings: join(findings, other) }
            }
        };
        match joined.findings().len() > MAX_FINDINGS {
            true => Err(RemoteError::TooManyFindings(MAX_FINDINGS)),
            false => Ok(joined),
        }
    }

    fn into_findings(self) -> Vec<Finding> {
        match self {
            Verdict::Pass => Vec::new(),
            Verdict::Flag { findings }
            | Verdict::Block { findings, .. }
            | Verdict::Masked { findings, .. } => findings,
        }
    }
}

/// Both lists without what is in both: pieces of one text overlap.
fn join(mut findings: Vec<Finding>, other: Verdict) -> Vec<Finding> {
    for finding in other.into_findings() {
        if findings.len() > MAX_FINDINGS {
            break;
        }
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

/// Whether two replacements are for the same bytes.
fn overlap(replacements: &[Replacement]) -> bool {
    let mut places: Vec<_> =
        replacements.iter().map(|one| (one.segment, one.range.start, one.range.end)).collect();
    places.sort_unstable();
    let clash = |pair: &[(usize, usize, usize)]| match pair {
        [first, second] => first.0 == second.0 && (second.1 < first.2 || first.1 == second.1),
        _ => false,
    };
    places.windows(2).any(clash)
}

/// A share between 0 and 1 as percent, rounded down. `None` when it is neither.
pub(crate) fn percent(share: f64) -> Option<u8> {
    if !(0.0..=1.0).contains(&share) {
        return None;
    }
    // A hundredth of a percent more, because 0.29 is less than 29 hundredths.
    (0..=100_u8).take_while(|percent| f64::from(*percent) <= share * 100.0 + 0.01).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Provenance;
    use crate::remote::{Facts, Segment, Stage};

    const SEGMENTS: &[Segment<'_>] = &[
        Segment { path: "a", provenance: Provenance::User, text: "call 555-0100 now" },
        Segment { path: "b", provenance: Provenance::User, text: "zwölf" },
    ];
    const INPUT: Input<'_> = Input {
        stage: Stage::Input,
        segments: SEGMENTS,
        facts: Facts {
            organization: None,
            team: None,
            user: None,
            application: None,
            conversation: None,
            model: None,
            provider: None,
            request_id: None,
        },
    };

    fn replace(segment: usize, range: Range<usize>, text: &str) -> Replacement {
        Replacement { segment, range, text: text.to_owned() }
    }

    fn flag(name: &str) -> Verdict {
        Verdict::flag(vec![Finding::new(name, None)])
    }

    fn block(name: &str) -> Verdict {
        Verdict::Block { reason: Label::new(name), findings: vec![Finding::new(name, None)] }
    }

    fn mask(segment: usize, range: Range<usize>) -> Verdict {
        Verdict::mask(&INPUT, vec![replace(segment, range, "X")], vec![Finding::new("m", None)]).unwrap()
    }

    #[test]
    fn labels_hold_nothing_unprintable_and_have_an_end() {
        assert_eq!(Label::new("pii/us_ssn").as_str(), "pii/us_ssn");
        assert_eq!(Label::new("a b\n\"c\"é").as_str(), "a_b__c__");
        assert_eq!(Label::new("").as_str(), "unnamed");
        assert_eq!(Label::new(&"x".repeat(MAX_LABEL_BYTES)).as_str().len(), MAX_LABEL_BYTES);
        assert_eq!(Label::new(&"x".repeat(MAX_LABEL_BYTES + 1)).as_str().len(), MAX_LABEL_BYTES);
    }

    #[test]
    fn a_name_that_repeats_the_value_is_taken_away() {
        let found = Finding::new("555-0100", None).entity("PHONE:555-0100").at(&INPUT, 0, 5..13);
        assert_eq!((found.detector.as_str(), found.entity), ("unnamed", None));
        let found = Finding::new("phone", None).entity("PHONE").at(&INPUT, 0, 5..13);
        assert_eq!(found.entity.unwrap().as_str(), "PHONE");
    }

    #[test]
    fn the_stricter_verdict_wins_and_keeps_what_both_found() {
        let names = |verdict: &Verdict| {
            let names = verdict.findings().iter().map(|finding| finding.detector.to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        let rank = ["pass", "flag", "mask", "block"];
        let all = [Verdict::Pass, flag("f"), mask(0, 5..13), block("b")];
        for (i, one) in all.iter().enumerate() {
            for (j, other) in all.iter().enumerate() {
                if i == 2 && j == 2 {
                    continue;
                }
                let both = one.clone().and(other.clone()).unwrap();
                assert_eq!(both.as_str(), rank[i.max(j)]);
                for found in [one, other].into_iter().flat_map(Verdict::findings) {
                    assert!(both.findings().contains(found), "{} lacks {}", names(&both), found.detector);
                }
            }
        }
        let both = mask(0, 5..13).and(mask(1, 0..1)).unwrap();
        assert_eq!(both.masked(0, SEGMENTS[0].text).unwrap(), "call X now");
        assert_eq!(both.masked(1, SEGMENTS[1].text).unwrap(), "Xwölf");
        assert_eq!(both.masked(2, "other"), None);
        assert_eq!(mask(0, 5..13).and(mask(0, 12..14)), Err(RemoteError::BadMask("its parts overlap")));
    }

    #[test]
    fn a_mask_must_fit_and_must_change_something() {
        let try_mask = |one: Replacement| Verdict::mask(&INPUT, vec![one], Vec::new()).map(|_| ());
        assert_eq!(try_mask(replace(0, 5..13, "[PHONE]")), Ok(()));
        assert_eq!(try_mask(replace(0, 5..13, "555-0100")), Err(RemoteError::BadMask("it changes nothing")));
        let out = Err(RemoteError::BadMask("it is out of the text"));
        assert_eq!(try_mask(replace(0, 5..99, "x")), out);
        assert_eq!(try_mask(replace(2, 0..1, "x")), out);
        assert_eq!(try_mask(replace(1, 0..3, "x")), out, "half a character");
    }

    #[test]
    fn findings_have_an_end() {
        let many = |count: usize| {
            let name = |index: usize| Finding::new(&format!("f{index}"), None);
            Verdict::flag((0..count).map(name).collect())
        };
        let at_limit = many(MAX_FINDINGS - 1).and(flag("last")).unwrap();
        assert_eq!(at_limit.findings().len(), MAX_FINDINGS);
        assert_eq!(many(MAX_FINDINGS).and(flag("last")), Err(RemoteError::TooManyFindings(MAX_FINDINGS)));
        assert_eq!(flag("same").and(flag("same")).unwrap().findings().len(), 1);
    }

    #[test]
    fn shares_are_percent() {
        assert_eq!([0.0, 0.29, 0.999, 1.0].map(percent), [Some(0), Some(29), Some(99), Some(100)]);
        assert_eq!([-0.1, 1.1, f64::NAN].map(percent), [None, None, None]);
    }

    #[test]
    fn what_is_printed_has_no_text() {
        let printed = format!("{:?}{:?}", SEGMENTS, replace(0, 0..1, "canary"));
        assert!(!printed.contains("555") && !printed.contains("canary"), "{printed}");
    }
}
