//! Settings that are fixed when the gateway starts: sockets, threads and the store.

use super::path::Path;
use super::problem::Problem;
use super::settings::{Listener, Settings, TlsFiles};
use super::tree::{Node, Position};
use std::fmt::Debug;

/// What one fixed key was set to, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    path: String,
    at: Position,
    /// For comparison only.
    value: String,
}

/// Every fixed key of `settings`, with its place in the file.
pub(super) fn of(settings: &Settings, root: &Node) -> Vec<Fixed> {
    let mut list = List { root, found: Vec::new() };
    list.add(&Path::of(&["workers"]), &settings.workers);
    list.add(&Path::of(&["counters"]), &settings.counters);
    let store = Path::of(&["store"]);
    list.add(&store.key("path"), &settings.store.path);
    list.add(&store.key("postgres"), &settings.store.postgres);
    list.add(&store.key("username"), &settings.store.username);
    list.add(&store.key("tls"), &settings.store.tls);
    list.add(&store.key("ca_file"), &settings.store.ca_file);
    list.add(&Path::of(&["records", "queue"]), &settings.records.queue);
    list.add(&Path::of(&["records", "json"]), &settings.records.json);
    list.add(&Path::of(&["log", "format"]), &settings.log.format);
    let listen = Path::of(&["listen"]);
    list.add(&listen.key("metrics").key("address"), &settings.listen.metrics.address);
    let admin = settings.listen.admin.as_ref();
    list.add(&listen.key("admin"), &admin.is_some());
    if let Some(admin) = admin {
        list.add(&listen.key("admin").key("address"), &admin.address);
        list.tls(&listen.key("admin"), admin.tls.as_ref());
    }
    list.add(&listen.key("gateway"), &settings.listen.gateway.len());
    for (index, listener) in settings.listen.gateway.iter().enumerate() {
        list.listener(&listen.key("gateway").index(index), listener);
    }
    list.found
}

struct List<'a> {
    root: &'a Node,
    found: Vec<Fixed>,
}

impl List<'_> {
    fn add(&mut self, path: &Path, value: &impl Debug) {
        let at = self.root.position(path);
        self.found.push(Fixed { path: path.to_string(), at, value: format!("{value:?}") });
    }

    /// The names of files are fixed; what stands in them is not.
    fn tls(&mut self, path: &Path, tls: Option<&TlsFiles>) {
        self.add(&path.key("tls"), &tls);
    }

    fn listener(&mut self, path: &Path, listener: &Listener) {
        self.add(&path.key("address"), &listener.address);
        self.tls(path, listener.tls.as_ref());
        self.add(&path.key("h2"), &listener.h2);
        self.add(&path.key("proxy_protocol"), &listener.proxy_protocol);
    }
}

/// What of `new` a gateway that was started with `running` cannot take over: one problem for each key that differs.
pub(super) fn changes(file: &str, running: &[Fixed], new: &[Fixed]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for fixed in new {
        // A key that only one of them has belongs to a group whose own presence differs and is told.
        if running.iter().any(|before| before.path == fixed.path && before.value != fixed.value) {
            problems.push(Problem {
                file: file.to_owned(),
                line: fixed.at.line,
                column: fixed.at.column,
                path: fixed.path.clone(),
                message: "cannot change while the gateway runs".to_owned(),
                suggestion: "restart narrows to apply it, or restore the old value".to_owned(),
            });
        }
    }
    problems
}
