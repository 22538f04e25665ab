//! What stands in the repository's texts.

use crate::workspace::{files, relative, root};
use std::path::Path;

#[test]
fn links_in_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files("", &[".md"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        for target in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", relative(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second piece between backticks is code.
        for prose in line.split('`').step_by(2) {
            found.extend(prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
        }
    }
    found
}

#[test]
fn links_are_found_in_prose_only() {
    let text = "[a](one.md) and `[b](two.md)` and [c](three.md#x)\n```\n[d](four.md)\n```\n[e](five.md)";
    assert_eq!(links(text), ["one.md", "three.md#x", "five.md"]);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let home = std::env::var("HOME").unwrap_or_default();
    let here = root().display().to_string();
    let places: Vec<String> =
        [home, here].into_iter().filter(|path| path.len() > 1).map(|path| path + "/").collect();
    for path in files("", &[".md", ".rs", ".sh", ".toml", ".yaml", ".yml", ".py", ".mjs", "run"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for place in &places {
            assert!(!begins(&text, place), "{} names {place}", relative(&path));
        }
    }
}

/// Whether a path in the text begins with `place`, which may be as short as `/src/`.
fn begins(text: &str, place: &str) -> bool {
    let in_a_path = |before: char| before.is_alphanumeric() || "/._-{}*~$:".contains(before);
    text.match_indices(place).any(|(at, _)| !text[..at].ends_with(in_a_path))
}

#[test]
fn paths_are_found_at_their_beginning() {
    for text in ["/src/x", "see `/src/x`", "A=/src/x", "(/src/x)"] {
        assert!(begins(text, "/src/"), "{text}");
    }
    for text in ["sse/src/x", "../src/x", "$ROOT/src/x", "https://host/src/x", "/src"] {
        assert!(!begins(text, "/src/"), "{text}");
    }
}

#[test]
fn scripts_can_be_run() {
    for path in files("scripts", &[".sh"]).into_iter().chain([root().join(".ci/run")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#!") == is_executable(&path), "{}", relative(&path));
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    std::fs::read_to_string(path).unwrap().starts_with("#!")
}
