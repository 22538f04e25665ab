//! What a replay shows: bytes that differ, usage that differs, and a table of both.

use super::Played;
use super::recording::{Expected, Recording};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

/// Differences that are shown one by one.
const SHOWN: usize = 20;
/// Bytes shown around a difference.
const AROUND: usize = 24;
/// What part of an estimate by length a gateway's own figure may be off. One that counts tokens differs by that much in
/// short texts.
const ESTIMATE: u64 = 2;

/// Figures of one dialect.
#[derive(Debug, Default)]
struct Row {
    recordings: std::collections::BTreeSet<usize>,
    exchanges: u64,
    bytes: u64,
    bytes_differ: u64,
    usage: u64,
    usage_differ: u64,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    rows: BTreeMap<&'static str, Row>,
    notes: Vec<String>,
}

impl Findings {
    /// Whether nothing differs.
    pub(super) fn is_good(&self) -> bool {
        self.notes.is_empty()
    }

    /// Something is wrong.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Compares the bytes of one exchange.
    pub(super) fn bytes(&mut self, recordings: &[Rc<Recording>], played: &Played) {
        let recording = &recordings[played.recording];
        let row = self.rows.entry(recording.dialect.as_str()).or_default();
        row.recordings.insert(played.recording);
        row.exchanges += 1;
        row.bytes += played.got.body.len() as u64;
        let got = &played.got;
        let same =
            got.body == recording.bytes || (!played.asked_for_usage && got.body == recording.without_usage);
        if got.status == Some(200) && got.whole && same {
            return;
        }
        row.bytes_differ += 1;
        let what = match (got.status, &got.fault) {
            (Some(200), None) if got.whole => difference(&recording.bytes, &got.body),
            (status, fault) => {
                format!("status {status:?}, whole {}, {fault:?}, {} bytes", got.whole, got.body.len())
            }
        };
        self.notes.push(format!("{} cut {}: {what}", recording.name, played.cut));
    }

    /// Compares the usage of one exchange with its record.
    pub(super) fn usage(&mut self, recordings: &[Rc<Recording>], played: &Played, record: Option<&Value>) {
        let recording = &recordings[played.recording];
        let row = self.rows.entry(recording.dialect.as_str()).or_default();
        row.usage += 1;
        let fault = match record {
            None => Some("no record".to_owned()),
            Some(record) => wrong(&recording.expected, record),
        };
        if let Some(fault) = fault {
            row.usage_differ += 1;
            self.notes.push(format!("{} cut {}: {fault}", recording.name, played.cut));
        }
    }

    /// The table, and the first differences.
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "{:<20} {:>10} {:>10} {:>12} {:>13} {:>15}\n",
            "DIALECT", "RECORDINGS", "EXCHANGES", "BYTES", "BYTES DIFFER", "USAGE DIFFERS"
        );
        for (dialect, row) in &self.rows {
            let usage = if row.usage == 0 {
                "–".to_owned()
            } else {
                format!("{} of {}", row.usage_differ, row.usage)
            };
            // Writing to a string does not fail.
            let _infallible = writeln!(
                out,
                "{dialect:<20} {:>10} {:>10} {:>12} {:>13} {usage:>15}",
                row.recordings.len(),
                row.exchanges,
                row.bytes,
                row.bytes_differ
            );
        }
        for note in self.notes.iter().take(SHOWN) {
            let _infallible = writeln!(out, "- {note}");
        }
        if self.notes.len() > SHOWN {
            let _infallible = writeln!(out, "… and {} more", self.notes.len() - SHOWN);
        }
        out
    }
}

/// Where two bodies differ.
fn difference(expected: &[u8], got: &[u8]) -> String {
    let at = expected.iter().zip(got).take_while(|(one, other)| one == other).count();
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(AROUND);
        bytes.get(from..(at + AROUND).min(bytes.len())).unwrap_or_default().escape_ascii().to_string()
    };
    format!(
        "{} bytes recorded, {} received, first difference at {at}: `{}` became `{}`",
        expected.len(),
        got.len(),
        around(expected),
        around(got)
    )
}

/// What is wrong with a record, if anything. What the provider reported has to be recorded exactly; an estimate within
/// its bound; and an estimate must not pass for a report.
fn wrong(expected: &Expected, record: &Value) -> Option<String> {
    let origin = record["origin"].as_str().unwrap_or_default();
    let figures = ["input", "cache_read", "cache_write", "output", "reasoning"];
    let wanted =
        [expected.input, expected.cache_read, expected.cache_write, expected.output, expected.reasoning];
    let differs = |what: &str| {
        let got: Vec<String> = figures.iter().map(|name| format!("{name} {}", record[*name])).collect();
        Some(format!("{what}: expected {expected:?}, recorded {} by {origin}", got.join(", ")))
    };
    if expected.origin == "unknown" {
        // Nothing was told and no text was seen: the gateway knows the prompt, and estimates that.
        return if origin == "provider" { differs("a report that nobody made") } else { None };
    }
    // A gateway that counts where no more than an estimate is expected knows more.
    if origin != expected.origin && (origin, &*expected.origin) != ("counted", "estimated") {
        return differs("origin");
    }
    for (name, wanted) in figures.iter().zip(wanted) {
        let got = record[*name].as_u64();
        let fine = match (wanted, origin) {
            (None, "provider") => got.is_none(),
            (None, _) => true,
            (Some(wanted), "provider") => got == Some(wanted),
            (Some(wanted), _) if *name == "output" => {
                got.is_some_and(|got| got.abs_diff(wanted) <= wanted / ESTIMATE + 2)
            }
            (Some(wanted), _) => got == Some(wanted),
        };
        if !fine {
            return differs(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expected(origin: &str) -> Expected {
        Expected { input: Some(9), output: Some(100), origin: origin.to_owned(), ..Expected::default() }
    }

    #[test]
    fn reports_are_compared_exactly_and_estimates_within_their_bound() {
        let record = |origin: &str, input: u64, output: u64| json!({"origin": origin, "input": input, "output": output});
        assert_eq!(wrong(&expected("provider"), &record("provider", 9, 100)), None);
        assert!(wrong(&expected("provider"), &record("provider", 9, 101)).is_some());
        assert!(wrong(&expected("provider"), &record("estimated", 9, 100)).is_some());
        assert_eq!(wrong(&expected("provider_partial"), &record("provider_partial", 9, 152)), None);
        assert!(wrong(&expected("provider_partial"), &record("provider_partial", 9, 153)).is_some());
        assert_eq!(wrong(&expected("estimated"), &record("counted", 9, 60)), None);
        assert!(wrong(&expected("provider_partial"), &record("counted", 9, 100)).is_some());
        assert!(wrong(&expected("provider_partial"), &record("provider_partial", 8, 100)).is_some());
        assert!(wrong(&expected("unknown"), &record("provider", 9, 1)).is_some());
        assert_eq!(wrong(&expected("unknown"), &record("estimated", 9, 1)), None);
    }

    #[test]
    fn a_difference_is_shown_where_it_begins() {
        let text = difference(b"data: one\n\n", b"data: two\n\n");
        assert!(text.contains("first difference at 6") && text.contains("`data: two\\n\\n`"), "{text}");
    }
}
