//! Imports go down, as the table in `ARCHITECTURE.md` says.

use crate::workspace::{Workspace, files, read, relative, root, table};
use std::collections::{BTreeMap, BTreeSet};

/// Crates that may know Pingora: the gateway, and the bare example it is measured against.
const MAY_KNOW_PINGORA: [&str; 2] = ["proxy", "benches"];
/// Files that may implement Pingora's hooks.
const MAY_IMPLEMENT_HOOKS: [&str; 2] = ["proxy/src/glue.rs", "benches/src/bin/bare-pingora.rs"];

/// Crate to the crates it may import; `None` is any.
fn allowed() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let rows = table(&read("ARCHITECTURE.md"), "edges");
    let row = |cells: Vec<String>| {
        assert_eq!(cells.len(), 3, "{cells:?}");
        let imports = match cells[1].as_str() {
            "any" => None,
            "–" => Some(BTreeSet::new()),
            names => Some(names.split(", ").map(str::to_owned).collect()),
        };
        (cells[0].clone(), imports)
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn every_import_is_in_the_table() {
    let (workspace, allowed) = (Workspace::load(), allowed());
    let mut wrong = Vec::new();
    for (_, package) in workspace.members() {
        let folder = package.folder();
        let Some(allowed) = allowed.get(&folder) else {
            wrong.push(format!("{folder} has no row"));
            continue;
        };
        for import in package.declares.iter().filter_map(|name| workspace.folder_of(name)) {
            if import != folder && !allowed.as_ref().is_none_or(|allowed| allowed.contains(&import)) {
                wrong.push(format!("{folder} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table of ARCHITECTURE.md: {wrong:#?}");
}

#[test]
fn the_table_is_about_crates_that_exist() {
    let allowed = allowed();
    for (folder, imports) in &allowed {
        assert!(
            root().join(folder).join("Cargo.toml").is_file(),
            "{folder} is in the table and not on the disk"
        );
        for import in imports.iter().flatten() {
            assert!(allowed.contains_key(import), "{folder} may import {import}, which has no row");
        }
    }
}

#[test]
fn names_are_those_of_the_folders() {
    for (_, package) in Workspace::load().members() {
        let expected = match package.folder().as_str() {
            "proxy" => "narrows".to_owned(),
            folder => format!("narrows-{folder}"),
        };
        assert_eq!(package.name, expected);
    }
}

#[test]
fn only_the_proxy_and_the_bare_example_know_pingora() {
    let workspace = Workspace::load();
    for (id, package) in workspace.members() {
        if MAY_KNOW_PINGORA.contains(&package.folder().as_str()) {
            continue;
        }
        let mut known = workspace.reaches(id);
        known.extend(package.declares.iter().map(String::as_str));
        let pingora: Vec<_> = known.iter().filter(|name| name.starts_with("pingora")).collect();
        assert!(pingora.is_empty(), "{} reaches {pingora:?}", package.folder());
    }
}

#[test]
fn hooks_are_implemented_in_one_file() {
    let workspace = Workspace::load();
    for (_, package) in workspace.members() {
        for path in files(&package.folder(), &[".rs"]) {
            let (text, path) = (std::fs::read_to_string(&path).unwrap(), relative(&path));
            let implements = text.lines().any(|line| line.starts_with("impl ProxyHttp"));
            assert!(
                !implements || MAY_IMPLEMENT_HOOKS.contains(&path.as_str()),
                "{path} implements ProxyHttp"
            );
        }
    }
}
