//! `narrows meter`: counts the tokens of recorded answers again.

use super::args::{MeterArguments, SplitWord};
use super::table::{self, ABSENT, number};
use super::{Console, Outcome};
use anyhow::{Result, anyhow};
use narrows_llm::Dialect;
use narrows_llm::dialect::DIALECTS;
use narrows_llm::recording::{self, Measured, Split};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Largest recording, in bytes.
pub(crate) const RECORDING_BYTES_MAX: u64 = 1 << 30;

/// Where random cuts start from: always the same, so that a result can be repeated.
const SEED: u64 = 1;

/// Meters every file; one that cannot be read or recognised is told and does not hide the others.
pub(crate) fn meter(arguments: &MeterArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let dialect = arguments.dialect.as_deref().map(dialect).transpose()?;
    let split = match arguments.split {
        None => Split::Whole,
        Some(SplitWord::Bytes) => Split::Bytes,
        Some(SplitWord::Random) => Split::Random { seed: SEED },
    };
    let mut outcome = Outcome::Fine;
    let mut rows = Vec::new();
    for file in &arguments.files {
        match measure(file, dialect, split) {
            Ok((dialect, measured)) if arguments.json => {
                writeln!(console.out, "{}", line(file, dialect, &measured))?
            }
            Ok((dialect, measured)) => rows.push(cells(file, dialect, &measured)),
            Err(error) => {
                outcome = Outcome::Failed;
                writeln!(console.err, "error: {}: {error:#}", file.display())?;
            }
        }
    }
    if !rows.is_empty() {
        let titles =
            ["FILE", "DIALECT", "INPUT", "CACHE READ", "CACHE WRITE", "OUTPUT", "REASONING", "ORIGIN"];
        table::write(console.out, &titles, &[2, 3, 4, 5, 6], &rows)?;
    }
    Ok(outcome)
}

fn dialect(word: &str) -> Result<Dialect> {
    Dialect::from_word(word).ok_or_else(|| {
        let all: Vec<&str> = DIALECTS.iter().map(|row| row.1).collect();
        anyhow!("`{word}` is not a dialect; one of: {}", all.join(", "))
    })
}

fn measure(file: &Path, dialect: Option<Dialect>, split: Split) -> Result<(Dialect, Measured)> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(RECORDING_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RECORDING_BYTES_MAX {
        return Err(anyhow!("larger than 1 GiB; cut it into single answers"));
    }
    let measured = recording::meter(&bytes, dialect, split);
    match measured.dialect {
        Some(dialect) => Ok((dialect, measured)),
        None => Err(anyhow!("not recognised as a recorded answer; name its dialect with --dialect")),
    }
}

fn line(file: &Path, dialect: Dialect, measured: &Measured) -> String {
    // Written by hand to keep the order of the keys as documented.
    let figure = |figure: Option<u64>| figure.map_or_else(|| "null".to_owned(), |figure| figure.to_string());
    format!(
        r#"{{"file":{},"dialect":"{}","input":{},"cache_read":{},"cache_write":{},"output":{},"reasoning":{},"origin":"{}"}}"#,
        json!(file.display().to_string()),
        dialect.as_str(),
        figure(measured.input),
        figure(measured.cache_read),
        figure(measured.cache_write),
        figure(measured.output),
        figure(measured.reasoning),
        measured.origin.as_str(),
    )
}

fn cells(file: &Path, dialect: Dialect, measured: &Measured) -> Vec<String> {
    let figure = |figure: Option<u64>| figure.map_or(ABSENT.to_owned(), number);
    vec![
        file.display().to_string(),
        dialect.as_str().to_owned(),
        figure(measured.input),
        figure(measured.cache_read),
        figure(measured.cache_write),
        figure(measured.output),
        figure(measured.reasoning),
        measured.origin.as_str().to_owned(),
    ]
}
