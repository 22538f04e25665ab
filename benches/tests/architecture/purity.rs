//! Floors 0 to 2 are bytes and values in, values out. Nothing is unsafe.

use crate::workspace::{Workspace, files, read, relative};

/// Crates without sockets, files, clocks, environment, async and logging.
const PURE: [&str; 6] = ["sse", "tokenizer", "meter", "llm", "guard", "policy"];

/// Packages that bring one of those.
const IMPURE_PACKAGES: [&str; 16] = [
    "tokio",
    "mio",
    "async-io",
    "futures-executor",
    "socket2",
    "libc",
    "nix",
    "rustix",
    "getrandom",
    "rand",
    "log",
    "tracing",
    "rusqlite",
    "hyper",
    "rustls",
    "jiff",
];

/// Parts of the standard library that do.
const IMPURE_PATHS: [&str; 15] = [
    "std::net",
    "std::fs",
    "std::env",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "Local::now",
];

#[test]
fn pure_crates_depend_on_nothing_impure() {
    let workspace = Workspace::load();
    for folder in PURE {
        let (id, _) = workspace.members().find(|(_, package)| package.folder() == folder).expect(folder);
        let reaches = workspace.reaches(id);
        let impure: Vec<_> = IMPURE_PACKAGES.iter().filter(|name| reaches.contains(*name)).collect();
        assert!(impure.is_empty(), "{folder} reaches {impure:?}");
    }
}

/// The part of a source file before its tests, without comments.
fn code(text: &str) -> String {
    let before = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = before.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_crates_touch_nothing_impure() {
    for folder in PURE {
        for path in files(&format!("{folder}/src"), &[".rs"]) {
            let name = relative(&path);
            if name.ends_with("tests.rs") || name.contains("/tests/") {
                continue;
            }
            let code = code(&std::fs::read_to_string(&path).unwrap());
            for impure in IMPURE_PATHS {
                assert!(!code.contains(impure), "{name} uses {impure}");
            }
            for word in ["async fn", "async move", ".await", "println!", "eprintln!"] {
                assert!(!code.contains(word), "{name} has {word}");
            }
        }
    }
}

#[test]
fn every_crate_has_the_workspace_lints_and_forbids_unsafe_code() {
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
    for (_, package) in Workspace::load().members() {
        let manifest = std::fs::read_to_string(&package.manifest).unwrap();
        assert!(manifest.contains("\n[lints]\nworkspace = true\n"), "{}", package.folder());
    }
}

#[test]
fn nothing_is_unsafe_beside_the_workspace_either() {
    // `concat!` keeps this line from finding itself.
    let words = [concat!("un", "safe {"), concat!("un", "safe fn"), concat!("un", "safe impl")];
    for path in files("", &[".rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} has {word}", relative(&path));
        }
    }
}
