//! Settings files of others, changed in place: what is not ours stays as it is, comments included.

mod env;
mod json;
mod toml;

#[cfg(test)]
mod tests;

/// Why a file cannot be changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// It is not what its name promises.
    #[error("line {line}: {what}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It has comments or trailing commas, and its client takes none.
    #[error(
        "line {0}: comments or trailing commas, with which its client ignores the whole file; take them out"
    )]
    Comments(usize),
    /// Something else stands where a table has to be.
    #[error("`{0}` is not a table, so nothing can be put into it")]
    NotATable(String),
}

/// The syntax of a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON, with comments and trailing commas where the client allows them.
    Json,
    /// TOML.
    Toml,
    /// `NAME=value` lines.
    Env,
}

impl Format {
    /// The word for a fenced block.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Toml => "toml",
            Format::Env => "sh",
        }
    }

    /// A text as a value of the syntax.
    pub(crate) fn quote(self, text: &str) -> String {
        match self {
            Format::Json => json_text(text),
            Format::Toml => toml::quote(text),
            Format::Env => env::quote(text),
        }
    }

    /// The text that a value is, if it is one.
    pub(crate) fn unquote(self, raw: &str) -> Option<String> {
        match self {
            Format::Json => serde_json::from_str(raw).ok(),
            Format::Toml => toml::unquote(raw),
            Format::Env => Some(env::unquote(raw)),
        }
    }

    /// The value at `path`, in the syntax. Tables of TOML have no value of their own.
    pub(crate) fn get(self, text: &str, path: &[&str]) -> Result<Option<String>, EditError> {
        match self {
            Format::Json => Ok(if is_blank(text) { None } else { json::get(text, path)?.map(str::to_owned) }),
            Format::Toml => toml::get(text, path),
            Format::Env => Ok(env::get(text, path)),
        }
    }

    /// Whether something stands at `path`.
    pub(crate) fn has(self, text: &str, path: &[&str]) -> Result<bool, EditError> {
        match self {
            Format::Toml => toml::has(text, path),
            Format::Json | Format::Env => Ok(self.get(text, path)?.is_some()),
        }
    }

    /// Puts a value of the syntax at `path`; tables on the way are made.
    pub(crate) fn set(self, text: &str, path: &[&str], raw: &str) -> Result<String, EditError> {
        match self {
            Format::Json if is_blank(text) => json::set("{}\n", path, raw),
            Format::Json => json::set(text, path, raw),
            Format::Toml => toml::set(text, path, raw),
            Format::Env => Ok(env::set(text, path, raw)),
        }
    }

    /// Takes what stands at `path` away.
    pub(crate) fn remove(self, text: &str, path: &[&str]) -> Result<String, EditError> {
        match self {
            Format::Json if is_blank(text) => Ok(text.to_owned()),
            Format::Json => json::remove(text, path),
            Format::Toml => toml::remove(text, path),
            Format::Env => Ok(env::remove(text, path)),
        }
    }

    /// Whether a table without anything in it stands at `path`; of the empty path, whether the file says nothing.
    pub(crate) fn is_empty(self, text: &str, path: &[&str]) -> Result<bool, EditError> {
        match self {
            Format::Json if is_blank(text) => Ok(path.is_empty()),
            Format::Json => json::is_empty(text, path),
            Format::Toml => toml::is_empty(text, path),
            Format::Env => Ok(path.is_empty() && is_blank(text)),
        }
    }
}

/// Refuses JSON with comments or trailing commas in it.
pub(crate) fn strict(text: &str) -> Result<(), EditError> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) if !is_blank(text) => Err(EditError::Comments(error.line())),
        _ => Ok(()),
    }
}

fn is_blank(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim().is_empty()
}

/// A text as JSON has it.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
