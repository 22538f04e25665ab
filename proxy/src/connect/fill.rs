//! Texts of the catalogue with a gateway's values in them.

use std::borrow::Cow;

/// What stands for a key that was not given.
pub(crate) const KEY_PLACEHOLDER: &str = "nrw_…";

/// What a client is pointed at.
#[derive(Clone)]
pub(crate) struct Values {
    /// The gateway's base URL, without `/v1` and without a slash at its end.
    pub(crate) url: String,
    /// The virtual key.
    pub(crate) key: String,
    /// The model that was asked for.
    pub(crate) model: Option<String>,
}

impl Values {
    /// The text with the values in it; `model` is the client's own if none was asked for.
    pub(crate) fn fill(&self, text: &str, model: &str) -> String {
        let model = self.model.as_deref().unwrap_or(model);
        text.replace("{url}", &self.url).replace("{model}", model).replace("{key}", &self.key)
    }

    /// The steps of a path with the values in them.
    pub(crate) fn path<'a>(&'a self, path: &'a [&'a str], model: &'a str) -> Vec<Cow<'a, str>> {
        let fill = |step: &&'a str| match step.contains('{') {
            true => Cow::Owned(self.fill(step, model)),
            false => Cow::Borrowed(*step),
        };
        path.iter().map(fill).collect()
    }
}

/// A value for a shell, quoted if it has to be.
pub(crate) fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,…".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
