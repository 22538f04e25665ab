//! A new configuration while the gateway runs: read, checked whole, swapped at once. Exchanges in flight keep the
//! snapshot they began with; what cannot be taken changes nothing and is told everywhere.

mod keys;
pub(crate) mod limits;
mod watch;

pub(crate) use keys::reconcile;
pub(crate) use watch::watch;

use crate::config::{self, Loaded, Problem, Problems};
use crate::configuration::{Rejection, Trigger};
use crate::credentials::{self, Missing};
use crate::gateway::Gateway;
use crate::limits::History;
use crate::snapshot::Snapshot;
use crate::telemetry::log;
use narrows_ledger::AuditEntry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often credentials that come from elsewhere are looked at; the secrets store only as often as `vault.refresh`.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// What came of a reload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Another configuration is in force.
    Applied,
    /// The file says what is in force already.
    Unchanged,
    /// The old configuration stays in force.
    Rejected(Arc<Rejection>),
    /// The gateway runs with settings from no file.
    NoFile,
}

/// Reads the configuration again and takes it over, if it can be. Reads files: not for a thread that serves.
pub(crate) fn reload(gateway: &Gateway, trigger: Trigger) -> Outcome {
    let configuration = &gateway.configuration;
    let Some(file) = configuration.running().and_then(|running| running.source.clone()) else {
        return Outcome::NoFile;
    };
    // A secrets store is asked before the turn is taken: while it is slow, others can have theirs.
    let asked_for = config::attempt(&file).outcome.ok().map(|loaded| loaded.settings);
    if let Some(settings) = &asked_for {
        gateway.credentials.fetch(settings, true);
    }
    let _turn = configuration.take_turn();
    let Some(running) = configuration.running() else { return Outcome::NoFile };
    let config::Attempt { outcome, mut files } = config::attempt(&file);
    let filled = outcome.and_then(|mut loaded| {
        // The file may have changed in between.
        let fresh = asked_for.is_none_or(|settings| settings != loaded.settings);
        let filled = fill(gateway, &mut loaded, &running, fresh).and_then(|()| {
            limits::fill(&mut loaded.settings, &gateway.ledger).map_err(limits::Missed::problems)
        });
        match filled {
            Ok(()) => Ok(loaded),
            Err(problems) => Err(Problems::new(problems)),
        }
    });
    let problems = match filled {
        Ok(loaded) if loaded.settings == running.settings => {
            match reconcile(&gateway.ledger, &loaded.settings) {
                Ok(()) => {
                    configuration.unchanged(files, trigger);
                    return Outcome::Unchanged;
                }
                Err(problems) => problems,
            }
        }
        Ok(loaded) => match prepare(gateway, &running, &loaded) {
            Ok(next) => {
                apply(gateway, next, loaded, trigger);
                return Outcome::Applied;
            }
            Err(problems) => problems,
        },
        Err(problems) => problems.as_slice().to_vec(),
    };
    // A file that cannot be read names nothing; what is in force may still change.
    files.extend(running.files.iter().cloned());
    files.sort_unstable();
    files.dedup();
    Outcome::Rejected(reject(gateway, problems, files, trigger))
}

/// Fills in the credentials that come from elsewhere.
fn fill(gateway: &Gateway, loaded: &mut Loaded, running: &Loaded, fresh: bool) -> Result<(), Vec<Problem>> {
    let file = loaded.source.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
    let running = Some(&running.settings);
    gateway.credentials.fill(&mut loaded.settings, running, &gateway.ledger, fresh).map_err(|missing| {
        let problem = |missing: Missing| Problem {
            file: file.clone(),
            line: 1,
            column: 1,
            path: format!("providers.{}.api_key", missing.provider),
            message: missing.message,
            suggestion: String::new(),
        };
        missing.into_iter().map(problem).collect()
    })
}

/// Looks again and again whether credentials that come from elsewhere have changed, and what the store limits.
pub(crate) async fn refresh(gateway: Gateway) {
    let mut seen = None;
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        limits::watch_once(&gateway, &mut seen).await;
        let elsewhere = gateway
            .configuration
            .running()
            .is_some_and(|running| credentials::from_elsewhere(&running.settings));
        if elsewhere {
            let gateway = gateway.clone();
            // A round that panics has changed nothing; the next one tries again.
            drop(tokio::task::spawn_blocking(move || refresh_once(&gateway)).await);
        }
    }
}

/// Takes over credentials that have changed. Those that cannot be read stay as they are.
fn refresh_once(gateway: &Gateway) {
    let configuration = &gateway.configuration;
    if let Some(running) = configuration.running() {
        // Before the turn is taken, as in a reload.
        gateway.credentials.fetch(&running.settings, false);
    }
    let _turn = configuration.take_turn();
    let Some(running) = configuration.running() else { return };
    let mut loaded = (*running).clone();
    let Loaded { settings, .. } = &mut loaded;
    if let Err(missing) = gateway.credentials.fill(settings, Some(&running.settings), &gateway.ledger, false)
    {
        tracing::warn!("credentials stay as they are: {}", credentials::describe(&missing));
        return;
    }
    if loaded.settings == running.settings {
        return;
    }
    match Snapshot::new(&loaded.settings, Some(&gateway.snapshot())) {
        Ok(snapshot) => {
            // Only credentials are different: every budget is counted as before.
            let next = Next { snapshot, history: History::default() };
            apply(gateway, next, loaded, Trigger::Credentials);
        }
        Err(error) => tracing::error!("changed credentials cannot be used: {error:#}"),
    }
}

/// What is about to be in force.
struct Next {
    snapshot: Snapshot,
    /// What was spent of budgets that have to be counted anew.
    history: History,
}

/// Makes everything that may fail, before anything changes.
fn prepare(gateway: &Gateway, running: &Loaded, loaded: &Loaded) -> Result<Next, Vec<Problem>> {
    if let Some(problems) = loaded.needs_restart(running) {
        return Err(problems.as_slice().to_vec());
    }
    let before = gateway.snapshot();
    let problem = |path: &str, message: String| {
        vec![Problem {
            file: loaded.source.as_deref().map(|file| file.display().to_string()).unwrap_or_default(),
            line: 1,
            column: 1,
            path: path.to_owned(),
            message,
            suggestion: String::new(),
        }]
    };
    let snapshot =
        Snapshot::new(&loaded.settings, Some(&before)).map_err(|error| problem("", format!("{error:#}")))?;
    let history =
        gateway.limits.history(&snapshot.rules, Some(&before.rules), &gateway.ledger).map_err(|error| {
            problem("budgets", format!("what was spent before cannot be read from the store: {error}"))
        })?;
    // Last, because it changes the store: nothing after it can fail.
    reconcile(&gateway.ledger, &loaded.settings)?;
    Ok(Next { snapshot, history })
}

fn apply(gateway: &Gateway, next: Next, loaded: Loaded, trigger: Trigger) {
    let Next { snapshot, history } = next;
    let (hash, level) = (snapshot.hash, loaded.settings.log.level);
    // First, so that no exchange meets a rule that is not in force: those that began before go by it, too.
    gateway.limits.apply(&snapshot.rules, &history);
    let before = gateway.replace(snapshot);
    drop(history);
    log::set_level(level);
    gateway.configuration.applied(loaded);
    let (hash, before) = (format!("{hash:016x}"), format!("{:016x}", before.hash));
    tracing::info!(trigger = trigger.as_str(), snapshot = hash, before, "a new configuration is in force");
    let entry = AuditEntry {
        actor: "narrows",
        action: "configuration_applied",
        target: "configuration",
        detail: Some(format!("{hash} after {before}, by {}", trigger.as_str())),
        ..AuditEntry::default()
    };
    if let Err(error) = gateway.ledger.audit(&entry) {
        tracing::error!("a change of configuration could not be written into the trail: {error}");
    }
}

fn reject(
    gateway: &Gateway,
    problems: Vec<Problem>,
    files: Vec<PathBuf>,
    trigger: Trigger,
) -> Arc<Rejection> {
    match gateway.configuration.rejected(problems, files, trigger) {
        Ok(rejection) => {
            for problem in &rejection.problems {
                tracing::error!(trigger = trigger.as_str(), "configuration rejected: {problem}");
            }
            tracing::warn!("the configuration from before stays in force");
            rejection
        }
        Err(known) => known,
    }
}
