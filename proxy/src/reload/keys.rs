//! Declared keys: the store is brought in line with their file.

use crate::config::{Problem, Settings};
use narrows_ledger::{Ledger, Reconciliation};

/// Brings the store in line with the keys that are declared, all of them or none. Without a file none are.
pub(crate) fn reconcile(ledger: &Ledger, settings: &Settings) -> Result<(), Vec<Problem>> {
    let file = settings.keys.as_ref().map(|declared| declared.name()).unwrap_or_default();
    let keys = settings.keys.as_ref().map(|declared| declared.keys.as_slice()).unwrap_or_default();
    let whole = |message: String| Problem {
        file: file.clone(),
        line: 1,
        column: 1,
        path: String::new(),
        message,
        suggestion: String::new(),
    };
    let before = ledger.requires_known_owners();
    ledger.require_known_owners(settings.require_known_owners);
    let reconciled = ledger.reconcile_keys(&file, keys);
    if !matches!(reconciled, Ok(Reconciliation::Done(_))) {
        ledger.require_known_owners(before);
    }
    match reconciled {
        Ok(Reconciliation::Done(done)) => {
            let changed = done.created + done.updated + done.disabled;
            if changed > 0 {
                let (created, updated, disabled) = (done.created, done.updated, done.disabled);
                tracing::info!(file, created, updated, disabled, "declared keys were taken over");
            }
            Ok(())
        }
        Ok(Reconciliation::Refused(conflicts)) => {
            let places =
                settings.keys.as_ref().map(|declared| declared.places.as_slice()).unwrap_or_default();
            let problem = |conflict: narrows_ledger::KeyConflict| match places.get(conflict.index) {
                Some(place) => Problem {
                    line: place.line,
                    column: place.column,
                    path: place.path.clone(),
                    suggestion: "make another secret for it: narrows keys hash --new".to_owned(),
                    ..whole(conflict.message)
                },
                None => whole(conflict.message),
            };
            Err(conflicts.into_iter().map(problem).collect())
        }
        Err(error) => Err(vec![whole(format!("the declared keys cannot be stored: {error}"))]),
    }
}
