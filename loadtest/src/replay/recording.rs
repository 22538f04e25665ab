//! Recordings: files of a folder, and what they should say.

use anyhow::{Context, Result};
use bytes::Bytes;
use narrows_llm::dialect::{Dialect, Family};
use narrows_llm::recording::{Split, detect, meter};
use narrows_llm::stream::{StreamDecoder, StreamEnd, StreamOptions};
use serde::Deserialize;
use std::path::Path;

/// Deepest folder that is searched, in folders.
const MAX_DEPTH: usize = 8;
/// Largest recording, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// An answer as it was recorded.
#[derive(Debug)]
pub(super) struct Recording {
    /// Its path below the folder.
    pub(super) name: String,
    pub(super) dialect: Dialect,
    /// Whether it is a stream of events.
    pub(super) streamed: bool,
    pub(super) bytes: Bytes,
    pub(super) expected: Expected,
    /// Whether it ends as its dialect says.
    pub(super) ends: bool,
    /// What is left when usage that only the gateway asked for is hidden.
    pub(super) without_usage: Bytes,
}

/// The usage it shows. `None` is "not told".
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Expected {
    pub(super) input: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// Word of the origin.
    pub(super) origin: String,
}

impl Recording {
    /// The word that stands for its family in a model's name.
    pub(super) fn family(&self) -> &'static str {
        match self.dialect.family() {
            Family::Openai => "openai",
            Family::Anthropic => "anthropic",
            Family::Gemini => "gemini",
        }
    }

    /// Whether it is a list of JSON, as Gemini streams to those who do not ask for events.
    pub(super) fn is_list(&self) -> bool {
        self.dialect == Dialect::GeminiGenerate && self.bytes.trim_ascii_start().starts_with(b"[")
    }
}

/// Every recording below `folder`, in the order of their names.
pub(super) fn load(folder: &Path) -> Result<Vec<Recording>> {
    let mut found = Vec::new();
    search(folder, folder, 0, &mut found)?;
    found.sort_by(|one: &Recording, other| one.name.cmp(&other.name));
    Ok(found)
}

fn search(root: &Path, folder: &Path, depth: usize, found: &mut Vec<Recording>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                search(root, &path, depth + 1, found)?;
            }
            continue;
        }
        let streamed = match path.extension().and_then(|extension| extension.to_str()) {
            Some("sse") => true,
            Some("body") => false,
            _ => continue,
        };
        found.extend(read(root, &path, streamed).with_context(|| path.display().to_string())?);
    }
    Ok(())
}

/// Reads one recording; none if its dialect can be told neither by its folder nor by itself.
fn read(root: &Path, path: &Path, streamed: bool) -> Result<Option<Recording>> {
    anyhow::ensure!(path.metadata()?.len() <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
    let bytes = Bytes::from(std::fs::read(path)?);
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let Some(dialect) = folder.and_then(Dialect::from_word).or_else(|| detect(&bytes)) else {
        return Ok(None);
    };
    let json = path.with_extension("json");
    let expected = if json.is_file() {
        serde_json::from_slice(&std::fs::read(&json)?).with_context(|| json.display().to_string())?
    } else {
        metered(&bytes, dialect)
    };
    let (without_usage, ends) = hidden(&bytes, dialect);
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    Ok(Some(Recording { name, dialect, streamed, bytes, expected, ends, without_usage }))
}

fn metered(bytes: &Bytes, dialect: Dialect) -> Expected {
    let measured = meter(bytes, Some(dialect), Split::Whole);
    Expected {
        input: measured.input,
        cache_read: measured.cache_read,
        cache_write: measured.cache_write,
        output: measured.output,
        reasoning: measured.reasoning,
        origin: measured.origin.as_str().to_owned(),
    }
}

fn hidden(bytes: &Bytes, dialect: Dialect) -> (Bytes, bool) {
    let mut decoder = StreamDecoder::new(dialect, StreamOptions { hide_usage: true, hear: false });
    let mut rest = Vec::with_capacity(bytes.len());
    decoder.push(bytes.clone(), &mut |part| rest.extend_from_slice(&part));
    let end = decoder.finish(&mut |part| rest.extend_from_slice(&part)).end;
    (rest.into(), !matches!(end, StreamEnd::Cut))
}
