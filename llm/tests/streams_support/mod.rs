//! Recorded-like answers with what must be read out of them.

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use bytes::Bytes;
use narrows_llm::Dialect;
use narrows_llm::dialect::DIALECTS;
use narrows_llm::stream::{Outcome, StreamDecoder, StreamOptions};
use serde_json::Value;
use std::path::Path;

/// One file of `golden/<dialect>/` and the expectation beside it.
pub(crate) struct Golden {
    pub(crate) dialect: Dialect,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Value,
}

pub(crate) fn goldens() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut all = Vec::new();
    for (dialect, word, _) in DIALECTS {
        let Ok(folder) = std::fs::read_dir(root.join(word)) else { continue };
        for path in folder.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "json") {
                continue;
            }
            let expected = std::fs::read(path.with_extension("json")).unwrap();
            all.push(Golden {
                dialect: *dialect,
                name: format!("{word}/{}", path.file_name().unwrap().to_string_lossy()),
                bytes: std::fs::read(&path).unwrap(),
                expected: serde_json::from_slice(&expected).unwrap(),
            });
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(all.len() > 100, "the golden answers are there");
    all
}

/// Decodes chunks; returns the outcome and the bytes the client gets.
pub(crate) fn decode<'a>(
    dialect: Dialect,
    hide_usage: bool,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Outcome, Vec<u8>) {
    let mut decoder = StreamDecoder::new(dialect, StreamOptions { hide_usage, hear: true });
    let mut sent = Vec::new();
    for chunk in chunks {
        let before = sent.len();
        decoder.push(Bytes::copy_from_slice(chunk), &mut |bytes| sent.extend_from_slice(&bytes));
        if !hide_usage {
            assert_eq!(&sent[before..], chunk, "nothing is delayed or changed");
        }
    }
    let outcome = decoder.finish(&mut |bytes| sent.extend_from_slice(&bytes));
    (outcome, sent)
}
