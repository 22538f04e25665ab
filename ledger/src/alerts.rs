//! Alerts at work: raised from anywhere, stored by the writer, read and changed off the requests' path.

use crate::alert::{
    ACKNOWLEDGE_MAX, ALERT_PAGE_LIMIT, ALERTS_PENDING_MAX, AlertBacklog, AlertFilter, AlertInfo, AlertPage,
    AlertStats, DecisionDimension, DecisionFilter, DecisionRow, DueAlert, NOTE_BYTES_MAX, NewAlert, Severity,
    Told,
};
use crate::audit::AuditEntry;
use crate::db::TransactionBehavior;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::now_us;
use crate::query::Reader;
use crate::store::migrate::WITH_ALERTS;
use crate::store::{alerts, audit, decisions};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Alerts on their way to the writer.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    alerts: Mutex<Vec<NewAlert>>,
    raised: AtomicU64,
    dropped: AtomicU64,
    stored: AtomicU64,
    repeated: AtomicU64,
}

impl Waiting {
    /// Takes an alert along, or counts it as lost. The lock is held for one addition here, and for one swap by the writer.
    pub(crate) fn push(&self, alert: NewAlert) -> bool {
        let mut waiting = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let room = waiting.len() < ALERTS_PENDING_MAX;
        if room {
            waiting.push(alert);
        }
        drop(waiting);
        (if room { &self.raised } else { &self.dropped }).fetch_add(1, Ordering::Relaxed);
        room
    }

    /// Takes what waits.
    pub(crate) fn take(&self) -> Vec<NewAlert> {
        std::mem::take(&mut *self.alerts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn written(&self, stored: u64, repeated: u64) {
        self.stored.fetch_add(stored, Ordering::Relaxed);
        self.repeated.fetch_add(repeated, Ordering::Relaxed);
    }

    fn stats(&self) -> AlertStats {
        // What is written was raised before: read the other way round, nothing would wait that was never raised.
        let (stored, repeated) = (self.stored.load(Ordering::Relaxed), self.repeated.load(Ordering::Relaxed));
        let raised = self.raised.load(Ordering::Relaxed);
        AlertStats {
            raised,
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: raised.saturating_sub(stored.saturating_add(repeated)),
            stored,
            repeated,
        }
    }
}

impl Ledger {
    /// Hands an alert to the writer. Never blocks; false when too many wait already, which is counted.
    pub fn raise_alert(&self, alert: NewAlert) -> bool {
        self.queue.raise(alert)
    }

    /// How alerts are doing on their way to the store.
    pub fn alert_stats(&self) -> AlertStats {
        self.queue.waiting_alerts().stats()
    }

    /// Says that somebody has looked at these alerts, all of them or none, and gives them as they are then. Each that
    /// nobody had looked at before gets an entry in the trail of administration; the others keep who and when. Those of
    /// another organization than `within` are not there.
    ///
    /// # Errors
    /// [`LedgerError::AlertNotFound`], [`LedgerError::BadQuery`] for too many ids or too long a note, or a failure of the
    /// store.
    pub fn acknowledge_alerts(
        &self,
        ids: &[String],
        within: Option<&str>,
        note: Option<&str>,
        actor: &str,
    ) -> Result<Vec<AlertInfo>, LedgerError> {
        if ids.is_empty() || ids.len() > ACKNOWLEDGE_MAX {
            return Err(LedgerError::BadQuery("1 to 1000 alerts are acknowledged at once"));
        }
        if note.is_some_and(|note| note.len() > NOTE_BYTES_MAX) {
            return Err(LedgerError::BadQuery("a note has at most 1024 bytes"));
        }
        let mut connection = self.keys.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = now_us();
        let mut acknowledged = Vec::with_capacity(ids.len());
        for id in ids {
            let get = || {
                let seen = |alert: &AlertInfo| within.is_none_or(|within| within == alert.organization);
                alerts::get(&transaction, id)?
                    .filter(seen)
                    .ok_or_else(|| LedgerError::AlertNotFound { id: id.clone() })
            };
            let before = get()?;
            if alerts::acknowledge(&transaction, id, actor, note, now)? {
                let entry = AuditEntry {
                    actor,
                    action: "alert_acknowledged",
                    target: id,
                    organization: Some(&before.organization),
                    detail: note.map(str::to_owned),
                    rows: None,
                };
                audit::insert(&transaction, now, &entry)?;
            }
            acknowledged.push(get()?);
        }
        transaction.commit()?;
        Ok(acknowledged)
    }

    /// At most `limit` alerts that `sink` is to be told of by `now_us` (UTC microseconds since the epoch).
    ///
    /// # Errors
    /// A failure of the store.
    pub fn due_alerts(&self, sink: &str, now_us: i64, limit: usize) -> Result<Vec<DueAlert>, LedgerError> {
        Ok(alerts::due(&self.keys.lock(), sink, now_us, limit)?)
    }

    /// Gives up on all that was to be told to sinks that are not among `known`; gives how many that were.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn abandon_alerts(&self, known: &[&str], why: &str) -> Result<usize, LedgerError> {
        Ok(alerts::abandon(&self.keys.lock(), known, why, now_us())?)
    }

    /// Writes down what became of a try to tell `sink` of an alert as it was with this severity. One that has grown more
    /// severe since then was not told yet, and stays pending.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn alert_told(
        &self,
        id: &str,
        sink: &str,
        severity: Severity,
        told: &Told,
    ) -> Result<(), LedgerError> {
        Ok(alerts::told(&self.keys.lock(), id, sink, severity, told, now_us())?)
    }

    /// How many alerts wait for what.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn alert_backlog(&self) -> Result<AlertBacklog, LedgerError> {
        Ok(alerts::backlog(&self.keys.lock())?)
    }

    /// Removes alerts that last happened before `before_us` (UTC microseconds since the epoch) and the oldest beyond
    /// `keep`, some thousands at a time. Gives how many were removed.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn prune_alerts(&self, keep: usize, before_us: i64) -> Result<usize, LedgerError> {
        Ok(alerts::prune(&mut self.keys.lock(), keep, before_us)?)
    }

    /// [`Reader::alerts`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::alerts`].
    pub fn alerts(
        &self,
        filter: &AlertFilter,
        limit: usize,
        before: Option<&str>,
    ) -> Result<AlertPage, LedgerError> {
        self.reader()?.alerts(filter, limit, before)
    }

    /// [`Reader::alert`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::alert`].
    pub fn alert(&self, id: &str) -> Result<Option<AlertInfo>, LedgerError> {
        self.reader()?.alert(id)
    }

    /// [`Reader::decisions`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::decisions`].
    pub fn decisions(
        &self,
        filter: &DecisionFilter,
        by: &[DecisionDimension],
    ) -> Result<Vec<DecisionRow>, LedgerError> {
        self.reader()?.decisions(filter, by)
    }
}

impl Reader {
    /// The newest alerts that match; `before` is the `next` of the page before. Empty for a store whose schema is older
    /// than alerts.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for a limit out of range, or a failure of the store.
    pub fn alerts(
        &self,
        filter: &AlertFilter,
        limit: usize,
        before: Option<&str>,
    ) -> Result<AlertPage, LedgerError> {
        if limit == 0 || limit > ALERT_PAGE_LIMIT {
            return Err(LedgerError::BadQuery("a page has 1 to 1000 alerts"));
        }
        if self.version < WITH_ALERTS {
            return Ok(AlertPage { alerts: Vec::new(), next: None });
        }
        Ok(alerts::page(&self.connection, filter, limit, before)?)
    }

    /// The alert with this id.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn alert(&self, id: &str) -> Result<Option<AlertInfo>, LedgerError> {
        if self.version < WITH_ALERTS {
            return Ok(None);
        }
        Ok(alerts::get(&self.connection, id)?)
    }

    /// How many exchanges were flagged, masked or refused, split by `by` and sorted by it. Sums have whole hours.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn decisions(
        &self,
        filter: &DecisionFilter,
        by: &[DecisionDimension],
    ) -> Result<Vec<DecisionRow>, LedgerError> {
        if self.version < WITH_ALERTS {
            return Ok(Vec::new());
        }
        Ok(decisions::read(&self.connection, filter, by)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Severity;
    use narrows_policy::{Action, Caller, Stage, Surface};
    use std::sync::Arc;

    #[test]
    fn what_finds_no_room_is_counted() {
        let alert = NewAlert {
            id: 1,
            at_us: 0,
            caller: Arc::new(Caller::default()),
            surface: Surface::Gateway,
            stage: Stage::Request,
            action: Action::Log,
            enforceable: true,
            enforced: true,
            severity: Severity::Low,
            rules: Vec::new(),
            explanation: "".into(),
            conversation: None,
            exchange: 0,
            provider: None,
            model: None,
            policy_version: 0,
            findings: Vec::new(),
            window_us: 0,
            sinks: Vec::new(),
        };
        let waiting = Waiting::default();
        for number in 0..=ALERTS_PENDING_MAX {
            assert_eq!(waiting.push(alert.clone()), number < ALERTS_PENDING_MAX);
        }
        let full = ALERTS_PENDING_MAX as u64;
        assert_eq!(
            waiting.stats(),
            AlertStats { raised: full, dropped: 1, waiting: full, ..AlertStats::default() }
        );
        assert_eq!(waiting.take().len(), ALERTS_PENDING_MAX);
        waiting.written(full - 1, 1);
        assert!(waiting.is_empty() && waiting.push(alert));
        assert_eq!(waiting.stats().waiting, 1);
    }
}
