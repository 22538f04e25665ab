//! The watch over the configuration's files. It looks instead of being told: notifications miss what Kubernetes does
//! to mounted secrets, which is to swap a symbolic link two folders up.

use super::reload;
use crate::config::PEM_BYTES_MAX;
use crate::configuration::Trigger;
use crate::gateway::Gateway;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time without a change before changed files are read: an editor may still be writing.
const SETTLE_TIME: Duration = Duration::from_millis(100);
/// Looks until changed files are read even though they still change.
const SETTLE_LOOKS_MAX: usize = 10;
/// A file changed so shortly before it was read may change again without another time of modification.
const RECENT: Duration = Duration::from_secs(2);

/// Reloads when files change, for as long as it is polled.
pub(crate) async fn watch(gateway: Gateway) {
    let mut watched = Watched::default();
    loop {
        match gateway.configuration.watch_every() {
            None => {
                gateway.configuration.changed.notified().await;
                continue;
            }
            Some(every) => tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = gateway.configuration.changed.notified() => continue,
            },
        }
        for _ in 0..SETTLE_LOOKS_MAX {
            let (looked, changed) = look(watched, &gateway).await;
            watched = looked;
            if !changed {
                break;
            }
            tokio::time::sleep(SETTLE_TIME).await;
        }
        if std::mem::take(&mut watched.changed) {
            let gateway = gateway.clone();
            // A reload that panics has changed nothing; the next change tries again.
            drop(tokio::task::spawn_blocking(move || reload(&gateway, Trigger::File)).await);
        }
    }
}

async fn look(mut watched: Watched, gateway: &Gateway) -> (Watched, bool) {
    let files = gateway.configuration.files();
    let looking = tokio::task::spawn_blocking(move || {
        let changed = watched.look(&files);
        (watched, changed)
    });
    looking.await.unwrap_or_default()
}

/// What files were like when they were last looked at.
#[derive(Default)]
struct Watched {
    seen: HashMap<PathBuf, Seen>,
    /// Whether something changed since the last reload.
    changed: bool,
}

/// What a file was like.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    stamp: Stamp,
    /// `None` for a file that cannot be read.
    digest: Option<[u8; 32]>,
}

/// What a file looks like without being read; the zero of a missing one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Whether another change would show in the rest.
    settled: bool,
}

impl Watched {
    /// Whether the content of any of these files differs from what was seen last; a file never seen differs.
    fn look(&mut self, files: &[PathBuf]) -> bool {
        let mut changed = false;
        for file in files {
            let stamp = stamp(file);
            let before = self.seen.get(file);
            if before.is_some_and(|before| before.stamp == stamp && stamp.settled) {
                continue;
            }
            let digest = digest(file);
            changed |= before.is_none_or(|before| before.digest != digest);
            self.seen.insert(file.clone(), Seen { stamp, digest });
        }
        self.seen.retain(|file, _| files.contains(file));
        self.changed |= changed;
        changed
    }
}

fn stamp(file: &Path) -> Stamp {
    let Ok(found) = std::fs::metadata(file) else { return Stamp::default() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let recent = |seconds: i64| {
        u64::try_from(seconds).is_ok_and(|seconds| Duration::from_secs(seconds) + RECENT > now)
    };
    Stamp {
        file: (found.dev(), found.ino()),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
        settled: !recent(found.mtime()) && !recent(found.ctime()),
    }
}

fn digest(file: &Path) -> Option<[u8; 32]> {
    let mut bytes = Vec::new();
    std::fs::File::open(file).ok()?.take(PEM_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(&bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn content_that_changes_is_seen_once_and_a_touch_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = vec![folder.path().join("a"), folder.path().join("missing")];
        std::fs::write(&files[0], "one").unwrap();
        let mut watched = Watched::default();
        assert!(watched.look(&files), "files never seen differ");
        assert!(!watched.look(&files));
        std::fs::write(&files[0], "two").unwrap();
        assert!(watched.look(&files), "the same size, perhaps the same time");
        assert!(!watched.look(&files));
        std::fs::write(&files[0], "two").unwrap();
        assert!(!watched.look(&files), "the same content");
        std::fs::write(&files[1], "").unwrap();
        assert!(watched.look(&files), "a file that appears");
        std::fs::remove_file(&files[1]).unwrap();
        assert!(watched.look(&files), "a file that goes");
        assert!(watched.changed && watched.seen.len() == 2);
    }

    /// `secret/key` is `secret/..data/key`, and `..data` is a link to a folder named by its time.
    #[test]
    fn a_secret_that_kubernetes_swaps_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("..1", "old"), ("..2", "new")] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("key"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let files = vec![at("key")];
        let mut watched = Watched::default();
        assert!(watched.look(&files) && !watched.look(&files));
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(watched.look(&files) && !watched.look(&files));
    }
}
