//! Budgets and rate limits from the store: at the start, with every reload, and whenever they have changed.

use super::{apply, prepare};
use crate::config::limits::StoredLimits;
use crate::config::{Problem, Settings};
use crate::configuration::Trigger;
use crate::gateway::Gateway;
use narrows_ledger::{Ledger, LedgerError};

/// Why they are not in force.
#[derive(Debug)]
pub(crate) enum Missed {
    /// The store cannot be read just now.
    Store(LedgerError),
    /// They say what this version does not understand, or what was spent before cannot be read.
    Problems(Vec<Problem>),
    /// The gateway runs with settings that cannot be replaced.
    Fixed,
}

impl Missed {
    /// What to tell.
    pub(crate) fn describe(&self) -> String {
        match self {
            Missed::Store(error) => format!("the store cannot be read: {error}"),
            Missed::Problems(problems) => problems
                .iter()
                .map(|problem| format!("{}: {}", problem.path, problem.message))
                .collect::<Vec<_>>()
                .join("; "),
            Missed::Fixed => "this gateway runs with settings that cannot be replaced".to_owned(),
        }
    }

    /// As problems of a configuration.
    pub(crate) fn problems(self) -> Vec<Problem> {
        match self {
            Missed::Problems(problems) => problems,
            other => vec![Problem {
                file: "store".to_owned(),
                line: 1,
                column: 1,
                path: "budgets".to_owned(),
                message: other.describe(),
                suggestion: String::new(),
            }],
        }
    }
}

/// Fills in what the store has beside the file.
pub(crate) fn fill(settings: &mut Settings, ledger: &Ledger) -> Result<(), Missed> {
    let stored = ledger.limits().map_err(Missed::Store)?;
    settings.stored_limits = StoredLimits::read(settings, &stored).map_err(Missed::Problems)?;
    Ok(())
}

/// Takes over what has changed in the store. Whether anything had.
pub(crate) fn refresh(gateway: &Gateway) -> Result<bool, Missed> {
    let _turn = gateway.configuration.take_turn();
    let running = gateway.configuration.running().ok_or(Missed::Fixed)?;
    let mut loaded = (*running).clone();
    fill(&mut loaded.settings, &gateway.ledger)?;
    if loaded.settings.stored_limits == running.settings.stored_limits {
        return Ok(false);
    }
    let next = prepare(gateway, &running, &loaded).map_err(Missed::Problems)?;
    apply(gateway, next, loaded, Trigger::Limits);
    Ok(true)
}

/// Looks whether the store has changed since the last look that succeeded.
pub(super) async fn watch_once(gateway: &Gateway, seen: &mut Option<i64>) {
    let changes = gateway.ledger.changes();
    if *seen == Some(changes) || gateway.configuration.running().is_none() {
        return;
    }
    let shared = gateway.clone();
    match tokio::task::spawn_blocking(move || refresh(&shared)).await {
        Ok(Ok(_)) => *seen = Some(changes),
        Ok(Err(Missed::Problems(problems))) => {
            // The same would be found again until the store changes.
            *seen = Some(changes);
            let missed = Missed::Problems(problems).describe();
            tracing::error!("budgets and rate limits of the store are not taken over: {missed}");
        }
        Ok(Err(missed)) => tracing::warn!("budgets and rate limits stay as they are: {}", missed.describe()),
        // A round that panics has changed nothing; the next one tries again.
        Err(_panicked) => {}
    }
}
