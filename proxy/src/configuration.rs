//! Which configuration is in force, and what became of attempts to replace it.

use crate::config::{Loaded, Problem};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A file has changed.
    File,
    /// The process got SIGHUP.
    Signal,
    /// The administration API was asked to.
    Api,
    /// A credential that comes from elsewhere has changed.
    Credentials,
    /// Budgets or rate limits of the store have changed.
    Limits,
}

impl Trigger {
    /// The stable word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Trigger::File => "file",
            Trigger::Signal => "signal",
            Trigger::Api => "api",
            Trigger::Credentials => "credentials",
            Trigger::Limits => "limits",
        }
    }
}

/// How reloads ended, as the metric counts them.
pub(crate) const RESULTS: [&str; 3] = ["applied", "unchanged", "rejected"];

/// A configuration that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// UTC microseconds since the epoch.
    pub(crate) at_us: i64,
    pub(crate) trigger: Trigger,
    /// Why, at least one.
    pub(crate) problems: Vec<Problem>,
}

/// The configuration of a running gateway, seen from outside of exchanges.
pub(crate) struct Configuration {
    state: Mutex<State>,
    /// Held through a reload: there is one at a time.
    turn: Mutex<()>,
    rejected: AtomicBool,
    /// In the order of [`RESULTS`].
    counts: [AtomicU64; RESULTS.len()],
    /// Wakes the watch when how often it looks has changed.
    pub(crate) changed: Notify,
}

struct State {
    /// `None` for a gateway that runs with settings from no file.
    loaded: Option<Arc<Loaded>>,
    loaded_at_us: i64,
    rejection: Option<Arc<Rejection>>,
    /// Files that the last attempt looked at.
    files: Vec<PathBuf>,
}

/// What there is to tell.
pub(crate) struct Status {
    pub(crate) source: Option<PathBuf>,
    pub(crate) loaded_at_us: i64,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) rejection: Option<Arc<Rejection>>,
}

impl Configuration {
    /// The configuration that a gateway starts with.
    pub(crate) fn new(loaded: Option<Loaded>) -> Configuration {
        let files = loaded.as_ref().map(|loaded| loaded.files.clone()).unwrap_or_default();
        Configuration {
            state: Mutex::new(State {
                loaded: loaded.map(Arc::new),
                loaded_at_us: now_us(),
                rejection: None,
                files,
            }),
            turn: Mutex::new(()),
            rejected: AtomicBool::new(false),
            counts: Default::default(),
            changed: Notify::new(),
        }
    }

    /// Waits until no other reload runs.
    pub(crate) fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force, with the file it is from.
    pub(crate) fn running(&self) -> Option<Arc<Loaded>> {
        self.lock().loaded.clone()
    }

    /// How often files are looked at; `None` for never.
    pub(crate) fn watch_every(&self) -> Option<Duration> {
        let state = self.lock();
        let loaded = state.loaded.as_ref().filter(|loaded| loaded.source.is_some())?;
        loaded.settings.reload.watch
    }

    /// Files that the last attempt looked at.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.lock().files.clone()
    }

    /// `loaded` is in force.
    pub(crate) fn applied(&self, loaded: Loaded) {
        let mut state = self.lock();
        state.files.clone_from(&loaded.files);
        state.loaded = Some(Arc::new(loaded));
        state.loaded_at_us = now_us();
        state.rejection = None;
        self.ended(0, false);
        self.changed.notify_one();
    }

    /// What was read is what is in force already.
    pub(crate) fn unchanged(&self, files: Vec<PathBuf>, trigger: Trigger) {
        let mut state = self.lock();
        state.files = files;
        let reverted = state.rejection.take().is_some();
        // A watch that looks again for certainty is no reload that anybody asked for.
        if reverted || trigger != Trigger::File {
            self.ended(1, false);
        }
    }

    /// What was read cannot be taken. `None` if the watch has met the same problems again.
    pub(crate) fn rejected(
        &self,
        problems: Vec<Problem>,
        files: Vec<PathBuf>,
        trigger: Trigger,
    ) -> Result<Arc<Rejection>, Arc<Rejection>> {
        let mut state = self.lock();
        state.files = files;
        if let Some(last) = &state.rejection
            && trigger == Trigger::File
            && last.problems == problems
        {
            return Err(Arc::clone(last));
        }
        let rejection = Arc::new(Rejection { at_us: now_us(), trigger, problems });
        state.rejection = Some(Arc::clone(&rejection));
        self.ended(2, true);
        Ok(rejection)
    }

    fn ended(&self, result: usize, rejected: bool) {
        if let Some(count) = self.counts.get(result) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.rejected.store(rejected, Ordering::Relaxed);
    }

    /// Whether the last attempt to replace it was rejected.
    pub(crate) fn is_rejected(&self) -> bool {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many reloads ended how.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.iter().zip(&self.counts).map(|(result, count)| (*result, count.load(Ordering::Relaxed)))
    }

    /// When what is in force was loaded, in whole seconds since the epoch.
    pub(crate) fn loaded_at_seconds(&self) -> i64 {
        self.lock().loaded_at_us / 1_000_000
    }

    /// Everything there is to tell.
    pub(crate) fn status(&self) -> Status {
        let state = self.lock();
        Status {
            source: state.loaded.as_ref().and_then(|loaded| loaded.source.clone()),
            loaded_at_us: state.loaded_at_us,
            files: state.files.clone(),
            rejection: state.rejection.clone(),
        }
    }
}

fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
