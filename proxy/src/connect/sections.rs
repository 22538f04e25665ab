//! What a user has to do, as blocks of text: the same on a terminal and in a guide.

use super::fill::shell;
use super::{Client, File, Home, Value, Values};
use crate::connect::edit::EditError;

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// What it is, or where it goes.
    pub(crate) title: String,
    /// The word for a fenced block; empty for prose.
    pub(crate) language: &'static str,
    /// The text.
    pub(crate) text: String,
}

/// Everything there is to tell about setting a client up.
pub(crate) fn sections(client: &Client, values: &Values) -> Result<Vec<Section>, EditError> {
    let setup = &client.setup;
    let mut sections = Vec::new();
    if !setup.variables.is_empty() {
        let mut text = exports(client, values);
        if !setup.start.is_empty() {
            text.push_str(&values.fill(setup.start, client.model));
            text.push('\n');
        }
        sections.push(Section { title: "In a shell".to_owned(), language: "sh", text });
    }
    for file in setup.files {
        let title = format!("For good, in `{}`", Home::shown(file));
        let language = file.format.word();
        sections.push(Section { title, language, text: content(client, file, values)? });
    }
    if setup.variables.is_empty() && !setup.files.is_empty() && !setup.start.is_empty() {
        let text = format!("{}\n", values.fill(setup.start, client.model));
        sections.push(Section { title: "Then".to_owned(), language: "sh", text });
    }
    if !setup.steps.is_empty() {
        let lines = setup
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| format!("{}. {}\n", index + 1, values.fill(step, client.model)));
        sections.push(Section { title: "By hand".to_owned(), language: "", text: lines.collect() });
    }
    for sample in setup.samples {
        let text = values.fill(sample.text, client.model);
        sections.push(Section { title: sample.title.to_owned(), language: sample.language, text });
    }
    Ok(sections)
}

/// The variables as a shell reads them.
pub(crate) fn exports(client: &Client, values: &Values) -> String {
    let line = |(name, value): &(&str, &str)| {
        format!("export {name}={}\n", shell(&values.fill(value, client.model)))
    };
    client.setup.variables.iter().map(line).collect()
}

/// A settings file that holds nothing else.
fn content(client: &Client, file: &File, values: &Values) -> Result<String, EditError> {
    let mut text = String::new();
    for setting in file.settings.iter().filter(|setting| !setting.if_model || values.model.is_some()) {
        let path = values.path(setting.path, client.model);
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        let value = match setting.value {
            Value::Text(value) => values.fill(value, client.model),
            Value::Line(mark, rest) => format!("{mark}{}", values.fill(rest, client.model)),
        };
        text = file.format.set(&text, &path, &file.format.quote(&value))?;
    }
    Ok(text)
}
