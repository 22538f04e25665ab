//! The file of declared virtual keys: read like the configuration, with problems of its own lines.

use super::document::{Version, read_secret};
use super::form::{Form, Reader, Shape};
use super::forms::{Map, folder};
use super::macros::settings;
use super::path::Path;
use super::secret::REDACTED;
use super::settings::{DeclaredKeys, KeyPlace};
use super::tree::{self, Node, Position};
use super::{interpolate, read_text};
use narrows_ledger::{DeclaredKey, InvalidKey, KeyHash, NewKey};
use serde_json::{Value as Json, json};
use std::collections::HashMap;

settings! {
    /// A file of virtual keys.
    struct KeysDocument {
        /// Version of this format; always 1.
        version: usize as Version = (required "1"),
        /// The keys.
        keys: Vec<(Position, Path, KeyRow)> as Vec<Placed<KeyRow>> = required,
    }

    /// A declared key.
    struct KeyRow {
        /// A name, once in its organization.
        name: String = required,
        /// Organization; without it the one of the configuration.
        organization: Option<String> = optional,
        /// Team.
        team: Option<String> = optional,
        /// User; not together with `service_account`.
        user: Option<String> = optional,
        /// Service account.
        service_account: Option<String> = optional,
        /// Project.
        project: Option<String> = optional,
        /// Free metadata.
        metadata: Vec<(String, String)> as Map<String> = "{}",
        /// Models it may use; without it all.
        models: Option<Vec<String>> = optional,
        /// When it stops working.
        expires: Option<i64> as Option<Moment> = optional,
        /// The secret.
        secret: KeyHash = required,
    }
}

/// A value together with where it stands.
struct Placed<T>(std::marker::PhantomData<T>);

impl<T: Form> Form for Placed<T> {
    type Out = (Position, Path, T::Out);

    fn shape() -> Shape {
        T::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        let path = reader.path.clone();
        T::read(node, reader).map(|value| (node.at, path, value))
    }

    fn show((_, _, value): &Self::Out) -> Json {
        T::show(value)
    }
}

/// A point in time of RFC 3339, in UTC microseconds since the epoch.
struct Moment;

impl Form for Moment {
    type Out = i64;

    fn shape() -> Shape {
        Shape::Scalar { kind: "time", types: &["string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<i64> {
        reader.parsed(
            node,
            "a time of RFC 3339",
            "a time with its zone: 2027-01-31T00:00:00Z",
            narrows_ledger::read_time,
        )
    }

    fn show(value: &i64) -> Json {
        json!(narrows_ledger::time(*value))
    }
}

impl Form for KeyHash {
    type Out = KeyHash;

    fn shape() -> Shape {
        Shape::Scalar { kind: "secret of a key", types: &["string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<KeyHash> {
        let scalar = reader.scalar(node, "the secret of a key")?;
        let hashed = |text: &str| KeyHash::of(text).map_err(|fault| fault.to_string());
        let read = match (&scalar.template, scalar.text.as_str()) {
            // What came out of a variable is a secret, whatever it looks like.
            (Some(_), text) => hashed(text.trim_end()),
            (None, text) => match (text.strip_prefix("hash:"), text.strip_prefix("file:")) {
                (Some(hash), _) => {
                    KeyHash::parse(hash).ok_or_else(|| "this is not the hash of a key".to_owned())
                }
                (_, Some(path)) => {
                    let file = reader.resolved(path);
                    let read = read_secret(&file).map_err(|cause| format!("cannot read {path}: {cause}"));
                    reader.files.push(file);
                    read.and_then(|text| hashed(text.trim_end()))
                }
                (None, None) => Err("a secret does not stand in the file itself".to_owned()),
            },
        };
        read.map_err(|message| {
            let suggestion = "write `hash:…` as `narrows keys hash` prints it, or `${VARIABLE}` or `file:/path` \
                              with a whole nrw_ key";
            reader.problem(node.at, message, suggestion);
        })
        .ok()
    }

    fn show(_: &KeyHash) -> Json {
        json!(REDACTED)
    }
}

/// Reads the file, which `keys.file` of the configuration names. What is wrong with it is reported under its name.
pub(super) fn read(
    file: &std::path::Path,
    organization: &str,
    root: &Node,
    variable: &dyn Fn(&str) -> Option<String>,
    outer: &mut Reader<'_>,
) -> Option<DeclaredKeys> {
    outer.files.push(file.to_owned());
    let name = file.display().to_string();
    let text = match read_text(file) {
        Ok(text) => text,
        Err(cause) => {
            let path = Path::of(&["keys", "file"]);
            outer.path = path.clone();
            let suggestion = "check the path and that the user running narrows may read it";
            outer.problem(root.position(&path), format!("cannot read {name}: {cause}"), suggestion);
            outer.path = Path::default();
            return None;
        }
    };
    let (root, problems) = tree::parse(&name, &text);
    let base = folder(file).to_owned();
    let mut reader = Reader { file: &name, base, path: Path::default(), problems, files: Vec::new() };
    let keys = root.and_then(|mut root| {
        interpolate(&mut root, variable, &mut reader);
        let document = KeysDocument::read(&root, &mut reader)?;
        Some(check(document.keys, organization, &root, &mut reader))
    });
    outer.problems.append(&mut reader.problems);
    outer.files.append(&mut reader.files);
    let (keys, places) = keys?;
    Some(DeclaredKeys { file: file.to_owned(), keys, places })
}

/// Checks each key by itself and against those before it.
fn check(
    rows: Vec<(Position, Path, KeyRow)>,
    organization: &str,
    root: &Node,
    reader: &mut Reader<'_>,
) -> (Vec<DeclaredKey>, Vec<KeyPlace>) {
    let (mut names, mut secrets) = (HashMap::new(), HashMap::new());
    let (mut keys, mut places) = (Vec::new(), Vec::new());
    for (at, path, row) in rows {
        let key = DeclaredKey {
            new: NewKey {
                name: row.name,
                organization: row.organization.unwrap_or_else(|| organization.to_owned()),
                team: row.team,
                user: row.user,
                service_account: row.service_account,
                project: row.project,
                metadata: row.metadata,
                models: row.models,
                expires_at_us: row.expires,
            },
            hash: row.secret,
        };
        let mut problem = |field: &str, message: String, suggestion: String| {
            reader.path = if field.is_empty() { path.clone() } else { path.key(field) };
            reader.problem(root.position(&reader.path), message, suggestion);
            reader.path = Path::default();
        };
        if let Err(invalid) = key.new.validate() {
            let field = match &invalid {
                InvalidKey::Pattern { .. } => "models",
                InvalidKey::TwoOwners => "service_account",
                _ => "",
            };
            problem(field, invalid.to_string(), "correct this key".to_owned());
        }
        let name = (key.new.organization.clone(), key.new.name.clone());
        if let Some(line) = names.insert(name, at.line) {
            let message = format!("a key called `{}` stands on line {line} already", key.new.name);
            problem("name", message, "give each key of an organization its own name".to_owned());
        }
        if let Some(line) = secrets.insert(key.hash.id().to_owned(), at.line) {
            let message = format!("the key on line {line} has the same secret");
            problem("secret", message, "make another: narrows keys hash --new".to_owned());
        }
        places.push(KeyPlace { line: at.line, column: at.column, path: path.to_string() });
        keys.push(key);
    }
    (keys, places)
}

impl DeclaredKeys {
    /// The file's name in problems and in the store.
    pub(crate) fn name(&self) -> String {
        self.file.display().to_string()
    }
}

#[cfg(test)]
#[path = "tests/declared.rs"]
mod tests;
