//! What cargo and the disk say about the workspace.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches/ is in the root").to_owned()
}

/// A text file of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What cargo knows, for the machine's own platform.
pub(crate) struct Workspace {
    /// Every package by its id.
    pub(crate) packages: BTreeMap<String, Package>,
    /// Ids of the workspace's own packages.
    pub(crate) members: Vec<String>,
    /// Package id to the ids that its library or program needs (no development dependencies).
    needs: BTreeMap<String, Vec<String>>,
}

/// A package.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest: PathBuf,
    /// Names of all dependencies it declares, of every kind.
    pub(crate) declares: BTreeSet<String>,
}

impl Package {
    /// The crate's folder, which is its short name.
    pub(crate) fn folder(&self) -> String {
        let folder = self.manifest.parent().and_then(Path::file_name).expect("a manifest is in a folder");
        folder.to_string_lossy().into_owned()
    }
}

impl Workspace {
    /// Asks cargo. `--locked`: fails if `Cargo.lock` does not say everything.
    pub(crate) fn load() -> Workspace {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host()])
            .current_dir(root())
            .output()
            .expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let packages = list(&json["packages"]).map(|package| {
            let declares = list(&package["dependencies"]).map(|one| text(&one["name"])).collect();
            let described = Package {
                name: text(&package["name"]),
                license: package["license"].as_str().map(str::to_owned),
                manifest: PathBuf::from(text(&package["manifest_path"])),
                declares,
            };
            (text(&package["id"]), described)
        });
        let needs = list(&json["resolve"]["nodes"]).map(|node| {
            let needed = list(&node["deps"])
                .filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()))
                .map(|dep| text(&dep["pkg"]));
            (text(&node["id"]), needed.collect())
        });
        Workspace {
            packages: packages.collect(),
            members: list(&json["workspace_members"]).map(text).collect(),
            needs: needs.collect(),
        }
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.members.iter().map(|id| (id.as_str(), &self.packages[id]))
    }

    /// The short name of a member by its package name.
    pub(crate) fn folder_of(&self, name: &str) -> Option<String> {
        self.members().find(|(_, package)| package.name == name).map(|(_, package)| package.folder())
    }

    /// Names of everything that a package's library or program needs, itself included.
    pub(crate) fn reaches(&self, id: &str) -> BTreeSet<&str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.needs[id].iter().map(String::as_str));
            }
        }
        seen.into_iter().map(|id| self.packages[id].name.as_str()).collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

/// The platform that this runs on, as the compiler calls it.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").current_dir(root()).output().expect("rustc starts");
    let text = String::from_utf8(output.stdout).expect("rustc writes text");
    let line = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names its host");
    line.to_owned()
}

/// Files under a folder of the repository with one of these endings, in order; what is built is left out.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
            let path = entry.expect("a folder can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | "node_modules" | "corpus" | "artifacts") {
                    open.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as it is written in the repository.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("in the repository").display().to_string()
}

/// The rows of the Markdown table between `<!-- name -->` and `<!-- /name -->`, cells trimmed, without its heading.
pub(crate) fn table(text: &str, name: &str) -> Vec<Vec<String>> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let mut rows = Vec::new();
    for part in text.split(&open).skip(1) {
        let (inside, _) = part.split_once(&close).unwrap_or_else(|| panic!("{close} is missing"));
        let lines = inside.lines().filter(|line| line.starts_with('|')).skip(2);
        rows.extend(lines.map(|line| {
            let line = line.trim().trim_start_matches('|').trim_end_matches('|');
            line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        }));
    }
    assert!(!rows.is_empty(), "no table is marked {open}");
    rows
}
