//! Whole configurations: what is refused and where, what loads, what is never shown.

use super::*;
use std::collections::HashSet;
use std::path::{Path as FilePath, PathBuf};

mod bad;
mod docs;
mod good;
mod trees;

/// Variables of the tests.
fn variable(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-canary-0123".to_owned()),
        "URL" => Some("https://user:canary@host".to_owned()),
        "PORT" => Some("18080".to_owned()),
        "WORD" => Some("canary".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

pub(super) fn read(text: &str) -> Result<Loaded, Problems> {
    parse("n.yaml", FilePath::new("."), text, &variable)
}

/// The root of the repository.
fn root() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
