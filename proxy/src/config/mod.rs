//! Configuration: a YAML file in, [`Settings`] or every problem of it out.
//!
//! Text becomes a tree of nodes with positions, scalars are interpolated, the tree is read into a document
//! of typed groups, and references between keys are resolved. Every step reports problems and goes on, so that one
//! run shows them all. The groups are declared once: type, reader, reference and JSON Schema come from the same lines.

mod addresses;
pub mod alerts;
pub mod content;
pub mod counters;
pub mod credential;
mod declared;
mod document;
mod egress;
mod files;
mod fixed;
mod form;
mod forms;
pub mod guard;
mod interpolate;
mod kinds;
pub mod limits;
mod macros;
mod network;
mod path;
pub(crate) mod paths;
pub mod pattern;
pub mod prices;
pub mod problem;
pub mod reference;
mod resolve;
mod routes;
pub mod schema;
pub mod secret;
pub mod settings;
mod show;
pub mod store;
mod targets;
mod tree;
mod units;
pub mod url;
pub mod warning;

#[cfg(test)]
mod tests;

pub use counters::{Counters, RedisAddress, SharedMode};
pub use credential::{ApiKey, Credential, Source};
pub use document::{SECRET_BYTES_MAX, VERSION};
pub use files::PEM_BYTES_MAX;
pub use network::Network;
pub use pattern::Pattern;
pub use problem::{Problem, Problems};
pub use secret::{REDACTED, Secret};
pub use settings::*;
pub use store::{PostgresAddress, PostgresTls, Store};
pub use tree::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX};
pub(crate) use units::duration;
pub use units::{DURATION_MAX, SIZE_MAX};
pub use url::BaseUrl;

use document::Document;
use form::{Form, Reader};
use std::io::Read;
use std::path::{Path, PathBuf};
use tree::Node;

/// A configuration without problems.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the gateway runs with.
    pub settings: Settings,
    /// What is allowed but risky, in the order of lines.
    pub warnings: Vec<Problem>,
    /// The file it was loaded from; `None` for a text.
    pub source: Option<PathBuf>,
    /// Every file that was read for it, itself included, as far as it came from files.
    pub(crate) files: Vec<PathBuf>,
    /// The document in force with defaults, secrets redacted and variables by name.
    shown: serde_json::Value,
    fixed: Vec<fixed::Fixed>,
}

impl From<Settings> for Loaded {
    /// Settings that were written in no file: there is nothing to read again, and nothing to warn of.
    fn from(settings: Settings) -> Loaded {
        let shown = serde_json::Value::Null;
        Loaded { settings, warnings: Vec::new(), source: None, files: Vec::new(), shown, fixed: Vec::new() }
    }
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

    /// What of it a gateway that was started with `running` cannot take over without a restart.
    pub(crate) fn needs_restart(&self, running: &Loaded) -> Option<Problems> {
        let file = self.source.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
        let changes = fixed::changes(&file, &running.fixed, &self.fixed);
        (!changes.is_empty()).then(|| Problems::new(changes))
    }
}

/// An attempt at a configuration: what came of it, and every file that was looked at on the way, readable or not.
pub(crate) struct Attempt {
    pub(crate) outcome: Result<Loaded, Problems>,
    pub(crate) files: Vec<PathBuf>,
}

/// As [`load`], telling the files as well: those of a configuration that is refused now may change next.
pub(crate) fn attempt(file: &Path) -> Attempt {
    let name = file.display().to_string();
    let mut files = vec![file.to_owned()];
    let outcome = match read_text(file) {
        Ok(text) => {
            let variable = |variable: &str| std::env::var(variable).ok();
            parse_noting(&name, forms::folder(file), &text, &variable, &mut files)
        }
        Err(cause) => Err(unreadable(&name, &cause)),
    };
    let outcome =
        outcome.map(|loaded| Loaded { source: Some(file.to_owned()), files: files.clone(), ..loaded });
    Attempt { outcome, files }
}

/// Loads a file, taking variables from the environment of the process.
///
/// # Errors
/// Every problem of it, in the order of lines.
pub fn load(file: &Path) -> Result<Loaded, Problems> {
    attempt(file).outcome
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
#[derive(Debug, Clone, PartialEq)]
pub struct StoreSettings {
    /// Where the store is.
    pub store: Store,
    /// Organization of keys that are created without one.
    pub organization: std::sync::Arc<str>,
    /// The key that seals credentials, if the configuration says where it is.
    pub master_key: Option<Secret>,
    /// Whether new keys may only have owners that the directory knows.
    pub require_known_owners: bool,
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
    let mut reader = Reader { file: &name, base, path: path::Path::default(), problems, files: Vec::new() };
    interpolate(&mut root, &|variable| std::env::var(variable).ok(), &mut reader);
    let document = Document::read(&root, &mut reader);
    let own = |problem: &Problem| {
        let of = |key: &&str| {
            problem.path.strip_prefix(*key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        ["store", "organization", "version", "master_key", "directory"].iter().any(of)
    };
    match document {
        Some(document) if !reader.problems.iter().any(own) => Ok(StoreSettings {
            store: document.store,
            organization: document.organization,
            master_key: document.master_key,
            require_known_owners: document.directory.require_known_owners,
        }),
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
    parse_noting(file, base, text, variable, &mut Vec::new())
}

fn parse_noting(
    file: &str,
    base: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    files: &mut Vec<PathBuf>,
) -> Result<Loaded, Problems> {
    let (root, problems) = tree::parse(file, text);
    let Some(mut root) = root else { return Err(Problems::new(problems)) };
    let base = base.to_owned();
    let mut reader = Reader { file, base, path: path::Path::default(), problems, files: Vec::new() };
    interpolate(&mut root, variable, &mut reader);
    let document = Document::read(&root, &mut reader);
    let resolved = document.map(|document| {
        let mut settings = resolve::resolve(&document, &root, &mut reader);
        settings.keys = document.keys.as_ref().and_then(|keys| {
            declared::read(&keys.file, &document.organization, &root, variable, &mut reader)
        });
        (settings, document)
    });
    files.append(&mut reader.files);
    let Some((mut settings, mut document)) = resolved else {
        return Err(Problems::new(reader.problems));
    };
    if !reader.problems.is_empty() {
        return Err(Problems::new(reader.problems));
    }
    document.complete();
    let mut shown = Document::show(&document);
    settings.snapshot = show::hash(&shown);
    show::with_templates(&mut shown, &root);
    let warnings = warning::warnings(file, &settings, &root);
    let fixed = fixed::of(&settings, &root);
    Ok(Loaded { settings, warnings, source: None, files: Vec::new(), shown, fixed })
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
