//! Ordinary source code and documentation hold few findings: what cries wolf is switched off. Run with
//! `cargo nextest run -p narrows-guard --run-ignored all sources`; what is read is whatever sources this machine has.

use narrows_guard::detector::pii::{Pii, Settings};
use narrows_guard::detector::secret;
use narrows_guard::{Class, Engine, Provenance, Scratch, Tier};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The unit of the bars, in bytes.
const UNIT: usize = 2_000_000;
/// Most bytes that are read.
const BYTES_MAX: usize = 24_000_000;
/// Longest file that is taken for something that people wrote, in bytes.
const FILE_BYTES_MAX: u64 = 200_000;
/// Fewest bytes that say anything.
const BYTES_MIN: usize = 4 * UNIT;

const ENDINGS: &[&str] = &[
    "rs",
    "md",
    "toml",
    "txt",
    "c",
    "h",
    "py",
    "js",
    "ts",
    "json",
    "go",
    "java",
    "html",
    "yml",
    "yaml",
    "sh",
    "copyright",
];

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Tables of telephone numbers (the `phonenumber` crate's, by carrier) are found, as they should be, and are no program:
        // they were 873 of the 881 hits of a sample.
        let is_table = path.ends_with("assets/carrier") || path.ends_with("assets/geocoding");
        if about.is_dir() && !is_table {
            files(&path, out);
        } else if about.is_file() && about.len() <= FILE_BYTES_MAX {
            let ending = name.rsplit('.').next().unwrap_or_default();
            if ENDINGS.contains(&ending) {
                out.push(path);
            }
        }
    }
}

/// Sources of crates and the system's documentation, in an order that mixes them.
fn texts() -> Vec<(PathBuf, String)> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut all = Vec::new();
    if let Some(home) = home {
        files(&home.join("registry/src"), &mut all);
    }
    files(Path::new("/usr/share/doc"), &mut all);
    let (count, mut bytes, mut texts) = (all.len().max(1), 0, Vec::new());
    // A step that shares no factor with the count visits every file once.
    let step = (count / 3 + 1..).find(|step| gcd(*step, count) == 1).unwrap_or(1);
    for at in 0..all.len() {
        let path = &all[at * step % count];
        if bytes >= BYTES_MAX {
            break;
        }
        if let Ok(text) = std::fs::read_to_string(path) {
            bytes += text.len();
            texts.push((path.clone(), text));
        }
    }
    texts
}

fn gcd(one: usize, other: usize) -> usize {
    if other == 0 { one } else { gcd(other, one % other) }
}

#[test]
#[ignore = "reads the sources that this machine has, for a minute"]
fn sources_of_ordinary_programs_hold_few_findings() {
    let texts = texts();
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    if bytes < BYTES_MIN {
        println!("SKIPPED: only {bytes} bytes of sources on this machine; nothing was checked");
        return;
    }
    let engine = Engine::builder()
        .secrets(secret::built_in().expect("the built-in rules load"))
        .detector(Pii::new(Settings::default()))
        .build()
        .expect("the rules compile");
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let (mut secrets, mut personal) = (0usize, 0usize);
    let mut scratch = Scratch::default();
    for (path, text) in &texts {
        let mut hits = Vec::new();
        engine.scan(text, Provenance::User, &mut scratch, &mut hits);
        for hit in hits {
            let Some(rule) = engine.rule(hit.rule) else { continue };
            *counts.entry((rule.class.as_str(), &*rule.id)).or_default() += 1;
            match rule.class {
                Class::Secret => secrets += 1,
                Class::Pii if rule.tier == Tier::A => personal += 1,
                _ => {}
            }
            if std::env::var_os("SHOW").is_some() {
                let line = text[..hit.range.start].rfind('\n').map_or(0, |at| at + 1);
                let end = text[hit.range.end..].find('\n').map_or(text.len(), |at| hit.range.end + at);
                println!(
                    "{} {} {:?}: {}",
                    rule.id,
                    path.display(),
                    &text[hit.range.clone()],
                    &text[line..end]
                );
            }
        }
    }
    let units = bytes.div_ceil(UNIT);
    println!("{bytes} bytes of {} files: {secrets} secrets, {personal} of tier A; {counts:?}", texts.len());
    assert!(personal < 5 * units, "{personal} of tier A in {units} times 2 MB: {counts:?}");
    assert!(secrets < units, "{secrets} secrets in {units} times 2 MB: {counts:?}");
}
