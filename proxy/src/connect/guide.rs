//! `docs/clients/`: a part that comes from the catalogue, and notes below it that people write.

use super::{CLIENTS, Client, KEY_PLACEHOLDER, Values, sections};
use narrows_llm::Dialect;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- generated from proxy/src/connect/catalog: begin -->";
const END: &str = "<!-- generated: end -->";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients")
}

/// The gateway of the guides.
pub(super) fn values() -> Values {
    Values { url: "http://127.0.0.1:8080".to_owned(), key: KEY_PLACEHOLDER.to_owned(), model: None }
}

fn dialects(client: &Client) -> String {
    client
        .speaks
        .iter()
        .map(|dialect| format!("`{}`", Dialect::as_str(*dialect)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn command(client: &Client) -> String {
    let base = format!("narrows connect {} --url http://127.0.0.1:8080 --key {KEY_PLACEHOLDER}", client.name);
    if client.is_writable() { format!("{base} --write") } else { base }
}

/// The generated part of a client's guide.
fn part(client: &Client) -> String {
    let enforceable = client.enforceable.unwrap_or("no");
    let mut text = format!(
        "# {title}\n\n| speaks | routable | enforceable | verified |\n|---|---|---|---|\n| {} | {} | {enforceable} | {} |\n\n",
        dialects(client),
        client.routable.word(),
        client.verified.told(),
        title = client.title,
    );
    if !client.limits.is_empty() {
        text.push_str("What to know before relying on it:\n\n");
        text.extend(client.limits.iter().map(|limit| format!("- {limit}\n")));
        text.push('\n');
    }
    let does = if client.is_writable() {
        "One command sets it up (`--remove` undoes it)"
    } else {
        "This prints what follows, with your values"
    };
    text.push_str(&format!("{does}:\n\n```sh\n{}\n```\n", command(client)));
    for section in sections(client, &values()).unwrap() {
        text.push_str(&format!("\n{}:\n\n", section.title));
        if section.language.is_empty() {
            text.push_str(&section.text);
        } else {
            text.push_str(&format!("```{}\n{}```\n", section.language, section.text));
        }
    }
    text
}

/// The generated part of the overview.
fn table() -> String {
    let mut text =
        "| client | speaks | routable | enforceable | notes | verified |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for client in CLIENTS {
        text.push_str(&format!(
            "| [{}]({}.md) | {} | {} | {} | {} | {} |\n",
            client.title,
            client.name,
            dialects(client),
            client.routable.word(),
            client.enforceable.unwrap_or("no"),
            client.limits.join("; "),
            client.verified.told(),
        ));
    }
    text
}

/// Compares a page's generated part; with `UPDATE=1` it is written, and what people wrote stays.
fn check(name: &str, part: &str) {
    let file = folder().join(name);
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    let (before, rest) = stands.split_once(BEGIN).unwrap_or_default();
    let (_, after) = rest.split_once(END).unwrap_or(("", "\n"));
    let wanted = format!("{before}{BEGIN}\n{part}{END}{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    } else {
        assert!(stands == wanted, "docs/clients/{name} is out of date; run the tests once with UPDATE=1");
    }
}

#[test]
fn the_guides_are_what_the_catalogue_says() {
    for client in CLIENTS {
        check(&format!("{}.md", client.name), &part(client));
    }
    check("README.md", &table());
}

#[test]
fn every_guide_belongs_to_a_client() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".md").unwrap_or(&name);
        assert!(stem == "README" || super::find(stem).is_some(), "docs/clients/{name} is nobody's");
    }
}
