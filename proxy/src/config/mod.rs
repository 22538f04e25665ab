//! Configuration: a YAML file in, [`Settings`] or every problem of it out.
//!
//! Text becomes a tree of nodes with positions, scalars are interpolated, the tree is read into a document
//! of typed groups, and references between keys are resolved. Every step reports problems and goes on, so that one
//! run shows them all. The groups are declared once: type, reader, reference and JSON Schema come from the same lines.

mod addresses;
mod document;
mod files;
mod form;
mod forms;
mod interpolate;
mod kinds;
mod macros;
mod path;
pub mod pattern;
pub mod problem;
pub mod reference;
mod resolve;
mod routes;
pub mod schema;
pub mod secret;
pub mod settings;
mod show;
mod tree;
mod units;
pub mod url;
pub mod warning;

#[cfg(test)]
mod tests;

pub use document::{SECRET_BYTES_MAX, VERSION};
pub use files::PEM_BYTES_MAX;
pub use pattern::Pattern;
pub use problem::{Problem, Problems};
pub use secret::{REDACTED, Secret};
pub use settings::*;
pub use tree::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX};
pub(crate) use units::duration;
pub use units::{DURATION_MAX, SIZE_MAX};
pub use url::BaseUrl;

use document::Document;
use form::{Form, Reader};
use std::io::Read;
use std::path::Path;
use tree::Node;

/// A configuration without problems.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the gateway runs with.
    pub settings: Settings,
    /// What is allowed but risky, in the order of lines.
    pub warnings: Vec<Problem>,
    /// The document in force with defaults, secrets redacted and variables by name.
    shown: serde_json::Value,
}

impl Loaded {
    /// The configuration in force: defaults filled in, secrets redacted, and `${VAR}` in the place of what it gave.
    pub fn to_json(&self) -> &serde_json::Value {
        &self.shown
    }

    /// The same as YAML.
    pub fn to_yaml(&self) -> String {
        show::to_yaml(&self.shown)
    }
}

/// Loads a file, taking variables from the environment of the process.
///
/// # Errors
/// Every problem of it, in the order of lines.
pub fn load(file: &Path) -> Result<Loaded, Problems> {
    let name = file.display().to_string();
    let base = forms::folder(file);
    match read_text(file) {
        Ok(text) => parse(&name, base, &text, &|variable| std::env::var(variable).ok()),
        Err(cause) => Err(unreadable(&name, &cause)),
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    let open = std::fs::File::open(file).map_err(|error| error.kind().to_string())?;
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to know that it is too much; the tree reports it.
    open.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.kind().to_string())?;
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))
}

/// What commands about the store need of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The file of the store.
    pub path: std::path::PathBuf,
    /// Organization of keys that are created without one.
    pub organization: std::sync::Arc<str>,
}

/// Reads only where the store is and what the organization is called. A variable that is set for the gateway and not
/// in the shell of the operator, say, is of no matter then.
///
/// # Errors
/// The problems of those keys, or of the file as a whole.
pub fn load_store(file: &Path) -> Result<StoreSettings, Problems> {
    let name = file.display().to_string();
    let text = read_text(file).map_err(|cause| unreadable(&name, &cause))?;
    let (root, problems) = tree::parse(&name, &text);
    let Some(mut root) = root else { return Err(Problems::new(problems)) };
    let base = forms::folder(file).to_owned();
    let mut reader = Reader { file: &name, base, path: path::Path::default(), problems };
    interpolate(&mut root, &|variable| std::env::var(variable).ok(), &mut reader);
    let document = Document::read(&root, &mut reader);
    let own = |problem: &Problem| {
        let of = |key: &&str| {
            problem.path.strip_prefix(*key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        ["store", "organization", "version"].iter().any(of)
    };
    match document {
        Some(document) if !reader.problems.iter().any(own) => {
            Ok(StoreSettings { path: document.store.path, organization: document.organization })
        }
        Some(_) => Err(Problems::new(reader.problems.into_iter().filter(own).collect())),
        None => Err(Problems::new(reader.problems)),
    }
}

fn unreadable(file: &str, cause: &str) -> Problems {
    Problems::new(vec![Problem {
        file: file.to_owned(),
        line: 1,
        column: 1,
        path: String::new(),
        message: format!("cannot read the configuration: {cause}"),
        suggestion: "check the path given with --config; `narrows demo` needs no configuration".to_owned(),
    }])
}

/// Loads a text: `file` is its name in problems, relative paths start from `base`, variables come from `variable`.
///
/// # Errors
/// Every problem of it, in the order of lines.
pub fn parse(
    file: &str,
    base: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let (root, problems) = tree::parse(file, text);
    let Some(mut root) = root else { return Err(Problems::new(problems)) };
    let mut reader = Reader { file, base: base.to_owned(), path: path::Path::default(), problems };
    interpolate(&mut root, variable, &mut reader);
    let Some(mut document) = Document::read(&root, &mut reader) else {
        return Err(Problems::new(reader.problems));
    };
    let mut settings = resolve::resolve(&document, &root, &mut reader);
    if !reader.problems.is_empty() {
        return Err(Problems::new(reader.problems));
    }
    document.complete();
    let mut shown = Document::show(&document);
    settings.snapshot = show::hash(&shown);
    show::with_templates(&mut shown, &root);
    let warnings = warning::warnings(file, &settings, &root);
    Ok(Loaded { settings, warnings, shown })
}

fn interpolate(root: &mut Node, variable: &dyn Fn(&str) -> Option<String>, reader: &mut Reader<'_>) {
    root.scalars_mut(&path::Path::default(), &mut |path, at, scalar| match interpolate::expand(
        &scalar.text,
        variable,
    ) {
        Ok(None) => {}
        Ok(Some(text)) => scalar.template = Some(std::mem::replace(&mut scalar.text, text)),
        Err(fault) => {
            let (message, suggestion) = fault.describe();
            let outer = std::mem::replace(&mut reader.path, path.clone());
            reader.problem(at, message, suggestion);
            reader.path = outer;
            scalar.missing = true;
        }
    });
}
