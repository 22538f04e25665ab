//! What was inspected, at the end of a record in a segment.
//!
//! ```text
//! stages: 1 byte, a bit for each; 0 ends it here
//! policy version, xor the one before | per stage:
//!     flags: 1 byte | gap, unless all was covered | bytes scanned | action, if one was decided | detail, if there is one
//! detail: rules | explanation | findings | number of findings beyond
//! ```

use super::pack::Packer;
use super::unpack::{Fault, Segment};
use super::{FORMAT_INSPECTIONS, cut};
use crate::inspection::{Detail, FINDINGS_MAX, Finding, Inspection, Inspections, RULES_MAX};
use narrows_policy::{Coverage, Mode, Stage};
use std::sync::Arc;

/// Bits of a stage's flags. The lowest two say how much was covered, the next two the mode.
const PARTIAL: u8 = 1;
const NONE: u8 = 2;
const EXTENT: u8 = 0b11;
const MODE_SHIFT: u32 = 2;
const ENFORCEABLE: u8 = 1 << 4;
const ENFORCED: u8 = 1 << 5;
const ACTION: u8 = 1 << 6;
const DETAIL: u8 = 1 << 7;

impl Packer {
    pub(super) fn inspections(&mut self, all: &Inspections) {
        let present = all.iter().fold(0, |bits, (stage, _)| bits | 1_u8 << stage as u8);
        self.body.push(present);
        if present == 0 {
            return;
        }
        self.put(all.policy_version ^ self.previous_policy);
        self.previous_policy = all.policy_version;
        for (_, inspection) in all.iter() {
            self.inspection(inspection);
        }
    }

    fn inspection(&mut self, inspection: &Inspection) {
        let mut flags = match inspection.coverage {
            Coverage::Full => 0,
            Coverage::Partial(_) => PARTIAL,
            Coverage::None(_) => NONE,
        };
        flags |= (inspection.mode as u8) << MODE_SHIFT;
        for (is_so, bit) in [
            (inspection.enforceable, ENFORCEABLE),
            (inspection.enforced, ENFORCED),
            (inspection.action.is_some(), ACTION),
            (inspection.detail.is_some(), DETAIL),
        ] {
            flags |= if is_so { bit } else { 0 };
        }
        self.body.push(flags);
        if let Some(gap) = inspection.coverage.gap() {
            let gap = self.static_word(gap.as_str());
            self.put(u64::from(gap));
        }
        self.put(inspection.bytes_scanned);
        if let Some(action) = inspection.action {
            let action = self.static_word(action.as_str());
            self.put(u64::from(action));
        }
        if let Some(detail) = &inspection.detail {
            self.detail(detail);
        }
    }

    fn detail(&mut self, detail: &Detail) {
        let rules = detail.rules.get(..RULES_MAX).unwrap_or(&detail.rules);
        self.put(rules.len() as u64);
        for rule in rules {
            let place = self.text(Some(rule)).1;
            self.put(u64::from(place));
        }
        self.inline(Some(&detail.explanation));
        let findings = detail.findings.get(..FINDINGS_MAX).unwrap_or(&detail.findings);
        self.put(findings.len() as u64);
        for finding in findings {
            self.finding(finding);
        }
        let cut_here = detail.findings.len() - findings.len();
        self.put(u64::from(dropped(detail.findings_dropped, cut_here)));
    }

    fn finding(&mut self, finding: &Finding) {
        let places = [
            self.text(Some(&finding.rule)).1,
            self.text(Some(&finding.entity)).1,
            self.static_word(finding.class),
            finding.count,
        ];
        for place in places {
            self.put(u64::from(place));
        }
        self.body.push(finding.score);
        self.inline(Some(cut(&finding.path)));
        self.body.push(u8::from(finding.fingerprint.is_some()));
        if let Some(print) = finding.fingerprint {
            self.body.extend_from_slice(&print.to_le_bytes());
        }
    }
}

/// Findings that are not listed: those that never were, and those that the limit cuts.
fn dropped(before: u32, cut_here: usize) -> u32 {
    before.saturating_add(u32::try_from(cut_here).unwrap_or(u32::MAX))
}

impl Segment<'_> {
    pub(super) fn inspections(&mut self) -> Result<Inspections, Fault> {
        let mut all = Inspections::default();
        if self.format < FORMAT_INSPECTIONS {
            return Ok(all);
        }
        let present = self.byte()?;
        if present == 0 {
            return Ok(all);
        }
        if present >> Stage::ALL.len() != 0 {
            return Err("an unknown stage");
        }
        self.policy ^= self.number()?;
        all.policy_version = self.policy;
        for stage in Stage::ALL {
            if present & 1 << stage as u8 != 0 {
                let inspection = self.inspection()?;
                all.set(stage, inspection);
            }
        }
        Ok(all)
    }

    fn inspection(&mut self) -> Result<Inspection, Fault> {
        let flags = self.byte()?;
        let coverage = match flags & EXTENT {
            0 => Coverage::Full,
            PARTIAL => Coverage::Partial(self.value()?),
            NONE => Coverage::None(self.value()?),
            _ => return Err("an unknown coverage"),
        };
        let mode = *Mode::ALL.get(usize::from(flags >> MODE_SHIFT & 0b11)).ok_or("an unknown mode")?;
        let bytes_scanned = self.number()?;
        let action = if flags & ACTION == 0 { None } else { Some(self.value()?) };
        let detail = if flags & DETAIL == 0 { None } else { Some(Box::new(self.detail()?)) };
        let (enforceable, enforced) = (flags & ENFORCEABLE != 0, flags & ENFORCED != 0);
        Ok(Inspection { bytes_scanned, coverage, mode, action, enforceable, enforced, detail })
    }

    fn detail(&mut self) -> Result<Detail, Fault> {
        let mut rules = Vec::new();
        for _ in 0..self.bounded(RULES_MAX)? {
            rules.push(self.named()?);
        }
        let explanation = self.inline()?.unwrap_or_default();
        let mut findings = Vec::new();
        for _ in 0..self.bounded(FINDINGS_MAX)? {
            findings.push(self.finding()?);
        }
        let findings_dropped = self.figure()?;
        Ok(Detail { rules, explanation, findings, findings_dropped })
    }

    fn finding(&mut self) -> Result<Finding, Fault> {
        let (rule, entity) = (self.named()?, self.named()?);
        let class = self.static_word()?.ok_or("a class is missing")?;
        let (count, score) = (self.figure()?, self.byte()?);
        let path = self.inline()?.unwrap_or_default();
        let fingerprint = match self.byte()? {
            0 => None,
            1 => {
                let print = self.bytes(8)?.try_into();
                Some(print.map(u64::from_le_bytes).map_err(|_short| "cut short")?)
            }
            _ => return Err("a flag is damaged"),
        };
        Ok(Finding { rule, entity, class, count, score, path, fingerprint })
    }

    fn named(&mut self) -> Result<Arc<str>, Fault> {
        self.text()?.ok_or("a name is missing")
    }

    fn bounded(&mut self, limit: usize) -> Result<usize, Fault> {
        self.length().and_then(|count| if count <= limit { Ok(count) } else { Err("too many of a kind") })
    }

    fn figure(&mut self) -> Result<u32, Fault> {
        u32::try_from(self.number()?).map_err(|_large| "a figure is too large")
    }
}

#[cfg(test)]
mod tests {
    use super::super::unpack::unpack;
    use super::super::{FORMAT, TEXT_MAX};
    use super::*;
    use crate::record::Record;
    use crate::sample;
    use narrows_policy::{Action, Gap};
    use proptest::prelude::*;

    fn pack(records: &[Record]) -> Vec<u8> {
        let mut packer = Packer::new();
        records.iter().for_each(|record| packer.push(record));
        packer.packed().body
    }

    fn with(inspections: Inspections) -> Record {
        Record { inspections, ..sample::record(1) }
    }

    fn clean(version: u64) -> Inspections {
        let mut all = Inspections::new(version);
        all.set(Stage::Request, Inspection::clean(107_000, Coverage::Full, Mode::Enforce));
        all.set(Stage::Stream, Inspection::clean(4_000, Coverage::Full, Mode::Enforce));
        all
    }

    fn finding(path: &str) -> Finding {
        Finding {
            rule: "github-pat".into(),
            entity: "GITHUB_TOKEN".into(),
            class: "secret",
            count: 2,
            score: 97,
            path: path.into(),
            fingerprint: Some(0x0123_4567_89ab_cdef),
        }
    }

    fn found(detail: Detail) -> Inspections {
        let mut all = clean(3);
        let action = Some(Action::Block);
        let detail = Some(Box::new(detail));
        let of = Inspection::clean(5, Coverage::Partial(Gap::TooLarge), Mode::Audit);
        all.set(Stage::Response, Inspection { action, enforceable: false, detail, ..of });
        all
    }

    #[test]
    fn segments_without_inspections_are_read() {
        let mut record = with(Inspections::default());
        (record.usage.web_searches, record.prices) = (None, 0);
        (record.mode, record.also_used) = (None, Vec::new());
        record.content = crate::ContentStates::default();
        let mut body = pack(std::slice::from_ref(&record));
        // What came with later formats is at the end.
        body.truncate(body.len() - 5);
        assert_eq!((body[0], body.pop()), (FORMAT, Some(0)), "nothing inspected is one byte");
        body[0] = FORMAT_INSPECTIONS - 1;
        assert_eq!(unpack(&body, 1).unwrap(), [record]);
    }

    #[test]
    fn a_clean_exchange_takes_ten_bytes() {
        let none: Vec<Record> = (0..100).map(|_| with(Inspections::default())).collect();
        let inspected: Vec<Record> = (0..100).map(|_| with(clean(0xfeed_beef_dead_cafe))).collect();
        let body = pack(&inspected);
        let each = (body.len() - pack(&none).len()) / 100;
        assert!(each <= 8, "{each} bytes beyond the one of nothing");
        assert_eq!(unpack(&body, 100).unwrap(), inspected);
    }

    #[test]
    fn lists_and_texts_are_cut_at_their_limits() {
        let at = Detail {
            rules: (0..RULES_MAX).map(|number| format!("rule-{number}").into()).collect(),
            explanation: "é".repeat(TEXT_MAX / 2).into(),
            findings: vec![finding(&"p".repeat(TEXT_MAX)); FINDINGS_MAX],
            findings_dropped: 5,
        };
        let record = with(found(at.clone()));
        assert_eq!(unpack(&pack(std::slice::from_ref(&record)), 1).unwrap(), [record]);

        let mut past = at.clone();
        past.rules.push("one-more".into());
        past.explanation = format!("{}x", past.explanation).into();
        past.findings[0].path = "p".repeat(TEXT_MAX + 1).into();
        past.findings.push(finding("one more"));
        let kept = Detail { findings_dropped: 6, ..at };
        assert_eq!(unpack(&pack(&[with(found(past))]), 1).unwrap(), [with(found(kept))]);
        assert_eq!(dropped(u32::MAX, 1), u32::MAX, "the number stops at the largest");
    }

    #[test]
    fn every_cut_is_an_error() {
        let detail = Detail { rules: vec!["r".into()], findings: vec![finding("p")], ..Detail::default() };
        let body = pack(&[with(found(detail))]);
        for length in 0..body.len() {
            assert!(unpack(&body[..length], 1).is_err(), "cut at {length}");
        }
    }

    fn coverage() -> impl Strategy<Value = Coverage> {
        let gap = || proptest::sample::select(Gap::ALL);
        prop_oneof![Just(Coverage::Full), gap().prop_map(Coverage::Partial), gap().prop_map(Coverage::None)]
    }

    prop_compose! {
        fn any_finding()(rule in "[a-z-]{1,12}", entity in "[A-Z_]{1,12}", count: u32, score: u8, path in "\\PC{0,40}",
                         class in proptest::sample::select(&["secret", "pii", "injection"]), fingerprint: Option<u64>)
            -> Finding {
            Finding { rule: rule.into(), entity: entity.into(), class, count, score, path: path.into(), fingerprint }
        }
    }

    prop_compose! {
        fn any_detail()(rules in proptest::collection::vec("[a-z-]{1,12}", 0..=RULES_MAX), explanation in "\\PC{0,80}",
                        findings in proptest::collection::vec(any_finding(), 0..8), findings_dropped: u32) -> Detail {
            let rules = rules.into_iter().map(Arc::from).collect();
            Detail { rules, explanation: explanation.into(), findings, findings_dropped }
        }
    }

    prop_compose! {
        fn inspection()(bytes_scanned: u64, coverage in coverage(), mode in proptest::sample::select(&Mode::ALL),
                        action in proptest::option::of(proptest::sample::select(&Action::ALL)),
                        enforceable: bool, enforced: bool, detail in proptest::option::of(any_detail()))
            -> Inspection {
            let detail = detail.map(Box::new);
            Inspection { bytes_scanned, coverage, mode, action, enforceable, enforced, detail }
        }
    }

    prop_compose! {
        fn inspections()(policy_version: u64, stages in proptest::array::uniform3(proptest::option::of(inspection())))
            -> Inspections {
            let mut all = Inspections::default();
            for (stage, inspection) in Stage::ALL.into_iter().zip(stages) {
                if let Some(inspection) = inspection {
                    all.policy_version = policy_version;
                    all.set(stage, inspection);
                }
            }
            all
        }
    }

    proptest! {
        #[test]
        fn what_was_inspected_reads_back(all in proptest::collection::vec(inspections(), 1..6)) {
            let records: Vec<Record> = all.into_iter().map(with).collect();
            let body = pack(&records);
            let count = u32::try_from(records.len()).unwrap();
            prop_assert_eq!(unpack(&body, count).unwrap(), records);
        }

        #[test]
        fn damage_never_panics(one in inspections(), at: proptest::sample::Index, byte: u8) {
            let mut body = pack(&[with(one)]);
            let at = at.index(body.len());
            body[at] = byte;
            if let Ok(read) = unpack(&body, 1) {
                prop_assert_eq!(read.len(), 1);
            }
        }
    }
}
