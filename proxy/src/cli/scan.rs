//! `narrows scan`: the gateway's detectors and policies over a file, or over lines of JSON.

use super::args::ScanArguments;
use super::{Console, Outcome, table};
use crate::config::{self, Settings};
use crate::guard::Guard;
use crate::guard::report::{Answer, Finding, Question};
use anyhow::{Context, Result, anyhow};
use narrows_policy::{Caller, Facts, Scope, Surface};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// What is scanned with where there is no configuration.
const DEFAULTS: &str = "version: 1\norganization: default\n\
                        policies: [{name: pii, when: [{class: pii}], then: {action: log}}]\n\
                        providers:\n  none: {kind: openai, api_key: unused}\n";
/// Largest file that is scanned, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Scans a file, or lines of JSON.
pub(crate) fn scan(arguments: &ScanArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let settings = settings(arguments)?;
    let guard = Guard::new(&settings, None)?;
    let caller = Caller { organization: settings.organization.to_string(), ..Caller::default() };
    let facts = Facts { dialect: arguments.dialect.as_deref(), ..Facts::of(Surface::Gateway, &caller) };
    let scanning = Scanning { scope: guard.policies.scope(&facts), guard, organization: caller.organization };
    let input = input(&arguments.file)?;
    if arguments.jsonl { scanning.lines(input, console) } else { scanning.file(arguments, input, console) }
}

fn settings(arguments: &ScanArguments) -> Result<Settings> {
    let usual = Path::new("narrows.yaml");
    let file = arguments.config.as_deref().or_else(|| usual.exists().then_some(usual));
    let loaded = match file {
        Some(file) => config::load(file),
        None => config::parse("the built-in defaults", Path::new("."), DEFAULTS, &|_| None),
    };
    loaded.map(|loaded| loaded.settings).map_err(|problems| anyhow!("{problems}"))
}

fn input(file: &Path) -> Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Box::new(opened))
}

struct Scanning {
    guard: Guard,
    scope: Scope,
    organization: String,
}

impl Scanning {
    /// One question a line, one answer a line.
    fn lines(&self, input: Box<dyn Read>, console: &mut Console<'_>) -> Result<Outcome> {
        let mut input = BufReader::with_capacity(1 << 20, input);
        let mut out = BufWriter::with_capacity(1 << 20, &mut *console.out);
        let (mut line, mut outcome) = (Vec::new(), Outcome::Fine);
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).context("cannot read on")? == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let question = serde_json::from_slice::<Question<'_>>(&line).map_err(|error| error.to_string());
            let content = question.and_then(|question| question.content().map_err(str::to_owned));
            match content {
                Ok(content) => {
                    let examined = self.guard.examine(&self.scope, &self.organization, &content);
                    serde_json::to_writer(&mut out, &examined.answer)?;
                }
                Err(error) => {
                    outcome = Outcome::Failed;
                    serde_json::to_writer(&mut out, &serde_json::json!({ "error": error }))?;
                }
            }
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(outcome)
    }

    /// A whole file: a JSON object or list is taken for a body, everything else for a text.
    fn file(
        &self,
        arguments: &ScanArguments,
        input: Box<dyn Read>,
        console: &mut Console<'_>,
    ) -> Result<Outcome> {
        let mut bytes = Vec::new();
        input.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).context("cannot read on")?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(anyhow!("it is larger than {FILE_BYTES_MAX} bytes; scan it in parts"));
        }
        let text = String::from_utf8_lossy(&bytes);
        let content = Question::of(&text).content().map_err(|error| anyhow!("{error}"))?;
        let answer = self.guard.examine(&self.scope, &self.organization, &content).answer;
        let found = !answer.findings.is_empty();
        if arguments.json {
            writeln!(console.out, "{}", serde_json::to_string(&answer)?)?;
        } else {
            print(&answer, &text, console.out)?;
        }
        Ok(if found { Outcome::Failed } else { Outcome::Fine })
    }
}

/// Findings by line, without their values, and what the policies say.
fn print(answer: &Answer<'_>, text: &str, out: &mut dyn Write) -> Result<()> {
    if !answer.findings.is_empty() {
        let row = |finding: &Finding<'_>| {
            let before = text.as_bytes().get(..finding.start).unwrap_or_default();
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            vec![
                line.to_string(),
                format!("{}-{}", finding.start, finding.end),
                finding.class.to_owned(),
                finding.entity.to_owned(),
                finding.rule.to_owned(),
                finding.score.to_string(),
                finding.path.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = answer.findings.iter().map(row).collect();
        table::write(out, &["line", "bytes", "class", "entity", "rule", "score", "path"], &[0, 5], &rows)?;
        writeln!(out)?;
    }
    let count = answer.findings.len();
    writeln!(out, "{count} finding{}, coverage {}", if count == 1 { "" } else { "s" }, answer.coverage)?;
    writeln!(out, "decision: {}. {}", answer.decision.action, answer.decision.explanation)?;
    if !answer.guardrails.is_empty() {
        let names: Vec<&str> = answer.guardrails.iter().map(|told| &*told.guardrail).collect();
        writeln!(
            out,
            "not asked: {}. What these guardrails would say is left open; POST /v1/guard/scan asks them.",
            names.join(", ")
        )?;
    }
    Ok(())
}
