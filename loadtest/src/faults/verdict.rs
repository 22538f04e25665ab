//! What a fault run left, against what it has to leave.

use super::Made;
use super::plan::conversation;
use crate::exchange::Leave;
use crate::gateway::Gateway;
use narrows_fake::Billed;
use narrows_llm::dialect::Dialect;
use narrows_llm::stream::{StreamDecoder, StreamOptions};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

/// Faults that are shown one by one.
const SHOWN: usize = 20;
/// Part by which an estimate may be off: the vocabularies are calibrated to differ by up to 17 %.
const ESTIMATE: u64 = 5;
/// Tokens by which an estimate may be off whatever its size: the rounding of two figures.
const ROUNDING: u64 = 2;
/// Tokens of a chunk of the provider's: what it made and did not send when it stopped within one.
const TAIL: u64 = 6;

/// Tokens recorded and billed for one class of exchanges.
#[derive(Debug, Default)]
struct Sums {
    exchanges: u64,
    input: u64,
    input_billed: u64,
    output: u64,
    output_billed: u64,
}

impl Sums {
    fn add(&mut self, record: &Value, line: &Billed) {
        self.exchanges += 1;
        self.input += number(record, "input");
        self.output += number(record, "output");
        self.input_billed += line.input;
        self.output_billed += line.output;
    }
}

/// The verdict as it grows.
pub(super) struct Verdict {
    seed: u64,
    exchanges: u64,
    seconds: f64,
    /// Kind and reason to how many.
    reasons: BTreeMap<(String, String), u64>,
    sums: BTreeMap<&'static str, Sums>,
    lines: Vec<String>,
    wrong: Vec<String>,
}

/// What a person needs of a record.
fn brief(record: &Value) -> String {
    let fields = [
        "reason",
        "status",
        "origin",
        "input",
        "output",
        "duration_us",
        "response_bytes",
        "provider_request_id",
        "attempts",
    ];
    let texts: Vec<String> = fields.iter().map(|name| format!("{name} {}", record[*name])).collect();
    texts.join(", ")
}

fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or(0)
}

impl Verdict {
    pub(super) fn new(seed: u64, exchanges: u64, seconds: f64) -> Verdict {
        Verdict {
            seed,
            exchanges,
            seconds,
            reasons: BTreeMap::new(),
            sums: BTreeMap::new(),
            lines: Vec::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Notes `fault` unless `holds`.
    pub(super) fn check(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(fault());
        }
    }

    /// Nothing is open.
    pub(super) fn open(&mut self, gateway: &Gateway, settled: bool) {
        let figure = |name: &str| gateway.figure(name).map_or("–".to_owned(), |value| value.to_string());
        let (exchanges, streams) =
            (figure("narrows_exchanges_in_flight"), figure("narrows_streams_in_flight"));
        let (bytes, overflowed) =
            (figure("narrows_buffered_bytes"), figure("narrows_records_overflowed_total"));
        self.lines.push(format!(
            "open afterwards: {exchanges} exchanges, {streams} streams, {bytes} buffered bytes; {overflowed} records overflowed"
        ));
        self.check(settled, || "something is still open, or not written".to_owned());
        self.check(overflowed == "0" || overflowed == "–", || {
            format!("{overflowed} records overflowed the queue")
        });
    }

    pub(super) fn descriptors(&mut self, before: Option<u64>, after: Option<u64>, more: u64) {
        if let (Some(before), Some(after)) = (before, after) {
            self.lines.push(format!("descriptors: {before} before, {after} after (at most {more} more)"));
            self.check(after <= before + more, || format!("{} descriptors are left open", after - before));
        }
    }

    pub(super) fn memory(&mut self, early: Option<u64>, after: Option<u64>, more: u64) {
        if let (Some(early), Some(after)) = (early, after) {
            self.lines.push(format!(
                "memory: {} MiB after a tenth, {} MiB after all (at most {} MiB more)",
                early >> 10,
                after >> 10,
                more >> 10
            ));
            self.check(after <= early + more, || format!("memory grew by {} MiB", (after - early) >> 10));
        }
    }

    /// One record for each exchange, and each says what happened.
    pub(super) fn records(&mut self, made: &[Made], found: &[Value], bill: &[Billed]) {
        let ids: HashSet<&str> = found.iter().filter_map(|record| record["id"].as_str()).collect();
        self.lines.push(format!(
            "records: {} of {} exchanges, {} distinct ids",
            found.len(),
            made.len(),
            ids.len()
        ));
        self.check(found.len() == made.len(), || {
            format!("{} records of {} exchanges", found.len(), made.len())
        });
        self.check(ids.len() == found.len(), || "an id stands on two records".to_owned());
        let mut by_conversation: HashMap<&str, Vec<&Value>> = HashMap::new();
        for record in found {
            by_conversation
                .entry(record["conversation"].as_str().unwrap_or_default())
                .or_default()
                .push(record);
        }
        let mut lines: HashMap<u64, &Billed> = bill.iter().map(|line| (line.id, line)).collect();
        for one in made {
            let name = conversation(self.seed, one.number);
            match by_conversation.get(name.as_str()).map_or(&[][..], Vec::as_slice) {
                [record] => self.record(one, record, &mut lines),
                others => self.wrong.push(format!(
                    "exchange {} ({}, {:?}) has {} records; the client got status {:?}, {:?}",
                    one.number,
                    one.plan.name,
                    one.plan.leave,
                    others.len(),
                    one.got.status,
                    one.got.fault
                )),
            }
        }
        // What is left on the bill was asked, and no head told its number. Nothing can have been generated.
        let generated = lines.values().filter(|line| line.output > 0).count();
        self.lines.push(format!(
            "bill: {} lines, {} of requests whose head never came",
            bill.len(),
            lines.len()
        ));
        let most = made.iter().filter(|one| one.plan.leave != Leave::Never).count();
        self.check(generated <= most, || format!("{generated} lines of the bill with output have no record"));
    }

    fn record(&mut self, one: &Made, record: &Value, lines: &mut HashMap<u64, &Billed>) {
        let reason = record["reason"].as_str().unwrap_or_default().to_owned();
        *self.reasons.entry((one.plan.name.clone(), reason.clone())).or_default() += 1;
        let place = format!("exchange {} ({})", one.number, one.plan.name);
        let expected = one.plan.reasons.contains(&reason.as_str());
        self.check(expected, || {
            format!("{place} ended as {reason}, not {:?}: {}", one.plan.reasons, brief(record))
        });
        if let Some(id) = &one.got.id {
            self.check(record["id"] == id.as_str(), || format!("{place}: the client was told another id"));
        }
        if let Some(status) = one.got.status {
            self.check(record["status"] == status, || {
                format!("{place}: the client got {status}: {}", brief(record))
            });
        }
        if one.plan.leave == Leave::Never {
            let fault =
                one.got.fault.as_deref().filter(|fault| fault.contains("in time") || fault.contains("HTTP"));
            self.check(fault.is_none(), || format!("{place}: {fault:?}"));
        }
        let id = record["provider_request_id"].as_str().unwrap_or_default();
        let line =
            u64::from_str_radix(id.trim_start_matches("req_"), 16).ok().and_then(|id| lines.remove(&id));
        if let Some(line) = line {
            self.usage(one, record, line, &place);
        } else {
            let told = one.plan.exact && reason == "completed" && one.plan.leave == Leave::Never;
            self.check(!told, || format!("{place} is on no line of the bill: {}", brief(record)));
        }
    }

    fn usage(&mut self, one: &Made, record: &Value, line: &Billed, place: &str) {
        let origin = record["origin"].as_str().unwrap_or_default();
        let (input, output) = (number(record, "input"), number(record, "output"));
        if origin == "provider" {
            self.sums.entry("reported").or_default().add(record, line);
            let same =
                (input, output, number(record, "cache_read")) == (line.input, line.output, line.cached);
            self.check(same, || format!("{place}: recorded {}, billed {line:?}", brief(record)));
            return;
        }
        let whole = one.plan.exact && record["reason"] == "completed";
        self.check(!whole, || format!("{place}: the report is not recorded as one: {}", brief(record)));
        if line.status != 200 || record["output"].is_null() {
            return;
        }
        self.sums.entry("estimated").or_default().add(record, line);
        let most = line.output + line.output / ESTIMATE + ROUNDING;
        self.check(output <= most, || {
            format!("{place}: {output} recorded, {} billed: {}", line.output, brief(record))
        });
        let delivered = delivered(one);
        let least = delivered.saturating_sub(delivered / ESTIMATE + ROUNDING);
        self.check(output >= least, || {
            format!("{place}: {output} recorded, {delivered} delivered: {}", brief(record))
        });
        let reason = record["reason"].as_str().unwrap_or_default();
        // Everything the provider made came, unless a reset took it along or the client left first.
        if matches!(reason, "provider_idle_timeout" | "provider_error_event") && one.plan.streamed.is_some() {
            let least = line.output.saturating_sub(line.output / ESTIMATE + ROUNDING + TAIL);
            self.check(output >= least, || {
                format!("{place}: {output} recorded, {} billed: {}", line.output, brief(record))
            });
        }
    }

    /// The store says the same as the lines.
    pub(super) fn store(&mut self, before: Option<&Value>, sums: Option<&Value>, found: &[Value]) {
        let (Some(before), Some(sums)) = (before, sums) else { return };
        let mut text = Vec::new();
        for (field, count) in [("requests", None), ("input", Some("input")), ("output", Some("output"))] {
            let lines = count
                .map_or(found.len() as u64, |name| found.iter().map(|record| number(record, name)).sum());
            let kept = number(sums, field).saturating_sub(number(before, field));
            text.push(format!("{kept} {field}"));
            self.check(kept == lines, || format!("the store has {kept} {field}, the lines have {lines}"));
        }
        self.lines.push(format!("store: {}", text.join(", ")));
    }

    /// Tables, and what is wrong.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _infallible = writeln!(out, "\n{:<32} {:<30} {:>9}", "EXCHANGES", "ENDED AS", "");
        for ((name, reason), count) in &self.reasons {
            let _infallible = writeln!(out, "{name:<32} {reason:<30} {count:>9}");
        }
        let _infallible = writeln!(
            out,
            "\n{:<12} {:>10} {:>14} {:>14} {:>14} {:>14}",
            "USAGE", "EXCHANGES", "INPUT", "BILLED", "OUTPUT", "BILLED"
        );
        for (class, sums) in &self.sums {
            let Sums { exchanges, input, input_billed, output, output_billed } = sums;
            let _infallible = writeln!(
                out,
                "{class:<12} {exchanges:>10} {input:>14} {input_billed:>14} {output:>14} {output_billed:>14}"
            );
        }
        out.push('\n');
        for line in &self.lines {
            let _infallible = writeln!(out, "{line}");
        }
        for fault in self.wrong.iter().take(SHOWN) {
            let _infallible = writeln!(out, "- {fault}");
        }
        if self.wrong.len() > SHOWN {
            let _infallible = writeln!(out, "… and {} more", self.wrong.len() - SHOWN);
        }
        let verdict = if self.is_good() { "good".to_owned() } else { format!("{} faults", self.wrong.len()) };
        let _infallible = writeln!(
            out,
            "{} exchanges in {:.0} s: {verdict} (--seed {} --exchanges {})",
            self.exchanges, self.seconds, self.seed, self.exchanges
        );
        out
    }
}

/// Tokens of the text that the client got.
fn delivered(one: &Made) -> u64 {
    let Some(dialect) = one.plan.streamed.and_then(Dialect::from_word) else { return 0 };
    let mut decoder = StreamDecoder::new(dialect, StreamOptions::default());
    decoder.push(one.got.body.clone().into(), &mut |_| ());
    narrows_llm::stream::estimate_tokens(decoder.progress().output_text_bytes)
}
