//! Files that name many keys: CSV with a header, or a JSON object on each line.

use super::args::CreateArguments;
use anyhow::{Context, Result, bail};
use csv::{ReaderBuilder, StringRecord, Trim};
use narrows_ledger::KEYS_AT_ONCE_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Largest file, in bytes.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most problems of one file that are told.
const PROBLEMS_MAX: usize = 20;
/// Columns that say what a key is; `metadata.NAME` beside them.
const COLUMNS: [&str; 9] =
    ["name", "organization", "team", "user", "service_account", "project", "models", "expires", "metadata"];

/// A row of a file.
#[derive(Debug)]
pub(super) struct Row<T> {
    /// Where it begins, from 1.
    pub(super) line: u64,
    pub(super) value: T,
}

/// What is wrong with a file, line by line.
pub(super) struct Problems<'a> {
    file: &'a Path,
    told: Vec<String>,
    more: usize,
}

impl<'a> Problems<'a> {
    pub(super) fn of(file: &'a Path) -> Problems<'a> {
        Problems { file, told: Vec::new(), more: 0 }
    }

    pub(super) fn add(&mut self, line: u64, message: impl std::fmt::Display) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(format!("{}, line {line}: {message}", self.file.display()));
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none; else all of them.
    pub(super) fn end(mut self) -> Result<()> {
        if self.told.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        bail!("nothing was changed\n  {}", self.told.join("\n  "))
    }
}

/// The text of a file; `-` is standard input.
pub(super) fn text(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() > FILE_BYTES_MAX {
        bail!("{} is larger than {FILE_BYTES_MAX} bytes; split it", file.display());
    }
    // Spreadsheets begin a file with a byte order mark.
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The keys that a file asks for. What a row does not say is as in `rest`.
pub(super) fn keys(
    text: &str,
    rest: &CreateArguments,
    problems: &mut Problems<'_>,
) -> Result<Vec<Row<CreateArguments>>> {
    let rows = if is_json(text) { json_keys(text, problems)? } else { csv_keys(text, problems)? };
    let filled = rows.into_iter().map(|row| Row { line: row.line, value: filled(row.value, rest) });
    Ok(filled.collect())
}

/// The public ids, or whole keys, that a file names: one on a line, or as `id` of CSV or of JSON lines.
pub(super) fn ids(text: &str, problems: &mut Problems<'_>) -> Result<Vec<Row<String>>> {
    if is_json(text) {
        #[derive(Deserialize)]
        struct Named {
            id: String,
        }
        return json_rows::<Named>(text, problems)
            .map(|rows| rows.into_iter().map(|row| Row { line: row.line, value: row.value.id }).collect());
    }
    let header = text.lines().next().unwrap_or_default();
    let titled = header.split(',').any(|title| title.trim().trim_matches('"') == "id");
    let mut reader = ReaderBuilder::new()
        .has_headers(titled)
        .flexible(!titled)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let column = match titled {
        true => reader.headers()?.iter().position(|title| title == "id").unwrap_or_default(),
        false => 0,
    };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = line_of(text, &record);
        match record.get(column) {
            Some(id) if !id.is_empty() && (titled || record.len() == 1) => {
                push(&mut rows, Row { line, value: id.to_owned() })?;
            }
            _ => problems.add(line, "this is not the id of a key; CSV needs a header with a column `id`"),
        }
    }
    Ok(rows)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn push<T>(rows: &mut Vec<Row<T>>, row: Row<T>) -> Result<()> {
    if rows.len() == KEYS_AT_ONCE_MAX {
        bail!("the file has more than {KEYS_AT_ONCE_MAX} rows, which is the most at once; split it");
    }
    rows.push(row);
    Ok(())
}

/// Where a record stands. The reader's own position is before the blank lines that it passed over.
fn line_of(text: &str, record: &StringRecord) -> u64 {
    let Some(at) = record.position() else { return 0 };
    let rest =
        usize::try_from(at.byte()).ok().and_then(|start| text.as_bytes().get(start..)).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    (at.line()..).nth(blank.filter(|byte| **byte == b'\n').count()).unwrap_or_default()
}

fn csv_keys(text: &str, problems: &mut Problems<'_>) -> Result<Vec<Row<CreateArguments>>> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let titles: Vec<String> = reader.headers()?.iter().map(title).collect();
    let mut seen = std::collections::BTreeSet::new();
    for title in &titles {
        let known = COLUMNS.contains(&title.as_str());
        let metadata =
            title.strip_prefix("metadata.").is_some_and(|name| !name.is_empty() && !name.contains('='));
        if !known && !metadata {
            bail!("unknown column `{title}`; there are {} and metadata.NAME", COLUMNS.join(", "));
        }
        if !seen.insert(title) {
            bail!("the column `{title}` stands there twice");
        }
    }
    if !seen.contains(&"name".to_owned()) {
        bail!("the first line names the columns, and `name` is not among them");
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let mut value = CreateArguments::default();
        for (title, cell) in titles.iter().zip(&record).filter(|(_, cell)| !cell.is_empty()) {
            if let Err(error) = set(&mut value, title, cell) {
                problems.add(line_of(text, &record), error);
            }
        }
        push(&mut rows, Row { line: line_of(text, &record), value })?;
    }
    Ok(rows)
}

/// A title as [`COLUMNS`] has it: what lists are written with is read, too.
fn title(title: &str) -> String {
    if title == "expires_at" { "expires".to_owned() } else { title.to_owned() }
}

fn set(key: &mut CreateArguments, title: &str, cell: &str) -> Result<()> {
    let text = || Some(cell.to_owned());
    match title {
        "name" => key.name = text(),
        "organization" => key.organization = text(),
        "team" => key.team = text(),
        "user" => key.user = text(),
        "service_account" => key.service_account = text(),
        "project" => key.project = text(),
        "models" => key.models = cell.split_whitespace().map(str::to_owned).collect(),
        "expires" => key.expires = text(),
        "metadata" => {
            let object: BTreeMap<String, String> =
                serde_json::from_str(cell).context("`metadata` is not a JSON object of texts")?;
            key.metadata.extend(pairs(object)?);
        }
        _ => {
            let name = title.strip_prefix("metadata.").unwrap_or(title);
            key.metadata.push(format!("{name}={cell}"));
        }
    }
    Ok(())
}

/// Metadata as `--metadata` has it.
fn pairs(object: BTreeMap<String, String>) -> Result<Vec<String>> {
    let pair = |(name, value): (String, String)| match name.contains('=') {
        true => bail!("the name `{name}` of metadata holds an equals sign"),
        false => Ok(format!("{name}={value}")),
    };
    object.into_iter().map(pair).collect()
}

/// A key on a line of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonKey {
    name: String,
    organization: Option<String>,
    team: Option<String>,
    user: Option<String>,
    service_account: Option<String>,
    project: Option<String>,
    models: Option<Vec<String>>,
    #[serde(alias = "expires_at")]
    expires: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl JsonKey {
    fn asked(self) -> Result<CreateArguments> {
        if self.models.as_ref().is_some_and(Vec::is_empty) {
            bail!("`models` is an empty list; leave it out for a key that may use all");
        }
        Ok(CreateArguments {
            name: Some(self.name),
            organization: self.organization,
            team: self.team,
            user: self.user,
            service_account: self.service_account,
            project: self.project,
            models: self.models.unwrap_or_default(),
            expires: self.expires,
            metadata: pairs(self.metadata)?,
        })
    }
}

fn json_keys(text: &str, problems: &mut Problems<'_>) -> Result<Vec<Row<CreateArguments>>> {
    let mut rows = Vec::new();
    for Row { line, value } in json_rows::<JsonKey>(text, problems)? {
        match value.asked() {
            Ok(value) => rows.push(Row { line, value }),
            Err(error) => problems.add(line, error),
        }
    }
    Ok(rows)
}

fn json_rows<T: serde::de::DeserializeOwned>(text: &str, problems: &mut Problems<'_>) -> Result<Vec<Row<T>>> {
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        match serde_json::from_str(text) {
            Ok(value) => push(&mut rows, Row { line, value })?,
            Err(error) => problems.add(line, error),
        }
    }
    Ok(rows)
}

fn filled(mut key: CreateArguments, rest: &CreateArguments) -> CreateArguments {
    let or = |own: Option<String>, rest: &Option<String>| own.or_else(|| rest.clone());
    key.organization = or(key.organization, &rest.organization);
    key.team = or(key.team, &rest.team);
    key.project = or(key.project, &rest.project);
    key.expires = or(key.expires, &rest.expires);
    if key.models.is_empty() {
        key.models.clone_from(&rest.models);
    }
    let name = |pair: &str| pair.split_once('=').map(|(name, _)| name.to_owned());
    for pair in &rest.metadata {
        if !key.metadata.iter().any(|own| name(own) == name(pair)) {
            key.metadata.push(pair.clone());
        }
    }
    key
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
