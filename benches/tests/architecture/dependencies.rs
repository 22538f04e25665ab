//! What is depended on: licences, banned packages, sources. `deny.toml` holds the lists, so that this check, which
//! needs nothing installed, and cargo-deny say the same.

use crate::workspace::{Workspace, read, root};
use std::collections::BTreeSet;

/// Lock files: the workspace's, and the one of the fuzz targets beside it where they were built.
fn locks() -> impl Iterator<Item = &'static str> {
    ["Cargo.lock", "fuzz/Cargo.lock"]
        .into_iter()
        .filter(|lock| *lock == "Cargo.lock" || root().join(lock).exists())
}

/// Packages of our own that are not members: stand-ins under `shims/`.
const SHIMS: [&str; 1] = ["libz-ng-sys"];

/// The quoted words in the list that begins on the line `key = [` and ends on a line `]`.
fn words(text: &str, key: &str) -> Vec<String> {
    let (_, rest) =
        text.split_once(&format!("\n{key} = [\n")).unwrap_or_else(|| panic!("deny.toml has no {key}"));
    let (inside, _) = rest.split_once("\n]").unwrap_or_else(|| panic!("{key} has no end"));
    let word = |line: &str| line.split('"').nth(1).map(str::to_owned);
    inside.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(word).collect()
}

/// A package in a lock file.
#[derive(Default)]
struct Locked {
    name: String,
    source: Option<String>,
    checksum: bool,
}

fn locked(file: &str) -> Vec<Locked> {
    let text = read(file);
    let value = |line: &str, key: &str| {
        let rest = line.strip_prefix(key)?.strip_prefix(" = \"")?;
        rest.strip_suffix('"').map(str::to_owned)
    };
    let one = |part: &str| {
        let find = |key: &str| part.lines().find_map(|line| value(line, key));
        Locked {
            name: find("name").unwrap_or_default(),
            source: find("source"),
            checksum: find("checksum").is_some_and(|sum| sum.len() == 64),
        }
    };
    text.split("[[package]]").skip(1).map(one).collect()
}

#[test]
fn every_licence_is_allowed() {
    let allowed: BTreeSet<String> = words(&read("deny.toml"), "allow").into_iter().collect();
    let workspace = Workspace::load();
    let mut wrong = Vec::new();
    for package in workspace.packages.values() {
        let license = package.license.as_deref().unwrap_or("none");
        if !satisfied(license, &|name| allowed.contains(name)) {
            wrong.push(format!("{}: {license}", package.name));
        }
    }
    assert!(wrong.is_empty(), "licences that deny.toml does not allow: {wrong:#?}");
    for (_, package) in workspace.members() {
        assert_eq!(package.license.as_deref(), Some("Apache-2.0"), "{}", package.name);
    }
}

#[test]
fn no_package_is_banned() {
    let banned = words(&read("deny.toml"), "deny");
    assert!(banned.iter().any(|name| name == "openssl-sys"), "the list of bans was not read: {banned:?}");
    for lock in locks() {
        let found: Vec<_> = locked(lock)
            .into_iter()
            .map(|package| package.name)
            .filter(|name| banned.contains(name))
            .collect();
        assert!(found.is_empty(), "{lock} has banned packages: {found:?}; deny.toml says why");
    }
}

#[test]
fn everything_comes_from_one_registry_with_a_checksum() {
    let workspace = Workspace::load();
    let ours: BTreeSet<&str> = workspace
        .members()
        .map(|(_, package)| package.name.as_str())
        .chain(SHIMS)
        .chain(["narrows-fuzz"])
        .collect();
    let mut registries = BTreeSet::new();
    for lock in locks() {
        for package in locked(lock) {
            match package.source {
                None => {
                    assert!(ours.contains(package.name.as_str()), "{lock}: {} is from a path", package.name)
                }
                Some(source) => {
                    assert!(source.starts_with("registry+"), "{lock}: {} is from {source}", package.name);
                    assert!(package.checksum, "{lock}: {} has no checksum", package.name);
                    registries.insert(source);
                }
            }
        }
    }
    assert_eq!(registries.len(), 1, "{registries:?}");
}

#[test]
fn dependencies_come_without_their_default_features() {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("[workspace.dependencies]\n").expect("there is a list");
    let (inside, _) = rest.split_once("\n[").expect("it ends");
    let outside = inside.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
    for line in outside.filter(|line| !line.contains("path = ")) {
        assert!(line.contains("default-features = false"), "{line}");
    }
}

/// Whether a licence expression (SPDX, and the older `/`) can be met with allowed licences. `AND` binds closer
/// than `OR`.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any(&words, &mut at, allowed);
    met && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at, allowed);
    }
    met
}

fn all(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = any(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = words[*at - 1..].iter().take(3).copied().collect::<Vec<_>>().join(" ");
        *at += 2;
    }
    allowed(&name)
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = |name: &str| matches!(name, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "MIT AND ISC",
        "(MIT OR GPL-3.0) AND ISC",
        "GPL-3.0 AND GPL-2.0 OR MIT",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
    ] {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "Apache-2.0",
        "",
        "(MIT",
        "MIT MIT",
        "none",
    ] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}
